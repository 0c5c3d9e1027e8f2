"""The state of a journal: counters and rows, the warnings of its programs, and whether it can be written."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from conftest import run_program

from otel_kcevents import Event, Journal, JournalError
from otel_kcevents.model.problems import MAX_PROBLEMS, logger
from otel_kcevents.store.journal_state import KindState, check_writable, read_state


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal with three events of two kinds."""
    journal = Journal(tmp_path / "kcevents.db")
    for kind in ("AssetSetSaved", "AllocationSetSaved", "AssetSetSaved"):
        journal(Event(kind, 1))
    return journal


def change(journal: Journal, statement: str) -> None:
    """Change the file like a program that knows only SQLite."""
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute(statement)


def test_rows_are_counted_beside_the_counters(journal: Journal) -> None:
    change(journal, "DELETE FROM event WHERE n = 1")
    state = read_state(journal.path)
    assert state.kinds == (KindState("AllocationSetSaved", 1, 0, None, None), KindState("AssetSetSaved", 2, 1, 2, 2))


def test_counting_rows_ends_in_time(journal: Journal) -> None:
    for _ in range(300):
        journal(Event("AssetSetSaved", 1))
    assert read_state(journal.path, timeout=-1).kinds is None


def test_clock_and_sizes_are_read(journal: Journal) -> None:
    state = read_state(journal.path)
    assert (state.set_back, state.newest > 1) == (0, True)
    assert state.size == os.stat(journal.path).st_size
    assert state.wal_size == os.stat(f"{journal.path}-wal").st_size
    assert state.free > 0


def test_warnings_reach_the_file_with_the_next_event(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("otel_kcevents"), "propagate", False)  # xdist cannot send such a string
    logger.warning("lost %d spans \ud800", 3)
    change(journal, "DELETE FROM problem")
    journal(Event("AssetSetSaved", 1))
    journal(Event("AssetSetSaved", 1))
    (time, run, message), *others = read_state(journal.path).problems
    assert (message, others) == ("lost 3 spans ?", [])
    assert time == logger.since()[-1].time
    assert run == journal.runs()[0]["id"]


def test_newest_warnings_are_read_first(journal: Journal) -> None:
    for number in range(3):
        logger.warning("warning %d", number)
    journal(Event("AssetSetSaved", 1))
    messages = [message for _, _, message in read_state(journal.path, max_problems=2).problems]
    assert messages == ["warning 2", "warning 1"]


def test_file_keeps_a_thousand_warnings(journal: Journal) -> None:
    for _ in range(11):
        for number in range(MAX_PROBLEMS):
            logger.warning("warning %d", number)
        journal(Event("AssetSetSaved", 1))
    assert len(read_state(journal.path, max_problems=2000).problems) == 1000


def test_warning_of_a_process_reaches_the_file_at_its_end(tmp_path: Path) -> None:
    """Its forked child does not write the warning again."""
    path = str(tmp_path / "kcevents.db")
    run_program("journal_warnings", OTEL_PYTHON_KCEVENTS_LOG_FILE=path)
    messages = [message for _, _, message in read_state(path).problems]
    assert sorted(messages) == ["of the child", "of the parent", "of the parent at its end"]


def test_warnings_of_the_last_export_reach_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "kcevents.db")
    run_program(
        *("script", "end"),
        TEST_IDLE_TIMEOUT="0.1",
        OTEL_PYTHON_KCEVENTS_LOG_FILE=path,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
    )
    messages = [message for _, _, message in read_state(path).problems]
    assert "failed to export 1 span to http://127.0.0.1:1" in messages
    assert [run["outcome"] for run in Journal(path).runs()] == ["ended"]


def test_healthy_journal_can_be_written(journal: Journal) -> None:
    check_writable(journal.path)
    assert journal.counts() == {"AllocationSetSaved": 1, "AssetSetSaved": 2}


def test_locked_journal_cannot_be_written(journal: Journal) -> None:
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="cannot be written: database is locked"):
            check_writable(journal.path, timeout=0)


def test_missing_journal_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        check_writable(str(tmp_path / "missing.db"))


def test_damaged_journal_has_no_state(journal: Journal) -> None:
    change(journal, "DROP VIEW counter")
    with pytest.raises(JournalError, match="cannot be read: no such table: counter"):
        read_state(journal.path)
