"""`WindowResults`: what a source knows about the windows of its operations: how often each succeeded or failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from otel_kcevents.model.document import Document, unknown_kinds
from otel_kcevents.model.event import OPERATIONS, OUTCOMES, Event, Failure, Outcome
from otel_kcevents.model.resolution import CALENDAR, resolution_of
from otel_kcevents.store.source import Source

__all__ = [
    "Bounds",
    "WindowResult",
    "WindowResults",
    "add_results",
    "known_firsts",
    "merge_results",
    "operation_of",
    "read_results",
    "results_of",
    "select_results",
]

_OPERATIONS = {success: operation for operation, (success, _) in OPERATIONS.items() if success}
_EVERYTHING = 2**31

_Place: TypeAlias = "tuple[str, str | None, str]"
"""An etl, an operation and a resolution."""


class Bounds(NamedTuple):
    """The bounds of a window.

    Attributes:
        start: The start, in nanoseconds since 1970 (UTC).
        end: The end, likewise.
    """

    start: int
    end: int


class WindowResult(NamedTuple):
    """The successes, or the failures, of one operation for one window.

    Attributes:
        etl: The name of the list, such as `allocation`.
        operation: The operation; None for failures that do not name it.
        is_error: Whether these are failures.
        start: The start of the window, in nanoseconds since 1970.
        end: The end of the window; equal to `start` if the events have no window, or one without a start or an end.
        events: How many events there are.
        order: A number that is higher the later the latest event arrived, among the events of its etl in the source.
        time: The time of the latest event, in nanoseconds since 1970.
        size: The size of the latest event; None if unknown.
        failure: The failure of the latest event; None for successes, and if unknown.
    """

    etl: str
    operation: str | None
    is_error: bool
    start: int
    end: int
    events: int
    order: int
    time: int
    size: int | None
    failure: Failure | None


class WindowResults(NamedTuple):
    """What a source knows about the windows of a range.

    Attributes:
        results: The results of the windows that overlap the range. Several for the same window, operation and outcome
            are added.
        newest: For each etl, operation, outcome and resolution that was ever seen, the result of its newest window,
            also outside the range; there may be more.
        without_window: The failures without a window, at any time.
        known_since: By etl and operation, the time of the oldest success that is kept, if older ones were deleted.
        regular: Each etl, operation and resolution with more than one window, also outside the range. Those of the
            calendar (`hourly`, `daily`, `monthly`) may be omitted.
        first: By etl, operation and resolution, the oldest window that ever had an event, also outside the range; None
            if there may have been an older one. What is omitted is not known either.
    """

    results: tuple[WindowResult, ...]
    newest: tuple[WindowResult, ...]
    without_window: tuple[WindowResult, ...]
    known_since: Mapping[tuple[str, str], int]
    regular: frozenset[tuple[str, str, str]] = frozenset()
    first: Mapping[_Place, Bounds | None] = MappingProxyType({})


def _outcome_of(kind: str) -> Outcome | None:
    name = kind.removesuffix("Event")
    return next((outcome for outcome in OUTCOMES.values() if name.endswith(outcome.suffix)), None)


def operation_of(kind: str, operation: str | None) -> str | None:
    """Return the operation that an event reports; None if it does not name one.

    Args:
        kind: The kind of the event, one of a set.
        operation: The operation of its failure.
    """
    outcome = _outcome_of(kind)
    if outcome is not None and outcome.name in _OPERATIONS:
        return _OPERATIONS[outcome.name]
    if outcome is not None and outcome.name == "reconcile_error":
        return "reconcile"
    return operation if operation in _OPERATIONS.values() else None


def read_results(source: Source, start: int, end: int) -> WindowResults:
    """Return what a source knows about the windows of a range.

    Args:
        source: The source. If it has no `window_results()`, its document is read.
        start: The start of the range, in nanoseconds since 1970 (UTC).
        end: The end of the range.

    Raises:
        OSError: The source cannot be read.
    """
    read: Any = getattr(source, "window_results", None)
    if read is None:
        return results_of(source.document(limit=_EVERYTHING), start, end)
    results: WindowResults = read(start, end)
    return results


def results_of(document: Document, start: int, end: int) -> WindowResults:
    """Return the results of the events that a document lists. Kinds that this package does not know are ignored.

    Args:
        document: The document; each list newest first.
        start: The start of the range, in nanoseconds since 1970 (UTC).
        end: The end of the range.
    """
    found: dict[tuple[Any, ...], WindowResult] = {}
    oldest: dict[tuple[str, str], tuple[str, int]] = {}  # by etl and operation: the kind, and the time
    listed: dict[str, int] = {}
    failures: dict[str, tuple[str, str | None]] = {}  # by kind: the etl, and the operation if all of them have it
    ignored = unknown_kinds(document)
    for etl, events in document.lists.items():
        for order, event in enumerate(reversed(events)):
            if event.kind in ignored:
                continue
            operation = operation_of(event.kind, event.failure and event.failure.operation)
            is_error = event.is_error
            listed[event.kind] = listed.get(event.kind, 0) + 1
            if is_error:
                failures[event.kind] = etl, operation_of(event.kind, None)
            elif operation is not None:
                oldest.setdefault((etl, operation), (event.kind, event.time))
            bounds = _bounds(event)
            if bounds is not None:
                key = etl, operation, is_error, *bounds
                events_before = found[key].events if key in found else 0
                found[key] = WindowResult(
                    *key, 1 + events_before, order, event.time, event.size, event.failure if is_error else None
                )
    deleted = {kind for kind, count in listed.items() if document.counters.get(kind, 0) > count}
    known_since = {key: time for key, (kind, time) in oldest.items() if kind in deleted}
    lost = {key for kind, key in failures.items() if kind in deleted}
    return select_results(found.values(), start, end, known_since, lost)


def _bounds(event: Event) -> tuple[int, int] | None:
    """Return the window of an event; twice the same time for a failure without one; None for a success without one."""
    window = event.window
    if window is None or window.start_ns is None or window.end_ns is None or window.start_ns == window.end_ns:
        return (0, 0) if event.is_error else None
    return window.start_ns, window.end_ns


def select_results(
    results: Iterable[WindowResult],
    start: int,
    end: int,
    known_since: Mapping[tuple[str, str], int],
    lost: Collection[tuple[str, str | None]] = (),
) -> WindowResults:
    """Return the results of a range.

    Args:
        results: All results; those without a window have the same start and end.
        start: The start of the range, in nanoseconds since 1970 (UTC).
        end: The end of the range.
        known_since: By etl and operation, the time of the oldest success that is kept, if older ones were deleted.
        lost: The etls and operations of which failures were deleted; without an operation, they may be of any.
    """
    oldest: dict[_Place, Bounds] = {}
    newest: dict[tuple[str, str | None, bool, str], WindowResult] = {}
    windows: dict[tuple[str, str, str], tuple[int, int]] = {}
    regular = set()
    selected, without = [], []
    for result in results:
        etl, operation, is_error, first, last, *_ = result
        if first == last:
            without.append(result)
            continue
        if first < end and start < last:
            selected.append(result)
        resolution = resolution_of(first, last)
        key = etl, operation, is_error, resolution
        if key not in newest or newest[key].start < first:
            newest[key] = result
        place, bounds = (etl, operation, resolution), Bounds(first, last)
        oldest[place] = min(oldest.get(place, bounds), bounds)
        if operation is not None and resolution not in CALENDAR:
            row = etl, operation, resolution
            if windows.setdefault(row, (first, last)) != (first, last):
                regular.add(row)
    last_ones, firsts = tuple(newest.values()), known_firsts(oldest, lost)
    return WindowResults(tuple(selected), last_ones, tuple(without), known_since, frozenset(regular), firsts)


def known_firsts(
    oldest: Mapping[_Place, Bounds], lost: Collection[tuple[str, str | None]]
) -> dict[_Place, Bounds | None]:
    """Return the oldest windows as `WindowResults.first`: without those of operations whose failures were deleted.

    Args:
        oldest: By etl, operation and resolution, the oldest window that is known.
        lost: The etls and operations of which failures were deleted; without an operation, they may be of any.
    """
    return {
        (etl, operation, resolution): None if (etl, operation) in lost or (etl, None) in lost else bounds
        for (etl, operation, resolution), bounds in oldest.items()
    }


def add_results(first: WindowResult, second: WindowResult) -> WindowResult:
    """Return the result of all events of two results of the same window, operation and outcome.

    Args:
        first: One result.
        second: Another one of the same source.
    """
    latest = first if first.order > second.order else second
    return latest._replace(events=first.events + second.events)


def merge_results(sources: Sequence[WindowResults]) -> WindowResults:
    """Return what several sources know together.

    Events of a source keep the order in which they arrived; otherwise, the time decides which one is later. An event
    is treated as at least as new as those that arrived before it, even if the clock was set back.

    Args:
        sources: What each source knows about the windows of the same range.
    """
    arrivals: dict[tuple[int, str, int], int] = {}  # by source, etl and order
    for place, source in enumerate(sources):
        found = {(result.etl, result.order): result.time for result in (*source.results, *source.without_window)}
        latest: dict[str, int] = {}
        for (etl, order), time in sorted(found.items()):
            arrivals[place, etl, order] = latest[etl] = max(time, latest.get(etl, time))
    ranks = {key: rank for rank, key in enumerate(sorted(arrivals, key=lambda key: (arrivals[key], key)))}

    def ranked(place: int, results: Iterable[WindowResult]) -> Iterator[WindowResult]:
        return (result._replace(order=ranks[place, result.etl, result.order]) for result in results)

    results = [result for place, source in enumerate(sources) for result in ranked(place, source.results)]
    newest = [result for source in sources for result in source.newest]
    without = [result for place, source in enumerate(sources) for result in ranked(place, source.without_window)]
    failures: dict[tuple[str, str | None], WindowResult] = {}
    for result in without:
        key = result.etl, result.operation
        failures[key] = add_results(failures[key], result) if key in failures else result
    known_since: dict[tuple[str, str], int] = {}
    for source in sources:
        for row, time in source.known_since.items():
            known_since[row] = max(time, known_since.get(row, time))
    regular = frozenset[tuple[str, str, str]]().union(*(source.regular for source in sources))
    first: dict[_Place, Bounds | None] = {}
    for source in sources:
        unknown = {(each.etl, each.operation, resolution_of(each.start, each.end)): None for each in source.newest}
        for group, bounds in {**unknown, **source.first}.items():
            other = first.get(group, bounds)
            first[group] = None if bounds is None or other is None else min(bounds, other)
    return WindowResults(tuple(results), tuple(newest), tuple(failures.values()), known_since, regular, first)
