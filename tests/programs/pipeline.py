"""A pipeline of undecorated functions of every shape, for `mutated_mappings.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any


def save(rows: list[int], window: str) -> int:
    """Save rows."""
    return len(rows)


class Loader:
    """Loads days."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.days = {"first": "2024-09-18"}

    def load(self, start: str, end: str) -> list[int]:
        """Load rows."""
        return [1, 2]

    @classmethod
    def total(cls, day: str) -> str:
        """Total a day."""
        return day

    @staticmethod
    def aggregate(rows: list[int], day: str) -> dict[str, list[int]]:
        """Aggregate rows."""
        return {"rows": rows}

    async def fetch(self, window: str) -> list[int]:
        """Load rows from elsewhere."""
        return [1]


def read(window: str) -> Iterator[int]:
    """Yield rows."""
    yield from (1, 2)


async def stream(window: str) -> AsyncIterator[int]:
    """Yield rows from elsewhere."""
    yield 1


def reconcile(window: str, is_right: bool) -> bool:
    """Return whether a day is right."""
    return is_right


def compute(day: str) -> None:
    """Fail."""
    raise ValueError(f"no prices for {day}")


async def _calls_of_coroutines(loader: Loader) -> list[Any]:
    return [await loader.fetch("2024-09-18"), [row async for row in stream("2024-09-18")]]


def call_all() -> list[Any]:
    """Call each function once, and return the results and the messages of exceptions."""
    loader = Loader("aws")
    results: list[Any] = [save([1, 2, 3], "2024-09-18"), loader.load("2024-09-18", "2024-09-19")]
    results += [Loader.total("2024-09-18"), loader.aggregate([1], "2024-09-18"), list(read("2024-09-18"))]
    results += [reconcile("2024-09-18", False), *asyncio.run(_calls_of_coroutines(loader))]
    try:
        compute("2024-09-18")
    except ValueError as error:
        results.append(str(error))
    return results
