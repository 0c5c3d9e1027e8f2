"""What is deleted from a journal: the events and windows that are more than its retention allows, or too old."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from time import time_ns

from otel_kcevents.model.timestamps import SECOND

__all__ = ["prune_events", "prune_windows"]

_PRUNED = 512  # events deleted at once, which takes a few milliseconds; more than a batch adds
_PRUNED_WINDOWS = 8192  # at once, and seldom, because the oldest ones have to be searched
_SPARE_WINDOWS = 64
_SPARE_SHARE = 16  # of the retention

_DELETE_SUPERFLUOUS = """
    DELETE FROM event WHERE kind = ?1 AND n <= min(
        (SELECT count FROM tally WHERE name = ?1) - ?2, (SELECT min(n) FROM event WHERE kind = ?1) - 1 + ?3
    ) AND id <= ?4 AND id < (SELECT max(id) FROM event)"""  # which may be superfluous: not all that count have a row
_DELETE_OLD = """
    DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT ?) AND time < ?
    AND id <= ? AND id < (SELECT max(id) FROM event)"""
# The newest window of a length is kept, so that its operation stays known. Lengths such as 61.5 s are excepted, because
# their number is unlimited.
_OLDEST_WINDOWS = f"""
    SELECT kind, operation, length, start, time FROM coverage AS window WHERE kind = ?1 AND time < ?2 AND NOT (
        length % {60 * SECOND} = 0 AND start = (
            SELECT max(start) FROM coverage WHERE kind = ?1 AND operation = window.operation AND length = window.length
        )
    ) ORDER BY last_id LIMIT ?3"""
_TOO_MANY_WINDOWS = "SELECT kind, windows FROM total WHERE windows > ?"
_IS_PRUNED = "SELECT 1 FROM tally WHERE name = 'summary' AND last BETWEEN ? AND ?"
_SET_PRUNED = "UPDATE tally SET last = ? WHERE name = 'summary'"
_DELETE_WINDOW = "DELETE FROM coverage WHERE kind = ? AND operation = ? AND length = ? AND start = ?"
_SET_KNOWN_SINCE = "UPDATE total SET known_since = max(coalesce(known_since, ?1), ?1) WHERE kind = ?2"
_ANY_TIME = 2**63 - 1


def prune_events(
    connection: sqlite3.Connection, kinds: Iterable[str], retention: int | None, max_age: int | None, last: int
) -> None:
    """Delete some of the events that need not be kept; never the newest one, which the next id depends on.

    Args:
        connection: The open journal, in a transaction.
        kinds: The kinds that may have too many events.
        retention: How many events of each kind to keep; None for no limit.
        max_age: How long to keep them, in nanoseconds; None for no limit.
        last: The id of the last event that may be deleted.
    """
    if retention is not None:
        left = _PRUNED
        for kind in sorted(kinds):
            left -= connection.execute(_DELETE_SUPERFLUOUS, (kind, retention, left, last)).rowcount
    if max_age is not None:
        connection.execute(_DELETE_OLD, (_PRUNED, time_ns() - max_age, last))


def prune_windows(connection: sqlite3.Connection, retention: int | None, max_age: int | None) -> None:
    """Delete some of the windows that need not be kept, if there are many: searching the oldest ones takes long.

    Args:
        connection: The open journal, in a transaction.
        retention: How many windows of each kind to keep; None for no limit.
        max_age: How long to keep them after their last event, in nanoseconds; None for no limit.
    """
    if retention is not None:
        most = retention + max(_SPARE_WINDOWS, retention // _SPARE_SHARE)
        for kind, windows in connection.execute(_TOO_MANY_WINDOWS, (most,)).fetchall():
            _delete_windows(connection, kind, _ANY_TIME, min(windows - retention, _PRUNED_WINDOWS))
    if max_age is not None:
        now = time_ns()
        if connection.execute(_IS_PRUNED, (now - max_age // _SPARE_SHARE, now)).fetchone():
            return
        kinds = connection.execute("SELECT kind FROM total").fetchall()
        numbers = [_delete_windows(connection, kind, now - max_age, _PRUNED_WINDOWS) for (kind,) in kinds]
        if _PRUNED_WINDOWS not in numbers:  # otherwise, there may be more
            connection.execute(_SET_PRUNED, (now,))


def _delete_windows(connection: sqlite3.Connection, kind: str, before: int, number: int) -> int:
    """Delete the windows whose last events are the oldest, and return their number."""
    windows = connection.execute(_OLDEST_WINDOWS, (kind, before, number)).fetchall()
    connection.executemany(_DELETE_WINDOW, [window[:-1] for window in windows])
    if windows:
        connection.execute(_SET_KNOWN_SINCE, (max(time for *_, time in windows), kind))
    return len(windows)
