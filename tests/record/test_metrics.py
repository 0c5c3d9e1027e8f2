"""The observable instruments: their exported names, and the logs that they read."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import run_program
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, Sum
from telemetry import DAY, Telemetry, collect, counter_values, metric_values

from otel_kcevents.record.record_set import RecordSet
from otel_kcevents.store.log import EventLog
from otel_kcevents.version import __version__

OUTCOMES = ["saved", "loaded", "aggregated", "totaled", "reconciled", "compute_error", "reconcile_error"]


def test_counter_has_the_documented_names(telemetry: Telemetry) -> None:
    telemetry.asset.emit("totaled")
    (scope,) = collect(telemetry.reader)
    (metric,) = [metric for metric in scope.metrics if metric.name == "kubecost.etl.events"]
    assert (scope.scope.name, scope.scope.version) == ("otel_kcevents", __version__)
    assert metric.unit == "{event}"
    assert metric.description == "Kubecost ETL events counted by kind."
    assert isinstance(metric.data, Sum)
    assert metric.data.is_monotonic
    assert metric.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
    assert [dict(p.attributes or {}) for p in metric.data.data_points] == [{"etl": "asset", "event": "AssetSetTotaled"}]


def test_prometheus_series_is_kubecosts_own() -> None:
    prometheus = pytest.importorskip("opentelemetry.exporter.prometheus")
    client = pytest.importorskip("prometheus_client")
    provider = MeterProvider([prometheus.PrometheusMetricReader()], shutdown_on_exit=False)
    try:
        RecordSet("allocation", "AllocationSet", log=EventLog(), meter_provider=provider).emit("saved")
        (family,) = [f for f in client.REGISTRY.collect() if f.name == "kubecost_etl_events"]
        assert "# TYPE kubecost_etl_events_total counter" in client.generate_latest().decode()
    finally:
        provider.shutdown()
    (sample,) = family.samples
    labels = {name: value for name, value in sample.labels.items() if not name.startswith("otel_scope_")}
    assert (family.type, family.documentation) == ("counter", "Kubecost ETL events counted by kind.")
    assert (sample.name, labels, sample.value) == (
        "kubecost_etl_events_total",
        {"etl": "allocation", "event": "AllocationSetSaved"},
        1,
    )


def test_each_collection_equals_the_logs_counts(telemetry: Telemetry) -> None:
    for number, outcome in enumerate(OUTCOMES, 1):
        for _ in range(number):
            telemetry.allocation.emit(outcome)
            telemetry.asset.emit(outcome)
        assert {event: count for (_, event), count in telemetry.counters.items()} == telemetry.log.counts()
    assert sum(telemetry.counters.values()) == 2 * sum(range(1, 8))


def test_sets_of_one_log_share_one_instrument(telemetry: Telemetry) -> None:
    telemetry.record_set("asset", "AssetSet").emit("saved")
    (scope,) = collect(telemetry.reader)
    names = [metric.name for metric in scope.metrics]
    assert len(names) == len(set(names))
    assert telemetry.counters == {("asset", "AssetSetSaved"): 1}


def test_logs_of_one_provider_are_summed(telemetry: Telemetry) -> None:
    other = RecordSet("asset", "AssetSet", log=EventLog(), meter_provider=telemetry.meter_provider)
    for assets in (telemetry.asset, other, other):
        assets.emit("saved")
    assert telemetry.counters == {("asset", "AssetSetSaved"): 3}


def test_one_log_is_counted_for_each_provider(telemetry: Telemetry) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    RecordSet("asset", "AssetSet", log=telemetry.log, meter_provider=provider).emit("saved")
    assert counter_values(reader) == telemetry.counters == {("asset", "AssetSetSaved"): 1}


def test_provider_both_given_and_global_counts_every_log() -> None:
    """The SDK keeps one instrument of each name, so that one has to read the logs of both."""
    out, err = run_program("global_provider_given")
    assert out == "[(('asset', 'AssetSetLoaded'), 2), (('cloudCost', 'CloudCostSetSaved'), 1)]\n"
    assert err == ""


def test_instruments_have_the_documented_names(telemetry: Telemetry) -> None:
    telemetry.asset.emit("saved", size=3, window=DAY)
    (scope,) = collect(telemetry.reader)
    assert [(metric.name, metric.unit, type(metric.data).__name__) for metric in scope.metrics] == [
        ("kubecost.etl.events", "{event}", "Sum"),
        ("kubecost.etl.records", "{record}", "Sum"),
        ("kubecost.etl.last_event.timestamp", "s", "Gauge"),
        ("kubecost.etl.last_window_end.timestamp", "s", "Gauge"),
    ]
    points: list[Any] = [metric.data.data_points[0] for metric in scope.metrics]
    assert [list(point.attributes) for point in points] == [["etl", "event"]] * 3 + [["etl", "event", "resolution"]]


def test_totals_of_each_kind_are_observed(telemetry: Telemetry) -> None:
    telemetry.asset.emit("saved", size=3, window=DAY, time=1_700_000_000_250_000_000)
    telemetry.asset.emit("saved", size=4)
    telemetry.allocation.emit("loaded", size=0, window=(DAY.start_text, "2022-06-03T01:00:00Z"))
    telemetry.allocation.emit("totaled", time=1_700_000_000_250_000_000)
    saved, loaded, totaled = ("asset", "AssetSetSaved"), ("allocation", "AllocationSetLoaded"), "AllocationSetTotaled"
    assert metric_values(telemetry.reader, "kubecost.etl.records") == {saved: 7, loaded: 0}
    times = metric_values(telemetry.reader, "kubecost.etl.last_event.timestamp")
    assert times.keys() == {saved, loaded, ("allocation", totaled)}
    assert times["allocation", totaled] == 1_700_000_000.25
    assert metric_values(telemetry.reader, "kubecost.etl.last_window_end.timestamp") == {
        (*saved, "daily"): 1_654_300_800,
        (*loaded, "hourly"): 1_654_218_000,
    }


def test_totals_of_several_logs_are_merged(telemetry: Telemetry) -> None:
    other = RecordSet("asset", "AssetSet", log=EventLog(), meter_provider=telemetry.meter_provider)
    for assets, time in ((telemetry.asset, 7), (other, 5)):
        assets.emit("saved", size=2, time=time * 10**9)
    saved = ("asset", "AssetSetSaved")
    assert metric_values(telemetry.reader, "kubecost.etl.records") == {saved: 4}
    assert metric_values(telemetry.reader, "kubecost.etl.last_event.timestamp") == {saved: 7}


def test_sum_above_the_largest_integer_of_otlp_is_cut(telemetry: Telemetry) -> None:
    for _ in range(2):
        telemetry.asset.emit("saved", size=2**63 - 1)
    assert metric_values(telemetry.reader, "kubecost.etl.records") == {("asset", "AssetSetSaved"): 2**63 - 1}
