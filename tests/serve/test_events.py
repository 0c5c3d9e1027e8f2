"""`GET /model/etl/runs` and `GET /model/etl/events`: what a journal has beyond the log document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clients import Answer, low
from journals import NIGHT, write_nights

from otel_kcevents import Journal
from otel_kcevents.serve.respond import respond

EVENTS = "/model/etl/events"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(write_nights(tmp_path / "log.db"))


def ask(journal: Journal, query: str = "", path: str = EVENTS) -> Answer:
    status, headers, body = respond("GET", path, query, log=journal)
    return Answer(status, low(headers), body)


def page(journal: Journal, query: str = "") -> dict[str, Any]:
    answer = ask(journal, query)
    assert answer.status == 200, answer.body
    data: dict[str, Any] = json.loads(answer.body)["data"]
    assert list(data) == ["events", "next"]
    return data


def times(journal: Journal, query: str = "") -> list[int]:
    """Return the numbers of the listed events: the nanoseconds of their times."""
    return [int(event["time"].partition(".")[2].rstrip("Z") or 0) for event in page(journal, query)["events"]]


def test_event_has_its_list_trace_span_and_run(journal: Journal) -> None:
    first, *_ = page(journal, "run=b")["events"]
    assert first == {
        "etl": "allocation",
        "kind": "AllocationSetComputeError",
        "metadata": {},
        "time": "2022-06-03T22:00:00.000000004Z",
        "traceId": f"{0xABC:032x}",
        "spanId": f"{1:016x}",
        "run": "b" * 16,
        "cursor": "5",
    }


def test_event_without_a_span_has_no_ids(journal: Journal) -> None:
    *_, last = page(journal, "run=b")["events"]
    assert (last["traceId"], last["spanId"]) == (None, None)
    assert last["metadata"]["error"]["message"] == "größe 円 🙂 \x1b"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("kind=&run=&error=&limit=&before=", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("kind=AssetSetS", [7, 6, 2, 1, 0]),
        ("kind=AssetSetTotaledEvent,Allocation", [5, 4, 3]),
        ("kind=AssetSetLoaded", []),
        ("run=last", [7, 6, 5]),
        ("run=d", [7, 6]),
        ("run=aaaa", [4, 3, 2, 1, 0]),
        ("run=b,d&run=b", [7, 6, 4, 3]),
        ("error=true", [4, 3]),
        ("error=false&run=a", [2, 1, 0]),
        ("limit=3", [7, 6, 5]),
        ("before=3", [1, 0]),
        ("before=9999999999999999999", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("window=1654293600,1654293601&limit=1000&other=1", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("window=1654293601,1654293602", []),
        ("setWindow=2022-06-01T12:00:00Z,2022-06-02T00:00:00Z", [6, 3, 0]),
        ("setWindow=2022-06-01T12:00Z/12h", [6, 3, 0]),
        ("setWindow=2022-06-02T00:00:00Z,2022-06-03T00:00:00Z&kind=AssetSetS&run=a&error=false", [1]),
    ],
)
def test_parameters_select_events(journal: Journal, query: str, expected: list[int]) -> None:
    """In the order of arrival, the newest first. A run is listed with its descendants."""
    assert times(journal, query) == expected


@pytest.mark.parametrize("query", ["limit=3", "limit=3&run=a", "limit=1&run=last", "limit=2&kind=AssetSet"])
def test_pages_have_every_event_once(journal: Journal, query: str) -> None:
    found, before = list[int](), ""
    while True:
        found += times(journal, f"{query}&before={before}")
        before = page(journal, f"{query}&before={before}")["next"]
        if before is None:
            break
    assert found == times(journal, query.partition("&")[2])


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("kind=Nope", ("'Nope'", "AssetSetSaved")),
        ("run=x", ("no run has the id 'x'", "'last'")),
        ("window=soon", ("'soon'", "24h")),
        ("setWindow=soon", ("'soon'", "7d")),
        ("error=yes", ("'true' or 'false', got 'yes'",)),
        ("limit=0", ("from 1 to 1,000, got '0'",)),
        ("limit=1001", ("from 1 to 1,000, got '1001'",)),
        ("limit=1_0", ("from 1 to 1,000, got '1_0'",)),
        ("limit=" + "9" * 5000, ("from 1 to 1,000, got '999",)),
        ("before=x", ("before must be the `next` of the previous page, got 'x'",)),
        ("before=%C2%B2", ("before must be the `next` of the previous page, got '²'",)),
        ("limit=1&limit=2", ("2 values of 'limit'", "give one")),
        ("setWindow=1h&setWindow=2h", ("2 values of 'setWindow'", "give one")),
    ],
)
def test_wrong_parameter_is_refused(journal: Journal, query: str, parts: tuple[str, ...]) -> None:
    """With the value and the remedy."""
    answer = ask(journal, query)
    assert answer.status == 400
    for part in parts:
        assert part in answer.message
    assert len(answer.body) < 1_000


def test_runs_are_listed(journal: Journal) -> None:
    runs = json.loads(ask(journal, path="/model/etl/runs").body)["data"]
    assert [(run["id"][0], run["parent"] and run["parent"][0], run["events"], run["errors"]) for run in runs] == [
        ("e", "d", 1, 0),
        ("d", "c", 1, 0),
        ("c", None, 1, 0),
        ("b", "a", 2, 2),
        ("a", None, 3, 0),
    ]
    assert runs == journal.runs()
    assert runs[0]["started"] == "2022-06-03T22:00:07Z"


@pytest.mark.parametrize("path", [EVENTS, "/model/etl/runs", "/model/etl/log"])
def test_unreadable_journal_is_a_503(tmp_path: Path, path: str) -> None:
    answer = ask(Journal(tmp_path / "none.db"), path=path)
    assert answer.status == 503
    assert "none.db does not exist" in answer.message


def test_report_is_plain_text(journal: Journal) -> None:
    status, headers, body = respond("GET", "/model/etl/report", log=journal, report=lambda: f"größe {NIGHT}\udc80\n")
    assert (status, low(headers)["content-type"]) == (200, "text/plain; charset=utf-8")
    assert body.decode() == f"größe {NIGHT}?\n"


def test_report_is_refused_unless_given(journal: Journal) -> None:
    answer = ask(journal, path="/model/etl/report")
    assert answer.status == 404
    assert "report=True" in answer.message
