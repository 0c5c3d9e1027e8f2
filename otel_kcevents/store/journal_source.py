"""`JournalSource`: reads the documents, events and runs of all processes from a journal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from sqlite3 import Connection
from typing import Any, TypeVar

from otel_kcevents.model.document import Document
from otel_kcevents.model.window import Window
from otel_kcevents.store.journal_events import (
    read_counts,
    read_document,
    read_events,
    read_written,
    unwritten,
    waiting_document,
)
from otel_kcevents.store.journal_reader import MAX_SECONDS, read_journal, read_runs
from otel_kcevents.store.journal_rows import Batch
from otel_kcevents.store.journal_windows import read_totals, read_window_results
from otel_kcevents.store.lock_file import lock_file
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.query import EventPage, EventQuery
from otel_kcevents.store.run import current_run
from otel_kcevents.store.source import check_selection, merge_documents, select
from otel_kcevents.store.totals import KindTotals
from otel_kcevents.store.window_results import WindowResults

__all__ = ["JournalSource"]

_T = TypeVar("_T")

_WHOLE_SECONDS = 20.0  # a file of an older version has no summary: all of its events are read


class JournalSource(ABC):
    """The methods by which a `Journal` is read."""

    path: str
    """The absolute path of the file, without symbolic links, so that all paths of a file share one lock."""

    @abstractmethod
    def _waiting_batches(self) -> Sequence[Batch]:
        """Return the events of this process that may not be in the file yet."""

    def _read(self, read: Callable[[Connection], _T], timeout: float = MAX_SECONDS) -> _T:
        return read_journal(self.path, read, timeout)

    def _read_with_waiting(self, read: Callable[[Connection], Document]) -> tuple[Document, Document]:
        """Return the document that a function reads, and that of the events of this process that the file lacks."""
        batches = self._waiting_batches()  # before the file is read, so that no event is missed in between
        run = current_run().id
        return self._read(
            lambda connection: (
                read(connection),
                waiting_document(batches, read_written(connection, run), etl_of),
            )
        )

    def _repr_html_(self) -> str:
        from otel_kcevents.model.notebook import MAX_EVENTS, log_html  # only notebooks need it

        return log_html(f"Journal {self.path}", lambda: self.document(limit=MAX_EVENTS))

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind of all processes, in alphabetical order, without zeros.

        Raises:
            JournalError: The file cannot be read.
        """
        documents = self._read_with_waiting(lambda connection: Document({}, read_counts(connection)))
        return dict(merge_documents(documents).counters)

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return the lists of events of all processes, newest first, and the counters of all events.

        Events of this process that wait to be written are included.

        Args:
            kinds: The kinds to list, or prefixes of them; all kinds if empty.
            window: The window that an event's own time must be in to be listed; None for any time.
            limit: The maximum number of events to list of each kind: the newest of those selected.

        Raises:
            JournalError: The file cannot be read.
            TypeError: *window* is not a Window.
            ValueError: One of *kinds* is not a prefix of a kind, or *limit* is not an integer of at least 1.
        """
        check_selection(window, limit)
        prefixes = [kinds] if isinstance(kinds, str) else list(kinds)
        document, waiting = self._read_with_waiting(
            lambda connection: read_document(connection, prefixes, window, limit)
        )
        if not waiting.counters:
            return document
        return merge_documents([document, select(waiting, prefixes, window, limit)], limit)

    def window_results(self, start: int, end: int) -> WindowResults:
        """Return what is known about the windows that overlap a range, from which `coverage()` decides their states.

        Events of this process that wait to be written are included.

        Args:
            start: The start of the range, in nanoseconds since 1970 (UTC).
            end: The end of the range.

        Raises:
            JournalError: The file cannot be read.
        """
        batches, run = self._waiting_batches(), current_run().id

        def read(connection: Connection) -> WindowResults:
            entries, _ = unwritten(batches, read_written(connection, run))
            return read_window_results(connection, start, end, entries, etl_of)

        return self._read(read, _WHOLE_SECONDS)

    def totals(self) -> tuple[KindTotals, ...]:
        """Return the totals of each kind that was seen in any process, in alphabetical order.

        Events of this process that wait to be written are included.

        Raises:
            JournalError: The file cannot be read.
        """
        batches, run = self._waiting_batches(), current_run().id
        return self._read(
            lambda connection: read_totals(connection, *unwritten(batches, read_written(connection, run)), etl_of),
            _WHOLE_SECONDS,
        )

    def events(self, query: EventQuery = EventQuery()) -> EventPage:  # noqa: B008 - immutable
        """Return a page of events with their traces, spans and runs; events that wait to be written are not included.

        Args:
            query: Which events to list.

        Raises:
            JournalError: The file cannot be read.
            ValueError: A kind or a run is unknown, or `before` is not the `next` of a page.
        """
        return self._read(lambda connection: read_events(connection, query))

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs, the newest first, in the form of `GET /model/etl/runs`.

        Raises:
            JournalError: The file cannot be read.
        """
        own = current_run().id
        locks = lock_file(f"{self.path}-lock")
        return self._read(lambda connection: read_runs(connection, lambda run: run == own or locks.is_held(run)))
