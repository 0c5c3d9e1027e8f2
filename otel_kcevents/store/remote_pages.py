"""The JSON of `GET /model/etl/runs` and `GET /model/etl/events`, read from a program that may send anything."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import DOCUMENTED, is_name
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.store.query import EventPage, ListedEvent

__all__ = ["read_page", "read_runs"]

_MAX_CURSOR = 4096  # characters


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and parse_time(value) is not None
    except ValueError:
        return False


def _is_id(digits: str) -> Callable[[object], bool]:
    pattern = re.compile(f"[0-9a-f]{{{digits}}}")
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_cursor(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_CURSOR and value.isascii() and value.isprintable()


def _or_null(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


_RUN: Mapping[str, Callable[[object], bool]] = {
    "id": _is_id("1,64"),
    "parent": _or_null(_is_id("1,64")),
    "name": _is_text,
    "program": _is_text,
    "service": _or_null(_is_text),
    "host": _is_text,
    "pid": _is_count,
    "started": _is_time,
    "ended": _or_null(_is_time),
    "lastEvent": _or_null(_is_time),
    "outcome": _is_text,
    "detail": _or_null(_is_text),
    "traceId": _or_null(_is_id("32")),
    "events": _is_count,
    "errors": _is_count,
    "allEvents": _is_count,
    "allErrors": _is_count,
}

_EVENT: Mapping[str, Callable[[object], bool]] = {
    "etl": lambda value: isinstance(value, str) and is_name(value) and value != "counters",
    "kind": _is_text,
    "traceId": _or_null(_is_id("32")),
    "spanId": _or_null(_is_id("16")),
    "run": _or_null(_is_id("1,64")),
    "cursor": _is_cursor,
}


def read_runs(body: bytes) -> list[dict[str, Any]]:
    """Return the runs in a response; fields that this package does not know are removed.

    Args:
        body: The body of the response.

    Raises:
        ValueError: It does not have the form of `GET /model/etl/runs`.
    """
    runs = _list(_data(body), "data")
    return [_checked(run, _RUN, f"data[{number}]") for number, run in enumerate(runs)]


def read_page(body: bytes) -> EventPage:
    """Return the page in a response; kinds and metadata that are not documented are kept.

    Args:
        body: The body of the response.

    Raises:
        ValueError: It does not have the form of `GET /model/etl/events`.
    """
    data = _data(body)
    if not isinstance(data, dict) or not _or_null(_is_cursor)(data.get("next")):
        raise ValueError(f"data must be an object with 'events' and 'next', got {short_repr(data)}")
    items = _list(data.get("events"), "data.events")
    fields = [_checked(item, _EVENT, f"data.events[{number}]") for number, item in enumerate(items)]
    lists: dict[str, list[Any]] = {etl: [] for etl in DOCUMENTED}
    for item in items:
        lists.setdefault(item["etl"], []).append({key: item.get(key) for key in ("kind", "metadata", "time")})
    counters = Counter(str(item["kind"]).removesuffix("Event") for item in items)
    document = read_document(json.dumps({"code": 200, "data": {**lists, "counters": counters}}))
    events = {etl: iter(listed) for etl, listed in document.lists.items()}
    return EventPage(
        tuple(
            ListedEvent(next(events[own["etl"]]), own["etl"], own["traceId"], own["spanId"], own["run"], own["cursor"])
            for own in fields
        ),
        data.get("next"),
    )


def _data(body: bytes) -> Any:
    try:
        return json.loads(body)["data"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(f"expected a JSON object with 'data', got {short_repr(body)}") from None


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{place} must be a list, got {short_repr(value)}")
    return value


def _checked(value: object, fields: Mapping[str, Callable[[object], bool]], place: str) -> dict[str, Any]:
    """Return the fields of an object that are known, which must all be there and have the right form."""
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be an object, got {short_repr(value)}")
    for name, check in fields.items():
        if name not in value or not check(value[name]):
            raise ValueError(f"{place}.{name} is missing or malformed: {short_repr(value.get(name))}")
    return {name: value[name] for name in fields}
