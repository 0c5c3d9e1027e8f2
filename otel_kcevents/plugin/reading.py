"""Marks the threads that are reading values for an entry, because calls made by reading are not recorded.

A path may use a property, an item or a function of the program that the mapping names, or that calls such a function.
Recording that call would read values again, without end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import get_ident
from typing import Any

__all__ = ["guarded", "is_reading", "reading_threads"]

reading_threads: set[int] = set()
"""The threads that are reading values for an entry. Usually there are none: check this before calling `is_reading`."""

# In a forked child, the other threads are gone, and their ids may be reused.
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=reading_threads.clear)


def is_reading() -> bool:
    """Return whether this thread is reading values for an entry."""
    return bool(reading_threads) and get_ident() in reading_threads


def guarded(read: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a reader so that `is_reading()` is true while it runs.

    Args:
        read: The reader; it must not be a coroutine function.
    """

    def read_guarded(*args: Any) -> Any:
        thread = get_ident()
        if thread in reading_threads:
            return read(*args)
        reading_threads.add(thread)
        try:
            return read(*args)
        finally:
            reading_threads.discard(thread)

    return read_guarded
