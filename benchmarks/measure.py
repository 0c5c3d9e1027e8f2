"""What all measurements share: rounds of alternating sides, fresh processes, and the rows of the table."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "ROOT",
    "Rounds",
    "Row",
    "Side",
    "alternate",
    "child_environment",
    "repeat_call",
    "resident_memory",
    "run_child",
]

ROOT = Path(__file__).parents[1]

Side: TypeAlias = Callable[[int], object]
"""One of the things compared: does its work the given number of times."""

Rounds: TypeAlias = Sequence[Sequence[float]]
"""For each round: the figure of this package, the one that it is compared with and, optionally, the limit."""


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        what: What is measured.
        relative_to: What it is compared with; empty if the figures are reported as they are.
        rounds: The figures, which are reported as ratios.
        unit: The unit of the figures.
        goal: The goal, as printed.
        difference: Whether to report the difference in `unit` instead of the ratio.
        note: Why nothing was measured.
    """

    what: str
    relative_to: str = ""
    rounds: Rounds = ()
    unit: str = ""
    goal: str = ""
    difference: bool = False
    note: str = ""

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Return the cells of the table's columns; see `run.py`."""
        if not self.rounds:
            return (self.what, self.relative_to, self.note, "", "", "")
        if not self.relative_to:
            figures = [figure for (figure,) in self.rounds]
            middle, low, high = map(_format, (median(figures), min(figures), max(figures)))
            return (self.what, "", f"{f'{middle} {self.unit}'.rstrip()} ({low} to {high})", self.goal, "", "")
        if self.difference:
            results = [ours - other for ours, other, *_ in self.rounds]
            measured = f"{median(results):+.0f} {self.unit} ({min(results):+.0f} to {max(results):+.0f})"
        else:
            results = [ours / other for ours, other, *_ in self.rounds]
            measured = f"{median(results):.2f} ({min(results):.2f} to {max(results):.2f})"
        ours, other, *limit = map(median, zip(*self.rounds, strict=True))
        limit_ratio = f"{median([limits[0] / other for _, other, *limits in self.rounds]):.2f}" if limit else ""
        sides = " / ".join(f"{side:.3g} {self.unit}".rstrip() for side in (ours, other))
        return (self.what, self.relative_to, measured, self.goal, limit_ratio, sides)


def _format(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def repeat_call(function: Callable[[Any], object], argument: object) -> Side:
    """Return a side that calls a function with the same argument each time."""

    def side(calls: int) -> None:
        for _ in range(calls):
            function(argument)

    return side


def alternate(
    sides: Sequence[Side],
    rounds: int,
    calls: int,
    settle: Callable[[], object] = bool,
    clock: Callable[[], float] = perf_counter,
) -> Rounds:
    """Measure the sides in alternation.

    Args:
        sides: What to measure. Each round runs every side once and starts with another one.
        rounds: How many rounds to run, after a first one that is not measured.
        calls: How often a side does its work in a round.
        settle: Called before each side, outside the measured time.
        clock: Returns seconds; `time.thread_time` measures the thread's processor time, which other programs hardly
            affect.

    Returns:
        The microseconds per call of each side, for each round.
    """
    for side in sides:
        side(calls)
    measured = []
    for turn in range(rounds):
        times = [0.0] * len(sides)
        for place in range(len(sides)):
            at = (turn + place) % len(sides)
            settle()
            start = clock()
            sides[at](calls)
            times[at] = (clock() - start) / calls * 1e6
        measured.append(times)
    settle()
    return measured


def run_child(*command: str, **environment: str) -> Any:
    """Run a Python process and return what it prints, decoded from JSON.

    Raises:
        RuntimeError: The process failed; the message is the last line that it wrote to stderr.
    """
    done = subprocess.run(
        [sys.executable, *command],
        env={**child_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
    return json.loads(done.stdout.splitlines()[-1])


def child_environment() -> dict[str, str]:
    """Return the environment of a process that imports this checkout and has no settings of OpenTelemetry."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    paths = os.pathsep.join([str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])])
    return {**inherited, "PYTHONPATH": paths}


def resident_memory() -> float:
    """Return the resident memory in MiB, or the maximum so far if the system does not report the current value."""
    gc.collect()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum / (2**20 if sys.platform == "darwin" else 2**10)
