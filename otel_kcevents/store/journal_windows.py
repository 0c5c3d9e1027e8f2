"""What a journal knows about windows and kinds: its summary, and the events that the summary lacks."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from otel_kcevents.model.event import MAX_SIZE, OUTCOMES, Failure
from otel_kcevents.model.resolution import CALENDAR, resolution_of
from otel_kcevents.model.timestamps import DAY
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
from otel_kcevents.store.window_results import Bounds, WindowResult, WindowResults, known_firsts, operation_of

__all__ = ["read_totals", "read_window_results"]

_FIRST_VERSION = 3  # of the schema that has the summary
_SUFFIXES = tuple(outcome.suffix for outcome in OUTCOMES.values())
_MONTHS = range(27 * DAY, 32 * DAY)  # lengths whose resolution depends on the start

_NEXT_OPERATION = "SELECT min(operation) FROM coverage WHERE kind = ? AND operation > ?"
_NEXT_LENGTH = "SELECT min(length) FROM coverage WHERE kind = ? AND operation = ? AND length > ?"
_OF_GROUP = "FROM coverage WHERE kind = ? AND operation = ? AND length = ?"
_WINDOWS = f"SELECT start, length, events, last_id, time, size, error_type, error_message {_OF_GROUP}"
_SUCCESSES = f"SELECT start, events, last_id, time, size {_OF_GROUP}"
_IN_RANGE = "AND start > ? AND start < ? ORDER BY start"
_KNOWN_SINCE = "SELECT kind, known_since FROM total WHERE known_since NOTNULL"
_OLDEST_KEPT = """
    SELECT name, (
        SELECT time FROM event WHERE kind = name AND n = (SELECT min(n) FROM event WHERE kind = name) AND n > 1
    ) AS oldest FROM tally WHERE etl NOTNULL AND oldest NOTNULL"""  # as the migration to version 3 does


class _Group:
    """The windows of one length of a kind and an operation."""

    def __init__(self, etl: str, kind: str, operation: str) -> None:
        self.etl = etl
        self.operation = operation_of(kind, operation)
        self.is_error = kind.removesuffix("Event").endswith("Error")
        self._named = operation or None

    def results(self, rows: Iterable[Sequence[Any]]) -> list[WindowResult]:
        """Return the results of rows of `_WINDOWS`."""
        etl, operation, is_error, named = self.etl, self.operation, self.is_error, self._named
        found = []
        for start, length, events, last, time, size, error_type, message in rows:
            failure = Failure(error_type, message, named) if is_error and error_type is not None else None
            found.append(
                WindowResult(etl, operation, is_error, start, start + length, events, last, time, size, failure)
            )
        return found

    def successes(self, rows: Iterable[Sequence[Any]], length: int) -> list[WindowResult]:
        """Return the results of rows of `_SUCCESSES`, of which a year may have 100,000."""
        etl, operation, new = self.etl, self.operation, tuple.__new__  # which is faster than the class, by half
        return [
            new(WindowResult, (etl, operation, False, start, start + length, events, last, time, size, None))
            for start, events, last, time, size in rows
        ]


class _Results:
    """Collects the results of a range."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._results: list[WindowResult] = []
        self._newest: dict[tuple[str, str | None, bool, str], WindowResult] = {}
        self._without: dict[tuple[str, str | None], WindowResult] = {}
        self._oldest: dict[tuple[str, str | None, str], Bounds] = {}
        self._windows: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._regular: set[tuple[str, str, str]] = set()

    def select(self, results: Iterable[WindowResult]) -> None:
        """Add results that overlap the range."""
        self._results += results

    def add(self, result: WindowResult) -> None:
        """Add a result that may be outside the range, or without a window."""
        if result.start < self._end and self._start < result.end and result.start < result.end:
            self._results.append(result)
        self.note(result)

    def note(self, result: WindowResult) -> None:
        """Add what a result says about the newest, the oldest and the regular windows, and those that have none."""
        etl, operation, is_error, start, end, events, *_ = result
        if start == end:
            if is_error:
                before = self._without.get((etl, operation))
                if before is not None:
                    events += before.events
                    result = max(before, result, key=lambda result: result.order)
                self._without[etl, operation] = result._replace(events=events)
            return
        resolution = resolution_of(start, end)
        key = etl, operation, is_error, resolution
        newest = self._newest.get(key)
        if newest is None or (newest.start, newest.order) <= (start, result.order):
            self._newest[key] = result
        place, bounds = (etl, operation, resolution), Bounds(start, end)
        self._oldest[place] = min(self._oldest.get(place, bounds), bounds)
        if operation is not None and resolution not in CALENDAR:
            row = etl, operation, resolution
            if self._windows.setdefault(row, (start, end)) != (start, end):
                self._regular.add(row)

    def finish(
        self, known_since: Mapping[tuple[str, str], int], lost: Collection[tuple[str, str | None]]
    ) -> WindowResults:
        """Return what was collected.

        Args:
            known_since: That of the results.
            lost: The etls and operations of which failures were deleted.
        """
        newest, without = tuple(self._newest.values()), tuple(self._without.values())
        first = known_firsts(self._oldest, lost)
        return WindowResults(tuple(self._results), newest, without, known_since, frozenset(self._regular), first)


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
    found = _Results(start, end)
    mark = _summarized(connection)
    for group in _groups(connection) if mark is not None else ():
        kind, operation, length = group
        if kind in etls:
            windows = _Group(etls[kind], kind, operation)
            to_results = windows.results
            if length and length not in _MONTHS:
                bounds = *group, clamp(start - length), clamp(end)
                if windows.is_error:
                    found.select(to_results(connection.execute(f"{_WINDOWS} {_IN_RANGE}", bounds)))
                else:
                    rows = connection.execute(f"{_SUCCESSES} {_IN_RANGE}", bounds)
                    found.select(windows.successes(rows, length))
                for order in ("ASC", "DESC"):
                    ends = connection.execute(f"{_WINDOWS} ORDER BY start {order} LIMIT 1", group)
                    found.note(to_results(ends)[0])
            else:
                for result in to_results(connection.execute(_WINDOWS, group)):
                    found.add(result)
    with _waiting(connection, waiting) as unwritten:
        for database, after in ((connection, mark or 0), (unwritten, 0)):
            for kind, operation, length, first, *others in windows_of_rows(database, after):
                if kind in etls:
                    for result in _Group(etls[kind], kind, operation).results([(first, length, *others)]):
                        found.add(result)
    known_since, lost = {}, set()
    for kind, time in connection.execute(_OLDEST_KEPT if mark is None else _KNOWN_SINCE):
        if kind in etls and kind.removesuffix("Event").endswith("Error"):
            lost.add((etls[kind], operation_of(kind, None)))
        elif kind in etls:
            known_since[etls[kind], str(operation_of(kind, None))] = time
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
