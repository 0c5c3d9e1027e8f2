"""A call's cost and the process's memory after many calls, against those after few."""

from __future__ import annotations

import gc
import json
import resource
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import hand
from benchmarks.hand import ROWS, Period
from benchmarks.measure import Rounds, Row, Side, child, in_turn
from benchmarks.pipeline import HOUR, WINDOW, Pipeline, set_up

__all__ = ["TITLE", "rows"]

TITLE = "after many calls, each with a window of its own (at so many / at the first number; sampler off)"

_ROUNDS = 15
_SAME_COST, _SAME_MEMORY = 1.10, 1.05  # what counts as the same


def rows(quick: bool) -> Iterator[Row]:
    """For each number of calls the cost of one, the memory, and what the log holds."""
    numbers = (1_000, 3_000, 10_000) if quick else (10_000, 100_000, 1_000_000)
    found = child("-m", "benchmarks.growth", *map(str, numbers))
    few = found[0]
    for number, many in zip(numbers[1:], found[1:], strict=True):
        against = f"{number:,} / {numbers[0]:,} calls"
        yield Row(f"cost of a call, {against}", "µs", _costs(many["costs"], few["costs"]), _SAME_COST)
        yield Row(f"memory, {against}", "MiB", [(many["memory"], few["memory"])], _SAME_MEMORY)
        yield Row(f"events held, {against}", "", [(many["held"], few["held"])], 1)


def _costs(many: Rounds, few: Rounds) -> list[tuple[float, float]]:
    """Costs in µs, of those after many calls corrected by how much slower the hand-written code ran there."""
    ours, by_hand = (median(side) for side in zip(*few, strict=True))
    return [(mine / theirs * by_hand * 1e6, ours * 1e6) for mine, theirs in many]


def _measure(numbers: list[int]) -> list[dict[str, Any]]:
    made, windows, found = set_up("off"), _windows(), []

    @made.records.load
    def load(window: Period) -> list[int]:
        return ROWS

    ours = _calls(load, windows)
    theirs = _calls(hand.loading(made.tracer, made.counter, None), _windows())
    done, each = 0, min(numbers) // 20
    for number in numbers:
        ours(number - done - (_ROUNDS + 1) * each)
        memory = _memory()
        costs = in_turn([ours, theirs], _ROUNDS, each)
        found.append({"costs": costs, "memory": memory, "held": _held(made)})
        done = number
    return found


def _windows() -> Iterator[Period]:
    start = WINDOW[0].replace(year=1970)
    return ((start + HOUR * number, start + HOUR * (number + 1)) for number in count())


def _calls(function: Callable[[Period], object], windows: Iterator[Period]) -> Side:
    def run(calls: int) -> None:
        for _ in range(calls):
            function(next(windows))

    return run


def _held(made: Pipeline) -> int:
    return sum(map(len, made.records.log.document().lists.values()))


def _memory() -> float:
    """The memory in use, in MiB: what is resident, or the most that was, where the system tells no more."""
    gc.collect()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    print(json.dumps(_measure([int(number) for number in sys.argv[1:]])))
