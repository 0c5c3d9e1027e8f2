"""`Grid`: the windows of an operation as lines of cells, such as a line for each day and a cell for each hour."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from otel_kcevents.model.timestamps import DAY, SECOND, to_datetime
from otel_kcevents.store.coverage_rows import CoverageRow

__all__ = ["GLYPHS", "Cell", "Glyph", "Grid", "grid_of"]

_RANKS = ("failed", "missing", "empty", "unknown", "saved again", "earlier failures", "ok", "before first", "not due")
_RANK = {state: rank for rank, state in enumerate(_RANKS)}
_HOUR = 3_600 * SECOND
_MAX_HOURLY = 31 * DAY  # beyond, a cell is a day
_MAX_DAILY = 750 * DAY  # beyond, a cell is a month
_SEQUENCE = 48  # cells
_MAX_LINES = 31  # of a sequence


class Glyph(NamedTuple):
    """How a state is shown.

    Attributes:
        unicode: A character that differs from those of other states without colours.
        ascii: The same for a terminal that can only show ASCII.
        meaning: The words of a legend.
    """

    unicode: str
    ascii: str
    meaning: str


GLYPHS = {
    "ok": Glyph("\u25a0", "#", "ok"),
    "earlier failures": Glyph("\u25b2", "^", "ok after failures"),
    "saved again": Glyph("\u21bb", "*", "saved again after reconciling"),
    "empty": Glyph("0", "0", "empty"),
    "failed": Glyph("\u2717", "X", "failed"),
    "missing": Glyph("!", "!", "missing"),
    "before first": Glyph("\u2013", "-", "missing, before the first event"),
    "not due": Glyph("\u00b7", ".", "not due yet"),
    "unknown": Glyph("?", "?", "unknown: the source keeps no events of that time"),
}
"""The states of a cell, in the order of a legend."""


class Cell(NamedTuple):
    """One or more windows of a grid.

    Attributes:
        name: The start of the hour, the day or the month, in UTC, such as `2026-11-24 09:00`.
        state: One of the keys of `GLYPHS`; of several windows, the one that matters most.
    """

    name: str
    state: str


class Grid(NamedTuple):
    """The windows of an operation as lines of cells.

    Attributes:
        heads: The column and the words of each heading.
        width: How many columns there are.
        lines: For each label, such as `2026-11-24`, the cells by column; a column without a window has none.
        summary: What a cell with several windows stands for: `day` or `month`; None if each cell is one window.
    """

    heads: tuple[tuple[int, str], ...]
    width: int
    lines: dict[str, dict[int, Cell]]
    summary: str | None

    @property
    def head(self) -> str:
        """The line of headings; empty if there are none."""
        line = [" "] * self.width
        for column, text in self.heads:
            line[column : column + len(text)] = text
        return "".join(line).rstrip()


class _Layout(NamedTuple):
    heads: tuple[tuple[int, str], ...]
    width: int
    slot: int  # the shortest period of a cell
    unit: int  # of the numbers that `_place` takes


_HOURS = _Layout(tuple((hour, f"{hour:02}") for hour in (0, 6, 12, 18)), 24, _HOUR, _HOUR)
_DAYS = _Layout(tuple((day - 1, f"{day:02}") for day in (1, 6, 11, 16, 21, 26)), 31, DAY, DAY)
_MONTHS = _Layout(tuple((month - 1, f"{month:02}") for month in (1, 4, 7, 10)), 12, 28 * DAY, DAY)


def grid_of(row: CoverageRow, length: int) -> Grid:
    """Return the grid of a row.

    A line is a day of 24 hours, a month of days, or a year of months: for hourly windows a day, but for more than 31
    days a month; for daily ones a month, but for more than 750 days a year. A day or a month is in the cell of its
    middle, so that a local day is in the cell of its own date. Windows of other lengths follow each other in lines of
    48, if they need at most 31 lines.

    Args:
        row: The row.
        length: The length of the range, in nanoseconds.
    """
    is_regular = row.resolution in ("hourly", "daily", "monthly")
    if not is_regular and sum(row.counts.values()) <= _SEQUENCE * _MAX_LINES:
        return _sequence(row)
    layout = _MONTHS
    if row.resolution == "hourly" and length <= _MAX_HOURLY:
        layout = _HOURS
    elif row.period < 28 * DAY and length <= _MAX_DAILY:
        layout = _DAYS
    step, into = max(layout.slot, min(row.period, DAY)), 0 if layout is _HOURS else row.period // 2
    ranks: dict[int, int] = {}
    for state, start, end, windows in _parts(row):
        rank, first = _RANK[state], start + into
        times = (first,) if windows == 1 else (*range(first, end, step), end - row.period + into)
        for number in (time // layout.unit for time in times):
            if ranks.get(number, len(_RANKS)) > rank:
                ranks[number] = rank
    lines: dict[str, dict[int, Cell]] = {}
    for number, rank in ranks.items():
        label, column, name = _place(layout, number)
        cells = lines.setdefault(label, {})
        if column not in cells or rank < _RANK[cells[column].state]:
            cells[column] = Cell(name, _RANKS[rank])
    summary = None if row.period >= layout.slot - _HOUR else "day" if layout is _DAYS else "month"
    return Grid(layout.heads, layout.width, dict(sorted(lines.items())), summary)


@lru_cache(maxsize=8192)
def _place(layout: _Layout, number: int) -> tuple[str, int, str]:
    """Return the label of the line, the column and the name of a cell.

    Args:
        layout: The layout.
        number: The number of units of the layout since 1970.
    """
    time = to_datetime(number * layout.unit)
    if layout is _HOURS:
        return f"{time:%Y-%m-%d}", time.hour, f"{time:%Y-%m-%d %H:%M}"
    if layout is _DAYS:
        return f"{time:%Y-%m}", time.day - 1, f"{time:%Y-%m-%d}"
    return f"{time:%Y}", time.month - 1, f"{time:%Y-%m}"


def _sequence(row: CoverageRow) -> Grid:
    lines: dict[str, dict[int, Cell]] = {}
    label, column = "", _SEQUENCE
    for state, start, end, windows in sorted(_parts(row), key=itemgetter(1)):
        for number in range(windows):
            name = f"{to_datetime(start + (end - start) * number // windows):%Y-%m-%d %H:%M}"
            if column == _SEQUENCE:
                label, column = name, 0
            lines.setdefault(label, {})[column] = Cell(name, state)
            column += 1
    return Grid((), _SEQUENCE, lines, None)


def _parts(row: CoverageRow) -> Iterable[tuple[str, int, int, int]]:
    """Yield the state of a cell for each window and gap, with its start, its end and the number of windows."""
    for window in row.windows:
        state = window.state
        if state == "ok" and window.saved_again:
            state = "saved again"
        elif state == "ok" and window.failures:
            state = "earlier failures"
        yield state, window.start, window.end, 1
    for gap in row.gaps:
        state = "before first" if row.precedes_first(gap) else gap.state
        yield state, gap.start, gap.end, gap.windows
