"""The SDK's batch processor, metric reader and meter provider, which hand over to outboxes instead of exporting."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk.batch import MAX_REQUEST, parts_that_fit
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.sdk.outbox import Outbox
from otel_kcevents.sdk.settings import BatchSettings

__all__ = ["FlushingMeterProvider", "MetricReader", "SpanProcessor"]

_MAX_BATCH = 4096  # spans of a request; a rejected one is then a fraction of the buffer
COLLECT_TIMEOUT = 30.0  # seconds, as in the SDK's own reader


class _SpanHandOver(SpanExporter):
    """The exporter of a `BatchSpanProcessor`. It never blocks, so neither does the processor."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._warned = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for start in range(0, len(spans), _MAX_BATCH):
            for part, share in parts_that_fit(spans[start : start + _MAX_BATCH], _encoded_size):
                if share <= 1:
                    self._outbox.put(part, len(part), share)
                    continue
                self._outbox.drop(1)
                if not self._warned:
                    self._warned = True
                    size = "" if math.isinf(share) else f"{share * MAX_REQUEST:.0f}"
                    reason = f"its {size} bytes exceed the limit of {MAX_REQUEST}" if size else "it cannot be encoded"
                    _logger.warning("a span is not exported because %s; reduce or change its attributes", reason)
        return SpanExportResult.SUCCESS


def _encoded_size(spans: Sequence[ReadableSpan]) -> float:
    """Return the size of a request in bytes; infinite if one of the spans cannot be encoded."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # an optional package

    try:
        return int(encode_spans(spans).ByteSize())
    except Exception:
        return math.inf


class SpanProcessor(BatchSpanProcessor):
    """A `BatchSpanProcessor` that counts its spans, and whose `force_flush` waits for the collector.

    Args:
        delivery: Flushes the outbox.
        outbox: Buffers and sends the spans.
        batch: The settings of the batch processor.
    """

    seen: int
    """The number of sampled spans that ended."""

    def __init__(self, delivery: Delivery, outbox: Outbox, batch: BatchSettings) -> None:
        self._delivery = delivery
        self._outbox = outbox
        self.after_fork_in_child()
        outbox.source = self
        super().__init__(
            _SpanHandOver(outbox),
            max_queue_size=batch.max_queue_size,
            schedule_delay_millis=batch.schedule_delay,
            max_export_batch_size=batch.max_batch_size,
        )

    def after_fork_in_child(self) -> None:
        """Reset the count in a forked child; the base class resets its queue itself."""
        self.seen = 0
        self._counting = threading.RLock()  # reentrant: the garbage collector may end a span at any point

    def on_end(self, span: ReadableSpan) -> None:
        """Count a sampled span and queue it."""
        if span.context and span.context.trace_flags.sampled:
            with self._counting:
                self.seen += 1
        super().on_end(span)

    def hand_over(self) -> bool:
        """Move the queue to the outbox, without waiting for the collector."""
        return super().force_flush()

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Send what is queued and buffered.

        Args:
            timeout_millis: The maximum time to wait, in milliseconds; default: 30,000.

        Returns:
            Whether the collector accepted all of it in that time.
        """
        return self._delivery.flush((30_000 if timeout_millis is None else timeout_millis) / 1000, [self._outbox])


class _MetricHandOver:
    """The exporter of a `PeriodicExportingMetricReader`, with the preferences of the stock exporter."""

    def __init__(self, outbox: Outbox, exporter: Any) -> None:
        self._outbox = outbox
        self._exporter = exporter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any) -> MetricExportResult:
        # Every delta must be sent, because it holds only the change since the last export; a cumulative export replaces
        # earlier ones.
        has_delta = any(
            getattr(metric.data, "aggregation_temporality", None) == AggregationTemporality.DELTA
            for resource in metrics_data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        self._outbox.put(metrics_data, supersedes=not has_delta)
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        """Leave the connection to the outbox, which may still send."""


class MetricReader(PeriodicExportingMetricReader):
    """A `PeriodicExportingMetricReader` that never collects during a fork, and whose flush waits for the collector.

    The outbox is its timer: if a process forked during a timed export of the base class, the child would inherit a held
    lock.

    Args:
        delivery: Flushes the outbox.
        outbox: Buffers and sends the metrics.
        exporter: The stock exporter, whose preferences apply.
    """

    seen = None  # no metrics are lost: the next export has the totals of all events

    def __init__(self, delivery: Delivery, outbox: Outbox, exporter: Any) -> None:
        self._delivery = delivery
        self._outbox = outbox
        self._warned = False
        self._last = threading.local()
        outbox.source = self
        hand_over: Any = _MetricHandOver(outbox, exporter)
        super().__init__(hand_over, export_interval_millis=math.inf)

    def after_fork_in_child(self) -> None:
        """Reset nothing: the totals are those of the log."""

    def hand_over(self) -> bool:
        """Collect the metrics into the outbox; return False if that failed."""
        try:
            with self._outbox.handing_over:
                self.collect(COLLECT_TIMEOUT * 1000)
        except Exception as error:  # from the program's own instruments, or from the SDK if they take too long
            if not self._warned:
                self._warned = True
                _logger.warning("cannot collect the metrics: %s", type(error).__name__)
            return False
        return True

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Collect the metrics, and send what is buffered.

        Args:
            timeout_millis: The maximum time to wait, in milliseconds.

        Returns:
            Whether the collector accepted all of it in that time.
        """
        self._last.flushed = self._delivery.flush(timeout_millis / 1000, [self._outbox])
        return self.was_flushed

    @property
    def was_flushed(self) -> bool:
        """The result of the last flush in this thread."""
        return bool(self._last.flushed)


class FlushingMeterProvider(MeterProvider):
    """A `MeterProvider` whose `force_flush` returns False if the collector did not accept everything in time.

    Args:
        readers: The readers.
        resource: The resource, as in the base class.
    """

    def __init__(self, readers: Sequence[MetricReader], resource: Resource) -> None:
        self._readers = readers
        super().__init__(readers, resource=resource, shutdown_on_exit=False)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the readers; see `MetricReader.force_flush`."""
        return super().force_flush(timeout_millis) and all(reader.was_flushed for reader in self._readers)
