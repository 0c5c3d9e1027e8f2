"""Set a tracer provider when this module is imported, also in a spawned process, and print what it got."""

from __future__ import annotations

from multiprocessing import get_context

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from unedited_steps import DAY, load  # type: ignore[import-not-found]  # the folder is no package

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)


def work() -> None:
    load(DAY, 1)
    print(type(metrics.get_meter_provider()) is MeterProvider, [span.name for span in exporter.get_finished_spans()])


if __name__ == "__main__":
    work()
    process = get_context("spawn").Process(target=work)
    process.start()
    process.join()
