"""`merge_results()`: the windows of several sources are judged as if one source had all events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from histories import HOUR, NOON, QUERY, START, Saved, document, fail, histories, save
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from otel_kcevents import EventLog, Journal
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage import Coverage, cover, coverage
from otel_kcevents.store.merged_source import merge
from otel_kcevents.store.source import Source
from otel_kcevents.store.window_results import merge_results, operation_of, results_of

DAY = Window.from_ns(START - 36 * HOUR, START - 12 * HOUR)
TWO_OPERATIONS = [
    fail(3, START + 1)._replace(kind="AssetSetReconcileError"),
    fail(3, START + 2)._replace(kind="AssetSetReconcileError", failure=Failure("E", "")),
]


@settings(max_examples=40)
@given(histories(), st.data())
def test_merged_sources_are_covered_like_one(events: list[Event], data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.integers(0, 2), min_size=len(events), max_size=len(events)))
    sources: list[Source] = [
        Saved(*(event for event, owner in zip(events, owners, strict=True) if owner == place)) for place in range(3)
    ]
    assert coverage(merge(*sources), QUERY).to_dict() == coverage(Saved(*events), QUERY).to_dict()


@settings(max_examples=40)
@given(histories(in_order=False))
def test_merge_with_an_empty_source_changes_nothing(events: list[Event]) -> None:
    """Not even if the clock was set back."""
    assert coverage(merge(Saved(), Saved(*events)), QUERY).to_dict() == coverage(Saved(*events), QUERY).to_dict()


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(histories(in_order=False))
@example(TWO_OPERATIONS)
def test_journal_is_covered_like_a_document(tmp_path: Path, events: list[Event]) -> None:
    log = EventLog()
    path = tmp_path / f"{uuid4()}.db"
    log.attach(Journal(path))
    for event in events:
        log.append(event)
    assert coverage(log, QUERY).to_dict() == coverage(Saved(*events), QUERY).to_dict()


@pytest.mark.parametrize(("first", "second", "state"), [(save, fail, "failed"), (fail, save, "ok")])
@pytest.mark.parametrize("swap", [False, True])
def test_time_decides_between_sources(
    first: Callable[[int, int], Event], second: Callable[[int, int], Event], state: str, swap: bool
) -> None:
    sources = [Saved(first(3, NOON - 2)), Saved(second(3, NOON - 1))]
    found = coverage(merge(*(sources[::-1] if swap else sources)), QUERY)
    assert [window.state for window in found.rows[0].windows] == [state]


def test_event_after_a_later_one_of_its_source_is_as_new() -> None:
    """A source whose clock was set back: its failure arrived after a success of the same time as another's."""
    found = coverage(merge(Saved(save(2, NOON - 1), fail(3, NOON - 9)), Saved(save(3, NOON - 5))), QUERY)
    assert [window.state for window in found.rows[0].windows] == ["ok", "failed"]


@pytest.mark.parametrize("time", [NOON - 2, NOON])
def test_day_reconciled_in_another_source_marks_its_hours(time: int) -> None:
    day = Event("AssetSetReconciled", time, None, Window.from_ns(START, START + 24 * HOUR))
    found = coverage(merge(Saved(save(3, NOON - 1)), Saved(day)), QUERY)
    assert [window.saved_again for window in found.rows[0].windows] == [time < NOON - 1]


def test_events_are_known_since_every_source_knows_them() -> None:
    early, late = save(1, START + 3 * HOUR), save(9, START + 10 * HOUR)
    found = coverage(merge(Saved(early, deleted=1), Saved(late, deleted=1)), QUERY)
    assert found.rows[0].known_since == late.time
    assert found.rows[0].counts == {"ok": 2, "empty": 0, "failed": 0, "missing": 2, "not due": 0, "unknown": 8}


def test_single_windows_of_two_sources_make_a_schedule() -> None:
    quarter = [Window.from_ns(START - n * HOUR, START - n * HOUR + HOUR // 4) for n in (3, 2)]
    alone, both = (
        coverage(merge(*(Saved(Event("AssetSetSaved", START, 1, window)) for window in windows)), QUERY)
        for windows in (quarter[:1], quarter)
    )
    assert (alone.rows[0].is_regular, both.rows[0].is_regular) == (False, True)


def test_results_depend_on_kept_events_of_one_kind() -> None:
    """Failures that were deleted do not make windows unknown."""
    events = [fail(3, NOON - 5), save(3, NOON)]
    both = document(events)
    counted = Document(both.lists, {**both.counters, "AssetSetComputeError": 9})
    assert results_of(counted, START, NOON).known_since == {}
    assert results_of(document(events, 1), START, NOON).known_since == {("asset", "save"): NOON}


def test_failures_count_for_the_first_window() -> None:
    """One without an operation counts for all of its etl and resolution. If some were deleted, no first is known."""
    shared = fail(1, NOON)._replace(failure=Failure("E", ""))
    day = save(3, NOON)._replace(window=DAY)
    events = [save(3, NOON), shared, fail(2, NOON)._replace(kind="AssetSetReconcileError"), day]
    firsts = {(row.operation, row.resolution): row.first for row in coverage(Saved(*events), QUERY).rows}
    hour = START + HOUR, START + 2 * HOUR
    assert firsts == {
        ("save", "hourly"): hour,
        ("reconcile", "hourly"): hour,
        ("save", "daily"): (DAY.start_ns, DAY.end_ns),
    }
    for kind, known in (("AssetSetComputeError", set()), ("AssetSetReconcileError", {"save"})):
        both = document(events)
        counted = Document(both.lists, {**both.counters, kind: 9})
        rows = cover(results_of(counted, START, NOON), QUERY).rows
        assert {row.operation for row in rows if row.first} == known


def test_first_window_of_an_etl_whose_computations_fail_is_known() -> None:
    shared = fail(1, NOON)._replace(failure=Failure("E", "", "compute"))
    rows = coverage(merge(Saved(shared), Saved(shared._replace(window=save(0, 0).window))), QUERY).rows
    assert [(row.operation, row.first) for row in rows] == [("compute", (START, START + HOUR))]


def test_first_window_is_unknown_if_a_source_omits_it() -> None:
    complete = results_of(document([save(3, NOON)]), START, NOON)
    partial = complete._replace(first={})
    for results in (partial, merge_results([complete, partial]), merge_results([partial, complete])):
        assert [row.first for row in cover(results, QUERY).rows] == [None]


@pytest.mark.parametrize("kept", [fail(3, NOON)._replace(window=None), fail(3, NOON)._replace(window=DAY)])
def test_first_window_is_unknown_once_a_source_deleted_failures(kept: Event) -> None:
    """Whatever windows those had that it keeps."""
    rows = coverage(merge(Saved(kept, deleted=9), Saved(save(3, NOON))), QUERY).rows
    assert [row.first for row in rows if row.resolution == "hourly"] == [None]


@pytest.mark.parametrize(
    ("kind", "operation", "found"),
    [
        ("AssetSetSaved", None, "save"),
        ("AssetSetReconciledEvent", None, "reconcile"),
        ("AssetSetReconcileError", "save", "reconcile"),
        ("AssetSetComputeError", "total", "total"),
        ("AssetSetComputeError", "compute", None),
        ("AssetSetComputeError", "nothing", None),
        ("AssetSetComputeError", None, None),
        ("Nothing", None, None),
    ],
)
def test_operation_follows_from_the_kind_or_the_failure(kind: str, operation: str | None, found: str | None) -> None:
    assert operation_of(kind, operation) == found


def test_documents_are_covered_like_their_results() -> None:
    events = [save(3, NOON - 2), fail(4, NOON - 1)]
    found: Coverage = cover(results_of(document(events), START, NOON), QUERY)
    assert found == coverage(Saved(*events), QUERY)
