"""`unconfigured.py NAME`: run one of the functions below, which call `configure()` themselves."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import warnings

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_kcevents import asset, configure, default_log, flush


def own_providers() -> None:
    own = TracerProvider()
    trace.set_tracer_provider(own)
    metrics.set_meter_provider(MeterProvider())
    configure()
    configure()
    with trace.get_tracer("test").start_as_current_span("span") as span:
        span.add_event("AssetSetSaved")
    print(trace.get_tracer_provider() is own, default_log.counts())


def noop_providers() -> None:
    trace.set_tracer_provider(trace.NoOpTracerProvider())
    metrics.set_meter_provider(metrics.NoOpMeterProvider())
    configure()
    asset.emit("saved")
    print(default_log.counts())


def flush_own_provider() -> None:
    exporter = InMemorySpanExporter()
    own = TracerProvider()
    own.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(own)
    configure()
    asset.emit("saved")
    print(flush(), len(exporter.get_finished_spans()))
    own.force_flush = lambda timeout: False  # type: ignore[method-assign, assignment, misc]
    print(flush())


def flush_broken_provider() -> None:
    def broken(timeout: float) -> bool:
        raise RuntimeError("broken")

    own = MeterProvider()
    own.force_flush = broken  # type: ignore[method-assign, assignment]
    metrics.set_meter_provider(own)
    configure()
    print(flush())


def flush_without_export() -> None:
    print(flush(0))
    configure()
    print(flush(0))


def flush_after_end() -> None:
    atexit.register(lambda: print(flush()))  # runs after the handler of configure()
    configure()
    asset.emit("saved")


def configure_in_threads() -> None:
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        configure()
        asset.emit("saved", size=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def missing_exporter() -> None:
    sys.modules["opentelemetry.exporter.otlp"] = None  # type: ignore[assignment]
    configure()


def wrong_settings() -> None:
    tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
    try:
        configure()
    except ValueError as error:
        print(error)
    print(flush(), trace.get_tracer_provider() is tracers, metrics.get_meter_provider() is meters)


def own_handler() -> None:
    signal.signal(signal.SIGTERM, lambda *signal: sys.exit(7))
    configure()
    asset.emit("saved")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def terminate_during_fork() -> None:
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    configure()
    asset.emit("saved")
    child = os.fork()
    if not child:
        time.sleep(60)
    print(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    globals()[sys.argv[1]]()
