"""The call counts in a journal: when they are written, how they are summed, and files of version 1 of the schema."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from journals import NIGHT, run_of, write

from otel_kcevents import Event, Journal, JournalError, flush
from otel_kcevents.store.calls import CallCounts, Calls, all_counts, counts_of
from otel_kcevents.store.journal_calls import read_calls, read_program
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_reader import read_journal
from otel_kcevents.store.journal_rows import MIGRATIONS, SCHEMA_VERSION, Batch
from otel_kcevents.store.journal_state import read_state
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.run_end import write_run_soon

VERSION_1 = Path(__file__).with_name("version_1.db")
"""A journal that this package wrote when the version of its schema was 1."""
ENTRY = "kcevents.toml: functions[0] (etl:*)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal."""
    return tmp_path / "kcevents.db"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The path of a journal of version 1."""
    return Path(shutil.copy(VERSION_1, tmp_path / "kcevents.db"))


@pytest.fixture
def counts() -> Iterator[CallCounts]:
    """The counts of a function, zero."""
    yield active("etl:save")
    for counts in all_counts():
        counts.start_anew()


def active(function: str, entry: str = ENTRY) -> CallCounts:
    """Return the counts of an instrumented function."""
    counts = counts_of(entry, function)
    counts.is_active = True
    return counts


def call(counts: CallCounts, journal: Journal) -> None:
    """Count a call and its event, and write the event."""
    counts.calls += 1
    counts.events += 1
    journal(Event("AssetSetSaved", NIGHT, 1))


def calls_in(path: Path | str) -> list[tuple[str, int, int]]:
    """Return the functions in a journal with their calls and events."""
    return [(calls.function, calls.calls, calls.events) for calls in read_journal(str(path), read_calls)]


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_file_of_version_1_is_read_and_not_changed(old: Path) -> None:
    content = old.read_bytes()
    assert Journal(old).counts() == {"AssetSetComputeError": 1, "AssetSetSaved": 1}
    assert [(run["name"], run["events"]) for run in Journal(old).runs()] == [("nightly", 2)]
    assert read_state(str(old)).calls == ()
    program = read_journal(str(old), lambda connection: read_program(connection, "x", lambda run: False))
    assert program == ((), 0, 0, (), (), 0)
    assert old.read_bytes() == content
    assert [entry.name for entry in old.parent.iterdir()] == ["kcevents.db"]


def test_writing_to_a_file_of_version_1_migrates_it(old: Path, counts: CallCounts) -> None:
    call(counts, Journal(old))
    assert version(old) == SCHEMA_VERSION
    assert calls_in(old) == [("etl:save", 1, 1)]
    assert Journal(old).counts() == {"AssetSetComputeError": 1, "AssetSetSaved": 2}
    assert [run["name"] for run in Journal(old).runs()][1] == "nightly"


def test_earlier_package_refuses_the_migrated_file(old: Path, counts: CallCounts) -> None:
    """Also a process that has had the file open since before."""
    earlier = JournalFile(str(old), None, None, etl_of, MIGRATIONS[:1])
    with closing(earlier):
        counts.is_active = False  # the earlier package does not count
        earlier.write(run_of("a"), Batch(), 5)
        counts.is_active = True
        call(counts, Journal(old))
        with pytest.raises(
            JournalError, match=f"has version {SCHEMA_VERSION} of the schema, this package supports 1 and older"
        ):
            earlier.write(run_of("a"), Batch(), 5)
    assert version(old) == SCHEMA_VERSION
    assert calls_in(old) == [("etl:save", 1, 1)]


def test_functions_that_are_not_called_are_written_too(path: Path, counts: CallCounts) -> None:
    Journal(path).begin()
    assert calls_in(path) == [("etl:save", 0, 0)]


def test_burst_of_calls_is_written_at_intervals(path: Path, counts: CallCounts) -> None:
    """At most 64 events are not counted yet, and most events are written without the counts."""
    journal = Journal(path)
    seen = set()
    for _ in range(400):
        call(counts, journal)
        [(_, calls, _)] = calls_in(path)
        assert max(counts.calls - 64, counts.calls // 2) <= calls <= counts.calls
        seen.add(calls)
    assert len(seen) < 40


def test_flush_writes_all_counts(path: Path, counts: CallCounts) -> None:
    journal = Journal(path)
    for _ in range(100):
        call(counts, journal)
    flush()
    assert calls_in(path) == [("etl:save", 100, 100)]


def test_counts_are_written_again_to_a_new_file(path: Path, counts: CallCounts) -> None:
    journal = Journal(path)
    other = active("etl:load")
    call(other, journal)
    for moved in path.parent.glob("kcevents.db*"):
        moved.unlink()
    call(counts, journal)
    assert calls_in(path) == [("etl:load", 1, 1), ("etl:save", 1, 1)]


def test_counts_that_cannot_be_written_are_written_later(path: Path, counts: CallCounts) -> None:
    path.mkdir()
    journal = Journal(path)
    call(counts, journal)
    path.rmdir()
    flush()
    assert calls_in(path) == [("etl:save", 1, 1)]


def test_text_that_is_not_unicode_is_written(path: Path) -> None:
    call(active("etl:save", "\ud800.toml: functions[0]"), Journal(path))
    assert [calls.entry for calls in read_journal(str(path), read_calls)] == ["?.toml: functions[0]"]


def test_counts_are_deleted_with_their_run(path: Path, counts: CallCounts) -> None:
    write(path, run_of("a"))
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [(f"{number:016}", NIGHT + number) for number in range(10_500)]
        connection.executemany(
            "INSERT INTO run (id, name, program, host, pid, started) VALUES (?, 'n', 'p', 'h', 1, ?)", rows
        )
        connection.execute("UPDATE run SET started = 0 WHERE id = ?", ("a" * 16,))
        connection.execute("INSERT INTO call SELECT ?, entry, 'etl:new', 1, 1, 0, 0, 0 FROM call", (rows[-1][0],))
    write(path, run_of("b"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT DISTINCT run FROM call ORDER BY run DESC").fetchall() == [
            ("b" * 16,),
            (rows[-1][0],),
        ]


def test_program_has_the_calls_of_its_processes(path: Path, counts: CallCounts) -> None:
    counts.calls, counts.events = 2, 1
    write(path, run_of("a", "x"))
    write(path, run_of("b", "a", 1), *(Event("AssetSetSaved", NIGHT, size) for size in range(3)))
    write(path, run_of("c"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO problem (run, time, message) VALUES (?, 0, ?)",
            [("b" * 16, "late"), ("a" * 16, "early"), ("b" * 16, "late"), ("c" * 16, "other")],
        )
    program = read_journal(
        str(path), lambda connection: read_program(connection, "x" * 16, lambda run: run == "b" * 16)
    )
    assert program.runs == ("a" * 16, "b" * 16)
    assert (program.running, program.unended) == (1, 2)
    assert program.uncounted == 2
    assert program.calls == (Calls(ENTRY, "etl:save", 4, 2, 0, 0, 0),)
    assert [problem for problem in program.problems if problem in ("early", "late", "other")] == ["late", "early"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_child_writes_calls_without_events(path: Path, counts: CallCounts) -> None:
    """It becomes a run, but adds no row for functions that it does not call."""
    journal = Journal(path)
    call(active("etl:load"), journal)
    if (child := os.fork()) == 0:
        counts.calls += 1
        write_run_soon()
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    assert calls_in(path) == [("etl:load", 1, 1), ("etl:save", 1, 0)]
    assert len(journal.runs()) == 2
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM call").fetchone() == (3,)
