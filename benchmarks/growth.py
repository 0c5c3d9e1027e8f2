"""The cost of a call and the memory of the process after many events, relative to those after few."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import count
from statistics import median
from typing import TypedDict

from benchmarks.hand import Load, Period, load_by_hand
from benchmarks.measure import Rounds, Row, Side, alternate, resident_memory, run_child
from benchmarks.pipeline import HOUR, WINDOW, set_up

__all__ = ["rows"]

_ROUNDS = 15


class _State(TypedDict):
    costs: Rounds
    memory: float


def rows(quick: bool) -> Iterator[Row]:
    """Measure both in one process, sampler off, each call with a window of its own."""
    few, many = (1_000, 10_000) if quick else (10_000, 1_000_000)
    before, after = run_child("-m", "benchmarks.growth", str(few), str(many))
    # Relative to handwritten code at the same moment: other load on the machine does not count.
    cost = median([ours / by_hand for ours, by_hand in before["costs"]])
    costs = [(ours / by_hand, cost) for ours, by_hand in after["costs"]]
    yield Row(f"a call after {many:,} events", f"after {few:,}", costs, goal="1.10")
    memory = [(after["memory"], before["memory"])]
    yield Row(f"memory after {many:,} events", f"after {few:,}", memory, "MiB", goal="1.05")


def _measure(*numbers: int) -> list[_State]:
    pipeline = set_up("off")
    ours = _with_new_windows(pipeline.decorated())
    by_hand = _with_new_windows(load_by_hand(pipeline.tracer, pipeline.counter))
    states: list[_State] = []
    done, calls = 0, min(numbers) // 20
    for number in numbers:
        ours(number - done - (_ROUNDS + 1) * calls)
        memory = resident_memory()
        states.append({"costs": alternate([ours, by_hand], _ROUNDS, calls), "memory": memory})
        done = number
    return states


def _with_new_windows(load: Load) -> Side:
    epoch = WINDOW[0].replace(year=1970)
    windows: Iterator[Period] = ((epoch + HOUR * n, epoch + HOUR * (n + 1)) for n in count())

    def side(calls: int) -> None:
        for _ in range(calls):
            load(next(windows))

    return side


if __name__ == "__main__":
    print(json.dumps(_measure(*map(int, sys.argv[1:]))))
