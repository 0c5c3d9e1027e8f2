"""`otel-kcevents runs`: list the runs of programs, and how they ended."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from time import time_ns
from typing import Any, TypeAlias

from otel_kcevents.cli.arguments import Commands, add_sources, number_type
from otel_kcevents.cli.output import print_lines, printable, table, trace_link
from otel_kcevents.cli.sources import FINDINGS, CommandError, method_of, one_source
from otel_kcevents.model.timestamps import SECOND, format_time, parse_time
from otel_kcevents.sdk.settings import trace_url
from otel_kcevents.store.source import Source

__all__ = ["add_runs", "ending_text", "show_runs"]

_Run: TypeAlias = Mapping[str, Any]
_HEADS = ("RUN", "STARTED", "DURATION", "NAME", "SERVICE", "PID", "EVENTS", "ERRORS", "OUTCOME", "DETAILS")
_MIN_ID = 8  # characters
_MAX_DETAIL = 100  # characters; the message of an exception may have thousands


def add_runs(commands: Commands) -> None:
    """Add the command `runs`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser(
        "runs",
        help="list what ran, newest first, and how it ended",
        description="List the programs that ran, newest first, and how they ended. A program's numbers of events and "
        "errors include those of the processes that it started. If a process was killed at an unknown time, the "
        "duration up to its last event is shown after >. Details are truncated to 100 characters, except with --json.",
    )
    parser.set_defaults(command=show_runs)
    count_help = "list only the newest N programs (default: all)"
    parser.add_argument("-n", dest="count", type=number_type(1, 10**9, int), metavar="N", help=count_help)
    all_help = "also list the processes that a program started, such as its workers, indented"
    parser.add_argument("--all", dest="show_all", action="store_true", help=all_help)
    traces_help = "show the trace of each run(): its URL if OTEL_PYTHON_KCEVENTS_TRACE_URL is set, else its id"
    parser.add_argument("--traces", action="store_true", help=traces_help)
    json_help = "print the runs as JSON, in the form of GET /model/etl/runs"
    parser.add_argument("--json", dest="as_json", action="store_true", help=json_help)
    exit_help = "exit with 3 if a listed program or one of its processes failed, was killed, or recorded an error"
    parser.add_argument("--exit-code", action="store_true", help=exit_help)
    add_sources(parser, listed=False)


def show_runs(
    sources: Sequence[Source], count: int | None, show_all: bool, traces: bool, as_json: bool, exit_code: bool
) -> int:
    """Print the runs, newest first.

    Args:
        sources: Where to read from.
        count: How many root runs to list, the newest; None for all.
        show_all: Also list the runs that other runs started, below them.
        traces: Show the trace of each run.
        as_json: Print JSON instead of a table.
        exit_code: Return `FINDINGS` if a listed run, or one that it started, failed, was killed or recorded an error.

    Returns:
        The exit code.

    Raises:
        CommandError: A source cannot be read, or has no runs; or `OTEL_PYTHON_KCEVENTS_TRACE_URL` is invalid.
    """
    try:
        template = (trace_url() or "{trace_id}") if traces else None
        runs: list[_Run] = method_of(one_source(sources), "runs", "runs")()
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    trees = list(_trees(runs))[:count]
    listed = [(depth, run) for tree in trees for depth, run in tree if show_all or not depth]
    below = {tree[0][1]["id"]: _endings(run for _, run in tree[1:]) for tree in trees}
    if as_json:
        data = {"code": 200, "data": [run for _, run in listed]}
        print_lines(json.dumps(data, indent=2, ensure_ascii=False).split("\n"))
    elif listed:
        length, now = _id_length(runs), time_ns()
        rows = [_HEADS, *(_row(run, depth, length, now, below.get(run["id"], "")) for depth, run in listed)]
        sides = "<<><<>>><<"
        if template is not None:
            links = ["TRACE", *(trace_link(template, run["traceId"]) for _, run in listed)]
            rows, sides = [(*row[:-1], link, row[-1]) for row, link in zip(rows, links, strict=True)], f"{sides}<"
        hosts = ["HOST", *(run["host"] for _, run in listed)]
        if len(set(hosts)) > 2:  # the heading and several machines or containers
            rows, sides = (
                [(*row[:5], host, *row[5:]) for row, host in zip(rows, hosts, strict=True)],
                f"{sides[:5]}<{sides[5:]}",
            )
        print_lines(table(rows, sides, [0] * len(rows[0])))
    else:
        print_lines(["no runs"])
    roots = [tree[0][1] for tree in trees]
    is_bad = any(root["outcome"] in ("failed", "killed") or root["allErrors"] or below[root["id"]] for root in roots)
    return FINDINGS if exit_code and is_bad else 0


def ending_text(runs: Sequence[_Run], ids: Sequence[str]) -> str:
    """Return how a run ended, such as `run nightly 5b2f2ca3: failed: KeyError: 'x'`.

    Args:
        runs: All runs, in the form of `GET /model/etl/runs`.
        ids: The id of the run, then those of its descendants.
    """
    by_id = {run["id"]: run for run in runs}
    run, *below = (by_id[id_] for id_ in ids)
    ending = ": ".join(filter(None, (run["outcome"], _detail(run, _endings(below)))))
    return printable(f"run {run['name']} {run['id'][: _id_length(runs)]}: {ending}")


def _trees(runs: Sequence[_Run]) -> Iterator[list[tuple[int, _Run]]]:
    """Yield a list for each root run, in the order given: it and its descendants, with their depths."""
    known = {run["id"] for run in runs}
    children = defaultdict[str | None, list[_Run]](list)
    for run in runs:
        children[run["parent"] if run["parent"] in known else None].append(run)
    for root in children[None]:
        tree = []
        waiting = [(0, root)]
        while waiting:
            depth, run = waiting.pop()
            tree.append((depth, run))
            waiting += [(depth + 1, child) for child in children[run["id"]]]  # the oldest, the last one, comes next
        yield tree


def _endings(runs: Iterable[_Run]) -> str:
    """Return how many processes failed or were killed without notice, or an empty string if all ended well.

    Those that SIGTERM ended do not count, because pools end their workers like this.
    """
    outcomes = Counter(run["outcome"] for run in runs if run["detail"] != "SIGTERM")
    failed, killed = outcomes["failed"], outcomes["killed"]
    counted = f"{failed} of its processes failed" if failed else ""
    if killed:
        whose = f"{counted}, {killed}" if failed else f"{killed} of its processes"
        return f"{whose} {'was' if killed == 1 else 'were'} killed"
    return counted


def _id_length(runs: Iterable[_Run]) -> int:
    """Return how many characters of the ids, at least 8, are needed to tell all runs apart."""
    ids = sorted({run["id"] for run in runs})
    shared = 0
    for one, other in pairwise(ids):
        while one[: shared + 1] == other[: shared + 1]:
            shared += 1
    return max(_MIN_ID, shared + 1)


def _row(run: _Run, depth: int, id_length: int, now: int, below: str) -> tuple[str, ...]:
    started = parse_time(run["started"])
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
        _detail(run, below),
    )


def _detail(run: _Run, below: str) -> str:
    detail: str = run["detail"] or below
    return detail if len(detail) <= _MAX_DETAIL else f"{detail[: _MAX_DETAIL - 3]}..."


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
