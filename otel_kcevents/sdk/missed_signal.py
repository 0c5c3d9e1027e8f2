"""Repeats a SIGTERM that Python has received, but whose handler does not run, because the main thread is waiting.

Python runs a handler between two instructions of the main thread. If the signal arrives after the last of these and
before the thread starts to wait for a lock, as workers of `multiprocessing.Pool` do when the pool ends them, the wait
is not interrupted, and the pool waits for the worker forever.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from time import sleep
from typing import Any

__all__ = ["note_sigterm", "resend_missed_sigterm"]

_INTERVAL = 0.1  # seconds

_handled_in: int | None = None  # the process whose handler has started
_pipe: tuple[int, int] | None = None


def note_sigterm() -> bool:  # pragma: no cover - the process is killed
    """Note that the handler has started in this process, and return whether this is the first time."""
    global _handled_in
    is_first = _handled_in != os.getpid()
    _handled_in = os.getpid()
    return is_first


def resend_missed_sigterm() -> None:
    """Send SIGTERM to the main thread again until its present handler has started.

    Python reports signals on one file descriptor. One that the program has set is left alone.
    """
    global _pipe
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    if _pipe is not None or not is_main or not callable(handler) or not hasattr(signal, "pthread_kill"):
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
        return
    _pipe = reader, writer
    main, watch = threading.main_thread().ident, _watch
    threading.Thread(target=watch, args=(reader, handler, main), name="kcevents-sigterm", daemon=True).start()


def _watch(reader: int, handler: Any, main: int) -> None:  # pragma: no cover - the process is killed
    with suppress(OSError):
        while numbers := os.read(reader, 64):
            while signal.SIGTERM in numbers:
                sleep(_INTERVAL)  # usually the handler starts at once
                if _handled_in == os.getpid() or signal.getsignal(signal.SIGTERM) is not handler:
                    break
                signal.pthread_kill(main, signal.SIGTERM)


def _after_fork_in_child() -> None:
    """Stop writing to the pipe of the parent, which would resend a signal of this process."""
    global _pipe
    if _pipe is None:
        return
    inherited, _pipe = _pipe, None
    with suppress(ValueError):  # a fork by another thread than the main one: now it is
        if (current := signal.set_wakeup_fd(-1)) not in (-1, inherited[1]):
            signal.set_wakeup_fd(current)
    for descriptor in inherited:
        os.close(descriptor)


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
