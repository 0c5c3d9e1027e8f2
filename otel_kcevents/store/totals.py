"""`KindTotals`: the totals of one kind of event, from which metrics are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from otel_kcevents.model.event import Event
from otel_kcevents.model.timestamps import DAY, SECOND
from otel_kcevents.model.window import Window
from otel_kcevents.store.source import Source

__all__ = ["KindTotals", "add_window_end", "merge_totals", "totals_of"]

_HOUR = 3_600 * SECOND
# The resolutions in the metrics, which are few, so that the series are. A local day is shorter or longer if a clock is
# changed.
_RESOLUTIONS = {_HOUR: "hourly", DAY: "daily", DAY - _HOUR: "daily", DAY + _HOUR: "daily"}


class KindTotals(NamedTuple):
    """The totals of all events of one kind.

    Attributes:
        etl: The name of the kind's list, such as `allocation`.
        kind: The kind, such as `AllocationSetSaved`.
        events: How many events there were, at least one.
        records: The sum of their sizes; None if none of them has a size, or if the source does not know the sum.
        last_event: The time of the latest one, in nanoseconds since 1970 (UTC).
        window_ends: By resolution (`hourly`, `daily`, `other`), the latest end of a window, in nanoseconds since 1970.
    """

    etl: str
    kind: str
    events: int
    records: int | None
    last_event: int
    window_ends: Mapping[str, int]


def add_window_end(ends: dict[str, int], window: Window) -> None:
    """Update the latest ends of windows by one more window, unless it has an open end or no length.

    Args:
        ends: The latest ends by resolution, in nanoseconds since 1970.
        window: The window.
    """
    try:
        start, end = window.start_ns, window.end_ns
    except AttributeError:  # it is not a window; a journal counts such an event, too
        return
    if start is not None and end is not None:
        resolution = _RESOLUTIONS.get(end - start, "other")
        if end > ends.get(resolution, start):
            ends[resolution] = end


def totals_of(source: Source) -> tuple[KindTotals, ...]:
    """Return the totals of a source, by kind in alphabetical order.

    Of a source without `totals()`, such as a program's log over HTTP, they are read from its document: the counters,
    and the latest times of the events that it lists. The sums of records are unknown.

    Args:
        source: The source.

    Raises:
        OSError: The source cannot be read.
    """
    method: Any = getattr(source, "totals", None)
    if method is not None:
        return tuple(method())
    document = source.document()
    listed: dict[str, list[tuple[str, Event]]] = {}
    for etl, events in document.lists.items():
        for event in events:
            listed.setdefault(event.kind.removesuffix("Event"), []).append((etl, event))
    found = []
    for name, count in document.counters.items():
        kind = name.removesuffix("Event")
        if kind in listed:  # otherwise its list is unknown
            ends: dict[str, int] = {}
            for _, event in listed[kind]:
                if event.window is not None:
                    add_window_end(ends, event.window)
            etl, newest = listed[kind][0]
            found.append(KindTotals(etl, kind, count, None, newest.time, ends))
    return tuple(found)


def merge_totals(totals: Iterable[Iterable[KindTotals]]) -> tuple[KindTotals, ...]:
    """Return the totals of the events of several sources, by kind in alphabetical order.

    Args:
        totals: The totals of each source.
    """
    merged: dict[tuple[str, str], KindTotals] = {}
    for one in (one for of_source in totals for one in of_source):
        other = merged.get((one.kind, one.etl))
        merged[one.kind, one.etl] = one if other is None else _sum(one, other)
    return tuple(merged[key] for key in sorted(merged))


def _sum(one: KindTotals, other: KindTotals) -> KindTotals:
    records = one.records if other.records is None else other.records + (one.records or 0)
    ends = dict(one.window_ends)
    for resolution, end in other.window_ends.items():
        ends[resolution] = max(end, ends.get(resolution, end))
    last_event = max(one.last_event, other.last_event)
    return KindTotals(one.etl, one.kind, one.events + other.events, records, last_event, ends)
