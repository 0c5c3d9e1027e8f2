"""`ProcessSetup`: the providers, the processors and the exit handlers of this process, however it is set up.

A script sets up everything at once, by `configure()`. Under a launcher, the exit handlers come first, and the providers
when the program needs them, unless it has set its own by then.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from opentelemetry import metrics, trace

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.record.metrics import observe
from otel_kcevents.report.facts import set_facts
from otel_kcevents.sdk import published
from otel_kcevents.sdk.children import block_sigterm_in_forks, flush_in_children, handle_sigterm
from otel_kcevents.sdk.delivery import IDLE_TIMEOUT, Delivery
from otel_kcevents.sdk.ending import Ending
from otel_kcevents.sdk.facts import program_facts
from otel_kcevents.sdk.settings import Signal, remove_empty_variables
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.run_end import end_run

__all__ = ["SETUP", "ProcessSetup", "needed_providers"]


def needed_providers() -> tuple[bool, bool]:
    """Return whether the program has set no tracer provider, and whether it has set no meter provider."""
    # These are the API's placeholders for providers that are set later; any other one is the program's choice.
    needs_traces = type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
    needs_metrics = type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"
    return needs_traces, needs_metrics


class ProcessSetup:
    """What is set up in this process.

    Attributes:
        ending: What is exported, and how that ends.
        is_complete: Whether the providers are set.
        is_published: Whether processes that multiprocessing spawns set up their providers like this process. Under a
            launcher they do so by themselves, unless the program sets its own.
        service_name: The service name of its own providers, if the environment has none.
    """

    ending: Ending
    is_complete: bool
    is_published: bool
    service_name: str | None

    def __init__(self) -> None:
        self.ending = Ending()
        self.is_complete = False
        self.is_published = False
        self.service_name = None
        self._process: int | None = None  # the one in which the exit handlers are registered
        self._retaining: list[tuple[Any, EventLog]] = []  # the providers and the logs of processors
        self._refused: list[EventLog] = []

    def set_providers(
        self, service_name: str | None, log: EventLog, signals: Sequence[Signal] = ("traces", "metrics")
    ) -> None:
        """Set the providers that the program has not set. An error leaves everything as it was.

        Args:
            service_name: The service name if the environment has none.
            log: The log that also receives the events of other code's spans.
            signals: The signals whose provider may be set.

        Raises:
            ModuleNotFoundError: An exporter is needed but not installed.
            ValueError: A setting is malformed.
        """
        remove_empty_variables()
        delivery = Delivery()
        needs_traces, needs_metrics = needed_providers()
        needs_traces, needs_metrics = needs_traces and "traces" in signals, needs_metrics and "metrics" in signals
        tracers = meters = None
        if needs_traces or needs_metrics:
            from otel_kcevents.sdk.providers import build_providers

            # Both are built before one is set.
            tracers, meters = build_providers(delivery, service_name, traces=needs_traces, metrics=needs_metrics)
        self.ending.delivery = delivery
        self.service_name = service_name
        self.is_complete = True
        if tracers is not None:
            self.ending.own.append(tracers)
            trace.set_tracer_provider(tracers)
        if meters is not None:
            self.ending.own.append(meters)
            metrics.set_meter_provider(meters)
        self.retain_events(log)
        if log is default_log:
            observe(log, None)  # no decorator may have done so
        delivery.start()
        set_facts(partial(program_facts, delivery, self.ending.own))
        if self._process is not None:  # the hooks of the SDK are new
            block_sigterm_in_forks()

    def retain_events(self, log: EventLog) -> None:
        """Add a processor for a log to the tracer provider, if that accepts span processors and has none for this log.

        Args:
            log: The log.
        """
        from otel_kcevents.record.processor import EventLogProcessor

        provider: Any = trace.get_tracer_provider()
        if hasattr(provider, "add_span_processor"):
            if not any(one is provider and other is log for one, other in self._retaining):
                provider.add_span_processor(EventLogProcessor(log))
                self._retaining.append((provider, log))
        elif log is not default_log and log not in self._refused:
            self._refused.append(log)
            _logger.warning(
                "log=%r does not receive the events of other code's spans: the program's tracer provider, a %s, "
                "does not accept span processors",
                log,
                type(provider).__name__,
            )

    def export_at_end(self) -> None:
        """Export everything when this process ends, and when the processes end that it forks.

        Another call in a forked process restores what task runners reset in the processes that they fork.
        """
        if self._process is None:
            self._process = os.getpid()
            atexit.register(self._shut_down)
            flush_in_children(self.ending, self._publish)
            block_sigterm_in_forks()
        elif self._process != os.getpid():
            self._process = os.getpid()
            atexit.register(self.ending.delivery.flush, IDLE_TIMEOUT)
        self._publish()
        handle_sigterm(self.ending)

    def _publish(self) -> None:
        if self.is_published and self.ending.own:
            published.publish_configuration(self.service_name)

    def _shut_down(self) -> None:
        known = _logger.last
        delivery = self.ending.delivery
        delivery.end()
        for provider in self.ending.own:
            try:
                provider.shutdown()
            except Exception as error:  # the other provider must be shut down too
                _logger.warning("a provider could not be shut down: %s", error_message(error))
        delivery.report_lost()  # those of spans that have ended since
        delivery.close()
        if _logger.last != known:
            end_run()  # again, so that the journal has these warnings


SETUP: ProcessSetup = ProcessSetup()
"""The set-up of this process."""
