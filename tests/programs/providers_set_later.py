"""Set the global providers after a decorated call; print spans, counter and log."""

from __future__ import annotations

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from telemetry import counter_values

from otel_kcevents import allocation, default_log


@allocation.save
def save(rows: list[int]) -> None: ...


save([1])
exporter, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
save([1, 2])
save([1, 2])
print([span.name for span in exporter.get_finished_spans()])
print(counter_values(reader), default_log.counts())
