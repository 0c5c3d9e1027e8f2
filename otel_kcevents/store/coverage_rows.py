"""`CoverageRow`: the states of the windows of one operation."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from otel_kcevents.model.event import Failure
from otel_kcevents.model.timestamps import SECOND, format_time
from otel_kcevents.store.gaps import Gap
from otel_kcevents.store.window_results import Bounds, WindowResult

__all__ = ["STATES", "CoverageRow", "CoveredWindow"]

STATES = ("ok", "empty", "failed", "missing", "not due", "unknown")
"""The states of a window."""


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
        saved_again: Whether it was saved after it had been reconciled, itself or in a longer window such as its day.
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
        return {
            "start": format_time(self.start),
            "end": format_time(self.end),
            "state": self.state,
            "successes": self.successes,
            "failures": self.failures,
            "size": self.size,
            "succeeded": None if self.succeeded is None else format_time(self.succeeded),
            "failed": None if self.failed is None else format_time(self.failed),
            "error": self.failure and self.failure._asdict(),
            "savedAgain": self.saved_again,
        }


class CoverageRow(NamedTuple):
    """The windows of one operation of an etl at one resolution.

    Attributes:
        etl: The name of the list, such as `allocation`.
        operation: The operation, such as `save`.
        resolution: `hourly`, `daily`, `monthly` or another length such as `15m`.
        period: The regular length of a window, in nanoseconds; that of a month is 31 days.
        grace: How long after its end a window is due, in nanoseconds.
        windows: The windows with events, in their order.
        gaps: The expected windows without events. A load is not expected for a window that was saved.
        newest: The newest window that succeeded, also outside the range; None if there is none.
        newest_failure: The newest window that failed, likewise.
        is_regular: Whether a window is expected in each period. Those of lengths other than an hour, a day or a month
            are not if only one was ever seen, nor are failures to `compute`, whose success is not recorded.
        known_since: The time of the oldest success that is kept, if older ones were deleted.
        first: The oldest window that ever had an event (for loads: of a load or a save), also outside the range.
            None if it is not known, because older events were deleted, or because the source does not report it.
    """

    etl: str
    operation: str
    resolution: str
    period: int
    grace: int
    windows: tuple[CoveredWindow, ...]
    gaps: tuple[Gap, ...]
    newest: WindowResult | None
    newest_failure: WindowResult | None
    is_regular: bool
    known_since: int | None
    first: Bounds | None

    @property
    def counts(self) -> dict[str, int]:
        """The number of windows in each state."""
        counts = Counter(window.state for window in self.windows)
        for gap in self.gaps:
            counts[gap.state] += gap.windows
        return {state: counts[state] for state in STATES}

    def precedes_first(self, gap: Gap) -> bool:
        """Return whether the windows of a gap are missing, and older than the first window that ever had an event.

        Args:
            gap: One of the gaps.
        """
        return gap.state == "missing" and self.first is not None and gap.end <= self.first.start

    def to_dict(self) -> dict[str, Any]:
        """Return the row in the form of `GET /model/etl/coverage`."""
        return {
            "etl": self.etl,
            "operation": self.operation,
            "resolution": self.resolution,
            "period": _seconds(self.period),
            "grace": _seconds(self.grace),
            "regular": self.is_regular,
            "knownSince": None if self.known_since is None else format_time(self.known_since),
            "counts": self.counts,
            "first": self.first and {"start": format_time(self.first.start), "end": format_time(self.first.end)},
            "newest": _newest_to_dict(self.newest),
            "newestFailure": _newest_to_dict(self.newest_failure),
            "windows": [window.to_dict() for window in self.windows],
            "gaps": [gap.to_dict() for gap in self.gaps],
        }


def _newest_to_dict(result: WindowResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    start, end, time = (format_time(ns) for ns in (result.start, result.end, result.time))
    return {"start": start, "end": end, "time": time, "size": result.size}


def _seconds(ns: int) -> int | float:
    return ns / SECOND if ns % SECOND else ns // SECOND
