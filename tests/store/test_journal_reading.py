"""Reading a journal: in any folder, beside any writer, and without changing its files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest
from conftest import run_program
from journals import DAYS, NIGHT, run_of, write, write_nights

from otel_kcevents import EventLog, Journal, JournalError, RecordSet
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS
from otel_kcevents.model.window import Window
from otel_kcevents.store.journal_events import read_counts, read_events, waiting_document
from otel_kcevents.store.journal_reader import open_to_read, read_journal
from otel_kcevents.store.journal_rows import APPLICATION_ID, Batch, Entry
from otel_kcevents.store.journal_writer import switch_off
from otel_kcevents.store.query import EventQuery
from otel_kcevents.store.run import current_run

COUNTS = {"AllocationSetComputeError": 2, "AssetSetSaved": 5, "AssetSetTotaled": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a journal with eight events, which no process has open."""
    return write_nights(tmp_path / "log.db")


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes if a file is written. Opening a file would drop the locks of this process on it."""
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir()}


# Places


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can read."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def read_as_nobody(path: Path, mode: int = 0o555) -> Any:
    """Read a journal as a user who may write neither the file nor the folder."""
    for file in path.parent.iterdir():
        file.chmod(0o444)
    path.parent.chmod(mode)
    before = files(path.parent)
    out, _ = run_program("read_journal", str(path), "nobody")
    assert files(path.parent) == before
    return json.loads(out)


def test_journal_is_read_in_a_read_only_folder(public: Path) -> None:
    """No file is created next to it."""
    counts, listed, outcomes = read_as_nobody(write_nights(public / "log.db"))
    assert (counts, listed) == (COUNTS, 8)
    assert set(outcomes) == {"killed"}


def test_journal_of_another_user_is_read_while_it_is_written(public: Path) -> None:
    """Its newest events are still in the write-ahead log. The lock of the running process can be seen."""
    log = EventLog()
    log.attach(Journal(write_nights(public / "log.db")))
    RecordSet("asset", "AssetSet", log=log).emit("loaded")
    counts, listed, outcomes = read_as_nobody(public / "log.db")
    assert (counts, listed) == ({**COUNTS, "AssetSetLoaded": 1}, 9)
    assert outcomes[0] == "running"


def leave_wal(folder: Path, *suffixes: str) -> Path:
    """Copy a journal as a killed process leaves it, with these of its files."""
    source = folder / "source"
    source.mkdir()
    path = write_nights(source / "log.db")
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE tally SET count = 6 WHERE name = 'AssetSetSaved'")
        writer.commit()
        for suffix in ("", *suffixes):
            shutil.copy(f"{path}{suffix}", folder / f"log.db{suffix}")
    shutil.rmtree(source)
    return folder / "log.db"


def test_write_ahead_log_of_a_killed_process_is_read(public: Path) -> None:
    """Its files are left as they are, for the next writer."""
    path = leave_wal(public, "-wal", "-shm")
    before = path.read_bytes()
    assert Journal(path).counts() == {**COUNTS, "AssetSetSaved": 6}
    assert path.read_bytes() == before
    assert read_as_nobody(path)[0] == {**COUNTS, "AssetSetSaved": 6}


def test_wal_that_cannot_be_applied_is_an_error(public: Path) -> None:
    """In a folder that cannot be written, SQLite cannot create its shared memory."""
    assert "cannot be read: unable to open database file" in read_as_nobody(leave_wal(public, "-wal"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can open another user's files")
def test_file_of_another_user_is_refused_with_the_reason(public: Path) -> None:
    path = write_nights(public / "log.db")
    path.chmod(0o600)
    out, _ = run_program("read_journal", str(path), "nobody")
    assert "permission" in json.loads(out)


@pytest.mark.parametrize("name", ["a b.db", "a%20b.db", "a?mode=rwc#b.db", "größe\udcff.db"])
def test_any_name_of_a_file_can_be_read(tmp_path: Path, name: str) -> None:
    assert Journal(write_nights(tmp_path / name)).counts() == COUNTS


def test_missing_or_empty_file_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """Both are a FileNotFoundError: nothing has been written."""
    (tmp_path / "empty.db").touch()
    for name, message in (("none.db", "does not exist"), ("empty.db", "is empty")):
        with pytest.raises(JournalError, match=rf"{name} {message}; expected a journal.*log_file=") as error:
            Journal(tmp_path / name).counts()
        assert isinstance(error.value, FileNotFoundError)
    assert sorted(files(tmp_path)) == ["empty.db"]


# What is not a journal


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE TABLE counter (kind, count)", "is a database of another application"),
        (f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99", "has version 99 of the schema"),
    ],
)
def test_other_database_is_refused_untouched(tmp_path: Path, sql: str, message: str) -> None:
    """A write-ahead log beside it is not applied either: it may be left from another file."""
    path = leave_wal(tmp_path, "-wal", "-shm")
    path.unlink()
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.executescript(sql)
    (tmp_path / "other.db").rename(path)
    before = files(tmp_path)
    for read in (Journal(path).counts, Journal(path).document, Journal(path).events, Journal(path).runs):
        with pytest.raises(JournalError, match=message):
            read()
    assert files(tmp_path) == before


def test_damaged_file_is_an_error(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(JournalError, match=r"log\.db cannot be read: "):
        Journal(path).document()


@pytest.mark.parametrize("values", ["window_start = 5, window_end = 1", "window_start = 'x'", "exact = '{'"])
def test_damaged_event_is_an_error(path: Path, values: str) -> None:
    """Other kinds can still be read."""
    change(path, f"UPDATE event SET {values} WHERE kind = 'AssetSetTotaled'")
    for read in (Journal(path).document, Journal(path).events):
        with pytest.raises(JournalError, match="an event in the journal is damaged"):
            read()
    assert len(Journal(path).document("AllocationSet").lists["allocation"]) == 2


# Other processes


def test_reader_sees_whole_transactions_at_full_speed(path: Path) -> None:
    """Counters and rows agree in every snapshot, while another connection writes as fast as it can."""
    log, done = EventLog(), Flag()
    journal = Journal(path)
    log.attach(journal)
    asset = RecordSet("asset", "AssetSet", log=log)

    def write_all() -> None:
        while not done.is_set():
            asset.emit("loaded", size=1)

    def read(connection: sqlite3.Connection) -> tuple[int, int]:
        rows = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        return sum(read_counts(connection).values()), rows

    writer = Thread(target=write_all)
    writer.start()
    try:
        seen = [read_journal(str(path), read) for _ in range(100)]
    finally:
        done.set()
        writer.join()
    assert all(count == rows for count, rows in seen)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


@pytest.mark.parametrize("is_damage_seen", [False, True])
def test_file_that_changes_while_it_is_read_is_read_again(path: Path, is_damage_seen: bool) -> None:
    """It has no write-ahead log, so it is read without locks."""
    calls = []

    def read(connection: sqlite3.Connection) -> dict[str, int]:
        calls.append(1)
        found = read_counts(connection)
        if len(calls) == 1:
            change(path, "UPDATE tally SET count = 7 WHERE name = 'AssetSetSaved'")
            if is_damage_seen:
                raise sqlite3.DatabaseError("database disk image is malformed")
        return found

    assert read_journal(str(path), read) == {**COUNTS, "AssetSetSaved": 7}
    assert len(calls) == 2


def test_file_that_always_changes_is_an_error(path: Path) -> None:
    def read(connection: sqlite3.Connection) -> None:
        read_counts(connection)
        os.utime(path, ns=(0, len(calls)))
        calls.append(1)

    calls = list[int]()
    with pytest.raises(JournalError, match="was changed while it was read; try again"):
        read_journal(str(path), read)
    assert len(calls) == 3


def test_reading_leaves_the_locks_of_the_writer(path: Path) -> None:
    """A process loses its locks on a file when it closes any descriptor of the file, unless SQLite does."""
    journal, log = Journal(path), EventLog()
    log.attach(journal)
    asset = RecordSet("asset", "AssetSet", log=log)
    asset.emit("loaded")
    for read in (journal.counts, journal.document, journal.events, journal.runs):
        read()
        assert run_program("holds_lock", str(path)) == ("held\n", "")
    assert json.loads(run_program("read_journal", str(path))[0])[2][0] == "running"
    asset.emit("loaded")
    assert journal.counts()["AssetSetLoaded"] == 2


def test_reader_changes_no_journal_that_replaces_another(path: Path, tmp_path: Path) -> None:
    """The write-ahead log of the first one is still beside it; a reader that applied it would destroy the second."""
    log = EventLog()
    log.attach(Journal(tmp_path / "other.db"))
    RecordSet("asset", "AssetSet", log=log).emit("loaded")
    path.rename(tmp_path / "other.db")
    before = (tmp_path / "other.db").stat()
    run_program("read_journal", str(tmp_path / "other.db"))
    after = (tmp_path / "other.db").stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    RecordSet("asset", "AssetSet", log=log).emit("loaded")  # the writer notices
    assert Journal(tmp_path / "other.db").counts() == {**COUNTS, "AssetSetLoaded": 1}


def test_runs_can_be_read_before_the_first_write(path: Path) -> None:
    """This process can lock the file after it opened it to look for the locks of others."""
    log = EventLog()
    journal = Journal(path)
    assert {run["outcome"] for run in journal.runs()} == {"killed"}
    log.attach(journal)
    RecordSet("asset", "AssetSet", log=log).emit("loaded")
    assert journal.counts()["AssetSetLoaded"] == 1
    assert [run["outcome"] for run in journal.runs() if run["id"] == current_run().id] == ["running"]


def test_read_that_takes_too_long_is_aborted(path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(JournalError, match=r"took more than 0\.1 seconds; select fewer kinds"):
        read_journal(str(path), lambda connection: connection.execute(endless).fetchone(), timeout=0.1)


# What is read


def test_deleted_events_are_still_counted(path: Path) -> None:
    """As the retention does."""
    change(path, "DELETE FROM event WHERE kind = 'AssetSetSaved' AND n <= 3")
    document = Journal(path).document()
    assert [event.size for event in document.lists["asset"] if event.kind == "AssetSetSaved"] == [7, 6]
    assert document.counters == COUNTS
    in_window = Journal(path).document(window=Window.from_ns(NIGHT, NIGHT + 7))
    assert [event.time - NIGHT for event in in_window.lists["asset"]] == [6, 5]


def test_events_after_a_clock_was_set_back_come_first(path: Path) -> None:
    change(path, "UPDATE event SET epoch = 1 WHERE id IN (2, 3)")
    document = Journal(path).document()
    assert [event.time - NIGHT for event in document.lists["asset"]] == [2, 1, 7, 6, 5, 0]
    assert [listed.event.time - NIGHT for listed in Journal(path).events().events] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_kind_of_an_unknown_set_has_its_own_list(path: Path) -> None:
    """Another program, which knows the set, has written it."""
    log = EventLog()
    log.add_set("network", "NetworkCostSet")
    write(path, run_of("f"), Event("NetworkCostSetSaved", NIGHT + 9, 3))
    journal = Journal(path)
    assert journal.document("NetworkCost").lists["network"] == (Event("NetworkCostSetSaved", NIGHT + 9, 3),)
    assert journal.events(EventQuery(("NetworkCost",))).events[0].etl == "network"


def test_kind_without_events_has_an_empty_list(path: Path) -> None:
    document = Journal(path).document("AssetSetReconciled")
    assert document.lists == {"allocation": (), "asset": ()}
    assert document.counters == COUNTS


EARLY, LATE = MIN_NS + 1, MAX_NS - 1
TIMES = [EARLY, EARLY + 5, NIGHT, LATE - 5, LATE]


@pytest.fixture
def ages(tmp_path: Path) -> Journal:
    """Events, and windows of their sets, in years that SQLite's integers cannot represent in nanoseconds."""
    path = tmp_path / "ages.db"
    events = [Event("AssetSetSaved", time, 1, Window.from_ns(time, time + 1)) for time in TIMES]
    write(path, run_of("a"), *events, Event("AssetSetSaved", NIGHT, 2, Window(None, None)))
    return Journal(path)


WINDOWS: list[tuple[int | None, int | None, Callable[[int], bool]]] = [
    (None, None, lambda time: True),
    (None, EARLY + 5, lambda time: time == EARLY),
    (EARLY, EARLY + 1, lambda time: time == EARLY),
    (EARLY + 1, EARLY + 5, lambda time: False),
    (EARLY + 6, LATE - 5, lambda time: time == NIGHT),
    (LATE, None, lambda time: time == LATE),
    (LATE - 5, LATE, lambda time: time == LATE - 5),
    (LATE + 1, None, lambda time: False),
]


@pytest.mark.parametrize(("start", "end", "expected"), WINDOWS)
def test_window_selects_in_any_year(
    ages: Journal, start: int | None, end: int | None, expected: Callable[[int], bool]
) -> None:
    """Its ends may be open."""
    window = Window.from_ns(start, end)
    selected = [time for time in TIMES if expected(time)]
    document = ages.document(window=window)
    assert [event.time for event in reversed(document.lists["asset"]) if event.size == 1] == selected
    pages = ages.events(EventQuery(window=window)).events
    assert [listed.event.time for listed in reversed(pages) if listed.event.size == 1] == selected
    pages = ages.events(EventQuery(set_window=window)).events
    assert [listed.event.time for listed in reversed(pages)] == [*selected, NIGHT]


def test_window_without_events_lists_none(path: Path) -> None:
    document = Journal(path).document(window=DAYS[0])
    assert document.lists == {"allocation": (), "asset": ()}
    assert document.counters == COUNTS


@pytest.mark.parametrize("seconds", [0, 60])
def test_page_ends_in_time_and_the_next_continues(path: Path, seconds: float) -> None:
    """However few of the events are selected: a set window that matches one in a million, for example."""
    query, pages = EventQuery(set_window=DAYS[1]), []
    with open_to_read(str(path)) as connection:
        while True:
            page = read_events(connection, query, 3, seconds)
            pages.append([listed.event.time - NIGHT for listed in page.events])
            if page.next is None:
                break
            query = query._replace(before=page.next)
    assert pages == ([[1]] if seconds else [[], [], [1]])


def test_last_stays_the_same_run_from_page_to_page(path: Path) -> None:
    """A newer run begins between the pages."""
    first = Journal(path).events(EventQuery(runs=("last",), limit=1))
    write(path, run_of("f", None, 9), Event("AssetSetSaved", NIGHT + 9))
    second = Journal(path).events(EventQuery(runs=("last",), before=first.next))
    assert [listed.event.time - NIGHT for listed in (*first.events, *second.events)] == [7, 6, 5]


def test_last_run_may_have_a_parent_that_is_missing(path: Path) -> None:
    """Its parent writes to another file, or recorded nothing."""
    write(path, run_of("f", "9", 9), Event("AssetSetSaved", NIGHT + 9))
    (listed,) = Journal(path).events(EventQuery(runs=("last",))).events
    assert listed.run == "f" * 16
    assert Journal(path).runs()[0]["parent"] is None


def test_cycle_of_runs_in_a_journal_ends(path: Path) -> None:
    """Another program may write to the file."""
    write(path, run_of("f", "9", 9), Event("AssetSetSaved", NIGHT + 9))
    write(path, run_of("9", "f", 10), Event("AssetSetSaved", NIGHT + 10))
    assert [(run["events"], run["allEvents"]) for run in Journal(path).runs()[:2]] == [(1, 2), (1, 2)]


def test_last_of_a_journal_without_runs_is_none(path: Path) -> None:
    change(path, "DELETE FROM run")
    assert Journal(path).events(EventQuery(runs=("last",))).events == ()


@pytest.mark.parametrize(
    ("written", "times", "count"), [(0, [4, 3, 2, 1], 6), (2, [4, 3], 4), (3, [4], 3), (5, [4], 1), (6, [], 0)]
)
def test_events_that_the_file_has_do_not_wait(written: int, times: list[int], count: int) -> None:
    """They may be written while the file is read: three with two that are only counted, and one."""
    entries = [Entry(Event("AssetSetSaved", time), 0, 0) for time in (1, 2, 3, 4)]
    batches = [Batch(tuple(entries[:2]), 2), Batch((entries[2],), 5, {"AssetSetLoaded": 2}), Batch((entries[3],), 6)]
    waiting = waiting_document(batches, written, lambda kind: "asset")
    assert [event.time for event in waiting.lists.get("asset", ())] == times
    assert sum(waiting.counters.values()) == count


@pytest.mark.parametrize("failure", [Failure("OSError", "no \ud800 file", "save"), Failure("OSError", "no file")])
def test_failure_is_read_as_it_was_written(tmp_path: Path, failure: Failure) -> None:
    """Also if it has a lone surrogate, which no column can hold, or no operation."""
    log, journal = EventLog(), Journal(tmp_path / "log.db")
    log.attach(journal)
    event = Event("AssetSetComputeError", NIGHT, failure=failure)
    log.append(event)
    assert journal.document().lists["asset"] == (event,)


def test_journal_that_is_off_is_not_read(path: Path) -> None:
    """A process that has inherited a connection must not open the file again."""
    switch_off(str(path))
    with pytest.raises(JournalError, match=rf"cannot be read in process {os.getpid()}, which has inherited"):
        Journal(path).counts()
