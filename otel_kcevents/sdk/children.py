"""Child processes of multiprocessing, and SIGTERM: each process of a configured program exports its own events.

A configured process publishes its configuration in its environment. A child of that process configures itself like it,
when it is forked or when it imports the package. Children run no `atexit` handlers, so a thread flushes when their main
thread has ended.
"""

from __future__ import annotations

import os
import signal
import threading
from _thread import allocate_lock, start_new_thread
from contextlib import suppress
from functools import partial
from itertools import count
from time import sleep
from types import FrameType
from typing import Any

from otel_kcevents.record.run import end_killed_block
from otel_kcevents.sdk import published
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.store.run_end import end_run

__all__ = ["export_on_termination", "handle_sigterm", "publish_to_children"]

_TERMINATION_TIMEOUT = 12.0  # seconds; the last flush takes at most 10, and then reports what is lost

_MAX_DEFERRALS = 100  # of a millisecond each
_deferrals = count()
_signal_masks: dict[int, set[Any]] = {}  # by thread: the mask from before its fork


def publish_to_children(delivery: Delivery, service_name: str | None) -> None:
    """Make the processes that multiprocessing starts from this one configure themselves and flush at their end.

    Call it once in a process.

    Args:
        delivery: The delivery of this process; a forked child has a copy of it.
        service_name: Passed to `configure()` in the child.
    """
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    def after_fork(delivery: Delivery) -> None:
        published.publish_configuration(service_name)
        _export_at_end_of_child(delivery)

    published.publish_configuration(service_name)
    register_after_fork(delivery, after_fork)
    if parent_process() is not None:
        _export_at_end_of_child(delivery)


def _export_at_end_of_child(delivery: Delivery) -> None:
    """Flush when the main thread and the others that the process waits for have ended: they may still record events."""

    def wait_and_export() -> None:
        main = threading.main_thread()
        main.join()
        ignored = (threading.current_thread(), main)
        while others := [one for one in threading.enumerate() if not one.daemon and one not in ignored]:
            others[0].join()
        end_run()
        delivery.end()

    threading.Thread(target=wait_and_export, name="kcevents-end").start()
    handle_sigterm(delivery)


def export_on_termination(delivery: Delivery) -> None:
    """Flush on SIGTERM, by which pools and schedulers end a process, unless the program handles the signal.

    Call it once in a process, after the SDK has registered its own fork hooks: a signal must not interrupt those.

    Args:
        delivery: The delivery of this process.
    """
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(before=_block_sigterm, after_in_parent=_unblock_sigterm, after_in_child=_unblock_sigterm)
    handle_sigterm(delivery)


def _block_sigterm() -> None:
    """Block SIGTERM during a fork.

    Python discards signals that a child receives before it is set up, and a handler that interrupts the child's fork
    hooks would find the parent's spans.
    """
    _signal_masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _unblock_sigterm() -> None:
    mask = _signal_masks.pop(threading.get_ident(), None)
    if mask is not None:  # the fork began before this hook was registered
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def handle_sigterm(delivery: Delivery) -> None:
    """Flush on SIGTERM if the signal has its default action. Only the main thread can set a handler.

    Args:
        delivery: The delivery of this process.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, partial(_terminate, delivery))


def _terminate(
    delivery: Delivery, number: int, frame: FrameType | None
) -> None:  # pragma: no cover - kills the process
    """Flush in another thread, because the interrupted one may hold any lock; then end the process by the signal."""
    if delivery.is_ending:
        return  # the signal interrupted the last flush, which continues

    def send_again() -> None:
        sleep(0.001)
        os.kill(os.getpid(), number)

    module = frame.f_globals.get("__name__", "") if frame is not None else ""
    if module.startswith(("opentelemetry.", "otel_kcevents.")) and next(_deferrals) < _MAX_DEFERRALS:
        with suppress(RuntimeError):
            start_new_thread(send_again, ())  # let the code release its locks, some of which the export needs
            return

    exported = allocate_lock()
    exported.acquire()

    def flush() -> None:
        try:
            reason = signal.Signals(number).name
            end_run("killed", reason)
            end_killed_block(reason)
            delivery.end()
        finally:
            exported.release()

    with suppress(RuntimeError):  # at interpreter exit no thread can be started, and the last flush is done
        start_new_thread(flush, ())  # unlike Thread, takes no lock of the interrupted code
        exported.acquire(timeout=_TERMINATION_TIMEOUT)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # process 1 of a container is not killed by the signal
