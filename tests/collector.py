"""A collector that the test controls, and the two signals of a process that export to such collectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.sdk.settings import BatchSettings
from otel_kcevents.sdk.signals import FlushingMeterProvider, MetricReader, SpanProcessor


def refuse(data: Any) -> None:
    """For `Collector.takes`: accept nothing."""


class Collector:
    """A client and its collector in one: `takes` returns the number of rejected records, None to refuse."""

    endpoint = "http://collector:4317"

    def __init__(self) -> None:
        self.takes: Callable[[Any], int | None] = lambda data: 0
        self.attempts: list[Any] = []
        self.taken: list[Any] = []
        self.contexts: list[Context] = []
        self.closed = 0

    def send(self, data: Any, current: Context) -> int | None:
        self.attempts.append(data)
        self.contexts.append(current)
        rejected = self.takes(data)
        if rejected is not None:
            self.taken.append(data)
        return rejected

    def close(self) -> None:
        self.closed += 1

    def after_fork_in_child(self) -> None: ...


class _Preferences:
    """The exporter attributes that a metric reader of the SDK reads."""

    def __init__(self, temporality: AggregationTemporality) -> None:
        self._preferred_temporality = {Counter: temporality}
        self._preferred_aggregation: dict[type, object] = {}


class Exporting:
    """Both signals of a process, each with a collector of its own."""

    def __init__(
        self,
        *,
        interval: float = 60.0,
        queue_size: int = 2048,
        sampler: Sampler = ALWAYS_ON,
        temporality: AggregationTemporality = AggregationTemporality.CUMULATIVE,
    ) -> None:
        self.delivery = Delivery()
        self.spans = Collector()
        self.metrics = Collector()
        self.tracers = TracerProvider(sampler, shutdown_on_exit=False)
        batch = BatchSettings(queue_size, max_batch_size=min(queue_size, 512))
        self.processor = SpanProcessor(self.delivery, self.delivery.outbox("spans", self.spans), batch)
        self.tracers.add_span_processor(self.processor)
        outbox = self.delivery.outbox("metrics", self.metrics, interval)
        self.reader = MetricReader(self.delivery, outbox, _Preferences(temporality))
        self.meters = FlushingMeterProvider([self.reader], Resource.get_empty())
        self.counter = self.meters.get_meter("test").create_counter("counter")
        self.counter.add(1)
        self.delivery.start()

    def emit(self, count: int = 1, name: str = "span", **attributes: str) -> None:
        """Start and end *count* spans."""
        for _ in range(count):
            self.tracers.get_tracer("test").start_span(name, attributes=attributes).end()

    @property
    def sizes(self) -> list[int]:
        """The number of spans in each accepted batch."""
        return [len(batch) for batch in self.spans.taken]

    def close(self) -> None:
        """Shut everything down, without an export."""
        self.tracers.shutdown()
        self.meters.shutdown()
        self.delivery.close()
