"""What is listed from a journal: the log document, and pages of events."""

from __future__ import annotations

import json
import re
import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from time import monotonic
from typing import Any

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import DOCUMENTED, KINDS, Event
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window
from otel_kcevents.store.journal_errors import JournalError
from otel_kcevents.store.journal_rows import EVENT_COLUMNS, Batch, Entry, clamp, event_of
from otel_kcevents.store.query import EventPage, EventQuery, ListedEvent, find_runs

__all__ = ["read_counts", "read_document", "read_events", "read_written", "unwritten", "waiting_document"]

_MIN, _MAX = -(2**63), 2**63 - 1  # what SQLite's integers can hold; earlier and later times are stored as these
_CHUNK = 20_000  # rows, which take a few milliseconds
_SECONDS = 0.1
_RARE = 20_000  # events of the selected kinds, which are then found by their index and sorted
_CURSOR = re.compile(r"([0-9]{1,19})(?:-([0-9a-f]{1,32}))?")


def read_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of events of each kind, in alphabetical order, without zeros.

    Args:
        connection: The open journal.
    """
    return dict(connection.execute("SELECT kind, count FROM counter WHERE count > 0 ORDER BY kind"))


def _etls(connection: sqlite3.Connection, prefixes: Sequence[str]) -> dict[str, str]:
    """Return the selected kinds, with the names of their lists.

    Raises:
        ValueError: No kind starts with one of *prefixes*.
    """
    known = {name: kind.etl for name, kind in KINDS.items()}
    known |= dict(connection.execute("SELECT name, etl FROM tally WHERE etl IS NOT NULL ORDER BY name"))
    for prefix in prefixes:
        if not any(f"{kind}Event".startswith(prefix) for kind in known):
            raise ValueError(
                f"{short_repr(prefix)} is not a kind or a prefix of one; expected one of {', '.join(known)}"
            )
    return {kind: etl for kind, etl in known.items() if not prefixes or f"{kind}Event".startswith(tuple(prefixes))}


def read_document(connection: sqlite3.Connection, kinds: Sequence[str], window: Window | None, limit: int) -> Document:
    """Return the lists of events, newest first, and the counters of all events.

    Args:
        connection: The open journal.
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window: The window that an event's own time must be in to be listed; None for any time.
        limit: The maximum number of events to list of each kind: the newest of those selected.

    Raises:
        ValueError: One of *kinds* is not a prefix of a kind.
    """
    etls = _etls(connection, kinds)
    found: dict[str, list[tuple[tuple[int, int], Event]]] = {etl: [] for etl in (*DOCUMENTED, *etls.values())}
    if window is None:
        condition, parameters = "", tuple[int, ...]()
    else:
        condition, parameters = _in_window(window)
        sql = f"SELECT id FROM event NOT INDEXED WHERE 1{condition} ORDER BY id"
        first = connection.execute(f"{sql} LIMIT 1", parameters).fetchone()
        last = first and connection.execute(f"{sql} DESC LIMIT 1", parameters).fetchone()
        if first is None:
            etls = {}
    for kind, etl in etls.items():
        low, high = _MIN, _MAX
        if window is not None:  # without reading the kind's other rows, which would be slow
            low, high = _number_at(connection, kind, first[0]), _number_at(connection, kind, last[0] + 1) - 1
        rows = connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM event WHERE kind = ? AND n >= ? AND n <= ?{condition} ORDER BY n DESC",
            (kind, low, high, *parameters),
        )
        listed = ((row[-2], _event(row)) for row in rows)
        selected = ((epoch, event) for epoch, event in listed if window is None or window.contains(event.time))
        found[etl] += (((epoch, event.time), event) for epoch, event in islice(selected, limit))
    for entries in found.values():
        entries.sort(key=lambda entry: entry[0], reverse=True)
    lists = {etl: tuple(event for _, event in entries) for etl, entries in found.items()}
    return Document(lists, read_counts(connection))


def _number_at(connection: sqlite3.Connection, kind: str, id_: int) -> int:
    """Return the number, among the events of a kind, of the first one that has this id or a higher one.

    The numbers and the ids both grow with each event.
    """
    ends = "SELECT (SELECT min(n) FROM event WHERE kind = ?1), (SELECT max(n) FROM event WHERE kind = ?1)"
    first, last = connection.execute(ends, (kind,)).fetchone()

    def id_at(number: int) -> int:
        sql = "SELECT id FROM event WHERE kind = ? AND n >= ? ORDER BY n LIMIT 1"
        return int(connection.execute(sql, (kind, number)).fetchone()[0])

    return 0 if first is None else first + bisect_left(range(first, last + 1), id_, key=id_at)


def _in_window(window: Window) -> tuple[str, tuple[int, ...]]:
    """Return the SQL condition that an event's own time is in a window, and its parameters.

    A time that the column cannot hold is selected too if it could be in the window.
    """
    low = _MIN if window.start_ns is None else clamp(window.start_ns)
    high = _MAX if window.end_ns is None else clamp(window.end_ns - 1)
    return " AND time >= ? AND time <= ?", (low, high)


def _overlapping(window: Window) -> tuple[str, tuple[int, ...]]:
    """Return the SQL condition that the window of an event's set overlaps a window, and its parameters."""
    low = _MIN if window.start_ns is None else clamp(window.start_ns + 1)
    high = _MAX if window.end_ns is None else clamp(window.end_ns - 1)
    return " AND window_end >= ? AND window_start <= ?", (low, high)


def read_written(connection: sqlite3.Connection, run: str) -> int:
    """Return the number of the last event of a run that the journal has; 0 if it has none.

    Args:
        connection: The open journal.
        run: The id of the run.
    """
    row = connection.execute("SELECT count FROM tally WHERE name = ?", (run,)).fetchone()
    return int(row[0]) if row else 0


def unwritten(batches: Iterable[Batch], written: int) -> tuple[list[Entry], Counter[str]]:
    """Return the events that a journal does not have yet, and the numbers of further ones, by kind.

    Args:
        batches: The events that wait, in their order. They may have been written while they are read.
        written: The number of the last event of this process that the journal has.
    """
    waiting: list[Entry] = []
    numbers = Counter[str]()
    for entries, last, unlisted in batches:
        before = last - len(entries) - sum(unlisted.values())
        waiting += entries[max(0, written - before) :]
        if last > written:
            numbers.update(unlisted)
    return waiting, numbers


def waiting_document(batches: Iterable[Batch], written: int, etl_of: Callable[[str], str]) -> Document:
    """Return the document of the events that a journal does not have yet.

    Args:
        batches: The events that wait, in their order. They may have been written while they are read.
        written: The number of the last event of this process that the journal has.
        etl_of: Returns the name of the list of a kind.
    """
    waiting, counters = unwritten(batches, written)
    lists: dict[str, list[Event]] = {}
    for event, _, _ in waiting:
        lists.setdefault(etl_of(event.kind), []).append(event)
        counters[event.kind] += 1
    return Document({etl: tuple(reversed(events)) for etl, events in lists.items()}, counters)


def _event(row: Sequence[Any]) -> Event:
    """Return the event of a row.

    Raises:
        JournalError: The row has values that no event has.
    """
    try:
        return event_of(row)
    except (ValueError, TypeError) as error:
        raise JournalError(
            f"an event in the journal is damaged ({error}); the other events can be read by kind"
        ) from None


def read_events(
    connection: sqlite3.Connection, query: EventQuery, chunk: int = _CHUNK, seconds: float = _SECONDS
) -> EventPage:
    """Return a page of events, in the order of their arrival, the newest first.

    After some time, a page ends even if it is not full; its `next` continues from there.

    Args:
        connection: The open journal.
        query: Which events to list.
        chunk: How many rows to read between two checks of the clock.
        seconds: The maximum time for a page.

    Raises:
        JournalError: An event is damaged.
        ValueError: A kind or a run is unknown, or `before` is not the `next` of a page.
    """
    end = monotonic() + seconds
    before, last_run = _read_cursor(query.before)
    etls = _etls(connection, query.kinds)
    condition, parameters = "", list[Any]()
    is_rare = False
    if query.runs:
        if "last" in query.runs and last_run is None:
            last_run = next(iter(_find_runs(connection, ["last"])), None)
        runs = _find_runs(connection, [last_run or run if run == "last" else run for run in query.runs])
        condition += " AND run IN (SELECT value FROM json_each(?))"
        parameters.append(json.dumps(runs))
    if query.kinds or query.errors is not None:
        kinds = [kind for kind in etls if query.errors is None or Event(kind, 0).is_error is query.errors]
        counts = read_counts(connection)
        is_rare = sum(counts.get(kind, 0) for kind in kinds) <= _RARE
        condition += " AND kind IN (SELECT value FROM json_each(?))"
        parameters.append(json.dumps(kinds))
    for window, to_sql in ((query.window, _in_window), (query.set_window, _overlapping)):
        if window is not None:
            more, bounds = to_sql(window)
            condition += more
            parameters += bounds
    sql = (
        f"SELECT {EVENT_COLUMNS}, id FROM event {'INDEXED BY event_by_kind' if is_rare else 'NOT INDEXED'} "
        f"WHERE id < ? AND id >= ?{condition} ORDER BY id DESC LIMIT ?"
    )
    found = list[ListedEvent]()
    while before > 0 and len(found) < query.limit:
        low = 0 if is_rare else _chunk_start(connection, before, chunk)
        wanted = query.limit - len(found)
        rows = connection.execute(sql, (before, low, *parameters, wanted)).fetchall()
        for row in rows:
            event = _event(row[:-1])
            if query.selects(event):
                kind, *_, run, trace_id, span_id, _, _, id_ = row
                found.append(
                    ListedEvent(event, etls.get(kind, "other"), trace_id, span_id, run, _cursor(id_, last_run))
                )
        before = rows[-1][-1] if len(rows) == wanted else low
        if monotonic() > end:
            break
    is_last = before <= 0 or not connection.execute("SELECT 1 FROM event WHERE id < ?", (before,)).fetchone()
    return EventPage(tuple(found), None if is_last else _cursor(before, last_run))


def _chunk_start(connection: sqlite3.Connection, before: int, size: int) -> int:
    """Return the id at which the next rows to read begin; 0 if there are no rows below them."""
    sql = "SELECT id FROM event WHERE id < ? ORDER BY id DESC LIMIT 1 OFFSET ?"
    row = connection.execute(sql, (before, size - 1)).fetchone()
    return row[0] if row else 0


def _cursor(id_: int, run: str | None) -> str:
    """Return the `next` of a page. It holds the run that `last` stands for, because a newer one may start meanwhile."""
    return f"{id_}-{run}" if run else str(id_)


def _read_cursor(text: str | None) -> tuple[int, str | None]:
    if text is None:
        return _MAX, None
    match = _CURSOR.fullmatch(text)
    if not match:
        raise ValueError(f"before must be the `next` of the previous page, got {short_repr(text)}")
    return min(int(match[1]), _MAX), match[2]


def _find_runs(connection: sqlite3.Connection, references: Iterable[str]) -> list[str]:
    """Return the ids of the selected runs and of their descendants."""
    rows = connection.execute("SELECT id, parent FROM run ORDER BY started DESC, id").fetchall()
    known = {id_ for id_, _ in rows}
    runs = [{"id": id_, "parent": parent if parent in known else None} for id_, parent in rows]
    return [id_ for reference in references for id_ in find_runs(runs, reference)]
