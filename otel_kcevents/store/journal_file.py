"""`JournalFile`: the SQLite file of a journal, as this process writes it: opened with care, one transaction a batch."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from time import monotonic, sleep, time_ns

from otel_kcevents.model.messages import to_utf8
from otel_kcevents.model.problems import logger
from otel_kcevents.store.journal_calls import WrittenCalls
from otel_kcevents.store.journal_connection import JournalConnection
from otel_kcevents.store.journal_errors import JournalError, explain
from otel_kcevents.store.journal_retention import prune_events
from otel_kcevents.store.journal_rows import INSERT_EVENT, MIGRATIONS, Batch, clamp, row_of
from otel_kcevents.store.journal_summary import Summary
from otel_kcevents.store.lock_file import lock_file
from otel_kcevents.store.run import Run, publish_run

__all__ = ["JournalFile"]

_KEPT_RUNS = 10_000
_SPARE_RUNS = 500  # beyond those, so that few processes have to delete any
_KEPT_PROBLEMS = 1_000
_CHECK_EVERY = 64  # events
_BUSY_PAUSE = 0.0002  # seconds
_CATCH_UP = 0.5  # seconds that the end of a run spends on the summary of events that are not its own

_COUNT_EVENT = "UPDATE tally SET count = count + 1 WHERE name = ?"
_COUNT_RUN = "UPDATE tally SET count = ?1, last = ?2 WHERE name = ?3 AND count < ?1"
_SUPERFLUOUS_RUNS = """
    SELECT id FROM run LEFT JOIN tally ON tally.name = run.id
    ORDER BY max(started, coalesce(last, started)) DESC LIMIT -1 OFFSET ?"""  # those that record events are kept
_DELETE_CALLS = f"DELETE FROM call WHERE run IN ({_SUPERFLUOUS_RUNS})"
_DELETE_RUNS = f"DELETE FROM run WHERE id IN ({_SUPERFLUOUS_RUNS})"
_DELETE_TALLIES = (
    "DELETE FROM tally WHERE etl IS NULL AND name NOT IN ('clock', 'summary') AND name NOT IN (SELECT id FROM run)"
)
_END_RUN = "UPDATE run SET ended = ?, outcome = ?, detail = ? WHERE id = ?"

_LOCKED = "database is locked"


class JournalFile:
    """The file of a journal, for writing. It is opened when it is first needed, and again after `close()`.

    Not thread-safe.

    Args:
        path: The absolute path of the file.
        retention: How many events of each kind to keep; None for no limit.
        max_age: How long to keep events, in nanoseconds; None for no limit.
        etl_of: Returns the name of the list of a kind.
        migrations: The statements that lead from each version of the schema to the next.
        max_log: The maximum size of the write-ahead log, in bytes. If a program that reads the file for too long keeps
            SQLite from emptying the log, that counts as a full disk.
    """

    notices: deque[str]
    """Warnings about the file, to be logged; whoever logs one removes it."""
    wait_for_writers_until: float
    """Until when a call also waits longer than its timeout, while other processes write; by `time.monotonic()`."""

    def __init__(
        self,
        path: str,
        retention: int | None,
        max_age: int | None,
        etl_of: Callable[[str], str],
        migrations: Sequence[str] = MIGRATIONS,
        max_log: int = 256 * 2**20,
    ) -> None:
        self.path = path
        self._retention = retention
        self._max_age = max_age
        self._etl_of = etl_of
        self._lock = lock_file(f"{path}-lock")
        self._migrations = migrations
        self._max_log = max_log
        self._connection: JournalConnection | None = None
        self._is_troubled = False
        self._is_disowned = False
        self._kinds: set[str] = set()  # those that have a row in the table of counters
        self._written: Run | None = None  # the run as the file has it
        self._outcome: tuple[str, str | None] | None = None  # and the detail, once the process is ending
        self._clock = 0
        self._epoch = 0
        self._calls = WrittenCalls()
        self._summary = Summary()
        self._until_checked = 0  # events
        self.notices = deque()
        self.wait_for_writers_until = 0.0
        self._noted = 0  # the number of the last warning that the file has

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to the file."""
        return self._connection is not None

    def keep(self, retention: int | None, max_age: int | None) -> None:
        """Change how many events to keep, and how long.

        Args:
            retention: How many events of each kind to keep; None for no limit.
            max_age: How long to keep events, in nanoseconds; None for no limit.
        """
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

        def add(connection: sqlite3.Connection) -> None:
            if run is not self._written:
                self._register(connection, run, batch)
            if batch.entries or batch.unlisted:
                self._add(connection, run, batch)

        self._change(run, add, timeout, len(batch.entries))
        self._written = run

    def end(self, run: Run, outcome: str, detail: str | None, timeout: float, is_final: bool) -> None:
        """Write how a run ended, if the file knows the run.

        Args:
            run: The run.
            outcome: `ended`, `failed` or `killed`.
            detail: Why, such as the type of an exception or the name of a signal; None if there is nothing to add.
            timeout: The maximum time to wait for other writers, in seconds.
            is_final: Whether later events leave the end as it is; otherwise, the next event revives the run.

        Raises:
            JournalError: It could not be written.
        """
        values = time_ns(), outcome, detail, run.id
        until = monotonic() + min(timeout, _CATCH_UP)
        self._change(run, lambda connection: connection.execute(_END_RUN, values), timeout, is_end=True)
        self._written = run if is_final else None
        self._outcome = (outcome, detail) if is_final else None
        with suppress(JournalError):  # the end is written
            while self._summary.is_behind and monotonic() < until:
                self._change(run, lambda connection: None, 0, is_end=True)

    def _change(
        self,
        run: Run,
        change: Callable[[sqlite3.Connection], object],
        timeout: float,
        events: int = 0,
        is_end: bool = False,
    ) -> None:
        """Make a change in one transaction, under the lock."""
        deadline = monotonic() + timeout
        try:
            try:  # also around `acquire`: a signal handler may raise an exception when the lock has been acquired
                if not self._acquire(timeout):
                    raise sqlite3.OperationalError(_LOCKED)
                if self._connection is None:
                    self._lock.hold(run.id)  # if files cannot be locked, SQLite would find out after 10 seconds
                connection = self._begin(deadline, is_end)
                change(connection)
                self._calls.write(connection, run.id, events, is_end)
                noted = self._noted if logger.last == self._noted else self._note_problems(connection, run)
                if self._is_disowned:  # a signal handler has forked, and goes on in the child
                    raise JournalError(f"{self.path} is written by the parent of this process")
                connection.execute("COMMIT")
                self._calls.commit()
            except BaseException as error:
                self._undo(error)
                raise
            finally:
                self._lock.release()
        except (sqlite3.Error, OSError) as error:
            self._is_troubled = True
            raise explain(self.path, error) from error
        self._noted = noted
        self._is_troubled = False

    def _acquire(self, timeout: float) -> bool:
        written = self._time_written()
        while not self._lock.acquire(timeout):
            before, written = written, self._time_written()
            if written == before:  # the owner of the lock makes no progress
                return False
        return True

    def _time_written(self) -> int:
        """Return when a process last wrote to the file; 0 if it no longer matters whether others write."""
        if monotonic() >= self.wait_for_writers_until:
            return 0
        try:
            return os.stat(f"{self.path}-wal").st_mtime_ns
        except FileNotFoundError:
            return 0

    def _undo(self, error: BaseException) -> None:
        """Roll back. Unless the file is only locked, close it: opening it finds out what is wrong with it."""
        self._written = None
        self._kinds.clear()
        if self._connection is not None and self._connection.sqlite.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.sqlite.execute("ROLLBACK")
        if isinstance(error, (sqlite3.Error, OSError)) and not _is_locked(error):
            self._close()

    def _add(self, connection: sqlite3.Connection, run: Run, batch: Batch) -> None:
        """Write a batch in the current transaction, unless the file already has it."""
        now = time_ns()
        if now < self._clock:
            self._set_back(connection, now)
        self._clock = now
        execute = connection.cursor().execute  # which would otherwise create a cursor each time
        entries, last, unlisted = batch
        position = last, clamp(entries[-1].event.time) if entries else None, run.id
        if not execute(_COUNT_RUN, position).rowcount:
            if execute("SELECT 1 FROM tally WHERE name = ?", (run.id,)).fetchone():
                return
            self._register(connection, run, batch)  # others have deleted the run, because there were too many
            execute(_COUNT_RUN, position)
        if self._until_checked <= 0:
            self._until_checked = _CHECK_EVERY
            self._prune(connection, self._kinds)
        errors = 0
        for entry in entries:
            event = entry.event
            if event.kind not in self._kinds:
                self._add_kind(connection, event.kind)
            if event.is_error:
                errors += 1
            execute(_COUNT_EVENT, (event.kind,))
            execute(INSERT_EVENT, row_of(entry, run.id, self._epoch))
        if errors:
            execute("UPDATE tally SET errors = errors + ? WHERE name = ?", (errors, run.id))
        for kind, count in unlisted.items():
            self._add_kind(connection, kind)
            execute("UPDATE tally SET count = count + ? WHERE name = ?", (count, kind))
        self._until_checked -= len(entries)

    def _add_kind(self, connection: sqlite3.Connection, kind: str) -> None:
        connection.execute("INSERT OR IGNORE INTO tally (name, etl) VALUES (?, ?)", (kind, self._etl_of(kind)))
        self._kinds.add(kind)
        self._prune(connection, {kind})  # a short program may write no further event of this kind

    def _prune(self, connection: sqlite3.Connection, kinds: Collection[str]) -> None:
        prune_events(connection, kinds, self._retention, self._max_age, self._summary.last(connection))

    def _register(self, connection: sqlite3.Connection, run: Run, batch: Batch) -> None:
        """Add the run, or change what is known about it. A run that goes on has not ended, but may have failed."""
        if not connection.execute("SELECT 1 FROM run WHERE id = ?", (run.id,)).fetchone():
            self._calls.forget()
        connection.execute(
            "INSERT OR REPLACE INTO run (id, parent, name, program, service, host, pid, started, trace_id, detail, "
            "outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, CASE WHEN ?10 NOTNULL THEN 'failed' END)",
            run,
        )
        if self._outcome is not None:  # an exit handler has recorded an event
            connection.execute(_END_RUN, (time_ns(), *self._outcome, run.id))
        before = batch.last - len(batch.entries) - sum(batch.unlisted.values())
        connection.execute("INSERT OR IGNORE INTO tally (name, count) VALUES (?, ?)", (run.id, before))
        publish_run()
        self._set_back(connection, time_ns())
        (runs,) = connection.execute("SELECT count(*) FROM run").fetchone()
        if runs > _KEPT_RUNS + _SPARE_RUNS:
            connection.execute(_DELETE_CALLS, (_KEPT_RUNS,))
            connection.execute(_DELETE_RUNS, (_KEPT_RUNS,))
            connection.execute(_DELETE_TALLIES)

    def _set_back(self, connection: sqlite3.Connection, now: int) -> None:
        """Read how often the clock was set back, and add one if this process is the first to notice."""
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
        problems = logger.since(self._noted)
        connection.executemany(
            "INSERT INTO problem (run, time, message) VALUES (?, ?, ?)",
            [(run.id, problem.time, to_utf8(problem.message)) for problem in problems],
        )
        connection.execute("DELETE FROM problem WHERE id <= (SELECT max(id) FROM problem) - ?", (_KEPT_PROBLEMS,))
        return problems[-1].number

    def _begin(self, deadline: float, is_end: bool) -> sqlite3.Connection:
        """Begin a transaction. Programs that do not know the lock file, such as `sqlite3`, may hold SQLite's lock."""
        is_check = is_end or self._until_checked <= 0
        while True:
            try:
                connection = self._connect(deadline)
                if connection.in_transaction:  # pragma: no cover - an exception of a signal handler interrupted `_undo`
                    connection.execute("ROLLBACK")
                if is_check:
                    is_check = False
                    self._summary.update(connection, self._retention, self._max_age, is_end)
                connection.execute("BEGIN IMMEDIATE")
                return connection
            except sqlite3.OperationalError as error:
                if not _is_locked(error) or monotonic() >= deadline:
                    raise
                sleep(_BUSY_PAUSE)

    def _connect(self, deadline: float) -> sqlite3.Connection:
        """Return the connection to the file that has the path now."""
        is_replaced = self._connection is not None and not self._connection.is_current()
        if is_replaced:
            self._close()
            if not self._lock.renew(max(0.0, deadline - monotonic())):  # the lock may have been replaced as well
                raise sqlite3.OperationalError(_LOCKED)
        if self._connection is None:
            self._connection = JournalConnection(self.path, self._migrations)
            self._written = None
            self._kinds.clear()
            self._note_kept_log(self._connection.kept_log)
            if is_replaced:
                self.notices.append(
                    f"{self.path} was moved, deleted, replaced or overwritten while it was open; events are "
                    "written to the file that is there now"
                )
        if self._until_checked <= 0 and self._connection.empty_log(self._max_log) > self._max_log:
            raise JournalError(
                f"{self.path} is not written, because its write-ahead log has grown to {self._max_log >> 20} MiB: a "
                "program that reads the file keeps the log from being emptied; end that program"
            )
        return self._connection.sqlite

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error, OSError):
                self._note_kept_log(connection.close())

    def _note_kept_log(self, kept: str | None) -> None:
        if kept is not None:
            self.notices.append(
                f"{kept} may hold events of an earlier journal at {self.path}; delete it if you do not need them"
            )

    def close(self, timeout: float = 0.5) -> None:
        """Close the file. The last process that does so empties the write-ahead log, under the lock if possible.

        Args:
            timeout: The maximum time to wait for other writers, in seconds; ignored if the last write failed.
        """
        if self._connection is None:
            return
        try:
            with suppress(OSError):
                self._lock.acquire(0 if self._is_troubled else timeout)
            self._close()
        finally:
            self._lock.release()

    def disown(self, refuse: bool = False) -> None:
        """Leave an inherited connection to the parent of this process: it is neither used nor closed again.

        Args:
            refuse: Whether to refuse the statements of an interrupted write, which may go on in this process. No other
                thread may be using the connection.
        """
        self._is_disowned = True
        self._lock.close()  # it shares its `flock` with the parent
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disown(refuse)

    def after_fork_in_child(self) -> None:
        """Start with a closed file and a run of the child's own."""
        self._written = self._outcome = None
        self._kinds.clear()
        self._noted = logger.last  # the parent writes its own
        self._calls.after_fork_in_child()


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
