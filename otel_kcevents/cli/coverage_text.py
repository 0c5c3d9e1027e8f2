"""A coverage as lines for a terminal: a verdict on each etl, grids of the windows, a legend, and the problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from textwrap import wrap
from typing import NamedTuple, TypeAlias

from otel_kcevents.cli.output import plural, printable, short_window
from otel_kcevents.cli.terminal import Span, Terminal
from otel_kcevents.model.event import Failure
from otel_kcevents.model.timestamps import SECOND, format_time
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage import Coverage
from otel_kcevents.store.coverage_rows import CoverageRow, CoveredWindow
from otel_kcevents.store.grid import GLYPHS, Grid, grid_of
from otel_kcevents.store.verdict import DASH, verdicts

__all__ = ["coverage_lines"]

_Line: TypeAlias = "list[Span]"


_STYLES = {
    "ok": "36",
    "earlier failures": "36",
    "saved again": "1;33",
    "empty": "1;33",
    "failed": "1;31",
    "missing": "1;35",
    "before first": "2",
    "not due": "2",
    "unknown": "2",
}
_WIDTH = 80  # columns, unless standard output is a terminal
_MAX_PROBLEMS = 10  # of each state
_MAX_LENGTH = 160  # characters of a problem, unless standard output is a terminal
_PROBLEMS = ("failed", "missing", "saved again", "empty", "before first")


def coverage_lines(coverage: Coverage, terminal: Terminal) -> Iterator[_Line]:
    """Yield a coverage as styled lines.

    Args:
        coverage: The coverage.
        terminal: What the terminal can show.
    """
    if not coverage.rows and not coverage.without_window:
        yield [("no windows", "")]
        return
    is_snapshot = coverage.as_of is not None
    for verdict in verdicts(coverage.rows, coverage.without_window, coverage.now, is_snapshot=is_snapshot):
        text = str(verdict) if terminal.unicode else str(verdict).replace(DASH, "-")
        style = "" if verdict.state in ("ok", "before first") else _STYLES[verdict.state]
        lines = wrap(text, terminal.columns, subsequent_indent="  ") if terminal.columns else [text]
        yield [(verdict.etl, "1"), (lines[0][len(verdict.etl) :], style)]
        yield from ([(line, style)] for line in lines[1:])
    seen: set[str] = set()
    for (etl, resolution), rows in groupby(coverage.rows, lambda row: (row.etl, row.resolution)):
        grids = list(_grid_lines(f"{etl}, {resolution}", list(rows), coverage, terminal, seen))
        yield from ([], *grids) if grids else ()
    yield []
    yield from _legend(coverage, terminal, seen)
    yield from _problem_lines(coverage, terminal)


def _grid_lines(
    title: str, rows: list[CoverageRow], coverage: Coverage, terminal: Terminal, seen: set[str]
) -> Iterator[_Line]:
    """Yield the grids of the operations of an etl, side by side as far as the width allows.

    Args:
        title: The first line.
        rows: The rows, all of one resolution.
        coverage: The coverage that the rows are of.
        terminal: What the terminal can show.
        seen: The set to which the states of the cells are added.
    """
    grids = [(row.operation, grid_of(row, coverage.end - coverage.start)) for row in rows if row.windows or row.gaps]
    if not grids:
        return
    summary = grids[0][1].summary
    each = f"; each mark is the worst window of a {summary}" if summary else ""
    due = next((f", due {_length(row.grace)} after the end" for row in rows if row.is_regular), "")
    yield [(title, "1"), (f"{due}{each}", "")]
    margin = max(len(label) for _, grid in grids for label in grid.lines) + 2
    width = grids[0][1].width
    side_by_side = ((terminal.columns or _WIDTH) - margin + 2) // (width + 2) if grids[0][1].heads else 1
    for first in range(0, len(grids), max(1, side_by_side)):
        band = grids[first : first + max(1, side_by_side)]
        yield [(f"{'':{margin}}{'  '.join(f'{name:{width}}' for name, _ in band)}".rstrip(), "")]
        if band[0][1].heads:
            yield [(f"{'':{margin}}{'  '.join(f'{grid.head:{width}}' for _, grid in band)}".rstrip(), "2")]
        for label in sorted({label for _, grid in band for label in grid.lines}):
            line = [(f"{label:{margin}}", "")]
            for number, (_, grid) in enumerate(band):
                line += [("  ", "")] if number else []
                line += _cells(grid, label, terminal, seen)
            while not line[-1][0].strip():
                line.pop()
            yield line


def _cells(grid: Grid, label: str, terminal: Terminal, seen: set[str]) -> Iterator[Span]:
    """Yield the cells of a line, those of one style together."""
    cells = grid.lines.get(label, {})
    states = [cells[column].state if column in cells else "" for column in range(grid.width)]
    for state, alike in groupby(states):
        count = len(list(alike))
        if state:
            seen.add(state)
            glyph = GLYPHS[state]
            yield (glyph.unicode if terminal.unicode else glyph.ascii) * count, _STYLES[state]
        else:
            yield " " * count, ""


def _legend(coverage: Coverage, terminal: Terminal, seen: set[str]) -> Iterator[_Line]:
    """Yield the meanings of the glyphs that occur, in lines of the terminal's width, and the range."""
    line: _Line = []
    used = 0
    for state in (state for state in GLYPHS if state in seen):
        glyph = GLYPHS[state]
        shown = glyph.unicode if terminal.unicode else glyph.ascii
        length = len(shown) + 1 + len(glyph.meaning)
        if line and used + 2 + length > (terminal.columns or _WIDTH):
            yield line
            line, used = [], 0
        line += [("  ", "")] if line else []
        line += [(shown, _STYLES[state]), (f" {glyph.meaning}", "")]
        used += length + (2 if used else 0)
    if line:
        yield line
    second = format_time(coverage.end - coverage.end % SECOND)
    yield [(f"from {format_time(coverage.start)} to {second}", "2")]


class _Problem(NamedTuple):
    """Consecutive windows with the same problem."""

    state: str
    etl: str
    start: int
    end: int
    details: str


def _problem_lines(coverage: Coverage, terminal: Terminal) -> Iterator[_Line]:
    """Yield the problems by their state, the newest first, each in one line."""
    operations: dict[_Problem, list[str]] = {}
    for row in coverage.rows:
        for problem in _problems(row):
            operations.setdefault(problem, []).append(row.operation)
    found: dict[str, list[tuple[str, str]]] = {"failed": []}
    for result in sorted(coverage.without_window, key=lambda result: -result.time):
        failures = f"{plural(result.events, 'failure')}, last at {_second(result.time)}"
        named = " ".join(filter(None, (result.etl, result.operation)))
        found["failed"].append(("no window", f"{named}: {failures}: {_error(result.failure)}"))
    for problem in sorted(operations, key=lambda problem: (_PROBLEMS.index(problem.state), -problem.start)):
        window = short_window(Window.from_ns(problem.start, problem.end))
        text = f"{problem.etl} {', '.join(operations[problem])}: {problem.details}"
        found.setdefault(problem.state, []).append((window, text))
    for state, lines in found.items():
        if not lines:
            continue
        yield []
        yield [(GLYPHS[state].meaning, _STYLES[state])]
        width = max(len(window) for window, _ in lines[:_MAX_PROBLEMS])
        for window, text in lines[:_MAX_PROBLEMS]:
            safe = printable(f"  {window:{width}}  {text}", terminal.unicode)
            yield [(_shorten(safe, terminal.columns or _MAX_LENGTH), "")]
        if len(lines) > _MAX_PROBLEMS:
            yield [(f"  and {len(lines) - _MAX_PROBLEMS} more; --json lists all", "")]


def _problems(row: CoverageRow) -> Iterator[_Problem]:
    """Yield the problems of a row, with consecutive windows of the same one together."""
    for (state, details), windows in groupby(row.windows, _problem_of):
        if not state:
            continue
        for first, last, count in _runs(windows):
            counted = f"{plural(count, 'window')}: {details}" if count > 1 else details
            yield _Problem(state, row.etl, first.start, last.end, counted)
    for gap in row.gaps:
        if gap.state == "missing":
            state = "before first" if row.precedes_first(gap) else "missing"
            yield _Problem(state, row.etl, gap.start, gap.end, plural(gap.windows, "window"))


def _problem_of(window: CoveredWindow) -> tuple[str, str]:
    """Return the state that is a problem, or an empty string, and its details."""
    if window.state == "failed":
        return "failed", _error(window.failure)
    if window.saved_again and window.succeeded is not None:
        return "saved again", f"at {_second(window.succeeded)}, after it was reconciled"
    return ("empty", "size 0") if window.state == "empty" else ("", "")


def _runs(windows: Iterable[CoveredWindow]) -> Iterator[tuple[CoveredWindow, CoveredWindow, int]]:
    """Yield the first and the last of each series of windows without a gap, and their number."""
    series: list[CoveredWindow] = []
    for window in windows:
        if series and series[-1].end != window.start:
            yield series[0], series[-1], len(series)
            series = []
        series.append(window)
    yield series[0], series[-1], len(series)


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _error(failure: Failure | None) -> str:
    return "-" if failure is None else ": ".join(filter(None, failure[:2]))


def _second(time: int) -> str:
    return format_time(time - time % SECOND)


def _length(length: int) -> str:
    """Return a duration in its largest whole unit, such as `2h`."""
    for name, unit in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if length % (unit * SECOND) == 0 and length:
            return f"{length // (unit * SECOND)}{name}"
    return f"{length // SECOND}s"
