"""The file of a journal: its creation, its versions, its write-ahead log, and what is deleted from it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from time import monotonic, monotonic_ns, sleep, time_ns
from typing import IO

import pytest
from conftest import TESTS, clean_environment, run_program
from journals import NIGHT, run_of, write
from troubled import HOLD_FLOCK, HOLD_READER, other_process, sizes_in

from otel_kcevents import Journal, JournalError
from otel_kcevents.model.event import Event
from otel_kcevents.store.journal_connection import check_header
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, Batch, Entry
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.run import Run

NEXT_VERSION = SCHEMA_VERSION + 1
NEXT_MIGRATION = "ALTER TABLE event ADD COLUMN cost REAL; CREATE TABLE budget (name TEXT); "
DAY = 86_400 * 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal."""
    return tmp_path / "kcevents.db"


def append(file: JournalFile, run: Run, first: int, count: int, *, kind: str = "AssetSetSaved", time: int = 0) -> None:
    """Write events of the sizes *first*, *first* + 1 and so on in one transaction each."""
    for size in range(first, first + count):
        file.write(run, Batch((Entry(Event(kind, time or time_ns(), size), 0, 0),), size + 1), 5)


def open_file(path: Path, retention: int | None = None, max_age: int | None = None) -> closing[JournalFile]:
    return closing(JournalFile(str(path), retention, max_age, etl_of))


def pragmas(path: Path) -> tuple[int, int]:
    """Return the application and the version of a journal."""
    with closing(sqlite3.connect(path)) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def test_journal_names_its_application_and_version(path: Path) -> None:
    write(path, run_of("a"), Event("AssetSetSaved", NIGHT, 0))
    assert pragmas(path) == (APPLICATION_ID, SCHEMA_VERSION)
    assert path.read_bytes()[68:72] == b"kcev"


def test_older_journal_is_migrated(path: Path) -> None:
    """A process that has it open refuses it from then on."""
    with (
        open_file(path) as old,
        closing(JournalFile(str(path), None, None, etl_of, (*MIGRATIONS, NEXT_MIGRATION))) as new,
    ):
        append(old, run_of("a"), 0, 3)
        append(new, run_of("b"), 0, 3)
        refusal = f"has version {NEXT_VERSION} of the schema, this package supports {SCHEMA_VERSION} and older; update"
        with pytest.raises(JournalError, match=f"{refusal} otel-kcevents"):
            append(old, run_of("a"), 3, 1)
        append(new, run_of("b"), 3, 1)
    assert pragmas(path) == (APPLICATION_ID, NEXT_VERSION)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*), count(cost) FROM event").fetchone() == (7, 0)
        assert connection.execute("SELECT count(*) FROM budget").fetchone() == (0,)


def test_later_version_in_the_write_ahead_log_is_refused(path: Path) -> None:
    """The version may be in the write-ahead log only."""
    with open_file(path) as file:
        append(file, run_of("a"), 0, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {NEXT_VERSION}")
        check_header(str(path))
        with open_file(path) as file, pytest.raises(JournalError, match=f"has version {NEXT_VERSION} of the schema"):
            append(file, run_of("a"), 3, 1)
        assert connection.execute("PRAGMA user_version").fetchone() == (NEXT_VERSION,)


def test_failed_migration_changes_nothing(path: Path) -> None:
    write(path, run_of("a"), Event("AssetSetSaved", NIGHT, 0))
    migrations = (*MIGRATIONS, f"{NEXT_MIGRATION} CREATE TABLE event (id);")
    file = JournalFile(str(path), None, None, etl_of, migrations)
    with pytest.raises(JournalError, match="table event already exists"):
        append(file, run_of("b"), 0, 1)
    assert pragmas(path) == (APPLICATION_ID, SCHEMA_VERSION)
    write(path, run_of("b"), Event("AssetSetSaved", NIGHT, 1))
    assert sizes_in(path) == [0, 1]


@contextmanager
def creator(path: Path, *args: str) -> Iterator[tuple[Callable[[str], None], IO[str]]]:
    """A program that creates or migrates journals, which is killed at the end: a function that sends it a line, and
    its stdout.
    """
    process = subprocess.Popen(
        [sys.executable, TESTS / "programs" / "journal_creator.py", str(path), *args],
        env=clean_environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        stdin = process.stdin

        def send(line: str) -> None:
            stdin.write(f"{line}\n")
            stdin.flush()

        yield send, process.stdout
        process.send_signal(signal.SIGKILL)


def test_journal_can_be_written_after_its_creator_is_killed(path: Path) -> None:
    random = Random(1)
    for _ in range(4):
        with creator(path) as (send, _):
            send("")
            sleep(random.random() * 0.006)
    write(path, run_of("b"), Event("AssetSetSaved", NIGHT, 2))
    assert sizes_in(path)[-1] == 2
    assert pragmas(path) == (APPLICATION_ID, SCHEMA_VERSION)


def test_journal_can_be_written_after_a_killed_migration(path: Path) -> None:
    """The migration takes seconds."""
    random = Random(1)
    write(path, run_of("a"), Event("AssetSetSaved", NIGHT, 0))
    for _ in range(3):
        with creator(path, "slowly") as (send, _):
            send("")
            sleep(random.random() / 2)
    write(path, run_of("b"), Event("AssetSetSaved", NIGHT, 1))
    assert sizes_in(path) == [0, 1]
    assert pragmas(path) == (APPLICATION_ID, SCHEMA_VERSION)


def test_two_programs_can_create_the_same_file(path: Path) -> None:
    with creator(path) as (send, stdout), creator(path) as (send_other, stdout_other):
        for number in range(50):
            send(str(number))
            send_other(str(number))
            assert stdout.readline() == stdout_other.readline() == "written\n"
    for number in range(50):
        assert sizes_in(f"{path}{number}") == [1, 1]
        assert pragmas(Path(f"{path}{number}")) == (APPLICATION_ID, SCHEMA_VERSION)


def test_reader_that_does_not_end_stops_writes(path: Path) -> None:
    """The log is emptied, and events are written again, when the reader ends."""
    with closing(JournalFile(str(path), None, None, etl_of, max_log=2**20)) as file:
        append(file, run_of("a"), 0, 1)
        with other_process(HOLD_READER, path):
            with pytest.raises(JournalError, match=r"log has grown to 1 MiB: .*; end that program"):
                append(file, run_of("a"), 1, 1000)
            size = os.stat(f"{path}-wal").st_size
            assert 2**20 < size < 2**20 + 2**18
            written = sizes_in(path)
            with pytest.raises(JournalError, match="end that program"):
                append(file, run_of("a"), len(written), 1)
        append(file, run_of("a"), len(written), 1)
        assert os.stat(f"{path}-wal").st_size < 2**16
        assert sizes_in(path) == [*range(len(written) + 1)]


def test_end_of_a_program_waits_while_others_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If hundreds of programs end at once, each gets the lock in time."""
    with open_file(path) as file, monkeypatch.context() as patched:
        append(file, run_of("a"), 0, 1)
        with other_process(HOLD_FLOCK, path) as end:
            with pytest.raises(JournalError, match="is locked"):
                file.end(run_of("a"), "ended", None, 0.05, is_final=True)
            released_at = monotonic() + 0.3

            def write_meanwhile(seconds: float) -> None:
                os.utime(f"{path}-wal", ns=(0, monotonic_ns()))
                if monotonic() > released_at:
                    end()

            patched.setattr("otel_kcevents.store.lock_file.sleep", write_meanwhile)
            file.wait_for_writers_until = monotonic() + 60
            file.end(run_of("a"), "ended", None, 0.1, is_final=True)
            patched.undo()
        with other_process(HOLD_FLOCK, path):
            begin = monotonic()
            with pytest.raises(JournalError, match="is locked"):
                file.end(run_of("a"), "ended", None, 0.05, is_final=True)
            assert monotonic() - begin < 10
            file.wait_for_writers_until = 0.0


def test_last_program_removes_the_wal(path: Path) -> None:
    with open_file(path) as file:
        append(file, run_of("a"), 0, 3)
        with open_file(path) as other:
            append(other, run_of("b"), 0, 3)
        assert os.path.exists(f"{path}-wal")
    assert sorted(os.listdir(path.parent)) == ["kcevents.db", "kcevents.db-lock"]


def test_wal_is_emptied_while_programs_write(path: Path) -> None:
    with open_file(path) as file:
        append(file, run_of("a"), 0, 3000)
        assert os.stat(f"{path}-wal").st_size < 6 * 2**20
        assert path.stat().st_size > 2**17


def kept(path: Path, kind: str = "AssetSetSaved") -> tuple[list[int], int]:
    """Return the sizes of the events of a kind, and its counter."""
    with closing(sqlite3.connect(path)) as connection:
        sizes = [size for (size,) in connection.execute("SELECT size FROM event WHERE kind = ? ORDER BY n", (kind,))]
        (count,) = connection.execute("SELECT count FROM counter WHERE kind = ?", (kind,)).fetchone()
    return sizes, count


def test_newest_events_of_each_kind_are_kept(path: Path) -> None:
    with open_file(path, retention=100) as file:
        append(file, run_of("a"), 0, 1, kind="AllocationSetComputeError")
        append(file, run_of("a"), 1, 1000)
    sizes, count = kept(path)
    assert count == 1000
    assert sizes == [*range(1001 - len(sizes), 1001)]
    assert 100 <= len(sizes) <= 100 + 64
    assert kept(path, "AllocationSetComputeError") == ([0], 1)


def test_short_programs_delete_what_is_superfluous(path: Path) -> None:
    for number in range(30):
        with open_file(path, retention=10) as file:
            append(file, run_of(f"{number:x}"[-1])._replace(id=f"{number:016x}"), 0, 5)
    sizes, count = kept(path)
    assert count == 150
    assert len(sizes) <= 10 + 5


def test_lower_retention_takes_effect_step_by_step(path: Path) -> None:
    """No call deletes more than 512 events."""
    with open_file(path) as file:
        file.write(run_of("a"), Batch(tuple(Entry(Event("AssetSetSaved", 1, n), 0, 0) for n in range(3000)), 3000), 5)
        file.keep(100, None)
        before = 3000
        for number in range(3000, 4000):
            append(file, run_of("a"), number, 1)
            now = len(kept(path)[0])
            assert before - now <= 512
            before = now
    assert before <= 100 + 64
    assert kept(path)[1] == 4000


def test_place_in_the_order_of_arrival_is_never_used_again(path: Path) -> None:
    """The newest event is kept although many later ones, which have no row, have been counted."""
    with open_file(path, retention=10) as file:
        append(file, run_of("a"), 0, 63)
        newest = Entry(Event("AssetSetSaved", time_ns(), 63), 0, 0)
        file.write(run_of("a"), Batch((newest,), 5064, {"AssetSetSaved": 5000}), 5)
        append(file, run_of("a"), 5064, 1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id, n FROM event").fetchall() == [(64, 64), (65, 5065)]


def test_old_events_are_deleted_but_not_the_newest(path: Path) -> None:
    with open_file(path, max_age=DAY) as file:
        append(file, run_of("a"), 0, 200, time=time_ns() - 2 * DAY)
        sizes, count = kept(path)
        assert (sizes[-1], count) == (199, 200)
        assert len(sizes) <= 1 + 64
        append(file, run_of("a"), 200, 200)
    assert kept(path) == ([*range(200, 400)], 400)


def test_batch_that_is_written_twice_counts_once(path: Path) -> None:
    run, batch = run_of("a"), Batch(tuple(Entry(Event("AssetSetSaved", 1, n), 0, 0) for n in range(3)), 3)
    with open_file(path) as file:
        file.write(run, batch, 5)
        file.write(run, batch, 5)
    with open_file(path) as file:
        file.write(run, batch, 5)
    assert sizes_in(path) == [0, 1, 2]


def test_oldest_of_too_many_runs_are_deleted(path: Path) -> None:
    """A run that records events is kept; a deleted run that continues later still counts its events."""
    run, server = run_of("a"), run_of("d", started=-1)
    with open_file(path) as file, open_file(path) as other:
        append(other, run, 0, 3, time=NIGHT)
        append(file, server, 0, 1)
        append(file, run_of("b", started=1), 0, 1)
        with closing(sqlite3.connect(path)) as connection:
            columns = "parent, name, program, service, host, pid"
            connection.execute(
                "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 10500) "
                f"INSERT INTO run (id, started, {columns}) SELECT n, ? + n, {columns} FROM run, number WHERE id = ?",
                (NIGHT + 10**10, run_of("b").id),
            )
            connection.commit()
        append(file, run_of("c", started=10**6), 0, 1)
        append(other, run, 3, 3)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (10_001,)
        assert connection.execute("SELECT count FROM tally WHERE name = ?", (run.id,)).fetchone() == (6,)
        assert connection.execute("SELECT count(*) FROM run WHERE id = ?", (server.id,)).fetchone() == (1,)
    assert sizes_in(path) == [0, 0, 0, 0, 1, 2, 3, 4, 5]


def test_newest_event_is_first_after_the_clock_is_set_back(path: Path) -> None:
    """A program that starts later finds the clock of the file ahead of its own."""
    assert run_program("journal_clock", str(path))[0] == "[11, 10, 21, 20, 31, 30]\n"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tally SET last = last + ? WHERE name = 'clock'", (DAY,))
        connection.commit()
    with open_file(path) as file:
        append(file, run_of("a"), 0, 1)
    assert [event.size for event in Journal(path).document().lists["asset"]] == [0, 11, 10, 21, 20, 31, 30]
