"""`collector_pause()`: no garbage collection while many objects are created that are all kept."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

__all__ = ["collector_pause"]

_lock = RLock()  # reentrant: a signal handler may begin a pause anywhere
_pauses = 0
_is_resumed = False  # whether the program's garbage collector was enabled when the first of these pauses began


@contextmanager
def collector_pause() -> Iterator[None]:
    """Pause the garbage collector, which all threads share, for a `with` block or for the calls of a function.

    Only for code that does not wait: the windows of a year are a hundred thousand tuples, which make the collector look
    through all objects of the program again and again. Even in a small program, that takes a sixth of the time of a
    coverage. A collector that the program has disabled stays disabled.
    """
    global _pauses, _is_resumed
    process = os.getpid()
    with _lock:
        if not _pauses:
            _is_resumed = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            if process == os.getpid():  # otherwise a signal handler has forked, and the child has resumed
                _pauses -= 1
                if not _pauses and _is_resumed:
                    gc.enable()


def _after_fork_in_child() -> None:
    """End the pauses of the parent's threads, which the child does not have."""
    global _lock, _pauses
    _lock = RLock()
    if _pauses and _is_resumed:
        gc.enable()
    _pauses = 0


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
