"""`Journal`: the events of all processes of a machine, past and present, in an SQLite file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from os import PathLike
from threading import RLock
from typing import Any
from weakref import WeakValueDictionary, finalize

from otel_kcevents.model.event import MAX_SIZE, Event
from otel_kcevents.model.messages import short_repr
from otel_kcevents.store.journal_errors import JournalError
from otel_kcevents.store.journal_rows import Batch
from otel_kcevents.store.journal_source import JournalSource
from otel_kcevents.store.journal_writer import JournalWriter, writer_of
from otel_kcevents.store.log import etl_of

__all__ = ["Journal", "JournalError"]


class Journal(JournalSource):
    """Keeps events in an SQLite file, which any number of processes of a machine write and read at the same time.

    It is a consumer of a log: `default_log.attach(Journal("kcevents.db"))` writes each event before the decorated call
    returns. It is also a source of the events of all processes. If the file cannot be written, the events wait in
    memory, one warning is logged, and they are written as soon as it is possible; the program is not disturbed.

    A process has one journal for each file: another call with the same path returns the same object, with the new
    retention if one is given.

    Args:
        path: The file. It is created when the journal is attached; its folder must exist.
        retention: How many events of each kind to keep, at least 1; None for no limit. Counters are never reduced.
        max_age: How long to keep events; None for no limit.

    Raises:
        TypeError: *path* is not a path, or *max_age* is not a timedelta.
        ValueError: *retention* or *max_age* is not positive.
    """

    path: str
    """The absolute path of the file, without symbolic links, so that all paths of a file share one lock."""
    _writer: JournalWriter

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
            is_new = not hasattr(self, "_writer")
            if is_new:
                self.path = os.path.realpath(os.fspath(path))
                self._writer = writer_of(self.path)
                finalize(self, self._writer.close).atexit = False
            if is_new or (retention, max_age) != (100_000, None):
                self._arguments = (self.path, retention, max_age)
                self._writer.keep(retention, age)

    def __reduce__(self) -> tuple[type[Journal], tuple[Any, ...]]:
        return Journal, self._arguments

    def __repr__(self) -> str:
        return f"Journal({self.path!r})"

    def __str__(self) -> str:
        return self.path

    def begin(self) -> None:
        """Register this process as a run now, instead of with its first event."""
        self._writer.begin()

    def __call__(self, event: Event, span_id: int = 0, trace_id: int = 0) -> None:
        """Write an event before this call returns, unless the file cannot be written.

        Args:
            event: The event.
            span_id: The id of its span, 0 for none.
            trace_id: The id of that span's trace, 0 for none.

        Raises:
            KeyError: No log of this process has the kind.
            ValueError: The time is not an integer, or the size is neither None nor an integer within bounds.
        """
        kind, time, size, *_ = event
        etl_of(kind)  # raises for an event that cannot be stored: the others must not wait for it
        if type(time) is not int or not (size is None or (type(size) is int and 0 <= size <= MAX_SIZE)):
            raise ValueError(
                f"time must be an integer, and size None or an integer from 0 to {MAX_SIZE:,}, "
                f"got {short_repr((time, size))}"
            )
        self._writer.append(event, span_id, trace_id)

    def _waiting_batches(self) -> Sequence[Batch]:
        return self._writer.waiting()


_journal_of: WeakValueDictionary[str, Journal] = WeakValueDictionary()  # by path
_creating = RLock()


def _after_fork_in_child() -> None:
    global _creating
    _creating = RLock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
