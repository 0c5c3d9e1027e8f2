"""Child processes of multiprocessing, and SIGTERM: each process of a configured program exports its own events.

A configured process publishes its configuration in its environment. A child of that process configures itself like it,
when it is forked or when it imports the package. Children run no `atexit` handlers, so a thread flushes when their main
thread has ended; those of billiard, which Celery uses, do not wait for threads either.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from itertools import count
from time import sleep
from types import FrameType
from typing import Any

from otel_kcevents.record.run import end_killed_block
from otel_kcevents.sdk.ending import Ending
from otel_kcevents.sdk.missed_signal import note_sigterm, resend_missed_sigterm
from otel_kcevents.store.run_end import end_run

__all__ = ["block_sigterm_in_forks", "flush_in_children", "handle_sigterm"]

_TERMINATION_TIMEOUT = 12.0  # seconds; the last flush takes at most 10, and then reports what is lost

_MAX_DEFERRALS = 100  # of a millisecond each
_MAX_JOURNAL_DEFERRALS = 1500  # a write waits for other processes for half a second, the end of a run for more
_deferrals = count()
_ends_in: int | None = None  # the process whose last flush has begun
_registrations = 0  # how often the hooks for forks are registered
_signal_masks: dict[int, set[Any]] = {}  # by thread: the mask from before its fork


def flush_in_children(ending: Ending, publish: Callable[[], None]) -> None:
    """Make the processes that multiprocessing and billiard start from this one flush at their end.

    Call it once in a process.

    Args:
        ending: Called at the end of each of these processes; a forked child has a copy of it.
        publish: Called in forked children: publishes the configuration for processes that these spawn.
    """
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    def after_fork(ending: Ending) -> None:
        publish()
        _flush_at_end_of_child(ending)

    register_after_fork(ending, after_fork)
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=partial(_flush_in_uvicorn_workers, ending))
    if parent_process() is not None:
        _flush_at_end_of_child(ending)


def _flush_at_end_of_child(ending: Ending) -> None:
    from multiprocessing import current_process

    if any(base.__module__.startswith("billiard.") for base in type(current_process()).__mro__):
        _flush_at_end_of_billiard(ending)
    else:
        threading.Thread(target=partial(_wait_and_flush, ending), name="kcevents-end").start()
    handle_sigterm(ending)
    resend_missed_sigterm()


def _wait_and_flush(ending: Ending) -> None:
    """Flush when the main thread and the others that the process waits for have ended: they may still record events."""
    global _ends_in
    main = threading.main_thread()
    main.join()
    ignored = (threading.current_thread(), main)
    while others := [one for one in threading.enumerate() if not one.daemon and one not in ignored]:
        others[0].join()
    _ends_in = os.getpid()
    end_run()
    ending()


def _flush_at_end_of_billiard(ending: Ending) -> None:
    """Flush at the end of a process of billiard, Celery's fork of multiprocessing, which does not wait for threads.

    The processes of its pools end by `os._exit`, right after Celery has sent a signal.
    """
    from multiprocessing.util import Finalize

    def flush(**signal: Any) -> None:
        end_run(is_final=False)
        ending()

    Finalize(None, flush, exitpriority=-50)
    if (signals := sys.modules.get("celery.signals")) is not None:
        signals.worker_process_shutdown.connect(flush, weak=False)


def _flush_in_uvicorn_workers(ending: Ending) -> None:
    """Flush on SIGTERM in a process that gunicorn has forked for uvicorn's worker class.

    The class resets all signals. When uvicorn has shut down, it restores what it found and sends itself the signal.
    """
    for module in ("uvicorn.workers", "uvicorn_worker._workers"):
        worker: Any = getattr(sys.modules.get(module), "UvicornWorker", None)
        if worker is not None and not hasattr(
            worker.init_signals, "__wrapped__"
        ):  # pragma: no cover - SIGTERM ends the process
            worker.init_signals = _then(worker.init_signals, partial(handle_sigterm, ending))


def _then(
    first: Callable[..., Any], second: Callable[[], None]
) -> Callable[..., None]:  # pragma: no cover - only in that process
    @wraps(first)
    def both(*args: Any) -> None:
        first(*args)
        second()

    return both


def block_sigterm_in_forks() -> None:
    """Block SIGTERM during forks, from now on.

    Call it whenever the SDK may have registered fork hooks of its own: a signal must not interrupt those.
    """
    global _registrations
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        _registrations += 1
        os.register_at_fork(
            before=_block_sigterm,
            after_in_parent=partial(_unblock_sigterm, _registrations),
            after_in_child=partial(_unblock_sigterm, _registrations, is_child=True),
        )


def _block_sigterm() -> None:
    """Block SIGTERM during a fork.

    Python discards signals that a child receives before it is set up, and a handler that interrupts the child's fork
    hooks would find the parent's spans.
    """
    thread = threading.get_ident()
    if thread not in _signal_masks:
        _signal_masks[thread] = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _unblock_sigterm(registration: int, is_child: bool = False) -> None:
    """Unblock SIGTERM in the last of the hooks, which run in the order of their registration."""
    if registration != _registrations:
        return
    mask = _signal_masks.pop(threading.get_ident(), None)
    if is_child:
        _signal_masks.clear()  # those of the parent's other threads
    if mask is not None:  # the fork began before this hook was registered
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def handle_sigterm(ending: Ending) -> None:
    """Flush on SIGTERM, by which pools and schedulers end a process, if the signal has its default action.

    Only the main thread can set a handler.

    Args:
        ending: Called on the signal.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, partial(_terminate, ending))


def _is_too_early(frame: FrameType | None) -> bool:  # pragma: no cover - called by a handler that kills the process
    """Return whether the signal interrupts code that may hold a lock which the flush needs, and will release it.

    A journal also calls other code inside a write, and may wait for other processes.
    """
    deferrals = next(_deferrals)
    module = frame.f_globals.get("__name__", "") if frame is not None else ""
    if module.startswith(("opentelemetry.", "otel_kcevents.")) and deferrals < _MAX_DEFERRALS:
        return True
    while frame is not None and deferrals < _MAX_JOURNAL_DEFERRALS:
        if frame.f_globals.get("__name__", "").startswith("otel_kcevents.store.journal"):
            return True
        frame = frame.f_back
    return False


def _terminate(ending: Ending, number: int, frame: FrameType | None) -> None:  # pragma: no cover - kills the process
    """Flush in another thread, because the interrupted one may hold any lock; then end the process by the signal."""
    if ending.is_running or _ends_in == os.getpid():
        return  # the signal interrupted the last flush, which continues

    def send_again() -> None:
        sleep(0.001)
        os.kill(os.getpid(), number)

    if _is_too_early(frame):
        with suppress(RuntimeError):
            start_new_thread(send_again, ())  # let the code release its locks, some of which the export needs
            return
    if not note_sigterm():
        return  # a repeated signal: the first call of this handler flushes

    exported = allocate_lock()
    exported.acquire()

    def flush() -> None:
        try:
            reason = signal.Signals(number).name
            end_run("killed", reason)
            end_killed_block(reason)
            ending()
        finally:
            exported.release()

    with suppress(RuntimeError):  # at interpreter exit no thread can be started, and the last flush is done
        start_new_thread(flush, ())  # unlike Thread, takes no lock of the interrupted code
        exported.acquire(timeout=_TERMINATION_TIMEOUT)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # process 1 of a container is not killed by the signal
