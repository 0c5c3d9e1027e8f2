"""`merge()`: one source that answers with the events of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from otel_kcevents.model.document import Document
from otel_kcevents.model.window import Window
from otel_kcevents.store.merged_events import merge_pages, merge_runs
from otel_kcevents.store.query import EventPage, EventQuery
from otel_kcevents.store.source import Source, check_selection, merge_documents, select, snapshot_time
from otel_kcevents.store.totals import KindTotals, merge_totals, totals_of
from otel_kcevents.store.window_results import WindowResults, merge_results, read_results

__all__ = ["MergedSource", "merge"]


class MergedSource:
    """A source that reads several others; create it with `merge()`.

    Args:
        sources: The sources, at least one.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def __str__(self) -> str:
        return ", ".join(map(str, self._sources))

    def _repr_html_(self) -> str:
        from otel_kcevents.model.notebook import MAX_EVENTS, log_html  # only notebooks need it

        return log_html(str(self), lambda: self.document(limit=MAX_EVENTS))

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind in all sources, in alphabetical order, without zeros."""
        return dict(merge_documents([Document({}, source.counts()) for source in self._sources]).counters)

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return the lists of events of all sources, newest first, and the sums of their counters.

        Args:
            kinds: The kinds to list, or prefixes of them; all kinds if empty. At least one source must know each.
            window: The window that an event's own time must be in to be listed; None for any time.
            limit: The maximum number of events to list of each kind: the newest of those selected.

        Raises:
            TypeError: *window* is not a Window.
            ValueError: No source knows one of *kinds*, or *limit* is not an integer of at least 1.
        """
        check_selection(window, limit)
        prefixes = [kinds] if isinstance(kinds, str) else list(kinds)
        documents, refusals = [], []
        for source in self._sources:
            try:
                documents.append(source.document(prefixes, window, limit))
            except ValueError as error:  # it does not know one of the kinds, but may know others
                refusals.append(error)
                documents.append(select(source.document((), window, limit), prefixes))
        if len(refusals) == len(self._sources):
            raise refusals[0]
        return merge_documents(documents, limit)

    def totals(self) -> tuple[KindTotals, ...]:
        """Return the totals of each kind that was seen in any source, in alphabetical order.

        The sum of the records of a kind is None if a source does not know its part of it.

        Raises:
            OSError: A source cannot be read.
        """
        found = [totals_of(source) for source in self._sources]
        unknown = {
            totals.kind
            for source, of_source in zip(self._sources, found, strict=True)
            if not hasattr(source, "totals")
            for totals in of_source
        }
        return tuple(
            totals._replace(records=None) if totals.kind in unknown else totals for totals in merge_totals(found)
        )

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs of all sources, the newest first, each once; sources without runs are skipped.

        Raises:
            NotAvailableError: No source has runs.
        """
        return merge_runs(self._sources)

    def events(self, query: EventQuery = EventQuery()) -> EventPage:  # noqa: B008 - immutable
        """Return a page of the events of all sources, newest first; those of each source keep their order.

        Args:
            query: Which events to list. At least one source must know each kind and each run.

        Raises:
            NotAvailableError: A source cannot list events, only a document.
            ValueError: No source knows the kinds or a run, or `before` is not the `next` of a page of these sources.
        """
        return merge_pages(self._sources, query)

    def as_of(self) -> int | None:
        """Return when the newest of the sources was saved, if all are snapshots; otherwise None.

        Raises:
            OSError: A source cannot be read.
        """
        times = [snapshot_time(source) for source in self._sources]
        known = [time for time in times if time is not None]
        return max(known) if len(known) == len(times) else None

    def window_results(self, start: int, end: int) -> WindowResults:
        """Return what all sources together know about the windows of a range.

        Args:
            start: The start of the range, in nanoseconds since 1970 (UTC).
            end: The end of the range.

        Raises:
            OSError: A source cannot be read.
        """
        return merge_results([read_results(source, start, end) for source in self._sources])


def merge(*sources: Source) -> MergedSource:
    """Return a source that answers with the events of several sources.

    Args:
        sources: The sources, at least one.

    Raises:
        ValueError: No source is given.
    """
    if not sources:
        raise ValueError("merge() needs at least one source, got none")
    return MergedSource(sources)
