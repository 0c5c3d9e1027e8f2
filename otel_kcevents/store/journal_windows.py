"""What a journal knows about windows and kinds: its summary, and the events that the summary lacks."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from otel_kcevents.model.event import MAX_SIZE, OUTCOMES, Failure
from otel_kcevents.model.resolution import may_be_month, resolution_of
from otel_kcevents.store.collector_pause import collector_pause
from otel_kcevents.store.journal_events import read_counts
from otel_kcevents.store.journal_rows import EVENT_COLUMNS, Entry, clamp, row_of
from otel_kcevents.store.journal_summary import (
    TOTAL_COLUMNS,
    Total,
    add_totals,
    read_summarized,
    totals_of_rows,
    windows_of_rows,
)
from otel_kcevents.store.totals import KindTotals
from otel_kcevents.store.window_results import GroupedResult, ResultCollector, WindowResult, WindowResults, operation_of

__all__ = ["read_totals", "read_window_results"]

_FIRST_VERSION = 3  # of the schema that has the summary
_SUFFIXES = tuple(outcome.suffix for outcome in OUTCOMES.values())

_NEXT_OPERATION = "SELECT min(operation) FROM coverage WHERE kind = ? AND operation > ?"
_NEXT_LENGTH = "SELECT min(length) FROM coverage WHERE kind = ? AND operation = ? AND length > ?"
_OF_GROUP = "FROM coverage WHERE kind = ? AND operation = ? AND length = ?"
_WINDOWS = f"SELECT start, length, events, last_id, time, size, error_type, error_message {_OF_GROUP}"
_IN_RANGE = f"{_OF_GROUP} AND start > ? AND start < ? ORDER BY start"
_SUCCESSES = f"SELECT start, events, last_id, time, size {_IN_RANGE}"
_FAILURES = f"SELECT start, events, last_id, time, error_type, error_message {_IN_RANGE}"
_KNOWN_SINCE = "SELECT kind, known_since FROM total WHERE known_since NOTNULL"
_OLDEST_KEPT = """
    SELECT name, (
        SELECT time FROM event WHERE kind = name AND n = (SELECT min(n) FROM event WHERE kind = name) AND n > 1
    ) AS oldest FROM tally WHERE etl NOTNULL AND oldest NOTNULL"""  # as the migration to version 3 does


class _Group:
    """The windows of a kind and an operation."""

    def __init__(self, etl: str, kind: str, operation: str) -> None:
        self.etl = etl
        self.operation = operation_of(kind, operation)
        self.is_error = kind.removesuffix("Event").endswith("Error")
        self._named = operation or None

    def results(self, rows: Iterable[Sequence[Any]]) -> list[WindowResult]:
        """Return the results of rows of `_WINDOWS`."""
        found = []
        for start, length, events, last, time, size, error_type, message in rows:
            failure = self._failure(error_type, message) if self.is_error else None
            key = self.etl, self.operation, self.is_error, start, start + length
            found.append(WindowResult(*key, events, last, time, size, failure))
        return found

    def failures(self, rows: Iterable[Sequence[Any]]) -> list[GroupedResult]:
        """Return the results of rows of `_FAILURES`."""
        return [
            (start, events, last, time, self._failure(error_type, message))
            for start, events, last, time, error_type, message in rows
        ]

    def _failure(self, error_type: str | None, message: str) -> Failure | None:
        return None if error_type is None else Failure(error_type, message, self._named)


@collector_pause()
def read_window_results(
    connection: sqlite3.Connection, start: int, end: int, waiting: Sequence[Entry], etl_of: Callable[[str], str]
) -> WindowResults:
    """Return what a journal knows about the windows of a range.

    Args:
        connection: The open journal.
        start: The start of the range, in nanoseconds since 1970 (UTC).
        end: The end of the range.
        waiting: The events that the journal does not have yet, in their order.
        etl_of: Returns the name of the list of a kind.
    """
    etls = _etls(connection, waiting, etl_of)
    found = ResultCollector(start, end)
    mark = _summarized(connection)
    for group in _groups(connection) if mark is not None else ():
        kind, operation, length = group
        if kind in etls:
            windows = _Group(etls[kind], kind, operation)
            if length and not may_be_month(length):
                bounds = *group, clamp(start - length), clamp(end)
                rows = connection.execute(_FAILURES if windows.is_error else _SUCCESSES, bounds).fetchall()
                key = windows.etl, windows.operation, windows.is_error, resolution_of(0, length), length
                found.add_group(key, windows.failures(rows) if windows.is_error else rows)
                for order in ("ASC", "DESC"):
                    ends = connection.execute(f"{_WINDOWS} ORDER BY start {order} LIMIT 1", group)
                    found.note(windows.results(ends)[0])
            else:
                for result in windows.results(connection.execute(_WINDOWS, group)):
                    found.add(result)
    with _waiting(connection, waiting) as unwritten:
        for database, after in ((connection, mark or 0), (unwritten, 0)):
            for kind, operation, length, first, *others in windows_of_rows(database, after):
                if kind in etls:
                    for result in _Group(etls[kind], kind, operation).results([(first, length, *others)]):
                        found.add(result)
    known_since, lost = {}, set()
    oldest = dict(connection.execute(_OLDEST_KEPT if mark is None else _KNOWN_SINCE))
    for kind in etls.keys() & oldest.keys():
        if kind.removesuffix("Event").endswith("Error"):
            lost.add((etls[kind], operation_of(kind, None)))
        else:
            known_since[etls[kind], str(operation_of(kind, None))] = oldest[kind]
    return found.finish(known_since, lost)


def read_totals(
    connection: sqlite3.Connection,
    waiting: Sequence[Entry],
    unlisted: Mapping[str, int],
    etl_of: Callable[[str], str],
) -> tuple[KindTotals, ...]:
    """Return the totals of each kind, in alphabetical order.

    Args:
        connection: The open journal.
        waiting: The events that the journal does not have yet.
        unlisted: The numbers, by kind, of further events that it does not have.
        etl_of: Returns the name of the list of a kind.
    """
    etls = _etls(connection, waiting, etl_of)
    counts = Counter(read_counts(connection)) + Counter(entry.event.kind for entry in waiting) + Counter(unlisted)
    totals: dict[str, Total] = {}
    mark = _summarized(connection)
    if mark is not None:
        for kind, *columns in connection.execute(f"SELECT kind, {TOTAL_COLUMNS} FROM total"):
            totals[kind] = Total(*columns)
    with _waiting(connection, waiting) as rows:
        for database, after in ((connection, mark or 0), (rows, 0)):
            for kind, total in totals_of_rows(database, after).items():
                totals[kind] = add_totals(totals.get(kind, Total()), total)
    found = []
    for kind, events in sorted(counts.items()):
        total = totals.get(kind, Total())
        ends = zip(("hourly", "daily", "other"), total[-3:], strict=True)
        known = {resolution: end for resolution, end in ends if end is not None}
        if kind in etls and total.last is not None:
            records = None if total.records is None else min(total.records, MAX_SIZE)
            found.append(KindTotals(etls[kind], kind, events, records, total.last, known))
    return tuple(found)


def _etls(connection: sqlite3.Connection, waiting: Iterable[Entry], etl_of: Callable[[str], str]) -> dict[str, str]:
    """Return the kinds of sets, with the names of their lists."""
    kinds = {entry.event.kind for entry in waiting}
    etls = dict(connection.execute("SELECT name, etl FROM tally WHERE etl NOTNULL"))
    etls |= {kind: etl_of(kind) for kind in kinds}
    return {kind: etl for kind, etl in etls.items() if kind.removesuffix("Event").endswith(_SUFFIXES)}


def _summarized(connection: sqlite3.Connection) -> int | None:
    """Return the id of the last event that is in the summary; None if the file has an older version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return read_summarized(connection) if version >= _FIRST_VERSION else None


def _groups(connection: sqlite3.Connection) -> Iterator[tuple[str, str, int]]:
    """Yield each kind, operation and length of the summary, without reading all of its rows."""
    for (kind,) in connection.execute("SELECT kind FROM total ORDER BY kind"):
        operation: str | None = ""
        while operation is not None:
            length = -1
            while (length := connection.execute(_NEXT_LENGTH, (kind, operation, length)).fetchone()[0]) is not None:
                yield kind, operation, length
            (operation,) = connection.execute(_NEXT_OPERATION, (kind, operation)).fetchone()


@contextmanager
def _waiting(connection: sqlite3.Connection, waiting: Iterable[Entry]) -> Iterator[sqlite3.Connection]:
    """Provide the events that a journal does not have yet as rows after its own."""
    with closing(sqlite3.connect(":memory:")) as rows:
        rows.execute(f"CREATE TABLE event (id INTEGER PRIMARY KEY, {EVENT_COLUMNS})")
        if waiting:
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
            (epoch,) = connection.execute("SELECT count FROM tally WHERE name = 'clock'").fetchone()
            places = ", ".join("?" * (1 + len(EVENT_COLUMNS.split(","))))
            rows.executemany(
                f"INSERT INTO event (id, {EVENT_COLUMNS}) VALUES ({places})",
                ((last + n, *row_of(entry, "", epoch)) for n, entry in enumerate(waiting, 1)),
            )
        yield rows
