"""`Coverage`: the state of each window of each operation, from the results that a source has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter
from time import time_ns
from typing import Any, NamedTuple, TypeAlias

from otel_kcevents.model.event import OPERATIONS
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.resolution import CALENDAR, parse_resolution, period_of, resolution_of
from otel_kcevents.model.timestamps import format_time
from otel_kcevents.model.window import Window
from otel_kcevents.store.collector_pause import collector_pause
from otel_kcevents.store.coverage_rows import STATES, CoverageRow, CoveredWindow
from otel_kcevents.store.gaps import Deadlines, Gap, Schedule
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.reconciles import Reconciles, latest_reconciles
from otel_kcevents.store.source import Source, snapshot_time
from otel_kcevents.store.window_results import Bounds, GroupedResult, WindowResult, WindowResults, read_results

__all__ = ["STATES", "Coverage", "CoverageQuery", "CoverageRow", "CoveredWindow", "Gap", "cover", "coverage"]

_PLACES = {operation: place for place, operation in enumerate(OPERATIONS)}
_GRACE_PERIODS = 2
_SHARED = (None, "compute")
"""The operations of failures that count for all operations of their etl."""

_first = itemgetter(0)

_Key: TypeAlias = tuple[str, str, str]
"""The etl, the operation and the resolution of a row."""


class CoverageQuery(NamedTuple):
    """Which windows to look at.

    Attributes:
        window: The range; None for the 7 days before `now`.
        resolution: `hourly`, `daily`, `monthly`, or another length such as `15m`; None for all.
        grace: How long after its end a window is due, in nanoseconds; None for two periods of its resolution.
        now: The current time, in nanoseconds since 1970; None for the clock or, if the source is a snapshot, for the
            time when it was saved.
    """

    window: Window | None = None
    resolution: str | None = None
    grace: int | None = None
    now: int | None = None


class Coverage(NamedTuple):
    """The state of each window of a range, for each etl, operation and resolution.

    Attributes:
        start: The start of the range, in nanoseconds since 1970 (UTC).
        end: The end of the range, at most `now`.
        now: The time at which the windows have these states: when it was computed, or `as_of`.
        rows: The rows, by etl, resolution (the shortest first) and operation.
        without_window: The failures that no window shows, because their events have none; of each etl and operation,
            all that are kept if the latest is not older than the range.
        resolutions: The resolutions of all windows that were seen, the shortest first.
        as_of: When the source was saved, if it is a snapshot and the query does not give the time; otherwise None.
    """

    start: int
    end: int
    now: int
    rows: tuple[CoverageRow, ...]
    without_window: tuple[WindowResult, ...]
    resolutions: tuple[str, ...]
    as_of: int | None = None

    def _repr_html_(self) -> str:
        from otel_kcevents.store.coverage_html import coverage_html  # only notebooks need it

        length = self.end - self.start
        return coverage_html(self.rows, self.without_window, length, self.now, is_snapshot=self.as_of is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the coverage in the form of `GET /model/etl/coverage`."""
        return {
            "window": {"start": format_time(self.start), "end": format_time(self.end)},
            "now": format_time(self.now),
            "asOf": None if self.as_of is None else format_time(self.as_of),
            "resolutions": list(self.resolutions),
            "rows": [row.to_dict() for row in self.rows],
            "withoutWindow": [
                {
                    "etl": result.etl,
                    "operation": result.operation,
                    "failures": result.events,
                    "failed": format_time(result.time),
                    "error": result.failure and result.failure._asdict(),
                }
                for result in self.without_window
            ],
        }


def coverage(source: Source, query: CoverageQuery = CoverageQuery()) -> Coverage:  # noqa: B008 - immutable
    """Return the state of each window of a source.

    Args:
        source: Where the events are; an `EventLog` stands for its `source`, an attached journal if there is one. Of a
            snapshot, such as a saved report, no window is expected that begins after it was saved.
        query: Which windows to look at.

    Raises:
        OSError: The source cannot be read.
        ValueError: The range is open, empty or in the future, the resolution is malformed, or the grace is negative.
    """
    source = source.source if isinstance(source, EventLog) else source
    as_of = snapshot_time(source) if query.now is None else None
    query = query._replace(now=query.now if as_of is None else as_of)
    start, end, now = _range(query, as_of)
    return cover(read_results(source, start, end), query._replace(now=now))._replace(as_of=as_of)


def _range(query: CoverageQuery, as_of: int | None = None) -> tuple[int, int, int]:
    """Return the start and the end of the range, and the current time."""
    now = time_ns() if query.now is None else query.now
    window = Window.parse("7d", now) if query.window is None else query.window
    start, end = window.start_ns, now if window.end_ns is None else min(window.end_ns, now)
    if start is None or start >= end:
        past = "in the past" if as_of is None else f"before {format_time(as_of)}, when the source was saved,"
        raise ValueError(
            f"the range must begin {past} and not be empty, got {short_repr(str(window))}; give one such as 7d"
        )
    if query.grace is not None and query.grace < 0:
        raise ValueError(f"grace must not be negative, got {short_repr(query.grace)}")
    return start, end, now


@collector_pause()
def cover(results: WindowResults, query: CoverageQuery) -> Coverage:
    """Return the state of each window.

    Args:
        results: What a source knows about the windows of the range, which ends at `now` at the latest.
        query: Which windows to look at.

    Raises:
        ValueError: The range is open, empty or in the future, the resolution is malformed, or the grace is negative.
    """
    start, end, now = _range(query)
    wanted = None if query.resolution is None else parse_resolution(query.resolution)
    found = _rows(results)
    reconciles = _reconciles(found)
    rows = []
    saved: dict[tuple[str, str], list[CoveredWindow]] = {}
    for key in sorted(found, key=_place):
        etl, operation, resolution = key
        if wanted not in (None, resolution):
            continue
        reconciled = reconciles[etl] if operation == "save" else {}
        windows = tuple(sorted(_windows(found[key], reconciled), key=_first))
        if operation == "save":  # its row is before that of the loads
            saved[etl, resolution] = [window for window in windows if window.successes]
        newest = found[key].newest
        period = period_of(resolution)
        grace = _GRACE_PERIODS * period if query.grace is None else query.grace
        known_since, first = results.known_since.get((etl, operation)), _first_window(results, key)
        is_regular = operation != "compute" and (
            resolution in CALENDAR
            or key in results.regular
            or len({window[:2] for window in windows} | {result[3:5] for result in newest}) > 1
        )
        gaps: tuple[Gap, ...] = ()
        if is_regular:
            there, since = windows, known_since
            if operation == "load":  # a set is either computed and saved or, after a restart, loaded
                there = tuple(sorted((*windows, *saved.get((etl, resolution), ())), key=_first))
                since = _latest(known_since, results.known_since.get((etl, "save")))
            anchor = there[0].start if there else max(result.end for result in newest)
            deadlines = Deadlines(now, grace, since, first and first.start)
            gaps = tuple(Schedule(resolution).gaps(there, anchor, start, end, deadlines))
        last, last_failure = _newest(newest, False), _newest(newest, True)
        rows.append(CoverageRow(*key, period, grace, windows, gaps, last, last_failure, is_regular, known_since, first))
    without = sorted(
        (result for result in results.without_window if start <= result.time),
        key=lambda result: (result.etl, result.operation or ""),
    )
    resolutions = sorted({resolution for _, _, resolution in found}, key=period_of)
    return Coverage(start, end, now, tuple(rows), tuple(without), tuple(resolutions))


class _Row:
    """The results of one row.

    Attributes:
        groups: By the length of the window and whether these are failures: the results, in any order.
        newest: The results of the newest windows, also outside the range.
    """

    groups: defaultdict[tuple[int, bool], list[GroupedResult]]
    newest: list[WindowResult]

    def __init__(self) -> None:
        self.groups = defaultdict(list)
        self.newest = []

    def results(self, length: int, is_error: bool) -> dict[int, GroupedResult]:
        """Return one result for each window of a length, by its start."""
        found: dict[int, GroupedResult] = {}
        for result in self.groups.get((length, is_error), ()):
            before = found.get(result[0])
            if before is None:
                found[result[0]] = result
            else:
                start, events, order, *_ = before
                latest = before if order > result[2] else result
                found[start] = start, events + result[1], *latest[2:]
        return found


def _rows(results: WindowResults) -> dict[_Key, _Row]:
    """Return the results of each row."""
    rows: dict[_Key, _Row] = defaultdict(_Row)
    for result in results.newest:
        if result.operation not in _SHARED:
            rows[result.etl, str(result.operation), resolution_of(result.start, result.end)].newest.append(result)
    shared = []
    for (etl, operation, is_error, resolution, length), part in results.groups.items():
        if operation is None or operation in _SHARED:
            shared.append((etl, resolution, length, part))
        else:
            rows[etl, operation, resolution].groups[length, is_error] += part
    for etl, resolution, length, part in shared:
        keys = [key for key in rows if key[0] == etl and key[1] != "compute" and key[2] == resolution]
        for key in keys or [(etl, "compute", resolution)]:
            rows[key].groups[length, True] += part
    return rows


def _reconciles(rows: Mapping[_Key, _Row]) -> defaultdict[str, Reconciles]:
    """Return the reconciles of each etl."""
    found: defaultdict[str, Reconciles] = defaultdict(lambda: defaultdict(dict))
    for (etl, operation, _), row in rows.items():
        for length, is_error in row.groups:
            if operation == "reconcile" and not is_error:
                found[etl][length] |= row.results(length, False)
    return found


def _windows(row: _Row, reconciles: Reconciles) -> Iterable[CoveredWindow]:
    """Yield the windows of a row, the shorter ones first.

    Args:
        row: The row.
        reconciles: For saves, the reconciles of their etl.
    """
    make = CoveredWindow._make  # faster than calling the class: there may be 100,000 windows
    for length in sorted({length for length, _ in row.groups}):
        successes, failures = row.results(length, False), row.results(length, True)
        reconciled = latest_reconciles(successes, length, reconciles)
        for start, events, order, time, size in successes.values():
            state = "empty" if size == 0 else "ok"
            count, failed, failure = 0, None, None
            if start in failures:
                _, count, last, failed, failure = failures.pop(start)
                if last > order:
                    state = "failed"
            again = order > reconciled.get(start, order)
            yield make((start, start + length, state, events, count, size, time, failed, failure, again))
        for start, (_, count, _, failed, failure) in failures.items():
            yield CoveredWindow(start, start + length, "failed", 0, count, None, None, failed, failure, False)


def _first_window(results: WindowResults, key: _Key) -> Bounds | None:
    """Return the oldest window of a row that ever had an event; None if it is not known.

    Failures that count for all operations are included, and for loads also what happened to saves.
    """
    etl, operation, resolution = key
    operations = {operation, *_SHARED}
    if operation == "load":  # a load is expected for a window that could not be saved
        operations.add("save")
    deleted = {*results.known_since, *results.lost}
    if not deleted.isdisjoint((etl, each) for each in operations):
        return None
    if operation not in _SHARED and key not in results.first:
        return None
    places = [(etl, each, resolution) for each in operations]
    found = [results.first[place] for place in places if place in results.first]
    return None if None in found else min(filter(None, found), default=None)


def _latest(*times: int | None) -> int | None:
    return max((time for time in times if time is not None), default=None)


def _newest(results: Iterable[WindowResult], is_error: bool) -> WindowResult | None:
    found = [result for result in results if result.is_error is is_error]
    return max(found, key=lambda result: (result.start, result.end, result.time), default=None)


def _place(key: _Key) -> tuple[Any, ...]:
    etl, operation, resolution = key
    return etl, period_of(resolution), resolution, _PLACES.get(operation, len(_PLACES)), operation
