"""The totals of a source as metrics for Prometheus: one long-lived series per kind, and when the latest runs ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_kcevents.model.metrics import EVENTS, LAST_EVENT, LAST_WINDOW_END, RECORDS, RUN_LAST_END, Metric
from otel_kcevents.model.timestamps import SECOND, parse_time
from otel_kcevents.store.query import NotAvailableError
from otel_kcevents.store.source import Source
from otel_kcevents.store.totals import KindTotals, totals_of

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

__all__ = ["METRICS_PATH", "expose"]

METRICS_PATH = "/metrics"
"""The path at which Prometheus looks for metrics."""

_Samples = dict[tuple[str, ...], float]


def expose(source: Source, accept: str) -> tuple[str, bytes]:
    """Return the metrics of a source, in the format that a client prefers.

    A source without totals or runs has fewer metrics.

    Args:
        source: The source.
        accept: The header `Accept` of the client; OpenMetrics, or Prometheus's text format by default.

    Returns:
        The content type, and the body.

    Raises:
        ModuleNotFoundError: prometheus_client is not installed.
        OSError: The source cannot be read.
    """
    from prometheus_client.exposition import choose_encoder

    families = _Families(list(_families(totals_of(source), _runs_of(source))))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is not one
        encode, content_type = choose_encoder("")
    return content_type, encode(families)


class _Families:
    """What prometheus_client's encoders take: a collector of metrics."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Sequence[Family]:
        return self._families


def _runs_of(source: Any) -> Sequence[Mapping[str, Any]]:
    try:
        runs: Sequence[Mapping[str, Any]] = source.runs() if hasattr(source, "runs") else ()
    except NotAvailableError:
        return ()
    return runs


def _families(totals: Sequence[KindTotals], runs: Sequence[Mapping[str, Any]]) -> Iterator[Family]:
    """Yield the metrics that have a value."""
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    samples: dict[Metric, _Samples] = {
        EVENTS: {(one.etl, one.kind): one.events for one in totals},
        RECORDS: {(one.etl, one.kind): one.records for one in totals if one.records is not None},
        LAST_EVENT: {(one.etl, one.kind): one.last_event / SECOND for one in totals},
        LAST_WINDOW_END: {
            (one.etl, one.kind, resolution): end / SECOND
            for one in totals
            for resolution, end in one.window_ends.items()
        },
        RUN_LAST_END: _last_ends(runs),
    }
    for metric, values in samples.items():
        create = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
        family = create(metric.prometheus_name, metric.description, labels=metric.labels)
        for labels, value in values.items():
            family.add_metric(labels, value)
        if values:
            yield family


def _last_ends(runs: Sequence[Mapping[str, Any]]) -> _Samples:
    """Return when the latest root run of each service ended in each way.

    A killed run has no end, so it counts as ended at its last event, or at its start if it has none.
    """
    found: dict[tuple[str, ...], float] = {}
    for run in runs:
        if run["parent"] is None and run["outcome"] != "running":
            time = parse_time(run["ended"] or run["lastEvent"] or run["started"]) / SECOND
            key = run["service"] or run["program"], run["outcome"]
            found[key] = max(time, found.get(key, time))
    return found
