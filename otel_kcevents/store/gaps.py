"""`Schedule` and `Gap`: which windows are expected between those that are there, as intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from otel_kcevents.model.resolution import CLOCK_CHANGE, month_of, month_start, period_of
from otel_kcevents.model.timestamps import DAY, MAX_NS, MIN_NS, format_time

__all__ = ["Deadlines", "Gap", "Schedule"]


class Gap(NamedTuple):
    """Consecutive windows without an event.

    Attributes:
        start: The start of the first one, in nanoseconds since 1970 (UTC).
        end: The end of the last one.
        state: `missing`, `not due` or `unknown`.
        windows: How many windows these are.
        due: When the first one was due, or will be.
    """

    start: int
    end: int
    state: str
    windows: int
    due: int

    def to_dict(self) -> dict[str, Any]:
        """Return the gap in the form of `GET /model/etl/coverage`."""
        return {
            "start": format_time(self.start),
            "end": format_time(self.end),
            "state": self.state,
            "windows": self.windows,
            "due": format_time(self.due),
        }


class Deadlines(NamedTuple):
    """The times that decide between the states of windows without an event.

    Attributes:
        now: The current time, in nanoseconds since 1970 (UTC).
        grace: How long after its end a window is due, in nanoseconds.
        known_since: The time of the oldest event that is kept, if older ones were deleted; None if not.
        first: The start of the first window that ever had an event; None if it is not known. A gap of missing windows
            is split there.
    """

    now: int
    grace: int
    known_since: int | None
    first: int | None = None


class Schedule:
    """Windows that follow each other without a break, at one resolution.

    Its phase is that of the windows that are there: a day may begin at any time. Windows of whole days may be an hour
    longer or shorter, because a clock was changed; months are those of the calendar.

    Args:
        resolution: The resolution, such as `hourly`.
    """

    def __init__(self, resolution: str) -> None:
        self._is_monthly = resolution == "monthly"
        self._period = period_of(resolution)
        self._tolerance = CLOCK_CHANGE if self._period % DAY == 0 else 0

    def gaps(
        self, windows: Sequence[tuple[Any, ...]], anchor: int, start: int, end: int, deadlines: Deadlines
    ) -> Iterator[Gap]:
        """Yield the gaps of a range between, before and after windows, with the windows that overlap its ends.

        Args:
            windows: The windows that are there and overlap the range, in their order; each begins with start and end.
            anchor: A time at which a window starts or ends, if no window is there.
            start: The start of the range, in nanoseconds since 1970 (UTC).
            end: The end of the range, not after *deadlines.now*.
            deadlines: What decides the states.
        """
        if windows:
            at = windows[0][0]
            count = -self._steps(at, start + self._tolerance)
            yield from self._split(self._shift(at, -count), at, count, deadlines)
        else:
            count = self._steps(anchor, start + self._tolerance)
            at = self._shift(anchor, count)
        for window in windows:
            first, last = window[0], window[1]
            if first > at:
                count = self._steps(at, first + self._tolerance)
                until = self._shift(at, count)
                is_whole = abs(first - until) <= self._tolerance
                yield from self._split(at, first if is_whole else until, count, deadlines)
            if last > at:
                at = last
        # A day that is going on is listed, but not one that a range overlaps only because a clock was changed.
        until = end if end >= deadlines.now else end - self._tolerance
        count = self._steps(at, until - 1) + 1
        yield from self._split(at, self._shift(at, count), count, deadlines)

    def windows(self, gap: Gap) -> Iterator[tuple[int, int]]:
        """Yield the start and the end of each window of a gap.

        Args:
            gap: The gap, of windows of this resolution.
        """
        starts = [_in_bounds(self._shift(gap.start, number)) for number in range(gap.windows)]
        yield from zip(starts, [*starts[1:], gap.end], strict=True)

    def _split(self, start: int, end: int, count: int, deadlines: Deadlines) -> Iterator[Gap]:
        """Yield *count* windows from *start* to *end* as a gap for each state, two for `missing` if it is split."""
        if count <= 0:
            return
        now, grace, known_since, first = deadlines
        due = min(max(self._steps(start, now - grace), 0), count)
        unknown = 0 if known_since is None else min(max(self._steps(start, known_since), 0), due)
        before = unknown if first is None else min(max(self._steps(start, first + self._tolerance), unknown), due)

        def border(number: int) -> int:
            time = end if number == count else self._shift(start, number)
            if first is not None and 0 < number == before and abs(first - time) <= self._tolerance:
                time = first
            return _in_bounds(time)

        borders = ((0, unknown, "unknown"), (unknown, before, "missing"), (before, due, "missing"))
        for low, high, state in (*borders, (due, count, "not due")):
            if low < high:
                due_at = _in_bounds(self._shift(start, low + 1) + grace)
                yield Gap(border(low), border(high), state, high - low, due_at)

    def _shift(self, time: int, count: int) -> int:
        """Return the time *count* periods later."""
        if not self._is_monthly:
            return time + count * self._period
        month = _nearest_month(time)
        return month_start(month + count) + time - month_start(month)

    def _steps(self, time: int, until: int) -> int:
        """Return how many whole periods there are from one time until another; less than 0 if that is earlier."""
        if not self._is_monthly:
            return (until - time) // self._period
        count = month_of(until) - _nearest_month(time) + 1
        while self._shift(time, count) > until:
            count -= 1
        return count


def _nearest_month(time: int) -> int:
    """Return the number of the month that begins next to a time at which a month of some zone begins."""
    return month_of(time + DAY)


def _in_bounds(time: int) -> int:
    """Return the time, or the first or the last one that can be written."""
    return min(max(time, MIN_NS), MAX_NS)
