"""The JSON of `GET /model/etl/runs` and `GET /model/etl/events`, read from a program that may send anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import DOCUMENTED
from otel_kcevents.model.messages import short_repr
from otel_kcevents.store.query import EventPage, ListedEvent
from otel_kcevents.store.remote_fields import (
    checked_fields,
    data_of,
    is_count,
    is_cursor,
    is_etl,
    is_id,
    is_text,
    is_time,
    list_of,
    or_null,
)

__all__ = ["read_page", "read_runs"]

_RUN: Mapping[str, Callable[[object], bool]] = {
    "id": is_id("1,64"),
    "parent": or_null(is_id("1,64")),
    "name": is_text,
    "program": is_text,
    "service": or_null(is_text),
    "host": is_text,
    "pid": is_count,
    "started": is_time,
    "ended": or_null(is_time),
    "lastEvent": or_null(is_time),
    "outcome": is_text,
    "detail": or_null(is_text),
    "traceId": or_null(is_id("32")),
    "events": is_count,
    "errors": is_count,
    "allEvents": is_count,
    "allErrors": is_count,
}

_EVENT: Mapping[str, Callable[[object], bool]] = {
    "etl": is_etl,
    "kind": is_text,
    "traceId": or_null(is_id("32")),
    "spanId": or_null(is_id("16")),
    "run": or_null(is_id("1,64")),
    "cursor": is_cursor,
}


def read_runs(body: bytes) -> list[dict[str, Any]]:
    """Return the runs in a response; fields that this package does not know are removed.

    Args:
        body: The body of the response.

    Raises:
        ValueError: It does not have the form of `GET /model/etl/runs`.
    """
    runs = list_of(data_of(body), "data")
    return [checked_fields(run, _RUN, f"data[{number}]") for number, run in enumerate(runs)]


def read_page(body: bytes) -> EventPage:
    """Return the page in a response; kinds and metadata that are not documented are kept.

    Args:
        body: The body of the response.

    Raises:
        ValueError: It does not have the form of `GET /model/etl/events`.
    """
    data = data_of(body)
    if not isinstance(data, dict) or not or_null(is_cursor)(data.get("next")):
        raise ValueError(f"data must be an object with 'events' and 'next', got {short_repr(data)}")
    items = list_of(data.get("events"), "data.events")
    fields = [checked_fields(item, _EVENT, f"data.events[{number}]") for number, item in enumerate(items)]
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
