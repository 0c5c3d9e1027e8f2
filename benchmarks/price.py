"""The price of a decorated call, against the same telemetry by hand; one process for each line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, repeat
from typing import Any, NamedTuple

from benchmarks import hand
from benchmarks.hand import FAILURE, ROWS, Period
from benchmarks.measure import Rounds, Row, Side, calls_of, child, in_turn, pairs
from benchmarks.pipeline import HOUR, WINDOW, Pipeline, set_up

__all__ = ["TITLE", "measured", "rows"]

TITLE = "price of a call (ours / by hand; second: the hand-written code formats both ends in each call)"

Sides = Callable[[Pipeline], list[Side]]


def plain(made: Pipeline) -> list[Side]:
    """A function, called with the same window each time."""

    @made.records.load
    def load(window: Period) -> list[int]:
        return ROWS

    return [calls_of(function, WINDOW) for function in (load, *_by_hand(hand.loading, made))]


def _by_hand(write: Callable[..., Any], made: Pipeline) -> list[Any]:
    return [write(made.tracer, made.counter, texts) for texts in (hand.formatted(WINDOW), None)]


def new_windows(made: Pipeline) -> list[Side]:
    """A function, called with more windows in turn than anything remembers."""
    windows = cycle([(WINDOW[0] + HOUR * number, WINDOW[1] + HOUR * number) for number in range(10_000)])

    @made.records.load
    def load(window: Period) -> list[int]:
        return ROWS

    def calls(function: Callable[[Period], object]) -> Side:
        def run(calls: int) -> None:
            for window, _ in zip(windows, repeat(None, calls), strict=False):
                function(window)

        return run

    return [calls(load), calls(hand.loading(made.tracer, made.counter, None))]


def coroutine(made: Pipeline) -> list[Side]:
    """A coroutine, awaited in a loop that runs already."""

    @made.records.load
    async def load(window: Period) -> list[int]:
        return ROWS

    loop = asyncio.new_event_loop()

    async def calls(function: Callable[[Period], Any], number: int) -> None:
        for _ in repeat(None, number):
            await function(WINDOW)

    def side(function: Callable[[Period], Any]) -> Side:
        return lambda number: loop.run_until_complete(calls(function, number))

    return [side(function) for function in (load, *_by_hand(hand.waiting, made))]


def failing(made: Pipeline) -> list[Side]:
    """A function that raises."""

    @made.records.load
    def load(window: Period) -> list[int]:
        raise FAILURE.with_traceback(None)

    def quietly(function: Callable[[Period], object]) -> Callable[[Period], None]:
        def call(window: Period) -> None:
            with suppress(ValueError):
                function(window)

        return call

    return [calls_of(quietly(function), WINDOW) for function in (load, *_by_hand(hand.failing, made))]


def generator(made: Pipeline, by_hand: Callable[..., Iterator[int]] = hand.items) -> list[Side]:
    """One run of a generator; the calls are its items."""

    @made.records.load
    def load(count: int) -> Iterator[int]:
        yield from range(count)

    return [
        lambda count: deque(load(count), maxlen=0),
        lambda count: deque(by_hand(made.tracer, made.counter, count), maxlen=0),
    ]


def generator_apart(made: Pipeline) -> list[Side]:
    """The same against a generator that keeps its span to itself, as ours does."""
    return generator(made, hand.items_apart)


def stretch(made: Pipeline) -> list[Side]:
    """A `with` around code that is no function."""

    def load(window: Period) -> list[int]:
        with made.records.load() as operation:
            operation.window, operation.size = window, len(ROWS)
            return ROWS

    return [calls_of(function, WINDOW) for function in (load, *_by_hand(hand.loading, made))]


def emitted(made: Pipeline) -> list[Side]:
    """Direct emission of what already happened."""

    def load(window: Period) -> None:
        made.records.emit("loaded", size=97, window=window)

    return [calls_of(function, WINDOW) for function in (load, *_by_hand(hand.loading, made))]


class _Case(NamedTuple):
    name: str
    sides: Sides
    mode: str = "on"
    goal: float | None = None
    processor: bool = False


_CASES = (
    _Case("SDK with batch processor and metric reader", plain, "on", 0.70),
    _Case("SDK, sampler off", plain, "off", 0.40),
    _Case("no SDK set", plain, "none", 0.60),
    _Case("SDK, and our EventLogProcessor", plain, processor=True),
    _Case("SDK, new windows all the time", new_windows),
    _Case("no SDK set, new windows all the time", new_windows, "none"),
    _Case("SDK, async function", coroutine),
    _Case("SDK, failing call", failing),
    _Case("SDK, with allocation.load() as op", stretch),
    _Case("SDK, allocation.emit", emitted),
    _Case("SDK, generator, an item", generator),
    _Case("SDK, generator, an item, span kept apart", generator_apart),
)


def rows(quick: bool) -> Iterator[Row]:
    """A line for each case."""
    for number, case in enumerate(_CASES):
        rounds = child("-m", "benchmarks.price", str(number), *(("3", "100") if quick else ("31", "500")))
        second = pairs(rounds, other=2) if len(rounds[0]) > 2 else ()
        yield Row(case.name, "µs", pairs(rounds, 1e6), case.goal, second=second)


def measured(number: int, rounds: int, calls: int) -> Rounds:
    """One case in this process, which it has to itself."""
    case = _CASES[number]
    made = set_up(case.mode, case.processor)
    return in_turn(case.sides(made), rounds, calls, made.settle)


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:]))))
