"""`Telemetry`, which keeps one test's own log, spans and metrics, and helpers for threads and coroutines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, ScopeMetrics
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.record.record_set import RecordSet
from otel_kcevents.store.log import EventLog

DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")

Warned: TypeAlias = Callable[[], list[str]]
"""The type of the fixture `warned`: a function that returns the messages logged so far."""


class Telemetry:
    """One test's own log, spans and metrics, with the two record sets bound to them."""

    def __init__(self, sampler: Sampler = ALWAYS_ON, *, tracer_provider: trace.TracerProvider | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        sdk_provider = TracerProvider(sampler, shutdown_on_exit=False)
        sdk_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.log = EventLog()
        self.tracer_provider = tracer_provider or sdk_provider
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.allocation = self.record_set("allocation", "AllocationSet")
        self.asset = self.record_set("asset", "AssetSet")

    def record_set(self, etl: str, set_name: str) -> RecordSet:
        """Make another record set with the same log, spans and metrics."""
        return RecordSet(
            etl, set_name, log=self.log, tracer_provider=self.tracer_provider, meter_provider=self.meter_provider
        )

    @property
    def tracer(self) -> trace.Tracer:
        """A tracer of the program under test, for spans other than the package's."""
        return self.tracer_provider.get_tracer("program")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The ended spans, in the order in which they ended."""
        return list(self._exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        """The only ended span."""
        (span,) = self.spans
        return span

    @property
    def span_event(self) -> SpanEvent:
        """The only event on the only span, apart from the recorded exception."""
        (event,) = [event for event in self.span.events if event.name != "exception"]
        return event

    @property
    def events(self) -> list[Event]:
        """The events in the log, oldest first."""
        listed = [event for events in self.log.document().lists.values() for event in events]
        return sorted(listed, key=lambda event: event.time)

    @property
    def event(self) -> Event:
        """The only event in the log."""
        (event,) = self.events
        return event

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events in the log, oldest first."""
        return [event.kind for event in self.events]

    @property
    def counters(self) -> dict[tuple[str, str], int | float]:
        """The counter's values by etl and event."""
        return counter_values(self.reader)


class Pause:
    """Something to await that yields to the event loop once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def in_threads(work: Callable[[int], object], count: int = 8) -> None:
    """Run `work(number)` in threads that start together, and check that none raises."""
    barrier, errors = threading.Barrier(count), []

    def run(number: int) -> None:
        barrier.wait(20)
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def collect(reader: InMemoryMetricReader) -> list[ScopeMetrics]:
    """Return what a metric reader collects, by scope."""
    data = reader.get_metrics_data()
    return [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]


def counter_values(reader: InMemoryMetricReader) -> dict[tuple[str, str], int | float]:
    """The counter's values by etl and event, as a metric reader collects them."""
    return {(etl, event): value for (etl, event), value in metric_values(reader, "kubecost.etl.events").items()}


def metric_values(reader: InMemoryMetricReader, name: str) -> dict[tuple[str, ...], int | float]:
    """The values of a metric by those of its attributes, as a metric reader collects them."""
    metrics = [metric for scope in collect(reader) for metric in scope.metrics if metric.name == name]
    points: list[Any] = [point for metric in metrics for point in metric.data.data_points]
    return {tuple(point.attributes.values()): point.value for point in points}
