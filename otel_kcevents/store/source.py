"""`Source`: what every store of events answers, wherever it keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from otel_kcevents.model.document import Document
from otel_kcevents.model.window import Window

__all__ = ["Source"]


class Source(Protocol):
    """A store of events that can be read, such as an `EventLog` or a running program's log over HTTP.

    Some sources can do more. Those methods are optional, and absent from a source that cannot answer them:
    `runs()` lists the runs of the programs that wrote events, `events()` lists events with their trace, span
    and run, and `coverage()` gives the state of each window.
    """

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind, in alphabetical order, without zeros."""
        ...

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return the lists of events, newest first, and the counters of all events.

        Args:
            kinds: Kinds or the beginnings of kinds to list; all kinds if empty.
            window: The period that a listed event's own time is in.
            limit: How many events of each kind to list at most: the last ones of those selected.

        Raises:
            ValueError: One of *kinds* does not begin a kind, or *limit* is not an integer of at least 1.
        """
        ...
