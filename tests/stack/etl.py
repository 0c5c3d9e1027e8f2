"""The ETL of these tests: runs of ten operations each, some of them failing, instrumented with the package.

Each kind occurs at most once per run, so that the log holds up to 256 runs completely. The program prints a line at
the start of each quarter of the work, and writes its log documents and the duration of the work to a folder.
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


class SourceUnavailable(Exception):
    """Raised by the operations that fail."""


@allocation.load
def load_allocations(window: Window, rows: int) -> Rows:
    return [row * 0.25 for row in range(rows)]


@allocation.aggregate
def aggregate_allocations(rows: Rows, window: Window) -> dict[int, float]:
    groups: dict[int, float] = {}
    for index, cost in enumerate(rows):
        groups[index % 7] = groups.get(index % 7, 0.0) + cost
    return groups


@allocation.save
def save_allocations(rows: Rows, window: Window) -> None:
    pass


@allocation.total
def total_allocations(rows: Rows, window: Window) -> float:
    return sum(rows)


@allocation.reconcile
def reconcile_allocations(rows: Rows, window: Window, failing: bool) -> None:
    if failing:
        raise SourceUnavailable(f"the bill has no rows from {window[0]:%Y-%m-%d %H:%M}")


@asset.load
def load_assets(window: Window, rows: int) -> Iterator[float]:
    yield from (row * 0.5 for row in range(rows))


@asset.aggregate
def aggregate_assets(rows: Rows, window: Window) -> dict[int, float]:
    return dict(enumerate(rows[:5]))


@asset.save
def save_assets(rows: Rows, window: Window) -> None:
    pass


@asset.compute
def compute_assets(window: Window) -> None:
    raise SourceUnavailable("the inventory does not respond")


@asset.reconcile
def reconcile_assets(rows: Rows, window: Window) -> None:
    pass


def shared_trace(seed: int, number: int) -> Context | None:
    """Return the trace that a run shares with the run of the same number in another process; None for seed 0."""
    if not seed:
        return None
    ids = random.Random(seed * 1_000_003 + number)
    caller = SpanContext(ids.getrandbits(128), ids.getrandbits(64), is_remote=True, trace_flags=TraceFlags(1))
    return trace.set_span_in_context(trace.NonRecordingSpan(caller))


def run_of_ten(number: int, failing: bool, seed: int) -> None:
    """Run ten operations under one span: they emit ten events, two of them errors if the run is a failing one."""
    start = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=number)
    window = start, start + timedelta(hours=1)
    with trace.get_tracer("etl").start_as_current_span("hourly run", shared_trace(seed, number)):
        rows = load_allocations(window, 20 + number % 10)
        aggregate_allocations(rows, window)
        save_allocations(rows, window)
        total_allocations(rows, window)
        with suppress(SourceUnavailable):
            reconcile_allocations(rows, window, failing)
        assets = list(load_assets(window, 10 + number % 5))
        aggregate_assets(assets, window)
        save_assets(assets, window)
        with suppress(SourceUnavailable):
            compute_assets(window) if failing else reconcile_assets(assets, window)
        asset.emit("totaled", window=window)


def work(numbers: Iterable[int], options: argparse.Namespace, out: Path) -> None:
    """Do some of the runs, every `--failing`-th with errors, and write this process's log document to a file."""
    for number in numbers:
        run_of_ten(number, bool(options.failing) and number % options.failing == 0, options.seed)
        time.sleep(options.pause)
    out.write_text(default_log.document().to_json(), encoding="utf-8")


def in_quarters(runs: int) -> Iterator[int]:
    """Yield the numbers of the runs, and print a line at the start of each quarter."""
    for number in range(runs):
        if number * 4 // runs > (number - 1) * 4 // runs:
            print(f"quarter {number * 4 // runs}", flush=True)
        yield number


def work_in_processes(count: int, options: argparse.Namespace) -> None:
    """Divide the runs between forked processes, each with its own log."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--failing", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    configure()
    start = time.perf_counter()
    if options.processes:
        work_in_processes(options.processes, options)
    else:
        work(in_quarters(options.runs), options, options.out / "log.json")
    (options.out / "seconds").write_text(f"{time.perf_counter() - start}", encoding="utf-8")


if __name__ == "__main__":
    main()
