"""`otel-kcevents runs`: list the runs of programs, and how they ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from time import time_ns
from typing import Any, TypeAlias

from otel_kcevents.cli.arguments import Commands, add_sources
from otel_kcevents.cli.output import print_lines, table, trace_link
from otel_kcevents.cli.sources import CommandError, one_source
from otel_kcevents.model.timestamps import SECOND, format_time, parse_time
from otel_kcevents.sdk.settings import trace_url
from otel_kcevents.store.source import Source

__all__ = ["add_runs", "show_runs"]

_Run: TypeAlias = Mapping[str, Any]
_HEADS = ("RUN", "STARTED", "DURATION", "NAME", "SERVICE", "PID", "EVENTS", "ERRORS", "OUTCOME", "DETAILS")
_MIN_ID = 8  # characters


def add_runs(commands: Commands) -> None:
    """Add the command `runs`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser(
        "runs",
        help="list what ran, newest first, and how it ended",
        description="List the programs that ran, newest first, and how they ended. A program's numbers of events and "
        "errors include those of the processes that it started. A duration after > ends with the last event, because "
        "the process was killed at an unknown time.",
    )
    parser.set_defaults(command=show_runs)
    all_help = "list also the processes that a program started, indented, such as its workers"
    parser.add_argument("--all", dest="show_all", action="store_true", help=all_help)
    traces_help = "show the trace of each run(): its URL if OTEL_PYTHON_KCEVENTS_TRACE_URL is set, else its id"
    parser.add_argument("--traces", action="store_true", help=traces_help)
    json_help = "print the runs as JSON, as GET /model/etl/runs does"
    parser.add_argument("--json", dest="as_json", action="store_true", help=json_help)
    add_sources(parser)


def show_runs(sources: Sequence[Source], show_all: bool, traces: bool, as_json: bool) -> None:
    """Print the runs, newest first.

    Args:
        sources: Where to read from.
        show_all: List also the runs that another one started, below it.
        traces: Show the trace of each run that has one.
        as_json: Print JSON instead of a table.

    Raises:
        CommandError: A source cannot be read, or has no runs; or `OTEL_PYTHON_KCEVENTS_TRACE_URL` is invalid.
    """
    source: Any = one_source(sources)
    try:
        template = (trace_url() or "{trace_id}") if traces else None
        if not hasattr(source, "runs"):
            source.counts()  # the source may also be unreadable
            raise CommandError(
                f"{source} is a log without runs; give a journal, or the URL of a program that writes one"
            )
        runs: list[_Run] = source.runs()
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    tree = list(_tree(runs))
    listed = [(depth, run) for depth, run in tree if show_all or not depth]
    if as_json:
        data = {"code": 200, "data": [run for _, run in listed]}
        print_lines(json.dumps(data, indent=2, ensure_ascii=False).split("\n"))
    elif listed:
        length, now, failed = _id_length(runs), time_ns(), _failed_below(tree)
        rows = [_HEADS, *(_row(run, depth, length, now, failed[run["id"]]) for depth, run in listed)]
        if template is not None:
            links = ["TRACE", *(trace_link(template, run["traceId"]) for _, run in listed)]
            rows = [(*row[:-1], link, row[-1]) for row, link in zip(rows, links, strict=True)]
        print_lines(table(rows, "<<><<>>><<<", [0] * len(rows[0])))
    else:
        print_lines(["no runs"])


def _tree(runs: Sequence[_Run]) -> Iterator[tuple[int, _Run]]:
    """Yield the runs with their depths: roots in the order given, each followed by those that it started."""
    known = {run["id"] for run in runs}
    children: dict[str | None, list[_Run]] = {}
    for run in runs:
        children.setdefault(run["parent"] if run["parent"] in known else None, []).append(run)
    waiting = [(0, run) for run in reversed(children.pop(None, []))]
    while waiting:
        depth, run = waiting.pop()
        yield depth, run
        waiting += [(depth + 1, child) for child in children.pop(run["id"], [])]  # the oldest, the last one, comes next


def _id_length(runs: Iterable[_Run]) -> int:
    """Return the number of characters, at least 8, that the ids of all runs differ in."""
    ids = sorted({run["id"] for run in runs})
    shared = 0
    for one, other in pairwise(ids):
        while one[: shared + 1] == other[: shared + 1]:
            shared += 1
    return max(_MIN_ID, shared + 1)


def _failed_below(tree: Iterable[tuple[int, _Run]]) -> Counter[str]:
    """Return how many of the runs below a root have failed, by the root's id."""
    failed = Counter[str]()
    root = ""
    for depth, run in tree:
        if not depth:
            root = run["id"]
        elif run["outcome"] == "failed":
            failed[root] += 1
    return failed


def _row(run: _Run, depth: int, id_length: int, now: int, failed: int) -> tuple[str, ...]:
    started = parse_time(run["started"])
    below = f"{failed} of its processes failed" if failed else ""
    return (
        run["id"][:id_length],
        format_time(started - started % SECOND),
        _duration(run, started, now),
        f"{'  ' * depth}{run['name']}",
        run["service"] or "-",
        str(run["pid"]),
        str(run["allEvents"]),
        str(run["allErrors"]),
        run["outcome"],
        run["detail"] or below,
    )


def _duration(run: _Run, started: int, now: int) -> str:
    if run["outcome"] == "running":
        return _length(now - started)
    if run["ended"] is not None:
        return _length(parse_time(run["ended"]) - started)
    return "-" if run["lastEvent"] is None else f">{_length(parse_time(run['lastEvent']) - started)}"


def _length(duration: int) -> str:
    """Return a duration in its two largest units: `0.4s`, `2m03s`, `3h12m`, `2d04h`."""
    tenths = max(0, duration) // (SECOND // 10)
    seconds = tenths // 10
    if seconds < 60:
        return f"{seconds}.{tenths % 10}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds // 60 % 60:02}m"
    return f"{seconds // 86_400}d{seconds // 3600 % 24:02}h"
