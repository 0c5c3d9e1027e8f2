"""`RemoteLog.runs()` and `.events()`: a program's journal over HTTP, and clear errors for everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clients import Stage, canned, filled, raw_response
from journals import DAYS, NIGHT, write_nights

from otel_kcevents import Journal, RemoteLog, RemoteLogError
from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.store.query import EventQuery, NotAvailableError
from otel_kcevents.store.remote_pages import read_page


@pytest.fixture
def journal(tmp_path: Path, stage: Stage) -> Journal:
    """The journal of the program that is served."""
    stage.log = journal = Journal(write_nights(tmp_path / "log.db"))
    return journal


@pytest.fixture
def remote(url: str, journal: Journal) -> RemoteLog:
    return RemoteLog(url)


def test_runs_are_those_of_the_program(remote: RemoteLog, journal: Journal) -> None:
    assert remote.runs() == journal.runs()


@pytest.mark.parametrize(
    "query",
    [
        EventQuery(),
        EventQuery(("AssetSetS", "Allocation")),
        EventQuery(runs=("a", "last")),
        EventQuery(errors=True),
        EventQuery(errors=False, limit=2),
        EventQuery(limit=5_000),
        EventQuery(before="4"),
        EventQuery(set_window=DAYS[0]),
        EventQuery(set_window=Window(None, DAYS[0].end)),
        EventQuery(set_window=Window(DAYS[0].start, None)),
        EventQuery(window=Window.from_ns(NIGHT + 2, NIGHT + 5)),
    ],
)
def test_events_are_those_of_the_program(remote: RemoteLog, journal: Journal, query: EventQuery) -> None:
    assert remote.events(query) == journal.events(query)


@pytest.mark.parametrize("query", [EventQuery(("Nope\udcff",)), EventQuery(runs=("x",)), EventQuery(before="x")])
def test_refused_query_is_a_value_error(remote: RemoteLog, query: EventQuery) -> None:
    """The message is the program's own."""
    with pytest.raises(ValueError, match=r"expected|must be"):
        remote.events(query)


def test_program_without_a_journal_is_an_error(url: str, stage: Stage) -> None:
    stage.log = filled()
    for read in (RemoteLog(url).runs, RemoteLog(url).events):
        with pytest.raises(RemoteLogError, match=r"/model/etl/\w+ answers 404: .*log_file=") as error:
            read()
        assert isinstance(error.value, NotAvailableError)


@pytest.mark.parametrize(("status", "body"), [("500 Oops", b"<html>"), ("503 Busy", b'{"message":"later"}')])
def test_error_of_the_program_is_shown(status: str, body: bytes) -> None:
    with canned(raw_response(status, body)) as (url, _), pytest.raises(RemoteLogError, match=status[:3]) as error:
        RemoteLog(url).events()
    assert not isinstance(error.value, NotAvailableError)


def test_page_that_repeats_is_an_error() -> None:
    """Otherwise a command would read it forever."""
    body = b'{"code":200,"data":{"events":[],"next":"5"}}'
    with canned(raw_response("200 OK", body)) as (url, _):
        assert RemoteLog(url).events().next == "5"
        with pytest.raises(RemoteLogError, match="the same page of events again and again"):
            RemoteLog(url).events(EventQuery(before="5"))


# Anything may come back

RUN: dict[str, Any] = {
    "id": "a1",
    "parent": None,
    "name": "nightly",
    "program": "etl.py",
    "service": None,
    "host": "h",
    "pid": 1,
    "started": "2022-06-03T22:00:00Z",
    "ended": None,
    "lastEvent": None,
    "outcome": "killed",
    "detail": None,
    "traceId": None,
    "events": 0,
    "errors": 0,
    "allEvents": 0,
    "allErrors": 0,
}
EVENT: dict[str, Any] = {
    "etl": "asset",
    "kind": "AssetSetSaved",
    "metadata": {"size": 3},
    "time": "2022-06-03T22:00:00Z",
    "traceId": None,
    "spanId": None,
    "run": None,
    "cursor": "1",
}


def answer(data: object) -> bytes:
    return raw_response("200 OK", json.dumps({"code": 200, "data": data}).encode())


def test_unknown_fields_of_a_run_are_removed() -> None:
    with canned(answer([{**RUN, "more": [1]}])) as (url, _):
        assert RemoteLog(url).runs() == [RUN]


def test_unknown_kinds_and_metadata_are_kept() -> None:
    """Other products have kinds of their own."""
    events = [
        {**EVENT, "kind": "AssetSetDeletedEvent", "metadata": {"reason": "old"}, "more": 1},
        {**EVENT, "etl": "cloud", "kind": "CloudCostSetSaved"},
        {**EVENT, "kind": "AssetSetSavedEvent"},
        EVENT,
    ]
    with canned(answer({"events": events, "next": None})) as (url, _):
        found = RemoteLog(url).events().events
    assert [(listed.etl, listed.event.kind, listed.event.size, listed.event.extra) for listed in found] == [
        ("asset", "AssetSetDeletedEvent", None, '{"reason":"old"}'),
        ("cloud", "CloudCostSetSaved", 3, None),
        ("asset", "AssetSetSaved", 3, None),
        ("asset", "AssetSetSaved", 3, None),
    ]
    assert found[2].event == Event("AssetSetSaved", NIGHT, 3)


WRONG_RUNS: list[tuple[object, str]] = [
    ({}, "data must be a list"),
    (["a"], r"data\[0\] must be an object"),
    ([RUN, {}], r"data\[1\]\.id is missing"),
    *[
        ([{**RUN, name: value}], rf"data\[0\]\.{name} is missing or malformed")
        for name, value in [
            ("id", 1),
            ("id", ""),
            ("id", "A1"),
            ("parent", "x"),
            ("name", None),
            ("service", 5),
            ("pid", -1),
            ("pid", True),
            ("pid", 10**30),
            ("started", None),
            ("started", "soon"),
            ("ended", "2022-06-03"),
            ("outcome", []),
            ("traceId", "ab"),
            ("allErrors", 0.5),
        ]
    ],
]

WRONG_EVENTS: list[tuple[object, str]] = [
    ([], "data must be an object with 'events' and 'next'"),
    ({"events": [], "next": 5}, "data must be an object"),
    ({"events": [], "next": "\x1b"}, "data must be an object"),
    ({"next": None}, "data.events must be a list"),
    *[
        ({"events": [{**EVENT, name: value}], "next": None}, message)
        for name, value, message in [
            ("etl", "no list", r"data\.events\[0\]\.etl is missing"),
            ("etl", "counters", r"data\.events\[0\]\.etl is missing"),
            ("etl", [], r"data\.events\[0\]\.etl is missing"),
            ("kind", [], r"data\.events\[0\]\.kind is missing"),
            ("kind", "AllocationSetSaved", r"data\.asset\[0\]\.kind"),
            ("time", "soon", r"data\.asset\[0\]\.time"),
            ("metadata", [], r"data\.asset\[0\]\.metadata"),
            ("metadata", {"size": -1}, r"data\.asset\[0\]\.metadata\.size"),
            ("metadata", {"x": float("nan")}, r"data\.asset\[0\]\.metadata\.x"),
            ("traceId", "x" * 32, r"data\.events\[0\]\.traceId is missing"),
            ("spanId", "ab", r"data\.events\[0\]\.spanId is missing"),
            ("run", "é", r"data\.events\[0\]\.run is missing"),
            ("cursor", "\u00e9", r"data\.events\[0\]\.cursor is missing"),
            ("cursor", "1\n", r"data\.events\[0\]\.cursor is missing"),
            ("cursor", "", r"data\.events\[0\]\.cursor is missing"),
            ("cursor", "9" * 5_000, r"data\.events\[0\]\.cursor is missing"),
        ]
    ],
]


@pytest.mark.parametrize(
    ("method", "sent", "message"),
    [
        *[("runs", answer(data), message) for data, message in WRONG_RUNS],
        *[("events", answer(data), message) for data, message in WRONG_EVENTS],
        *[
            (method, raw_response("200 OK", body), "expected a JSON object with 'data'")
            for method in ("runs", "events")
            for body in (b"<html>", b"\xff", b"[]", b"5", b"{}", b"[" * 100_000)
        ],
    ],
)
def test_other_response_is_an_error(method: str, sent: bytes, message: str) -> None:
    """The error shows the address, the place and the value."""
    with canned(sent) as (url, _), pytest.raises(RemoteLogError, match=message) as error:
        getattr(RemoteLog(url), method)()
    assert str(error.value).startswith(f"{url}/model/etl/{method} does not serve {method}: ")
    assert len(str(error.value)) < 1_000


def test_deep_metadata_is_an_error() -> None:
    """Python's own limit applies to reading, checking or writing it, depending on the depth."""
    for depth in (60, *range(800, 1_000), 100_000):
        metadata = b"[" * depth + b"]" * depth
        event = json.dumps({**EVENT, "metadata": {"x": "DEEP"}}).encode().replace(b'"DEEP"', metadata)
        with pytest.raises(ValueError, match=r"nested|expected a JSON object"):
            read_page(b'{"code":200,"data":{"events":[%s],"next":null}}' % event)
