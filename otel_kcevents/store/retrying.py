"""`Retrying`: a thread that repeats an attempt until it succeeds, and that has ended when the interpreter exits.

A thread that is inside SQLite, or that begins, while the interpreter exits may crash the process.
"""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Retrying"]


class Retrying:
    """Calls a function at intervals, in a thread, until it returns True.

    Unlike `Thread`, it takes no lock that the code may hold that a signal handler interrupts.

    Args:
        attempt: The function; it must not raise an exception.
        interval: Seconds before each call.
    """

    is_stopped: bool
    """Whether no further call will be made."""

    def __init__(self, attempt: Callable[[], bool], interval: float = 1.0) -> None:
        self.is_stopped = False
        self._attempt = attempt
        self._interval = interval
        self._sleeping: Any = allocate_lock()  # released to wake the thread
        self._running: Any = allocate_lock()

    def start(self) -> bool:
        """Start a thread; return False if that is impossible, because of a limit or because the interpreter exits."""
        if self.is_stopped:
            return False
        self._sleeping, self._running = sleeping, running = allocate_lock(), allocate_lock()
        sleeping.acquire()
        running.acquire()
        try:
            start_new_thread(self._run, (sleeping, running))
        except RuntimeError:
            running.release()
            return False
        return True

    def _run(self, sleeping: Any, running: Any) -> None:  # pragma: no cover - coverage does not see such threads
        try:
            while not (sleeping.acquire(timeout=self._interval) or self.is_stopped or self._attempt()):
                pass
        finally:
            running.release()

    def stop(self, timeout: float) -> None:
        """Start no further attempt, and wait until the thread has ended.

        Args:
            timeout: The maximum time to wait for an attempt in progress, in seconds.
        """
        self.is_stopped = True
        with suppress(RuntimeError):  # there is no thread
            self._sleeping.release()
        if self._running.acquire(timeout=timeout):
            self._running.release()
