"""`EventQuery`: which events of a source to list, with ids that a log document does not have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from otel_kcevents.model.event import Event
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window

__all__ = ["EventPage", "EventQuery", "ListedEvent", "NotAvailableError", "find_runs", "newest_runs"]

_Run = TypeVar("_Run", bound=Mapping[str, Any])
_MAX_SHOWN = 5  # ids in a message


class NotAvailableError(OSError):
    """Raised if a source, such as a program without a journal, has no runs or no pages of events."""


class EventQuery(NamedTuple):
    """Which events to list.

    Attributes:
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window: The window that an event's own time must be in; None for any time.
        set_window: The window that the window of an event's set must overlap; None for any, also for no window.
        runs: The runs that recorded the events, each with its descendants: `last` for the newest root run, or the id of
            a run or its beginning; all runs if empty.
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

    def selects(self, event: Event) -> bool:
        """Return whether an event's own time and the window of its set match the selected windows.

        Args:
            event: The event.
        """
        if self.window is not None and not self.window.contains(event.time):
            return False
        return self.set_window is None or (event.window is not None and _overlap(self.set_window, event.window))


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
        """Return the event in the form of `GET /model/etl/events`: the fields of the log document, and the ids."""
        ids = {"traceId": self.trace_id, "spanId": self.span_id, "run": self.run, "cursor": self.cursor}
        return {"etl": self.etl, **self.event.to_dict(), **ids}


class EventPage(NamedTuple):
    """Some of the selected events, in the order of their arrival, the newest first.

    A page may have fewer events than the query's limit, or none, although others follow: a source looks at a limited
    number of events for each page.

    Attributes:
        events: The events.
        next: The `before` of a query for the next page; None if this is the last one.
    """

    events: tuple[ListedEvent, ...]
    next: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the page in the form of `GET /model/etl/events`."""
        return {"events": [event.to_dict() for event in self.events], "next": self.next}


def _overlap(first: Window, second: Window) -> bool:
    return _begins_before(first.start_ns, second.end_ns) and _begins_before(second.start_ns, first.end_ns)


def _begins_before(start: int | None, end: int | None) -> bool:
    return start is None or end is None or start < end


def find_runs(runs: Sequence[Mapping[str, Any]], reference: str) -> tuple[str, ...]:
    """Return the ids of a run and of all its descendants, the run first.

    Args:
        runs: The runs, the newest first, in the form of `GET /model/etl/runs`; `id` and `parent` are read.
        reference: `last` for the newest root run, or the id of a run or its beginning, if that is unique.

    Returns:
        The ids; none if *reference* is `last` and there is no run.

    Raises:
        ValueError: No run has such an id, or several do.
    """
    if reference == "last":
        found = [run["id"] for run in runs if run["parent"] is None][:1]
    else:
        starting = [run["id"] for run in runs if reference and run["id"].startswith(reference)]
        found = [id_ for id_ in starting if id_ == reference] or starting
        if not found:
            raise ValueError(f"no run has the id {short_repr(reference)}; expected 'last', or an id or its beginning")
        if len(found) > 1:
            shown = ", ".join([*found[:_MAX_SHOWN], *["…"] * (len(found) > _MAX_SHOWN)])
            raise ValueError(
                f"{len(found)} runs have ids that start with {short_repr(reference)}: {shown}; give more of the id"
            )
    return _with_descendants(runs, found)


def newest_runs(runs: Sequence[_Run], limit: int) -> list[_Run]:
    """Return the newest root runs and all their descendants, in the order of *runs*.

    Args:
        runs: The runs, the newest first, in the form of `GET /model/etl/runs`; `id` and `parent` are read.
        limit: The maximum number of root runs.
    """
    roots = [run["id"] for run in runs if run["parent"] is None][:limit]
    selected = set(_with_descendants(runs, roots))
    return [run for run in runs if run["id"] in selected]


def _with_descendants(runs: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> tuple[str, ...]:
    found = list(ids)
    children = defaultdict(list)
    for run in runs:
        children[run["parent"]].append(run["id"])
    for id_ in found:  # which grows; children are added once, even if another program's runs form a cycle
        found += children.pop(id_, [])
    return tuple(found)
