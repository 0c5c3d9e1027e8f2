"""`otel_kcevents.store.log`: what an `EventLog` keeps, counts, selects and passes on, with threads and forks."""

from __future__ import annotations

import json
import os
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest
from conftest import run_program
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from strategies import windows
from telemetry import Warned

from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import KINDS, Event, Failure, Kind
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.source import Source

NOON = 1654257600 * 10**9  # 2022-06-03T12:00:00Z
SECOND = 10**9
FAILURE = Failure("OSError", "disk full", "save")
NOT_TIMES: list[Any] = [10**30, 1.5, True]
NOT_SIZES: list[Any] = [-1, 2**63, 1.5, float("nan"), True]
SAVED, LOADED = Event("AssetSetSaved", NOON, 5), Event("AssetSetLoaded", NOON)


@pytest.fixture
def log() -> EventLog:
    return EventLog()


def listed(document: Document) -> list[str]:
    return [event.kind for events in document.lists.values() for event in events]


def test_log_is_a_source(log: EventLog) -> None:
    source: Source = log
    assert (source.counts(), source.document()) == ({}, log.document())
    assert repr(log) == "EventLog(retention=256)"


# What is kept


def test_empty_log_is_the_empty_document(log: EventLog) -> None:
    assert log.document().to_json() == '{"code":200,"data":{"allocation":[],"asset":[],"counters":{}}}'


def test_event_is_in_the_list_of_its_etl(log: EventLog) -> None:
    """The lists have the documented order, whichever event was appended first."""
    allocation = Event("AllocationSetSaved", NOON, 97)
    log.append(SAVED)
    log.append(allocation)
    assert list(log.document().lists.items()) == [("allocation", (allocation,)), ("asset", (SAVED,))]


def test_8000_saves_do_not_evict_a_single_error(log: EventLog) -> None:
    log.append(Event("AllocationSetComputeError", NOON, failure=FAILURE))
    for number in range(1, 8_001):
        log.append(Event("AllocationSetSaved", NOON + number))
    *saves, error = log.document().lists["allocation"]
    assert [save.time for save in saves] == [NOON + number for number in range(8_000, 8_000 - 256, -1)]
    assert error.failure == FAILURE
    assert log.counts() == {"AllocationSetComputeError": 1, "AllocationSetSaved": 8_000}


@pytest.mark.parametrize("retention", [0, -1])
def test_retention_below_1_is_refused(retention: int) -> None:
    with pytest.raises(ValueError, match=f"retention must be at least 1, got {retention}"):
        EventLog(retention)


def test_lists_are_newest_first_by_time(log: EventLog) -> None:
    """Across kinds, and whatever the order of appending."""
    for kind, second in [("AssetSetSaved", 2), ("AssetSetLoaded", 1), ("AssetSetSaved", 0), ("AssetSetTotaled", 3)]:
        log.append(Event(kind, NOON + second * SECOND))
    assert [(event.time - NOON) // SECOND for event in log.document().lists["asset"]] == [3, 2, 1, 0]


def test_newest_event_is_first_after_the_clock_is_set_back() -> None:
    """Twice by an hour, and then a hundred times. A window selects by the times of the events all the same."""
    out, _ = run_program("clock_set_back")
    assert out.splitlines() == ["[6, 5, 4, 3, 2, 1]", "[6, 5]", "[2, 1]", "[6, 5, 4, 3, 2, 1, 0]", "7 108", "True"]


def test_counters_are_alphabetical_without_zeros(log: EventLog) -> None:
    for kind in ("AssetSetSaved", "AllocationSetTotaled", "AssetSetLoaded", "AllocationSetSaved", "AssetSetSaved"):
        log.append(Event(kind, NOON))
    counters = {"AllocationSetSaved": 1, "AllocationSetTotaled": 1, "AssetSetLoaded": 1, "AssetSetSaved": 2}
    assert list(log.document().counters.items()) == list(log.counts().items()) == list(counters.items())


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_undocumented_fields_are_removed(log: EventLog, kind: Kind) -> None:
    """So is the suffix `Event` of the kind."""
    log.append(Event(f"{kind.name}Event", NOON, 5, Window(), FAILURE))
    size, failure = 5 if kind.outcome.sized else None, FAILURE if kind.outcome.error else None
    assert log.document().lists[kind.etl] == (Event(kind.name, NOON, size, Window(), failure),)
    assert log.counts() == {kind.name: 1}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event("AssetSetDeleted", NOON), "'AssetSetDeleted' .*; expected one of AllocationSetSaved, "),
        (Event("AssetSetSaved", NOON, extra="{}"), r"extra .* got '{}'; use event._replace\(extra=None\)"),
        *[(Event("AssetSetSaved", time), f"years 1 to 9999, got {time}") for time in NOT_TIMES],
        *[(Event("AssetSetSaved", NOON, size), f"size must be .* to {2**63 - 1}, got {size}") for size in NOT_SIZES],
    ],
)
def test_event_that_cannot_be_written_is_refused(log: EventLog, event: Event, message: str) -> None:
    """A valid event of the same span can still be appended."""
    with pytest.raises(ValueError, match=message):
        log.append(event, 7)
    assert log.counts() == {}
    assert log.append(Event("AssetSetSaved", NOON), 7)


@pytest.mark.parametrize("name", ["AssetSetSaved", "AssetSetSavedEvent"])
def test_kind_is_found_with_or_without_event_suffix(log: EventLog, name: str) -> None:
    assert log.kind(name) == KINDS["AssetSetSaved"]


# Appending once


def test_event_of_the_same_span_is_appended_once(log: EventLog) -> None:
    assert [log.append(SAVED, 7), log.append(SAVED, 7, 9)] == [True, False]
    assert (log.document().lists["asset"], log.counts()) == ((SAVED,), {"AssetSetSaved": 1})


@pytest.mark.parametrize(
    ("event", "span"),
    [
        (SAVED, (8,)),
        (SAVED, (7, 0, 1)),
        (SAVED, ()),
        (SAVED._replace(time=NOON + 1), (7,)),
        (LOADED, (7,)),
    ],
)
def test_other_span_time_kind_or_repeat_is_a_new_event(log: EventLog, event: Event, span: tuple[int, ...]) -> None:
    log.append(SAVED, 7)
    assert log.append(event, *span)


def test_events_without_a_span_are_all_kept(log: EventLog) -> None:
    assert [log.append(SAVED), log.append(SAVED)] == [True, True]


def test_duplicate_is_detected_after_4096_other_events(log: EventLog) -> None:
    """A span may end long after its event."""
    log.append(SAVED, 1)
    for number in range(2, 4_098):
        log.append(LOADED, number)
    assert not log.append(SAVED, 1)


def test_memory_is_bounded() -> None:
    """After 16,000 events a log takes as much as after 48,000."""
    log = EventLog()
    kinds = list(KINDS)

    def append_many(first: int) -> int:
        for number in range(first, first + 4 * 4_096):
            log.append(Event(kinds[number % len(kinds)], NOON + number), span_id=(1 << 60) + number)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before, _, after = (append_many(first) for first in range(0, 12 * 4_096, 4 * 4_096))
    finally:
        tracemalloc.stop()
    assert after < before * 1.1


# Consumers


class Consumer(list[tuple[Event, int, int]]):
    """A consumer that keeps what it receives."""

    def __call__(self, event: Event, span_id: int, trace_id: int) -> None:
        self.append((event, span_id, trace_id))


def test_consumer_receives_each_event_as_stored(log: EventLog) -> None:
    received = Consumer()
    log.append(SAVED)
    log.attach(received)
    log.append(Event("AssetSetTotaledEvent", NOON, 5, failure=FAILURE), 7, 9)
    log.append(Event("AssetSetTotaled", NOON), 7, 9)
    log.append(SAVED, 7, 9, 1)
    log.append(SAVED)
    assert received == [(Event("AssetSetTotaled", NOON), 7, 9), (SAVED, 7, 9), (SAVED, 0, 0)]


def test_refused_event_does_not_reach_a_consumer(log: EventLog) -> None:
    received = Consumer()
    log.attach(received)
    with pytest.raises(ValueError, match="AssetSetDeleted"):
        log.append(Event("AssetSetDeleted", NOON))
    assert received == []


def test_consumer_attached_twice_is_called_twice(log: EventLog) -> None:
    received = Consumer()
    detach, _ = log.attach(received), log.attach(received)
    log.append(SAVED)
    detach()
    detach()
    log.append(LOADED)
    assert [event for event, *_ in received] == [SAVED, SAVED, LOADED]


def test_consumer_runs_in_the_appending_thread_without_lock(log: EventLog) -> None:
    """The event is already in the log, and another thread can append meanwhile."""
    seen: list[object] = []

    def consume(event: Event, span_id: int, trace_id: int) -> None:
        detach()
        seen.extend([threading.current_thread(), log.counts()])
        other = threading.Thread(target=log.append, args=(LOADED,), daemon=True)
        other.start()
        other.join(10)
        seen.append(other.is_alive())

    detach = log.attach(consume)
    log.append(SAVED)
    assert seen == [threading.current_thread(), {"AssetSetSaved": 1}, False]


def test_consumer_may_attach_and_detach(log: EventLog) -> None:
    received = Consumer()
    detaches: list[Callable[[], None]] = []

    def consume(event: Event, span_id: int, trace_id: int) -> None:
        detaches.append(log.attach(received))
        detaches[0]()

    detaches.append(log.attach(consume))
    log.append(SAVED)
    log.append(LOADED)
    assert received == [(LOADED, 0, 0)]


def test_raising_consumer_does_not_affect_others(log: EventLog, warned: Warned) -> None:
    """One warning per attachment is logged."""

    def broken(event: Event, span_id: int, trace_id: int) -> None:
        raise OSError("no disk")

    received = Consumer()
    for consumer in (broken, received, broken):
        log.attach(consumer)
    assert [log.append(SAVED), log.append(SAVED)] == [True, True]
    assert len(received) == 2
    assert len(warned()) == 2
    assert "broken" in warned()[0]
    assert "OSError: no disk" in warned()[0]


def test_threads_attach_and_detach_while_others_append(log: EventLog) -> None:
    first, last = Consumer(), Consumer()
    log.attach(first)

    def attach_and_append(number: int) -> None:
        for _ in range(200):
            detach = log.attach(lambda *event: None)
            log.append(SAVED)
            detach()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attach_and_append, range(8)))
    log.attach(last)
    log.append(LOADED)
    assert (len(first), len(last)) == (1_601, 1)


# Added sets


def test_added_set_has_its_own_list_and_kinds(log: EventLog) -> None:
    log.add_set("cloud", "CloudCostSet")
    event = Event("CloudCostSetSaved", NOON, 5)
    log.append(event)
    document = log.document()
    assert list(document.lists.items()) == [("allocation", ()), ("asset", ()), ("cloud", (event,))]
    assert document.counters == {"CloudCostSetSaved": 1}
    assert list(log.kinds)[:14] == list(KINDS)
    assert {kind.etl for kind in list(log.kinds.values())[14:]} == {"cloud"}
    assert len(log.kinds) == 21


def test_adding_a_set_again_changes_nothing(log: EventLog) -> None:
    log.add_set("cloud", "CloudCostSet")
    log.append(Event("CloudCostSetSaved", NOON))
    before = log.document()
    log.add_set("cloud", "CloudCostSet")
    log.add_set("asset", "AssetSet")
    assert log.document() == before


@pytest.mark.parametrize("name", ["counters", "", "my cloud", "1stSet", "wölke", 'cloud"'])
def test_invalid_name_of_a_set_is_refused(log: EventLog, name: str) -> None:
    for names in ((name, "CloudCostSet"), ("cloud", name)):
        with pytest.raises(ValueError, match=f"^{name!r} .*; use letters, digits and _, but not 'counters'"):
            log.add_set(*names)


@pytest.mark.parametrize(
    ("etl", "set_name"),
    [("asset", "CloudCostSet"), ("cloud", "AssetSet"), ("asset", "AllocationSet"), ("allocation", "AssetSet")],
)
def test_name_of_another_set_is_refused(log: EventLog, etl: str, set_name: str) -> None:
    with pytest.raises(ValueError, match=f"'{etl}' or '{set_name}' is already taken .*; use other names"):
        log.add_set(etl, set_name)
    assert dict(log.kinds) == dict(KINDS)


# Selecting


@pytest.fixture
def full(log: EventLog) -> EventLog:
    """A log with one event of each kind, a second apart, in the order of the table."""
    for number, kind in enumerate(KINDS):
        log.append(Event(kind, NOON + number * SECOND))
    return log


@pytest.mark.parametrize(
    ("kinds", "selected"),
    [
        ((), set(KINDS)),
        ("AssetSetSaved", {"AssetSetSaved"}),
        (["AssetSetSavedEvent"], {"AssetSetSaved"}),
        (["AssetSet"], {kind for kind in KINDS if kind.startswith("AssetSet")}),
        (["AssetSetRecon"], {"AssetSetReconciled", "AssetSetReconcileError"}),
        (["A"], set(KINDS)),
        (["AssetSetSaved", "AllocationSetTotaled"], {"AssetSetSaved", "AllocationSetTotaled"}),
        (["AssetSetSaved", "AssetSetS", "AssetSetSavedEvent"], {"AssetSetSaved"}),
        (iter(["AssetSetSaved"]), {"AssetSetSaved"}),
    ],
)
def test_kinds_select_by_name_or_prefix(full: EventLog, kinds: list[str], selected: set[str]) -> None:
    assert sorted(listed(full.document(kinds))) == sorted(selected)


@pytest.mark.parametrize("kinds", [["AssetSetDeleted"], ["assetset"], ["SetSaved"], ["AssetSet", "AssetSetSavedX"]])
def test_unknown_kind_prefix_is_refused(full: EventLog, kinds: list[str]) -> None:
    with pytest.raises(ValueError, match=f"^'{kinds[-1]}' .* expected one of {', '.join(KINDS)}$"):
        full.document(kinds)


def test_kinds_of_an_added_set_can_be_selected(full: EventLog) -> None:
    full.add_set("cloud", "CloudCostSet")
    assert full.document(["Cloud"]).lists == {"allocation": (), "asset": (), "cloud": ()}


def test_window_selects_by_the_time_of_the_event(full: EventLog) -> None:
    """The event's own window does not matter."""
    window = Window("2022-06-03T12:00:00Z", "2022-06-03T12:00:02Z")
    full.append(Event("AssetSetSaved", NOON - SECOND, None, window))
    assert listed(full.document(window=window)) == ["AllocationSetLoaded", "AllocationSetSaved"]
    assert listed(full.document(["AllocationSetL", "Asset"], window)) == ["AllocationSetLoaded"]


def test_counters_are_never_filtered(full: EventLog) -> None:
    selected = full.document(["AssetSetSaved"], Window(None, "2000-01-01T00:00:00Z"), 1)
    assert (listed(selected), selected.counters) == ([], dict.fromkeys(sorted(KINDS), 1))


@pytest.mark.parametrize(("options", "count"), [({}, 256), ({"limit": 10**30}, 300), ({"limit": 1}, 1)])
def test_lists_hold_256_events_of_each_kind_by_default(options: dict[str, Any], count: int) -> None:
    log = EventLog(retention=300)
    for number in range(1_000):
        log.append(Event("AssetSetSaved", NOON + number))
        log.append(Event("AssetSetLoaded", NOON + number))
    lists = log.document(**options).lists["asset"]
    assert Counter(event.kind for event in lists) == {"AssetSetSaved": count, "AssetSetLoaded": count}
    assert min(event.time for event in lists) == NOON + 1_000 - count


def test_limit_applies_to_what_the_window_selects() -> None:
    log = EventLog()
    for second in range(100):
        log.append(Event("AssetSetSaved", NOON + second * SECOND))
    selected = log.document(window=Window(None, "2022-06-03T12:00:50Z"), limit=2).lists["asset"]
    assert [(event.time - NOON) // SECOND for event in selected] == [49, 48]


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "5", None])
def test_limit_below_1_or_not_an_integer_is_refused(log: EventLog, limit: Any) -> None:
    with pytest.raises(ValueError, match=f"limit must be an integer of at least 1, got {limit!r}"):
        log.document(limit=limit)


def test_window_that_is_a_string_is_refused(log: EventLog) -> None:
    window: Any = "1h"
    with pytest.raises(TypeError, match=r"got '1h'; convert it with Window\.parse"):
        log.document(window=window)


def test_consumer_that_is_not_callable_is_refused(log: EventLog) -> None:
    consumer: Any = 5
    with pytest.raises(TypeError, match="got 5"):
        log.attach(consumer)


# Threads and forks


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Make the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_snapshots_while_8_threads_append_are_consistent() -> None:
    """No event is lost, and the lists of every snapshot agree with its counters."""
    log, done, received = EventLog(retention=16_000), threading.Event(), Consumer()
    log.attach(received)

    def write(thread: int) -> None:
        for span_id in range(thread * 2_000 + 1, (thread + 1) * 2_000 + 1):
            log.append(Event("AssetSetSaved", NOON), span_id)

    def read() -> list[Document]:
        snapshots = [log.document(limit=16_000)]
        while not done.is_set():
            snapshots.append(log.document(limit=16_000))
        return snapshots

    with ThreadPoolExecutor(10) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        list(pool.map(write, range(8)))
        done.set()
        snapshots = [snapshot for reader in readers for snapshot in reader.result()]
    assert (log.counts(), len(received)) == ({"AssetSetSaved": 16_000}, 16_000)
    assert [s for s in snapshots if len(listed(s)) != sum(s.counters.values())] == []


def test_8_threads_append_the_same_event_once(log: EventLog) -> None:
    received = Consumer()
    log.attach(received)

    class Yielding(int):
        """A span id that lets another thread run where the log hashes it."""

        def __hash__(self) -> int:
            sleep(0)
            return super().__hash__()

    def write(thread: int) -> int:
        return sum(log.append(SAVED, Yielding(span_id)) for span_id in range(1, 201))

    with ThreadPoolExecutor(8) as pool:
        appended = sum(pool.map(write, range(8)))
    assert (appended, log.counts(), len(received)) == (200, {"AssetSetSaved": 200}, 200)


def test_reader_does_not_block_a_writer(log: EventLog) -> None:
    appended = []

    class LongRead(Window):
        """A window that takes until another thread has appended."""

        def contains(self, time: object) -> bool:
            writer = threading.Thread(target=log.append, args=(LOADED,), daemon=True)
            writer.start()
            writer.join(10)
            appended.append(not writer.is_alive())
            return True

    log.append(SAVED)
    assert listed(log.document(window=LongRead())) == ["AssetSetSaved"]
    assert appended == [True]


def test_set_can_be_added_while_the_log_is_read(log: EventLog) -> None:
    kinds, document = iter(log.kinds), log.document()
    log.add_set("cloud", "CloudCostSet")
    assert (list(kinds), list(document.lists)) == (list(KINDS), ["allocation", "asset"])


def test_reentrant_append_does_not_deadlock(log: EventLog) -> None:
    """A generator that is garbage collected during an append may append an event itself."""

    def work() -> Iterator[None]:
        try:
            yield
        finally:
            log.append(LOADED)

    class LastReference(int):
        """A span id that the log hashes in the middle of an append."""

        def __hash__(self) -> int:
            generators.clear()
            return super().__hash__()

    generators = [work()]
    next(generators[0])
    thread = threading.Thread(target=log.append, args=(SAVED, LastReference(7)), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert log.counts() == {"AssetSetLoaded": 1, "AssetSetSaved": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_during_an_append_leaves_both_logs_usable() -> None:
    """The child's log is empty but keeps its sets and consumers; the parent's log is unchanged."""
    reports = [json.loads(line) for line in run_program("fork_inside_append")[0].splitlines()]
    assert reports == [
        [{}, {"allocation": 0, "asset": 0, "cloud": 0}, []],
        [
            {"AssetSetSaved": 1, "CloudCostSetSaved": 1},
            {"allocation": 0, "asset": 1, "cloud": 1},
            ["AssetSetSaved", "CloudCostSetSaved"],
        ],
        [{"AssetSetLoaded": 1, "AssetSetSaved": 1}, {"allocation": 0, "asset": 2, "cloud": 0}, ["AssetSetLoaded"]],
    ]


# Against a plain list

RETENTION = 3
few_times = st.integers(NOON, NOON + 9)
prefixes = st.sampled_from(["A", "Allocation", "AssetSet", "AssetSetReconcile", "AssetSetSavedEvent", *KINDS])


def events(names: list[str]) -> st.SearchStrategy[Event]:
    sizes, failures = st.none() | st.integers(0, 9), st.none() | st.just(FAILURE)
    return st.builds(
        Event, st.sampled_from(names), few_times, sizes, st.none() | windows(few_times), failures, st.none()
    )


class EventLogAsAList(RuleBasedStateMachine):
    """A log behaves like a plain list of all events, cut to the last few of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.log = EventLog(RETENTION)
        self.etls = {"AllocationSet": "allocation", "AssetSet": "asset"}
        self.accepted: list[Event] = []
        self.seen: set[tuple[int, int, str]] = set()
        self.received = Consumer()
        self.log.attach(self.received)

    @rule(event=events(list(KINDS)), span_id=st.integers(0, 3))
    def append(self, event: Event, span_id: int) -> None:
        is_new = not span_id or (span_id, event.time, event.kind) not in self.seen
        assert self.log.append(event, span_id) is is_new
        if is_new:
            self.seen.add((span_id, event.time, event.kind))
            size = event.size if event.kind.endswith(("Saved", "Loaded", "Aggregated")) else None
            self.accepted.append(event._replace(size=size, failure=event.failure if "Error" in event.kind else None))

    @rule()
    def add_a_set(self) -> None:
        self.log.add_set("cloud", "CloudCostSet")
        self.etls["CloudCostSet"] = "cloud"

    @precondition(lambda self: "CloudCostSet" in self.etls)
    @rule(event=events(["CloudCostSetSaved", "CloudCostSetTotaled", "CloudCostSetComputeError"]))
    def append_to_the_added_set(self, event: Event) -> None:
        self.append(event, 0)

    @rule(kinds=st.lists(prefixes, max_size=3), window=st.none() | windows(few_times), limit=st.integers(1, 4))
    def select(self, kinds: list[str], window: Window | None, limit: int) -> None:
        document = self.log.document(kinds, window, limit)
        expected: dict[str, list[Event]] = {etl: [] for etl in self.etls.values()}
        for kind in dict.fromkeys(event.kind for event in self.accepted):
            kept = [event for event in self.accepted if event.kind == kind][-RETENTION:]
            if not kinds or any(f"{kind}Event".startswith(prefix) for prefix in kinds):
                selected = [event for event in kept if window is None or window.contains(event.time)]
                expected[self.etls[kind[: kind.index("Set") + 3]]] += selected[-limit:]
        assert {etl: Counter(found) for etl, found in document.lists.items()} == {
            etl: Counter(wanted) for etl, wanted in expected.items()
        }
        for found in document.lists.values():
            times = [event.time for event in found]
            assert times == sorted(times, reverse=True)
        assert read_document(document.to_json(), strict=True) == document

    @invariant()
    def counts_are_exact(self) -> None:
        counts = Counter(event.kind for event in self.accepted)
        assert list(self.log.counts().items()) == sorted(counts.items())
        assert [event for event, *_ in self.received] == self.accepted


TestEventLogAsAList = EventLogAsAList.TestCase
TestEventLogAsAList.settings = settings(max_examples=60, stateful_step_count=40)
