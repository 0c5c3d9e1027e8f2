"""The tables of a journal, and the conversion between events and their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import DOCUMENTED, KINDS, Event, Failure
from otel_kcevents.model.window import Window

__all__ = [
    "APPLICATION_ID",
    "EVENT_COLUMNS",
    "INSERT_EVENT",
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "Batch",
    "Entry",
    "clamp",
    "event_of",
    "row_of",
]

APPLICATION_ID = 0x6B636576
"""Marks an SQLite file as a journal (`PRAGMA application_id`): the characters `kcev`."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        n INTEGER NOT NULL,
        time INTEGER NOT NULL,
        size INTEGER,
        window_start INTEGER,
        window_end INTEGER,
        error_type TEXT,
        error_message TEXT,
        operation TEXT,
        run TEXT NOT NULL,
        trace_id TEXT,
        span_id TEXT,
        epoch INTEGER NOT NULL,
        exact TEXT
    );
    CREATE UNIQUE INDEX event_by_kind ON event (kind, n);
    CREATE TABLE tally (
        name TEXT PRIMARY KEY,
        etl TEXT,
        count INTEGER NOT NULL DEFAULT 0,
        errors INTEGER NOT NULL DEFAULT 0,
        last INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        parent TEXT,
        name TEXT NOT NULL,
        program TEXT NOT NULL,
        service TEXT,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        started INTEGER NOT NULL,
        ended INTEGER,
        outcome TEXT,
        detail TEXT,
        trace_id TEXT
    ) WITHOUT ROWID;
    CREATE TABLE problem (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL,
        time INTEGER NOT NULL,
        message TEXT NOT NULL
    );
    CREATE VIEW counter AS SELECT name AS kind, count FROM tally WHERE etl IS NOT NULL ORDER BY name;
    INSERT INTO tally (name, count, last) VALUES ('clock', 0, 0);
    """,
    """
    CREATE TABLE call (
        run TEXT NOT NULL,
        entry TEXT NOT NULL,
        function TEXT NOT NULL,
        calls INTEGER NOT NULL,
        events INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        sizes_missing INTEGER NOT NULL,
        windows_missing INTEGER NOT NULL,
        PRIMARY KEY (run, entry, function)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE coverage (
        kind TEXT NOT NULL,
        operation TEXT NOT NULL,
        length INTEGER NOT NULL,
        start INTEGER NOT NULL,
        events INTEGER NOT NULL,
        last_id INTEGER NOT NULL,
        time INTEGER NOT NULL,
        size INTEGER,
        error_type TEXT,
        error_message TEXT,
        PRIMARY KEY (kind, operation, length, start)
    ) WITHOUT ROWID;
    CREATE TABLE total (
        kind TEXT PRIMARY KEY,
        records INTEGER,
        last INTEGER,
        epoch INTEGER NOT NULL DEFAULT 0,
        hourly INTEGER,
        daily INTEGER,
        other INTEGER,
        windows INTEGER NOT NULL DEFAULT 0,
        known_since INTEGER
    ) WITHOUT ROWID;
    CREATE TRIGGER coverage_insert AFTER INSERT ON coverage BEGIN
        UPDATE total SET windows = windows + 1 WHERE kind = new.kind;
    END;
    CREATE TRIGGER coverage_delete AFTER DELETE ON coverage BEGIN
        UPDATE total SET windows = windows - 1 WHERE kind = old.kind;
    END;
    INSERT INTO total (kind, known_since) SELECT name, (
        SELECT time FROM event WHERE kind = name AND n = (SELECT min(n) FROM event WHERE kind = name) AND n > 1
    ) FROM tally WHERE etl IS NOT NULL;
    INSERT INTO tally (name) VALUES ('summary');
    """,
)
"""The statements that lead from each version of the schema to the next."""

SCHEMA_VERSION = len(MIGRATIONS)
"""The version of the schema that this package writes (`PRAGMA user_version`)."""

EVENT_COLUMNS = (
    "kind, time, size, window_start, window_end, error_type, error_message, operation, run, trace_id, span_id, epoch, "
    "exact"
)
"""The columns of a row that `row_of` returns and `event_of` reads."""

INSERT_EVENT = (
    f"INSERT INTO event (n, {EVENT_COLUMNS}) SELECT count, {', '.join(f'?{place}' for place in range(1, 14))} "
    "FROM tally WHERE name = ?1"
)
"""Adds a row; its number is the count of its kind."""

_MIN, _MAX = -(2**63), 2**63 - 1  # SQLite's integers; also what an open end of a window is stored as


class Entry(NamedTuple):
    """An event as it waits to be written, with the ids of its span and trace: 0 for none."""

    event: Event
    span_id: int
    trace_id: int


class Batch(NamedTuple):
    """Events that are written in one transaction, all or none.

    Attributes:
        entries: The events; none to only register the run.
        last: How many events the run has recorded, up to the last one of this batch. A batch whose `last` is not
            higher than the number in the file has been written.
        unlisted: The numbers, by kind, of further events that are only counted, because too many were waiting.
    """

    entries: tuple[Entry, ...] = ()
    last: int = 0
    unlisted: Mapping[str, int] = MappingProxyType({})


def row_of(entry: Entry, run: str, epoch: int) -> tuple[Any, ...]:
    """Return the row of an event.

    Args:
        entry: The event.
        run: The id of the run that recorded it.
        epoch: How often the clock had been set back.
    """
    event, span_id, trace_id = entry
    kind, time, size, window, failure, _ = event
    start = end = exact = None
    error_type, message, operation = failure or (None, None, None)
    if window is not None:
        start, end = window.start_ns, window.end_ns
        start = _MIN if start is None else start
        end = _MAX if end is None else end
    if not _is_storable(event):
        exact = json.dumps(event.to_dict())
        time = clamp(time)
        start, end = start and clamp(start), end and clamp(end)
        error_type, message, operation = (
            text and text.encode(errors="replace").decode() for text in (error_type, message, operation)
        )
    return (
        *(kind, time, size, start, end, error_type, message, operation, run),
        f"{trace_id:032x}" if trace_id else None,
        f"{span_id:016x}" if span_id else None,
        epoch,
        exact,
    )


def _is_storable(event: Event) -> bool:
    """Return whether the columns represent an event exactly: all but times before 1678 or after 2262, for example."""
    _, time, _, window, failure, _ = event
    if not _MIN < time < _MAX:
        return False
    if window is not None:
        start, end = window.start_ns, window.end_ns
        if not ((start is None or _MIN < start < _MAX) and (end is None or _MIN < end < _MAX)):
            return False
    try:
        for text in failure or ():
            if text is not None:
                text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def clamp(time: int) -> int:
    """Return the nearest time that a column can hold, from 1678 to 2262.

    Args:
        time: A time, in nanoseconds since 1970.
    """
    return max(_MIN, min(time, _MAX))


def event_of(row: Sequence[Any]) -> Event:
    """Return the event of a row.

    Args:
        row: The columns of `EVENT_COLUMNS`.
    """
    kind, time, size, start, end, error_type, message, operation, _, _, _, _, exact = row
    if exact is not None:
        etl = KINDS[kind].etl if kind in KINDS else "other"
        lists: dict[str, list[Any]] = {etl: [] for etl in DOCUMENTED} | {etl: [json.loads(exact)]}
        text = json.dumps({"code": 200, "data": {**lists, "counters": {kind: 1}}})
        return read_document(text).lists[etl][0]
    window = None
    if start is not None:
        window = _window(start, end)
    failure = None if error_type is None else Failure(error_type, message, operation)
    return Event(kind, time, size, window, failure)


@lru_cache(maxsize=1024)  # the steps of a pipeline have the same window
def _window(start: int, end: int) -> Window:
    return Window.from_ns(None if start == _MIN else start, None if end == _MAX else end)
