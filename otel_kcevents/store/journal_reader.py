"""Opens a journal for reading, beside its writers and without changing anything, and reads its runs."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from threading import RLock
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

from otel_kcevents.model.timestamps import format_time
from otel_kcevents.store.journal_connection import check_header
from otel_kcevents.store.journal_errors import JournalError
from otel_kcevents.store.journal_writer import is_off, switch_off

__all__ = ["MAX_SECONDS", "JournalNotFoundError", "open_to_read", "read_journal", "read_runs"]

MAX_SECONDS = 5.0
"""The maximum duration of a read."""

_T = TypeVar("_T")

_TIMEOUT = 0.5  # seconds to wait for a process that recovers or closes the file, or that locks it for itself
_STEPS = 100_000  # of SQLite's virtual machine between two checks of the clock, about a millisecond
_ATTEMPTS = 3
_FORK_TIMEOUT = 10.0  # seconds

_reading: Any = RLock()  # reentrant: a signal handler may read inside a read
_being_read: list[str] = []  # by the thread that has the lock
_connections: list[sqlite3.Connection] = []  # likewise


class JournalNotFoundError(JournalError, FileNotFoundError):
    """Raised if the file of a journal does not exist, or nothing has been written to it."""


class _JournalChangedError(JournalError):
    """Raised if a file was changed while it was read without locks."""


def read_journal(path: str, read: Callable[[sqlite3.Connection], _T], timeout: float = MAX_SECONDS) -> _T:
    """Return what a function reads from a journal in one transaction, which ends before this call returns.

    Args:
        path: The absolute path of the file.
        read: The function; it may be called several times.
        timeout: The maximum duration of a call, in seconds.

    Raises:
        JournalError: The file cannot be read.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            with open_to_read(path, timeout) as connection:
                return read(connection)
        except _JournalChangedError:
            continue
    with open_to_read(path, timeout) as connection:
        return read(connection)


@contextmanager
def open_to_read(path: str, timeout: float = MAX_SECONDS) -> Iterator[sqlite3.Connection]:
    """Open a journal for reading, in one transaction: what is read is consistent.

    Nothing is changed and no file is created, so that a journal can be read in a read-only folder. If there is no
    write-ahead log, the file is read without locks. A fork waits until it is closed.

    Args:
        path: The absolute path of the file.
        timeout: The maximum duration, in seconds.

    Raises:
        JournalError: The file cannot be read in time, or was changed while it was read without locks.
    """
    if is_off(path):
        raise JournalError(f"{path} cannot be read in process {os.getpid()}, which has inherited a connection to it")
    with _reading:
        _being_read.append(path)
        try:
            with _open(path, timeout) as connection:
                yield connection
        finally:
            _being_read.remove(path)


@contextmanager
def _open(path: str, timeout: float) -> Iterator[sqlite3.Connection]:
    try:
        before = _state(path)
        if before is None:
            raise JournalNotFoundError(
                f"{path} does not exist; expected a journal, which configure(log_file=...) writes"
            )
        if not any(before[2:]):  # a program is about to create the tables
            raise JournalNotFoundError(f"{path} is empty; expected a journal, which configure(log_file=...) writes")
        check_header(path)
        without_locks = not before[-1]
        uri = f"file:{quote(os.fsencode(path))}?{'immutable=1' if without_locks else 'mode=ro'}"
        with closing(
            sqlite3.connect(uri, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False, uri=True)
        ) as connection:
            deadline = monotonic() + timeout
            connection.set_progress_handler(lambda: monotonic() > deadline, _STEPS)
            _connections.append(connection)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                _connections.remove(connection)
        if without_locks and _state(path) != before:
            raise _JournalChangedError(f"{path} was changed while it was read; try again")
    except sqlite3.Error as error:
        if without_locks and _state(path) != before:
            raise _JournalChangedError(f"{path} was changed while it was read; try again") from None
        reason = str(error)
        if is_off(path):
            reason = "this process was forked inside the read"
        elif reason == "interrupted":
            reason = f"it took more than {timeout:g} seconds; select fewer kinds, or a shorter window"
        raise JournalError(f"{path} cannot be read: {reason}") from error


def _state(path: str) -> tuple[int, ...] | None:
    """Return what changes if the file is replaced or written, and the size of its write-ahead log; None if missing."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    try:
        log_size = os.stat(f"{path}-wal").st_size
    except OSError:
        log_size = 0
    return status.st_mtime_ns, status.st_ino, status.st_size, log_size


def read_runs(connection: sqlite3.Connection, is_running: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the runs, the newest first, in the form of `GET /model/etl/runs`.

    A run without an end whose process does not exist was killed. `allEvents` and `allErrors` include those of its
    descendants.

    Args:
        connection: The open journal.
        is_running: Returns whether the process of a run exists, given the run's id.
    """
    rows = connection.execute(
        "SELECT id, parent, run.name, program, service, host, pid, started, ended, outcome, detail, trace_id, "
        "count, errors, last FROM run LEFT JOIN tally ON tally.name = run.id ORDER BY started DESC, id"
    ).fetchall()
    known = {row[0] for row in rows}
    runs = {row[0]: _run(row, known, is_running) for row in rows}
    for run in runs.values():
        counted = set[str]()
        above: str | None = run["id"]
        while above is not None and above not in counted:  # other programs may have written a cycle
            counted.add(above)
            runs[above]["allEvents"] += run["events"]
            runs[above]["allErrors"] += run["errors"]
            above = runs[above]["parent"]
    return list(runs.values())


def _run(row: Sequence[Any], known: Iterable[str], is_running: Callable[[str], bool]) -> dict[str, Any]:
    (
        id_,
        parent,
        name,
        program,
        service,
        host,
        pid,
        started,
        ended,
        outcome,
        detail,
        trace_id,
        events,
        errors,
        last,
    ) = row
    if is_running(id_):
        ended, outcome, detail = None, "running", None
    elif outcome is None:
        outcome = "killed"
    return {
        "id": id_,
        "parent": parent if parent in known else None,
        "name": name,
        "program": program,
        "service": service,
        "host": host,
        "pid": pid,
        "started": format_time(started),
        "ended": None if ended is None else format_time(ended),
        "lastEvent": None if last is None else format_time(last),
        "outcome": outcome,
        "detail": detail,
        "traceId": trace_id,
        "events": events or 0,
        "errors": errors or 0,
        "allEvents": 0,
        "allErrors": 0,
    }


def _before_fork() -> None:
    _reading.acquire(timeout=_FORK_TIMEOUT)


def _after_fork_in_parent() -> None:
    with suppress(RuntimeError):  # not acquired in time
        _reading.release()


def _after_fork_in_child() -> None:
    global _reading
    _reading = RLock()
    for path in _being_read:  # the fork came from inside a read
        switch_off(path)
    for connection in _connections:  # reading on would crash this process if the parent shortens the shared memory
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
        connection.interrupt()


# This lock is acquired before that of the writer, because a read may cause a write: by the garbage collector.
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
