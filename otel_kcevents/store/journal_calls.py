"""The call counts of mapped functions in a journal: when this process writes them, and how they are read.

They are written in the transactions of events, but with few of them: with 20 functions that are called in turn, that
adds 5 µs to the 75 µs of an event.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from otel_kcevents.model.messages import to_utf8
from otel_kcevents.store.calls import CallCounts, Calls, all_counts

__all__ = ["ProgramCalls", "WrittenCalls", "read_calls", "read_program"]

_INTERVAL = 1.0  # seconds
_MAX_EVENTS = 64  # that a process which is killed may have recorded, but not counted, in a burst

_REPLACE = "INSERT OR REPLACE INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SUMS = "entry, function, sum(calls), sum(events), sum(errors), sum(sizes_missing), sum(windows_missing)"
_TREE = """
    WITH RECURSIVE tree (id) AS (
        SELECT id FROM run WHERE parent = ?1 UNION SELECT run.id FROM run JOIN tree ON run.parent = tree.id
    ) """
_FIRST_VERSION = 2  # of the schema that has the table


class WrittenCalls:
    """The call counts of this process that a file has. Use it inside a transaction, then call `commit()`."""

    def __init__(self) -> None:
        self._writes_zeros = True
        self._start_anew()

    def _start_anew(self) -> None:
        self._written: dict[CallCounts, Calls] = {}
        self._uncommitted: dict[CallCounts, Calls] | None = None
        self._events = 0  # since the last write
        self._max_events = 1  # after which the counts are written: a short program may be killed, too
        self._write_at = 0.0

    def forget(self) -> None:
        """Write all counts again, because the file has none of this process."""
        self._written.clear()
        self._write_at = 0.0

    def write(self, connection: sqlite3.Connection, run: str, events: int, is_end: bool) -> None:
        """Write the counts that have changed, if that is due.

        Args:
            connection: The open journal, in a transaction.
            run: The id of the run of this process.
            events: How many events the transaction adds.
            is_end: Whether the run ends, or is flushed.
        """
        self._uncommitted = None
        self._events += events
        if not is_end and self._events < self._max_events and monotonic() < self._write_at:
            return
        if not (known := all_counts()):
            return
        self._uncommitted = changed = {
            counts: calls
            for counts in known
            if (calls := counts.read()) != self._written.get(counts) and (calls.calls or self._writes_zeros)
        }
        rows = [(run, to_utf8(calls.entry), to_utf8(calls.function), *calls[2:]) for calls in changed.values()]
        connection.executemany(_REPLACE, rows)

    def commit(self) -> None:
        """Note that the transaction was committed."""
        if self._uncommitted is not None:
            self._written.update(self._uncommitted)
            self._uncommitted = None
            self._events = 0
            self._max_events = min(2 * self._max_events, _MAX_EVENTS)
            self._write_at = monotonic() + _INTERVAL

    def after_fork_in_child(self) -> None:
        """Start with the run of the child, whose functions are written when they are called."""
        self._writes_zeros = False
        self._start_anew()


class ProgramCalls(NamedTuple):
    """What a journal has about a program and all processes that it started.

    Attributes:
        runs: The ids of their runs, the oldest first.
        running: How many of them still run.
        unended: How many of them have no end: they still run, or may have been killed.
        calls: The sums of the calls of all runs, by entry and function.
        problems: The warnings that they logged, each once, the oldest first.
        uncounted: How many events of those without an end, which may have been killed, are not in the counts.
    """

    runs: tuple[str, ...]
    running: int
    unended: int
    calls: tuple[Calls, ...]
    problems: tuple[str, ...]
    uncounted: int


def read_program(connection: sqlite3.Connection, parent: str, is_running: Callable[[str], bool]) -> ProgramCalls:
    """Return what a journal has about a program.

    Args:
        connection: The open journal.
        parent: The id that the program has as the parent of its run, from its environment.
        is_running: Returns whether the process of a run exists, given the run's id.
    """
    runs = connection.execute(
        f"{_TREE} SELECT id, ended, count FROM tree JOIN run USING (id) LEFT JOIN tally ON tally.name = id "
        "ORDER BY started",
        (parent,),
    ).fetchall()
    calls: list[Calls] = []
    uncounted = 0
    if _has_calls(connection):
        found = connection.execute(
            f"{_TREE} SELECT {_SUMS} FROM call JOIN tree ON run = id GROUP BY entry, function", (parent,)
        )
        calls = [Calls(*row) for row in found]
        counted = dict(
            connection.execute(f"{_TREE} SELECT id, sum(events) FROM call JOIN tree ON run = id GROUP BY id", (parent,))
        )
        uncounted = sum(max(0, count - counted.get(id_, 0)) for id_, ended, count in runs if ended is None and count)
    problems = connection.execute(
        f"{_TREE} SELECT message FROM problem JOIN tree ON run = tree.id GROUP BY message ORDER BY min(problem.id)",
        (parent,),
    )
    ids = tuple(id_ for id_, *_ in runs)
    running = sum(map(is_running, ids))
    unended = sum(ended is None for _, ended, _ in runs)
    return ProgramCalls(ids, running, unended, tuple(calls), tuple(message for (message,) in problems), uncounted)


def read_calls(connection: sqlite3.Connection) -> list[Calls]:
    """Return the sums of the calls of all runs, by entry and function; none if the file has an older version.

    Args:
        connection: The open journal.
    """
    if not _has_calls(connection):
        return []
    return [Calls(*row) for row in connection.execute(f"SELECT {_SUMS} FROM call GROUP BY entry, function")]


def _has_calls(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(version >= _FIRST_VERSION)
