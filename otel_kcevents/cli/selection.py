"""`Selection`: which events `otel-kcevents log` shows, and how they are read from a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from otel_kcevents.cli.output import by_arrival
from otel_kcevents.cli.sources import CommandError, method_of
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import DOCUMENTED, Event
from otel_kcevents.model.window import Window
from otel_kcevents.store.query import EventQuery, ListedEvent, NotAvailableError, find_runs
from otel_kcevents.store.source import Source

__all__ = ["FoundRun", "Listing", "Selection", "find_run", "read_newest", "read_run"]

_LIMIT = 256  # events of each kind, as in the document
_PAGE = 1000  # events that are read at once
_MAX_CANDIDATES = 5  # runs in an error message


class Selection(NamedTuple):
    """Which events to show.

    Attributes:
        kinds: The kinds, or prefixes of them; all kinds if empty.
        window: The window that an event's own time must be in; None for any time.
        set_window: The window that the window of an event's set must overlap; None for any, also for no window.
        only_errors: Whether to show only events that report a failure.
        traces: Whether the trace of each event is needed.
    """

    kinds: tuple[str, ...] = ()
    window: Window | None = None
    set_window: Window | None = None
    only_errors: bool = False
    traces: bool = False


class Listing(NamedTuple):
    """The selected events.

    Attributes:
        events: The events, the newest first.
        counters: The numbers of events by kind, in alphabetical order.
        etls: The names of the lists of the document.
    """

    events: Sequence[ListedEvent]
    counters: Mapping[str, int]
    etls: tuple[str, ...] = tuple(DOCUMENTED)

    @classmethod
    def of(cls, events: Iterable[ListedEvent]) -> Listing:
        """Return a listing whose counters count its events.

        Args:
            events: The events.
        """
        listed = list(events)
        return cls(listed, dict(sorted(Counter(one.event.kind for one in listed).items())))

    @property
    def document(self) -> Document:
        """The events in the form of `GET /model/etl/log`."""
        lists: dict[str, list[Event]] = {etl: [] for etl in self.etls}
        for listed in self.events:
            lists.setdefault(listed.etl, []).append(listed.event)
        return Document({etl: tuple(events) for etl, events in lists.items()}, self.counters)


def read_newest(source: Source, selection: Selection) -> Listing:
    """Return the newest 256 selected events of each kind, of all runs, and the counters of the source.

    Args:
        source: Where to read from.
        selection: Which events.

    Raises:
        CommandError: The source cannot be read, cannot answer, or refuses the selection.
    """
    with _command_errors():
        if selection.traces or selection.set_window is not None:
            try:
                return _read_pages(source, selection)
            except NotAvailableError:
                if selection.traces:
                    raise
        return _read_document(source, selection)


class FoundRun(NamedTuple):
    """A run that was selected.

    Attributes:
        ids: Its id, then those of its descendants.
        runs: All runs of the source, in the form of `GET /model/etl/runs`.
    """

    ids: tuple[str, ...]
    runs: Sequence[Mapping[str, Any]]


def find_run(source: Source, reference: str) -> FoundRun:
    """Return a run of a source.

    Args:
        source: Where to read from.
        reference: The run: `last`, or an id or its beginning.

    Raises:
        CommandError: The source cannot be read, has no runs, or not this one.
    """
    with _command_errors():
        runs = method_of(source, "runs", "runs")()
        return FoundRun(_find_run(runs, reference), runs)


def read_run(source: Source, selection: Selection, run: str) -> Iterator[ListedEvent]:
    """Yield all selected events of a run and its descendants, in the order of arrival, the newest first.

    Args:
        source: Where to read from.
        selection: Which events.
        run: The id of the run: `last` may be another one at the next page.

    Raises:
        CommandError: The source cannot be read, cannot answer, or refuses the selection.
    """
    with _command_errors():
        query = EventQuery(
            selection.kinds,
            selection.window,
            selection.set_window,
            (run,),
            selection.only_errors or None,
            _PAGE,
        )
        yield from _all_events(method_of(source, "events", "runs"), query)


@contextmanager
def _command_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error


def _read_document(source: Source, selection: Selection) -> Listing:
    document = source.document(selection.kinds, selection.window)
    query = EventQuery(set_window=selection.set_window)
    events = [
        ListedEvent(event, etl, None, None, None, "")
        for etl, listed in document.lists.items()
        for event in listed
        if (event.is_error or not selection.only_errors) and query.selects(event)
    ]
    return Listing(_newest_first(events), document.counters, tuple(document.lists))


def _newest_first(events: list[ListedEvent]) -> list[ListedEvent]:
    return by_arrival(events, lambda listed: (f"{listed.etl} {listed.event.kind}", listed.event.time))


def _read_pages(source: Source, selection: Selection) -> Listing:
    """Read the newest events of each kind with their traces; a document has none."""
    read = method_of(source, "events", "traces")
    read(EventQuery(selection.kinds, limit=1))  # refuses unknown kinds
    counters = source.counts()
    events: list[ListedEvent] = []
    for kind in counters:
        if selection.kinds and not f"{kind}Event".startswith(selection.kinds):
            continue
        query = EventQuery((kind,), selection.window, selection.set_window, (), selection.only_errors or None, _LIMIT)
        events += islice(_all_events(read, query), _LIMIT)
    listed = Counter(listed.event.kind for listed in events)
    return Listing(_newest_first(events), {kind: max(count, listed[kind]) for kind, count in counters.items()})


def _find_run(runs: Sequence[Mapping[str, Any]], reference: str) -> tuple[str, ...]:
    """Return the ids of a run and its descendants, the run first.

    Raises:
        ValueError: There is no such run, or there are several; the message lists some runs.
    """
    try:
        ids = find_runs(runs, reference)
    except ValueError as error:
        roots = [f"{run['id']} ({run['name']})" for run in runs if run["parent"] is None][:_MAX_CANDIDATES]
        raise ValueError(f"{error}; the newest runs are {', '.join(roots) or 'none'}") from None
    if not ids:
        raise ValueError("the source has no runs yet")
    return ids


def _all_events(read: Any, query: EventQuery) -> Iterator[ListedEvent]:
    """Read the events of all pages."""
    while True:
        page = read(query)
        yield from page.events
        if page.next is None:
            return
        query = query._replace(before=page.next)
