"""`otel_kcevents.store.covers`: what is set aside of each log, and what is brought back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from conftest import run_program

from otel_kcevents.model.event import Event
from otel_kcevents.store.covers import cover_logs, covers
from otel_kcevents.store.log import EventLog, etl_of, known_kinds

SAVED, LOADED = Event("AssetSetSaved", 10**18, 5), Event("AssetSetLoaded", 10**18)

Received = list[tuple[EventLog, Event, int, int]]
Cover = Callable[[], tuple[Received, Callable[[], None]]]


@pytest.fixture
def log() -> EventLog:
    """A log with one event."""
    log = EventLog()
    log.append(SAVED, 1, 2)
    return log


@pytest.fixture
def cover() -> Iterator[Cover]:
    """A function that covers all logs and returns what its consumer receives, and how to remove the cover."""
    removers = []

    def cover() -> tuple[Received, Callable[[], None]]:
        received: Received = []
        removers.append(cover_logs(lambda *args: received.append(args)))
        return received, removers[-1]

    yield cover
    for remove in removers:
        remove()


def test_covered_log_starts_empty(log: EventLog, cover: Cover) -> None:
    received, _ = cover()
    assert log.counts() == {}
    assert log.append(SAVED, 1, 2)  # not the same event as before
    assert log.document().lists["asset"] == (SAVED,)
    assert received == [(log, SAVED, 1, 2)]


def test_removed_cover_brings_everything_back(log: EventLog, cover: Cover) -> None:
    consumed: list[Event] = []
    log.attach(lambda event, *_: consumed.append(event))
    before = log.document(), log.totals()
    _, remove = cover()
    log.append(LOADED)
    remove()
    assert (log.document(), log.totals(), consumed) == (*before, [])
    assert not log.append(SAVED, 1, 2)
    log.append(LOADED)
    assert consumed == [LOADED]


def test_removing_a_cover_twice_does_nothing(log: EventLog, cover: Cover) -> None:
    _, first = cover()
    first()
    received, _ = cover()
    first()
    log.append(LOADED)
    assert len(received) == 1


def test_log_that_is_created_meanwhile_is_covered(cover: Cover) -> None:
    received, remove = cover()
    log = EventLog()
    log.append(SAVED)
    assert received == [(log, SAVED, 0, 0)]
    remove()
    assert log.counts() == {}
    log.append(SAVED)
    assert len(received) == 1


def test_set_that_is_added_meanwhile_stays(log: EventLog, cover: Cover) -> None:
    _, remove = cover()
    log.add_set("cloud", "CloudSet")
    remove()
    log.append(Event("CloudSetSaved", 10**18, 3))
    assert log.counts() == {"AssetSetSaved": 1, "CloudSetSaved": 1}
    assert etl_of("CloudSetSaved") == "cloud"
    assert "CloudSetSaved" in known_kinds()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the-outer-first", "the-inner-first"])
def test_covers_can_be_removed_in_any_order(log: EventLog, cover: Cover, order: tuple[int, int]) -> None:
    both = [cover(), cover()]
    log.append(LOADED)
    assert [len(received) for received, _ in both] == [0, 1]
    first, second = (both[number] for number in order)
    first[1]()
    log.append(LOADED)
    assert len(second[0]) == (2 if order == (0, 1) else 1)
    second[1]()
    assert log.counts() == {"AssetSetSaved": 1}


def test_consumer_of_a_cover_is_gone_with_it(log: EventLog, cover: Cover) -> None:
    consumed: list[Event] = []
    _, remove = cover()
    log.attach(lambda event, *_: consumed.append(event))
    log.append(LOADED)
    remove()
    log.append(LOADED)
    assert consumed == [LOADED]


def test_consumer_that_is_set_aside_can_be_detached(log: EventLog, cover: Cover) -> None:
    consumed: list[Event] = []
    detach = log.attach(lambda event, *_: consumed.append(event))
    _, remove = cover()
    detach()
    remove()
    log.append(LOADED)
    assert consumed == []


def test_present_covers_are_listed(cover: Cover) -> None:
    assert covers() == (None,)
    _, remove = cover()
    (_, first) = covers()
    cover()
    assert covers()[:2] == (None, first)
    remove()
    assert first not in covers()


def test_forked_child_has_no_events_under_its_cover() -> None:
    assert run_program("covered_fork")[0].splitlines() == ["1 in the child", "{} after its end", "1 in the parent"]
