"""The optional histogram of the durations of operations: measured in each call, and exported with the other metrics.

A call only adds its duration to a queue, which is emptied when a metric reader collects. If a call recorded it in the
SDK, which takes a lock, a generator that the garbage collector closes inside the SDK would wait for that lock forever.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Lock
from time import perf_counter_ns
from typing import Any
from weakref import WeakSet

from opentelemetry.metrics import Histogram, Meter
from opentelemetry.trace import Span

from otel_kcevents.model.event import Failure
from otel_kcevents.model.metrics import DURATION
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.timestamps import SECOND
from otel_kcevents.model.wire import failure_attributes

__all__ = ["BOUNDARIES", "DURATIONS", "Durations", "TimedSpan", "set_durations"]

BOUNDARIES: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""The upper bounds of the histogram's buckets, in seconds."""

_MAX_WAITING = 65_536  # durations between two exports: 8 MB


class _Choice:
    """Whether durations are measured, a choice that applies to the whole process."""

    is_on: bool = False


DURATIONS: _Choice = _Choice()
"""Whether durations are measured."""


def set_durations(enabled: bool = True) -> None:
    """Measure the durations of operations from now on, for the histogram `kubecost.etl.operation.duration`, or stop.

    `configure(durations=True)` and `OTEL_PYTHON_KCEVENTS_DURATIONS=true` do the same; this function is for programs
    that set up OpenTelemetry themselves.

    Args:
        enabled: Whether to measure.

    Raises:
        TypeError: *enabled* is not a bool.
    """
    if not isinstance(enabled, bool):
        raise TypeError(f"enabled must be True or False, got {enabled!r}")
    DURATIONS.is_on = enabled


class TimedSpan:
    """The span of an operation whose duration is measured.

    Args:
        span: The span.

    Attributes:
        started: When the operation started, by a clock that is never set back.
    """

    __slots__ = ("span", "started")

    def __init__(self, span: Span) -> None:
        self.span: Span = span
        self.started: int = perf_counter_ns()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.span, name)


class Durations:
    """The durations of the operations whose metrics go to one provider.

    Args:
        meter: The meter of the provider.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._histogram: Histogram | None = None
        self._waiting: deque[tuple[int, str, str, dict[str, str] | None]] = deque(maxlen=_MAX_WAITING)
        self._has_warned = False
        self._lock = Lock()  # only for exports
        _all.add(self)

    def end(self, timed: TimedSpan, etl: str, operation: str, failure: Failure | None) -> Span:
        """Measure an operation that ends now, and return its span.

        Args:
            timed: The span of the operation.
            etl: The name of its pipeline.
            operation: The operation, such as `save`.
            failure: Why it failed; None for a success.
        """
        duration = perf_counter_ns() - timed.started
        self._waiting.append((duration, etl, operation, failure and failure_attributes(failure)))
        return timed.span

    def export(self) -> None:
        """Record the durations since the last call in the SDK's histogram. Call it when a metric reader collects."""
        with self._lock:
            if self._waiting:
                self._export()

    def _export(self) -> None:
        if len(self._waiting) == _MAX_WAITING and not self._has_warned:
            self._has_warned = True
            message = "some durations are omitted (logged once): more than %s operations ended between two exports"
            _logger.warning(message, f"{_MAX_WAITING:,}")
        if self._histogram is None:
            self._histogram = self._meter.create_histogram(
                DURATION.name, DURATION.unit, DURATION.description, explicit_bucket_boundaries_advisory=BOUNDARIES
            )
        for _ in range(len(self._waiting)):  # those that are added meanwhile are exported next time
            duration, etl, operation, failed = self._waiting.popleft()
            self._histogram.record(duration / SECOND, {"etl": etl, "operation": operation, **(failed or {})})

    def clear(self) -> None:
        """Remove the durations that wait, and replace the lock, which a thread of another process may have held."""
        self._waiting.clear()
        self._lock = Lock()


_all: WeakSet[Durations] = WeakSet()


def _after_fork_in_child() -> None:
    for durations in list(_all):
        durations.clear()  # the parent exports them


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
