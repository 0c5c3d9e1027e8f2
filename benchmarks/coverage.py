"""The coverage of a journal: of a year and of a week, from its summary and from all of its events."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from tempfile import TemporaryDirectory
from time import time_ns

from benchmarks.measure import Rounds, Row, Side, alternate
from otel_kcevents import Event, Journal, Window
from otel_kcevents.model.timestamps import DAY, SECOND
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import Batch, Entry
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.run import current_run

__all__ = ["rows"]

_HOUR = 3_600 * SECOND
_YEAR = 365 * DAY
_BATCH = 256
_KINDS = [
    f"{name}{suffix}"
    for name in ("AllocationSet", "AssetSet")
    for suffix in ("Saved", "Loaded", "Aggregated", "Totaled", "Reconciled")
]


def rows(quick: bool) -> Iterator[Row]:
    """Measure coverages of a year of hourly sets of two etls, whose windows have one event each, or many."""
    now = time_ns() // _HOUR * _HOUR
    numbers, rounds = ((1_000, 10_000), 3) if quick else ((10_000, 1_000_000), 15)
    year, week = (CoverageQuery(Window.from_ns(now - days * DAY, now)) for days in (365, 7))
    with TemporaryDirectory() as folder:
        few, many = (_journal(f"{folder}/{number}.db", number, now) for number in numbers)
        whole = _without_summary(many.path, f"{folder}/whole.db")
        measured = {
            "a year": alternate([_side(many, year), _side(whole, year)], rounds, 1),
            "7 days": alternate([_side(many, week), _side(few, week)], 2 * rounds, 1),
        }
        total, small = f"{numbers[1]:,}", f"{numbers[0]:,}"
        what = f"coverage of a journal of {total} events, two etls with 5 operations and hourly sets"
        yield Row(f"{what}: a year", "", _own(measured["a year"]), "ms", "200")
        yield Row(f"{what}: a year", "all events, without the summary", measured["a year"], "µs")
        yield Row(f"{what}: 7 days", "", _own(measured["7 days"]), "ms", "20")
        yield Row(f"{what}: 7 days", f"of {small} events", measured["7 days"], "µs")


def _side(journal: Journal, query: CoverageQuery) -> Side:
    return lambda times: [coverage(journal, query) for _ in range(times)]


def _own(rounds: Rounds) -> Rounds:
    """Return the milliseconds of the first side."""
    return [[ours / 1e3] for ours, _ in rounds]


def _journal(path: str, number: int, now: int) -> Journal:
    """Create a journal with the events of a year of hours, several for the same window if there are more."""
    repeats = -(-number // (_YEAR // _HOUR * len(_KINDS)))
    hours = number // repeats // len(_KINDS)
    starts = (now - hour * _HOUR for hour in range(hours, 0, -1) for _ in range(repeats))
    events = (
        Event(kind, start + 2 * _HOUR, None if kind.endswith(("Totaled", "Reconciled")) else 97, window)
        for start in starts
        for window in [Window.from_ns(start, start + _HOUR)]
        for kind in _KINDS
    )
    with closing(JournalFile(path, None, None, etl_of)) as file:
        last = 0
        while entries := tuple(Entry(event, 1, 1) for event in islice(events, min(_BATCH, number - last))):
            last += len(entries)
            file.write(current_run(), Batch(entries, last), 5)
        file.end(current_run(), "ended", None, 5, is_final=False)
    return Journal(path)


def _without_summary(path: str, copy: str) -> Journal:
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("DELETE FROM coverage")
        connection.execute("UPDATE tally SET count = 0 WHERE name = 'summary'")
    return Journal(copy)
