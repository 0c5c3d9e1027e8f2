"""`PageFollower`: the new events of a source that numbers its events by arrival, such as a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from otel_kcevents.cli.output import plural, print_error
from otel_kcevents.model.event import Event
from otel_kcevents.store.query import EventPage, EventQuery, ListedEvent, NotAvailableError
from otel_kcevents.store.source import Source

__all__ = ["PageFollower"]

_FIRST_PAGE = 16  # events; often none is new
_PAGE = 1000  # events, all in memory at once


class PageFollower:
    """Finds the new events of a journal by their numbers: each once, in the order of arrival, however many.

    The numbers are consecutive, so that a gap shows how many events were deleted before they could be read. If the
    journal cannot be read at first, or another one takes its place, all events are new.

    Args:
        source: Where to read from.
        count: How many past events to return.
    """

    def __init__(self, source: Source, count: int) -> None:
        self._source = source
        self._count = count
        self._is_first_call = True
        self._last: ListedEvent | None = None  # the last event that was returned

    def read(self) -> Iterator[Event]:
        """Return the past events at the first call, then the new ones, oldest first.

        Raises:
            NotAvailableError: The source has no events with numbers.
            OSError: The source cannot be read; the next call continues after the last event that was returned.
        """
        is_first_call, self._is_first_call = self._is_first_call, False
        first = self._read(EventQuery(limit=_FIRST_PAGE))
        if self._last is not None and self._continues(first, self._last):
            yield from self._events_after(_number(self._last), first)
            return
        self._last = self._before_past(first) if is_first_call else None
        start = _number(self._last) if self._last else 0
        yield from self._events_after(start, first, reports_gaps=False)

    def _read(self, query: EventQuery) -> EventPage:
        read: Callable[[EventQuery], EventPage] | None = getattr(self._source, "events", None)
        page = EventPage((), None) if read is None else read(query)
        if read is None or not all(listed.cursor.isdecimal() for listed in page.events):  # merged sources
            raise NotAvailableError(f"{self._source} does not number its events")
        return page

    def _continues(self, first: EventPage, last: ListedEvent) -> bool:
        """Return whether the source still has the events that were returned, except for those that it deleted."""
        number = _number(last)
        if not first.events or _number(first.events[0]) < number:
            return False
        page = first if _number(first.events[-1]) <= number else self._read(EventQuery(limit=1, before=str(number + 1)))
        return all(listed == last for listed in page.events if _number(listed) == number)

    def _before_past(self, page: EventPage) -> ListedEvent | None:
        """Return the newest event that is too old to be returned; None if there is none."""
        count = self._count
        while len(page.events) <= count:
            if page.next is None:
                return None
            count -= len(page.events)
            page = self._read(EventQuery(limit=_PAGE, before=page.next))
        return page.events[count]

    def _events_after(self, number: int, first: EventPage, reports_gaps: bool = True) -> Iterator[Event]:
        """Yield the events with higher numbers, oldest first, with one page in memory at a time."""
        page = first
        starts = []
        while page.next is not None and not (page.events and _number(page.events[-1]) <= number + 1):
            starts.append(page.next)
            page = self._read(EventQuery(limit=_PAGE, before=page.next))
        missed = 0
        while True:
            for listed in reversed(page.events):
                if _number(listed) > number:
                    missed += _number(listed) - number - 1
                    number = _number(listed)
                    self._last = listed
                    yield listed.event
            if not starts:
                break
            starts.pop()
            page = self._read(EventQuery(limit=_PAGE, before=starts[-1])) if starts else first
        if missed and reports_gaps:
            reason = "because it no longer holds them; use a shorter --interval"
            print_error(f"missed {plural(missed, 'event')} of {self._source}, {reason}")


def _number(listed: ListedEvent) -> int:
    return int(listed.cursor)
