"""`otel-kcevents coverage`: show which windows are missing, failed, empty or not due yet."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby

from otel_kcevents.cli.arguments import Commands, Parser, add_sources
from otel_kcevents.cli.coverage_text import coverage_lines
from otel_kcevents.cli.output import print_error, print_lines
from otel_kcevents.cli.sources import FINDINGS, USAGE, CommandError, one_source
from otel_kcevents.cli.terminal import print_spans, terminal_of
from otel_kcevents.model.event import OPERATIONS
from otel_kcevents.model.intervals import Duration, parse_duration
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.resolution import parse_resolution
from otel_kcevents.model.timestamps import format_time
from otel_kcevents.model.window import set_window_of
from otel_kcevents.store.coverage import Coverage, CoverageQuery, coverage
from otel_kcevents.store.coverage_rows import CoverageRow
from otel_kcevents.store.gaps import Schedule
from otel_kcevents.store.source import Source, snapshot_time
from otel_kcevents.store.verdict import merge_intervals

__all__ = ["add_coverage", "show_coverage"]


def add_coverage(commands: Commands) -> None:
    """Add the command `coverage`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser(
        "coverage",
        help="show which windows are missing, failed, empty or not due yet",
        description="Show the state of each window of each etl and operation: a verdict, a grid, and the problems. "
        "All times are in UTC.",
    )
    parser.set_defaults(command=show_coverage)
    _add_selection(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="as_json", action="store_true", help="print the JSON of GET /model/etl/coverage")
    missing_help = (
        "print only the missing windows, for a rerun: a line START,END for each interval; exit with 3 if any. Windows "
        "before the first event are included; --window 2024-09-01/.. omits those before a time"
    )
    form.add_argument("--missing", action="store_true", help=missing_help)
    parser.add_argument(
        "--failed",
        action="store_true",
        help="the same for windows whose latest result is a failure; with --missing: both",
    )
    each_help = "with --missing or --failed: print each window, even if they adjoin"
    parser.add_argument("--each", action="store_true", help=each_help)
    exit_help = f"exit with {FINDINGS} if a window is failed, or missing since the first event of its operation"
    parser.add_argument("--exit-code", action="store_true", help=exit_help)
    add_sources(parser)


def _add_selection(parser: Parser) -> None:
    parser.add_argument(
        "--window",
        dest="window_text",
        type=_window,
        metavar="WINDOW",
        help="the range of the windows, such as 24h, 30d, 2024-09 or 2024-09-01/2024-09-08 (default: 7d); of a "
        "document or report, up to when it was saved",
    )
    resolution_help = "only windows of this length: hourly, daily, monthly, or a length such as 15m (default: all)"
    parser.add_argument("--resolution", type=_resolution, metavar="RESOLUTION", help=resolution_help)
    parser.add_argument(
        "--etl",
        dest="etls",
        action="append",
        default=[],
        metavar="ETL",
        help="only this etl, such as asset; repeatable",
    )
    parser.add_argument(
        "--operation",
        dest="operations",
        action="append",
        default=[],
        choices=tuple(OPERATIONS),
        metavar="OPERATION",
        help=f"only this operation ({', '.join(OPERATIONS)}); repeatable",
    )
    grace_help = "how long after its end a window is due, such as 2h (default: two periods: 2h for hourly windows)"
    parser.add_argument("--grace", type=_grace, metavar="DURATION", help=grace_help)


def _window(text: str) -> str:
    """Return the window as it was given: what it is relative to is not known before the source is read."""
    try:
        set_window_of(text)
        return text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _resolution(text: str) -> str:
    try:
        return parse_resolution(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _grace(text: str) -> int:
    duration = Duration(0, 0) if text == "0" else parse_duration(text)
    if duration is None or duration.months:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90m, 2h or 1d, or 0, got {short_repr(text)}")
    return duration.ns


def show_coverage(
    sources: Sequence[Source],
    window_text: str | None = None,
    resolution: str | None = None,
    etls: Sequence[str] = (),
    operations: Sequence[str] = (),
    grace: int | None = None,
    as_json: bool = False,
    missing: bool = False,
    failed: bool = False,
    each: bool = False,
    exit_code: bool = False,
) -> int:
    """Print the state of the windows.

    Args:
        sources: Where to read from.
        window_text: The range, such as `24h` or `2024-09`; None for 7 days.
        resolution: The resolution of the windows; None for all.
        etls: The etls; all if empty.
        operations: The operations; all if empty.
        grace: How long after its end a window is due, in nanoseconds; None for two periods.
        as_json: Print JSON instead of a grid.
        missing: Print only the intervals of missing windows.
        failed: Print only the intervals of failed windows.
        each: Print each of these windows, not intervals of adjoining ones.
        exit_code: Return `FINDINGS` if a window is failed, or missing since the first event of its operation.

    Returns:
        The exit code.

    Raises:
        CommandError: A source cannot be read, the range is open or in the future, or no window matches the selection.
    """
    if as_json and failed:
        raise CommandError("--json prints all states; use it without --failed", USAGE)
    if each and not (missing or failed):
        raise CommandError("--each lists missing or failed windows; use it with --missing or --failed", USAGE)
    source = one_source(sources)
    try:
        window = None if window_text is None else set_window_of(window_text, snapshot_time(source))
        found = coverage(source, CoverageQuery(window, resolution, grace))
    except OSError as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    shown = _select(found, str(source), etls, operations)
    if missing or failed:
        states = [state for state, given in (("missing", missing), ("failed", failed)) if given]
        if found.as_of is not None:
            print_error(f"{source} was saved at {format_time(found.as_of)}; later windows are not known and not listed")
        if missing:
            _print_notes(shown, str(source), is_default_range=window is None)
        return _print_intervals(shown, states, each)
    if as_json:
        print_lines(json.dumps({"code": 200, "data": shown.to_dict()}, indent=2, ensure_ascii=False).split("\n"))
    else:
        terminal = terminal_of(sys.stdout)
        print_spans(sys.stdout, coverage_lines(shown, terminal), terminal)
    return FINDINGS if exit_code and any(map(_has_problem, shown.rows)) else 0


def _has_problem(row: CoverageRow) -> bool:
    """Return whether a window of a row is failed, or missing since its first event, as the verdict counts them."""
    is_missing = any(gap.state == "missing" and not row.precedes_first(gap) for gap in row.gaps)
    return is_missing or any(window.state == "failed" for window in row.windows)


def _print_intervals(shown: Coverage, states: Sequence[str], each: bool) -> int:
    """Print the windows in some states for a rerun, and return the exit code."""
    found = (interval for state in states for interval in _intervals(shown, state, each))
    intervals = sorted(set(found)) if each else merge_intervals(found)
    print_lines(f"{format_time(start)},{format_time(end)}" for start, end in intervals)
    return FINDINGS if intervals else 0


def _print_notes(shown: Coverage, source: str, is_default_range: bool) -> None:
    """Print which windows may not have to run again, or cannot be listed."""
    unknown = list(_intervals(shown, "unknown"))
    if unknown:
        print_error(
            f"some windows before {format_time(max(end for _, end in unknown))} are unknown: {source} "
            "no longer has the events of that time"
        )
    if not is_default_range:
        return
    for (etl, resolution), group in groupby(shown.rows, lambda row: (row.etl, row.resolution)):
        rows = list(group)
        later = [row for row in rows if any(map(row.precedes_first, row.gaps))]
        firsts = [row.first.start for row in later if row.first]
        if firsts:
            options = "".join(f" --operation {row.operation}" for row in later if len(later) < len(rows))
            print_error(
                f"{resolution} windows before the first event of {etl} {', '.join(row.operation for row in later)} are "
                f"included, for a backfill; to omit them, select --etl {etl} --resolution {resolution}{options} "
                f"--window {format_time(min(firsts))}/.."
            )


def _select(coverage: Coverage, source: str, etls: Sequence[str], operations: Sequence[str]) -> Coverage:
    """Return the selected rows of a coverage.

    Raises:
        CommandError: There are windows, but none matches the selection: a typo must not look like success.
    """
    rows = tuple(
        row
        for row in coverage.rows
        if (not etls or row.etl in etls) and (not operations or row.operation in operations)
    )
    is_etl_missing = any(all(row.etl != etl for row in coverage.rows) for etl in etls)
    if coverage.resolutions and (not rows or is_etl_missing):
        names = [f"{row.etl} {row.operation} {row.resolution}" for row in coverage.rows] or coverage.resolutions
        raise CommandError(f"no window in {source} matches the selection; it has {', '.join(names)}")
    without = tuple(
        result
        for result in coverage.without_window
        if (not etls or result.etl in etls) and (not operations or result.operation in (None, *operations))
    )
    return coverage._replace(rows=rows, without_window=without)


def _intervals(coverage: Coverage, state: str, each: bool = False) -> Iterable[tuple[int, int]]:
    """Yield the start and the end of each window and each gap in a state, or of *each* window of the gaps."""
    for row in coverage.rows:
        yield from ((window.start, window.end) for window in row.windows if window.state == state)
        schedule = Schedule(row.resolution)
        for gap in row.gaps:
            if gap.state == state:
                yield from schedule.windows(gap) if each else [(gap.start, gap.end)]
