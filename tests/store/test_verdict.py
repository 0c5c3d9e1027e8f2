"""The verdict on an etl in words, as `docs/coverage.md` defines them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_kcevents import Event, EventLog, Failure, Window
from otel_kcevents.model.timestamps import DAY, SECOND, parse_time
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.verdict import DASH, merge_intervals, verdicts

HOUR = 3_600 * SECOND
NOON = parse_time("2024-09-02T12:00:00Z")
FAILED = Failure("E", "late", "save")


def verdict_of(log: EventLog, days: int = 1, now: int = NOON) -> str:
    """The verdict on the allocations of the last days."""
    found = coverage(log, CoverageQuery(Window.from_ns(now - days * DAY, now), now=now))
    (verdict,) = verdicts(found.rows, found.without_window, found.now)
    return verdict.text.replace(DASH, "-")


def counts_of(log: EventLog) -> str:
    """The counts of the verdict, without the newest window."""
    return verdict_of(log).partition(";")[0]


def hour(number: int) -> Window:
    """The window of an hour of the 24 hours before noon."""
    start = NOON - DAY + number * HOUR
    return Window.from_ns(start, start + HOUR)


def log_of(*windows: Window, kind: str = "AllocationSetSaved", size: int | None = 7) -> EventLog:
    """A log in which each window was saved a minute after its end."""
    log = EventLog(10_000)
    for window in windows:
        assert window.end_ns is not None
        log.append(Event(kind, window.end_ns + 60 * SECOND, size, window))
    return log


def hours(*without: int) -> list[Window]:
    return [hour(number) for number in range(22) if number not in without]


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (hours(), "all 22 windows ok"),
        (hours(3), "1 window missing"),
        (hours(3, 4, 9), "3 windows missing"),
    ],
)
def test_missing_windows_are_counted(windows: Sequence[Window], expected: str) -> None:
    assert counts_of(log_of(*windows)) == expected


def test_window_that_is_not_due_is_not_counted() -> None:
    log = log_of(Window.from_ns(NOON - HOUR, NOON))
    now = NOON + 2 * HOUR
    found = coverage(log, CoverageQuery(Window.from_ns(NOON - HOUR, now), now=now))
    assert str(verdicts(found.rows, (), now)[0]).startswith("allocation: 1 window ok; ")


def test_range_without_a_due_window_says_so() -> None:
    log = log_of(*hours())
    found = coverage(log, CoverageQuery(Window.from_ns(NOON - HOUR, NOON), now=NOON))
    assert verdicts(found.rows, (), NOON)[0].text.startswith("no window due yet; ")


def test_window_counts_once_for_all_operations() -> None:
    """Under its worst state: what failed is missing or unknown for the operations after it."""
    log = log_of(*hours(2, 3, 4, 20))
    for window in hours(2, 3, 4, 5, 20):
        log.append(Event("AllocationSetReconciled", NOON, None, window))
    for number in (3, 20):
        log.append(Event("AllocationSetComputeError", NOON, None, hour(number), FAILED))
    log.append(Event("AllocationSetSaved", NOON, 0, hour(5)))
    assert counts_of(log) == "2 windows failed, 3 missing"


STATES = st.sampled_from(["ok", "empty", "failed", "missing"])


@given(st.lists(st.tuples(STATES, STATES), min_size=1, max_size=20))
def test_counts_are_those_of_an_enumeration(states: list[tuple[str, str]]) -> None:
    """Of windows that two operations have in any states."""
    log = log_of(hour(-1), hour(21))
    log.append(Event("AllocationSetAggregated", NOON, 7, hour(-1)))
    log.append(Event("AllocationSetAggregated", NOON, 7, hour(21)))
    for number, pair in enumerate(states):
        for operation, state in zip(("save", "aggregate"), pair, strict=True):
            if state == "failed":
                failure = Failure("E", "late", operation)
                log.append(Event("AllocationSetComputeError", NOON, None, hour(number), failure))
            elif state != "missing":
                kind = "AllocationSetSaved" if operation == "save" else "AllocationSetAggregated"
                log.append(Event(kind, NOON, 0 if state == "empty" else 7, hour(number)))
    states += [("missing", "missing")] * (21 - len(states))
    worst = [next(state for state in ("failed", "missing", "empty", "ok") if state in pair) for pair in states]
    counted = [f"{worst.count(state)} {state}" for state in ("failed", "missing", "empty") if state in worst]
    assert counts_of(log).replace("windows ", "").replace("window ", "") == ", ".join(counted or ["all 22 ok"])


def test_empty_and_resaved_windows_are_counted_together() -> None:
    log = log_of(*hours())
    for window in hours():
        log.append(Event("AllocationSetReconciled", NOON, None, window))
    log.append(Event("AllocationSetSaved", NOON + 1, 0, hour(5)))
    log.append(Event("AllocationSetSaved", NOON + 2, 7, hour(6)))
    assert counts_of(log) == "1 window empty, 2 saved again after reconciling"


def test_only_a_final_window_counts_as_saved_again() -> None:
    """One that failed has to run again anyway."""
    log = log_of(*hours())
    log.append(Event("AllocationSetReconciled", NOON, None, hour(5)))
    log.append(Event("AllocationSetSaved", NOON + 1, 7, hour(5)))
    log.append(Event("AllocationSetComputeError", NOON + 2, None, hour(5), FAILED))
    assert counts_of(log) == "1 window failed, 16 missing, 5 more missing before the first reconcile"


def test_resolutions_are_counted_together() -> None:
    log = log_of(*hours(2), Window.from_ns(NOON - DAY, NOON))
    log.append(Event("AllocationSetSaved", NOON, 7, Window.from_ns(NOON - 9 * DAY, NOON - 8 * DAY)))
    log.append(Event("AllocationSetSaved", NOON, 7, Window.from_ns(NOON - 9 * DAY, NOON - 9 * DAY + HOUR)))
    found = coverage(log, CoverageQuery(Window.from_ns(NOON - 9 * DAY, NOON), now=NOON))
    missing = sum(row.counts["missing"] for row in found.rows)
    assert counts_of(log) == "1 window missing"
    assert f"{missing:,} windows missing" in verdicts(found.rows, (), NOON)[0].text


def test_long_gaps_are_counted_with_separators() -> None:
    log = log_of(Window.from_ns(NOON - 365 * DAY, NOON - 365 * DAY + HOUR))
    assert verdict_of(log, days=365).startswith("8,757 windows missing; ")


@pytest.mark.parametrize(
    ("saved", "reconciled", "expected"),
    [
        ((19, 20, 21), (), "3 windows ok, 2,179 missing before its first event"),
        ((21,), (), "1 window ok, 2,181 missing before its first event"),
        ((19, 21), (), "1 window missing, 2,179 more missing before its first event"),
        ((19, 20, 21), (19, 20, 21), "3 windows ok, 2,179 missing before its first event"),
        ((18, 19, 20, 21), (20, 21), "4 windows ok, 2,180 missing before the first reconcile"),
        ((18, 20, 21), (20, 21), "1 window missing, 2,179 more missing before the first reconcile"),
    ],
)
def test_windows_before_the_first_event_are_told_apart(
    saved: Sequence[int], reconciled: Sequence[int], expected: str
) -> None:
    """Nothing is wrong with them, but they are missing for a backfill."""
    log = log_of(*map(hour, saved))
    for number in reconciled:
        log.append(Event("AllocationSetReconciled", NOON, None, hour(number)))
    found = coverage(log, CoverageQuery(Window.from_ns(NOON - 91 * DAY, NOON), now=NOON))
    (verdict,) = verdicts(found.rows, (), NOON)
    assert verdict.text.partition(";")[0] == expected
    assert verdict.state == ("missing" if "more" in expected else "before first")


def test_range_before_the_first_event_is_missing() -> None:
    found = coverage(log_of(hour(0)), CoverageQuery(Window.from_ns(NOON - 9 * DAY, NOON - 8 * DAY), now=NOON))
    assert verdicts(found.rows, (), NOON)[0].text.startswith("24 windows missing before its first event; newest saved")


def test_windows_before_the_first_event_follow_the_problems() -> None:
    log = log_of(*hours(*range(10)))
    log.append(Event("AllocationSetSaved", NOON, 0, hour(15)))
    log.append(Event("AllocationSetComputeError", NOON, None, hour(12), FAILED))
    log.append(Event("AllocationSetComputeError", NOON - 1, None, None, FAILED))
    assert counts_of(log) == ("1 window failed, 1 empty, 1 failure without a window, 10 missing before its first event")


def test_deleted_events_of_an_operation_hide_the_first_one() -> None:
    log = EventLog(retention=2)
    for number in (17, 18, 19, 20, 21):
        log.append(Event("AllocationSetSaved", NOON, 7, hour(number)))
    log.append(Event("AllocationSetReconciled", NOON + 1, None, hour(21)))
    assert counts_of(log) == "20 windows unknown, 1 missing before the first reconcile"


@pytest.mark.parametrize(("failures", "expected"), [(1, "1 failure without"), (3, "3 failures without")])
def test_failures_without_a_window_are_counted(failures: int, expected: str) -> None:
    log = log_of(*hours())
    for number in range(failures):
        log.append(Event("AllocationSetComputeError", NOON - number - 1, None, None, FAILED))
    assert counts_of(log) == f"{expected} a window"


def test_etl_without_a_success_has_no_newest_window() -> None:
    log = EventLog()
    log.append(Event("AllocationSetComputeError", NOON - 1, None, None, FAILED))
    assert verdict_of(log) == "1 failure without a window; no window succeeded yet"


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window.of("2024-09-02T10:00Z/2024-09-02T11:00Z"), "10:00-11:00"),
        (Window.of("2024-09-01T10:00Z/2024-09-01T11:00Z"), "2024-09-01 10:00-11:00"),
        (Window.of("2024-09-01T23:00Z/2024-09-02T00:00Z"), "2024-09-01 23:00-00:00"),
        (Window.of("2024-09-01T23:00Z/2024-09-02T01:00Z"), "2024-09-01 23:00-2024-09-02 01:00"),
        (Window.of("2024-09-01"), "2024-09-01"),
        (Window.of("2024-08-31T22:00Z/2024-09-01T22:00Z"), "2024-08-31 22:00-2024-09-01 22:00"),
        (Window.of("2024-08"), "2024-08"),
        (Window.of("2024-08-25/2024-09-01"), "2024-08-25 00:00-2024-09-01 00:00"),
    ],
)
def test_newest_window_is_named_in_short(window: Window, expected: str) -> None:
    assert f"; newest saved {expected}, " in verdict_of(log_of(window), days=40)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (7_200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_age_is_rounded_down(seconds: int, expected: str) -> None:
    log = EventLog()
    log.append(Event("AllocationSetSaved", NOON - seconds * SECOND, 7, hour(0)))
    assert verdict_of(log).endswith(f", {expected} ago")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("Loaded", "loaded"),
        ("Aggregated", "aggregated"),
        ("Totaled", "totaled"),
        ("Reconciled", "reconciled"),
    ],
)
def test_etl_without_saves_names_another_operation(kind: str, word: str) -> None:
    assert f"; newest {word} " in verdict_of(log_of(*hours(), kind=f"AllocationSet{kind}", size=None))


def test_newest_of_several_lengths_ends_last() -> None:
    """If they end together, it is the shorter one."""
    log = log_of(Window.of("2024-09-02T00:00Z/2024-09-02T11:00Z"), Window.of("2024-09-02T10:00Z/2024-09-02T11:00Z"))
    assert "newest saved 10:00-11:00" in verdict_of(log)


@pytest.mark.parametrize(
    ("intervals", "merged"),
    [
        ([], []),
        ([(5, 6), (1, 2), (2, 4)], [(1, 4), (5, 6)]),
        ([(1, 9), (2, 3), (8, 10)], [(1, 10)]),
    ],
)
def test_intervals_that_adjoin_or_overlap_are_one(
    intervals: list[tuple[int, int]], merged: list[tuple[int, int]]
) -> None:
    assert merge_intervals(intervals) == merged
