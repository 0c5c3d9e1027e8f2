"""`JournalFile`: the SQLite file of a journal, as this process writes it: opened with care, one transaction a batch."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep, time_ns

from otel_kcevents.model.messages import to_utf8
from otel_kcevents.model.problems import logger
from otel_kcevents.store.journal_rows import (
    APPLICATION_ID,
    INSERT_EVENT,
    MIGRATIONS,
    SCHEMA_VERSION,
    Batch,
    row_of,
)
from otel_kcevents.store.lock_file import lock_file
from otel_kcevents.store.run import Run, publish_run

__all__ = ["JournalError", "JournalFile", "check_header"]

_MAX_WAL = 256 * 2**20  # bytes; then a reader keeps SQLite from emptying the file, which counts as a full disk
_KEPT_WAL = 8 * 2**20  # bytes
_PAGE_SIZE = 1024  # bytes; a write changes three pages, and each is copied into the write-ahead log as a whole
_CHECKPOINT_PAGES = 4000  # a checkpoint costs two fsyncs: with 4 MiB, one in 1,300 writes waits for them
_KEPT_RUNS = 10_000
_KEPT_PROBLEMS = 1_000
_PRUNE_EVERY = 64  # batches
_PRUNED = 512  # rows deleted at once: short enough to keep others waiting for some milliseconds only
_BUSY_PAUSE = 0.0002  # seconds

_COUNT_EVENT = "UPDATE tally SET count = count + 1 WHERE name = ?"
_COUNT_RUN = "UPDATE tally SET count = ?, errors = errors + ?, last = ? WHERE name = ? AND count < ?"


class JournalError(OSError):
    """Raised if a journal cannot be read or written; the message has the file, the reason and the remedy."""


class JournalFile:
    """The file of a journal, for writing. It is opened when it is first needed, and again after `close()`.

    Not safe for several threads at once.

    Args:
        path: The absolute path of the file.
        retention: How many events of each kind to keep; None for all.
        max_age: For how long to keep events, in nanoseconds; None for ever.
        etl_of: Returns the name of the list of a kind.
    """

    def __init__(self, path: str, retention: int | None, max_age: int | None, etl_of: Callable[[str], str]) -> None:
        self.path = path
        self._retention = retention
        self._max_age = max_age
        self._etl_of = etl_of
        self._lock = lock_file(f"{path}-lock")
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._size = 0
        self._kinds: set[str] = set()  # those that have a row in the table of counters
        self._written: Run | None = None  # the run as the file has it
        self._clock = 0
        self._epoch = 0
        self._until_pruned = _PRUNE_EVERY
        self._noted = 0  # the number of the last warning that the file has

    def keep(self, retention: int | None, max_age: int | None) -> None:
        """Change how many events to keep, and for how long; see the arguments of the class."""
        self._retention = retention
        self._max_age = max_age

    def write(self, run: Run, batch: Batch, timeout: float) -> None:
        """Add the events of a run and count them, all or none.

        Args:
            run: The run that recorded them.
            batch: The events.
            timeout: The maximum time to wait for other writers, in seconds.

        Raises:
            JournalError: They could not be written.
        """
        deadline = monotonic() + timeout
        try:
            if not self._lock.acquire(timeout):
                raise JournalError(f"{self.path} is locked by another process")
            try:
                connection = self._connect()
                self._begin(connection, deadline)
                try:
                    if run is not self._written:
                        self._register(connection, run, batch)
                    if batch.last and self._add(connection, run, batch):
                        self._prune(connection)
                    noted = self._note_problems(connection, run)
                    connection.execute("COMMIT")
                except BaseException:
                    self._written = None
                    self._kinds.clear()
                    with suppress(sqlite3.Error):  # some errors have already rolled it back
                        connection.execute("ROLLBACK")
                    raise
                self._written = run
                self._noted = noted
            finally:
                self._lock.release()
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"{self.path}: {error}") from error

    def _add(self, connection: sqlite3.Connection, run: Run, batch: Batch) -> bool:
        """Write a batch in the current transaction; return False if the file already has it."""
        now = time_ns()
        if now < self._clock:
            self._set_back(connection, now)
        self._clock = now
        execute = connection.execute
        entries, last, unlisted = batch
        errors = sum(entry.event.is_error for entry in entries)
        latest = entries[-1].event.time if entries else None
        if not execute(_COUNT_RUN, (last, errors, latest, run.id, last)).rowcount:
            return False
        for entry in entries:
            kind = entry.event.kind
            if kind not in self._kinds:
                self._add_kind(connection, kind)
            execute(_COUNT_EVENT, (kind,))
            execute(INSERT_EVENT, (*row_of(entry, run.id, self._epoch), kind))
        for kind, count in unlisted.items():
            self._add_kind(connection, kind)
            execute("UPDATE tally SET count = count + ? WHERE name = ?", (count, kind))
        return True

    def _add_kind(self, connection: sqlite3.Connection, kind: str) -> None:
        connection.execute("INSERT OR IGNORE INTO tally (name, etl) VALUES (?, ?)", (kind, self._etl_of(kind)))
        self._kinds.add(kind)

    def _register(self, connection: sqlite3.Connection, run: Run, batch: Batch) -> None:
        """Add the run, or change what is known about it. A run that goes on has not ended, but may have failed."""
        connection.execute(
            "INSERT OR REPLACE INTO run (id, parent, name, program, service, host, pid, started, trace_id, detail, "
            "outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, CASE WHEN ?10 NOTNULL THEN 'failed' END)",
            run,
        )
        count = min((entry.number for entry in batch.entries), default=1) - 1
        connection.execute("INSERT OR IGNORE INTO tally (name, count) VALUES (?, ?)", (run.id, count))
        self._lock.hold(run.id)
        publish_run()
        self._set_back(connection, time_ns())
        superfluous = "SELECT id FROM run ORDER BY started DESC LIMIT -1 OFFSET ?"
        connection.execute(f"DELETE FROM tally WHERE name IN ({superfluous})", (_KEPT_RUNS,))
        connection.execute(f"DELETE FROM run WHERE id IN ({superfluous})", (_KEPT_RUNS,))

    def _set_back(self, connection: sqlite3.Connection, now: int) -> None:
        """Read how often the clock was set back, and count it if this process is the first to notice."""
        epoch, last = connection.execute("SELECT count, last FROM tally WHERE name = 'clock'").fetchone()
        is_noticed = epoch != self._epoch and self._clock
        if not is_noticed and now < max(last, self._clock):
            epoch += 1
            connection.execute("UPDATE tally SET count = ?, last = ? WHERE name = 'clock'", (epoch, now))
        else:
            connection.execute("UPDATE tally SET last = max(last, ?) WHERE name = 'clock'", (now,))
        self._epoch = epoch

    def _note_problems(self, connection: sqlite3.Connection, run: Run) -> int:
        """Write the warnings that this process has logged since; return the number of the last one."""
        if logger.last == self._noted:
            return self._noted
        problems = logger.since(self._noted)
        connection.executemany(
            "INSERT INTO problem (run, time, message) VALUES (?, ?, ?)",
            [(run.id, problem.time, to_utf8(problem.message)) for problem in problems],
        )
        connection.execute("DELETE FROM problem WHERE id <= (SELECT max(id) FROM problem) - ?", (_KEPT_PROBLEMS,))
        return problems[-1].number

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Delete some of the events that need not be kept, every now and then."""
        self._until_pruned -= 1
        if self._until_pruned > 0:
            return
        self._until_pruned = _PRUNE_EVERY
        if self._retention is not None:
            for kind in sorted(self._kinds):
                connection.execute(
                    "DELETE FROM event WHERE kind = ?1 AND n <= min("
                    "(SELECT count FROM tally WHERE name = ?1) - ?2, (SELECT min(n) FROM event WHERE kind = ?1) + ?3)",
                    (kind, self._retention, _PRUNED),
                )
        if self._max_age is not None:
            connection.execute(
                "DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT ?) AND time < ? "
                "AND id < (SELECT max(id) FROM event)",
                (_PRUNED, time_ns() - self._max_age),
            )

    def end(self, run: Run, outcome: str, detail: str | None, timeout: float, is_final: bool) -> None:
        """Write how a run ended, if the file knows the run.

        Args:
            run: The run.
            outcome: `ended`, `failed` or `killed`.
            detail: Why, such as the type of an exception or the name of a signal; None if there is nothing to add.
            timeout: The maximum time to wait for other writers, in seconds.
            is_final: Whether the next event leaves the end as it is; otherwise it revives the run.

        Raises:
            JournalError: It could not be written.
        """
        deadline = monotonic() + timeout
        try:
            if not self._lock.acquire(timeout):
                raise JournalError(f"{self.path} is locked by another process")
            try:
                connection = self._connect()
                self._begin(connection, deadline)
                connection.execute(
                    "UPDATE run SET ended = ?, outcome = ?, detail = ? WHERE id = ?",
                    (time_ns(), outcome, detail, run.id),
                )
                noted = self._note_problems(connection, run)
                connection.execute("COMMIT")
                self._noted = noted
                self._written = run if is_final else None
            finally:
                self._lock.release()
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"{self.path}: {error}") from error

    def _begin(self, connection: sqlite3.Connection, deadline: float) -> None:
        """Begin a transaction. Programs that do not know the lock file, such as `sqlite3`, may hold SQLite's lock."""
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or monotonic() >= deadline:
                    raise
                sleep(_BUSY_PAUSE)

    def _connect(self) -> sqlite3.Connection:
        """Return the connection to the file that has the path now; the lock is held."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            status = None
        if self._connection is not None:
            if status is not None and (status.st_dev, status.st_ino) == self._identity and status.st_size >= self._size:
                self._size = status.st_size
                return self._connection
            self._abandon()
        self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        if os.path.exists(self.path):
            check_header(self.path)
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            _create_or_migrate(connection, self.path)
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise JournalError(f"{self.path} is on a file system without shared memory; use a local disk")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {_KEPT_WAL}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            status = os.stat(self.path)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._identity = status.st_dev, status.st_ino
        self._size = status.st_size
        self._written = None
        self._kinds.clear()

    def _abandon(self) -> None:
        """Close the connection to a file that was replaced or deleted, and move its write-ahead log out of the way.

        SQLite would apply a log that is left to whatever database takes the file's place.
        """
        connection, self._connection = self._connection, None
        assert connection is not None
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # into the file as it was opened
        connection.close()
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}{suffix}", f"{self.path}{suffix}.{time_ns()}")

    def close(self, timeout: float = 0.5) -> None:
        """Close the file. The last process that does so empties the write-ahead log, under the lock if possible.

        Args:
            timeout: The maximum time to wait for other writers, in seconds.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        held = False
        with suppress(OSError):
            held = self._lock.acquire(timeout)
        try:
            with suppress(sqlite3.Error):
                connection.close()
        finally:
            if held:
                self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start with a closed file and a run of the child's own."""
        self._written = None
        self._kinds.clear()
        self._noted = logger.last  # the parent writes its own


def check_header(path: str) -> None:
    """Refuse a file that is not a journal, without changing it: SQLite applies a write-ahead log when it opens one.

    Args:
        path: The path of a file that exists.

    Raises:
        JournalError: It is not a journal, or of a later version.
    """
    if not os.stat(path).st_size:
        return
    connection = sqlite3.connect(f"{_uri(path)}?mode=ro&immutable=1", uri=True, timeout=0)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise JournalError(
            f"{path} is not a journal, or is damaged ({error}); move it away, or choose another file"
        ) from None
    finally:
        connection.close()
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is a database of another application; choose another file")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} has version {version} of the schema, this package knows {SCHEMA_VERSION}; update otel-kcevents"
        )


def _uri(path: str) -> str:
    """Return the path as an SQLite URI."""
    return "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _create_or_migrate(connection: sqlite3.Connection, path: str) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    statements = "".join(MIGRATIONS[version:])
    try:
        connection.executescript(
            f"PRAGMA page_size = {_PAGE_SIZE}; BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; {statements} "
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
        )
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
