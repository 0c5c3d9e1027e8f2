"""Strings for messages: values named without their content, errors and strings cut to a bounded length."""

from __future__ import annotations

import re
from collections.abc import Sized
from datetime import date, datetime, timezone
from typing import cast

__all__ = ["MAX_MESSAGE", "describe", "describe_time", "error_message", "short_repr", "to_utf8", "truncate"]

MAX_MESSAGE = 4096
"""The maximum length of an error's message in an event, in characters; it bounds the memory of a log."""

# `len` of these is free. That of other types may run the program's code: a lazy frame computes, a proxy connects.
_UNITS: dict[type, str] = {
    str: "character",
    bytes: "byte",
    bytearray: "byte",
    **dict.fromkeys((list, tuple, dict, set, frozenset), "item"),
}
_SHORT_INT = 2**128  # `str` takes long for large integers, or refuses them
_TIME = re.compile(r"[0-9TtZzPWDHMYSwdhmsUCG:+\-.,/ ]{1,80}", re.ASCII)
_ZONES = (type(None), timezone)  # those of the standard library; another one's `repr` runs the program's code


def describe(value: object) -> str:
    """Name a value of the program by its type and its length, such as `a list of 3 items`, without its content.

    None, bools, floats, dates, integers of at most 128 bits and empty values are shown. No code of the program
    runs: the `repr`, the `len` or the `__class__` of an object could be expensive, or have side effects.
    """
    kind: type = type(value)
    if value is None or kind in (bool, float):
        return repr(value)
    if kind in (date, datetime) and isinstance(value, date):
        return repr(value) if type(getattr(value, "tzinfo", None)) in _ZONES else "a datetime"
    name = kind.__qualname__[:80]
    named = f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
    if kind is int and isinstance(value, int):
        return str(value) if abs(value) < _SHORT_INT else f"{named} of {value.bit_length()} bits"
    if kind not in _UNITS or not isinstance(value, Sized):
        return named
    count = len(value)
    return f"{named} of {count} {_UNITS[kind]}{'s' if count > 1 else ''}" if count else repr(value)


def describe_time(value: object) -> str:
    """Name a value that should be a time or a window, like `describe`; a string is shown if it can only be a time."""
    is_time = issubclass(type(value), str) and _TIME.fullmatch(cast("str", value))
    return short_repr(value) if is_time else describe(value)


def short_repr(value: object, max_length: int = 80) -> str:
    """Return the `repr` of a string that is a name, a path or a setting, cut to *max_length* characters.

    Use it for what the program's author wrote, and `describe` for what may be data. Values of other types are
    described.
    """
    if not issubclass(type(value), str):  # `isinstance` asks the `__class__` of the value, which may be a property
        return describe(value)
    text = repr(str.__getitem__(cast("str", value), slice(max_length + 1)))
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def truncate(text: str) -> str:
    """Return *text*, cut to `MAX_MESSAGE` characters."""
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def to_utf8(text: str) -> str:
    """Return *text* with lone surrogates, which UTF-8 cannot encode, replaced by `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def error_message(error: BaseException) -> str:
    """Return the message of *error* as valid UTF-8, cut to `MAX_MESSAGE` characters."""
    try:
        text = str(error)
    except Exception:
        text = "(the message cannot be read)"
    return to_utf8(truncate(text))
