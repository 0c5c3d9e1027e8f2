"""`by_value.py [tokens]`: send functions of this script to another process by value, and print their events as JSON.

With `tokens`, print the functions' Dask tokens instead.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import cloudpickle

from otel_kcevents import EventLog, EventLogProcessor, RecordSet, allocation, asset

DAY = "2022-06-03T00:00:00Z,2022-06-04T00:00:00Z"


@allocation.load
def recursive(window: str = DAY, count: int = 2) -> list[int]:
    return [0, *recursive(count=count - 1)] if count else []


@allocation.load
def even(window: str = DAY, *, count: int = 2) -> list[int]:
    return [0, *odd(count=count - 1)] if count else []


@asset.load(window=lambda call: call.arguments["window"], size=lambda call: 10 * call.arguments["count"])
def odd(window: str = DAY, *, count: int = 2) -> list[int]:
    return [0, *even(count=count - 1)] if count else []


def closure(rows: list[int]) -> Callable[[str], list[int]]:
    @allocation.load
    def load(window: str) -> list[int]:
        return rows

    return load


def with_default(window: str, load: Callable[[str], list[int]] = recursive) -> list[int]:
    return load(window)


class Store:
    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    @asset.load
    def load(self, window: str) -> list[int]:
        return self.rows

    @asset.save(size="rows")
    def save(self, rows: list[int], window: str) -> None: ...

    @allocation.load
    @classmethod
    def create(cls, window: str) -> list[int]:
        return [1]


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


@logged
@asset.aggregate
@allocation.load
@logged
def nested(window: str) -> list[int]:
    return [1, 2]


@allocation.load
def keyword_only(window: str, *, rows: tuple[int, ...] = (1, 2, 3)) -> tuple[int, ...]:
    return rows


class Loader:
    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __call__(self, window: str = DAY, *, count: int = 1) -> list[int]:
        return [*self.rows, *load_object(count=count - 1)] if count else []

    def __len__(self) -> int:
        return len(self.rows)

    async def load(self, window: str) -> list[int]:
        return self.rows


load_object = allocation.load(Loader([1, 2]))
load_method = asset.load(Loader([1, 2]).load)


def load_partially(rows: list[int], window: str = DAY, *, count: int = 1) -> list[int]:
    return [*rows, *load_partial(count=count - 1)] if count else []


load_partial = asset.load(functools.partial(load_partially, [1, 2]))


def load_plainly(window: str = DAY, *, count: int = 1) -> list[int]:
    return [1, *load_renamed(count=count - 1)] if count else []


load_renamed = allocation.load(load_plainly)


def rebound(window: str = DAY, *, count: int = 1) -> list[int]:
    return [1, *rebound(count=count - 1)] if count else []


rebound = allocation.load(rebound)


@allocation.load
async def coroutine(window: str) -> list[int]:
    return [1, 2]


@allocation.load
def generator(window: str) -> Iterator[int]:
    yield 1
    yield 2


@allocation.load(size="yield")
async def async_generator(window: str) -> AsyncIterator[list[int]]:
    yield [1, 2]
    yield [3]


start_save = asset.save


def block(window: str) -> None:
    with start_save(window=window) as op:
        op.size = 7


def decorating(window: str) -> None:
    allocation.load(lambda window: [1, 2])(window)


load_rows = allocation.load(size="return[rows]")
own = RecordSet("cloudCost", "CloudCostSet", log=EventLog())
own_load = own.load(lambda window: [1, 2])


processor = EventLogProcessor(own.log)


def emit_into_the_log_of_a_processor(window: str) -> None:
    before = processor.log.counts().get("CloudCostSetSaved", 0)
    own.emit("saved", window=window)
    own.emit("loaded", size=processor.log.counts()["CloudCostSetSaved"] - before, window=window)


CASES: dict[str, Callable[..., Any]] = {
    "recursive": recursive,
    "original of a recursive one": inspect.unwrap(recursive),
    "mutually recursive": even,
    "original of a mutually recursive one": inspect.unwrap(odd),
    "closure": closure([1, 2, 3]),
    "default argument": with_default,
    "bound method": Store([1, 2]).load,
    "bound method that saves": functools.partial(Store([]).save, [1, 2, 3]),
    "class method": Store.create,
    "nested decorators": nested,
    "keyword-only default": keyword_only,
    "partial of a decorated function": functools.partial(keyword_only, rows=(1,)),
    "callable object": load_object,
    "original of a callable object": load_object.__wrapped__,  # type: ignore[attr-defined]
    "method of an object": load_method,
    "partial": load_partial,
    "original of a partial": load_partial.__wrapped__,  # type: ignore[attr-defined]
    "function under another name": load_renamed,
    "function decorated later": rebound,
    "coroutine": coroutine,
    "generator": generator,
    "async generator": async_generator,
    "block of a kept operation": block,
    "function that decorates": decorating,
    "function decorated with a kept operation": load_rows(lambda window: {"rows": [1, 2]}),
    "set with a log of its own": own_load,
    "span processor": emit_into_the_log_of_a_processor,
}
"""Functions of a window."""

RECEIVER = """
import cloudpickle, json, pickle, sys
cases = pickle.load(sys.stdin.buffer)
print(json.dumps({name: cloudpickle.loads(call)(cloudpickle.loads(case)) for name, (call, case) in cases.items()}))
"""


def call(function: Callable[..., Any]) -> list[str]:
    """Return kind and size of the event of a call for a day, with a ! if the window is not that day."""
    from otel_kcevents import Window, default_log

    day = Window.of(DAY)
    events: list[str] = []
    detach = default_log.attach(
        lambda event, *ids: events.append(f"{event.kind} {event.size}{'' if event.window == day else '!'}")
    )

    async def run() -> None:
        result = function(DAY)
        if inspect.isasyncgen(result):
            [item async for item in result]
        elif inspect.isawaitable(result):
            await result
        elif result is not None:
            list(result)

    asyncio.run(run())
    detach()
    return events


def main() -> None:
    if "tokens" in sys.argv:
        from dask.base import tokenize

        again = closure([1, 2, 3])
        print(json.dumps({name: tokenize(case) for name, case in {**CASES, "again": again}.items()}))
        return
    data = pickle.dumps({name: (cloudpickle.dumps(call), cloudpickle.dumps(case)) for name, case in CASES.items()})
    command = [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-c", RECEIVER]
    subprocess.run(command, input=data, check=True)


main()
