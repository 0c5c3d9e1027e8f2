"""The two pipelines that are compared, this package's and the handwritten one, each with its own providers."""

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

from benchmarks.hand import ROWS, Load, Period
from otel_kcevents import EventLog, EventLogProcessor, Journal, RecordSet

__all__ = ["HOUR", "WINDOW", "Drop", "Pipeline", "set_up"]

HOUR = timedelta(hours=1)
WINDOW: Period = (datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 1, 1, tzinfo=timezone.utc))


class Drop(SpanExporter):
    """Accepts every span and discards it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Pipeline(NamedTuple):
    """This package's record set, and the tracer and the counter of the handwritten code.

    `settle` exports what both sides have buffered.
    """

    records: RecordSet
    tracer: trace.Tracer
    counter: metrics.Counter
    settle: Callable[[], object]

    def decorated(self) -> Load:
        """Return a decorated function."""

        @self.records.load
        def load(window: Period) -> list[int]:
            return ROWS

        return load


def set_up(mode: str, journal: str | None = None) -> Pipeline:
    """Set up both pipelines.

    Args:
        mode: With the SDK ("on"), with its sampler off ("off") or without an SDK ("none"). With the SDK, this package's
            side also has an `EventLogProcessor`, as after `configure()`.
        journal: The path of the journal of this package's side; None for no journal.
    """
    log = EventLog()
    if journal is not None:
        log.attach(Journal(journal))
    if mode == "none":
        records = RecordSet("allocation", "AllocationSet", log=log)
        counter = metrics.get_meter("by hand").create_counter("kubecost.etl.events")
        return Pipeline(records, trace.get_tracer("by hand"), counter, bool)
    ours, theirs = (TracerProvider(ALWAYS_OFF if mode == "off" else ALWAYS_ON) for _ in range(2))
    for provider in (ours, theirs):
        provider.add_span_processor(BatchSpanProcessor(Drop()))
    ours.add_span_processor(EventLogProcessor(log))
    our_meters, their_meters = (MeterProvider([InMemoryMetricReader()]) for _ in range(2))
    return Pipeline(
        RecordSet("allocation", "AllocationSet", log=log, tracer_provider=ours, meter_provider=our_meters),
        theirs.get_tracer("by hand"),
        their_meters.get_meter("by hand").create_counter("kubecost.etl.events"),
        lambda: (ours.force_flush(), theirs.force_flush()),
    )
