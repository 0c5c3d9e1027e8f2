"""`JournalWriter`: writes the events of this process to a journal, from any thread and across forks, until it ends.

Each event is put into a queue, and then whoever has the lock writes the whole queue. So an event is also written if a
signal handler or the garbage collector appends it inside a write, and if a signal handler raises an exception there.
An SQLite connection must not be used on both sides of a fork, so a fork waits for the lock and closes the file.
"""

from __future__ import annotations

import os
from _thread import get_ident
from collections import Counter, deque
from contextlib import suppress
from math import inf
from threading import RLock
from time import monotonic
from typing import Any

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.problems import logger
from otel_kcevents.store.journal_errors import JournalError
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import Batch, Entry, row_of
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.retrying import Retrying
from otel_kcevents.store.run import complete_run, current_run
from otel_kcevents.store.run_end import END_TIMEOUT, end_with_process

__all__ = ["JournalWriter", "is_off", "switch_off", "writer_of"]

_TIMEOUT = 0.5  # seconds that a call waits for other processes; after it, calls do not wait until the trouble ends
_THREAD_TIMEOUT = 0.5  # seconds; a call waits twice as long for another thread of this process that makes no progress
_RETRY_TIMEOUT = 0.01  # seconds that an attempt of the retry thread waits
_RETRY_INTERVAL = 1.0  # seconds
_MAX_WAITING = 10_000
_BATCH = 256  # events of a transaction, which takes a few milliseconds
_FORK_TIMEOUT = 10.0  # seconds
_SHUTDOWN_TIMEOUT = 5.0  # seconds that the end waits while others write: hundreds of programs may end at once
_MALFORMED = (AttributeError, OverflowError, TypeError, ValueError)  # raised for a window that is a string, for example

# Held while a file is used. It is shared by all journals, so that two threads cannot wait for each other. It is
# reentrant, because a signal handler or the garbage collector may append or fork anywhere.
_lock: Any = RLock()


class JournalWriter:
    """Writes the events of this process to one journal; get it from `writer_of()`.

    Args:
        path: The absolute path of the file, without symbolic links.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = JournalFile(path, None, None, etl_of)
        self._is_off = False
        self._warned: set[str] = set()
        self._start_anew()

    def _start_anew(self) -> None:
        self._pid = os.getpid()
        self._waiting: deque[Entry] = deque()
        self._unlisted = Counter[str]()  # by kind: events that are only counted, because too many were waiting
        self._counting = RLock()  # for moments only
        self._batch: Batch | None = None  # some of those that wait; stays the same until it is known to be written
        self._last = 0  # the number in this run of the last event that is known to be written
        self._user = 0  # the thread that uses the file, which has the lock; 0 for none
        self._has_begun = False
        self._is_registered = False
        self._is_troubled = False
        self._retry_at = inf  # when a call tries again, if no thread can
        self._retrying = Retrying(self._try_again, _RETRY_INTERVAL)

    @property
    def is_off(self) -> bool:
        """Whether this process must not use the file, because it has inherited an open connection to it."""
        return self._is_off or self._pid != os.getpid()

    def keep(self, retention: int | None, max_age: int | None) -> None:
        """Change how many events to keep, and how long.

        Args:
            retention: How many events of each kind to keep; None for no limit.
            max_age: How long to keep events, in nanoseconds; None for no limit.
        """
        self._file.keep(retention, max_age)

    def begin(self) -> None:
        """Write what is known about the run of this process now, instead of with its next event."""
        if self.is_off:
            return self._refuse()
        self._is_registered = False
        self._write()

    def append(self, event: Any, span_id: int, trace_id: int) -> None:
        """Write an event before this call returns, unless the file cannot be written.

        If a signal handler or the garbage collector calls this inside another write, that one writes the event.

        Args:
            event: The event.
            span_id: The id of its span, 0 for none.
            trace_id: The id of that span's trace, 0 for none.
        """
        if self._pid != os.getpid() or self._is_off:  # before a lock, whose owner may not exist in this process
            return self._refuse()
        try:
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(Entry(event, span_id, trace_id))
            else:
                with self._counting:
                    self._unlisted[event.kind] += 1
            if not self._is_troubled or monotonic() >= self._retry_at:
                self._write()
        except BaseException:  # of a signal handler, at any point: the event must not wait for the next one
            self._write()
            raise

    def _write(self) -> None:
        if not self._has_begun:
            complete_run()
            end_with_process(self)
            self._has_begun = True  # now: a signal handler may raise an exception at any point
        problem = None
        try:
            self._acquire()
            if self._user or self._is_off or (self._is_troubled and monotonic() < self._retry_at):
                return  # the call that this one interrupts goes on, or the retry thread does
            self._user = get_ident()
            try:
                if self._is_troubled:
                    self._write_batch(_RETRY_TIMEOUT)
                    self._is_troubled = False
                self._drain(_TIMEOUT)
            finally:
                self._user = 0
        except JournalError as error:
            problem = error
            if not self._is_off:  # a forked child may continue the call of its parent
                self._start_retrying()
        finally:
            try:  # noqa: SIM105 - a signal handler may raise an exception when `suppress` is called
                _lock.release()
            except RuntimeError:  # not acquired, or by the parent of this process
                pass
        if problem is not None and not self._is_off:
            self._warn(str(problem), "; events wait in memory until it can be written")
        if self._file.notices:
            self._log_notices()

    def _start_retrying(self) -> None:
        if self._is_troubled and self._retry_at == inf:
            return  # another call has started the thread
        self._is_troubled = True
        self._retry_at = inf if self._retrying.start() else monotonic() + _RETRY_INTERVAL

    def _acquire(self) -> None:
        last = -1
        while not _lock.acquire(timeout=_THREAD_TIMEOUT):
            if self._last == last:
                raise JournalError(f"{self._path} cannot be written: another thread is stuck in a write of it")
            last = self._last

    def _drain(self, timeout: float) -> None:
        """Write everything that waits; the lock is held."""
        deadline = monotonic() + timeout
        while self._waiting or self._unlisted or not self._is_registered:
            self._write_batch(max(0.0, deadline - monotonic()))
        # No call is made from the last look at the queue until the file is not in use: no signal handler can append.

    def _write_batch(self, timeout: float) -> None:
        batch = self._batch or self._next_batch()
        try:
            self._file.write(current_run(), batch, timeout)
        except _MALFORMED:
            self._discard_malformed(batch)
            raise
        with self._counting:
            for entry in batch.entries:  # an exception of a signal handler may interrupt this: it can be done again
                if self._waiting and self._waiting[0] is entry:  # pragma: no branch
                    self._waiting.popleft()
            self._last, self._batch, self._is_registered = batch.last, None, True

    def _discard_malformed(self, batch: Batch) -> None:
        """Remove the events of a batch that can never be written: others must not wait for them."""
        malformed = []
        for place, entry in enumerate(batch.entries):
            try:
                row_of(entry, "", 0)
            except _MALFORMED:
                malformed.append(place)
        if malformed:  # so the batch has not been written
            with self._counting:
                self._batch = None
                self._unlisted.update(batch.unlisted)
                for place in reversed(malformed):
                    del self._waiting[place]

    def _next_batch(self) -> Batch:
        entries = self._first_waiting(_BATCH)
        last = self._last + len(entries)
        if not self._unlisted or len(entries) < len(self._waiting):
            self._batch = batch = Batch(entries, last)
            return batch
        with self._counting:
            batch = Batch(entries, last + self._unlisted.total(), self._unlisted)
            self._batch, self._unlisted = batch, Counter()
        return batch

    def _first_waiting(self, limit: int) -> tuple[Entry, ...]:
        # Not by an iterator, which an append by the garbage collector would break.
        if len(self._waiting) == 1:
            return (self._waiting[0],)
        return tuple([self._waiting[place] for place in range(min(len(self._waiting), limit))])

    def waiting(self) -> list[Batch]:
        """Return the events that may not be in the file yet, in their order."""
        if not self._waiting and not self._unlisted:
            return []
        with self._counting:
            fixed = self._batch or Batch((), self._last)
            known = set(map(id, fixed.entries))
            others = tuple(entry for entry in self._first_waiting(_MAX_WAITING) if id(entry) not in known)
            last = fixed.last + len(others) + sum(self._unlisted.values())
            return [fixed, Batch(others, last, dict(self._unlisted))]

    def _try_again(self) -> bool:  # pragma: no cover - in a thread that coverage does not see
        """Write what waits, and return whether that was possible."""
        with _lock:
            self._user = get_ident()
            try:
                for _ in range(1 + len(self._waiting) // _BATCH):
                    if self._retrying.is_stopped:
                        return True
                    self._write_batch(_RETRY_TIMEOUT)
                self._is_troubled = False  # from now on, calls wait until what is left has been written
                self._drain(_TIMEOUT)
            except Exception:  # if this thread ended, the events would wait until the end of the process
                self._is_troubled = True
            finally:
                self._user = 0
        self._log_notices()
        return not self._is_troubled

    def _warn(self, message: str, addition: str = "") -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s%s", message, addition)

    def _log_notices(self) -> None:
        """Log the warnings about the file, without the lock: a thread that has a handler's lock may wait for it."""
        while self._file.notices:
            logger.warning("%s", self._file.notices.popleft())

    def disown(self, *, refuse: bool = False) -> None:
        """Stop using the file in this process, which has inherited an open connection to it.

        Args:
            refuse: Whether to refuse the statements of an interrupted write of this thread.
        """
        self._is_off = True
        self._file.disown(refuse)

    def _refuse(self) -> None:
        if not self._is_off:
            self.disown()
        self._warn(
            f"{self._path} is not used in process {os.getpid()}, which was forked inside a read or a write of the file "
            "or without Python's fork hooks; its events are only in its own log"
        )

    def end(self, outcome: str, detail: str | None = None, timeout: float = END_TIMEOUT, *, is_final: bool) -> None:
        """Write how the run of this process ended, if it has begun here.

        Args:
            outcome: `ended`, `failed` or `killed`.
            detail: Why; None if there is nothing to add.
            timeout: The maximum time to wait, in seconds. The final end waits longer while other processes write.
            is_final: Whether the process is ending: later events, which an exit handler may record, leave the end as it
                is. Otherwise, the next event revives the run.
        """
        if self._pid != os.getpid():
            self.disown()  # the end of this process would close the connection
        if not self._has_begun or self._is_off:
            return
        deadline = monotonic() + timeout
        if is_final:
            self._retrying.stop(timeout)
            self._retry_at = 0.0
            self._file.wait_for_writers_until = monotonic() + _SHUTDOWN_TIMEOUT
        if not (self._waiting or self._unlisted or os.path.exists(self._path)):
            return  # a file that was deleted is not created again for its end
        problem = None
        try:
            if not _lock.acquire(timeout=max(0.0, deadline - monotonic())):
                raise JournalError(f"{self._path} cannot be written: another thread is stuck in a write of it")
            if self._user:
                return
            self._user = get_ident()
            try:
                self._drain(max(0.0, deadline - monotonic()))
                self._is_troubled = False
                self._file.end(current_run(), outcome, detail, timeout, is_final)
                if is_final:
                    self._file.close(max(0.0, deadline - monotonic()))
            finally:
                self._user = 0
        except JournalError as error:
            problem = error
        finally:
            try:  # noqa: SIM105 - a signal handler may raise an exception when `suppress` is called
                _lock.release()
            except RuntimeError:  # not acquired, or by the parent of this process
                pass
        if problem is not None and (is_final or not self._is_troubled):
            lost = len(self._waiting) + sum(self._unlisted.values())
            self._warn(f"{problem}; events of this process that are not in it: {lost}" if lost else str(problem))
        self._log_notices()

    def close(self) -> None:
        """Close the file unless it is in use; the next event opens it again."""
        try:
            if _lock.acquire(blocking=False) and not self._user:
                self._file.close(0)
        finally:
            try:  # noqa: SIM105 - a signal handler may raise an exception when `suppress` is called
                _lock.release()
            except RuntimeError:  # not acquired, or by the parent of this process
                pass

    def before_fork(self) -> None:
        """Close the file, unless the fork comes from inside a write; the lock is held."""
        if not self._user:
            self._file.close()

    def after_fork_in_child(self) -> None:
        """Start with a closed file and no events; in a fork from inside a write, stop using the file."""
        if self._user or self._file.is_open:
            self.disown(refuse=self._user == get_ident())
        self._file.after_fork_in_child()
        self._start_anew()


_writers: dict[str, JournalWriter] = {}


def writer_of(path: str) -> JournalWriter:
    """Return the writer of this process for a journal. It is the same until the process ends, like its run.

    Args:
        path: The absolute path of the file, without symbolic links.
    """
    return _writers.get(path) or _writers.setdefault(path, JournalWriter(path))


def is_off(path: str) -> bool:
    """Return whether this process must not use a journal, because it has inherited an open connection to the file.

    Args:
        path: A path of the file.
    """
    writer = _writers.get(os.path.realpath(path))
    return writer is not None and writer.is_off


def switch_off(path: str) -> None:
    """Stop using a journal in this process, which has been forked inside a read.

    Args:
        path: A path of the file.
    """
    writer_of(os.path.realpath(path)).disown()


def _before_fork() -> None:
    FORK_LOCK.acquire(timeout=_FORK_TIMEOUT)  # first, because configure() has it when it attaches a journal
    _lock.acquire(timeout=_FORK_TIMEOUT)
    for writer in list(_writers.values()):
        writer.before_fork()


def _after_fork_in_parent() -> None:
    for lock in (_lock, FORK_LOCK):
        with suppress(RuntimeError):  # not acquired in time
            lock.release()


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()
    with suppress(RuntimeError):  # not acquired in time
        FORK_LOCK.release()
    for writer in list(_writers.values()):
        writer.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
