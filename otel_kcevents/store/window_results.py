"""`WindowResults`: what a source knows about the windows of its operations: how often each succeeded or failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from otel_kcevents.model.document import Document, unknown_kinds
from otel_kcevents.model.event import OPERATIONS, OUTCOMES, Event, Failure, Outcome
from otel_kcevents.model.resolution import resolution_of
from otel_kcevents.store.source import Source

__all__ = [
    "Bounds",
    "GroupedResult",
    "ResultCollector",
    "ResultGroup",
    "WindowResult",
    "WindowResults",
    "add_results",
    "merge_results",
    "operation_of",
    "read_results",
    "results_of",
]

ResultGroup: TypeAlias = tuple[str, str | None, bool, str, int]
"""What the results of a group share: the etl, the operation, whether they are failures, and the resolution and the
length of their windows."""

GroupedResult: TypeAlias = tuple[int, int, int, int, Any]
"""What differs within a group: the `start`, `events`, `order` and `time` of a `WindowResult`, and its `size` or, for
failures, its `failure`. Plain tuples, because a year of windows has 100,000 of them."""

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

    def split(self) -> tuple[ResultGroup, GroupedResult]:
        """Return the group of the result, and what differs within the group."""
        etl, operation, is_error, start, end, events, order, time, size, failure = self
        group = etl, operation, is_error, resolution_of(start, end), end - start
        return group, (start, events, order, time, failure if is_error else size)


class WindowResults(NamedTuple):
    """What a source knows about the windows of a range.

    Attributes:
        groups: The results of the windows that overlap the range, in any order. If a group has several for the same
            window, their events are added up.
        newest: For each etl, operation, outcome and resolution that was ever seen, the result of its newest window,
            also outside the range; there may be more.
        without_window: The failures without a window, at any time.
        known_since: By etl and operation, the time of the oldest success that is kept, if older ones were deleted.
        regular: Each etl, operation and resolution with more than one window, also outside the range. Those of the
            calendar (`hourly`, `daily`, `monthly`) may be omitted.
        first: By etl, operation and resolution, the oldest window that has an event, also outside the range; None if
            there may have been an older one. It is not known either for a key that is omitted.
        lost: The etls and operations whose failures were deleted; None stands for any operation.
    """

    groups: Mapping[ResultGroup, Sequence[GroupedResult]]
    newest: tuple[WindowResult, ...]
    without_window: tuple[WindowResult, ...]
    known_since: Mapping[tuple[str, str], int]
    regular: frozenset[tuple[str, str, str]] = frozenset()
    first: Mapping[_Place, Bounds | None] = MappingProxyType({})
    lost: frozenset[tuple[str, str | None]] = frozenset()

    @property
    def results(self) -> tuple[WindowResult, ...]:
        """The results of the windows that overlap the range."""
        found = []
        for (etl, operation, is_error, _, length), results in self.groups.items():
            for start, events, order, time, detail in results:
                size, failure = (None, detail) if is_error else (detail, None)
                window = etl, operation, is_error, start, start + length
                found.append(WindowResult(*window, events, order, time, size, failure))
        return tuple(found)


class ResultCollector:
    """Collects what a source knows about the windows of a range.

    Args:
        start: The start of the range, in nanoseconds since 1970 (UTC).
        end: The end of the range.
    """

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._groups: dict[ResultGroup, list[GroupedResult]] = defaultdict(list)
        self._newest: dict[tuple[str, str | None, bool, str], WindowResult] = {}
        self._without: dict[tuple[str, str | None], WindowResult] = {}
        self._oldest: dict[_Place, tuple[int, int]] = {}
        self._regular: set[tuple[str, str, str]] = set()

    def add_group(self, group: ResultGroup, results: Sequence[GroupedResult]) -> None:
        """Add results that overlap the range. Call `note` for the first and the last window of the group as well.

        Args:
            group: Their group.
            results: The results.
        """
        if results:  # an empty group would become a row
            self._groups[group] += results

    def add(self, result: WindowResult) -> None:
        """Add a result that may be outside the range, or without a window.

        Args:
            result: The result.
        """
        if result.start < self._end and self._start < result.end and result.start < result.end:
            group, part = result.split()
            self._groups[group].append(part)
        self.note(result)

    def note(self, result: WindowResult) -> None:
        """Update the newest, the oldest and the regular windows, and the failures without a window, with a result.

        Args:
            result: The result.
        """
        etl, operation, is_error, start, end, *_ = result
        if start == end:
            if is_error:
                before = self._without.get((etl, operation))
                self._without[etl, operation] = add_results(before, result) if before else result
            return
        resolution = resolution_of(start, end)
        key = etl, operation, is_error, resolution
        newest = self._newest.get(key)
        if newest is None or (newest.start, newest.order) <= (start, result.order):
            self._newest[key] = result
        place, bounds = (etl, operation, resolution), (start, end)
        oldest = self._oldest.get(place, bounds)
        self._oldest[place] = min(oldest, bounds)
        if operation is not None and oldest != bounds:
            self._regular.add((etl, operation, resolution))

    def finish(
        self, known_since: Mapping[tuple[str, str], int], lost: Collection[tuple[str, str | None]]
    ) -> WindowResults:
        """Return what was collected.

        Args:
            known_since: By etl and operation, the time of the oldest success that is kept, if older ones were deleted.
            lost: The etls and operations whose failures were deleted; None stands for any operation.
        """
        first = {place: Bounds(*bounds) for place, bounds in self._oldest.items()}
        newest, without = tuple(self._newest.values()), tuple(self._without.values())
        return WindowResults(
            self._groups, newest, without, known_since, frozenset(self._regular), first, frozenset(lost)
        )


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
    failures: dict[str, tuple[str, str | None]] = {}  # by kind: the etl, and the operation if it is the same for all
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
            else:
                oldest.setdefault((etl, str(operation)), (event.kind, event.time))
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
    collector = ResultCollector(start, end)
    for result in found.values():
        collector.add(result)
    return collector.finish(known_since, lost)


def _bounds(event: Event) -> tuple[int, int] | None:
    """Return the window of an event; twice the same time for a failure without one; None for a success without one."""
    window = event.window
    if window is None or window.start_ns is None or window.end_ns is None or window.start_ns == window.end_ns:
        return (0, 0) if event.is_error else None
    return window.start_ns, window.end_ns


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

    groups: dict[ResultGroup, list[GroupedResult]] = defaultdict(list)
    failures: dict[tuple[str, str | None], WindowResult] = {}
    for place, source in enumerate(sources):
        for group, results in source.groups.items():
            groups[group] += [
                (start, events, ranks[place, group[0], order], time, detail)
                for start, events, order, time, detail in results
            ]
        for result in source.without_window:
            key = result.etl, result.operation
            result = result._replace(order=ranks[place, result.etl, result.order])
            failures[key] = add_results(failures[key], result) if key in failures else result
    newest = [result for source in sources for result in source.newest]
    known_since: dict[tuple[str, str], int] = {}
    for source in sources:
        for operation, time in source.known_since.items():
            known_since[operation] = max(time, known_since.get(operation, time))
    regular = frozenset[tuple[str, str, str]]().union(*(source.regular for source in sources))
    lost = frozenset[tuple[str, str | None]]().union(*(source.lost for source in sources))
    first: dict[_Place, Bounds | None] = {}
    for source in sources:
        unknown = {(each.etl, each.operation, resolution_of(each.start, each.end)): None for each in source.newest}
        for row, bounds in {**unknown, **source.first}.items():
            other = first.get(row, bounds)
            first[row] = None if bounds is None or other is None else min(bounds, other)
    return WindowResults(groups, tuple(newest), tuple(failures.values()), known_since, regular, first, lost)
