"""`configure()`: providers where none are set, OTLP export, and everything flushed at every way out.

The SDK is imported when it is asked for: decorators alone cost no more than the API.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from _thread import LockType, allocate_lock, start_new_thread
from functools import partial
from threading import Lock, RLock, current_thread, main_thread
from types import FrameType
from typing import Any

from opentelemetry import metrics, trace

from otel_kcevents.log import EventLog, default_log

__all__ = ["configure"]

_CHILDREN = "OTEL_PYTHON_KCEVENTS_CHILDREN"  # who configured what, for the processes that multiprocessing starts
_MOST_QUEUED = 16_384  # spans between two exports, where OTEL_BSP_MAX_QUEUE_SIZE does not say
_logger = logging.getLogger("otel_kcevents")
_TERMINATION = 5.0  # seconds that a child which is told to terminate takes for its last export


class _Setup:
    """What `configure()` did in this process."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.done = False
        self.service_name: str | None = None
        self.providers: list[Any] = []
        self.collector: Any = None
        self.ended = False

    def shutdown(self) -> None:
        """Export what there is, once and for all."""
        self.collector.leave()  # first: a signal from here on finds the last export begun
        providers, self.providers = self.providers, []
        for provider in providers:
            try:
                provider.shutdown()
            except Exception as error:  # one that fails must not keep the other from its last export
                _logger.warning("the last export failed: %s", error)
        self.ended = True


_setup = _Setup()


def configure(*, service_name: str | None = None, log: EventLog = default_log) -> None:
    """Set up OpenTelemetry for a script: providers where none are set, export, `log`, and the flush at its end.

    Traces and metrics go to an OTLP collector where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, by gRPC or, with
    `OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`, HTTP. `service_name` is for where `OTEL_SERVICE_NAME` is not set.
    Events of other code's spans reach `log` too. Processes that `multiprocessing` starts from here, by
    whichever method, configure themselves the same way and export their own; a `log` given here is known to
    forked ones alone. A second call changes nothing. Raises ValueError for a setting that is none, and
    ModuleNotFoundError where the exporters are asked for and not installed.
    """
    with _setup.lock:
        if not _setup.done:
            _configure(service_name, log)
            _setup.done, _setup.service_name = True, service_name
            atexit.register(_setup.shutdown)
            if _setup.providers:
                _hand_down()


def _configure(service_name: str | None, log: EventLog) -> None:
    from opentelemetry.sdk.resources import Resource

    from otel_kcevents.export import Collector
    from otel_kcevents.processor import EventLogProcessor

    _setup.collector = Collector()
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({"service.name": service_name} if service_name and not named else {})
    traces = _traces(resource)  # both are made before one is set: an error leaves the program as it was
    meters = _metrics(resource)
    if traces is not None:
        trace.set_tracer_provider(traces)
    if meters is not None:
        metrics.set_meter_provider(meters)
    # The counts go first: they are small, and a collector may take them that has no room for spans.
    _setup.providers = [provider for provider in (meters, traces) if provider is not None]
    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "add_span_processor"):
        provider.add_span_processor(EventLogProcessor(log))


def _is_unset(provider: object) -> bool:
    """Whether a provider is the API's own stand-in for one that is set later."""
    return type(provider).__name__ in ("ProxyTracerProvider", "_ProxyMeterProvider")


def _traces(resource: Any) -> Any:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    from otel_kcevents.export import otlp_exporter

    if not _is_unset(trace.get_tracer_provider()):
        return None
    exporter: Any = otlp_exporter("trace", _setup.collector, SpanExportResult.FAILURE)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if exporter is not None:
        queued = None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else _MOST_QUEUED
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=queued))
    return provider


def _metrics(resource: Any) -> Any:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader

    from otel_kcevents.export import otlp_exporter

    if not _is_unset(metrics.get_meter_provider()):
        return None
    exporter: Any = otlp_exporter("metric", _setup.collector, MetricExportResult.FAILURE)
    if exporter is None:
        return MeterProvider(resource=resource, shutdown_on_exit=False)
    reader = PeriodicExportingMetricReader(exporter)
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=partial(_free_exports, reader))
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _free_exports(reader: Any) -> None:
    """In a forked child: the reader's lock may be held by an export of the parent's, which will not end here."""
    reader._export_lock = Lock()


def _hand_down() -> None:
    """Let the processes that multiprocessing starts from this one do as it did."""
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    os.environ[_CHILDREN] = f"{os.getpid()} {_setup.service_name or ''}"
    register_after_fork(_setup, _in_forked_child)
    if parent_process() is not None:
        _end_as_child()


def _in_forked_child(setup: _Setup) -> None:
    """In a process forked by multiprocessing, from this one or from its fork server, before its work begins."""
    from multiprocessing import parent_process

    setup.lock = RLock()
    if setup.done:
        os.environ[_CHILDREN] = f"{os.getpid()} {setup.service_name or ''}"
        _end_as_child()
    else:
        started_by = parent_process()
        _follow(started_by.pid if started_by else None)


def _end_as_child() -> None:
    """Flush at the ends of a process that multiprocessing started: some leave without atexit, some by a signal."""
    from multiprocessing.util import Finalize

    Finalize(None, _leave, exitpriority=-100)
    _take_termination()


def _leave() -> None:
    """The end of such a process, which comes before it waits for its threads: they may have more to tell."""
    threading._shutdown()  # type: ignore[attr-defined]  # as multiprocessing does next; a second time does nothing
    _setup.shutdown()


def _follow(parent: int | None) -> None:
    """Configure this process as its parent is, if it is."""
    configured, _, service_name = os.environ[_CHILDREN].partition(" ")
    if configured == str(parent):
        configure(service_name=service_name or None)


def _take_termination() -> None:
    """A pool ends its processes by a signal, their work done and not yet exported."""
    if current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:  # pragma: no cover - nothing is measured past it
    """Export what there is and die of the signal; in a thread, for the one interrupted may hold any lock."""
    if (
        _setup.collector.left is not None and not _setup.ended
    ):  # the last export is what the signal interrupted: let it go on
        return
    exported = allocate_lock()
    exported.acquire()
    start_new_thread(_export_last, (exported,))  # unlike a Thread, it takes no lock that the interrupted may hold
    exported.acquire(timeout=_TERMINATION)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _export_last(exported: LockType) -> None:  # pragma: no cover - nothing is measured past it
    try:
        _setup.shutdown()
    finally:
        exported.release()


def _join_parent() -> None:
    """On import in a process that multiprocessing started: forked before, spawned just now, or to be forked."""
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    if parent_process() is not None:
        _in_forked_child(_setup)
    elif "--multiprocessing-fork" in sys.orig_argv:
        _follow(os.getppid())
        if _setup.done:
            _take_termination()
    else:
        register_after_fork(_setup, _in_forked_child)


if _CHILDREN in os.environ:
    _join_parent()
