"""An ETL for the tests: runs of ten operations each, some failing, instrumented with the package.

Each kind comes once a run at the most, so that up to 256 runs are in the log whole.
Prints a line at each quarter of the work; writes its log documents and how long the work took into a folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags

from otel_kcevents import allocation, asset, configure, default_log

Window = tuple[datetime, datetime]
Rows = list[float]


class SourceGone(Exception):
    """What the failing operations fail with."""


@allocation.load
def load_allocations(window: Window, rows: int) -> Rows:
    """Size: of the result."""
    return [row * 0.25 for row in range(rows)]


@allocation.aggregate
def aggregate_allocations(rows: Rows, window: Window) -> dict[int, float]:
    """Size: of the result."""
    groups: dict[int, float] = {}
    for index, cost in enumerate(rows):
        groups[index % 7] = groups.get(index % 7, 0.0) + cost
    return groups


@allocation.save
def save_allocations(rows: Rows, window: Window) -> None:
    """Size: of the argument."""


@allocation.total
def total_allocations(rows: Rows, window: Window) -> float:
    """No size."""
    return sum(rows)


@allocation.reconcile
def reconcile_allocations(rows: Rows, window: Window, failing: bool) -> None:
    """Fails where told."""
    if failing:
        raise SourceGone(f"the bill has no rows from {window[0]:%Y-%m-%d %H:%M}")


@asset.load
def load_assets(window: Window, rows: int) -> Iterator[float]:
    """Size: the rows given."""
    yield from (row * 0.5 for row in range(rows))


@asset.aggregate
def aggregate_assets(rows: Rows, window: Window) -> dict[int, float]:
    """Size: of the result."""
    return dict(enumerate(rows[:5]))


@asset.save
def save_assets(rows: Rows, window: Window) -> None:
    """Size: of the argument."""


@asset.compute
def compute_assets(window: Window) -> None:
    """Fails where told: a successful compute is no event."""
    raise SourceGone("the inventory does not answer")


@asset.reconcile
def reconcile_assets(rows: Rows, window: Window) -> None:
    """Always well."""


def shared_trace(seed: int, number: int) -> Context | None:
    """The trace that a run shares with the run of the same number in another process; none for seed 0."""
    if not seed:
        return None
    ids = random.Random(seed * 1_000_003 + number)
    caller = SpanContext(ids.getrandbits(128), ids.getrandbits(64), is_remote=True, trace_flags=TraceFlags(1))
    return trace.set_span_in_context(trace.NonRecordingSpan(caller))


def run_of_ten(number: int, failing: bool, seed: int) -> None:
    """Ten operations under one span: ten events, two of them errors where it fails."""
    start = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=number)
    window = start, start + timedelta(hours=1)
    with trace.get_tracer("etl").start_as_current_span("hourly run", shared_trace(seed, number)):
        rows = load_allocations(window, 20 + number % 10)
        aggregate_allocations(rows, window)
        save_allocations(rows, window)
        total_allocations(rows, window)
        with suppress(SourceGone):
            reconcile_allocations(rows, window, failing)
        assets = list(load_assets(window, 10 + number % 5))
        aggregate_assets(assets, window)
        save_assets(assets, window)
        with suppress(SourceGone):
            compute_assets(window) if failing else reconcile_assets(assets, window)
        asset.emit("totaled", window=window)


def work(numbers: Iterable[int], options: argparse.Namespace, out: Path) -> None:
    """Some runs, every `--failing`-th with errors; the log document of this process into a file."""
    for number in numbers:
        run_of_ten(number, bool(options.failing) and number % options.failing == 0, options.seed)
        time.sleep(options.pause)
    out.write_text(default_log.document().to_json(), encoding="utf-8")


def in_quarters(runs: int) -> Iterator[int]:
    """The numbers of the runs, saying when each quarter begins."""
    for number in range(runs):
        if number * 4 // runs > (number - 1) * 4 // runs:
            print(f"quarter {number * 4 // runs}", flush=True)
        yield number


def main() -> None:
    """Read the arguments, do the work, write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--failing", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    configure()
    begun = time.perf_counter()
    if options.processes:
        in_processes(options.processes, options)
    else:
        work(in_quarters(options.runs), options, options.out / "log.json")
    (options.out / "seconds").write_text(f"{time.perf_counter() - begun}", encoding="utf-8")
    print("done", flush=True)


def in_processes(count: int, options: argparse.Namespace) -> None:
    """The work shared between forked processes, each with a log of its own."""
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(
            target=work,
            args=(range(first, options.runs, count), options, options.out / f"log{first}.json"),
        )
        for first in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
