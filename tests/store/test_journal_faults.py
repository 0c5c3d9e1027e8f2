"""Everything that can happen to the file of a journal while programs write to it.

The program goes on, in time; its own log has every event; a warning is logged once, with the reason; the events are in
the file, each once, as soon as that is possible; and no file that a person may want is changed.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import clean_environment, run_program, wait_until
from journals import NIGHT, run_of, write
from telemetry import Warned
from troubled import HOLD_FLOCK, HOLD_SQLITE_LOCK, TroubledProgram, Writer, other_process, sizes_in

from otel_kcevents import Journal
from otel_kcevents.model.event import Event
from otel_kcevents.store.journal_rows import SCHEMA_VERSION

LATER_VERSION = f"has version 99 of the schema, this package supports {SCHEMA_VERSION} and older; update otel-kcevents"
LIMIT = 1.0  # seconds that a program loses at most


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal."""
    return tmp_path / "kcevents.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Callable[[], Writer]]:
    """A function that starts another program with the journal."""
    writers: list[Writer] = []

    def start() -> Writer:
        writers.append(Writer(path, clean_environment()))
        return writers[-1]

    yield start
    for started in writers:
        started.end()


def make_database(path: Path, rows: int = 10) -> None:
    """Create the database of another application."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customer (name TEXT)")
        connection.executemany("INSERT INTO customer VALUES (?)", [("x" * 500,)] * rows)
        connection.commit()


def make_large_database(path: Path) -> None:
    make_database(path, 1000)


def make_text(path: Path) -> None:
    path.write_text("The costs of September\n" * 500)


def make_journal(path: Path) -> None:
    """Create a journal with the events 1000 and 1001."""
    write(path, run_of("f"), Event("AssetSetSaved", NIGHT, 1000), Event("AssetSetSaved", NIGHT, 1001))


def make_damaged_header(path: Path) -> None:
    make_journal(path)
    with open(path, "r+b") as file:
        file.write(b"\0" * 100)


def make_cut_journal(path: Path) -> None:
    make_journal(path)
    os.truncate(path, os.stat(path).st_size // 2)


def make_later_version(path: Path) -> None:
    make_journal(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def make_journal_of_another_application(path: Path) -> None:
    """Create a database that has the tables of a journal."""
    make_journal(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 1")


@pytest.mark.parametrize("code", [HOLD_FLOCK, HOLD_SQLITE_LOCK], ids=["flock", "sqlite"])
def test_lock_of_another_program_delays_one_call(path: Path, warned: Warned, code: str) -> None:
    """The events that wait are written without another call."""
    program = TroubledProgram(path)
    program.emit(0, 3)
    with other_process(code, path):
        program.emit(3, 50)
        assert sizes_in(path) == [0, 1, 2]
        assert program.log.counts() == {"AssetSetSaved": 53}
    assert program.total < LIMIT
    wait_until(lambda: sizes_in(path) == [*range(53)])
    assert warned() == [
        f"{path} is locked by another program; close the program that keeps a transaction open in it; "
        "events wait in memory until it can be written"
    ]


@pytest.mark.parametrize(
    ("code", "module"),
    [(HOLD_FLOCK, "lock_file"), (HOLD_SQLITE_LOCK, "journal_file")],
    ids=["flock", "sqlite"],
)
def test_lock_that_is_soon_released_is_waited_for(
    path: Path, warned: Warned, monkeypatch: pytest.MonkeyPatch, code: str, module: str
) -> None:
    program = TroubledProgram(path)
    program.emit(0, 3)
    with other_process(code, path) as end:
        monkeypatch.setattr(f"otel_kcevents.store.{module}.sleep", lambda seconds: end())
        program.emit(3, 1)
        assert sizes_in(path) == [0, 1, 2, 3]
    assert warned() == []


FAULTS = {
    "file_size_limit": "cannot be written (disk I/O error); check its disk",
    "no_descriptors": "cannot be opened: too many open files; raise the limit",
    "read_only_file": "is read-only; give this process the permission to write it",
    "read_only_folder": "permission denied; give this process the permission to write in",
    "no_locks": "is on a file system without working locks; choose a file on a local disk",
    "no_sqlite_locks": "is on a file system without working locks; choose a file on a local disk",
    "no_shared_memory": "cannot be written (disk I/O error); check its disk, which must be local",
    "no_threads": "permission denied",
}
X86 = sys.platform == "linux" and os.uname().machine == "x86_64"
PERMANENT = {"no_locks", "no_sqlite_locks", "no_shared_memory"}


@pytest.mark.parametrize(
    ("fault", "state"),
    [*((fault, "new") for fault in FAULTS), ("file_size_limit", "opened"), ("read_only_folder", "opened")],
)
def test_refusal_by_the_operating_system_loses_no_event(fault: str, state: str) -> None:
    """An open journal can still be written in a folder that has become read-only."""
    if fault in PERMANENT and not X86:
        pytest.skip("the program refuses system calls by their numbers on x86-64")
    result = json.loads(run_program("journal_faults", fault, state)[0])
    path = Path(result["path"])
    try:
        assert result["total"] < LIMIT
        assert result["counts"] == {"AssetSetSaved": 53}
        if fault not in PERMANENT:
            assert sizes_in(path) == [*range(53)]
        warnings = [] if (fault, state) == ("read_only_folder", "opened") else [FAULTS[fault]]
        assert len(result["warnings"]) == len(warnings)
        for message, reason in zip(result["warnings"], warnings, strict=True):
            assert message.startswith(str(path))
            assert reason in message
    finally:
        shutil.rmtree(path.parent)


def test_call_tries_again_if_no_thread_can_be_started(path: Path, warned: Warned) -> None:
    path.mkdir()
    threading.stack_size(2**46)
    try:
        program = TroubledProgram(path)
        path.rmdir()
        count = 0

        def emit_until_written() -> bool:
            nonlocal count
            program.emit(count, 1)
            count += 1
            return path.exists()

        wait_until(emit_until_written)
    finally:
        threading.stack_size(0)
    assert sizes_in(path) == [*range(count)]
    assert len(warned()) == 1


def test_lack_of_file_descriptors_loses_no_event(path: Path, warned: Warned) -> None:
    """After a checkpoint, the header is read again, which needs one."""
    program = TroubledProgram(path)
    program.emit(0, 100)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint").fetchone()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        program.emit(100, 50)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    program.catch_up()
    assert sizes_in(path) == [*range(150)]
    [message] = warned()
    assert message.startswith(f"{path} cannot be opened")


def test_more_than_ten_thousand_waiting_events_are_counted(path: Path, warned: Warned) -> None:
    path.mkdir()
    program = TroubledProgram(path)
    program.emit(0, 10_050)
    program.asset.emit("loaded")
    path.rmdir()
    program.catch_up()
    assert program.journal.counts() == {"AssetSetLoaded": 1, "AssetSetSaved": 10_050}
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT min(size), max(size), count(*), count(DISTINCT size) FROM event").fetchall()
    assert rows == [(0, 9_999, 10_000, 10_000)]
    assert len(warned()) == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_text, "is not a journal, or is damaged; move it away, or choose another file"),
        (make_database, "is a database of another application; choose another file"),
        (make_journal_of_another_application, "is a database of another application; choose another file"),
        (make_damaged_header, "is not a journal, or is damaged; move it away"),
        (make_cut_journal, "is damaged (database disk image is malformed); move it away"),
        (make_later_version, LATER_VERSION),
    ],
)
def test_file_that_is_not_a_journal_is_not_changed(
    path: Path, warned: Warned, make: Callable[[Path], None], reason: str
) -> None:
    make(path)
    content = path.read_bytes()
    program = TroubledProgram(path)
    program.emit(0, 50)
    program.catch_up()
    assert path.read_bytes() == content
    [message] = warned()
    assert message.startswith(f"{path} {reason}")
    path.rename(path.with_name("moved"))
    program.catch_up()
    assert sizes_in(path) == [*range(50)]
    assert program.total < LIMIT


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_path_that_is_not_a_file_is_refused(path: Path, warned: Warned, make: Callable[[Path], None]) -> None:
    make(path)
    program = TroubledProgram(path)
    program.emit(0, 3)
    [message] = warned()
    assert message.startswith(f"{path} is not a regular file; choose another path")
    path.rename(path.with_name("moved"))
    program.catch_up()
    assert sizes_in(path) == [0, 1, 2]


def test_folder_can_be_created_later(tmp_path: Path, warned: Warned) -> None:
    folder = tmp_path / "costs"
    program = TroubledProgram(folder / "kcevents.db")
    program.emit(0, 3)
    [message] = warned()
    assert f"cannot be created, because {folder} does not exist; create the folder" in message
    folder.mkdir()
    program.catch_up()
    assert sizes_in(folder / "kcevents.db") == [0, 1, 2]


def test_empty_file_becomes_a_journal(path: Path, warned: Warned) -> None:
    """The file is the same, with its owner and permissions."""
    path.touch(0o600)
    inode = path.stat().st_ino
    program = TroubledProgram(path)
    program.emit(0, 3)
    assert sizes_in(path) == [0, 1, 2]
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (inode, 0o600)
    assert warned() == []


@pytest.mark.parametrize(
    ("make", "is_in_place"),
    [(make_text, False), (make_database, False), (make_database, True), (make_large_database, True)],
    ids=["text", "database", "copied", "large-copied"],
)
def test_file_that_replaces_a_journal_is_not_changed(
    path: Path, warned: Warned, writer: Callable[[], Writer], make: Callable[[Path], None], is_in_place: bool
) -> None:
    """None of three programs, one of which emits no further event, writes into that file."""
    program, other, idle = TroubledProgram(path), writer(), writer()
    program.emit(0, 100)
    other.emit(100, 100)
    idle.emit(200, 100)
    file = path.with_name("file")
    make(file)
    content = file.read_bytes()
    if is_in_place:
        shutil.copyfile(file, path)
    else:
        path.rename(path.with_name("old.db"))
        file.rename(path)
    program.emit(300, 100)
    assert other.emit(400, 100) < LIMIT
    assert idle.end()
    assert other.end()
    assert path.read_bytes() == content
    assert [*path.parent.glob("kcevents.db-[ws]*[lm]")] == []
    if not is_in_place:
        assert sizes_in(path.with_name("old.db")) == [*range(300)]
    path.rename(path.with_name("moved"))
    program.catch_up()
    assert sizes_in(path) == [*range(300, 400)]
    assert program.log.counts() == {"AssetSetSaved": 200}
    assert program.total < LIMIT
    assert len(warned()) == 1 + is_in_place


def test_journal_that_replaces_another_is_written(path: Path, warned: Warned, writer: Callable[[], Writer]) -> None:
    """The log of a process is registered there, too."""
    program, other = TroubledProgram(path), writer()
    program.emit(0, 100)
    other.emit(100, 100)
    make_journal(path.with_name("new.db"))
    path.rename(path.with_name("old.db"))
    path.with_name("new.db").rename(path)
    program.emit(200, 100)
    other.emit(300, 100)
    assert sizes_in(path.with_name("old.db")) == [*range(200)]
    assert sizes_in(path) == [*range(200, 400), 1000, 1001]
    assert len(Journal(path).runs()) == 3
    [message] = warned()
    assert message == (
        f"{path} was moved, deleted, replaced or overwritten while it was open; events are written to the file that "
        "is there now"
    )


@pytest.mark.parametrize("suffixes", [[""], ["", "-wal", "-shm", "-lock"]], ids=["file", "all"])
def test_journal_that_is_deleted_is_created_anew(
    path: Path, warned: Warned, writer: Callable[[], Writer], suffixes: list[str]
) -> None:
    """A program that notices it later joins the others, and leaves their write-ahead log alone."""
    program, other = TroubledProgram(path), writer()
    program.emit(0, 100)
    other.emit(100, 100)
    for suffix in suffixes:
        os.unlink(f"{path}{suffix}")
    new = writer()
    new.emit(200, 100)
    program.emit(300, 100)
    new.emit(400, 100)
    other.emit(500, 100)
    assert sizes_in(path) == [*range(200, 600)]
    assert "was moved, deleted, replaced or overwritten" in warned()[-1]


def test_new_lock_of_a_new_journal_may_be_held(path: Path, warned: Warned) -> None:
    program = TroubledProgram(path)
    program.emit(0, 3)
    for suffix in ("", "-wal", "-shm", "-lock"):
        os.unlink(f"{path}{suffix}")
    with other_process(HOLD_FLOCK, path):
        program.emit(3, 50)
    program.catch_up()
    assert sizes_in(path) == [*range(3, 53)]
    [message] = warned()
    assert "is locked by another program" in message
    assert program.total < LIMIT


def test_file_replaced_while_it_is_opened_is_not_changed(path: Path, warned: Warned) -> None:
    make_journal(path)
    make_database(path.with_name("file"))
    content = path.with_name("file").read_bytes()

    def replace(event: str, _: object) -> None:
        if event == "sqlite3.connect/handle" and path.with_name("file").exists():
            os.replace(path.with_name("file"), path)

    sys.addaudithook(replace)
    program = TroubledProgram(path)
    program.emit(0, 3)
    assert path.read_bytes() == content
    assert warned() == [f"{path} was replaced while it was opened; events wait in memory until it can be written"]
    path.unlink()
    program.catch_up()
    assert sizes_in(path) == [0, 1, 2]


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_deleted_side_file_loses_nothing(path: Path, writer: Callable[[], Writer], suffix: str) -> None:
    program, other = TroubledProgram(path), writer()
    program.emit(0, 100)
    other.emit(100, 100)
    os.unlink(f"{path}{suffix}")
    program.emit(200, 100)
    other.emit(300, 100)
    writer().emit(400, 100)
    program.emit(500, 100)
    assert sizes_in(path) == [*range(600)]


@pytest.mark.parametrize("is_first", [True, False], ids=["next", "after another"])
def test_program_that_copies_the_file_loses_nothing(path: Path, writer: Callable[[], Writer], is_first: bool) -> None:
    """Closing a file drops the locks of the process, and a program that ends then removes the write-ahead log."""
    program, other = TroubledProgram(path), writer()
    program.emit(0, 100)
    shutil.copyfile(path, path.with_name("copy.db"))
    other.emit(100, 100)
    other.end()
    assert not os.path.exists(f"{path}-wal")
    if not is_first:
        writer().emit(200, 100)
    program.emit(300, 100)
    assert sizes_in(path) == [*range(200), *([] if is_first else range(200, 300)), *range(300, 400)]


def test_program_that_reads_its_journal_keeps_its_locks(path: Path, writer: Callable[[], Writer]) -> None:
    """Otherwise a program that ends would remove the write-ahead log."""
    program, other = TroubledProgram(path), writer()
    program.emit(0, 100)
    assert program.journal.counts() == {"AssetSetSaved": 100}
    other.emit(100, 100)
    other.end()
    assert os.path.exists(f"{path}-wal")
    program.emit(200, 100)
    assert sizes_in(path) == [*range(300)]


def test_deleted_wal_is_kept_if_a_new_program_is_first(
    path: Path, warned: Warned, writer: Callable[[], Writer]
) -> None:
    """What has been in the deleted log only cannot be brought back into the file without destroying it."""
    program = TroubledProgram(path)
    program.emit(0, 100)
    log = Path(f"{path}-wal").read_bytes()
    os.unlink(f"{path}-wal")
    os.unlink(f"{path}-shm")
    other = writer()
    other.emit(100, 100)
    program.emit(200, 100)
    other.emit(300, 100)
    assert sizes_in(path) == [*range(100, 400)]
    [kept] = path.parent.glob("kcevents.db-wal.*")
    assert kept.read_bytes() == log
    assert f"{kept} may hold events of an earlier journal at {path}; delete it if you do not need them" in warned()


def test_deleted_index_stops_the_programs_that_have_it(
    path: Path, warned: Warned, writer: Callable[[], Writer]
) -> None:
    """The events that they wrote before are in the file, and those of new programs."""
    old = writer()
    old.emit(0, 100)
    os.unlink(f"{path}-shm")
    new = writer()
    new.emit(100, 100)
    old.emit(200, 100)
    [message, lost] = old.end()
    assert "was deleted; restart this program" in message
    assert lost.endswith("events of this process that are not in it: 100")
    new.emit(300, 100)
    new.end()
    assert sizes_in(path) == [*range(200), *range(300, 400)]


def test_deleted_lock_file_is_created_anew(path: Path, writer: Callable[[], Writer]) -> None:
    """A program that only reads the journal still sees which runs exist."""
    program, other = writer(), writer()
    count = 0

    def are_running() -> bool:
        nonlocal count
        program.emit(count, 1)
        other.emit(count + 1, 1)
        count += 2
        outcomes = [run["outcome"] for run in Journal(path).runs()]
        return os.path.exists(f"{path}-lock") and outcomes == ["running", "running"]

    assert are_running()
    os.unlink(f"{path}-lock")
    wait_until(are_running)
    assert sizes_in(path) == [*range(count)]


def test_wal_of_a_killed_program_is_kept(path: Path, warned: Warned, writer: Callable[[], Writer]) -> None:
    """SQLite would delete it when it creates the file anew."""
    killed = writer()
    killed.emit(0, 100)
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    content = Path(f"{path}-wal").read_bytes()
    path.unlink()
    program = TroubledProgram(path)
    program.emit(100, 3)
    assert sizes_in(path) == [100, 101, 102]
    [kept] = path.parent.glob("kcevents.db-wal.*")
    assert kept.read_bytes() == content
    assert warned() == [f"{kept} may hold events of an earlier journal at {path}; delete it if you do not need them"]


@pytest.mark.parametrize("size", [0, 4096])
def test_truncated_journal_is_left_alone(path: Path, warned: Warned, size: int) -> None:
    """An empty file is a new journal; in a part of one, nothing is written."""
    program = TroubledProgram(path)
    program.emit(0, 100)
    program.catch_up()
    os.truncate(path, size)
    content = path.read_bytes()
    program.emit(100, 100)
    assert len([*path.parent.glob("kcevents.db-wal.*")]) == 1
    if size:
        assert path.read_bytes() == content
        path.rename(path.with_name("moved"))
        program.catch_up()
    assert sizes_in(path) == [*range(100, 200)]
    assert program.total < LIMIT


def make_large_journal(path: Path) -> tuple[bytearray, int]:
    """Create a journal of 500 events; return its content and the size of a page."""
    write(path, run_of("f"), *(Event("AssetSetSaved", NIGHT, size) for size in range(500)))
    content = bytearray(path.read_bytes())
    return content, int.from_bytes(content[16:18], "big")


def test_page_that_is_not_needed_may_be_damaged(path: Path, warned: Warned) -> None:
    content, size = make_large_journal(path)
    middle = len(content) // size // 2 * size
    content[middle : middle + size] = b"\xff" * size
    path.write_bytes(content)
    program = TroubledProgram(path)
    program.emit(500, 50)
    assert warned() == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM event NOT INDEXED WHERE id > 500").fetchone() == (50,)


def test_damaged_journal_is_not_changed(path: Path, warned: Warned) -> None:
    content, size = make_large_journal(path)
    content[size:] = b"\xff" * (len(content) - size)
    path.write_bytes(content)
    program = TroubledProgram(path)
    program.emit(0, 50)
    program.catch_up()
    assert path.read_bytes() == content
    [message] = warned()
    assert message.startswith(f"{path} is damaged (database disk image is malformed); move it away")
    path.rename(path.with_name("moved"))
    program.catch_up()
    assert sizes_in(path) == [*range(50)]
