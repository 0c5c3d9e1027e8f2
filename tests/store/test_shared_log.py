"""`EventLog.source`: the events of all processes, and those of this one whenever the journal cannot be read."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from clients import filled
from journals import DAYS, NIGHT, run_of, write, write_nights
from telemetry import Warned

from otel_kcevents import EventLog, Journal, RecordSet
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.query import EventQuery
from otel_kcevents.store.shared_log import SharedLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_nights(tmp_path / "log.db")


@pytest.fixture
def log(path: Path) -> EventLog:
    """A log with a journal that has the events of other processes."""
    log = EventLog()
    log.attach(Journal(path))
    return log


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Overwrite the journal, and delete it afterwards, so that the end of this run is written without a warning."""
    path.write_text("not a database")
    yield
    for file in path.parent.iterdir():
        file.unlink()


def test_log_without_a_journal_is_its_own_source() -> None:
    log = EventLog()
    log.attach(lambda event, span_id, trace_id: None)
    assert log.source is log


def test_totals_are_those_of_all_processes(log: EventLog, path: Path) -> None:
    RecordSet("asset", "AssetSet", log=log).emit("saved", size=100)
    assert {totals.kind: totals.records for totals in log.source.totals()}["AssetSetSaved"] == 116  # type: ignore
    with damaged(path):
        assert {totals.kind: totals.records for totals in log.source.totals()} == {"AssetSetSaved": 100}  # type: ignore


def test_source_has_the_events_of_all_processes(log: EventLog, path: Path) -> None:
    RecordSet("asset", "AssetSet", log=log).emit("loaded")
    assert log.source.counts() == {
        "AllocationSetComputeError": 2,
        "AssetSetLoaded": 1,
        "AssetSetSaved": 5,
        "AssetSetTotaled": 1,
    }
    assert log.source.document() == Journal(path).document()
    assert str(log.source) == str(Journal(path))


def test_document_of_a_journal_is_that_of_the_log(tmp_path: Path) -> None:
    """Byte for byte, with open windows, times that SQLite cannot hold, equal times and the limit of each kind."""
    log = EventLog()
    log.attach(Journal(tmp_path / "log.db"))
    assert log.source.document().to_json() == log.document().to_json()
    windows = [None, DAYS[0], Window(None, DAYS[1].end), Window(DAYS[2].start, None), Window.from_ns(MIN_NS, MAX_NS)]
    for number in range(300):
        log.append(Event("AssetSetSaved", NIGHT + number // 2, number, windows[number % 5]), number + 1, 7)
    for number, kind in enumerate(log.kinds):
        failure = Failure("OSError", f"größe \udc80 {number}", None if number % 2 else "save")
        log.append(Event(kind, MAX_NS - number, None, windows[number % 5], failure))
    for kinds, window in [((), None), ("AssetSet", None), (["AllocationSetS", "AssetSetC"], DAYS[0])]:
        assert log.source.document(kinds, window).to_json() == log.document(kinds, window).to_json()


def test_source_ends_with_the_attachment(path: Path) -> None:
    log = EventLog()
    detach = log.attach(Journal(path))
    assert log.source.counts()
    detach()
    assert log.source is log


def test_source_has_the_runs_and_pages_of_the_journal(log: EventLog, path: Path) -> None:
    source: Journal = log.source  # type: ignore[assignment]
    assert source.runs() == Journal(path).runs()
    assert source.events(EventQuery(limit=2)) == Journal(path).events(EventQuery(limit=2))
    assert not hasattr(source, "coverage")
    assert copy.copy(source).runs() == source.runs()


# Sets of this process, and of others


def test_set_without_events_has_an_empty_list(log: EventLog) -> None:
    """As in the log in memory."""
    log.add_set("cloud", "CloudCostSet")
    document = log.source.document()
    assert list(document.lists) == ["allocation", "asset", "cloud"]
    assert document.lists["cloud"] == ()


@pytest.mark.parametrize("kinds", ["CloudCost", ["CloudCostSetSaved", "NetworkSet", "AssetSetT"]])
def test_kind_of_this_process_or_another_can_be_selected(path: Path, kinds: str | list[str]) -> None:
    """This process knows one kind, and the journal has an event of the other."""
    other = EventLog()
    other.add_set("network", "NetworkSet")
    write(path, run_of("f", None, 9), Event("NetworkSetSaved", 1))
    log = EventLog()
    log.add_set("cloud", "CloudCostSet")
    log.attach(Journal(path))
    document = log.source.document(kinds)
    assert document.lists["cloud"] == document.lists["allocation"] == ()
    assert len(document.lists["asset"]) == len(document.lists["network"]) == (0 if kinds == "CloudCost" else 1)


def test_unknown_kind_is_a_value_error(log: EventLog) -> None:
    with pytest.raises(ValueError, match="'Nope'"):
        log.source.document(["AssetSet", "Nope"])


# A journal that cannot be read


def test_own_log_is_served_for_an_unreadable_journal(log: EventLog, path: Path, warned: Warned) -> None:
    """The program's page still works; one warning says what is missing."""
    log.append(Event("AssetSetLoaded", 7, 1, DAYS[0]))
    with damaged(path):
        for _ in range(3):
            assert log.source.document() == log.document()
            assert log.source.counts() == log.counts()
            assert [row.operation for row in coverage(log, CoverageQuery(DAYS[0])).rows] == ["load"]
    [message] = [message for message in warned() if "only the events of this process" in message]
    assert str(path) in message


def test_missing_file_logs_no_warning(tmp_path: Path, warned: Warned) -> None:
    """The first event creates it."""
    log = EventLog()
    log.attach(Journal(tmp_path / "none" / "log.db"))
    warnings = warned()
    assert log.source.document() == log.document()
    assert warned() == warnings


class Faulty:
    """A journal that cannot be read, and counts the attempts."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, event: Event, span_id: int = 0, trace_id: int = 0) -> None:
        pass

    def counts(self) -> dict[str, int]:
        self.asked += 1
        raise OSError("the disk is gone")

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        raise OSError("the disk is gone")


def test_unreadable_journal_is_not_read_at_every_request() -> None:
    """Each attempt may take half a second."""
    log, journal = filled(), Faulty()
    log.attach(journal)
    for _ in range(10):
        assert log.source.counts() == log.counts()
    assert journal.asked == 1


def test_unreadable_journal_is_tried_again_with_one_warning(warned: Warned) -> None:
    log, journal = filled(), Faulty()
    source = SharedLog(log, journal, pause=0)
    for _ in range(3):
        assert source.counts() == log.counts()
    assert journal.asked == 3
    assert warned() == ["the disk is gone; meanwhile, only the events of this process are served"]


# Events that wait in memory


def test_events_that_wait_are_part_of_the_document(log: EventLog, path: Path, warned: Warned) -> None:
    """Another program keeps the file locked for writing."""
    asset = RecordSet("asset", "AssetSet", log=log)
    asset.emit("loaded", size=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for size in (2, 3):
            asset.emit("loaded", size=size)
        assert [event.size for event in log.source.document("AssetSetLoaded").lists["asset"]] == [3, 2, 1]
        assert len(log.source.document("AssetSetS", limit=2).lists["asset"]) == 2
        assert log.source.counts()["AssetSetLoaded"] == log.source.document().counters["AssetSetLoaded"] == 3
        other.execute("ROLLBACK")
    assert "wait in memory" in warned()[0]
