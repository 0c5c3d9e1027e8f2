"""`GET /metrics`: the totals of a source and the ends of its runs, as Prometheus reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from clients import Answer, ask_port, filled, low
from journals import NIGHT, run_of, write, write_nights
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from otel_kcevents import EventLog, Journal, respond, start_http_server
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event
from otel_kcevents.model.timestamps import SECOND, format_time
from otel_kcevents.model.window import Window
from otel_kcevents.serve.metrics import expose
from otel_kcevents.store.query import NotAvailableError
from otel_kcevents.store.source import Source

RUN_END = "kcevents_run_last_end_timestamp_seconds"
Samples = dict[tuple[str, ...], float]


class Runs:
    """A source with these runs, and no totals."""

    def __init__(self, *runs: Mapping[str, Any], error: OSError | None = None) -> None:
        self._runs = runs
        self._error = error

    def counts(self) -> dict[str, int]:
        return filled().counts()

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        return filled().document()

    def runs(self) -> Sequence[Mapping[str, Any]]:
        if self._error is not None:
            raise self._error
        return self._runs


def run_at(outcome: str, ended: int | None, last: int | None = None, **fields: Any) -> dict[str, Any]:
    """A run that started at second 100; the times are in seconds since 1970."""
    times = [None if time is None else format_time(time * SECOND) for time in (ended, last)]
    times_of_run = {"started": format_time(100 * SECOND), "ended": times[0], "lastEvent": times[1]}
    return {"parent": None, "service": "costs", "program": "etl.py", "outcome": outcome, **times_of_run, **fields}


def ask(source: Source, accept: str = "", method: str = "GET") -> Answer:
    status, headers, body = respond(method, "/metrics", log=source, metrics=lambda log: expose(log, accept))
    return Answer(status, low(headers), body)


def samples(source: Source, name: str) -> Samples:
    """Return the values of a metric by those of its labels, in the order of the names of the labels."""
    found = [sample for family in read_text(ask(source).body.decode()) for sample in family.samples]
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for sample in found
        if sample.name == name
    }


def test_metrics_are_the_totals_of_the_source() -> None:
    log = filled()
    log.append(Event("AllocationSetSaved", NIGHT, 3))
    saved, assets = ("allocation", "AllocationSetSaved"), ("asset", "AssetSetSaved")
    totaled, failed = ("allocation", "AllocationSetTotaled"), ("asset", "AssetSetComputeError")
    assert samples(log, "kubecost_etl_events_total") == {saved: 2, totaled: 1, assets: 1, failed: 1}
    assert samples(log, "kubecost_etl_records_total") == {saved: 100, assets: 29}
    times = samples(log, "kubecost_etl_last_event_timestamp_seconds")
    assert set(times) == {saved, totaled, assets, failed}
    assert times[saved] == NIGHT / SECOND
    assert samples(log, "kubecost_etl_last_window_end_timestamp_seconds") == {
        (*saved, "hourly"): 1_654_254_000,
        (*assets, "hourly"): 1_654_254_000,
        (*totaled, "daily"): 1_654_300_800,
    }


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text;version=abc", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_client_gets_the_format_that_it_accepts(accept: str, content_type: str) -> None:
    answer = ask(filled(), accept)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(content_type)
    assert "charset=utf-8" in answer.headers["content-type"]
    read = read_openmetrics if "openmetrics" in content_type else read_text
    families = list(read(answer.body.decode()))
    assert {family.type for family in families} == {"counter", "gauge"}
    assert all(family.documentation for family in families)


def test_head_has_the_same_headers_and_no_body() -> None:
    full, head = ask(filled()), ask(filled(), method="HEAD")
    assert (head.status, head.headers, head.body) == (200, full.headers, b"")


def test_source_without_events_has_no_metrics() -> None:
    assert ask(EventLog()).body == b""


# Runs


@pytest.mark.parametrize(
    ("runs", "ends"),
    [
        ([run_at("ended", 200)], {("ended", "costs"): 200}),
        ([run_at("ended", 300), run_at("ended", 200)], {("ended", "costs"): 300}),
        ([run_at("ended", 200), run_at("failed", 300)], {("ended", "costs"): 200, ("failed", "costs"): 300}),
        ([run_at("killed", None, 150)], {("killed", "costs"): 150}),
        ([run_at("killed", None)], {("killed", "costs"): 100}),
        ([run_at("running", None, 150)], {}),
        ([run_at("failed", 200, parent="a")], {}),
        ([run_at("ended", 200, service=None)], {("ended", "etl.py"): 200}),
        ([run_at("ended", 200, service='a "b"\n\\c 円')], {("ended", 'a "b"\n\\c 円'): 200}),
    ],
    ids=["ended", "latest", "outcomes", "killed", "silent", "running", "worker", "program", "escaped"],
)
def test_root_runs_tell_when_they_ended(runs: Sequence[Mapping[str, Any]], ends: Samples) -> None:
    assert samples(Runs(*runs), RUN_END) == ends


def test_runs_of_a_journal_are_exposed(tmp_path: Path) -> None:
    journal = Journal(write_nights(tmp_path / "log.db"))
    write(tmp_path / "log.db", run_of("f", None, 9))
    assert samples(journal, RUN_END) == {("killed", "costs"): NIGHT / SECOND + 9}
    assert samples(journal, "kubecost_etl_records_total") == {("asset", "AssetSetSaved"): 16}


def test_source_that_has_no_runs_lacks_only_those() -> None:
    source = Runs(error=NotAvailableError("this program has no journal"))
    assert samples(source, RUN_END) == {}
    assert sum(samples(source, "kubecost_etl_events_total").values()) == 4


def test_source_without_totals_lacks_only_records() -> None:
    assert samples(Runs(), "kubecost_etl_records_total") == {}
    for name in ("events_total", "last_event_timestamp_seconds", "last_window_end_timestamp_seconds"):
        assert samples(Runs(), f"kubecost_etl_{name}") == samples(filled(), f"kubecost_etl_{name}")


# Refusals


def test_unreadable_source_is_a_503() -> None:
    answer = ask(Runs(error=OSError("disk failure")))
    assert (answer.status, answer.message) == (503, "the log cannot be read: disk failure")


def test_missing_package_is_a_501_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    answer = ask(filled())
    assert answer.status == 501
    assert "prometheus_client" in answer.message
    assert "pip install 'otel-kcevents[metrics]'" in answer.message


@pytest.mark.parametrize(("metrics", "status"), [(True, 200), (False, 404)])
def test_server_answers_only_if_asked_for(metrics: bool, status: int) -> None:
    with start_http_server(0, log=filled(), metrics=metrics) as server:
        answer = ask_port(server.port, target="/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.status == status
    assert not metrics or answer.body.endswith(b"# EOF\n")
