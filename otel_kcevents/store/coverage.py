"""`Coverage`: the state of each window of each operation, from the results that a source has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from time import time_ns
from typing import Any, NamedTuple

from otel_kcevents.model.event import Failure
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.resolution import resolution_of
from otel_kcevents.model.timestamps import SECOND, format_time
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.source import Source
from otel_kcevents.store.window_results import WindowResult, WindowResults, read_results

__all__ = ["STATES", "Coverage", "CoverageQuery", "CoverageRow", "CoveredWindow", "Gap", "cover", "coverage"]

STATES = ("ok", "empty", "failed", "missing", "not due", "unknown")
"""The states of a window."""

_ORDER = ("save", "load", "aggregate", "total", "reconcile", "compute")
_GRACE_PERIODS = 2


class CoverageQuery(NamedTuple):
    """Which windows to look at.

    Attributes:
        window: The range; None for the last 7 days.
        resolution: `hourly`, `daily`, `monthly` or another length such as `15m`; None for all.
        grace: How long after its end a window is due, in nanoseconds; None for two periods of its resolution.
        now: The current time, in nanoseconds since 1970; None for the clock.
    """

    window: Window | None = None
    resolution: str | None = None
    grace: int | None = None
    now: int | None = None


class CoveredWindow(NamedTuple):
    """A window with at least one event.

    Attributes:
        start: The start, in nanoseconds since 1970 (UTC).
        end: The end, likewise.
        state: `ok`, `empty` or `failed`.
        successes: How often the operation succeeded.
        failures: How often it failed.
        size: The size of the latest success; None if unknown.
        succeeded: The time of the latest success, in nanoseconds since 1970; None if there is none.
        failed: The time of the latest failure; None if there is none.
        failure: The latest failure; None if there is none.
        saved_again: Whether it was saved after it had been reconciled.
    """

    start: int
    end: int
    state: str
    successes: int
    failures: int
    size: int | None
    succeeded: int | None
    failed: int | None
    failure: Failure | None
    saved_again: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the window in the form of `GET /model/etl/coverage`."""
        error = None if self.failure is None else {"type": self.failure.type, "message": self.failure.message}
        return {
            "start": format_time(self.start),
            "end": format_time(self.end),
            "state": self.state,
            "successes": self.successes,
            "failures": self.failures,
            "size": self.size,
            "succeeded": None if self.succeeded is None else format_time(self.succeeded),
            "failed": None if self.failed is None else format_time(self.failed),
            "error": error,
            "savedAgain": self.saved_again,
        }


class Gap(NamedTuple):
    """Consecutive windows without an event.

    Attributes:
        start: The start of the first one, in nanoseconds since 1970 (UTC).
        end: The end of the last one.
        state: `missing`, `not due` or `unknown`.
        windows: How many windows these are.
    """

    start: int
    end: int
    state: str
    windows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the gap in the form of `GET /model/etl/coverage`."""
        return {
            "start": format_time(self.start),
            "end": format_time(self.end),
            "state": self.state,
            "windows": self.windows,
        }


class CoverageRow(NamedTuple):
    """The windows of one operation of an etl at one resolution.

    Attributes:
        etl: The name of the list, such as `allocation`.
        operation: The operation, such as `save`.
        resolution: `hourly`, `daily`, `monthly` or another length such as `15m`.
        period: The length of a window, in nanoseconds.
        grace: How long after its end a window is due, in nanoseconds.
        windows: The windows with events, in their order.
        gaps: The others.
        newest: The newest window that succeeded, also outside the range; None if there is none.
    """

    etl: str
    operation: str
    resolution: str
    period: int
    grace: int
    windows: tuple[CoveredWindow, ...]
    gaps: tuple[Gap, ...]
    newest: WindowResult | None

    @property
    def counts(self) -> dict[str, int]:
        """The number of windows in each state."""
        counts = dict.fromkeys(STATES, 0)
        for window in self.windows:
            counts[window.state] += 1
        for gap in self.gaps:
            counts[gap.state] += gap.windows
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Return the row in the form of `GET /model/etl/coverage`."""
        newest = self.newest and {
            "start": format_time(self.newest.start),
            "end": format_time(self.newest.end),
            "time": format_time(self.newest.time),
            "size": self.newest.size,
        }
        return {
            "etl": self.etl,
            "operation": self.operation,
            "resolution": self.resolution,
            "period": self.period // SECOND,
            "grace": self.grace // SECOND,
            "counts": self.counts,
            "newest": newest,
            "windows": [window.to_dict() for window in self.windows],
            "gaps": [gap.to_dict() for gap in self.gaps],
        }


class Coverage(NamedTuple):
    """The state of each window of a range, for each etl, operation and resolution.

    Attributes:
        start: The start of the range, in nanoseconds since 1970 (UTC).
        end: The end of the range, at most `now`.
        now: When it was computed.
        rows: The rows, by etl, resolution and operation.
        without_window: The failures that no window shows, because their events have none.
    """

    start: int
    end: int
    now: int
    rows: tuple[CoverageRow, ...]
    without_window: tuple[WindowResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the coverage in the form of `GET /model/etl/coverage`."""
        return {
            "window": {"start": format_time(self.start), "end": format_time(self.end)},
            "now": format_time(self.now),
            "rows": [row.to_dict() for row in self.rows],
            "withoutWindow": [
                {
                    "etl": result.etl,
                    "operation": result.operation,
                    "failures": result.events,
                    "failed": format_time(result.time),
                    "error": result.failure and {"type": result.failure.type, "message": result.failure.message},
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
        ValueError: The range is open or in the future.
    """
    source = source.source if isinstance(source, EventLog) else source
    start, end, now = _range(query)
    return cover(read_results(source, start, end), query._replace(now=now))


def _range(query: CoverageQuery) -> tuple[int, int, int]:
    now = time_ns() if query.now is None else query.now
    window = Window.parse("7d", now) if query.window is None else query.window
    if window.start_ns is None or window.start_ns >= now:
        raise ValueError(f"the range must begin in the past, got {short_repr(str(window))}; give one such as 7d")
    return window.start_ns, now if window.end_ns is None else min(window.end_ns, now), now


def cover(results: WindowResults, query: CoverageQuery) -> Coverage:
    """Return the state of each window.

    Args:
        results: What a source knows about the windows of the range.
        query: The query, whose `now` is set.
    """
    start, end, now = _range(query)
    cells: dict[tuple[str, str, str], dict[tuple[int, int], list[WindowResult]]] = defaultdict(dict)
    newest = {}
    for result in results.newest:
        key = result.etl, str(result.operation), resolution_of(result.start, result.end)
        if not result.is_error:
            newest[key] = result
            cells[key] = {}
    unknown = []
    for result in results.results:
        if result.operation is None:
            unknown.append(result)
        else:
            key = result.etl, result.operation, resolution_of(result.start, result.end)
            cells[key].setdefault((result.start, result.end), []).append(result)
    for result in unknown:
        resolution = resolution_of(result.start, result.end)
        keys = [key for key in cells if (key[0], key[2]) == (result.etl, resolution)]
        for key in keys or [(result.etl, "compute", resolution)]:
            cells[key].setdefault((result.start, result.end), []).append(result)
    reconciled = {
        (etl, window): max((r.order for r in found if not r.is_error), default=None)
        for (etl, operation, _), windows in cells.items()
        if operation == "reconcile"
        for window, found in windows.items()
    }
    rows = []
    for key, windows in sorted(cells.items(), key=lambda item: _sort_key(item[0])):
        etl, operation, resolution = key
        if query.resolution not in (None, resolution):
            continue
        covered = tuple(
            _covered(window, found, reconciled.get((etl, window)) if operation == "save" else None)
            for window, found in sorted(windows.items())
        )
        last = newest.get(key)
        period = covered[-1].end - covered[-1].start if covered else last.end - last.start  # type: ignore[union-attr]
        grace = _GRACE_PERIODS * period if query.grace is None else query.grace
        anchor = covered[0].start if covered else last.start  # type: ignore[union-attr]
        gaps = tuple(_gaps(covered, start, end, now, period, grace, anchor, results.known_since.get((etl, operation))))
        rows.append(CoverageRow(etl, operation, resolution, period, grace, covered, gaps, last))
    without = tuple(result for result in results.without_window if start <= result.time < now)
    return Coverage(start, end, now, tuple(rows), without)


def _sort_key(key: tuple[str, str, str]) -> tuple[Any, ...]:
    etl, operation, resolution = key
    return etl, resolution, _ORDER.index(operation) if operation in _ORDER else len(_ORDER)


def _covered(window: tuple[int, int], found: Iterable[WindowResult], reconciled: int | None) -> CoveredWindow:
    successes = [result for result in found if not result.is_error]
    failures = [result for result in found if result.is_error]
    success = max(successes, key=lambda result: result.order, default=None)
    failure = max(failures, key=lambda result: result.order, default=None)
    is_failed = success is None or (failure is not None and failure.order > success.order)
    size = success.size if success else None
    return CoveredWindow(
        *window,
        "failed" if is_failed else "empty" if size == 0 else "ok",
        sum(result.events for result in successes),
        sum(result.events for result in failures),
        size,
        success and success.time,
        failure and failure.time,
        failure and failure.failure,
        bool(success and reconciled is not None and success.order > reconciled),
    )


def _gaps(
    windows: Iterable[CoveredWindow],
    start: int,
    end: int,
    now: int,
    period: int,
    grace: int,
    anchor: int,
    known_since: int | None,
) -> Iterable[Gap]:
    """Yield the intervals of a range that no window covers."""
    at = start + (anchor - start) % period
    for window in windows:
        yield from _split(at, window.start, now, period, grace, known_since)
        at = max(at, window.end)
    yield from _split(at, at + -(-(end - at) // period) * period, now, period, grace, known_since)


def _split(start: int, end: int, now: int, period: int, grace: int, known_since: int | None) -> Iterable[Gap]:
    """Yield a gap in parts of the same state."""
    if end <= start:
        return
    due = start + max(0, min((now - grace - start) // period * period, end - start))
    unknown = start
    if known_since is not None:
        unknown = start + max(0, min((known_since - start) // period * period, due - start))
    for low, high, state in ((start, unknown, "unknown"), (unknown, due, "missing"), (due, end, "not due")):
        if low < high:
            yield Gap(low, high, state, -(-(high - low) // period))
