"""A process has one journal for each file, whoever creates it and by whatever path."""

from __future__ import annotations

import gc
import os
import pickle
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from sqlite3 import connect
from time import time_ns

import pytest

from otel_kcevents import EventLog, Journal, RecordSet
from otel_kcevents.model.event import Event


def test_two_journals_of_one_file_lose_no_event(tmp_path: Path) -> None:
    for kind, count in (("saved", 3), ("loaded", 5)):
        log = EventLog()
        log.attach(Journal(tmp_path / "log.db"))
        for _ in range(count):
            RecordSet("asset", "AssetSet", log=log).emit(kind)
    assert Journal(tmp_path / "log.db").counts() == {"AssetSetLoaded": 5, "AssetSetSaved": 3}


def test_journal_that_is_attached_twice_is_called_once(tmp_path: Path) -> None:
    log = EventLog()
    log.attach(Journal(tmp_path / "log.db"))
    detach = log.attach(Journal(tmp_path / "log.db"))
    RecordSet("asset", "AssetSet", log=log).emit("saved")
    assert Journal(tmp_path / "log.db").counts() == {"AssetSetSaved": 1}
    detach()
    RecordSet("asset", "AssetSet", log=log).emit("saved")
    assert Journal(tmp_path / "log.db").counts() == {"AssetSetSaved": 1}


def test_symbolic_link_and_file_are_one_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("log.db", "link.db")
    journal = Journal("link.db")
    assert Journal(tmp_path / "log.db") is journal
    assert journal.path == os.path.realpath("log.db")


def test_pickle_of_a_journal_is_the_same_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.db", 10)
    assert pickle.loads(pickle.dumps(journal)) is journal


def test_rejected_arguments_leave_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="retention must be an integer of at least 1"):
        Journal(tmp_path / "log.db", 0)
    assert Journal(tmp_path / "log.db").path == os.path.realpath(tmp_path / "log.db")


@pytest.mark.parametrize(("retention", "max_age", "kept"), [(5, None, 5), (None, timedelta(days=1), 200)])
def test_retention_that_is_given_later_applies(
    tmp_path: Path, retention: int | None, max_age: timedelta | None, kept: int
) -> None:
    """Creating the journal without one, to read it, does not reset it."""
    log, path = EventLog(), tmp_path / "log.db"
    log.attach(reader := Journal(path))
    Journal(path, retention, max_age)
    assert Journal(path) is reader
    for _ in range(200):
        log.append(Event("AssetSetSaved", time_ns() - 3600 * 10**9))
    with closing(connect(path)) as database:
        rows = database.execute("SELECT count(*) FROM event").fetchone()[0]
    assert kept <= rows <= kept + 64  # rows are deleted every 64 writes
    assert reader.counts() == {"AssetSetSaved": 200}


def test_file_is_closed_when_its_journal_is_deleted(tmp_path: Path) -> None:
    log = EventLog()
    log.attach(Journal(tmp_path / "log.db"))
    assert (tmp_path / "log.db-wal").exists()
    del log
    gc.collect()
    assert not (tmp_path / "log.db-wal").exists()
