"""The verdict on an etl in words: how many windows are failed or missing, and how old the newest one is."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from otel_kcevents.model.timestamps import DAY, MIN_NS, SECOND, to_datetime
from otel_kcevents.store.coverage_rows import CoverageRow
from otel_kcevents.store.window_results import WindowResult

__all__ = ["DASH", "Verdict", "merge_intervals", "verdicts"]

_Part: TypeAlias = "tuple[int, int, int]"
"""A start, an end, and how many windows are between them."""

DASH = "\u2013"
"""Between the start and the end of a window in words."""

_COUNTED = ("failed", "missing", "empty", "unknown")
_BEFORE = "before first"
_SAVED_AGAIN = "saved again after reconciling"
_DONE = {"save": "saved", "load": "loaded", "aggregate": "aggregated", "total": "totaled", "reconcile": "reconciled"}
_MINUTE, _HOUR = 60 * SECOND, 3_600 * SECOND


class Verdict(NamedTuple):
    """What a person needs to know first about an etl.

    Attributes:
        etl: The name of the list, such as `allocation`.
        state: The worst state: `failed`, `missing`, `empty`, `unknown`, `before first` (windows are missing, but all of
            them are older than the first event) or `ok`.
        text: The verdict, such as `2 windows failed, 1 missing; newest saved 14:00-15:00, 12 min ago`.
    """

    etl: str
    state: str
    text: str

    def __str__(self) -> str:
        return f"{self.etl}: {self.text}"


def verdicts(
    rows: Iterable[CoverageRow], without_window: Iterable[WindowResult], now: int, *, is_snapshot: bool = False
) -> list[Verdict]:
    """Return the verdict on each etl of a coverage, in the words that `docs/coverage.md` defines.

    Args:
        rows: The rows of the coverage.
        without_window: Its failures without a window.
        now: The time at which the windows have these states, in nanoseconds since 1970.
        is_snapshot: Whether this is when the source was saved, which the verdicts then say.
    """
    rows, failures = tuple(rows), Counter[str]()
    for result in without_window:
        failures[result.etl] += result.events
    etls = sorted({row.etl for row in rows} | set(failures))
    found = [_verdict(etl, [row for row in rows if row.etl == etl], failures[etl], now) for etl in etls]
    if is_snapshot:
        as_of = f" (as of {to_datetime(now):%Y-%m-%d %H:%M})"
        found = [verdict._replace(text=f"{verdict.text}{as_of}") for verdict in found]
    return found


def _verdict(etl: str, rows: Sequence[CoverageRow], failures: int, now: int) -> Verdict:
    counts = dict.fromkeys((*_COUNTED, _BEFORE), 0)
    saved_again = 0
    for resolution in {row.resolution for row in rows}:
        parts = _parts([row for row in rows if row.resolution == resolution])
        taken: list[tuple[int, int]] = []
        for state in counts:
            counts[state] += _distinct(parts[state], taken)
            taken = merge_intervals([*taken, *(part[:2] for part in parts[state])])
            if state == "missing":  # a window that has to run again is not final anyway
                saved_again += _distinct(parts[_SAVED_AGAIN], taken)
    words: list[str] = []
    for count, name in (*((counts[state], state) for state in _COUNTED), (saved_again, _SAVED_AGAIN)):
        if count:
            words.append(f"{count:,} {name}" if words else f"{count:,} {_plural(count, 'window')} {name}")
    if failures:
        words.append(f"{failures:,} {_plural(failures, 'failure')} without a window")
    before = counts[_BEFORE]
    if not words:
        words += _ok_words(len({window[:2] for row in rows for window in row.windows}), before)
    if before:
        noun = "more" if counts["missing"] else "" if words else _plural(before, "window")
        words.append(" ".join(filter(None, (f"{before:,}", noun, "missing before", _first_event(rows)))))
    state = next((state for state, count in counts.items() if count), "ok")
    return Verdict(etl, "failed" if failures else state, f"{', '.join(words)}; {_newest(rows, now)}")


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _ok_words(count: int, before: int) -> list[str]:
    if count > 1:
        return [f"{count:,} windows ok" if before else f"all {count:,} windows ok"]
    return ["1 window ok"] if count else [] if before else ["no window due yet"]


def _first_event(rows: Sequence[CoverageRow]) -> str:
    """Return which first event the missing windows precede: that of the etl, or of the operations that began later."""
    later = []
    for row in rows:
        firsts = [each.first.start if each.first else MIN_NS for each in rows if each.resolution == row.resolution]
        if any(row.precedes_first(gap) and gap.end > min(firsts) for gap in row.gaps) and row.operation not in later:
            later.append(row.operation)
    return f"the first {' or '.join(later)}" if later else "its first event"


def _parts(rows: Iterable[CoverageRow]) -> Mapping[str, list[_Part]]:
    """Return the windows and the gaps of rows by their state; those that were saved again also as such."""
    parts = defaultdict[str, list[_Part]](list)
    for row in rows:
        for window in row.windows:
            if window.state != "ok":
                parts[window.state].append((window.start, window.end, 1))
            if window.saved_again:
                parts[_SAVED_AGAIN].append((window.start, window.end, 1))
        for gap in row.gaps:
            state = _BEFORE if row.precedes_first(gap) else gap.state
            parts[state].append((gap.start, gap.end, gap.windows))
    return parts


def _distinct(parts: Iterable[_Part], taken: Sequence[tuple[int, int]]) -> int:
    """Return how many windows several operations have together, without those of intervals that are counted already.

    Args:
        parts: The windows of each operation, all of one length.
        taken: The intervals, in their order and apart from each other.
    """
    ends = [end for _, end in taken]
    count, done = 0, 0
    for start, end, windows in sorted(parts):
        low = max(start, done)
        if low >= end:
            continue
        free = end - low
        for index in range(bisect_right(ends, low), len(taken)):
            if taken[index][0] >= end:
                break
            free -= min(end, ends[index]) - max(low, taken[index][0])
        count += round(windows * free / (end - start))
        done = end
    return count


def merge_intervals(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return intervals in their order, with those that overlap or adjoin as one.

    Args:
        intervals: Pairs of a start and an end.
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _newest(rows: Iterable[CoverageRow], now: int) -> str:
    """Return which window succeeded last, and when: `newest saved 14:00-15:00, 12 min ago`."""
    found = [(row.operation, row.newest) for row in rows if row.newest]
    for operation, done in _DONE.items():
        newest = max(
            (result for name, result in found if name == operation),
            key=lambda result: (result.end, result.start),
            default=None,
        )
        if newest:
            return f"newest {done} {_window_text(newest, now)}, {_age(now - newest.time)} ago"
    return "no window succeeded yet"


def _window_text(window: WindowResult, now: int) -> str:
    """Return a window in words, in UTC: `14:00-15:00` if it is of today."""
    start, end = to_datetime(window.start), to_datetime(window.end)
    if window.start % DAY == 0 == window.end % DAY:
        if window.end - window.start == DAY:
            return f"{start:%Y-%m-%d}"
        if start.day == end.day == 1 and (end.month - start.month) % 12 == 1 and window.end - window.start < 32 * DAY:
            return f"{start:%Y-%m}"
    if window.start // DAY != (window.end - 1) // DAY:
        return f"{start:%Y-%m-%d %H:%M}{DASH}{end:%Y-%m-%d %H:%M}"
    day = "" if window.start // DAY == now // DAY else f"{start:%Y-%m-%d} "
    return f"{day}{start:%H:%M}{DASH}{end:%H:%M}"


def _age(age: int) -> str:
    if age < _MINUTE:
        return f"{max(0, age) // SECOND} s"
    if age < _HOUR:
        return f"{age // _MINUTE} min"
    if age < 2 * DAY:
        return f"{age // _HOUR} h"
    return f"{age // DAY} days"
