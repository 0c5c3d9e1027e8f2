"""Set up an SDK, call `configure()`, and record in forked children; the program ends by SIGTERM."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import get_context

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_kcevents import allocation, configure


def save(size: int) -> None:
    allocation.emit("saved", size=size)


if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
    configure()
    save(1)
    with get_context("fork").Pool(2) as pool:
        pool.map(save, [2, 3, 4])
    process = get_context("fork").Process(target=save, args=(5,))
    process.start()
    process.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
