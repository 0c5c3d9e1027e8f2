"""What is read from a journal: counters, the log document, pages of events, and runs."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import DOCUMENTED, KINDS, Event
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import format_time
from otel_kcevents.model.window import Window
from otel_kcevents.store.journal_connection import check_header
from otel_kcevents.store.journal_errors import JournalError
from otel_kcevents.store.journal_rows import EVENT_COLUMNS, event_of
from otel_kcevents.store.query import EventPage, EventQuery, ListedEvent, find_runs

__all__ = ["open_to_read", "read_counts", "read_document", "read_events", "read_runs"]

_MIN, _MAX = -(2**63), 2**63 - 1


@contextmanager
def open_to_read(path: str) -> Iterator[sqlite3.Connection]:
    """Open a journal for reading, in one transaction: what is read is consistent.

    Args:
        path: The absolute path of the file.

    Raises:
        JournalError: The file cannot be read.
    """
    if not os.path.exists(path):
        raise JournalError(f"{path} does not exist; expected a journal, which configure(log_file=...) writes")
    try:
        check_header(path)
        with closing(sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)) as connection:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be read: {error}") from error


def read_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of events of each kind, in alphabetical order, without zeros."""
    return dict(connection.execute("SELECT kind, count FROM counter WHERE count > 0 ORDER BY kind"))


def _kinds(connection: sqlite3.Connection, prefixes: Sequence[str]) -> dict[str, str]:
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
    where, parameters = _in_window("time", window)
    found: dict[str, list[tuple[tuple[int, int], Event]]] = {etl: [] for etl in DOCUMENTED}
    for kind, etl in _kinds(connection, kinds).items():
        rows = connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM event WHERE kind = ?{where} ORDER BY n DESC LIMIT ?",
            (kind, *parameters, limit),
        )
        events = [(row[-2], event_of(row)) for row in rows]
        found.setdefault(etl, []).extend(((epoch, event.time), event) for epoch, event in events)
    for entries in found.values():
        entries.sort(key=lambda entry: entry[0], reverse=True)
    return Document(
        {etl: tuple(event for _, event in entries) for etl, entries in found.items()}, read_counts(connection)
    )


def _in_window(column: str, window: Window | None) -> tuple[str, list[int]]:
    """Return the SQL condition that a time is in a window, and its parameters."""
    if window is None:
        return "", []
    start = _MIN if window.start_ns is None else max(_MIN, window.start_ns)
    end = _MAX if window.end_ns is None else min(_MAX, window.end_ns)
    return f" AND {column} >= ? AND {column} < ?", [start, end]


def read_events(connection: sqlite3.Connection, query: EventQuery) -> EventPage:
    """Return a page of events, in the order of their arrival, the newest first.

    Args:
        connection: The open journal.
        query: Which events to list.

    Raises:
        ValueError: A kind is unknown, or `before` is not the `next` of a page.
    """
    where, parameters = ["1"], list[Any]()
    if query.before is not None:
        if not query.before.isdecimal() or not query.before.isascii():
            raise ValueError(f"before must be the `next` of the previous page, got {short_repr(query.before)}")
        where.append("id < ?")
        parameters.append(min(int(query.before), _MAX))
    selected = _kinds(connection, query.kinds)
    if query.errors is not None:
        selected = {kind: etl for kind, etl in selected.items() if Event(kind, 0).is_error is query.errors}
    if query.kinds or query.errors is not None:
        where.append(f"kind IN ({', '.join('?' * len(selected))})")
        parameters += selected
    if query.runs:
        where.append("run IN (SELECT value FROM json_each(?))")
        parameters.append(json.dumps(_run_ids(connection, query.runs)))
    condition, ends = _in_window("time", query.window)
    parameters += ends
    if query.set_window is not None:
        start, end = query.set_window.start_ns, query.set_window.end_ns
        condition += " AND window_end > ? AND window_start < ?"
        parameters += [_MIN if start is None else start, _MAX if end is None else end]
    rows = connection.execute(
        f"SELECT {EVENT_COLUMNS}, id FROM event WHERE {' AND '.join(where)}{condition} ORDER BY id DESC LIMIT ?",
        (*parameters, query.limit + 1),
    ).fetchall()
    listed = tuple(_listed(row, selected) for row in rows[: query.limit])
    return EventPage(listed, listed[-1].cursor if len(rows) > query.limit else None)


def _run_ids(connection: sqlite3.Connection, references: Iterable[str]) -> list[str]:
    """Return the ids of the selected runs and of their descendants."""
    rows = connection.execute("SELECT id, parent FROM run ORDER BY started DESC, id").fetchall()
    known = {id_ for id_, _ in rows}
    runs = [{"id": id_, "parent": parent if parent in known else None} for id_, parent in rows]
    return [id_ for reference in references for id_ in find_runs(runs, reference)]


def _listed(row: Sequence[Any], etls: dict[str, str]) -> ListedEvent:
    *_, run, trace_id, span_id, _, _, number = row
    return ListedEvent(event_of(row[:-1]), etls[row[0]], trace_id, span_id, run, str(number))


def read_runs(connection: sqlite3.Connection, is_running: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the runs, the newest first, in the form of `GET /model/etl/runs`.

    A run that has no end and no process was killed. `allEvents` and `allErrors` include those of its descendants.

    Args:
        connection: The open journal.
        is_running: Returns whether the process of a run exists, given the run's id.
    """
    rows = connection.execute(
        "SELECT id, parent, run.name, program, service, host, pid, started, ended, outcome, detail, trace_id, "
        "count, errors, last FROM run LEFT JOIN tally ON tally.name = run.id ORDER BY started DESC, id"
    ).fetchall()
    known = {row[0] for row in rows}
    runs = {row[0]: _run(row, known, is_running) for row in rows}
    for run in runs.values():
        counted = set[str]()
        above: str | None = run["id"]
        while above is not None and above not in counted:  # other programs may write to the file
            counted.add(above)
            runs[above]["allEvents"] += run["events"]
            runs[above]["allErrors"] += run["errors"]
            above = runs[above]["parent"]
    return list(runs.values())


def _run(row: Sequence[Any], known: Iterable[str], is_running: Callable[[str], bool]) -> dict[str, Any]:
    (
        id_,
        parent,
        name,
        program,
        service,
        host,
        pid,
        started,
        ended,
        outcome,
        detail,
        trace_id,
        events,
        errors,
        last,
    ) = row
    if is_running(id_):
        ended, outcome, detail = None, "running", None
    elif outcome is None:
        outcome = "killed"
    return {
        "id": id_,
        "parent": parent if parent in known else None,
        "name": name,
        "program": program,
        "service": service,
        "host": host,
        "pid": pid,
        "started": format_time(started),
        "ended": None if ended is None else format_time(ended),
        "lastEvent": None if last is None else format_time(last),
        "outcome": outcome,
        "detail": detail,
        "traceId": trace_id,
        "events": events or 0,
        "errors": errors or 0,
        "allEvents": 0,
        "allErrors": 0,
    }
