"""`Coverage`: the state of each window of each operation, from the results that a source has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from time import time_ns
from typing import Any, NamedTuple, TypeAlias

from otel_kcevents.model.event import OPERATIONS
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.resolution import CALENDAR, parse_resolution, period_of, resolution_of
from otel_kcevents.model.timestamps import format_time
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage_rows import STATES, CoverageRow, CoveredWindow
from otel_kcevents.store.gaps import Deadlines, Gap, Schedule
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.source import Source
from otel_kcevents.store.window_results import WindowResult, WindowResults, add_results, read_results

__all__ = ["STATES", "Coverage", "CoverageQuery", "CoverageRow", "CoveredWindow", "Gap", "cover", "coverage"]

_PLACES = {operation: place for place, operation in enumerate(OPERATIONS)}
_GRACE_PERIODS = 2
_SHARED = (None, "compute")
"""The operations of failures that count for all operations of their etl."""

_Key: TypeAlias = tuple[str, str, str]
"""The etl, the operation and the resolution of a row."""


class CoverageQuery(NamedTuple):
    """Which windows to look at.

    Attributes:
        window: The range; None for the last 7 days.
        resolution: `hourly`, `daily`, `monthly`, or another length such as `15m`; None for all.
        grace: How long after its end a window is due, in nanoseconds; None for two periods of its resolution.
        now: The current time, in nanoseconds since 1970; None for the clock.
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
        now: When it was computed.
        rows: The rows, by etl, resolution (the shortest first) and operation.
        without_window: The failures that no window shows, because their events have none; of each etl and operation,
            all that are kept if the latest is not older than the range.
        resolutions: The resolutions of all windows that were seen, the shortest first.
    """

    start: int
    end: int
    now: int
    rows: tuple[CoverageRow, ...]
    without_window: tuple[WindowResult, ...]
    resolutions: tuple[str, ...]

    def _repr_html_(self) -> str:
        from otel_kcevents.store.coverage_html import coverage_html  # only notebooks need it

        length = self.end - self.start
        return coverage_html(self.rows, self.without_window, length, self.now)

    def to_dict(self) -> dict[str, Any]:
        """Return the coverage in the form of `GET /model/etl/coverage`."""
        return {
            "window": {"start": format_time(self.start), "end": format_time(self.end)},
            "now": format_time(self.now),
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
        source: Where the events are; an `EventLog` stands for its `source`, an attached journal if there is one.
        query: Which windows to look at.

    Raises:
        OSError: The source cannot be read.
        ValueError: The range is open, empty or in the future, the resolution is malformed, or the grace is negative.
    """
    source = source.source if isinstance(source, EventLog) else source
    start, end, now = _range(query)
    return cover(read_results(source, start, end), query._replace(now=now))


def _range(query: CoverageQuery) -> tuple[int, int, int]:
    """Return the start and the end of the range, and the current time."""
    now = time_ns() if query.now is None else query.now
    window = Window.parse("7d", now) if query.window is None else query.window
    start, end = window.start_ns, now if window.end_ns is None else min(window.end_ns, now)
    if start is None or start >= end:
        raise ValueError(
            f"the range must begin in the past and not be empty, got {short_repr(str(window))}; give one such as 7d"
        )
    if query.grace is not None and query.grace < 0:
        raise ValueError(f"grace must not be negative, got {short_repr(query.grace)}")
    return start, end, now


class _Cells:
    """The results of one row."""

    def __init__(self) -> None:
        self.successes: dict[tuple[int, int], WindowResult] = {}
        self.failures: dict[tuple[int, int], WindowResult] = {}
        self.newest: list[WindowResult] = []  # also outside the range

    def add(self, result: WindowResult) -> None:
        found = self.failures if result.is_error else self.successes
        window = result.start, result.end
        found[window] = add_results(found[window], result) if window in found else result


def cover(results: WindowResults, query: CoverageQuery) -> Coverage:
    """Return the state of each window.

    Args:
        results: What a source knows about the windows of the range.
        query: Which windows to look at.

    Raises:
        ValueError: The range is open, empty or in the future, the resolution is malformed, or the grace is negative.
    """
    start, end, now = _range(query)
    wanted = None if query.resolution is None else parse_resolution(query.resolution)
    cells = _cells(results, start, end)
    rows = []
    for key, found in sorted(cells.items(), key=_place):
        etl, operation, resolution = key
        if wanted not in (None, resolution):
            continue
        reconciled = cells.get((etl, "reconcile", resolution)) if operation == "save" else None
        windows = tuple(_windows(found, reconciled.successes if reconciled else {}))
        newest, newest_failure = (
            max((result for result in found.newest if result.is_error is is_error), key=_age, default=None)
            for is_error in (False, True)
        )
        seen = {_bounds(result) for result in found.newest}.union(map(_bounds, windows))
        is_regular = operation != "compute" and (resolution in CALENDAR or key in results.regular or len(seen) > 1)
        period = period_of(resolution)
        grace = _GRACE_PERIODS * period if query.grace is None else query.grace
        known_since = results.known_since.get((etl, operation))
        gaps: tuple[Gap, ...] = ()
        if is_regular:
            anchor = max(seen)[1]
            deadlines = Deadlines(now, grace, known_since)
            gaps = tuple(Schedule(resolution).gaps(list(map(_bounds, windows)), anchor, start, end, deadlines))
        rows.append(
            CoverageRow(
                etl,
                operation,
                resolution,
                period,
                grace,
                windows,
                gaps,
                newest,
                newest_failure,
                is_regular,
                known_since,
            )
        )
    without = tuple(result for result in results.without_window if start <= result.time)
    resolutions = sorted({resolution for _, _, resolution in cells}, key=period_of)
    return Coverage(start, end, now, tuple(rows), without, tuple(resolutions))


def _cells(results: WindowResults, start: int, end: int) -> dict[_Key, _Cells]:
    """Return the results of each row."""
    cells: dict[_Key, _Cells] = defaultdict(_Cells)
    for result in results.newest:
        if result.operation not in _SHARED:
            cells[result.etl, str(result.operation), resolution_of(result.start, result.end)].newest.append(result)
    shared = []
    for result in results.results:
        if not (result.start < end and start < result.end):
            continue
        if result.operation in _SHARED:
            shared.append(result)
        else:
            cells[result.etl, str(result.operation), resolution_of(result.start, result.end)].add(result)
    for result in shared:
        etl, resolution = result.etl, resolution_of(result.start, result.end)
        keys = [key for key in cells if key[0] == etl and key[1] != "compute" and key[2] == resolution]
        for key in keys or [(etl, "compute", resolution)]:
            cells[key].add(result)
    return cells


def _place(item: tuple[_Key, _Cells]) -> tuple[Any, ...]:
    etl, operation, resolution = item[0]
    return etl, period_of(resolution), _PLACES.get(operation, len(_PLACES)), operation


def _bounds(window: WindowResult | CoveredWindow) -> tuple[int, int]:
    return window.start, window.end


def _age(result: WindowResult) -> tuple[int, int, int]:
    return result.start, result.end, result.time


def _windows(cells: _Cells, reconciled: Mapping[tuple[int, int], WindowResult]) -> Iterable[CoveredWindow]:
    """Yield the windows of a row, in their order."""
    for window in sorted({**cells.successes, **cells.failures}):
        success, failure = cells.successes.get(window), cells.failures.get(window)
        is_failed = success is None or (failure is not None and failure.order > success.order)
        size = success.size if success else None
        yield CoveredWindow(
            *window,
            "failed" if is_failed else "empty" if size == 0 else "ok",
            success.events if success else 0,
            failure.events if failure else 0,
            size,
            success and success.time,
            failure and failure.time,
            failure and failure.failure,
            success is not None and window in reconciled and success.order > reconciled[window].order,
        )
