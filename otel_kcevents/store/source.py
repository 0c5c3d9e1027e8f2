"""`Source`: the protocol of everything that events can be read from, and a check of the arguments of their methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from otel_kcevents.model.document import Document
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window

__all__ = ["Source", "check_selection"]


class Source(Protocol):
    """A store of events that can be read, such as an `EventLog` or a running program's log over HTTP.

    Further methods are optional, and absent from a source that cannot answer them: `runs()` lists the runs of
    the programs that wrote events, `events()` lists events with their trace, span and run, and `coverage()` gives
    the state of each window. They take no arguments and return values that `json.dumps` accepts.
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
