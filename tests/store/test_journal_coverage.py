"""What a journal knows about windows and kinds: the same as all of its events say, at any moment."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from time import time_ns
from typing import Any

import pytest
from conftest import clean_environment
from journals import run_of, write
from troubled import HOLD_FLOCK, Writer, other_process

from otel_kcevents import Event, Journal, JournalError, Window
from otel_kcevents.model.event import MAX_SIZE, Failure
from otel_kcevents.model.resolution import resolution_of
from otel_kcevents.model.timestamps import DAY, SECOND
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import MIGRATIONS, Batch, Entry
from otel_kcevents.store.log import EventLog, etl_of
from otel_kcevents.store.totals import KindTotals
from otel_kcevents.store.window_results import WindowResults, results_of

HOUR = 3_600 * SECOND
START = 19_000 * DAY
LENGTHS = (HOUR, HOUR, HOUR, DAY, DAY - HOUR, 900 * SECOND, 61_500_000_000, 7 * DAY, 31 * DAY)
KINDS = [f"{name}{suffix}" for name in ("AllocationSet", "AssetSet") for suffix in ("Saved", "Loaded", "Reconciled")]
SAVED = "AssetSetSaved"
FAILED = "AssetSetComputeError"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a journal."""
    return tmp_path / "kcevents.db"


@pytest.fixture(params=[1, 2])
def old(request: pytest.FixtureRequest, path: Path) -> Path:
    """The path of a journal of an older version, with the failure of a set and one that was saved."""
    return Path(shutil.copy(Path(__file__).with_name(f"version_{request.param}.db"), path))


def open_file(
    path: Path, retention: int | None = None, max_age: int | None = None, migrations: tuple[str, ...] = MIGRATIONS
) -> closing[JournalFile]:
    return closing(JournalFile(str(path), retention, max_age, etl_of, migrations))


def hour(number: int) -> Window:
    return Window.from_ns(START + number * HOUR, START + (number + 1) * HOUR)


def append(file: JournalFile, first: int, count: int, kind: str = SAVED, time: int = 0) -> None:
    """Write the events of the hours *first*, *first* + 1 and so on, each in a transaction."""
    for number in range(first, first + count):
        entry = Entry(Event(kind, time or time_ns(), 1, hour(number)), 0, 0)
        file.write(run_of("a"), Batch((entry,), number + 1), 5)


def random_event(random: Random, time: int) -> Event:
    """An event with or without a window, of any kind."""
    length = random.choice(LENGTHS)
    start = START + random.randrange(40) * length
    window: Window | None = Window.from_ns(start, start + length)
    if random.random() < 0.1:
        window = random.choice(
            [None, Window.from_ns(None, start), Window.from_ns(start, start), Window.from_ns(start, None)]
        )
    if random.random() < 0.3:
        kind = random.choice([FAILED, "AllocationSetComputeError", "AssetSetReconcileError"])
        operation = random.choice([None, "save", "load", "compute", "reconcile", "publish"])
        return Event(kind, time, None, window, Failure("ValueError", f"no {time}", operation))
    kind = random.choice(KINDS)
    size = None if kind.endswith("Reconciled") else random.choice([None, 0, 97, 2**62])
    return Event(kind, time, size, window)


def merged(results: WindowResults) -> tuple[object, ...]:
    """Return what results say, in one form: each window once, and in order."""
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for result in sorted(results.results, key=lambda result: result.order):
        events, *_ = found.get(result[:5], [0])
        failure = result.failure and result.failure[:2]
        found[result[:5]] = (events + result.events, result.time, result.size, failure)
    newest: dict[tuple[Any, ...], tuple[int, int]] = {}
    for result in results.newest:
        key = *result[:3], resolution_of(result.start, result.end)
        newest[key] = max(newest.get(key, (0, 0)), (result.start, result.end))
    without = {result[:3]: (result.events, result.time) for result in results.without_window}
    return found, newest, without, results.regular, results.first


def check(journal: Journal, log: EventLog) -> None:
    """Compare what a journal and a log of the same events know."""
    for range_ in ((START, START + 30 * DAY), (START + 5 * HOUR, START + 6 * HOUR), (START - DAY, START)):
        assert merged(journal.window_results(*range_)) == merged(results_of(log.document(limit=10**6), *range_))
    assert journal.totals() == tuple(
        total._replace(records=total.records and min(total.records, MAX_SIZE)) for total in log.totals()
    )


@pytest.mark.parametrize("seed", range(2))
def test_results_are_those_of_all_events(path: Path, seed: int) -> None:
    """Before and after events are added to the summary, at the end of programs, and while the file is locked."""
    random, log, journal = Random(seed), EventLog(10**6), Journal(path)
    number = 0
    with open_file(path) as other:
        for _ in range(8):
            for _ in range(random.randrange(60)):
                number += 1
                event = random_event(random, START + number)
                log.append(event, number)
                journal(event)
            events = [random_event(random, START + number + n) for n in range(1, random.randrange(256))]
            for n, event in enumerate(events):
                log.append(event, number + n + 1)
            number += len(events)
            other.write(run_of("a"), Batch(tuple(Entry(event, 0, 0) for event in events), number), 5)
            if random.random() < 0.3:
                other.end(run_of("a"), "ended", None, 5, is_final=False)
            check(journal, log)
    path.with_name("copy").mkdir()
    with other_process(HOLD_FLOCK, path):
        for _ in range(20):
            number += 1
            event = random_event(random, START + number)
            log.append(event, number)
            journal(event)
        check(journal, log)


def test_events_of_a_killed_program_count(path: Path) -> None:
    writer = Writer(path, clean_environment())
    writer.emit(0, 700)
    writer.process.kill()
    writer.end()
    [totals] = Journal(path).totals()
    assert (totals.etl, totals.kind, totals.events, totals.records) == ("asset", SAVED, 700, sum(range(700)))


def test_events_that_are_only_counted_have_no_other_totals(path: Path) -> None:
    entry = Entry(Event(SAVED, START, 5), 0, 0)
    with open_file(path) as file:
        file.write(run_of("a"), Batch((entry,), 10, {SAVED: 6, FAILED: 3}), 5)
    assert Journal(path).totals() == (KindTotals("asset", SAVED, 7, 5, START, {}),)


def test_latest_event_is_known_after_the_clock_is_set_back(path: Path) -> None:
    with open_file(path) as file:
        append(file, 0, 1, time=START + DAY)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tally SET last = last + ? WHERE name = 'clock'", (DAY,))
    with open_file(path) as file:
        file.end(run_of("b"), "ended", None, 5, is_final=False)
        file.write(run_of("c"), Batch((Entry(Event(SAVED, START, 5), 0, 0),), 1), 5)
        assert Journal(path).totals()[0].last_event == START
        file.end(run_of("c"), "ended", None, 5, is_final=False)
    assert Journal(path).totals()[0].last_event == START


def test_older_journal_is_read_without_its_summary(old: Path) -> None:
    content = old.read_bytes()
    results, totals = Journal(old).window_results(0, 2 * START), Journal(old).totals()
    assert old.read_bytes() == content
    assert {(result.operation, result.is_error) for result in results.newest} == {("save", False)} | {
        (result.operation, True) for result in results.results if result.is_error
    }
    assert [(total.kind, total.records) for total in totals] == [(FAILED, None), (SAVED, totals[1].records)]
    with open_file(old) as file:
        file.end(run_of("a"), "ended", None, 5, is_final=False)
    assert merged(Journal(old).window_results(0, 2 * START)) == merged(results)
    assert Journal(old).totals() == totals


def test_deleted_events_of_an_older_journal_are_unknown(path: Path) -> None:
    with open_file(path, retention=10, migrations=MIGRATIONS[:2]) as file:
        append(file, 0, 200, time=START)
        append(file, 200, 50, time=START + DAY)
    known_since = Journal(path).window_results(START, START + HOUR).known_since
    assert {*known_since} == {("asset", "save")}
    with open_file(path) as file:
        append(file, 250, 1)
    assert Journal(path).window_results(START, START + HOUR).known_since == known_since


def test_older_journal_is_summarized_step_by_step(path: Path) -> None:
    """No event is deleted before that."""
    with open_file(path, migrations=MIGRATIONS[:2]) as file:
        for first in range(0, 3000, 250):
            entries = tuple(Entry(Event(SAVED, START, 1, hour(first + n)), 0, 0) for n in range(250))
            file.write(run_of("a"), Batch(entries, first + 250), 5)
    with open_file(path, retention=100) as file:
        append(file, 3000, 1)
        with closing(sqlite3.connect(path)) as connection:
            assert 0 < connection.execute("SELECT windows FROM total").fetchone()[0] < 3000
            assert connection.execute("SELECT count(*) FROM event").fetchone()[0] > 2000
        file.keep(None, None)
        file.end(run_of("a"), "ended", None, 5, is_final=False)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count FROM tally WHERE name = 'summary'").fetchone() == (3001,)
    assert Journal(path).totals() == (
        KindTotals("asset", SAVED, 3001, 3001, Journal(path).totals()[0].last_event, {"hourly": START + 3001 * HOUR}),
    )


def test_windows_are_known_after_their_events_are_deleted(path: Path) -> None:
    with open_file(path, retention=500) as file:
        for _ in range(3):
            file.write(run_of("a"), Batch(), 5)
        for number in range(1000):
            entry = Entry(Event(SAVED, START + number, 1, hour(number % 300)), 0, 0)
            file.write(run_of("a"), Batch((entry,), number + 1), 5)
    results = Journal(path).window_results(START, START + 300 * HOUR)
    assert sum(result.events for result in results.results) == 1000
    assert results.known_since == {}


def test_newest_windows_of_each_kind_are_kept(path: Path) -> None:
    with open_file(path, retention=100) as file:
        file.write(run_of("b"), Batch((Entry(Event(FAILED, START, None, hour(0)), 0, 0),), 1), 5)
        append(file, 0, 1000)
        file.end(run_of("a"), "ended", None, 5, is_final=False)
    results = Journal(path).window_results(START, START + 1000 * HOUR)
    starts = sorted(result.start for result in results.results if not result.is_error)
    assert starts == [hour(number).start_ns for number in range(1000 - len(starts), 1000)]
    assert 100 <= len(starts) <= 100 + 64
    [last] = results.known_since.values()
    assert last > START
    assert [result.start for result in results.results if result.is_error] == [START]
    now = START + 1000 * HOUR
    [row] = coverage(Journal(path), CoverageQuery(Window.from_ns(now - HOUR, now), now=now)).rows
    assert (row.operation, row.first, row.to_dict()["first"]) == ("save", None, None)


def test_first_window_is_not_known_once_failures_are_deleted(path: Path) -> None:
    """They may have been of any operation."""
    now = time_ns()
    with open_file(path, max_age=DAY) as file:
        entries = (Entry(Event(FAILED, now - 2 * DAY, None, hour(number)), 0, 0) for number in range(2))
        file.write(run_of("a"), Batch(tuple(entries), 2), 5)
        append(file, 2, 1)
        file.end(run_of("a"), "ended", None, 5, is_final=False)
    results = Journal(path).window_results(START, START + HOUR)
    assert results.known_since == {}
    assert results.lost == {("asset", None)}
    [row] = coverage(Journal(path), CoverageQuery(Window.from_ns(START, START + HOUR))).rows
    assert (row.operation, row.first) == ("save", None)


def test_newest_window_of_a_length_is_kept(path: Path) -> None:
    """So a pipeline that no longer runs differs from one that never ran; the metrics keep their values."""
    now = time_ns()
    old = tuple(Entry(Event(SAVED, now - 2 * DAY, 1, hour(number)), 0, 0) for number in range(200))
    with open_file(path, max_age=DAY) as file:
        file.write(run_of("a"), Batch(old, 200), 5)
        append(file, 200, 1, kind="AssetSetLoaded")
        file.end(run_of("a"), "ended", None, 5, is_final=False)
    results = Journal(path).window_results(START, START + 300 * HOUR)
    assert [result.start for result in results.results if result.operation == "save"] == [hour(199).start_ns]
    assert results.known_since == {("asset", "save"): now - 2 * DAY}
    assert Journal(path).totals()[1] == KindTotals(
        "asset", SAVED, 200, 200, now - 2 * DAY, {"hourly": START + 200 * HOUR}
    )


def test_failures_before_the_range_do_not_make_a_row(path: Path) -> None:
    with open_file(path) as file:
        append(file, 0, 1, kind=FAILED)
        file.end(run_of("a"), "ended", None, 5, is_final=False)
    days = [CoverageQuery(Window.from_ns(START + day * DAY, START + (day + 1) * DAY)) for day in range(2)]
    assert [len(coverage(Journal(path), query).rows) for query in days] == [1, 0]


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE coverage",
        "DROP TABLE total",
        "DELETE FROM tally WHERE name = 'summary'",
        "UPDATE event SET time = 'x', size = 'y'",
    ],
)
def test_events_are_written_without_the_summary(path: Path, damage: str) -> None:
    """Another program has damaged it; events are deleted nevertheless."""
    with open_file(path, retention=100) as file:
        append(file, 0, 1)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(damage)
        append(file, 1, 600)
        file.end(run_of("a"), "ended", None, 5, is_final=False)
    assert Journal(path).counts() == {SAVED: 601}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone()[0] <= 100 + 64


def test_exceptions_of_signal_handlers_keep_the_summary(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise, events would be deleted that are not in it."""

    class InterruptError(Exception):
        pass

    def interrupt() -> int:
        raise InterruptError

    with open_file(path, retention=10, max_age=DAY) as file:
        append(file, 0, 1)
        with monkeypatch.context() as inside:
            inside.setattr("otel_kcevents.store.journal_retention.time_ns", interrupt)
            with pytest.raises(InterruptError):
                file.end(run_of("a"), "ended", None, 5, is_final=False)
        append(file, 1, 600)
    assert [totals.records for totals in Journal(path).totals()] == [601]


def test_damaged_summary_is_an_error_for_a_reader(path: Path) -> None:
    write(path, run_of("a"), Event(SAVED, START))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE total")
    with pytest.raises(JournalError, match="cannot be read: no such table: total"):
        Journal(path).totals()


def test_windows_of_centuries_have_no_state(path: Path) -> None:
    """They are as good as open: their lengths are not integers of the file."""
    ages = Window.from_ns(-(2**62) - 2**61, 2**62)
    write(path, run_of("a"), Event(FAILED, START, None, ages), Event(SAVED, START, 1, ages))
    results = Journal(path).window_results(START, START + HOUR)
    assert [(result.operation, result.events) for result in results.without_window] == [(None, 1)]
    assert (results.results, results.newest) == ((), ())
    assert [totals.window_ends for totals in Journal(path).totals()] == [{"other": 2**62}] * 2


@pytest.mark.parametrize("is_summarized", [False, True])
def test_kinds_of_other_packages_are_ignored(path: Path, is_summarized: bool) -> None:
    with open_file(path) as file:
        append(file, 0, 1)
        if is_summarized:
            file.end(run_of("a"), "ended", None, 5, is_final=False)
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, column in (("event", "kind"), ("coverage", "kind"), ("total", "kind"), ("tally", "name")):
            connection.execute(f"UPDATE {table} SET {column} = 'AssetSetPublished' WHERE {column} = ?", (SAVED,))
    assert Journal(path).totals() == ()
    assert Journal(path).window_results(START, START + DAY).results == ()


def test_many_old_windows_are_deleted_step_by_step(path: Path) -> None:
    now, most = time_ns(), 8192
    with open_file(path) as file:
        for first in range(0, most + 1024, 256):
            failures = (Event(FAILED, now - 2 * DAY, None, hour(first + n)) for n in range(256))
            entries = tuple(Entry(failure, 0, 0) for failure in failures)
            file.write(run_of("a"), Batch(entries, first + 256), 5)
        file.end(run_of("a"), "ended", None, 5, is_final=False)
        file.keep(None, DAY)
        left = []
        for _ in range(3):
            file.end(run_of("a"), "ended", None, 5, is_final=False)
            left.append(len(Journal(path).window_results(START, START + 20_000 * HOUR).results))
    assert left == [1024, 1, 1]
    assert Journal(path).window_results(START, START + HOUR).known_since == {}


def test_summary_resumes_a_minute_after_a_failure(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr("otel_kcevents.store.journal_summary.monotonic", lambda: clock)
    with open_file(path) as file:
        append(file, 0, 1)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("ALTER TABLE total RENAME TO other")
        file.end(run_of("a"), "ended", None, 5, is_final=False)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("ALTER TABLE other RENAME TO total")
            for seconds, summarized in ((59, 0), (61, 1)):
                clock = 1000.0 + seconds
                file.end(run_of("a"), "ended", None, 5, is_final=False)
                mark = connection.execute("SELECT count FROM tally WHERE name = 'summary'")
                assert mark.fetchone() == (summarized,)
