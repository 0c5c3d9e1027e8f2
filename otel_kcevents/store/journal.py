"""`Journal`: the events of all processes of a machine, past and present, in an SQLite file."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from os import PathLike
from threading import Event as Signal
from threading import RLock, Thread
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from otel_kcevents.model.event import Event
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.store.journal_errors import JournalError
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import Batch, Entry
from otel_kcevents.store.journal_source import JournalSource
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.run import complete_run, current_run
from otel_kcevents.store.run_end import END_TIMEOUT, end_with_process

__all__ = ["Journal", "JournalError"]

_TIMEOUT = 0.5  # seconds that a call waits for other writers; after it, calls do not wait at all until the trouble ends
_RETRY_TIMEOUT = 0.01  # seconds that an attempt of the retry thread waits
_RETRY_INTERVAL = 1.0  # seconds
_MAX_WAITING = 10_000
_BATCH = 256  # events of a transaction, which takes some milliseconds
_FORK_TIMEOUT = 10.0  # seconds


class Journal(JournalSource):
    """Keeps events in an SQLite file, which any number of processes of a machine write and read at the same time.

    It is a consumer of a log: `default_log.attach(Journal("kcevents.db"))` writes each event before the decorated call
    returns. It is also a source of the events of all processes. If the file cannot be written, the events wait in
    memory, one warning is logged, and they are written as soon as it is possible; the program is not disturbed.

    A process has one journal for each file: creating it again returns the same object, with the new retention if one is
    given.

    Args:
        path: The file. It is created when the journal is attached; its folder must exist.
        retention: How many events of each kind to keep, at least 1; None for all. Counters are never reduced.
        max_age: For how long to keep events; None for ever.

    Raises:
        TypeError: *path* is not a path, or *max_age* is not a timedelta.
        ValueError: *retention* or *max_age* is not positive.
    """

    path: str
    """The absolute path of the file, without symbolic links: two paths of one file must have the same lock."""
    _file: JournalFile

    def __new__(
        cls, path: str | PathLike[str], retention: int | None = 100_000, max_age: timedelta | None = None
    ) -> Journal:
        with _creating:  # two journals of one file would give their events the same numbers
            return _journal_of.setdefault(os.path.realpath(os.fspath(path)), super().__new__(cls))

    def __init__(
        self, path: str | PathLike[str], retention: int | None = 100_000, max_age: timedelta | None = None
    ) -> None:
        if retention is not None and (type(retention) is not int or retention < 1):
            raise ValueError(f"retention must be an integer of at least 1, or None, got {short_repr(retention)}")
        if max_age is not None and not isinstance(max_age, timedelta):
            raise TypeError(f"max_age must be a timedelta or None, got {short_repr(max_age)}")
        if max_age is not None and max_age <= timedelta():
            raise ValueError(f"max_age must be positive, got {short_repr(max_age)}")
        age = None if max_age is None else max_age // timedelta(microseconds=1) * 1000
        with _creating:
            if self in _journals:
                if (retention, max_age) != (100_000, None):
                    self._arguments = (self.path, retention, max_age)
                    self._file.keep(retention, age)
                return
            self.path = os.path.realpath(os.fspath(path))
            self._arguments = (self.path, retention, max_age)
            self._file = JournalFile(self.path, retention, age, etl_of)
            self._is_off = False
            self._warned: set[str] = set()
            self._start_anew()
            _journals.add(self)

    def __reduce__(self) -> tuple[type[Journal], tuple[Any, ...]]:
        return Journal, self._arguments

    def __repr__(self) -> str:
        return f"Journal({self.path!r})"

    def __str__(self) -> str:
        return self.path

    def _start_anew(self) -> None:
        """Start without waiting events and with locks that no other thread holds."""
        self._pid = os.getpid()
        self._queue_lock = RLock()  # for moments only
        self._file_lock = RLock()  # reentrant: a signal handler or the garbage collector may append inside a write
        self._reading = RLock()
        self._is_writing = False
        self._waiting: deque[Entry] = deque()
        self._is_queueing = False
        self._unlisted = Counter[str]()  # by kind: events that are only counted, because too many were waiting
        self._batch: Batch | None = None  # some of those that wait; stays the same until it is written
        self._written = 0  # how many events of this run have been written
        self._is_troubled = False
        self._has_begun = False
        self._stop = Signal()

    def begin(self) -> None:
        """Register this process as a run now, instead of with its first event."""
        self._write()

    def __call__(self, event: Event, span_id: int = 0, trace_id: int = 0) -> None:
        """Write an event, before this call returns unless the file is in trouble.

        Args:
            event: The event.
            span_id: The id of its span, 0 for none.
            trace_id: The id of that span's trace, 0 for none.
        """
        with self._queue_lock:
            is_inner, self._is_queueing = self._is_queueing, True
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(Entry(event, span_id, trace_id))
            else:
                self._unlisted[event.kind] += 1
            self._is_queueing = is_inner
        if not self._is_troubled and not is_inner:  # the call that this one interrupts writes both
            self._write()

    def _write(self) -> None:
        if self._pid != os.getpid():
            return self._switch_off()
        with self._file_lock:
            if self._is_writing or self._is_troubled or self._is_off:
                return  # the call that this one interrupts goes on, or the retry thread does
            self._is_writing = True
            try:
                self._drain(_TIMEOUT)
            except JournalError as error:
                self._retry_later(error)
            finally:
                self._is_writing = False

    def _drain(self, timeout: float) -> None:
        """Write everything that waits; the file's lock is held."""
        if not self._has_begun:
            self._has_begun = True
            complete_run()
            end_with_process(self)
        while self._write_batch(timeout):
            pass

    def _write_batch(self, timeout: float) -> bool:
        """Write some of the events that wait; return whether more are waiting."""
        with self._queue_lock:
            batch = self._batch or self._next_batch()
        self._file.write(current_run(), batch, timeout)
        with self._queue_lock:  # an exception of a signal handler may interrupt this: it can be done again
            waiting = self._waiting
            for entry in batch.entries:
                if waiting and waiting[0] is entry:
                    waiting.popleft()
            self._written = batch.last
            self._batch = None
            return bool(waiting or self._unlisted)

    def _next_batch(self) -> Batch:
        entries = tuple(islice(self._waiting, _BATCH))
        self._batch = batch = Batch(entries, self._written + len(entries))
        if self._unlisted and len(entries) == len(self._waiting):
            self._batch = batch = Batch(entries, batch.last + self._unlisted.total(), self._unlisted)
            self._unlisted = Counter()
        return batch

    def _retry_later(self, error: JournalError) -> None:
        self._is_troubled = True
        self._warn(f"{error}; events wait in memory until it can be written")
        with suppress(RuntimeError):  # the interpreter is exiting
            Thread(target=self._retry, args=(self._stop,), name="kcevents-journal", daemon=True).start()

    def _retry(self, stop: Signal) -> None:
        while not stop.wait(_RETRY_INTERVAL):
            with self._file_lock:
                try:
                    self._drain(_RETRY_TIMEOUT)
                    self._is_troubled = False
                    break
                except JournalError:
                    continue

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            _logger.warning("%s", message)

    def _switch_off(self) -> None:
        """Give up in a process that was forked without Python's hooks; the connection is the parent's."""
        self._is_off = True
        self._warn(f"{self.path} is not written in process {os.getpid()}, which was forked without Python's fork hooks")

    def end(
        self, outcome: str, detail: str | None = None, timeout: float = END_TIMEOUT, *, is_final: bool = True
    ) -> None:
        """Write how the run of this process ended.

        Args:
            outcome: `ended`, `failed` or `killed`.
            detail: Why; None if there is nothing to add.
            timeout: The maximum time to wait, in seconds.
            is_final: Whether later events, which an exit handler may record, leave the end as it is; otherwise they
                revive the run.
        """
        if self._pid != os.getpid() or not self._has_begun or not self._file_lock.acquire(timeout=timeout):
            return
        try:
            if self._is_writing or self._is_off:
                return
            self._drain(timeout)
            self._file.end(current_run(), outcome, detail, timeout, is_final)
        except JournalError as error:
            self._warn(str(error))
        finally:
            self._file_lock.release()

    def _waiting_batches(self) -> Sequence[Batch]:
        with self._queue_lock:
            batch = self._batch or Batch((), self._written)
            rest = tuple(islice(self._waiting, len(batch.entries), None))
            unlisted = dict(self._unlisted)
        return batch, Batch(rest, batch.last + len(rest) + sum(unlisted.values()), unlisted)

    def _before_fork(self) -> None:
        """Wait for other threads and close the file: a connection must not be used on both sides of a fork."""
        self._file_lock.acquire(timeout=_FORK_TIMEOUT)
        self._reading.acquire(timeout=_FORK_TIMEOUT)
        self._queue_lock.acquire(timeout=_FORK_TIMEOUT)
        if not self._is_writing:
            self._file.close()

    def _after_fork_in_parent(self) -> None:
        for lock in (self._queue_lock, self._reading, self._file_lock):
            with suppress(RuntimeError):  # not acquired in time
                lock.release()

    def _after_fork_in_child(self) -> None:
        if self._is_writing:  # the fork came from inside a write, by a signal handler
            self._is_off = True
        self._file.after_fork_in_child()
        self._start_anew()


_journals: WeakSet[Journal] = WeakSet()
_journal_of: WeakValueDictionary[str, Journal] = WeakValueDictionary()  # by path
_creating = RLock()


def _before_fork() -> None:
    for journal in list(_journals):
        journal._before_fork()


def _after_fork_in_parent() -> None:
    for journal in list(_journals):
        journal._after_fork_in_parent()


def _after_fork_in_child() -> None:
    global _creating
    _creating = RLock()
    for journal in list(_journals):
        journal._after_fork_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
