"""Promises of `otel_kcevents.store.log`: what `EventLog` retains, counts, selects and survives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import otel_kcevents
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import KINDS, Event, Failure, Kind
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog

NOON = 1654257600 * 10**9  # 2022-06-03T12:00:00Z
SECOND = 10**9
FAILURE = Failure("OSError", "disk full", "save")


@pytest.fixture
def log() -> EventLog:
    return EventLog()


def listed(document: Document) -> list[str]:
    return [event.kind for events in document.lists.values() for event in events]


# What is kept


def test_an_empty_log_is_the_empty_document(log: EventLog) -> None:
    """Before the first event the document has both lists and the counters, all empty."""
    assert log.document().to_json() == '{"code":200,"data":{"allocation":[],"asset":[],"counters":{}}}'


def test_an_event_is_listed_under_its_etl(log: EventLog) -> None:
    """Each event stands in the list of its own pipeline."""
    allocation, asset = Event("AllocationSetSaved", NOON, 97), Event("AssetSetTotaled", NOON)
    log.append(allocation)
    log.append(asset)
    assert log.document().lists == {"allocation": (allocation,), "asset": (asset,)}


def test_the_document_has_the_documented_order_of_keys(log: EventLog) -> None:
    """Whatever came first, the lists stand in the document's order with the counters behind them."""
    log.append(Event("AssetSetSaved", NOON))
    log.append(Event("AllocationSetSaved", NOON))
    assert list(json.loads(log.document().to_json())["data"]) == ["allocation", "asset", "counters"]


def test_8000_saves_never_push_out_the_one_error(log: EventLog) -> None:
    """Retention is per kind: of the saves the last 256 are kept, and the error is still there."""
    log.append(Event("AllocationSetComputeError", NOON, failure=FAILURE))
    for number in range(1, 8_001):
        log.append(Event("AllocationSetSaved", NOON + number))
    *saves, error = log.document().lists["allocation"]
    assert [save.time for save in saves] == [NOON + number for number in range(8_000, 8_000 - 256, -1)]
    assert error.failure == FAILURE


def test_counts_are_exact_beyond_retention() -> None:
    """A count is of all events since the start, however few are retained."""
    log = EventLog(retention=1)
    for number in range(8_240):
        log.append(Event("AllocationSetSaved", number))
    assert log.counts() == {"AllocationSetSaved": 8_240}


def test_retention_can_be_set() -> None:
    """A log keeps as many events of each kind as it was told."""
    log = EventLog(retention=3)
    for number in range(10):
        log.append(Event("AssetSetSaved", number))
        log.append(Event("AssetSetLoaded", number))
    assert Counter(listed(log.document())) == {"AssetSetSaved": 3, "AssetSetLoaded": 3}


@pytest.mark.parametrize("retention", [0, -1])
def test_a_retention_that_keeps_nothing_is_refused(retention: int) -> None:
    """Less than one event a kind is no log."""
    with pytest.raises(ValueError, match=f"retention must be at least 1, got {retention}"):
        EventLog(retention)


def test_lists_are_newest_first_by_the_events_own_time(log: EventLog) -> None:
    """The order is that of what happened, across kinds, not that of the appends."""
    for kind, second in [("AssetSetSaved", 2), ("AssetSetLoaded", 1), ("AssetSetSaved", 0), ("AssetSetTotaled", 3)]:
        log.append(Event(kind, NOON + second * SECOND))
    assert [(event.kind, (event.time - NOON) // SECOND) for event in log.document().lists["asset"]] == [
        ("AssetSetTotaled", 3),
        ("AssetSetSaved", 2),
        ("AssetSetLoaded", 1),
        ("AssetSetSaved", 0),
    ]


def test_counters_are_in_alphabetical_order_without_zeros(log: EventLog) -> None:
    """The counters hold the kinds seen, sorted by name, and no others."""
    for kind in ("AssetSetSaved", "AllocationSetTotaled", "AssetSetLoaded", "AllocationSetSaved", "AssetSetSaved"):
        log.append(Event(kind, NOON))
    assert list(log.document().counters.items()) == [
        ("AllocationSetSaved", 1),
        ("AllocationSetTotaled", 1),
        ("AssetSetLoaded", 1),
        ("AssetSetSaved", 2),
    ]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_holds_no_field_that_is_not_documented(log: EventLog, kind: Kind) -> None:
    """An event that tells too much is kept with what its kind documents alone."""
    day = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
    log.append(Event(kind.name, NOON, 5, day, FAILURE))
    size, failure = 5 if kind.outcome.sized else None, FAILURE if kind.outcome.error else None
    assert log.document().lists[kind.etl] == (Event(kind.name, NOON, size, day, failure),)


def test_a_kind_is_accepted_with_event_behind_it(log: EventLog) -> None:
    """`AssetSetSavedEvent` is the kind `AssetSetSaved`, in the list and in the counters."""
    log.append(Event("AssetSetSavedEvent", NOON, 29))
    document = log.document()
    assert document.lists["asset"] == (Event("AssetSetSaved", NOON, 29),)
    assert document.counters == {"AssetSetSaved": 1}


def test_an_unknown_kind_is_refused_and_leaves_nothing(log: EventLog) -> None:
    """A kind that the log does not know is neither counted nor remembered against the event that was meant."""
    with pytest.raises(
        ValueError, match="'AssetSetDeleted' is not a kind of this log; expected one of AllocationSetSaved, "
    ):
        log.append(Event("AssetSetDeleted", NOON), span_id=7)
    assert log.counts() == {}
    assert log.append(Event("AssetSetSaved", NOON), span_id=7)


@pytest.mark.parametrize("name", ["AssetSetSaved", "AssetSetSavedEvent"])
def test_a_kind_is_found_by_either_name(log: EventLog, name: str) -> None:
    """A kind is looked up with or without `Event` behind it."""
    assert log.kind(name) == KINDS["AssetSetSaved"]


# Appending once


def test_an_append_is_idempotent(log: EventLog) -> None:
    """An event of the same span and time is one entry and one count, and the append says so."""
    event = Event("AssetSetSaved", NOON, 5)
    assert [log.append(event, span_id=7), log.append(event, span_id=7)] == [True, False]
    assert (log.document().lists["asset"], log.counts()) == ((event,), {"AssetSetSaved": 1})


@pytest.mark.parametrize(("span_id", "time"), [(8, NOON), (7, NOON + 1), (0, NOON)])
def test_another_span_or_time_is_another_event(log: EventLog, span_id: int, time: int) -> None:
    """Two events are one only where both span and time are the same."""
    log.append(Event("AssetSetSaved", NOON), span_id=7)
    assert log.append(Event("AssetSetSaved", time), span_id=span_id)


def test_events_without_a_span_are_all_kept(log: EventLog) -> None:
    """Without a recording span nothing tells two events apart, so each one counts."""
    event = Event("AssetSetSaved", NOON)
    assert [log.append(event), log.append(event)] == [True, True]


def test_two_kinds_at_one_time_on_one_span_are_two_events(log: EventLog) -> None:
    """A span whose events were given one time by hand, or by a coarse clock, loses none."""
    log.append(Event("AssetSetSaved", NOON), span_id=7)
    log.append(Event("AssetSetLoaded", NOON), span_id=7)
    assert log.counts() == {"AssetSetLoaded": 1, "AssetSetSaved": 1}


def test_an_event_is_remembered_past_4096_others(log: EventLog) -> None:
    """A span may end long after its event: the event is known again after 4,096 further ones."""
    event = Event("AssetSetSaved", NOON)
    log.append(event, span_id=1)
    for number in range(2, 4_098):
        log.append(Event("AssetSetLoaded", NOON), span_id=number)
    assert not log.append(event, span_id=1)


def test_memory_is_bounded() -> None:
    """After 16,000 events a log holds as much as after 48,000."""
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


# Sets of one's own


def test_a_set_of_ones_own_has_its_own_list(log: EventLog) -> None:
    """An added set's events stand in a list of that name, behind the documented ones."""
    log.add_set("cloud", "CloudCostSet")
    event = Event("CloudCostSetSaved", NOON, 5)
    log.append(event)
    document = log.document()
    assert list(document.lists.items()) == [("allocation", ()), ("asset", ()), ("cloud", (event,))]
    assert document.counters == {"CloudCostSetSaved": 1}


def test_adding_a_set_twice_changes_nothing(log: EventLog) -> None:
    """A set that is there already keeps its events."""
    log.add_set("cloud", "CloudCostSet")
    log.append(Event("CloudCostSetSaved", NOON))
    log.append(Event("AssetSetSaved", NOON))
    before = log.document()
    log.add_set("cloud", "CloudCostSet")
    log.add_set("asset", "AssetSet")
    assert log.document() == before


@pytest.mark.parametrize(
    ("etl", "set_name", "named"),
    [
        ("counters", "CounterSet", "'counters'"),
        ("cloud", "counters", "'counters'"),
        ("", "CloudCostSet", "''"),
        ("cloud", "", "''"),
        ("my cloud", "CloudCostSet", "'my cloud'"),
        ("cloud", "1stSet", "'1stSet'"),
        ("wölke", "CloudCostSet", "'wölke'"),
        ('cloud"', "CloudCostSet", "'cloud\"'"),
    ],
)
def test_a_name_that_is_none_is_refused(log: EventLog, etl: str, set_name: str, named: str) -> None:
    """A list or set is named by letters, digits and `_`, and not as the counters are."""
    with pytest.raises(ValueError, match="cannot name a set; use letters, digits and _") as caught:
        log.add_set(etl, set_name)
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize(
    ("etl", "set_name"),
    [("asset", "CloudCostSet"), ("cloud", "AssetSet"), ("asset", "AllocationSet"), ("allocation", "AssetSet")],
)
def test_a_name_that_is_taken_is_refused(log: EventLog, etl: str, set_name: str) -> None:
    """Neither a list nor a set can have two meanings, and a refusal adds no kind."""
    with pytest.raises(ValueError, match=f"'{etl}' or '{set_name}' is already taken"):
        log.add_set(etl, set_name)
    assert dict(log.kinds) == dict(KINDS)


def test_a_log_knows_the_kinds_of_its_sets(log: EventLog) -> None:
    """`kinds` are the 14 documented ones and the seven of each set added."""
    log.add_set("cloud", "CloudCostSet")
    assert list(log.kinds)[:14] == list(KINDS)
    assert {kind.etl for name, kind in log.kinds.items() if name.startswith("CloudCostSet")} == {"cloud"}
    assert len(log.kinds) == 21


# Selecting


@pytest.fixture
def full(log: EventLog) -> EventLog:
    """A log with one event of each kind, a second apart, in the table's order."""
    for number, kind in enumerate(KINDS):
        log.append(Event(kind, NOON + number * SECOND))
    return log


@pytest.mark.parametrize(
    ("kinds", "selected"),
    [
        ((), set(KINDS)),
        ("AssetSetSaved", {"AssetSetSaved"}),
        (["AssetSetSaved"], {"AssetSetSaved"}),
        (["AssetSetSavedEvent"], {"AssetSetSaved"}),
        (["AssetSet"], {kind for kind in KINDS if kind.startswith("AssetSet")}),
        (["AssetSetRecon"], {"AssetSetReconciled", "AssetSetReconcileError"}),
        (["A"], set(KINDS)),
        (["AssetSetSaved", "AllocationSetTotaled"], {"AssetSetSaved", "AllocationSetTotaled"}),
        (["AssetSetSaved", "AssetSetS", "AssetSetSavedEvent"], {"AssetSetSaved"}),
        (iter(["AssetSetSaved"]), {"AssetSetSaved"}),
    ],
)
def test_kinds_select_by_name_or_beginning(full: EventLog, kinds: list[str], selected: set[str]) -> None:
    """A kind, a kind with `Event` behind it, the beginning of some, or several of these select from the lists."""
    assert sorted(listed(full.document(kinds))) == sorted(selected)


@pytest.mark.parametrize("kinds", [["AssetSetDeleted"], ["assetset"], ["SetSaved"], ["AssetSet", "AssetSetSavedX"]])
def test_what_begins_no_kind_is_refused(full: EventLog, kinds: list[str]) -> None:
    """The refusal shows the text and names every kind."""
    with pytest.raises(ValueError, match=f"^'{kinds[-1]}' does not begin a kind; expected one of {', '.join(KINDS)}$"):
        full.document(kinds)


def test_kinds_of_a_set_of_ones_own_can_be_selected(full: EventLog) -> None:
    """An added set's kinds select like the documented ones, before its first event too."""
    full.add_set("cloud", "CloudCostSet")
    assert full.document(["Cloud"]).lists == {"allocation": (), "asset": (), "cloud": ()}


def test_a_window_selects_by_the_events_own_time(full: EventLog) -> None:
    """An event is selected where its time is in the window, its set's window aside."""
    full.append(Event("AssetSetSaved", NOON - SECOND, None, Window("2022-06-03T12:00:00Z", "2022-06-03T12:00:02Z")))
    selected = full.document(window=Window("2022-06-03T12:00:00Z", "2022-06-03T12:00:02Z"))
    assert listed(selected) == ["AllocationSetLoaded", "AllocationSetSaved"]


def test_kinds_and_a_window_select_together(full: EventLog) -> None:
    """Both filters hold at once."""
    selected = full.document(["AllocationSetL", "Asset"], Window("2022-06-03T12:00:00Z", "2022-06-03T12:00:08Z"))
    assert listed(selected) == ["AllocationSetLoaded", "AssetSetSaved"]


def test_counters_are_never_filtered(full: EventLog) -> None:
    """Whatever is selected, the counters hold the totals."""
    selected = full.document(["AssetSetSaved"], Window(None, "2000-01-01T00:00:00Z"))
    assert (listed(selected), selected.counters) == ([], dict.fromkeys(sorted(KINDS), 1))


# Threads and forks


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_8_threads_lose_nothing() -> None:
    """8 threads' 2,000 appends each are 16,000, and every snapshot meanwhile lists as many as its counter says."""
    log, done = EventLog(retention=16_000), threading.Event()

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
    assert log.counts() == {"AssetSetSaved": 16_000}
    assert [s for s in snapshots if len(listed(s)) != sum(s.counters.values())] == []


def test_8_threads_append_the_same_event_once(log: EventLog) -> None:
    """Of 8 threads that append the same 200 events, each event is taken from one."""

    class Yielding(int):
        """A span id that lets another thread run wherever the log takes its hash."""

        def __hash__(self) -> int:
            sleep(0)
            return super().__hash__()

    def write(thread: int) -> int:
        return sum(log.append(Event("AssetSetSaved", NOON), Yielding(span_id)) for span_id in range(1, 201))

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(write, range(8)))
    assert (taken, log.counts()) == (200, {"AssetSetSaved": 200})


def test_a_reader_does_not_stall_a_writer(log: EventLog) -> None:
    """While one thread still selects and sorts, another can append."""
    appended = []

    class LongRead(Window):
        """A window that takes until another thread has appended."""

        def contains(self, time: object) -> bool:
            writer = threading.Thread(target=log.append, args=(Event("AssetSetLoaded", NOON),), daemon=True)
            writer.start()
            writer.join(10)
            appended.append(not writer.is_alive())
            return True

    log.append(Event("AssetSetSaved", NOON))
    assert listed(log.document(window=LongRead())) == ["AssetSetSaved"]
    assert appended == [True]


def test_a_set_can_be_added_while_the_log_is_read(log: EventLog) -> None:
    """A reader of the lists or the kinds is not disturbed by a set that is added meanwhile."""
    kinds, document = iter(log.kinds), log.document()
    log.add_set("cloud", "CloudCostSet")
    assert (list(kinds), list(document.lists)) == (list(KINDS), ["allocation", "asset"])


def test_an_append_inside_an_append_does_not_deadlock(log: EventLog) -> None:
    """A generator that is collected while its thread appends may append its own event at that very point."""

    def work() -> Iterator[None]:
        try:
            yield
        finally:
            log.append(Event("AssetSetLoaded", NOON))

    class LastReference(int):
        """A span id: the log takes its hash in the middle of an append."""

        def __hash__(self) -> int:
            generators.clear()
            return super().__hash__()

    generators = [work()]
    next(generators[0])
    thread = threading.Thread(target=log.append, args=(Event("AssetSetSaved", NOON), LastReference(7)), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert log.counts() == {"AssetSetLoaded": 1, "AssetSetSaved": 1}


FORK = """
import os, signal, threading
from otel_kcevents.model.event import Kind, Event
from otel_kcevents.store.log import EventLog

log = EventLog()
log.add_set("cloud", "CloudCostSet")
log.append(Event("AssetSetSaved", 1, 29), 7)
held, forked = threading.Event(), threading.Event()

def hold():
    with log._lock:
        held.set()
        forked.wait()

def tell():
    os.write(1, log.document().to_json().encode() + b"\\n")

holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(30)  # what hangs here ends by itself
    tell()
    log.append(Event("AssetSetSaved", 1, 29), 7)
    log.append(Event("CloudCostSetSaved", 2))
    tell()
    os._exit(0)
os.waitpid(child, 0)
forked.set()
holder.join()
tell()
"""


@pytest.fixture(scope="module")
def forked() -> list[str]:
    """The documents of a child that was forked while a thread held the log, before and after it appended, and
    of its parent in the end."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    path = os.pathsep.join([str(Path(otel_kcevents.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]  # 3.12 warns of a fork with threads
    environment = {**os.environ, "PYTHONPATH": path}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return run.stdout.splitlines()


def test_a_forked_child_starts_empty(forked: list[str]) -> None:
    """What the parent did is the parent's to tell: the child has its sets and no events."""
    assert forked[0] == '{"code":200,"data":{"allocation":[],"asset":[],"cloud":[],"counters":{}}}'


def test_a_forked_child_can_append_where_the_lock_was_held(forked: list[str]) -> None:
    """A fork while another thread holds the log's lock leaves the child a log that works, remembering nothing."""
    assert json.loads(forked[1])["data"]["counters"] == {"AssetSetSaved": 1, "CloudCostSetSaved": 1}


def test_a_fork_leaves_the_parents_log_as_it_is(forked: list[str]) -> None:
    """The parent keeps its events and gets none of the child's."""
    assert json.loads(forked[2])["data"]["counters"] == {"AssetSetSaved": 1}


# Against a plain list

RETENTION = 3
SIZED, ERRORS = ("Saved", "Loaded", "Aggregated"), ("ComputeError", "ReconcileError")
few_times = st.integers(NOON, NOON + 9)
windows = st.builds(
    lambda ends, open_start, open_end: Window.from_ns(
        None if open_start else min(ends), None if open_end else max(ends)
    ),
    st.tuples(few_times, few_times),
    st.booleans(),
    st.booleans(),
)
beginnings = st.sampled_from(["A", "Allocation", "AssetSet", "AssetSetReconcile", "AssetSetSavedEvent", *KINDS])


def events(names: list[str]) -> st.SearchStrategy[Event]:
    sizes, failures = st.none() | st.integers(0, 9), st.none() | st.just(FAILURE)
    return st.builds(Event, st.sampled_from(names), few_times, sizes, st.none() | windows, failures, st.none())


class EventLogAsAList(RuleBasedStateMachine):
    """A log does what a plain list of all events would, cut to the last few of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.log = EventLog(RETENTION)
        self.etls = {"AllocationSet": "allocation", "AssetSet": "asset"}
        self.accepted: list[Event] = []
        self.seen: set[tuple[int, int, str]] = set()

    @rule(event=events(list(KINDS)), span_id=st.integers(0, 3))
    def append(self, event: Event, span_id: int) -> None:
        is_new = not span_id or (span_id, event.time, event.kind) not in self.seen
        assert self.log.append(event, span_id) is is_new
        if is_new:
            self.seen.add((span_id, event.time, event.kind))
            size = event.size if event.kind.endswith(SIZED) else None
            failure = event.failure if event.kind.endswith(ERRORS) else None
            self.accepted.append(event._replace(size=size, failure=failure))

    @rule()
    def add_a_set(self) -> None:
        self.log.add_set("cloud", "CloudCostSet")
        self.etls["CloudCostSet"] = "cloud"

    @precondition(lambda self: "CloudCostSet" in self.etls)
    @rule(event=events(["CloudCostSetSaved", "CloudCostSetTotaled", "CloudCostSetComputeError"]))
    def append_to_the_added_set(self, event: Event) -> None:
        self.append(event, 0)

    @rule(kinds=st.lists(beginnings, max_size=3), window=st.none() | windows)
    def select(self, kinds: list[str], window: Window | None) -> None:
        document = self.log.document(kinds, window)
        kept = [
            event
            for index, event in enumerate(self.accepted)
            if sum(later.kind == event.kind for later in self.accepted[index:]) <= RETENTION
            and (not kinds or any(event.kind.startswith(kind.removesuffix("Event")) for kind in kinds))
            and (window is None or window.contains(event.time))
        ]
        assert list(document.lists) == list(self.etls.values())
        for set_name, etl in self.etls.items():
            expected = [event for event in kept if event.kind.startswith(set_name)]
            assert Counter(document.lists[etl]) == Counter(expected)
            times = [event.time for event in document.lists[etl]]
            assert times == sorted(times, reverse=True)

    @invariant()
    def counts_are_exact(self) -> None:
        counts = Counter(event.kind for event in self.accepted)
        assert list(self.log.counts().items()) == sorted(counts.items())


TestEventLogAsAList = EventLogAsAList.TestCase
TestEventLogAsAList.settings = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.parametrize("time", [10**30, 1.5, True])
def test_a_time_that_can_not_be_written_is_refused(log: EventLog, time: Any) -> None:
    """What the document could not show is told at once, with the value."""
    with pytest.raises(ValueError, match=f"years 1 to 9999, got {time}"):
        log.append(Event("AssetSetSaved", time))
    assert log.counts() == {}


@pytest.mark.parametrize("size", [-1, 2**63, 1.5, float("nan"), True])
def test_a_size_that_can_not_be_read_back_is_refused(log: EventLog, size: Any) -> None:
    """Likewise."""
    with pytest.raises(ValueError, match=f"size must be an integer from 0 to {2**63 - 1}, got {size}"):
        log.append(Event("AssetSetSaved", 1, size))
    assert log.counts() == {}
