"""`configure()` and `flush()`: providers if none are set, OTLP export, and a flush when the program ends.

The SDK is imported when `configure()` is called: decorators alone need only the API.
"""

from __future__ import annotations

import atexit
import logging
from time import monotonic
from typing import Any, NamedTuple

from opentelemetry import metrics, trace

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.sdk.children import export_on_termination, publish_to_children
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["configure", "flush"]

_logger = logging.getLogger("otel_kcevents")


class _Setup(NamedTuple):
    """What `configure()` set up in this process: the delivery, and the providers that it set."""

    delivery: Delivery
    providers: list[Any]


_setup: _Setup | None = None


def configure(*, service_name: str | None = None, log: EventLog = default_log) -> None:
    """Set up OpenTelemetry for a script: providers if none are set, export, the log, and a flush when it ends.

    Traces and metrics are exported to an OTLP collector if `OTEL_EXPORTER_OTLP_ENDPOINT` is set, over gRPC or, with
    `OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`, over HTTP. Everything is flushed at interpreter exit and on SIGTERM,
    unless the program handles that signal itself. Processes that `multiprocessing` starts from this one, by any
    start method, configure themselves the same way and export their own events. A second call changes nothing.

    Args:
        service_name: The service name if neither `OTEL_SERVICE_NAME` nor `OTEL_RESOURCE_ATTRIBUTES` has one.
        log: The log that also receives the events of other code's spans. Of `multiprocessing` children, only forked
            ones use it.

    Raises:
        ModuleNotFoundError: An exporter is needed but not installed.
        ValueError: A setting is malformed. The message names it, but never shows a header or a password.
    """
    global _setup
    with FORK_LOCK:
        if _setup is not None:
            return
        _setup = _set_up(service_name, log)
        atexit.register(_shut_down, _setup)
        if _setup.providers:
            publish_to_children(_setup.delivery, service_name)
            export_on_termination(_setup.delivery)


def flush(timeout: float = 10.0) -> bool:
    """Export the queued and buffered spans and the current counters.

    Call it before a process ends without running exit handlers: before `os._exit`, in an ASGI application's lifespan,
    in Celery's `worker_process_shutdown`. Providers that the program has set itself are flushed by their own
    `force_flush`, which may exceed the timeout.

    Args:
        timeout: The maximum time to wait, in seconds.

    Returns:
        True if the collector accepted everything in time, or if nothing is exported. Otherwise False; what was not
        accepted stays buffered.
    """
    end = monotonic() + timeout
    own = _setup.providers if _setup is not None else []
    flushed = _setup is None or _setup.delivery.flush(timeout)
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if provider not in own and hasattr(provider, "force_flush"):
            milliseconds = max(0, int((min(end, monotonic() + 3600) - monotonic()) * 1000))
            try:
                flushed = provider.force_flush(milliseconds) is not False and flushed
            except Exception:  # a `MeterProvider` reports so that a reader failed
                flushed = False
    return flushed


def _set_up(service_name: str | None, log: EventLog) -> _Setup:
    delivery = Delivery()
    providers: list[Any] = []
    # These are the API's placeholders for providers that are set later; any other one is the program's choice.
    needs_traces = type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
    needs_metrics = type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"
    if needs_traces or needs_metrics:
        from otel_kcevents.sdk.providers import build_providers

        # Both are built before one is set: an error leaves the program as it was.
        tracers, meters = build_providers(delivery, service_name, traces=needs_traces, metrics=needs_metrics)
        if tracers is not None:
            trace.set_tracer_provider(tracers)
            providers.append(tracers)
        if meters is not None:
            metrics.set_meter_provider(meters)
            providers.append(meters)

    from otel_kcevents.record.processor import EventLogProcessor

    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "add_span_processor"):
        provider.add_span_processor(EventLogProcessor(log))
    delivery.start()
    return _Setup(delivery, providers)


def _shut_down(setup: _Setup) -> None:
    setup.delivery.end()
    for provider in setup.providers:
        try:
            provider.shutdown()
        except Exception as error:  # the other provider must be shut down too
            _logger.warning("a provider could not be shut down: %s", error)
    setup.delivery.report_lost()  # those of spans that have ended since
    setup.delivery.close()
