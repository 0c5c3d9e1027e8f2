"""The ETL's events in Jaeger and its counters in Prometheus, through the collector of collector.yaml."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from otel_kcevents import Event
from otel_kcevents.model.event import OPERATIONS, OUTCOMES
from stack.backends import (
    BY_KIND,
    Collector,
    Jaeger,
    Prometheus,
    Run,
    Span,
    counts_of,
    events_of,
    fetch,
    run_example,
    start_etl,
)
from stack.conftest import Stack
from stack.programs import ROOT

SEED = 7


@pytest.fixture(scope="module")
def jaeger(shared: Stack) -> Jaeger:
    return shared.jaeger()


@pytest.fixture(scope="module")
def collector(shared: Stack, jaeger: Jaeger) -> Collector:
    return shared.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)


@pytest.fixture(scope="module")
def prometheus(shared: Stack, collector: Collector) -> Prometheus:
    return shared.prometheus(collector.exposed, collector.own)


@pytest.fixture(scope="module", params=["grpc", "http/protobuf"])
def etl(request: pytest.FixtureRequest, shared: Stack, collector: Collector, prometheus: Prometheus) -> Run:
    """A finished run of the ETL, exported over gRPC or HTTP."""
    protocol = str(request.param)
    endpoint = collector.grpc if protocol == "grpc" else collector.http
    service = f"etl-over-{protocol[:4]}"
    return start_etl(shared.folder, service, "--runs=30", endpoint=endpoint, protocol=protocol).finish()


@pytest.fixture(scope="module")
def spans(etl: Run, jaeger: Jaeger) -> list[Span]:
    """What Jaeger's API returns of that run."""
    jaeger.settled(etl.service, etl.events.total())
    return jaeger.spans(etl.service)


def test_jaeger_returns_every_event_of_the_log_once_with_kind_size_window_error_and_time_to_the_nanosecond(
    etl: Run, spans: list[Span]
) -> None:
    assert etl.events.total() == 300
    stored = [event for span in spans for event in span.etl_events()]
    assert sorted(stored, key=_time) == sorted(etl.events.elements(), key=_time)


def test_jaeger_shows_each_event_under_the_span_of_its_operation(spans: list[Span]) -> None:
    runs = {span.span_id for span in spans if span.name == "hourly run"}
    operations = [span for span in spans if span.name != "hourly run"]
    assert len(runs) == 30
    for span in operations:
        (event,) = span.etl_events()
        operation, set_name = span.name.split()
        success, failure = OPERATIONS[operation]
        assert event.kind == set_name + OUTCOMES[failure if event.failure else success or ""].suffix
        assert span.attributes["kcevents.operation"] == operation
        assert span.parent in runs


def test_jaeger_shows_a_failed_operation_as_an_error_with_its_exception(spans: list[Span]) -> None:
    failed = [span for span in spans if any(event.failure for event in span.etl_events())]
    assert {span.name for span in failed} == {"reconcile AllocationSet", "compute AssetSet"}
    assert {span.status for span in failed} == {2}
    assert {span.status for span in spans if span not in failed} == {0}
    for span in failed:
        (exception,) = (attributes for name, _, attributes in span.events if name == "exception")
        assert exception["exception.type"].endswith("SourceGone")
        assert "SourceGone" in exception["exception.stacktrace"]


def test_jaeger_finds_the_traces_with_an_error_event_by_its_kind(etl: Run, jaeger: Jaeger) -> None:
    found = fetch(
        f"{jaeger.url}/api/traces",
        service=etl.service,
        tags='{"kcevents.kind":"AssetSetComputeError"}',
        limit="1000",
    )
    assert len(found["data"]) == etl.counts["asset", "AssetSetComputeError"] == 6


def test_jaegers_older_api_gives_times_in_microseconds_and_the_events_name(etl: Run, jaeger: Jaeger) -> None:
    found = fetch(f"{jaeger.url}/api/traces", service=etl.service, limit="1000")
    logs = [entry for trace in found["data"] for span in trace["spans"] for entry in span["logs"]]
    fields = [(entry["timestamp"], {one["key"]: one["value"] for one in entry["fields"]}) for entry in logs]
    stored = [(at, values["event"]) for at, values in fields if "kcevents.kind" in values]
    assert sorted(stored) == sorted((event.time // 1000, event.kind) for event in etl.events.elements())


def test_prometheus_answers_with_exactly_the_logs_counters(etl: Run, prometheus: Prometheus) -> None:
    assert etl.counts["allocation", "AllocationSetReconcileError"] == 6
    assert prometheus.settled(etl.service, etl.counts) == etl.counts


def test_the_counters_stay_exact_when_one_trace_in_a_hundred_is_sampled(
    shared: Stack, collector: Collector, prometheus: Prometheus, jaeger: Jaeger
) -> None:
    sampled = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    few = [
        number
        for number in range(200)
        if random.Random(SEED * 1_000_003 + number).getrandbits(128) % 2**64 < 2**64 / 100
    ]
    etl = start_etl(
        shared.folder, "etl-sampled", "--runs=200", f"--seed={SEED}", endpoint=collector.grpc, **sampled
    ).finish()
    assert prometheus.settled(etl.service, etl.counts) == etl.counts
    assert sum(etl.counts.values()) == 2000
    assert 0 < len(few) < 10
    assert jaeger.settled(etl.service, 10 * len(few)).total() == 10 * len(few)


def test_the_counters_of_four_worker_processes_add_up(
    shared: Stack, collector: Collector, prometheus: Prometheus, jaeger: Jaeger
) -> None:
    etl = start_etl(shared.folder, "etl-workers", "--runs=80", "--processes=4", endpoint=collector.grpc).finish()
    assert len(etl.documents) == 4
    assert prometheus.settled(etl.service, etl.counts) == etl.counts
    assert len(prometheus.query('count by (instance) (kubecost_etl_events_total{job="etl-workers"})')) == 4
    assert jaeger.settled(etl.service, etl.events.total()) == etl.events


def test_the_dashboards_own_query_adds_up_all_services(etl: Run, prometheus: Prometheus) -> None:
    prometheus.settled(etl.service, etl.counts)
    jobs = {one["metric"]["job"] for one in prometheus.query("count by (job) (kubecost_etl_events_total)")}
    apart = [Counter(prometheus.counts(job)) for job in jobs]
    assert etl.service in jobs
    assert prometheus.by_kind(BY_KIND) == sum(apart, Counter())


def test_the_example_etl_shows_up_whole_over_grpc_and_over_http(
    collector: Collector, prometheus: Prometheus, jaeger: Jaeger
) -> None:
    example = ROOT / "examples" / "focus_etl.py"
    logs = [
        run_example(example, collector.grpc, "grpc"),
        run_example(example, collector.http, "http/protobuf"),
    ]
    events, counts = events_of(logs), counts_of(logs)
    assert events.total() == sum(counts.values()) > 500
    assert jaeger.settled("focus-etl", events.total()) == events
    assert prometheus.settled("focus-etl", counts) == counts


def _time(event: Event) -> int:
    return event.time
