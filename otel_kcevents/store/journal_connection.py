"""`JournalConnection`: an SQLite connection that notices if its journal is moved, replaced or overwritten.

SQLite writes to the files that it opened, whatever has their paths now. It also applies a write-ahead log that is left
behind to whatever database takes the file's place, which destroys that database.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing, suppress
from enum import Enum, auto
from time import time_ns

from otel_kcevents.store.journal_errors import JournalError, explain
from otel_kcevents.store.journal_rows import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION

__all__ = ["JournalConnection", "check_header"]

_KEPT_LOG = 8 * 2**20  # bytes
_PAGE_SIZE = 1024  # bytes; a write changes three pages, and each is copied into the write-ahead log as a whole
_CHECKPOINT_PAGES = 4000  # a checkpoint syncs three times: with 4 MiB, one in 1,300 writes waits for that
_CLOCK_TICK = 20_000_000  # nanoseconds, more than the resolution of the times of files


class _Place(Enum):
    """Where the files are that were opened: the journal, its write-ahead log (`-wal`) and the log's index (`-shm`)."""

    KEPT = auto()
    LEFT = auto()
    """One of them was moved or deleted."""
    OVERWRITTEN = auto()
    """The file has become something else."""
    LOG_REPLACED = auto()
    """The log was deleted, and another process has created a new one."""
    INDEX_REPLACED = auto()
    """The index was deleted, and another process has created a new one for the same log."""


# Files whose connections are never closed: that could overwrite, by a deleted index, what others have written.
# SQLite would also use that index for any other connection of this process.
_lost: set[tuple[int, int]] = set()


class JournalConnection:
    """An open journal. Opening it creates it, or migrates it to the newest schema.

    The lock of the journal must be held for every call.

    Args:
        path: The absolute path of the file, without symbolic links.
        migrations: The statements that lead from each version of the schema to the next.

    Raises:
        JournalError: The file is not a journal, or was replaced while it was opened.
        OSError: The status of the file cannot be read.
        sqlite3.Error: The file cannot be opened or migrated.
    """

    sqlite: sqlite3.Connection
    """The connection, in autocommit mode."""
    kept_log: str | None
    """Where the write-ahead log of an earlier journal at this path is now; None if there was none."""

    def __init__(self, path: str, migrations: Sequence[str] = MIGRATIONS) -> None:
        self._path = path
        self._folder = os.path.dirname(path)
        self._log_paths = f"{path}-wal", f"{path}-shm"
        self._version = len(migrations)
        before = _status(path)
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise JournalError(f"{path} is not a regular file; choose another path")
        if before is not None and (before.st_dev, before.st_ino) in _lost:
            raise JournalError(f"{path} has lost its index, {path}-shm, which was deleted; restart this program")
        self.sqlite = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            opened = os.stat(path)
            if before is not None and not os.path.samestat(before, opened):
                raise JournalError(f"{path} was replaced while it was opened")
            check_header(path, self._version)  # SQLite itself has not read anything yet
            self.kept_log = None
            if not opened.st_size:  # a log that is here belongs to a journal that was deleted; SQLite would delete it
                self.kept_log, _ = [_move_log(log) for log in self._log_paths]
            self._create_or_migrate(migrations)
            (mode,) = self.sqlite.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":  # pragma: no cover - an SQLite that is built without shared memory
                raise JournalError(f"{path} is on a file system without shared memory; choose a file on a local disk")
            self.sqlite.execute("PRAGMA synchronous = NORMAL")
            self.sqlite.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG}")
            self.sqlite.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            self._read_version()  # opens the write-ahead log
            self._status = os.stat(path)
            self._logs = [os.stat(log) for log in self._log_paths]
            self._folder_changed = 0
            self._log = os.open(self._log_paths[0], os.O_RDWR | os.O_CLOEXEC)
        except BaseException:
            self.sqlite.close()
            raise

    def _read_version(self) -> int:
        version: int = self.sqlite.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _create_or_migrate(self, migrations: Sequence[str]) -> None:
        """Bring the schema to the newest version, in one transaction."""
        version = self._read_version()  # the header may be older than the write-ahead log
        if version > self._version:
            raise _later_version(self._path, version, self._version)
        if version == self._version:
            return
        try:
            self.sqlite.executescript(
                f"PRAGMA page_size = {_PAGE_SIZE}; BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; "
                f"{''.join(migrations[version:])} PRAGMA user_version = {self._version}; COMMIT"
            )
        except BaseException:
            with suppress(sqlite3.Error):
                self.sqlite.execute("ROLLBACK")
            raise
        self.sqlite.execute("PRAGMA wal_checkpoint").fetchone()  # processes of an older version check the header

    def is_current(self) -> bool:
        """Return whether the paths still lead to the files that were opened, and the file is still a journal.

        Raises:
            JournalError: A later version of this package has migrated the file.
            OSError: The status of the file cannot be read.
            sqlite3.OperationalError: The file cannot be opened to read its header.
        """
        status = _status(self._path)
        if status is None or not os.path.samestat(status, self._status):
            return False
        if (status.st_mtime_ns, status.st_size) != (self._status.st_mtime_ns, self._status.st_size):
            if self._is_overwritten(status):
                return False
            check_header(self._path, self._version)
            self._status = status  # changed by a checkpoint
        # It changes if a file is created, moved or deleted in the folder: one `stat` instead of one for each log.
        changed = os.stat(self._folder).st_mtime_ns
        if changed != self._folder_changed:
            if self._place_of_logs() is not _Place.KEPT:
                return False
            if time_ns() - changed > _CLOCK_TICK:  # else another change may get the same time
                self._folder_changed = changed
        return True

    def _is_overwritten(self, status: os.stat_result) -> bool:
        """Return whether the file has become something else in place, or was truncated."""
        try:
            application, _ = _read_header(self._path, all_pages=status.st_size < self._status.st_size)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return True
        return application != APPLICATION_ID

    def _place(self) -> _Place:
        status = _status(self._path)
        if status is None or not os.path.samestat(status, self._status):
            return _Place.LEFT
        if self._is_overwritten(status):
            return _Place.OVERWRITTEN
        return self._place_of_logs()

    def _place_of_logs(self) -> _Place:
        log, index = map(_status, self._log_paths)
        if log is not None and not os.path.samestat(log, self._logs[0]):
            return _Place.LOG_REPLACED
        if index is not None and not os.path.samestat(index, self._logs[1]):
            return _Place.INDEX_REPLACED
        return _Place.KEPT if log and index else _Place.LEFT

    def empty_log(self, max_size: int) -> int:
        """Empty the write-ahead log, if it is too large and no reader needs it.

        Args:
            max_size: The size above which the log is emptied, in bytes.

        Returns:
            The size of the log, in bytes.
        """
        if os.fstat(self._log).st_size > max_size:
            self.sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return os.fstat(self._log).st_size

    def disown(self, refuse: bool) -> None:
        """Keep the connection open until this process ends: closing it would change files that others use.

        Args:
            refuse: Whether to refuse all further statements. No other thread may be using the connection.
        """
        from ctypes import py_object, pythonapi

        if refuse:
            self.sqlite.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
        pythonapi.Py_IncRef(py_object(self.sqlite))  # Python closes what it deletes

    def close(self) -> str | None:
        """Close the connection. If its files are not in place, keep the write-ahead log away from what is there now.

        Returns:
            The path to which the write-ahead log was moved because it may hold events that are in no other file; None
            if it was not moved.
        """
        place = _Place.KEPT
        try:
            place = self._place()
            if place in {_Place.OVERWRITTEN, _Place.LOG_REPLACED}:
                return self._empty_log()  # SQLite would apply it to what is there now
            if place is _Place.LEFT:
                with suppress(sqlite3.Error):  # into the file that was opened, wherever that is now
                    self.sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return self._take_log()
            return None
        finally:
            if place is _Place.INDEX_REPLACED:
                self.disown(refuse=False)
                _lost.add((self._status.st_dev, self._status.st_ino))
            else:
                os.close(self._log)
                self.sqlite.close()

    def _take_log(self) -> str | None:
        """Move the log and the index that were opened away from their paths, unless another process has done so."""
        kept = None
        for path, opened in zip(self._log_paths, self._logs, strict=True):
            status = _status(path)
            if status is not None and os.path.samestat(status, opened):
                kept = _move_log(path) or kept
        return kept

    def _empty_log(self) -> str | None:
        """Move the content of the log to another file, so that other connections that have it open find it empty."""
        kept = None
        try:
            if os.fstat(self._log).st_size:
                kept = f"{self._path}-wal.{time_ns()}"
                with open(self._log, "rb", closefd=False) as log, open(kept, "xb") as copy:
                    shutil.copyfileobj(log, copy)
        finally:
            os.truncate(self._log, 0)
            self._take_log()
        return kept


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _move_log(path: str) -> str | None:
    """Move a log to a new name and return that; remove it if it is empty, or an index."""
    status = _status(path)
    if status is None:
        return None
    if path.endswith("-shm") or not status.st_size:
        os.unlink(path)
        return None
    kept = f"{path}.{time_ns()}"
    os.rename(path, kept)
    return kept


def _read_header(path: str, all_pages: bool = False) -> tuple[int, int]:
    """Return the application and the version of a file, without applying or changing its write-ahead log.

    SQLite reads it, because closing any other descriptor of the file would drop the locks of this process.

    Args:
        path: The path of a file that exists.
        all_pages: Whether pages that are missing at the end are an error. They may be in the write-ahead log: a
            checkpoint, which may be under way or was killed, writes the header first.

    Raises:
        sqlite3.DatabaseError: The file is not a database, or is damaged.
        sqlite3.OperationalError: The file cannot be opened.
    """
    uri = "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    with closing(sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, timeout=0)) as connection:
        if not all_pages:
            connection.execute("PRAGMA writable_schema = 1")  # makes SQLite accept missing pages
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def check_header(path: str, latest: int = SCHEMA_VERSION) -> None:
    """Refuse a file that is not a journal, without changing it.

    Args:
        path: The path of a file that exists.
        latest: The highest version of the schema that is known.

    Raises:
        JournalError: It is not a journal, has a later version, or cannot be opened.
        OSError: Its status cannot be read.
    """
    if not os.stat(path).st_size:
        return
    try:
        application, version = _read_header(path)
    except sqlite3.Error as error:
        raise explain(path, error) from error
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is a database of another application; choose another file")
    if version > latest:
        raise _later_version(path, version, latest)


def _later_version(path: str, version: int, latest: int) -> JournalError:
    return JournalError(
        f"{path} has version {version} of the schema, this package supports {latest} and older; update otel-kcevents"
    )
