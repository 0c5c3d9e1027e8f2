"""The summary of a journal: what is known about each window and each kind, so that a reader need not read all events.

Writers bring it up to date now and then; a reader adds the events since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from time import monotonic, time_ns
from typing import Any, NamedTuple

from otel_kcevents.model.event import MAX_SIZE, OPERATIONS
from otel_kcevents.model.timestamps import DAY, SECOND
from otel_kcevents.store.journal_retention import prune_windows

__all__ = ["TOTAL_COLUMNS", "Summary", "Total", "add_totals", "read_summarized", "totals_of_rows", "windows_of_rows"]

_CHUNK = 1024  # events that are added at once, which takes a few milliseconds
_LAG = 512  # events that wait to be added together, which takes less time
_LAG_SHARE = 16  # of the retention
_SORTED = 8192  # events that are sorted at once, which fit into SQLite's cache
_PAUSE = 60.0  # seconds after a failure
_FAILURES = (sqlite3.Error, OverflowError, TypeError)  # the last two if another program has written no integers

_HOUR = 3_600 * SECOND
_OPERATIONS = ", ".join(f"'{operation}'" for operation in OPERATIONS)
_IS_BOUNDED = f"window_start > {-(2**63)} AND window_end < {2**63 - 1} AND window_end > window_start"
# The length of a window of more than 292 years is not an integer.
_HAS_LENGTH = f"{_IS_BOUNDED} AND typeof(window_end - window_start) = 'integer'"
_DAYS = f"{DAY - _HOUR}, {DAY}, {DAY + _HOUR}"

_WINDOW = f"""
    kind, CASE WHEN operation IN ({_OPERATIONS}) THEN operation ELSE '' END,
    CASE WHEN {_HAS_LENGTH} THEN window_end - window_start ELSE 0 END,
    CASE WHEN {_HAS_LENGTH} THEN window_start ELSE 0 END"""
_ROWS = "FROM event NOT INDEXED WHERE id > ? AND id <= ?"
_WINDOWS = f"""
    SELECT {_WINDOW}, count(*), max(id), time, size, error_type, error_message {_ROWS}
    GROUP BY 1, 2, 3, 4"""  # the last four columns are those of max(id)
# Each row by itself is faster than with GROUP BY.
_ADD_WINDOWS = f"""
    INSERT INTO coverage SELECT {_WINDOW}, 1, id, time, size, error_type, error_message {_ROWS}
    ON CONFLICT DO UPDATE SET events = events + 1, last_id = excluded.last_id, time = excluded.time,
        size = excluded.size, error_type = excluded.error_type, error_message = excluded.error_message"""
_TOTALS = f"""
    SELECT kind, sum(size >> 32), sum(size & {2**32 - 1}), max(time), epoch,
        max(CASE WHEN window_end - window_start = {_HOUR} THEN window_end END),
        max(CASE WHEN window_end - window_start IN ({_DAYS}) THEN window_end END),
        max(CASE WHEN {_IS_BOUNDED} AND window_end - window_start NOT IN ({_HOUR}, {_DAYS}) THEN window_end END)
    {_ROWS} GROUP BY kind, epoch"""  # sum(size) could overflow
TOTAL_COLUMNS = "records, last, epoch, hourly, daily, other"
"""The columns of a `Total` in the table `total`."""

_SELECT_TOTAL = f"SELECT {TOTAL_COLUMNS} FROM total WHERE kind = ?"
_REPLACE_TOTAL = """
    UPDATE total SET records = ?, last = ?, epoch = ?, hourly = ?, daily = ?, other = ? WHERE kind = ?"""
_SELECT_RANGE = """
    SELECT (SELECT min(id) FROM event WHERE id > ?1), (SELECT max(id) FROM event WHERE id <= ?2)"""
_SELECT_MARK = "SELECT count FROM tally WHERE name = 'summary'"
_SET_MARK = "UPDATE tally SET count = ? WHERE name = 'summary'"
_NEXT_EVENTS = "SELECT max(id), count(*) FROM (SELECT id FROM event WHERE id > ? ORDER BY id LIMIT ?)"
_SELECT_ENDS = "SELECT id, time, (SELECT max(id) FROM event) FROM event ORDER BY id LIMIT 1"
_EVERYTHING = 2**63 - 1


class Total(NamedTuple):
    """What is known about the events of a kind, beside their number.

    Attributes:
        records: The sum of their sizes; None if none of them has a size.
        last: The time of the latest one; None if there is none.
        epoch: How often the clock had been set back before it.
        hourly: The latest end of a window of an hour; None if there is none.
        daily: The same for windows of a day.
        other: The same for all other windows.
    """

    records: int | None = None
    last: int | None = None
    epoch: int = 0
    hourly: int | None = None
    daily: int | None = None
    other: int | None = None


def add_totals(one: Total, other: Total) -> Total:
    """Return what is known about the events of a kind, of which each argument has a part.

    Args:
        one: The first part.
        other: The second part.
    """
    last, epoch = one.last, one.epoch
    if last is None or (other.last is not None and (other.epoch, other.last) > (epoch, last)):
        last, epoch = other.last, other.epoch
    ends = [
        max((end for end in both if end is not None), default=None) for both in zip(one[3:], other[3:], strict=True)
    ]
    records = one.records if other.records is None else other.records + (one.records or 0)
    return Total(records, last, epoch, *ends)


def totals_of_rows(connection: sqlite3.Connection, after: int, up_to: int = _EVERYTHING) -> dict[str, Total]:
    """Return what the rows of events say about each kind.

    Args:
        connection: The open journal.
        after: The rows have ids above this.
        up_to: The highest id.
    """
    totals: dict[str, Total] = {}
    for part in _parts(connection, after, up_to):
        for kind, high, low, *others in connection.execute(_TOTALS, part):
            records = None if high is None else (high << 32) + low
            totals[kind] = add_totals(totals.get(kind, Total()), Total(records, *others))
    return totals


def windows_of_rows(connection: sqlite3.Connection, after: int) -> Iterator[Sequence[Any]]:
    """Yield what the rows of events say about windows, in the columns of the table `coverage`.

    If there are many rows, several may be about the same window; their numbers of events have to be added.

    Args:
        connection: The open journal.
        after: The rows have ids above this.
    """
    for part in _parts(connection, after, _EVERYTHING):
        yield from connection.execute(_WINDOWS, part)


def _parts(connection: sqlite3.Connection, after: int, up_to: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of ids, each above its first number and up to its second one, that are sorted in memory."""
    first, last = connection.execute(_SELECT_RANGE, (after, up_to)).fetchone()
    for start in () if first is None else range(first, last + 1, _SORTED):
        yield start - 1, min(start + _SORTED - 1, last)


def read_summarized(connection: sqlite3.Connection) -> int:
    """Return the id of the last event that is in the summary.

    Args:
        connection: The open journal.
    """
    row = connection.execute(_SELECT_MARK).fetchone()
    return int(row[0]) if row else _EVERYTHING  # another program has deleted it


class Summary:
    """Keeps the summary of a journal up to date, for one process.

    It is written in transactions of its own: if one fails, the events are written nevertheless.
    """

    def __init__(self) -> None:
        self._resume_at = 0.0
        self._is_broken = False
        self.is_behind: bool = False
        """Whether `update()` has to be called again to add all events."""

    def update(self, connection: sqlite3.Connection, retention: int | None, max_age: int | None, is_end: bool) -> None:
        """Add some of the events that the summary lacks, and delete windows that need not be kept, if that is due.

        After a failure, further calls do nothing for a minute.

        Args:
            connection: The open journal, outside a transaction.
            retention: How many windows of each kind to keep; None for no limit.
            max_age: How long to keep them after their last event, in nanoseconds; None for no limit.
            is_end: Whether the run ends, or is flushed, so that all events are added.
        """
        self.is_behind = False
        if monotonic() < self._resume_at:
            return
        lag = _LAG if retention is None else min(_LAG, retention // _LAG_SHARE)
        try:
            if not is_end and not _is_due(connection, lag, max_age):
                return
            connection.execute("BEGIN IMMEDIATE")
            number = _add(connection)
            prune_windows(connection, retention, max_age)
            connection.execute("COMMIT")
        except _FAILURES as error:  # all others are raised by signal handlers
            self._is_broken = not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)
            self._resume_at = monotonic() + _PAUSE
        else:
            self._is_broken = False
            self.is_behind = number == _CHUNK
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def last(self, connection: sqlite3.Connection) -> int:
        """Return the id of the last event that may be deleted, because it is in the summary or can never be.

        Args:
            connection: The open journal.
        """
        return _EVERYTHING if self._is_broken else read_summarized(connection)


def _is_due(connection: sqlite3.Connection, lag: int, max_age: int | None) -> bool:
    """Return whether many events are not in the summary, or some that have to be deleted."""
    mark = read_summarized(connection)
    first, time, last = connection.execute(_SELECT_ENDS).fetchone() or (0, 0, 0)
    return last - mark > lag or (max_age is not None and first > mark and time < time_ns() - max_age)


def _add(connection: sqlite3.Connection) -> int:
    """Add some events, and return how many."""
    mark = read_summarized(connection)
    last, number = connection.execute(_NEXT_EVENTS, (mark, _CHUNK)).fetchone()
    if last is None:
        return 0
    for kind, total in totals_of_rows(connection, mark, last).items():
        connection.execute("INSERT OR IGNORE INTO total (kind) VALUES (?)", (kind,))
        sum_ = add_totals(Total(*connection.execute(_SELECT_TOTAL, (kind,)).fetchone()), total)
        records = None if sum_.records is None else min(sum_.records, MAX_SIZE)
        connection.execute(_REPLACE_TOTAL, (*sum_._replace(records=records), kind))
    connection.execute(_ADD_WINDOWS, (mark, last))
    connection.execute(_SET_MARK, (last,))
    return int(number)
