"""`Source`: the protocol of everything that events can be read from, and what works on its documents."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import itemgetter
from time import time_ns
from typing import Protocol

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window

__all__ = ["Source", "check_selection", "merge_documents", "select", "snapshot_time"]


class Source(Protocol):
    """A store of events that can be read, such as an `EventLog` or a running program's log over HTTP.

    Further methods are optional. A source that never supports one does not have it; one that finds out only when it is
    asked, such as a `RemoteLog`, raises `NotAvailableError`.

    - `runs()` returns the runs of the programs that wrote events, the newest first: dictionaries in the form of
      `GET /model/etl/runs`.
    - `events(query)` returns an `EventPage` of events with their trace, span and run. It raises ValueError if it
      does not know a kind or a run of the `EventQuery`.
    - `window_results(start, end)` returns what the source knows about the windows that overlap a range, as
      `WindowResults`, from which `coverage()` in `store/coverage.py` computes the state of each window. Of a source
      without it, the document is read.
    - `totals()` returns the `KindTotals` of each kind that was seen.
    - `as_of()` returns when the source was saved, in nanoseconds since 1970, if it is a snapshot, which gets no more
      events; otherwise None. `coverage()` does not expect later windows of it.
    """

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind, in alphabetical order, without zeros."""
        ...

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return the lists of events, newest first, and the counters of all events.

        Args:
            kinds: The kinds to list, or prefixes of them; all kinds if empty.
            window: The window that an event's own time must be in to be listed; None for any time.
            limit: The maximum number of events to list of each kind: the newest of those selected.

        Raises:
            TypeError: *window* is not a Window.
            ValueError: One of *kinds* is not a prefix of a kind, or *limit* is not an integer of at least 1.
        """
        ...


def snapshot_time(source: Source) -> int | None:
    """Return when a source was saved, in nanoseconds since 1970; None if it is not a snapshot.

    A time in the future, of a clock that is ahead, is ignored: the source is read like one that is not a snapshot.

    Args:
        source: The source.

    Raises:
        OSError: The source cannot be read.
    """
    read: Callable[[], int | None] | None = getattr(source, "as_of", None)
    as_of = None if read is None else read()
    return None if as_of is None or as_of > time_ns() else as_of


def check_selection(window: object, limit: object) -> None:
    """Check arguments of a source's `document()`.

    Args:
        window: The argument `window`.
        limit: The argument `limit`.

    Raises:
        TypeError: *window* is neither a Window nor None.
        ValueError: *limit* is not an integer of at least 1.
    """
    if type(limit) is not int or limit < 1:
        raise ValueError(f"limit must be an integer of at least 1, got {short_repr(limit)}")
    if window is not None and not isinstance(window, Window):
        raise TypeError(f"window must be a Window, got {short_repr(window)}; convert it with Window.parse or Window.of")


def select(document: Document, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
    """Return a document with only the selected events in its lists; their order and the counters do not change.

    Args:
        document: The document.
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window: The window that an event's own time must be in to be listed; None for any time.
        limit: The maximum number of events to list of each kind, the first ones of each list.
    """
    prefixes = (kinds,) if isinstance(kinds, str) else tuple(kinds)

    def selected(events: Iterable[Event]) -> Iterator[Event]:
        listed = Counter[str]()
        for event in events:
            if prefixes and not f"{event.kind}Event".startswith(prefixes):
                continue
            if window is not None and not window.contains(event.time):
                continue
            listed[event.kind] += 1
            if listed[event.kind] <= limit:
                yield event

    return Document({etl: tuple(selected(events)) for etl, events in document.lists.items()}, document.counters)


def merge_documents(documents: Sequence[Document], limit: int = 256) -> Document:
    """Return one document with the events of several, newest first, and the sums of their counters.

    Each document's events keep their order. Lists, kinds and metadata that this package does not know are kept as
    they are.

    Args:
        documents: The documents, at least one.
        limit: The maximum number of events to list of each kind, the newest.
    """
    etls = dict.fromkeys(etl for document in documents for etl in document.lists)
    lists = {etl: _merge_events([document.lists.get(etl, ()) for document in documents]) for etl in etls}
    counters: dict[str, int] = {}
    spelled: dict[str, str] = {}  # a document counts a kind once, with or without a trailing Event
    for document in documents:
        for kind, count in document.counters.items():
            name = spelled.setdefault(kind.removesuffix("Event"), kind)
            counters[name] = counters.get(name, 0) + count
    return select(Document(lists, dict(sorted(counters.items()))), limit=limit)


def _merge_events(lists: Iterable[Sequence[Event]]) -> tuple[Event, ...]:
    """Merge lists of events, newest first.

    An event arrived after all events below it in its list, so it is treated as at least as new as the newest of them,
    even if the clock was set back.
    """

    def keyed(events: Sequence[Event]) -> list[tuple[int, Event]]:
        arrivals = list(accumulate((event.time for event in reversed(events)), max))
        return list(zip(reversed(arrivals), events, strict=True))

    merged = heapq.merge(*map(keyed, lists), key=itemgetter(0), reverse=True)
    return tuple(event for _, event in merged)
