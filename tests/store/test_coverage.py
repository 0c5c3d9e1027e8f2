"""`coverage()`: which result decides, what a failure counts for, what is expected, and what a query may ask for."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from otel_kcevents import EventLog, Journal
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import DAY, MAX_NS, MIN_NS, SECOND, to_ns
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage import Coverage, CoverageQuery, CoverageRow, CoveredWindow, cover, coverage
from otel_kcevents.store.source import Source
from otel_kcevents.store.window_results import results_of

HOUR = 3_600 * SECOND
NOON = to_ns("2024-05-01T12:00:00Z")
TODAY = CoverageQuery(Window.of("2024-05-01"), now=NOON)
FULL = Failure("OSError", "disk full", "save")
ETLS = {"Allocation": "allocation", "Asset": "asset", "CloudCost": "cloud", "OtherSaved": "allocation"}
SAVED, FAILED = "AllocationSetSaved", "AllocationSetComputeError"


def hour(number: int, length: int = HOUR) -> Window:
    """A window that begins at this hour of the day."""
    start = NOON + (number - 12) * HOUR
    return Window.from_ns(start, start + length)


class Saved:
    """A source with events in the order in which they arrived, one a second unless an event has its own time."""

    def __init__(self, *events: Event) -> None:
        timed = [event._replace(time=event.time or NOON - HOUR + n * SECOND) for n, event in enumerate(events)]
        lists: dict[str, list[Event]] = {etl: [] for etl in ETLS.values()}
        for event in reversed(timed):
            lists[ETLS[event.kind.partition("Set")[0]]].append(event)
        counters = Counter(event.kind for event in timed)
        self._document = Document({etl: tuple(listed) for etl, listed in lists.items()}, counters)

    def counts(self) -> dict[str, int]:
        return dict(self._document.counters)

    def document(self, kinds: Any = (), window: Any = None, limit: int = 256) -> Document:
        return self._document


def event(kind: str, window: Window | None, size: int | None = None, failure: Failure | None = None) -> Event:
    return Event(kind, 0, size, window, failure)


def saved(number: int, size: int | None = 7) -> Event:
    return event(SAVED, hour(number), size)


def failed(number: int, failure: Failure = FULL) -> Event:
    return event(FAILED, hour(number), None, failure)


def row(source: Source, operation: str = "save", query: CoverageQuery = TODAY) -> CoverageRow:
    return next(row for row in coverage(source, query).rows if row.operation == operation)


def only_window(source: Source, operation: str = "save") -> CoveredWindow:
    (window,) = row(source, operation).windows
    return window


@pytest.mark.parametrize(
    ("events", "state", "successes", "failures"),
    [
        ([saved(9)], "ok", 1, 0),
        ([saved(9, None)], "ok", 1, 0),
        ([saved(9, 0)], "empty", 1, 0),
        ([saved(9, 0), saved(9)], "ok", 2, 0),
        ([saved(9), saved(9, 0)], "empty", 2, 0),
        ([failed(9)], "failed", 0, 1),
        ([failed(9), failed(9), saved(9)], "ok", 1, 2),
        ([saved(9), failed(9)], "failed", 1, 1),
    ],
)
def test_latest_result_decides(events: list[Event], state: str, successes: int, failures: int) -> None:
    found = only_window(Saved(*events))
    assert (found.state, found.successes, found.failures) == (state, successes, failures)


def test_window_has_its_latest_size_times_and_failure() -> None:
    times = [NOON - n * SECOND for n in range(5, 0, -1)]
    events = [failed(9, Failure("Old", "", "save")), saved(9, 3), saved(9, 0), failed(9), failed(9, FULL)]
    found = only_window(Saved(*(event._replace(time=time) for event, time in zip(events, times, strict=True))))
    assert found == (*(NOON - 3 * HOUR, NOON - 2 * HOUR, "failed", 2, 3, 0, times[2], times[4], FULL, False),)


def test_arrival_decides_even_if_the_clock_was_set_back() -> None:
    source = Saved(failed(9)._replace(time=NOON), saved(9)._replace(time=NOON - DAY))
    assert only_window(source).state == "ok"


@pytest.mark.parametrize(
    ("events", "again"),
    [
        (["Saved"], False),
        (["Saved", "Reconciled"], False),
        (["Reconciled", "Saved"], True),
        (["Saved", "Reconciled", "Saved"], True),
        (["Saved", "Reconciled", "Saved", "Reconciled"], False),
        (["Saved", "ReconcileError", "Saved"], False),
    ],
)
def test_save_after_a_reconcile_is_marked(events: list[str], again: bool) -> None:
    source = Saved(*(event(f"AllocationSet{name}", hour(9), 7) for name in events))
    assert only_window(source).saved_again is again


def reconciled(window: Window, kind: str = "AllocationSetReconciled") -> Event:
    return event(kind, window)


LOCAL_DAY = hour(-2, 24 * HOUR)
DAY_OF_25_HOURS = hour(-15, 25 * HOUR)


@pytest.mark.parametrize(
    "longer", [Window.of("2024-05-01"), LOCAL_DAY, DAY_OF_25_HOURS, Window.of("2024-05"), hour(8, 2 * HOUR)]
)
def test_save_after_a_reconcile_of_a_longer_window_is_marked(longer: Window) -> None:
    events = saved(9), reconciled(longer)
    assert row(Saved(*events)).windows[0].saved_again is False
    assert row(Saved(*events, saved(9))).windows[0].saved_again is True


@pytest.mark.parametrize(
    ("events", "again"),
    [
        ("day hour save", True),
        ("hour save day", False),
        ("day save hour", False),
        ("day save hour save", True),
        ("save month day save", True),
        ("save day save month", False),
    ],
)
def test_latest_reconcile_of_any_length_decides(events: str, again: bool) -> None:
    windows = {"hour": hour(9), "day": Window.of("2024-05-01"), "month": Window.of("2024-05")}
    source = Saved(*(saved(9) if name == "save" else reconciled(windows[name]) for name in events.split()))
    assert only_window(source).saved_again is again


@pytest.mark.parametrize(
    "other",
    [
        reconciled(hour(8)),
        reconciled(hour(8, 3 * HOUR // 2)),
        reconciled(hour(9, HOUR // 2)),
        reconciled(hour(9), "AssetSetReconciled"),
        reconciled(Window.of("2024-05-01"), "AssetSetReconciled"),
        reconciled(Window.of("2024-05-01"), "AllocationSetReconcileError"),
    ],
)
def test_reconcile_of_another_window_or_etl_marks_nothing(other: Event) -> None:
    assert only_window(Saved(other, saved(9))).saved_again is False


def test_reconcile_before_the_end_of_an_hour_does_not_cover_it() -> None:
    """A day that is reconciled several times before it is over."""
    day = reconciled(Window.of("2024-05-01"))._replace(time=NOON - HOUR)
    windows = row(Saved(day, saved(10), saved(11))).windows
    assert [window.saved_again for window in windows] == [True, False]


@pytest.mark.parametrize("operation", [None, "compute", "an operation that is not known"])
def test_failure_without_an_operation_counts_for_all_of_its_etl(operation: str | None) -> None:
    loaded, assets = event("AllocationSetLoaded", hour(8), 1), event("AssetSetSaved", hour(8), 1)
    found = coverage(Saved(saved(8), loaded, assets, failed(7), failed(9, Failure("E", "", operation))), TODAY)
    states = {(row.etl, row.operation): row.counts["failed"] for row in found.rows}
    assert states == {("allocation", "save"): 2, ("allocation", "load"): 1, ("asset", "save"): 0}


def test_failure_to_compute_alone_has_a_row_without_gaps() -> None:
    """The success of a computation is not an event, so none is missing."""
    daily = event(SAVED, Window.of("2024-05-01"), 1)
    found = coverage(Saved(daily, failed(9, Failure("E", "")), failed(3, Failure("E", "", "compute"))), TODAY)
    compute = next(row for row in found.rows if row.operation == "compute")
    assert (compute.resolution, compute.counts["failed"], compute.gaps) == ("hourly", 2, ())


def test_failure_of_an_operation_counts_for_that_operation() -> None:
    loaded = event("AllocationSetLoaded", hour(8), 1)
    reconcile = event("AllocationSetReconcileError", hour(8), None, Failure("E", "", "save"))
    found = coverage(Saved(saved(8), loaded, failed(9), reconcile), TODAY)
    assert {row.operation: row.counts["failed"] for row in found.rows} == {"save": 1, "load": 0, "reconcile": 1}


@pytest.mark.parametrize("window", [None, Window(None, hour(9).end), Window(hour(9).start, None), hour(9, 0)])
def test_failure_without_a_window_is_listed_apart(window: Window | None) -> None:
    found = coverage(Saved(saved(9), event(FAILED, window, None, FULL), event(FAILED, window, None, FULL)), TODAY)
    (failure,) = found.without_window
    assert (failure.etl, failure.operation, failure.events, failure.failure) == ("allocation", "save", 2, FULL)
    assert found.rows[0].counts["failed"] == 0


def test_old_failure_without_a_window_is_not_listed() -> None:
    source = Saved(event(FAILED, None, None, FULL)._replace(time=NOON - DAY))
    assert coverage(source, TODAY).without_window == ()


@pytest.mark.parametrize("window", [None, Window(None, hour(9).end), Window(hour(9).start, None), hour(9, 0)])
def test_success_without_a_window_is_ignored(window: Window | None) -> None:
    assert coverage(Saved(event(SAVED, window, 1)), TODAY).rows == ()


def test_windows_outside_the_range_only_make_others_expected() -> None:
    found = row(Saved(event(SAVED, hour(-30), 1), event("AllocationSetLoaded", hour(20), 1)))
    assert (found.windows, found.counts["missing"], found.counts["not due"]) == ((), 10, 2)
    assert found.newest is not None
    assert found.newest.start == hour(-30).start_ns
    later = row(Saved(event(SAVED, hour(-30), 1), event("AllocationSetLoaded", hour(20), 1)), "load")
    assert (later.counts["missing"], later.counts["not due"]) == (10, 2)


def loaded(number: int) -> Event:
    return event("AllocationSetLoaded", hour(number), 7)


def test_load_is_not_expected_for_a_window_that_was_saved() -> None:
    """An ETL loads its sets only when it starts, so it saves the later ones."""
    found = row(Saved(loaded(0), loaded(1), *(saved(number) for number in range(2, 10) if number != 5)), "load")
    assert (found.counts["ok"], found.counts["missing"], found.counts["not due"]) == (2, 1, 2)
    assert [gap.start for gap in found.gaps] == [hour(5).start_ns, hour(10).start_ns]


def test_load_is_expected_after_a_save_that_failed() -> None:
    later = row(Saved(loaded(0), saved(1), failed(1), failed(2)), "load")
    assert later.gaps[0][:2] == (hour(2).start_ns, hour(10).start_ns)


def test_save_of_another_etl_or_resolution_replaces_no_load() -> None:
    other, day = event("AssetSetSaved", hour(9), 7), event(SAVED, Window.of("2024-05-01"), 7)
    assert row(Saved(loaded(8), other, day), "load").counts["missing"] == 9


def test_load_is_unknown_if_the_saves_are() -> None:
    document = Saved(loaded(4), saved(9)).document()
    kept = Document(document.lists, {**document.counters, SAVED: 2})
    found = cover(results_of(kept, NOON - 12 * HOUR, NOON), TODAY)
    load = next(row for row in found.rows if row.operation == "load")
    assert (load.known_since, load.counts["missing"], load.counts["unknown"]) == (None, 0, 8)


def test_operation_that_only_failed_is_expected() -> None:
    found = row(Saved(event(FAILED, hour(-30), None, FULL)))
    assert (found.newest, found.counts["missing"]) == (None, 10)
    assert found.newest_failure is not None
    assert found.newest_failure.start == hour(-30).start_ns


def test_newest_window_is_the_last_one_not_the_last_saved() -> None:
    newest = row(Saved(saved(9), saved(11, 3), saved(10))).newest
    assert newest is not None
    assert (newest.start, newest.size) == (hour(11).start_ns, 3)


def test_window_that_has_begun_is_not_due() -> None:
    now = NOON + HOUR // 2
    gap = row(Saved(saved(9)), query=TODAY._replace(grace=0, now=now)).gaps[-1]
    assert gap == (NOON, NOON + HOUR, "not due", 1, NOON + HOUR)


@pytest.mark.parametrize(("grace", "missing"), [(None, 0), (0, 2), (HOUR, 1), (HOUR + 1, 0)])
def test_window_is_missing_from_its_end_and_the_grace_on(grace: int | None, missing: int) -> None:
    """Without a grace, two periods."""
    query = TODAY._replace(grace=grace, window=Window.from_ns(NOON - 3 * HOUR, NOON), now=NOON)
    counts = row(Saved(saved(9)), query=query).counts
    assert (counts["missing"], counts["not due"]) == (missing, 2 - missing)


def test_window_inside_another_leaves_no_gap() -> None:
    """Two days of different zones, of which one is longer because a clock was changed."""
    longer, shorter = hour(0, 25 * HOUR), hour(1, 23 * HOUR)
    query = TODAY._replace(now=longer.end_ns, window=Window(longer.start, None))
    found = row(Saved(event(SAVED, longer, 1), event(SAVED, shorter, 1)), query=query)
    assert (found.counts["ok"], found.gaps) == (2, ())


def test_other_length_is_expected_from_its_second_window_on() -> None:
    quarter, length = 15 * 60 * SECOND, 79 * HOUR
    found = coverage(
        Saved(*(event(SAVED, hour(n, quarter), 1) for n in (8, 8, 9)), event(SAVED, hour(-20, length), 1)), TODAY
    )
    assert [(row.resolution, row.is_regular, sum(gap.windows for gap in row.gaps)) for row in found.rows] == [
        ("15m", True, 46),
        ("79h", False, 0),
    ]


def test_regular_windows_that_stopped_are_missing() -> None:
    quarter = 15 * 60 * SECOND
    found = row(Saved(*(event(SAVED, hour(n, quarter), 1) for n in (-30, -29))))
    assert (found.is_regular, found.counts["missing"]) == (True, 46)


def test_rows_are_ordered_by_etl_length_and_operation() -> None:
    day = Window.of("2024-05-01")
    events = [
        event(f"{name}Set{outcome}", window, 1)
        for name in ("CloudCost", "Asset", "Allocation")
        for outcome in ("Reconciled", "Loaded", "Saved")
        for window in (day, hour(9))
    ]
    rows = coverage(Saved(*events), TODAY).rows
    operations = ["save", "load", "reconcile"]
    resolutions = ["hourly", "daily"]
    assert [(row.etl, row.resolution, row.operation) for row in rows] == [
        (etl, resolution, operation)
        for etl in ("allocation", "asset", "cloud")
        for resolution in resolutions
        for operation in operations
    ]


def test_kind_of_another_set_is_ignored() -> None:
    assert coverage(Saved(event("OtherSaved", hour(9), 1), saved(9)), TODAY).rows[0].counts["ok"] == 1


@pytest.mark.parametrize(("text", "rows"), [("hourly", 1), ("1h", 1), ("daily", 1), ("P1D", 1), ("15m", 0)])
def test_resolution_selects_rows(text: str, rows: int) -> None:
    """A resolution that no window has selects none; the others are named."""
    found = coverage(Saved(saved(9), event(SAVED, Window.of("2024-05-01"), 1)), TODAY._replace(resolution=text))
    assert (len(found.rows), found.resolutions) == (rows, ("hourly", "daily"))


class OldSaved(Saved):
    """A source that was saved at noon."""

    def as_of(self) -> int:
        return NOON


def test_snapshot_is_judged_at_its_own_time() -> None:
    """The last 7 days end then, and so do the ages in notebooks."""
    found = coverage(OldSaved(saved(8), saved(9)))
    assert (found.end, found.now, found.as_of) == (NOON, NOON, NOON)
    assert found.to_dict()["asOf"] == "2024-05-01T12:00:00Z"
    assert found.rows[0].counts["missing"] == 6 * 24 + 8  # since the first midnight: all before the first event
    assert "(as of 2024-05-01 12:00)</p>" in found._repr_html_()


def test_given_time_decides_for_a_snapshot_too() -> None:
    found = coverage(OldSaved(saved(9)), TODAY._replace(now=NOON + HOUR))
    assert (found.now, found.as_of, found.to_dict()["asOf"]) == (NOON + HOUR, None, None)
    assert "as of" not in found._repr_html_()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (TODAY._replace(window=Window(None, "2024-05-01T00:00:00Z")), r"must begin in the past .* such as 7d"),
        (TODAY._replace(window=Window.of("2024-05-02")), r"must begin in the past .*2024-05-02.* such as 7d"),
        (TODAY._replace(window=hour(9, 0)), "not be empty"),
        (TODAY._replace(resolution="hour"), r"'hour' is not a resolution; expected hourly"),
        (TODAY._replace(grace=-1), "grace must not be negative, got -1"),
    ],
)
def test_impossible_query_is_refused(query: CoverageQuery, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coverage(Saved(), query)


def test_range_ends_now_at_the_latest() -> None:
    assert coverage(Saved(), TODAY)[:3] == (NOON - 12 * HOUR, NOON, NOON)
    assert coverage(Saved(), TODAY._replace(window=Window("2024-04-01T00:00:00Z", None))).end == NOON


def test_default_range_is_a_week_until_the_end_of_today() -> None:
    found = coverage(Saved())
    assert found.end == found.now
    assert found.start == (found.now // DAY - 6) * DAY


def test_range_of_all_of_time_is_answered_at_once() -> None:
    query = TODAY._replace(window=Window.from_ns(MIN_NS, MAX_NS))
    found = coverage(Saved(saved(9), event(SAVED, Window.of("2024-04"), 1)), query)
    assert [len(row.gaps) for row in found.rows] == [2, 3]
    hours = (NOON - MIN_NS) // HOUR
    assert sum(found.rows[0].counts.values()) == hours
    assert sum(found.rows[1].counts.values()) == 2023 * 12 + 5
    assert found.to_dict()["rows"][0]["gaps"][0]["start"] == "0001-01-01T00:00:00Z"


def test_windows_at_the_ends_of_time_can_be_written() -> None:
    query = CoverageQuery(Window.from_ns(MIN_NS + 1, MAX_NS), now=MAX_NS)
    early = Window.from_ns(MIN_NS + 5 * HOUR // 2, MIN_NS + 7 * HOUR // 2)
    late = Window.from_ns(MAX_NS - 3 * HOUR // 2, MAX_NS - HOUR // 2)
    gaps = coverage(Saved(event(SAVED, early, 1), event(SAVED, late, 1)), query).to_dict()["rows"][0]["gaps"]
    assert (gaps[0]["start"], gaps[0]["windows"]) == ("0001-01-01T00:00:00Z", 3)
    assert (gaps[-1]["end"], gaps[-1]["windows"]) == ("9999-12-31T23:59:59.999999999Z", 1)


def test_log_is_covered_from_all_events_that_it_keeps() -> None:
    log = EventLog(retention=300)
    for number in range(310):
        window = hour(number - 320)
        log.append(Event(SAVED, window.end_ns or 0, 1, window))
    query = CoverageQuery(Window.from_ns(NOON - 332 * HOUR, NOON), now=NOON)
    counts = row(log, query=query).counts
    assert (counts["ok"], counts["unknown"], counts["missing"]) == (300, 10, 20)


def test_log_stands_for_its_journal(tmp_path: Path) -> None:
    log = EventLog()
    log.attach(Journal(tmp_path / "log.db"))
    log.append(Event(SAVED, NOON, 1, hour(9)))
    assert coverage(log, TODAY) == coverage(log.source, TODAY) == coverage(Journal(tmp_path / "log.db"), TODAY)
    assert isinstance(coverage(log, TODAY), Coverage)


def test_default_query_uses_the_clock() -> None:
    start = to_ns(datetime.now().astimezone())
    assert coverage(EventLog()).now >= start
