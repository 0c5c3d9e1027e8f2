"""Hypothesis strategies for windows, events and documents."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta, timezone

from hypothesis import strategies as st

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import KINDS, MAX_SIZE, Event, Failure, Kind, kinds_of
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS
from otel_kcevents.model.window import Window

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
texts_with_surrogates = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=20).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # joins whole pairs
)
times = st.integers(MIN_NS, MAX_NS)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def window_between(ends: tuple[int, int], open_start: bool, open_end: bool) -> Window:
    return Window.from_ns(None if open_start else min(ends), None if open_end else max(ends))


def windows(times: st.SearchStrategy[int] = times) -> st.SearchStrategy[Window]:
    return st.builds(window_between, st.tuples(times, times), st.booleans(), st.booleans())


def events_of(kind: Kind, texts: st.SearchStrategy[str] = texts) -> st.SearchStrategy[Event]:
    """Events of one kind, each of its documented fields present or missing."""
    sizes = st.none() | st.integers(0, MAX_SIZE) if kind.outcome.sized else st.none()
    failures = st.none() | st.builds(Failure, texts, texts, st.none() | texts) if kind.outcome.error else st.none()
    return st.builds(Event, st.just(kind.name), times, sizes, st.none() | windows(), failures, st.none())


def documents(texts: st.SearchStrategy[str] = texts) -> st.SearchStrategy[Document]:
    """Documents with the documented lists and, in some, lists of added sets."""

    def events(etl: str, set_name: str) -> st.SearchStrategy[list[Event]]:
        return st.lists(st.one_of([events_of(kind, texts) for kind in kinds_of(etl, set_name).values()]), max_size=3)

    def document(lists: dict[str, list[Event]], more: dict[str, int]) -> Document:
        listed = Counter(event.kind for events in lists.values() for event in events)
        return Document({etl: tuple(events) for etl, events in lists.items()}, dict(listed + Counter(more)))

    documented = {etl: events(etl, name) for etl, name in {"allocation": "AllocationSet", "asset": "AssetSet"}.items()}
    added = {etl: events(etl, name) for etl, name in {"cloud": "CloudCostSet", "_2": "X"}.items()}
    counters = st.dictionaries(st.sampled_from(list(KINDS)), st.integers(1, 10**6), max_size=3)
    return st.builds(document, st.fixed_dictionaries(documented, optional=added), counters)
