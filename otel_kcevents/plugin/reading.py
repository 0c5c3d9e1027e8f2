"""Marks the threads that read values for an entry, because the calls that reading makes are not recorded.

A path may use a property, an item or a function of the program that is itself named by the mapping, or that calls what
is. Recording such a call would read its values in turn, without end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import get_ident
from typing import Any

__all__ = ["guarded", "is_reading"]

_threads: set[int] = set()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        after_in_child=_threads.clear
    )  # the other threads are gone, and their numbers may be used again


def is_reading() -> bool:
    """Return whether this thread reads values for an entry."""
    return bool(_threads) and get_ident() in _threads


def guarded(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reader during which `is_reading` is true.

    Args:
        read: The reader; it must not be a coroutine function.
    """

    def read_guarded(*args: Any) -> Any:
        thread = get_ident()
        if thread in _threads:
            return read(*args)
        _threads.add(thread)
        try:
            return read(*args)
        finally:
            _threads.discard(thread)

    return read_guarded
