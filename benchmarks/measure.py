"""What all measurements share: sides run in turn, processes of their own, and the rows of the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import repeat
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

__all__ = ["ROOT", "Rounds", "Row", "Side", "calls_of", "child", "in_turn", "pairs"]

ROOT = Path(__file__).parents[1]

Side: TypeAlias = Callable[[int], object]
"""One of the things compared: does its work so many times."""

Rounds: TypeAlias = list[list[float]]
"""For each round one number for each side."""


class Row(NamedTuple):
    """A line of the table: pairs of what we take and what it is held against, one for each round.

    The goal is for the ratio of the two, or, with `by_difference`, for the difference in `unit`.
    """

    name: str
    unit: str = ""
    pairs: Sequence[tuple[float, float]] = ()
    goal: float | None = None
    by_difference: bool = False
    second: Sequence[tuple[float, float]] = ()
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line as texts: name, ours, against, ratio and its spread, second reading, goal, verdict."""
        if not self.pairs:
            return (self.name, "", "", "", "", "", self.note)
        ours, against = (f"{median(side):.4g} {self.unit}".rstrip() for side in zip(*self.pairs, strict=True))
        ratios = [mine / other for mine, other in self.pairs]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        second = f"{median([mine / other for mine, other in self.second]):.2f}" if self.second else ""
        return (self.name, ours, against, spread, second, *self._judged())

    def _judged(self) -> tuple[str, str]:
        if self.goal is None:
            return "", self.note
        compared = (mine - other if self.by_difference else mine / other for mine, other in self.pairs)
        missed = median(compared) - self.goal
        unit = f" {self.unit}" if self.by_difference else ""
        verdict = "met" if missed <= 0 else f"missed by {missed:.2f}{unit}"
        return f"{'+' * self.by_difference}{self.goal:g}{unit}", verdict


def calls_of(function: Callable[[Any], object], argument: object) -> Side:
    """A side that calls a function with one argument, the same each time."""

    def run(calls: int) -> None:
        for _ in repeat(None, calls):
            function(argument)

    return run


def in_turn(sides: Sequence[Side], rounds: int, calls: int, settle: Callable[[], object] = bool) -> Rounds:
    """Seconds per call. Each round runs every side once, from another one on; `settle` runs before each, untimed."""
    for side in sides:
        side(calls)
    measured = []
    for turn in range(rounds):
        seconds = [0.0] * len(sides)
        for place in range(len(sides)):
            at = (turn + place) % len(sides)
            settle()
            start = perf_counter()
            sides[at](calls)
            seconds[at] = (perf_counter() - start) / calls
        measured.append(seconds)
    settle()
    return measured


def pairs(rounds: Rounds, factor: float = 1.0, ours: int = 0, other: int = 1) -> list[tuple[float, float]]:
    """Two sides of each round, in another unit."""
    return [(round_[ours] * factor, round_[other] * factor) for round_ in rounds]


def child(*command: str, **settings: str) -> Any:
    """What a fresh Python process prints, read as JSON. Raises RuntimeError with its last words where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), **settings}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return json.loads(done.stdout.splitlines()[-1])
