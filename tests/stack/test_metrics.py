"""The metrics of a program, through the collector and from its journal: they have the same names, labels and values."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from otel_kcevents import Journal, LogServer, start_http_server
from otel_kcevents.model.metrics import DURATION, EVENTS, LAST_EVENT, LAST_WINDOW_END, RECORDS, RUN_LAST_END
from stack.backends import Collector, Prometheus
from stack.conftest import Stack
from stack.programs import ROOT, path_of, wait_until

PER_KIND = [metric.prometheus_name for metric in (EVENTS, RECORDS, LAST_EVENT, LAST_WINDOW_END)]
Exposed = dict[str, Any]
"""By the name of a metric: its help and type, and its values by labels."""


@pytest.fixture(scope="module")
def collector(shared: Stack) -> Collector:
    return shared.collector("collector.yaml")


@pytest.fixture(scope="module")
def server(shared: Stack, collector: Collector) -> Iterator[LogServer]:
    """Serves the journal of a program that has also exported its metrics."""
    file = shared.folder / "kcevents.db"
    settings = {"OTEL_PYTHON_KCEVENTS_LOG_FILE": str(file), "OTEL_PYTHON_KCEVENTS_DURATIONS": "true"}
    shared.etl("etl", endpoint=collector.grpc, **settings).finish()
    with start_http_server(0, log=Journal(file), metrics=True, max_load=1) as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(shared: Stack, collector: Collector, server: LogServer) -> Prometheus:
    """Scrapes both."""
    return shared.prometheus(collector.exposed, journals=[f"127.0.0.1:{server.port}"])


def text_of(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def exposed(text: str) -> Exposed:
    """Return the samples of an exposition, without the labels of the process."""
    found: Exposed = {}
    for family in text_string_to_metric_families(text):
        values = {
            tuple(sorted((name, value) for name, value in sample.labels.items() if name not in ("job", "instance"))): (
                sample.value
            )
            for sample in family.samples
        }
        if family.samples:
            found[family.samples[0].name] = (family.documentation, family.type, values)
    return found


def test_journal_and_collector_expose_the_same_metrics(collector: Collector, server: LogServer) -> None:
    of_journal = exposed(text_of(f"127.0.0.1:{server.port}"))
    assert list(of_journal) == [*PER_KIND, RUN_LAST_END.prometheus_name]

    def are_equal() -> bool:
        of_collector = exposed(text_of(collector.exposed))
        return [of_collector.get(name) for name in PER_KIND] == [of_journal[name] for name in PER_KIND]

    wait_until(are_equal, "the same metrics")


def test_durations_are_a_histogram_in_seconds(collector: Collector, server: LogServer) -> None:
    name = DURATION.prometheus_name
    wait_until(lambda: f"{name}_count" in text_of(collector.exposed), "durations")
    families = {family.name: family for family in text_string_to_metric_families(text_of(collector.exposed))}
    counts = {
        tuple(sample.labels.get(label, "") for label in DURATION.labels): sample.value
        for sample in families[name].samples
        if sample.name == f"{name}_count"
    }
    assert counts["allocation", "load", ""] == 20
    assert counts["asset", "compute", "__main__.SourceUnavailable"] == 4
    assert (families[name].type, families[name].documentation) == ("histogram", DURATION.description)


def test_promtool_finds_no_problem(server: LogServer) -> None:
    text = text_of(f"127.0.0.1:{server.port}")
    done = subprocess.run(
        [path_of("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_prometheus_scrapes_a_journal(prometheus: Prometheus, server: LogServer) -> None:
    instance = f'{{job="kcevents-journal",instance="127.0.0.1:{server.port}"}}'
    wait_until(lambda: prometheus.query(f"{EVENTS.prometheus_name}{instance}"), "the journal's metrics")
    [age] = prometheus.query(f'time() - {RUN_LAST_END.prometheus_name}{{service="etl",outcome="ended"}}')
    assert 0 < float(age["value"][1]) < 600
    [window] = prometheus.query(f"max({LAST_WINDOW_END.prometheus_name}{instance})")
    assert float(window["value"][1]) == 1_767_225_600 + 20 * 3_600  # 2026-01-01, and 20 hours


def test_journal_is_recognized_by_its_job(prometheus: Prometheus, collector: Collector) -> None:
    """A sum over both would count each event twice."""
    by_job = f"sum by (job) ({EVENTS.prometheus_name})"
    wait_until(lambda: len(prometheus.query(by_job)) == 2, "both jobs")
    assert {one["metric"]["job"]: one["value"][1] for one in prometheus.query(by_job)} == {
        "etl": "200",
        "kcevents-journal": "200",
    }


def test_queries_of_the_page_are_valid(prometheus: Prometheus) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    queries = re.findall(r"^\| [^|]+\? \| `([^`]+)`", page, re.M)
    assert len(queries) == 6
    wait_until(lambda: prometheus.query(EVENTS.prometheus_name), "metrics")
    found = {query: prometheus.query(query) for query in queries}
    assert len(found[queries[1]]) == 2  # the windows of this ETL are months old
    assert found[queries[0]] == found[queries[2]] == []
