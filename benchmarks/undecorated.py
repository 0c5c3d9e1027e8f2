"""Functions of every shape without a decorator, for a mapping to instrument; `mapped.py` decorates the same ones."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.hand import ROWS, Period

__all__ = ["ITEMS", "Loader", "load", "load_async", "load_items"]

ITEMS = ROWS[:3]


def load(window: Period) -> list[int]:
    """Load by a plain function."""
    return ROWS


class Loader:
    """Loads by a method."""

    def load(self, window: Period) -> list[int]:
        """Load by a method."""
        return ROWS


async def load_async(window: Period) -> list[int]:
    """Load by a coroutine function."""
    return ROWS


def load_items(window: Period) -> Iterator[int]:
    """Load by a generator function."""
    yield from ITEMS
