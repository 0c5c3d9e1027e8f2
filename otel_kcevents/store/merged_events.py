"""The runs and the events of several sources, merged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any
from urllib.parse import quote, unquote

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.store.query import EventPage, EventQuery, ListedEvent, NotAvailableError, find_runs

__all__ = ["merge_pages", "merge_runs"]

_START, _END = "", "="  # the positions in a source before its first event and after its last one


def merge_runs(sources: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the runs of several sources, the newest first, each once.

    A source without runs, such as a saved document, is skipped.

    Args:
        sources: The sources, at least one.

    Raises:
        NotAvailableError: No source has runs.
    """
    return _merged_runs(_runs_of(sources))


def _runs_of(sources: Sequence[Any]) -> list[list[dict[str, Any]]]:
    runs: list[list[dict[str, Any]]] = []
    problems = []
    for source in sources:
        try:
            runs.append(_method(source, "runs")())
        except NotAvailableError as error:
            problems.append(error)
            runs.append([])
    if len(problems) == len(sources):
        raise problems[0]
    return runs


def _merged_runs(runs: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    different = {run["id"]: run for listed in reversed(runs) for run in listed}
    return sorted(different.values(), key=lambda run: parse_time(run["started"]), reverse=True)


def _method(source: Any, name: str) -> Any:
    method = getattr(source, name, None)
    if method is None:
        raise NotAvailableError(
            f"{source} cannot list {name}, only a log document; give a journal, or omit this source"
        )
    return method


def merge_pages(sources: Sequence[Any], query: EventQuery) -> EventPage:
    """Return a page of the events of several sources, newest first; those of each source keep their order.

    A cursor holds the position in each source, and the run that `last` stands for. A source that knows none of the
    kinds, or none of the runs, is skipped.

    Args:
        sources: The sources, at least one.
        query: Which events to list.

    Raises:
        NotAvailableError: A source that has to be asked cannot list events.
        ValueError: No source knows the kinds or a run, or `before` is not the `next` of a page of these sources.
    """
    positions, last = _read_cursor(query.before, len(sources))
    queries: list[EventQuery | None] = [query] * len(sources)
    if query.runs:
        queries, last = _queries_of_runs(sources, query, last)
    pages, refusals = list[EventPage](), list[ValueError]()
    for source, own, position in zip(sources, queries, positions, strict=True):
        page = EventPage((), None)
        if own is not None and position != _END:
            try:
                page = _read_page(source, own._replace(before=unquote(position) or None))
            except ValueError as error:
                refusals.append(error)
        pages.append(page)
    if len(refusals) == len(sources) or (refusals and not query.kinds):
        raise refusals[0]
    found = list[ListedEvent]()
    waiting = [_keyed(page.events) for page in pages]
    for place, page in enumerate(pages):
        if not page.events:
            positions[place] = _position(page.next)
    while len(found) < query.limit and any(waiting):
        if any(page.next and not events for page, events in zip(pages, waiting, strict=True)):
            break  # the next events of that source may be newer than those of the others
        place = max((place for place, events in enumerate(waiting) if events), key=lambda place: waiting[place][0][0])
        _, listed = waiting[place].popleft()
        positions[place] = _position(listed.cursor if waiting[place] else pages[place].next)
        found.append(listed._replace(cursor=_cursor(positions, last)))
    is_last = all(position == _END for position in positions)
    return EventPage(tuple(found), None if is_last else _cursor(positions, last))


def _queries_of_runs(
    sources: Sequence[Any], query: EventQuery, last: str | None
) -> tuple[list[EventQuery | None], str | None]:
    """Return the query for each source, None for one without these runs, and the run that `last` stands for."""
    runs = _runs_of(sources)
    merged = _merged_runs(runs)
    if "last" in query.runs and last is None:
        last = next(iter(find_runs(merged, "last")), None)
    references = [last if reference == "last" else reference for reference in query.runs]
    roots = {find_runs(merged, reference)[0] for reference in references if reference is not None}
    queries: list[EventQuery | None] = []
    for listed in runs:
        own = tuple(run["id"] for run in listed if run["id"] in roots)
        queries.append(query._replace(runs=own) if own else None)
    return queries, last


def _read_page(source: Any, query: EventQuery) -> EventPage:
    """Return a page of the events of the kinds that the source knows.

    Raises:
        ValueError: It knows none of them.
    """
    read: Callable[[EventQuery], EventPage] = _method(source, "events")
    try:
        return read(query)
    except ValueError:
        known = tuple(kind for kind in query.kinds if _knows(read, kind))
        if not known:
            raise
        return read(query._replace(kinds=known))


def _knows(read: Callable[[EventQuery], EventPage], kind: str) -> bool:
    try:
        read(EventQuery((kind,), limit=1))
    except ValueError:
        return False
    return True


def _keyed(events: Sequence[ListedEvent]) -> deque[tuple[int, ListedEvent]]:
    """Return events with their arrival times: an event counts as at least as new as those below it."""
    arrivals = list(accumulate((listed.event.time for listed in reversed(events)), max))
    return deque(zip(reversed(arrivals), events, strict=True))


def _position(cursor: str | None) -> str:
    return _END if cursor is None else quote(cursor, safe="")


def _cursor(positions: Sequence[str], last: str | None) -> str:
    return ",".join(positions) + (f";{last}" if last else "")


def _read_cursor(text: str | None, count: int) -> tuple[list[str], str | None]:
    """Return the position in each source, and the run that `last` stands for."""
    if text is None:
        return [_START] * count, None
    positions, _, last = text.partition(";")
    if positions.count(",") + 1 != count:
        raise ValueError(f"before must be the `next` of the previous page of the same sources, got {short_repr(text)}")
    return positions.split(","), last or None
