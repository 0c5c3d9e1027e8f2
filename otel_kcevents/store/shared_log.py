"""`SharedLog`: what a process with a journal serves, also while the journal cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from otel_kcevents.model.document import Document
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.window import Window
from otel_kcevents.store.source import Source, check_selection, select
from otel_kcevents.store.totals import KindTotals, totals_of

if TYPE_CHECKING:
    from otel_kcevents.store.window_results import WindowResults

__all__ = ["SharedLog"]

_T = TypeVar("_T")


class SharedLog:
    """A source that answers from a journal, or from the log of this process if the journal cannot be read.

    The journal's other methods, `runs()` and `events()`, are available too, but only from the journal itself.

    Args:
        own: The log of this process.
        journal: The journal.
        pause: Seconds between a failed attempt to read it, which may take half a second, and the next one.
    """

    def __init__(self, own: Source, journal: Source, pause: float = 5.0) -> None:
        self._own = own
        self._journal = journal
        self._pause = pause
        self._own_until = 0.0
        self._warned: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying asks before `_journal` is set
            raise AttributeError(name)
        return getattr(self._journal, name)

    def __str__(self) -> str:
        return str(self._journal)

    def _read(self, read: Callable[[Source], _T]) -> _T:
        if monotonic() < self._own_until:
            return read(self._own)
        try:
            return read(self._journal)
        except FileNotFoundError:  # nothing has been written yet
            return read(self._own)
        except OSError as error:
            self._own_until = monotonic() + self._pause
            message = f"{error}; meanwhile, only the events of this process are served"
            if message not in self._warned:
                self._warned.add(message)
                _logger.warning("%s", message)
            return read(self._own)

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind, in alphabetical order, without zeros."""
        return self._read(lambda source: source.counts())

    def totals(self) -> tuple[KindTotals, ...]:
        """Return the totals of each kind that was seen, in alphabetical order."""
        return self._read(totals_of)

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return the lists of events, newest first, and the counters of all events.

        Args:
            kinds: The kinds to list, or prefixes of them; all kinds if empty.
            window: The window that an event's own time must be in to be listed; None for any time.
            limit: The maximum number of events to list of each kind: the newest of those selected.

        Raises:
            TypeError: *window* is not a Window.
            ValueError: One of *kinds* is not a prefix of a kind that this process or the journal knows, or *limit* is
                not an integer of at least 1.
        """
        check_selection(window, limit)
        prefixes = [kinds] if isinstance(kinds, str) else list(kinds)
        document = self._read(lambda source: self._document(source, prefixes, window, limit))
        # Sets that this process knows have a list, also before their first event.
        lists = dict.fromkeys(self._own.document(limit=1).lists, ()) | dict(document.lists)
        return Document(lists, document.counters)

    def window_results(self, start: int, end: int) -> WindowResults:
        """Return what the journal, or the log of this process, knows about the windows of a range.

        Args:
            start: The start of the range, in nanoseconds since 1970 (UTC).
            end: The end of the range.
        """
        from otel_kcevents.store.window_results import read_results  # few programs need it, and all import this module

        return self._read(lambda source: read_results(source, start, end))

    def _document(self, source: Source, prefixes: list[str], window: Window | None, limit: int) -> Document:
        try:
            return source.document(prefixes, window, limit)
        except ValueError:
            for prefix in prefixes:
                try:
                    self._own.document([prefix], limit=1)
                except ValueError:
                    source.document([prefix], limit=1)
            return select(source.document((), window, limit), prefixes)
