"""`configure()` and `flush()`: providers if none are set, OTLP export, and a flush at every way out.

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
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any

from opentelemetry import metrics, trace

from otel_kcevents.store.log import EventLog, default_log

__all__ = ["configure", "flush"]

_CHILDREN = "OTEL_PYTHON_KCEVENTS_CHILDREN"  # who configured what, for the processes that multiprocessing starts
_MAX_QUEUED = 16_384  # spans between two hand-overs, if OTEL_BSP_MAX_QUEUE_SIZE does not say
_TERMINATION_TIMEOUT = 12.0  # seconds; the end itself takes 10 at most, and must have the time to say what is lost
_logger = logging.getLogger("otel_kcevents")


class _Setup:
    """What `configure()` did in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.done = False
        self.service_name: str | None = None
        self.providers: list[Any] = []
        self.delivery: Any = None
        self.watched: int | None = None

    def end(self) -> None:
        """Export what there is, within the bounds of an end; what comes after is exported by a later end."""
        if self.delivery is not None:
            self.delivery.end()

    def shutdown(self) -> None:
        """End, once and for all."""
        self.end()
        for provider in self.providers:
            try:
                provider.shutdown()
            except Exception as error:  # one that fails must not keep the other from its own
                _logger.warning("a provider could not be shut down: %s", error)
        if self.delivery is not None:
            self.delivery.report_lost()  # what ended since
            self.delivery.close()


_setup = _Setup()
_held_back: dict[int, set[signal.Signals | int]] = {}  # by thread: the signal mask from before the fork that it makes


def configure(*, service_name: str | None = None, log: EventLog = default_log) -> None:
    """Set up OpenTelemetry for a script: providers if none are set, export, `log`, and the flush at its end.

    Traces and metrics are exported to an OTLP collector if `OTEL_EXPORTER_OTLP_ENDPOINT` is set, by gRPC or, with
    `OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`, HTTP. Everything is flushed at the interpreter's exit and on SIGTERM,
    unless the program handles that signal itself. Processes that `multiprocessing` starts from here, by whichever
    method, configure themselves the same way and export their own. A second call changes nothing.

    Args:
        service_name: The service's name if neither `OTEL_SERVICE_NAME` nor `OTEL_RESOURCE_ATTRIBUTES` has one.
        log: Also receives the events of other code's spans. Among `multiprocessing` children, only the
            forked ones have it.

    Raises:
        ValueError: If a setting is malformed. The message names it; it never shows a header or a password.
        ModuleNotFoundError: If an exporter is asked for and not installed.
    """
    with _setup.lock:
        if not _setup.done:
            _configure(service_name, log)
            _setup.done, _setup.service_name = True, service_name
            atexit.register(_setup.shutdown)
            if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
                os.register_at_fork(  # behind the SDK's own, which a signal must not interrupt
                    before=_hold_termination, after_in_parent=_release_termination, after_in_child=_release_termination
                )
            if _setup.providers:
                _hand_down()
                _flush_on_termination()


def flush(timeout: float = 10.0) -> bool:
    """Export what is queued and kept, and the counters as they are now.

    For a way out that runs no exit handlers: before `os._exit`, in an ASGI application's lifespan, in Celery's
    `worker_process_shutdown`. Providers that the program has set itself are flushed by their own `force_flush`, which
    may not keep to the timeout.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        True if the collector took everything in time, or if nothing is exported; else False, and what was not taken
        is kept.
    """
    end = monotonic() + timeout
    flushed = _setup.delivery is None or bool(_setup.delivery.flush(timeout))
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if provider not in _setup.providers and hasattr(provider, "force_flush"):
            milliseconds = max(0, int((min(end, monotonic() + 3600) - monotonic()) * 1000))
            try:
                flushed = provider.force_flush(milliseconds) is not False and flushed
            except Exception:  # how a `MeterProvider` says that a reader failed
                flushed = False
    return flushed


def _configure(service_name: str | None, log: EventLog) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    from otel_kcevents.record.processor import EventLogProcessor

    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({"service.name": service_name} if service_name and not named else {})
    needs_traces = _is_unset(trace.get_tracer_provider())
    needs_metrics = _is_unset(metrics.get_meter_provider())
    processor, meter_provider = _exporting(resource, needs_traces, needs_metrics)
    if needs_traces:
        tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if processor is not None:
            tracer_provider.add_span_processor(processor)
        trace.set_tracer_provider(tracer_provider)
        _setup.providers.append(tracer_provider)
    if needs_metrics:
        meter_provider = meter_provider or MeterProvider(resource=resource, shutdown_on_exit=False)
        metrics.set_meter_provider(meter_provider)
        _setup.providers.append(meter_provider)
    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "add_span_processor"):
        provider.add_span_processor(EventLogProcessor(log))
    if _setup.delivery is not None:
        _setup.delivery.start()


def _is_unset(provider: object) -> bool:
    """Whether a provider is the API's own stand-in for one that is set later."""
    return type(provider).__name__ in ("ProxyTracerProvider", "_ProxyMeterProvider")


def _exporting(resource: Any, needs_traces: bool, needs_metrics: bool) -> tuple[Any, Any]:
    """The span processor and the meter provider that export, each None if its signal is not exported."""
    from opentelemetry.sdk.metrics.export import MetricExportResult
    from opentelemetry.sdk.trace.export import SpanExportResult

    from otel_kcevents.sdk.otlp import otlp_client, positive_setting

    # Both clients are built before anything is set: an error leaves the program as it was.
    spans = otlp_client("trace", SpanExportResult.SUCCESS) if needs_traces else None
    totals = otlp_client("metric", MetricExportResult.SUCCESS) if needs_metrics else None
    if spans is None and totals is None:
        return None, None
    interval = positive_setting("OTEL_METRIC_EXPORT_INTERVAL", 60_000, "milliseconds") / 1000

    from otel_kcevents.sdk.delivery import Delivery
    from otel_kcevents.sdk.signals import FlushingMeterProvider, MetricReader, SpanProcessor

    processor = meter_provider = None
    delivery = Delivery()
    if totals is not None:
        reader = MetricReader(delivery, delivery.outbox("metrics", totals, interval), totals.exporter)
        meter_provider = FlushingMeterProvider(reader, resource)
    if spans is not None:
        queued = None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else _MAX_QUEUED
        try:
            processor = SpanProcessor(delivery, delivery.outbox("spans", spans), queued)
        except ValueError as error:
            raise ValueError(f"the settings OTEL_BSP_* do not fit together: {error}") from error
    _setup.delivery = delivery
    return processor, meter_provider


def _hand_down() -> None:
    """Configure multiprocessing children like this process."""
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    os.environ[_CHILDREN] = f"{os.getpid()} {_setup.service_name or ''}"
    register_after_fork(_setup, _in_forked_child)
    if parent_process() is not None:
        _end_as_child()


def _in_forked_child(setup: _Setup) -> None:
    """In a process forked by multiprocessing, from this one or from its fork server, before its work begins."""
    from multiprocessing import parent_process

    setup.lock = threading.RLock()
    if setup.done:
        os.environ[_CHILDREN] = f"{os.getpid()} {setup.service_name or ''}"
        _end_as_child()
    else:
        started_by = parent_process()
        _follow(started_by.pid if started_by else None)


def _end_as_child() -> None:
    """Flush at the ends of a process that multiprocessing started: some leave without atexit, some by a signal."""
    if _setup.watched != os.getpid():  # two watchers would wait for each other
        _setup.watched = os.getpid()
        threading.Thread(target=_end_after_main, name="kcevents-end").start()
    _flush_on_termination()


def _end_after_main() -> None:
    """Wait for the main thread, and for the others that the process waits for, which may have more to export."""
    watcher, main = threading.current_thread(), threading.main_thread()
    main.join()
    while others := [thread for thread in threading.enumerate() if not thread.daemon and thread not in (watcher, main)]:
        others[0].join()
    _setup.end()


def _follow(parent: int | None) -> None:
    """Configure this process like its parent, if the parent was configured."""
    configured, _, service_name = os.environ[_CHILDREN].partition(" ")
    if configured == str(parent):
        configure(service_name=service_name or None)


def _flush_on_termination() -> None:
    """Flush on SIGTERM, by which pools and schedulers end a process, unless the program handles it."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _hold_termination() -> None:
    """Hold SIGTERM back while a process is forked.

    Python forgets the signals that a child gets before it is set up, and a handler that runs in the middle of the
    child's fork hooks finds the parent's spans.
    """
    _held_back[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _release_termination() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held_back.pop(threading.get_ident()))


def _terminate(number: int, frame: FrameType | None) -> None:  # pragma: no cover - nothing is measured past it
    """Export everything in another thread, as the interrupted one may hold any lock; then die by the signal."""
    if _setup.delivery is not None and _setup.delivery.ends:
        return  # the last export is what the signal interrupted: let it go on
    exported = allocate_lock()
    exported.acquire()
    with suppress(RuntimeError):  # at the interpreter's end no thread can be started, and the last export is done
        start_new_thread(_export_last, (exported,))  # unlike Thread, takes no lock that the interrupted code may hold
        exported.acquire(timeout=_TERMINATION_TIMEOUT)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the first process of a container is not killed by it


def _export_last(exported: LockType) -> None:  # pragma: no cover - nothing is measured past it
    try:
        _setup.end()
    finally:
        exported.release()


def _join_parent() -> None:
    """Run on import in a multiprocessing child, forked or spawned, or in a fork server."""
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    if parent_process() is not None:
        _in_forked_child(_setup)
    elif "--multiprocessing-fork" in sys.orig_argv:
        _follow(os.getppid())
    else:
        register_after_fork(_setup, _in_forked_child)


if _CHILDREN in os.environ:
    _join_parent()
