"""The pipelines that are measured: ours and one by hand, each with providers of its own, set up alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from benchmarks.hand import Period
from otel_kcevents import EventLog, RecordSet
from otel_kcevents.record.processor import EventLogProcessor

__all__ = ["HOUR", "WINDOW", "Drop", "Pipeline", "set_up"]

HOUR = timedelta(hours=1)
WINDOW: Period = (datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 1, 1, tzinfo=timezone.utc))


class Drop(SpanExporter):
    """Takes every span and does nothing with it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Pipeline(NamedTuple):
    """Ours as `records`, by hand `tracer` and `counter`; `settle` exports what waits, on both sides."""

    records: RecordSet
    tracer: trace.Tracer
    counter: metrics.Counter
    settle: Callable[[], object]


def set_up(mode: str, processor: bool = False) -> Pipeline:
    """A pipeline with the SDK `on`, its sampler `off`, or none; `processor` adds the log's, as `configure()` does."""
    log = EventLog()
    if mode == "none":
        records = RecordSet("allocation", "AllocationSet", log=log)
        counter = metrics.get_meter("by hand").create_counter("kubecost.etl.events")
        return Pipeline(records, trace.get_tracer("by hand"), counter, bool)
    ours, theirs = _tracers(mode), _tracers(mode)
    if processor:
        ours.add_span_processor(EventLogProcessor(log))
    our_meters, their_meters = (MeterProvider([InMemoryMetricReader()]) for _ in range(2))
    return Pipeline(
        RecordSet("allocation", "AllocationSet", log=log, tracer_provider=ours, meter_provider=our_meters),
        theirs.get_tracer("by hand"),
        their_meters.get_meter("by hand").create_counter("kubecost.etl.events"),
        lambda: (ours.force_flush(), theirs.force_flush()),
    )


def _tracers(mode: str) -> TracerProvider:
    provider = TracerProvider(ALWAYS_OFF if mode == "off" else ALWAYS_ON)
    provider.add_span_processor(BatchSpanProcessor(Drop()))
    return provider
