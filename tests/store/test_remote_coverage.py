"""Coverage over HTTP: what a program answers is judged like its own events, and clear errors for everything else."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from clients import Stage, canned, raw_response
from histories import HOUR, NOON, QUERY, START, Saved, fail, histories, save
from hypothesis import given, settings

from otel_kcevents import RemoteLog, RemoteLogError
from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage import cover, coverage
from otel_kcevents.store.merged_source import merge
from otel_kcevents.store.query import NotAvailableError
from otel_kcevents.store.remote_coverage import read_coverage
from otel_kcevents.store.window_results import WindowResults, merge_results, read_results

WITHOUT = Event("AssetSetComputeError", START + 5)
EVENTS = (save(3, START + 1), fail(3, START + 2), fail(4, START + 3), save(5, START + 4, 0), WITHOUT)


DELETED: Any = object()


def body_of(*events: Event, deleted: int = 0) -> bytes:
    found = coverage(Saved(*events, deleted=deleted), QUERY).to_dict()
    return json.dumps({"code": 200, "data": found}).encode()


VALID = json.loads(body_of(*EVENTS))


@settings(max_examples=40)
@given(histories(in_order=False))
def test_coverage_is_the_same_after_a_round_trip(events: list[Event]) -> None:
    """Also if the clock was set back, so that the order does not follow from the times."""
    found = coverage(Saved(*events), QUERY)
    assert cover(read_coverage(body_of(*events)), QUERY).to_dict() == found.to_dict()


@pytest.mark.parametrize("length", [1, 3, 24])
@pytest.mark.parametrize("times", [(1, 2), (2, 1)])
@pytest.mark.parametrize("order", [("Saved", "Reconciled"), ("Reconciled", "Saved")])
def test_save_after_a_reconcile_is_still_marked(times: tuple[int, int], order: tuple[str, str], length: int) -> None:
    """Also if the reconcile is of a longer window, and if the clock was set back between them."""
    longer = Window.from_ns(START + 3 * HOUR, START + (3 + length) * HOUR)
    events = [save(3, NOON - time)._replace(kind=f"AssetSet{name}") for time, name in zip(times, order, strict=True)]
    events = [event if event.kind == "AssetSetSaved" else event._replace(window=longer) for event in events]
    row = cover(read_coverage(body_of(*events)), QUERY).rows[0]
    assert [window.saved_again for window in row.windows] == [order[-1] == "Saved"]


@pytest.mark.parametrize("deleted", [0, 9])
def test_remote_coverage_is_that_of_the_program(url: str, stage: Stage, deleted: int) -> None:
    stage.log = Saved(*EVENTS, deleted=deleted)
    assert coverage(RemoteLog(url), QUERY).to_dict() == coverage(stage.log, QUERY).to_dict()


def test_programs_are_merged(url: str, stage: Stage) -> None:
    stage.log = Saved(*EVENTS[:2])
    assert (
        coverage(merge(RemoteLog(url), Saved(*EVENTS[2:])), QUERY).to_dict()
        == coverage(Saved(*EVENTS), QUERY).to_dict()
    )


class Earlier(Saved):
    """A source of a program that has no coverage, as in an earlier version of this package."""

    def window_results(self, start: int, end: int) -> WindowResults:
        raise NotAvailableError("not yet")


@pytest.mark.parametrize("of_earlier_version", [False, True])
def test_first_window_is_unknown_if_an_earlier_version_answers(of_earlier_version: bool) -> None:
    """Also if another source has an older one."""
    answer = deepcopy(VALID)
    if of_earlier_version:
        for row in answer["data"]["rows"]:
            del row["first"]
    remote = read_coverage(json.dumps(answer).encode())
    both = merge_results([remote, read_results(Saved(save(1, START)), START, NOON)])
    firsts = [cover(results, QUERY).rows[0].first for results in (remote, both)]
    expected = [(START + 3 * HOUR, START + 4 * HOUR), (START + HOUR, START + 2 * HOUR)]
    assert firsts == ([None, None] if of_earlier_version else expected)


def test_program_without_coverage_is_asked_for_its_log(url: str, stage: Stage) -> None:
    stage.log = Earlier(*EVENTS)
    assert coverage(RemoteLog(url), QUERY).to_dict() == coverage(Saved(*EVENTS), QUERY).to_dict()


def test_refused_range_is_a_value_error() -> None:
    refused = raw_response("400 Bad Request", b'{"message":"in the future"}')
    with canned(refused) as (url, _), pytest.raises(ValueError, match="in the future"):
        coverage(RemoteLog(url), QUERY)


def test_coverage_over_16_mb_is_refused_with_the_remedy() -> None:
    with (
        canned(raw_response("200 OK", b" " * ((16 << 20) + 1))) as (url, _),
        pytest.raises(RemoteLogError, match="sends a coverage of more than 16 MB; ask for a shorter range"),
    ):
        coverage(RemoteLog(url), QUERY)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("data", [], "data must be an object with 'rows' and 'withoutWindow'"),
        ("data.rows", None, "data.rows must be a list"),
        ("data.rows.0", 1, r"data.rows\[0\] must be an object"),
        ("data.rows.0.etl", "counters", r"data.rows\[0\].etl is missing or malformed: 'counters'"),
        ("data.rows.0.operation", None, r"data.rows\[0\].operation is missing or malformed"),
        ("data.rows.0.regular", 1, r"data.rows\[0\].regular is missing or malformed"),
        ("data.rows.0.knownSince", "yesterday", r"data.rows\[0\].knownSince is missing or malformed"),
        ("data.rows.0.newest", {}, r"data.rows\[0\].newest.start is missing or malformed"),
        ("data.rows.0.newest.end", "2024-05-01T00:00:00Z", r"data.rows\[0\].newest must end after it starts"),
        ("data.rows.0.newestFailure", 1, r"data.rows\[0\].newestFailure must be an object"),
        ("data.rows.0.first", "x", r"data.rows\[0\].first must be an object"),
        ("data.rows.0.first.end", None, r"data.rows\[0\].first.end is missing or malformed"),
        ("data.rows.0.first.end", "2024-05-01T00:00:00Z", r"data.rows\[0\].first must end after it starts"),
        ("data.rows.0.windows", {}, r"data.rows\[0\].windows must be a list"),
        ("data.rows.0.windows.0", "x", r"data.rows\[0\].windows\[0\] must be an object"),
        ("data.rows.0.windows.0.size", -1, r"windows\[0\].size is missing or malformed"),
        ("data.rows.0.windows.0.size", True, r"windows\[0\].size is missing or malformed"),
        ("data.rows.0.windows.0.error", "x", r"windows\[0\].error is missing or malformed"),
        ("data.rows.0.windows.0.error.type", 1, r"windows\[0\].error is missing or malformed"),
        ("data.rows.0.windows.0.end", "2024-05-01T00:00:00Z", r"windows\[0\] must end after it starts"),
        ("data.rows.0.windows.0.failed", None, r"windows\[0\] has 1 failures, but failed is None"),
        ("data.rows.0.windows.0.successes", 0, r"windows\[0\] has 0 successes, but succeeded is 2024"),
        ("data.rows.0.windows.0.savedAgain", DELETED, r"windows\[0\].savedAgain is missing"),
        ("data.withoutWindow", DELETED, "data.withoutWindow must be a list"),
        ("data.withoutWindow.0.failed", 5, r"data.withoutWindow\[0\].failed is missing or malformed: 5"),
    ],
)
def test_malformed_answer_is_refused(path: str, value: object, problem: str) -> None:
    answer = deepcopy(VALID)
    *parents, last = path.split(".")
    place = answer
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    key: Any = int(last) if isinstance(place, list) else last
    if value is DELETED:
        del place[key]
    else:
        place[key] = value
    with pytest.raises(ValueError, match=problem):
        read_coverage(json.dumps(answer).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"[" * 10_000, b"\xff"])
def test_answer_that_is_not_a_coverage_is_an_error(body: bytes) -> None:
    with (
        canned(raw_response("200 OK", body)) as (url, _),
        pytest.raises(RemoteLogError, match="does not serve coverage"),
    ):
        coverage(RemoteLog(url), QUERY)


def test_unknown_fields_and_operations_are_read() -> None:
    """A later version may have more of them."""
    answer = deepcopy(VALID)
    answer["data"]["more"] = answer["data"]["rows"][0]["more"] = 1
    answer["data"]["rows"][0]["operation"] = "forecast"
    assert [row.operation for row in cover(read_coverage(json.dumps(answer).encode()), QUERY).rows] == ["forecast"]
