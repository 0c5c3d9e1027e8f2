"""Checks of the fields in JSON from a program that may send anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from otel_kcevents.model.event import is_name
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import parse_time

__all__ = [
    "checked_fields",
    "data_of",
    "is_count",
    "is_cursor",
    "is_etl",
    "is_id",
    "is_text",
    "is_time",
    "list_of",
    "or_null",
]

_MAX_CURSOR = 4096  # characters


def is_text(value: object) -> bool:
    """Return whether a value is a string."""
    return isinstance(value, str)


def is_count(value: object) -> bool:
    """Return whether a value is an integer that is not negative and fits in 64 bits."""
    return type(value) is int and 0 <= value < 2**63


def is_time(value: object) -> bool:
    """Return whether a value is an RFC 3339 time."""
    try:
        return isinstance(value, str) and parse_time(value) is not None
    except ValueError:
        return False


def is_etl(value: object) -> bool:
    """Return whether a value can name a list."""
    return isinstance(value, str) and is_name(value) and value != "counters"


def is_id(digits: str) -> Callable[[object], bool]:
    """Return a check whether a value is a hexadecimal id.

    Args:
        digits: The number of digits, as in a regular expression: `32` or `1,64`.
    """
    pattern = re.compile(f"[0-9a-f]{{{digits}}}")
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def is_cursor(value: object) -> bool:
    """Return whether a value can be the `before` of a query."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_CURSOR and value.isascii() and value.isprintable()


def or_null(check: Callable[[object], bool]) -> Callable[[object], bool]:
    """Return a check that also accepts null.

    Args:
        check: The check of other values.
    """
    return lambda value: value is None or check(value)


def data_of(body: bytes) -> Any:
    """Return the `data` of a response.

    Args:
        body: The body of the response.

    Raises:
        ValueError: It is not a JSON object with `data`.
    """
    try:
        return json.loads(body)["data"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(f"expected a JSON object with 'data', got {short_repr(body)}") from None


def list_of(value: object, place: str) -> list[Any]:
    """Return a value that must be a list.

    Args:
        value: The value.
        place: Where it is, for the error message.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, list):
        raise ValueError(f"{place} must be a list, got {short_repr(value)}")
    return value


def checked_fields(value: object, fields: Mapping[str, Callable[[object], bool]], place: str) -> dict[str, Any]:
    """Return the fields of an object that are known.

    Args:
        value: The object.
        fields: The checks of the fields, which must all be there.
        place: Where it is, for the error message.

    Raises:
        ValueError: It is not an object, or a field is missing or has another form.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be an object, got {short_repr(value)}")
    for name, check in fields.items():
        if name not in value or not check(value[name]):
            raise ValueError(f"{place}.{name} is missing or malformed: {short_repr(value.get(name))}")
    return {name: value[name] for name in fields}
