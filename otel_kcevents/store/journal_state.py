"""The state of a journal for a bug report: its size, counters and rows, warnings, and whether it can be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from otel_kcevents.store.calls import Calls
from otel_kcevents.store.journal_calls import read_calls
from otel_kcevents.store.journal_connection import check_header
from otel_kcevents.store.journal_errors import JournalError
from otel_kcevents.store.journal_reader import read_journal

__all__ = ["JournalState", "KindState", "check_writable", "read_state"]

_STEPS = 1_000  # of SQLite's virtual machine between two checks of the clock, about 50 microseconds


class KindState(NamedTuple):
    """The counter and the rows of one kind.

    Attributes:
        kind: The name of the kind.
        counted: How many events have been counted.
        rows: How many of them the file has.
        first: The number of the oldest of these; None if there are none.
        last: The number of the newest of these; None if there are none.
    """

    kind: str
    counted: int
    rows: int
    first: int | None
    last: int | None


class JournalState(NamedTuple):
    """The state of a journal.

    Attributes:
        size: The size of the file in bytes.
        wal_size: The size of its write-ahead log in bytes.
        free: How many bytes are free on its disk.
        kinds: The counters and rows by kind; None if they could not be counted in time.
        set_back: How often the clock was set back while events were written.
        newest: The latest time at which an event was written, in nanoseconds since 1970; 0 for none.
        problems: The newest warnings that its programs logged, the newest first: the time in nanoseconds since 1970,
            the id of the run, and the message.
        calls: The calls of the functions that mappings name.
    """

    size: int
    wal_size: int
    free: int
    kinds: tuple[KindState, ...] | None
    set_back: int
    newest: int
    problems: tuple[tuple[int, str, str], ...]
    calls: tuple[Calls, ...] = ()


def read_state(path: str, max_problems: int = 100, timeout: float = 2.0) -> JournalState:
    """Return the state of a journal, without changing it.

    Args:
        path: The absolute path of the file.
        max_problems: The maximum number of warnings.
        timeout: The maximum time to count rows, in seconds.

    Raises:
        OSError: The file cannot be read.
    """

    def read(connection: sqlite3.Connection) -> tuple[int, int, list[Any], list[Calls], tuple[KindState, ...] | None]:
        set_back, newest = connection.execute("SELECT count, last FROM tally WHERE name = 'clock'").fetchone()
        rows = connection.execute("SELECT time, run, message FROM problem ORDER BY id DESC LIMIT ?", (max_problems,))
        return set_back, newest, rows.fetchall(), read_calls(connection), _read_kinds(connection, timeout)

    set_back, newest, problems, calls, kinds = read_journal(path, read)
    wal_size = 0
    with suppress(FileNotFoundError):
        wal_size = os.stat(f"{path}-wal").st_size
    free = shutil.disk_usage(os.path.dirname(path)).free
    size = os.stat(path).st_size
    return JournalState(size, wal_size, free, kinds, set_back, newest, tuple(problems), tuple(calls))


def _read_kinds(connection: sqlite3.Connection, timeout: float) -> tuple[KindState, ...] | None:
    deadline = monotonic() + timeout
    connection.set_progress_handler(lambda: int(monotonic() > deadline), _STEPS)
    try:
        rows = connection.execute(
            "SELECT kind, tally.count, count(n), min(n), max(n) FROM counter AS tally LEFT JOIN event USING (kind) "
            "GROUP BY kind ORDER BY kind"
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)
    return tuple(KindState(*row) for row in rows)


def check_writable(path: str, timeout: float = 1.0) -> None:
    """Check whether a journal can be written: begin a transaction, which changes nothing, and roll it back.

    Args:
        path: The absolute path of the file.
        timeout: The maximum time to wait for other writers, in seconds.

    Raises:
        JournalError: The file cannot be written; the message has the reason.
        OSError: The file does not exist.
    """
    check_header(path)
    try:
        uri = f"{Path(path).as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be written: {error}") from error
