"""The minimum that any journal must do for an event: one transaction, in which the event is added and counted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from itertools import count
from time import time_ns

from otel_kcevents import Journal

__all__ = ["bare_journal"]

_KIND, _RUN, _IDS = "AllocationSetLoaded", "0123456789abcdef", ("0123456789abcdef" * 2, "0123456789abcdef")
_INSERT = (
    "INSERT INTO event (kind, n, time, size, window_start, window_end, run, trace_id, span_id, epoch) "
    "SELECT name, count, ?, 97, ?, ?, ?, ?, ?, 0 FROM tally WHERE name = ?"
)


def bare_journal(path: str) -> Callable[[], None]:
    """Return a function that writes an event as a journal does, with the same tables, locks and settings, and no more.

    Args:
        path: The path of the file; the file must not exist.
    """
    Journal(path).begin()  # creates the tables
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in ("synchronous = NORMAL", "wal_autocheckpoint = 4000"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("INSERT INTO tally (name, etl) VALUES (?, 'allocation'), (?, NULL)", (_KIND, _RUN))
    lock = os.open(f"{path}-bare-lock", os.O_RDWR | os.O_CREAT)
    execute, numbers = connection.cursor().execute, count(1)

    def write() -> None:
        time, number = time_ns(), next(numbers)
        flock(lock, LOCK_EX | LOCK_NB)
        os.stat(path)
        execute("BEGIN IMMEDIATE")
        execute("UPDATE tally SET count = ?, last = ? WHERE name = ? AND count < ?", (number, time, _RUN, number))
        execute("UPDATE tally SET count = count + 1 WHERE name = ?", (_KIND,))
        execute(_INSERT, (time, time, time, _RUN, *_IDS, _KIND))
        execute("COMMIT")
        flock(lock, LOCK_UN)

    return write
