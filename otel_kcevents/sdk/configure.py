"""`configure()` and `flush()`: providers if none are set, OTLP export, and a flush when the program ends.

The SDK is imported when `configure()` is called: decorators alone need only the API.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Literal

from opentelemetry import metrics, trace

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.report.facts import set_facts
from otel_kcevents.sdk.children import export_on_termination, handle_sigterm, publish_to_children
from otel_kcevents.sdk.delivery import IDLE_TIMEOUT, Delivery
from otel_kcevents.sdk.facts import program_facts
from otel_kcevents.sdk.journaling import choose_log_file, keep_in_file
from otel_kcevents.sdk.scrub_choice import set_scrub
from otel_kcevents.sdk.settings import crash_folder, remove_empty_variables, service_is_named
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.run_end import end_run

__all__ = ["configure", "flush"]


@dataclass
class _Setup:
    """What `configure()` set up in this process: the delivery, the providers that it set, and its arguments so far."""

    delivery: Delivery
    providers: list[Any]
    service_names: list[str | None]
    logs: list[EventLog]
    process: int
    """The process in which the exit handlers are registered."""


_setup: _Setup | None = None


def configure(
    *,
    service_name: str | None = None,
    log: EventLog = default_log,
    log_file: str | os.PathLike[str] | Literal[False] | None = None,
    scrub: Callable[[str], str] | bool | None = None,
    report_on_crash: str | os.PathLike[str] | None = None,
) -> None:
    """Set up OpenTelemetry for a script: providers if none are set, export, the log, and a flush when it ends.

    Traces and metrics are exported to an OTLP collector if `OTEL_EXPORTER_OTLP_ENDPOINT` is set, over gRPC or, with
    `OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`, over HTTP; `OTEL_TRACES_EXPORTER=console` and
    `OTEL_METRICS_EXPORTER=console` print them. Without an exporter of metrics, no meter provider is set. Everything is
    flushed at interpreter exit and on SIGTERM, unless the program handles that signal itself. Processes that
    `multiprocessing` starts from this one, by any start method, configure themselves the same way and export their own
    events.

    Arguments and variables that have no effect are logged in one warning. A second call only adds its *log* and the
    file of that log, applies its *scrub*, and restores the flush on SIGTERM and, in a forked child, the flush at exit,
    because task runners reset both in the processes that they fork.

    Args:
        service_name: The service name if neither `OTEL_SERVICE_NAME` nor `OTEL_RESOURCE_ATTRIBUTES` has one. Providers
            that the program has set itself keep theirs.
        log: The log that also receives the events of other code's spans. Of `multiprocessing` children, only forked
            ones use it.
        log_file: The SQLite file that also keeps the events of *log*, beside those of other processes; see `Journal`.
            None for the file that `OTEL_PYTHON_KCEVENTS_LOG_FILE` names, if any; False for none. The processes that
            this one starts use the same file if they call `configure()` too, and those of `multiprocessing` always.
        scrub: The function that removes secrets from messages, as for `set_scrub`; None to leave it unchanged.
        report_on_crash: The folder for a bug report, which is written if an uncaught exception ends the program; None
            for the folder that `OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH` names, if any.

    Raises:
        ModuleNotFoundError: An exporter is needed but not installed.
        TypeError: *scrub* is neither a function nor a bool nor None, or *log_file* is neither a path nor False nor
            None, or *report_on_crash* is neither a path nor None.
        ValueError: A setting is malformed. The message names it, but never shows a header or a password.
    """
    global _setup
    file = choose_log_file(log_file)
    if scrub is not None:
        set_scrub(scrub)
    if (folder := crash_folder() if report_on_crash is None else report_on_crash) is not None:
        from otel_kcevents.sdk.crash import report_crash_to

        report_crash_to(folder, log)  # first, so that at exit it comes last and sees what was lost
    with FORK_LOCK:
        if _setup is not None:
            _configure_again(_setup, service_name, log)
        else:
            _setup = _set_up(service_name, log)
            atexit.register(_shut_down, _setup)
            if _setup.providers:
                publish_to_children(_setup.delivery, service_name)
                export_on_termination(_setup.delivery)
        journal = keep_in_file(log, file, service_name)
    if journal is not None:
        journal.begin()


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
    end_run(is_final=False)
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
    remove_empty_variables()
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

    if service_name and not (needs_traces and needs_metrics):
        _warn_of_unused_name(service_name, needs_traces, needs_metrics)
    _retain_events(log)
    delivery.start()
    set_facts(partial(program_facts, delivery, providers))
    return _Setup(delivery, providers, [service_name], [log], os.getpid())


def _configure_again(setup: _Setup, service_name: str | None, log: EventLog) -> None:
    if log not in (*setup.logs, default_log):  # default_log may come from the argument's default
        setup.logs.append(log)
        _retain_events(log)
    if service_name and service_name not in setup.service_names and not service_is_named():
        setup.service_names.append(service_name)
        _logger.warning(
            "service_name=%r is not used: configure() was called before with service_name=%r; "
            "name the service in the first call, or set OTEL_SERVICE_NAME",
            service_name,
            setup.service_names[0],
        )
    if setup.providers:
        handle_sigterm(setup.delivery)
    if setup.process != os.getpid():
        setup.process = os.getpid()
        atexit.register(setup.delivery.flush, IDLE_TIMEOUT)


def _retain_events(log: EventLog) -> None:
    """Add a processor for a log to the tracer provider, if it accepts span processors."""
    from otel_kcevents.record.processor import EventLogProcessor

    provider: Any = trace.get_tracer_provider()
    if hasattr(provider, "add_span_processor"):
        provider.add_span_processor(EventLogProcessor(log))
    elif log is not default_log:
        _logger.warning(
            "log=%r does not receive the events of other code's spans: the program's tracer provider, a %s, "
            "does not accept span processors",
            log,
            type(provider).__name__,
        )


def _warn_of_unused_name(service_name: str, needs_traces: bool, needs_metrics: bool) -> None:
    """Warn that providers that the program has set have their own service name, unless it is the same."""
    resource = None if needs_traces else getattr(trace.get_tracer_provider(), "resource", None)
    is_same = getattr(resource, "attributes", {}).get("service.name") == service_name
    if not is_same and not service_is_named():
        own = [name for name, needed in (("tracer", needs_traces), ("meter", needs_metrics)) if not needed]
        _logger.warning(
            "service_name=%r is not used for the program's own %s provider; "
            "set OTEL_SERVICE_NAME, or name the service in the provider's resource",
            service_name,
            " and ".join(own),
        )


def _shut_down(setup: _Setup) -> None:
    known = _logger.last
    setup.delivery.end()
    for provider in setup.providers:
        try:
            provider.shutdown()
        except Exception as error:  # the other provider must be shut down too
            _logger.warning("a provider could not be shut down: %s", error_message(error))
    setup.delivery.report_lost()  # those of spans that have ended since
    setup.delivery.close()
    if _logger.last != known:
        end_run()  # again, so that the journal has these warnings
