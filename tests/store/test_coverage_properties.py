"""Coverage against a model that enumerates the windows one by one."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import assume, example, given
from hypothesis import strategies as st

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import DAY, SECOND, to_ns
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage import Coverage, CoverageQuery, CoverageRow, cover
from otel_kcevents.store.window_results import results_of

MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND
NOON = to_ns("2024-05-01T12:00:00Z")
BERLIN = ZoneInfo("Europe/Berlin")
KINDS = {"ok": "AllocationSetSaved", "empty": "AllocationSetSaved", "failed": "AllocationSetComputeError"}


class Happened(NamedTuple):
    """What happened to a window: its state afterwards."""

    start: int
    length: int
    state: str


def covered(happened: list[Happened], query: CoverageQuery, deleted: int = 0) -> Coverage:
    """Return the coverage of saves, in the order of their arrival, one a second before `now`."""
    now = query.now or NOON
    assert query.window is not None
    events = [
        Event(
            KINDS[state],
            now - (len(happened) - place) * SECOND,
            {"ok": 7, "empty": 0}.get(state),
            Window.from_ns(start, start + length),
            Failure("OSError", "full", "save") if state == "failed" else None,
        )
        for place, (start, length, state) in enumerate(happened)
    ]
    counters = {kind: sum(event.kind == kind for event in events) for kind in sorted({event.kind for event in events})}
    counters = {kind: count + deleted for kind, count in counters.items()}
    document = Document({"allocation": tuple(reversed(events)), "asset": ()}, counters)
    assert query.window.start_ns is not None
    assert query.window.end_ns is not None
    return cover(results_of(document, query.window.start_ns, min(query.window.end_ns, now)), query._replace(now=now))


def cells(row: CoverageRow) -> dict[int, str]:
    """Return the state of each window of fixed length, by its start."""
    found = {window.start: window.state for window in row.windows}
    for gap in row.gaps:
        assert gap.end - gap.start == gap.windows * row.period
        for start in range(gap.start, gap.end, row.period):
            assert start not in found
            found[start] = gap.state
    return found


PERIODS = st.sampled_from([HOUR, 15 * MINUTE, 5 * HOUR])
STATES = st.sampled_from(["ok", "empty", "failed"])
OFFSETS = st.integers(-80 * HOUR // MINUTE, 80 * HOUR // MINUTE).map(lambda minutes: NOON + minutes * MINUTE)


@given(
    PERIODS,
    st.integers(0, 59),
    st.lists(st.tuples(st.integers(-40, 40), STATES), min_size=1, max_size=30),
    st.tuples(OFFSETS, OFFSETS).filter(lambda ends: min(ends) < min(NOON, max(ends))),
    st.none() | st.integers(0, 10 * 60).map(lambda minutes: minutes * MINUTE),
)
def test_each_window_has_the_state_of_its_latest_event(
    period: int,
    phase: int,
    happened: list[tuple[int, str]],
    ends: tuple[int, int],
    grace: int | None,
) -> None:
    first = NOON + phase * MINUTE
    start, end = min(ends), min(NOON, max(ends))
    latest = {first + place * period: state for place, state in happened}
    found = covered(
        [Happened(first + place * period, period, state) for place, state in happened],
        CoverageQuery(Window.from_ns(min(ends), max(ends)), grace=grace, now=NOON),
    )
    expected = {}
    is_regular = period == HOUR or len(latest) > 1
    for place in range(-2_000, 2_000):
        at = first + place * period
        if at < end and start < at + period:
            is_due = at + period + (2 * period if grace is None else grace) <= NOON
            if at in latest or is_regular:
                expected[at] = latest.get(at, "missing" if is_due else "not due")
    assert len(found.rows) == 1
    assert cells(found.rows[0]) == expected
    assert sum(found.rows[0].counts.values()) == len(expected)
    oldest = min(latest)
    assert found.rows[0].first == (oldest, oldest + period)
    preceding = [at for at, state in expected.items() if state == "missing" and at + period <= oldest]
    assert sum(gap.windows for gap in found.rows[0].gaps if found.rows[0].precedes_first(gap)) == len(preceding)


@given(
    st.lists(st.tuples(st.integers(-300, 300), STATES), min_size=1, max_size=30),
    st.tuples(st.integers(-300, 0), st.integers(-300, 300)).filter(lambda ends: ends[0] < min(ends[1], 0)),
)
@example([(0, "ok"), (90, "ok")], (-300, 0))
def test_a_gap_is_as_long_as_the_windows_that_fit(happened: list[tuple[int, str]], ends: tuple[int, int]) -> None:
    """Hourly windows of any phase, which may overlap: those that fit between two are missing, from the first one on."""
    minutes = [(minute - 360, state) for minute, state in happened]
    low, high = NOON + ends[0] * MINUTE - 6 * HOUR, NOON + ends[1] * MINUTE - 6 * HOUR
    query = CoverageQuery(Window.from_ns(low, high), grace=0, now=NOON)
    row = covered([Happened(NOON + minute * MINUTE, HOUR, state) for minute, state in minutes], query).rows[0]
    there = sorted({NOON + minute * MINUTE for minute, _ in minutes})
    there = [at for at in there if at < high and low < at + HOUR]
    assume(there)
    missing = set()
    at = there[0]
    while at > low:
        at -= HOUR
        missing.add(at)
    at = there[0]
    for following in there:
        while at + HOUR <= following:
            missing.add(at)
            at += HOUR
        at = following + HOUR
    while at < high:
        missing.add(at)
        at += HOUR
    found = cells(row)
    assert {at for at in found if found[at] == "missing"} == missing
    assert set(found) == missing | set(there)


def test_gap_of_local_days_is_divided_at_the_first_event() -> None:
    """It is a failed save before a clock change, and the days of the gap are counted back from after the change."""

    def day(number: int) -> Window:
        return Window(*(datetime(2024, 10, 1, tzinfo=BERLIN) + timedelta(days=number + more) for more in (0, 1)))

    failure = Failure("OSError", "full", "save")
    events = [Event("AllocationSetLoaded", NOON, 1, day(number)) for number in (36, 35)]
    events.append(Event("AllocationSetComputeError", NOON, None, day(19), failure))
    start, end = to_ns("2024-10-09T22:00:00Z"), to_ns("2024-11-06T23:00:00Z")
    results = results_of(Document({"allocation": tuple(events), "asset": ()}, {}), start, end)
    found = cover(results, CoverageQuery(Window.from_ns(start, end), grace=0, now=end))
    row = next(row for row in found.rows if row.operation == "load")
    first = to_ns("2024-10-19T22:00:00Z")
    assert row.first == (first, first + DAY)
    assert [(gap.start - HOUR, gap.end, gap.windows) for gap in row.gaps] == [
        (start, first, 10),
        (first - HOUR, to_ns("2024-11-04T23:00:00Z"), 16),
    ]
    assert [row.precedes_first(gap) for gap in row.gaps] == [True, False]


@given(
    st.dates(date(2023, 9, 1), date(2024, 6, 1)),
    st.sets(st.integers(0, 60), min_size=1, max_size=40),
    st.integers(-3, 63),
    st.integers(1, 66),
)
@example(date(2023, 10, 20), {2, 20}, -3, 5)  # a clock is changed between the first event and the newest one
def test_local_days_leave_no_gap_when_a_clock_changes(day: date, there: set[int], low: int, length: int) -> None:
    def midnight(place: int) -> int:
        return to_ns(datetime(day.year, day.month, day.day, tzinfo=BERLIN) + timedelta(days=place))

    happened = [Happened(midnight(place), midnight(place + 1) - midnight(place), "ok") for place in sorted(there)]
    query = CoverageQuery(Window.from_ns(midnight(low), midnight(low + length)), now=midnight(400))
    row = covered(happened, query).rows[0]
    shown = sorted(there & set(range(low, low + length)))
    assert [window.start for window in row.windows] == [midnight(place) for place in shown]
    assert sum(gap.windows for gap in row.gaps) == length - len(shown)
    preceding = sum(gap.windows for gap in row.gaps if row.precedes_first(gap))
    assert preceding == min(max(min(there) - low, 0), length)
    for before, after in pairwise(shown):
        between = [(gap.end, gap.windows) for gap in row.gaps if midnight(before) < gap.start < midnight(after)]
        assert between == ([(midnight(after), after - before - 1)] if after > before + 1 else [])


@given(
    st.sampled_from(["UTC", "Europe/Berlin"]),
    st.sets(st.integers(0, 40), min_size=1),
    st.integers(-3, 43),
    st.integers(1, 46),
)
def test_months_of_any_length_leave_no_gap(zone: str, there: set[int], low: int, length: int) -> None:
    def first(month: int) -> int:
        return to_ns(datetime(2020 + month // 12, month % 12 + 1, 1, tzinfo=ZoneInfo(zone)))

    happened = [Happened(first(month), first(month + 1) - first(month), "ok") for month in sorted(there)]
    query = CoverageQuery(Window.from_ns(first(low), first(low + length)), now=first(200))
    row = covered(happened, query).rows[0]
    shown = there & set(range(low, low + length))
    assert [window.start for window in row.windows] == [first(month) for month in sorted(shown)]
    assert sum(gap.windows for gap in row.gaps) == length - len(shown)
    if zone == "UTC":
        missing = {first(month) for month in set(range(low, low + length)) - shown}
        assert {gap.start for gap in row.gaps} <= missing


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["AllocationSetSaved", "AllocationSetReconciled"]),
            st.integers(-30, 30),
            st.sampled_from([HOUR, HOUR, 3 * HOUR, 23 * HOUR, DAY, 25 * HOUR, 30 * DAY]),
            st.integers(0, 12).map(lambda hours: hours * HOUR // 4),
        ),
        max_size=30,
    )
)
def test_latest_reconcile_that_covers_a_window_decides(happened: list[tuple[str, int, int, int]]) -> None:
    """One that covers it contains it and happened after its end, unless it is of the same window."""
    time, saves, reconciles = NOON - 20 * HOUR, dict[tuple[int, int], int](), list[tuple[int, int, int, int]]()
    events = []
    for order, (kind, place, length, elapsed) in enumerate(happened):
        time += elapsed
        end = NOON + place * HOUR // 2
        events.append(Event(kind, time, 7, Window.from_ns(end - length, end)))
        if kind == "AllocationSetSaved":
            saves[end - length, end] = order
        else:
            reconciles.append((end - length, end, time, order))
    expected = {}
    for (start, end), saved in saves.items():
        orders = [
            order
            for first, last, time, order in reconciles
            if (first, last) == (start, end) or (first <= start and end <= min(last, time))
        ]
        expected[start, end] = max(orders, default=saved) < saved
    low, high = NOON - 60 * DAY, NOON + 60 * DAY
    results = results_of(Document({"allocation": tuple(reversed(events)), "asset": ()}, {}), low, high)
    rows = cover(results, CoverageQuery(Window.from_ns(low, high), now=high)).rows
    found = {window[:2]: window.saved_again for row in rows if row.operation == "save" for window in row.windows}
    assert found == expected


@given(st.integers(-48, 0), st.integers(0, 10))
def test_windows_before_the_oldest_row_kept_are_unknown(oldest: int, deleted: int) -> None:
    """A window is unknown if it ended before the oldest kept success arrived, once older ones were deleted."""
    now = NOON
    saved = now + oldest * HOUR
    window = Window.from_ns(now - HOUR, now)
    document = Document(
        {"allocation": (Event("AllocationSetSaved", saved, 1, window),), "asset": ()},
        {"AllocationSetSaved": 1 + deleted},
    )
    start = now - 2 * DAY
    query = CoverageQuery(Window.from_ns(start, now), grace=0, now=now)
    row = cover(results_of(document, start, now), query).rows[0]
    expected = {}
    for at in range(start, now - HOUR, HOUR):
        expected[at] = "unknown" if deleted and at + HOUR <= saved else "missing"
    assert cells(row) == {**expected, now - HOUR: "ok"}
    assert row.first == (None if deleted else (now - HOUR, now))


@given(
    PERIODS,
    st.dictionaries(st.integers(-40, 0), STATES, min_size=2),
    st.sets(st.integers(-40, 0), min_size=2),
    st.tuples(OFFSETS, OFFSETS).filter(lambda ends: min(ends) < min(NOON, max(ends))),
)
def test_loads_are_expected_where_nothing_was_saved(
    period: int, saves: dict[int, str], loads: set[int], ends: tuple[int, int]
) -> None:
    start, end = min(ends), min(NOON, max(ends))

    def event(place: int, kind: str, state: str) -> Event:
        failure = Failure("OSError", "full", "save") if state == "failed" else None
        window = Window.from_ns(NOON + place * period, NOON + (place + 1) * period)
        return Event(kind, NOON, {"ok": 7, "empty": 0}.get(state), window, failure)

    events = [event(place, KINDS[state], state) for place, state in saves.items()]
    events += [event(place, "AllocationSetLoaded", "ok") for place in loads]
    results = results_of(Document({"allocation": tuple(events), "asset": ()}, {}), start, end)
    query = CoverageQuery(Window.from_ns(start, end), grace=0, now=NOON)
    row = next(row for row in cover(results, query).rows if row.operation == "load")
    expected = {}
    for place in range(-400, 1):
        at = NOON + place * period
        if at < end and start < at + period and (place in loads or saves.get(place, "failed") == "failed"):
            expected[at] = "ok" if place in loads else "missing" if at + period <= NOON else "not due"
    assert cells(row) == expected
    first = NOON + min(*loads, *saves) * period
    preceding = [at for at, state in expected.items() if state == "missing" and at + period <= first]
    assert sum(gap.windows for gap in row.gaps if row.precedes_first(gap)) == len(preceding)
