"""`mapped_by_value.py KIND`: call mapped functions of this script in workers; print the workers' events as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from programs.workers import submit_dask, submit_joblib

from otel_kcevents.plugin.instrumentation import Instrumentation
from otel_kcevents.plugin.mapping import mapping_of


def prepare(day: str) -> str:
    """Return the day, which is kept."""
    return day


def load(day: str, count: int) -> list[int]:
    """Calls itself, so that its pickle by value refers to itself."""
    prepare(day)
    return [*load(day, count - 1), count] if count else []


def items(day: str) -> Iterator[int]:
    """Yield two items."""
    yield from (1, 2)


async def async_items(day: str) -> AsyncIterator[int]:
    """Yield one item, whose size no function returns."""
    yield 1


async def total(day: str) -> bool:
    """Fail."""
    return False


def call(_: str) -> None:
    """Call each function; `workers.call` returns their events."""
    load("20220603", 2)
    list(items("20220603"))

    async def run() -> None:
        await total("3 June")
        await total("3 June")
        assert [item async for item in async_items("20220603")] == [1]

    asyncio.run(run())


WINDOW = {"path": "day", "format": "%Y%m%d"}
FUNCTIONS: list[dict[str, Any]] = [
    {"target": "__main__:prepare", "keep": {"day": "return"}},
    {"target": "__main__:load", "record": "allocation.load", "window": WINDOW, "where": {"count": "[12]"}},
    {
        "target": "__main__:items",
        "record": "asset.load",
        "window": {**WINDOW, "path": "kept.day"},
        "within": "__main__",
    },
    {"target": "__main__:async_items", "record": "cloudCost.load", "size": "workers_size:of_call"},
    {"target": "__main__:total", "record": "asset.total", "window": WINDOW, "fails_when": "false"},
]
KINDS: dict[str, Any] = {
    "joblib": submit_joblib,
    "dask": lambda tasks: submit_dask("processes", tasks),
}

if __name__ == "__main__":
    mapping = mapping_of({"sets": {"cloudCost": "CloudCostSet"}, "functions": FUNCTIONS}, "kcevents.toml")
    assert mapping.problems == ()
    Instrumentation(mapping).instrument_module(sys.modules["__main__"])
    ((process, events),) = KINDS[sys.argv[1]]([(call, {})])
    print(json.dumps([process != os.getpid(), events]))
