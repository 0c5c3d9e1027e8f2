"""The price of a decorated call, relative to handwritten code that produces the same telemetry without a log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from benchmarks.hand import format_ends, load_by_hand, load_with_span_only
from benchmarks.measure import Rounds, Row, alternate, repeat_call, run_child
from benchmarks.pipeline import WINDOW, set_up

__all__ = ["rows"]

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


def _measure(mode: str, rounds: int, calls: int) -> Rounds:
    pipeline, ends = set_up(mode), format_ends(WINDOW)
    functions = [pipeline.decorated(), load_by_hand(pipeline.tracer, pipeline.counter, ends)]
    if mode != "none":
        functions.append(load_with_span_only(pipeline.tracer, ends))
    return alternate([repeat_call(load, WINDOW) for load in functions], rounds, calls, pipeline.settle)


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], *map(int, sys.argv[2:]))))
