"""The ETL's events reach Jaeger and its counters reach Prometheus, through the collector of collector.yaml."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from otel_kcevents.model.event import OPERATIONS, OUTCOMES
from stack.backends import BY_KIND, COUNTER, Run, Span, counts_of, events_of, fetch, run_example
from stack.conftest import Backends, Stack

SEED = 7


@pytest.fixture(scope="module")
def backends(shared: Stack) -> Backends:
    return shared.backends()


@pytest.fixture(scope="module", params=["grpc", "http/protobuf"])
def etl(request: pytest.FixtureRequest, shared: Stack, backends: Backends) -> Run:
    """A finished run of the ETL, exported over gRPC or HTTP."""
    protocol = str(request.param)
    endpoint = backends.collector.grpc if protocol == "grpc" else backends.collector.http
    return shared.etl(f"etl-over-{protocol[:4]}", "--runs=30", endpoint=endpoint, protocol=protocol).finish()


@pytest.fixture(scope="module")
def spans(etl: Run, backends: Backends) -> list[Span]:
    """The spans of that run as Jaeger's API returns them."""
    backends.jaeger.wait_for_events(etl.service, etl.events.total())
    return backends.jaeger.spans(etl.service)


def test_jaeger_returns_each_event_of_the_log_exactly_once(etl: Run, spans: list[Span]) -> None:
    """With kind, size, window, error, and time to the nanosecond."""
    assert etl.events.total() == 300
    assert Counter(event for span in spans for event in span.etl_events()) == etl.events


def test_each_event_is_on_the_span_of_its_operation(spans: list[Span]) -> None:
    runs = {span.span_id for span in spans if span.name == "hourly run"}
    assert len(runs) == 30
    for span in spans:
        if span.span_id not in runs:
            (event,) = span.etl_events()
            operation, set_name = span.name.split()
            success, failure = OPERATIONS[operation]
            assert event.kind == set_name + OUTCOMES[failure if event.failure else success or ""].suffix
            assert span.attributes["kcevents.operation"] == operation
            assert span.parent in runs


def test_failed_operation_has_error_status_and_exception(spans: list[Span]) -> None:
    failed = [span for span in spans if any(event.failure for event in span.etl_events())]
    assert {span.name for span in failed} == {"reconcile AllocationSet", "compute AssetSet"}
    assert {span.status for span in failed} == {2}
    assert {span.status for span in spans if span not in failed} == {0}
    for span in failed:
        (exception,) = (attributes for name, _, attributes in span.events if name == "exception")
        assert exception["exception.type"].endswith("SourceUnavailable")
        assert "SourceUnavailable" in exception["exception.stacktrace"]


def test_jaeger_finds_traces_by_the_kind_of_an_error(etl: Run, backends: Backends) -> None:
    tags = '{"kcevents.kind":"AssetSetComputeError"}'
    found = fetch(f"{backends.jaeger.url}/api/traces", service=etl.service, tags=tags, limit="1000")
    assert len(found["data"]) == etl.counts["asset", "AssetSetComputeError"] == 6


def test_jaegers_older_api_returns_microseconds_and_kinds(etl: Run, backends: Backends) -> None:
    found = fetch(f"{backends.jaeger.url}/api/traces", service=etl.service, limit="1000")
    logs = [entry for trace in found["data"] for span in trace["spans"] for entry in span["logs"]]
    fields = [(entry["timestamp"], {one["key"]: one["value"] for one in entry["fields"]}) for entry in logs]
    stored = [(time, values["event"]) for time, values in fields if "kcevents.kind" in values]
    assert sorted(stored) == sorted((event.time // 1000, event.kind) for event in etl.events.elements())


def test_prometheus_returns_exactly_the_logs_counters(etl: Run, backends: Backends) -> None:
    assert etl.counts["allocation", "AllocationSetReconcileError"] == 6
    assert backends.prometheus.wait_for_counts(etl.service, etl.counts) == etl.counts


def test_counters_stay_exact_if_one_trace_in_100_is_sampled(shared: Stack, backends: Backends) -> None:
    sampler = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    trace_ids = (random.Random(SEED * 1_000_003 + number).getrandbits(128) for number in range(200))
    sampled = sum(trace_id % 2**64 < 2**64 / 100 for trace_id in trace_ids)
    arguments = ("--runs=200", f"--seed={SEED}")
    etl = shared.etl("etl-sampled", *arguments, endpoint=backends.collector.grpc, **sampler).finish()
    assert backends.prometheus.wait_for_counts(etl.service, etl.counts) == etl.counts
    assert sum(etl.counts.values()) == 2000
    assert 0 < sampled < 10
    assert backends.jaeger.wait_for_events(etl.service, 10 * sampled).total() == 10 * sampled


def test_counters_of_worker_processes_add_up(shared: Stack, backends: Backends) -> None:
    etl = shared.etl("etl-workers", "--runs=80", "--processes=4", endpoint=backends.collector.grpc).finish()
    assert len(etl.documents) == 4
    assert backends.prometheus.wait_for_counts(etl.service, etl.counts) == etl.counts
    assert len(backends.prometheus.query(f'count by (instance) ({COUNTER}{{job="etl-workers"}})')) == 4
    assert backends.jaeger.wait_for_events(etl.service, etl.events.total()) == etl.events


def test_dashboard_query_adds_up_all_services(etl: Run, backends: Backends) -> None:
    prometheus = backends.prometheus
    prometheus.wait_for_counts(etl.service, etl.counts)
    jobs = {series["metric"]["job"] for series in prometheus.query(f"count by (job) ({COUNTER})")}
    assert etl.service in jobs
    assert prometheus.by_kind(BY_KIND) == sum((Counter(prometheus.counts(job)) for job in jobs), Counter())


def test_example_is_delivered_over_grpc_and_over_http(backends: Backends) -> None:
    logs = [run_example(backends.collector.grpc), run_example(backends.collector.http, "http/protobuf")]
    events, counts = events_of(logs), counts_of(logs)
    assert events.total() == sum(counts.values()) > 500
    assert backends.jaeger.wait_for_events("focus-etl", events.total()) == events
    assert backends.prometheus.wait_for_counts("focus-etl", counts) == counts
