"""`EventQuery`: which events of a source to list, with what the log's own document cannot represent."""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window

__all__ = ["EventPage", "EventQuery", "ListedEvent"]


class EventQuery(NamedTuple):
    """Which events to list.

    Attributes:
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window: The window that an event's own time must be in; None for any time.
        set_window: The window that the window of an event's set must overlap; None for any, also for no window.
        runs: The ids of the runs that recorded the event; all runs if empty.
        errors: True for events that report a failure, False for the others, None for both.
        limit: The maximum number of events of a page, at least 1.
        before: The `next` of the previous page; None for the first page.
    """

    kinds: tuple[str, ...] = ()
    window: Window | None = None
    set_window: Window | None = None
    runs: tuple[str, ...] = ()
    errors: bool | None = None
    limit: int = 256
    before: str | None = None


class ListedEvent(NamedTuple):
    """An event with what its source knows about it.

    Attributes:
        event: The event.
        etl: The name of its list, such as `allocation`.
        trace_id: The trace of its span, as 32 hexadecimal digits; None if it has no recorded span.
        span_id: Its span, as 16 hexadecimal digits; None if it has no recorded span.
        run: The id of the run that recorded it; None if unknown.
        cursor: The `before` of a query for the events after this one in the list.
    """

    event: Event
    etl: str
    trace_id: str | None
    span_id: str | None
    run: str | None
    cursor: str

    def to_dict(self) -> dict[str, Any]:
        """Return the event in the form of `GET /model/etl/events`: as in the log, and the other fields."""
        ids = {"traceId": self.trace_id, "spanId": self.span_id, "run": self.run, "cursor": self.cursor}
        return {"etl": self.etl, **self.event.to_dict(), **ids}


class EventPage(NamedTuple):
    """Some of the selected events, in the order of their arrival, the newest first.

    Attributes:
        events: The events.
        next: The `before` of a query for the next page; None if this is the last one.
    """

    events: tuple[ListedEvent, ...]
    next: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the page in the form of `GET /model/etl/events`."""
        return {"events": [event.to_dict() for event in self.events], "next": self.next}
