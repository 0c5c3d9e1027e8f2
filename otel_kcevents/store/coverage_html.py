"""What a notebook shows of a coverage: a verdict on each etl, grids of the windows, and a legend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from otel_kcevents.store.coverage_rows import CoverageRow
from otel_kcevents.store.grid import GLYPHS, Cell, Grid, grid_of
from otel_kcevents.store.verdict import verdicts
from otel_kcevents.store.window_results import WindowResult

__all__ = ["coverage_html"]

# Legible on white and on black.
_COLOURS = {
    "ok": "#3f7cb3",
    "earlier failures": "#3f7cb3",
    "saved again": "#c77700",
    "empty": "#c77700",
    "failed": "#d7304f",
    "missing": "#b04fc4",
    "before first": "#808890",
    "not due": "#808890",
    "unknown": "#808890",
}
_MONO = "text-align:left;padding:0 1em 0 0;white-space:pre;font:normal 14px/1.3 monospace"


def coverage_html(
    rows: Iterable[CoverageRow],
    without_window: Iterable[WindowResult],
    length: int,
    now: int,
    *,
    is_snapshot: bool = False,
) -> str:
    """Return a coverage as HTML.

    Args:
        rows: The rows.
        without_window: The failures without a window.
        length: The length of the range, in nanoseconds.
        now: The time at which the windows have these states, in nanoseconds since 1970.
        is_snapshot: Whether this is when the source was saved.
    """
    rows = tuple(rows)
    found = verdicts(rows, without_window, now, is_snapshot=is_snapshot)
    if not found:
        return "<p>no windows</p>"
    seen: set[str] = set()
    parts = [f"<p>{'<br>'.join(escape(str(verdict)) for verdict in found)}</p>"]
    for (etl, resolution), alike in groupby(rows, lambda row: (row.etl, row.resolution)):
        parts.append(f"<p>{escape(f'{etl}, {resolution}')}</p>")
        parts.append(_table([(row.operation, grid_of(row, length)) for row in alike], seen))
    legend = [f"{_span(state, GLYPHS[state].unicode)} {GLYPHS[state].meaning}" for state in GLYPHS if state in seen]
    return "".join([*parts, f"<p>{', '.join(legend)}</p>"])


def _table(grids: list[tuple[str, Grid]], seen: set[str]) -> str:
    """Return a table with a column for each operation and a row for each line; the states are added to *seen*."""
    names = "".join(f'<th scope="col" style="{_MONO}">{escape(name)}<br>{grid.head}</th>' for name, grid in grids)
    lines = []
    for label in sorted({label for _, grid in grids for label in grid.lines}):
        cells = "".join(f'<td style="{_MONO}">{"".join(_cells(grid, label, seen))}</td>' for _, grid in grids)
        lines.append(f'<tr><th scope="row" style="{_MONO}">{escape(label)}</th>{cells}</tr>')
    return f"<table><thead><tr><td></td>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cells(grid: Grid, label: str, seen: set[str]) -> Iterator[str]:
    """Yield the cells of a line, those of one state as one element with a label for screen readers."""
    cells = grid.lines.get(label, {})
    for state, alike in groupby(
        (cells.get(column, Cell("", "")) for column in range(grid.width)), lambda cell: cell.state
    ):
        names = [cell.name for cell in alike]
        if not state:
            yield " " * len(names)
            continue
        seen.add(state)
        period = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        yield _span(state, GLYPHS[state].unicode * len(names), f"{period}: {GLYPHS[state].meaning}")


def _span(state: str, glyphs: str, text: str = "") -> str:
    named = f' role="img" aria-label="{escape(text)}" title="{escape(text)}"' if text else ""
    return f'<span style="color:{_COLOURS[state]}"{named}>{glyphs}</span>'
