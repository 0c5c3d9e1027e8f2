"""The price of a decorated call, relative to handwritten code that produces the same telemetry without a log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from benchmarks.bare_journal import bare_journal
from benchmarks.hand import Load, Period, format_ends, load_by_hand, load_with_span_only
from benchmarks.measure import Rounds, Row, alternate, repeat_call, run_child
from benchmarks.pipeline import WINDOW, set_up

__all__ = ["journal_row", "rows"]

_MODES = {
    "on": ("SDK with batch processor, metric reader and `EventLogProcessor`, as `configure()` sets it up", "0.74"),
    "off": ("SDK, sampler off (log and counters still exact)", "0.38"),
    "none": ("no SDK", "0.50"),
}


def rows(quick: bool) -> Iterator[Row]:
    """Measure each mode in a process of its own."""
    for mode, (what, goal) in _MODES.items():
        rounds = run_child("-m", "benchmarks.price", mode, *(("3", "100") if quick else ("31", "500")))
        yield Row(f"a decorated call: {what}", "handwritten code", rounds, "µs", goal)


def journal_row(quick: bool) -> Row:
    """Measure the first mode with a journal. Its limit is the limit of the first mode with a bare transaction."""
    what, _ = _MODES["on"]
    rounds = run_child("-m", "benchmarks.price", "journal", *(("3", "100") if quick else ("31", "500")))
    return Row(f"a decorated call: {what}, with a journal", "handwritten code", rounds, "µs", "1.8")


def _measure(mode: str, rounds: int, calls: int) -> Rounds:
    pipeline, ends = set_up(mode), format_ends(WINDOW)
    functions = [pipeline.decorated(), load_by_hand(pipeline.tracer, pipeline.counter, ends)]
    if mode != "none":
        functions.append(load_with_span_only(pipeline.tracer, ends))
    return alternate([repeat_call(load, WINDOW) for load in functions], rounds, calls, pipeline.settle)


def _measure_journal(rounds: int, calls: int) -> Rounds:
    ends = format_ends(WINDOW)
    with TemporaryDirectory() as folder:
        pipeline = set_up("on", f"{folder}/kcevents.db")
        write, load_bare = bare_journal(f"{folder}/bare.db"), load_with_span_only(pipeline.tracer, ends)

        def load_and_write(window: Period) -> list[int]:
            rows = load_bare(window)
            write()
            return rows

        functions: list[Load] = [
            pipeline.decorated(),
            load_by_hand(pipeline.tracer, pipeline.counter, ends),
            load_and_write,
        ]
        return alternate([repeat_call(load, WINDOW) for load in functions], rounds, calls, pipeline.settle)


if __name__ == "__main__":
    mode, *numbers = sys.argv[1:]
    print(json.dumps(_measure_journal(*map(int, numbers)) if mode == "journal" else _measure(mode, *map(int, numbers))))
