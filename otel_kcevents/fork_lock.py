"""`FORK_LOCK` is held during work that a forked child could not finish in place of a thread that it does not have.

A fork waits for the lock. Hooks that run before a fork do so in the reverse order of their registration, so logging
comes first here: imports need its lock too.
"""

import logging  # noqa: F401 - registers its fork hooks
import os
from contextlib import suppress
from threading import RLock
from typing import Any

__all__ = ["FORK_LOCK"]

_TIMEOUT = 10.0  # seconds that a fork waits, should another library's hook keep the lock's owner waiting

FORK_LOCK: Any = RLock()  # reentrant: an import may fork, or import more


def _before_fork() -> None:
    FORK_LOCK.acquire(timeout=_TIMEOUT)


def _after_fork() -> None:
    with suppress(RuntimeError):  # not acquired in time
        FORK_LOCK.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
