"""`configure()` and `flush()`: providers if none are set, OTLP export, and a flush when the program ends.

The SDK is imported when `configure()` is called: decorators alone need only the API.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Literal

from opentelemetry import trace

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.record.durations import set_durations
from otel_kcevents.sdk import published, settings
from otel_kcevents.sdk.ending import other_providers
from otel_kcevents.sdk.journaling import choose_log_file, keep_in_file
from otel_kcevents.sdk.process_setup import SETUP, needed_providers
from otel_kcevents.sdk.scrub_choice import set_scrub
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.run import is_helper
from otel_kcevents.store.run_end import end_run

__all__ = ["configure", "flush"]

_service_names: list[str | None] = []  # the arguments of the calls so far


def configure(
    *,
    service_name: str | None = None,
    log: EventLog = default_log,
    log_file: str | os.PathLike[str] | Literal[False] | None = None,
    scrub: Callable[[str], str] | bool | None = None,
    report_on_crash: str | os.PathLike[str] | None = None,
    durations: bool | None = None,
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
        durations: Whether to measure how long operations take, for the histogram `kubecost.etl.operation.duration`; the
            processes that this one starts do the same if they call `configure()` too, and those of `multiprocessing`
            always. None for what `OTEL_PYTHON_KCEVENTS_DURATIONS` says, `true` or `false`; by default, they are not
            measured.

    Raises:
        ModuleNotFoundError: An exporter is needed but not installed.
        TypeError: *scrub* is neither a function nor a bool nor None, or *log_file* is neither a path nor False nor
            None, or *report_on_crash* is neither a path nor None, or *durations* is neither a bool nor None.
        ValueError: A setting is malformed. The message names it, but never shows a header or a password.
    """
    file = choose_log_file(log_file)
    is_measured = settings.durations() if durations is None else durations
    if is_measured is not None:
        set_durations(is_measured)
    if durations is not None:
        published.publish_durations(durations)
    if scrub is not None:
        set_scrub(scrub)
    if (folder := settings.crash_folder() if report_on_crash is None else report_on_crash) is not None:
        from otel_kcevents.sdk.crash import report_crash_to

        report_crash_to(folder, log)  # first, so that at exit it comes last and sees what was lost
    with FORK_LOCK:
        needed = needed_providers()
        if not SETUP.is_complete:
            SETUP.set_providers(service_name, log)
        elif log is not default_log:  # which may come from the argument's default
            SETUP.retain_events(log)
        _warn_of_unused_name(service_name, *needed)
        SETUP.is_published = True
        SETUP.export_at_end()
        journal = keep_in_file(log, file, service_name)
    if journal is not None and not is_helper():
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
    flushed = SETUP.ending.delivery.flush(timeout)
    for provider in other_providers(SETUP.ending.own):
        milliseconds = max(0, int((min(end, monotonic() + 3600) - monotonic()) * 1000))
        try:
            flushed = provider.force_flush(milliseconds) is not False and flushed
        except Exception:  # a `MeterProvider` reports so that a reader failed
            flushed = False
    return flushed


def _warn_of_unused_name(service_name: str | None, needs_traces: bool, needs_metrics: bool) -> None:
    """Warn that providers that were set before have another service name."""
    is_first = not _service_names
    if is_first or service_name:
        _service_names.append(service_name)
    if not service_name or service_name in _service_names[:-1] or (needs_traces and needs_metrics):
        return
    if settings.service_is_named():
        return
    if not is_first:
        _logger.warning(
            "service_name=%r is not used: configure() was called before with service_name=%r; "
            "name the service in the first call, or set OTEL_SERVICE_NAME",
            service_name,
            _service_names[0],
        )
        return
    resource = None if needs_traces else getattr(trace.get_tracer_provider(), "resource", None)
    if getattr(resource, "attributes", {}).get("service.name") != service_name:
        own = [name for name, needed in (("tracer", needs_traces), ("meter", needs_metrics)) if not needed]
        _logger.warning(
            "service_name=%r is not used for the %s provider that was set before; "
            "set OTEL_SERVICE_NAME, or name the service in the provider's resource",
            service_name,
            " and ".join(own),
        )
