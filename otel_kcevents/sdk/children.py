"""Child processes of multiprocessing, and SIGTERM: each process of a configured program exports its own events.

A configured process publishes that in its environment. A child whose parent is that process configures itself too,
when it is forked or when it imports the package. Children end without `atexit`: a thread exports after their main one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from otel_kcevents.sdk import settings
from otel_kcevents.sdk.delivery import Delivery

__all__ = ["export_on_termination", "join_parent", "publish_to_children"]

_TERMINATION_TIMEOUT = 12.0  # seconds; the last export takes 10 at most, and then reports what is lost

_signal_masks: dict[int, set[Any]] = {}  # by thread: the mask from before the fork that it makes


def publish_to_children(delivery: Delivery, service_name: str | None) -> None:
    """Have the processes that multiprocessing starts from this one configure themselves, and export at their end.

    Call it once in a process.

    Args:
        delivery: What this process exports. A forked child has its own copy of it.
        service_name: For `configure()` in the child.
    """
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    def after_fork(delivery: Delivery) -> None:
        settings.publish_configuration(service_name)
        _export_at_end_of_child(delivery)

    settings.publish_configuration(service_name)
    register_after_fork(delivery, after_fork)
    if parent_process() is not None:
        _export_at_end_of_child(delivery)


def join_parent(configure: Callable[..., object]) -> None:
    """Configure this process like its parent, if multiprocessing started it and the parent is configured.

    Called when the package is imported in a process whose environment was published by a configured one.

    Args:
        configure: `configure()`, called with the parent's `service_name`.
    """
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    if (parent := parent_process()) is not None:
        _configure_like_parent(parent.pid, configure)
    elif "--multiprocessing-fork" in sys.orig_argv:  # spawned, and still importing the main module
        _configure_like_parent(os.getppid(), configure)
    else:  # a fork server, or another program
        register_after_fork(configure, join_parent)


def _configure_like_parent(parent: int | None, configure: Callable[..., object]) -> None:
    published = settings.published_configuration()
    if published is not None and published[0] == parent:
        configure(service_name=published[1])


def _export_at_end_of_child(delivery: Delivery) -> None:
    """Export after the main thread and the others that the process waits for, which may have more to export."""

    def wait_and_export() -> None:
        main = threading.main_thread()
        main.join()
        ignored = (threading.current_thread(), main)
        while others := [one for one in threading.enumerate() if not one.daemon and one not in ignored]:
            others[0].join()
        delivery.end()

    threading.Thread(target=wait_and_export, name="kcevents-end").start()
    _handle_sigterm(delivery)


def export_on_termination(delivery: Delivery) -> None:
    """Export on SIGTERM, which pools and schedulers end a process with, unless the program handles the signal.

    Call it once in a process, after the SDK has registered its own fork hooks: a signal must not interrupt those.
    """
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(before=_block_sigterm, after_in_parent=_unblock_sigterm, after_in_child=_unblock_sigterm)
    _handle_sigterm(delivery)


def _block_sigterm() -> None:
    """Hold SIGTERM back during a fork.

    Python forgets the signals that a child gets before it is set up, and a handler that runs in the middle of the
    child's fork hooks finds the parent's spans.
    """
    _signal_masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _unblock_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _signal_masks.pop(threading.get_ident()))


def _handle_sigterm(delivery: Delivery) -> None:
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, partial(_terminate, delivery))


def _terminate(
    delivery: Delivery, number: int, frame: FrameType | None
) -> None:  # pragma: no cover - kills the process
    """Export everything in another thread, as the interrupted one may hold any lock; then die by the signal."""
    if delivery.is_ending:
        return  # the signal interrupted the last export, which goes on
    exported = allocate_lock()
    exported.acquire()
    with suppress(RuntimeError):  # at the interpreter's end no thread can be started, and the last export is done
        start_new_thread(_export_last, (delivery, exported))  # unlike Thread, takes no lock of the interrupted code
        exported.acquire(timeout=_TERMINATION_TIMEOUT)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the first process of a container is not killed by the signal


def _export_last(delivery: Delivery, exported: LockType) -> None:  # pragma: no cover - kills the process
    try:
        delivery.end()
    finally:
        exported.release()
