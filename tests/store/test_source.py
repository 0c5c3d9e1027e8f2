"""`select()` and `merge()`: documents and sources, reduced and put together."""

from __future__ import annotations

import pytest
from clients import DAY, Broken, filled, log_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event
from otel_kcevents.model.timestamps import MAX_NS
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.merged_source import merge
from otel_kcevents.store.source import merge_documents, select, snapshot_time


def asset(*times: int, kind: str = "AssetSetSaved") -> tuple[Event, ...]:
    return tuple(Event(kind, time) for time in times)


def document(*events: Event, etl: str = "asset", **counters: int) -> Document:
    return Document({etl: events}, counters)


@given(documents())
def test_select_without_a_selection_changes_nothing(document: Document) -> None:
    assert select(document) == document
    assert merge_documents([document]).lists == document.lists


@pytest.mark.parametrize(
    ("kinds", "window", "limit"),
    [("AssetSet", None, 256), (["AllocationSetS"], DAY, 1), (["AllocationSetSavedEvent"], None, 256)],
)
def test_select_equals_the_selection_of_the_log(kinds: str, window: Window | None, limit: int) -> None:
    log = filled()
    assert select(log.document(), kinds, window, limit) == log.document(kinds, window, limit)


def test_merged_events_are_newest_first() -> None:
    merged = merge_documents([document(*asset(9, 5, 1)), document(*asset(8, 5, 0)), document()])
    assert [event.time for event in merged.lists["asset"]] == [9, 8, 5, 5, 1, 0]


def test_merge_keeps_the_order_of_each_source() -> None:
    """An event that is listed above a newer one arrived later, after the clock was set back."""
    merged = merge_documents([document(*asset(8, 7)), document(*asset(5, 10, 9))])
    assert [event.time for event in merged.lists["asset"]] == [5, 10, 9, 8, 7]


@given(st.lists(st.lists(st.integers(0, 20)), min_size=1, max_size=4))
def test_merge_loses_and_reorders_nothing(times: list[list[int]]) -> None:
    sources = [[Event("AssetSetSaved", time, place) for time in list_] for place, list_ in enumerate(times)]
    merged = merge_documents([document(*events) for events in sources], limit=10**6).lists["asset"]
    for place, events in enumerate(sources):
        assert [event for event in merged if event.size == place] == events


def test_merge_lists_the_newest_of_each_kind() -> None:
    totaled = asset(0, kind="AssetSetTotaled")
    merged = merge_documents([document(*asset(9, 7), *totaled), document(*asset(8, 6))], limit=3)
    assert merged.lists["asset"] == (*asset(9, 8, 7), *totaled)


def test_merge_keeps_lists_that_only_one_source_has() -> None:
    merged = merge_documents([document(*asset(1)), document(*asset(2), etl="cloud")])
    assert merged.lists == {"asset": asset(1), "cloud": asset(2)}


def test_merge_adds_the_counters() -> None:
    """A kind with and without a trailing `Event` is one kind, in the spelling of the first source."""
    merged = merge_documents([document(B=1, XEvent=2), document(A=5, B=3, X=4)])
    assert list(merged.counters.items()) == [("A", 5), ("B", 4), ("XEvent", 6)]


def test_merged_source_combines_counts_and_lists() -> None:
    first, second = filled(), log_of(*asset(1, 2, 3))
    source = merge(first, second)
    assert source.counts() == {**first.counts(), "AssetSetSaved": 4}
    assert source.document(window=Window.from_ns(0, 10), limit=2).lists["asset"] == asset(3, 2)
    assert str(source) == "EventLog(retention=256), EventLog(retention=256)"


def test_kind_that_one_source_knows_can_be_selected() -> None:
    """The other source still lists the other selected kinds."""
    own = EventLog()
    own.add_set("cloud", "CloudCostSet")
    own.append(Event("CloudCostSetSaved", 1, 5))
    other = log_of(*asset(1), Event("AllocationSetSaved", 1, 5))
    found = merge(own, other).document(["CloudCostSet", "AssetSet"])
    assert found.lists["allocation"] == ()
    assert [*found.lists["asset"], *found.lists["cloud"]] == [*asset(1), Event("CloudCostSetSaved", 1, 5)]
    with pytest.raises(ValueError, match="'Nope'"):
        merge(own, filled()).document("Nope")


def test_source_that_cannot_be_read_fails_the_merge() -> None:
    with pytest.raises(RuntimeError, match="inner reason"):
        merge(filled(), Broken()).document()


def test_merge_of_nothing_raises_value_error() -> None:
    with pytest.raises(ValueError, match="at least one source"):
        merge()


class Snapshot(EventLog):
    """An empty log that was saved at a time."""

    def __init__(self, time: int | None) -> None:
        super().__init__()
        self._time = time

    def as_of(self) -> int | None:
        return self._time


LIVE, EARLY, LATE, FUTURE = EventLog(), Snapshot(5), Snapshot(9), Snapshot(MAX_NS)


@pytest.mark.parametrize(
    ("sources", "time"),
    [((LIVE,), None), ((EARLY, LATE), 9), ((EARLY, LIVE), None), ((Snapshot(None), LATE), None), ((FUTURE,), None)],
    ids=["live", "snapshots", "a live one among them", "a pipe among them", "a clock that was ahead"],
)
def test_newest_snapshot_decides_unless_one_is_live(sources: tuple[EventLog, ...], time: int | None) -> None:
    assert snapshot_time(merge(*sources)) == time
