"""Writes to the journals of this process how its run ended, whenever that can be seen, and what has no event.

Exit handlers see uncaught exceptions, but not the status of `sys.exit`. Processes of `multiprocessing` run finalizers
instead. A process that is killed, or that calls `os._exit`, writes nothing: its run has no end, and no lock.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import Protocol
from weakref import WeakSet

from otel_kcevents.store.run import change_run, failure_detail, outcome_of_run

__all__ = [
    *("END_TIMEOUT", "BeginsRun", "EndsRun", "begin_with_calls", "end_run", "end_with_process", "write_run"),
    "write_run_soon",
]

END_TIMEOUT = 0.5
"""The maximum time that the end of a run waits for other writers of a journal, in seconds."""


class BeginsRun(Protocol):
    """A journal."""

    def begin(self) -> None:
        """Write what is known about the run of this process, its warnings and its call counts."""
        ...


class EndsRun(BeginsRun, Protocol):
    """A journal that this process has written to."""

    def end(self, outcome: str, detail: str | None = None, timeout: float = END_TIMEOUT, *, is_final: bool) -> None:
        """Write how the run of this process ended.

        Args:
            outcome: `ended`, `failed` or `killed`.
            detail: Why; None if there is nothing to add.
            timeout: The maximum time to wait, in seconds. The final end waits longer while other processes write.
            is_final: Whether later events leave the end as it is; otherwise they revive the run.
        """
        ...


_journals: WeakSet[EndsRun] = WeakSet()
_attached: set[BeginsRun] = set()  # those that the first event or the first counted call begins
_ends_in: int | None = None  # the process whose end is handled
_worker: int | None = None  # the process of multiprocessing whose end is handled
_WRITE_INTERVAL = 1.0  # seconds
_write_at = 0.0  # by `time.monotonic()`


def write_run() -> None:
    """Write the run, the warnings and the call counts of this process to its journals, without waiting for an event."""
    global _write_at
    _write_at = monotonic() + _WRITE_INTERVAL
    for journal in list(_journals):
        journal.begin()


def write_run_soon() -> None:
    """Call `write_run()`, unless it was called within the last second; also begin the journals of this process."""
    for journal in tuple(_attached):
        _attached.discard(journal)
        journal.begin()
    if monotonic() >= _write_at:
        write_run()


def begin_with_calls(journal: BeginsRun) -> None:
    """Let the first call without an event register this process as a run in a journal, as the first event does.

    Args:
        journal: The journal. This process may not have written to it: spawned processes that record nothing are no
            runs.
    """
    _attached.add(journal)


def end_run(
    outcome: str | None = None, detail: str | None = None, timeout: float = END_TIMEOUT, *, is_final: bool = True
) -> None:
    """Write in all journals of this process how its run ended.

    Args:
        outcome: `ended`, `failed` or `killed`; None for `failed` if an uncaught exception or the last `run()` block
            shows a failure, else `ended`.
        detail: Why; None if there is nothing to add.
        timeout: The maximum time to wait for each journal, in seconds. The final end waits longer if other processes
            write meanwhile.
        is_final: Whether later events, which an exit handler may record, leave the end as it is; otherwise they revive
            the run.
    """
    outcome, detail = outcome_of_run() if outcome is None else (outcome, detail)
    for journal in list(_journals):
        journal.end(outcome, detail, timeout, is_final=is_final)


def end_with_process(journal: EndsRun) -> None:
    """Write the end of the run to a journal when this process ends.

    Args:
        journal: The journal, which this process begins to write.
    """
    global _ends_in
    _journals.add(journal)
    if _ends_in == os.getpid():
        return
    if _ends_in is None:  # a forked child inherits it
        atexit.register(end_run)
    _ends_in = os.getpid()
    if "multiprocessing.util" in sys.modules:  # its processes run no exit handlers
        from multiprocessing import parent_process
        from multiprocessing.util import register_after_fork

        # A child of a fork server gets here while it imports the main module; then its finalizers are removed.
        register_after_fork(_end_worker, _finalize_worker)
        if parent_process() is not None or "--multiprocessing-fork" in sys.orig_argv:  # spawned, not yet set up
            _finalize_worker(_end_worker)


def _finalize_worker(end: Callable[[], None]) -> None:
    global _worker
    from multiprocessing.util import Finalize

    if _worker != os.getpid():
        _worker = os.getpid()
        Finalize(None, end, exitpriority=-100)


def _end_worker() -> None:
    """End the run of a process of multiprocessing, whose failure can be seen before Python 3.13.

    There the process calls this while the exception that ends it propagates; later versions have handled it.
    """
    error = sys.exc_info()[1]
    if error is not None and not (isinstance(error, SystemExit) and not error.code):
        change_run(failure=failure_detail(error))
    end_run()


def _after_fork_in_child() -> None:
    global _write_at
    _write_at = 0.0


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
