"""`RecordSet`: the operations of one set; and the two documented sets, `allocation` and `asset`."""

from __future__ import annotations

from datetime import datetime
from time import time_ns
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from otel_kcevents.model.event import MAX_SIZE, OPERATIONS, Failure
from otel_kcevents.model.messages import error_message, short_repr
from otel_kcevents.model.timestamps import to_ns
from otel_kcevents.record.operation import Operation
from otel_kcevents.record.recorder import Recorder
from otel_kcevents.record.target import Target, default_target
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["RecordSet", "allocation", "asset", "record_set_of"]

_OPERATION_OF = {success: operation for operation, (success, _) in OPERATIONS.items() if success} | {
    "compute_error": "compute",
    "reconcile_error": "reconcile",
}


class RecordSet:
    """The operations of a set of records, such as `allocation` and `asset`; create one for a set of your own.

    `RecordSet("cloudCost", "CloudCostSet")` counts and lists `CloudCostSetSaved` under `cloudCost`. A record set, its
    log and its providers are kept for as long as the process lives: create it once, when the program starts.

    Args:
        etl: The name of the set's list in the log, and the value of the counter's attribute `etl`.
        set_name: The prefix of the names of its kinds.
        log: The log that its events go to; default: the log of the process.
        tracer_provider: The provider of its spans; default: the global one, which may be set later.
        meter_provider: The provider of its counter; default: the global one, which may be set later.

    Raises:
        ValueError: A name is invalid, or is already taken in the log.
    """

    __slots__ = ("__weakref__", "_recorders", "_target", "aggregate", "compute", "load", "reconcile", "save", "total")

    save: Operation
    """Records a set that is saved: `…Saved`, with size and window."""

    load: Operation
    """Records a set that is loaded: `…Loaded`, with size and window."""

    aggregate: Operation
    """Records a set that is aggregated: `…Aggregated`, with size and window."""

    total: Operation
    """Records a set that is totaled: `…Totaled`, with its window."""

    reconcile: Operation
    """Records a set that is reconciled: `…Reconciled`, with its window; on failure `…ReconcileError`."""

    compute: Operation
    """Records a computation: only a span on success; on failure `…ComputeError`, as for all but `reconcile`."""

    def __init__(
        self,
        etl: str,
        set_name: str,
        *,
        log: EventLog = default_log,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if log is default_log and tracer_provider is None and meter_provider is None:
            self._bind(default_target(etl, set_name))
        else:
            self._bind(Target(etl, set_name, log, tracer_provider, meter_provider))

    def _bind(self, target: Target) -> None:
        self._target = target
        self._recorders = {name: Recorder(self._target, name) for name in OPERATIONS}
        self.save = Operation(self._recorders["save"])
        self.load = Operation(self._recorders["load"])
        self.aggregate = Operation(self._recorders["aggregate"])
        self.total = Operation(self._recorders["total"])
        self.reconcile = Operation(self._recorders["reconcile"])
        self.compute = Operation(self._recorders["compute"])
        _record_sets.setdefault(target, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return record_set_of, (self._target,)

    def __repr__(self) -> str:
        return f"RecordSet({self._target.etl!r}, {self._target.set_name!r})"

    @property
    def log(self) -> EventLog:
        """The log that the events of this set go to."""
        return self._target.log

    def emit(
        self,
        outcome: str,
        *,
        size: Any = None,
        window: Any = None,
        error: BaseException | str | None = None,
        operation: str | None = None,
        time: datetime | int | None = None,
    ) -> None:
        """Record something that already happened: a span without duration, its event, and an entry in the log.

        Args:
            outcome: `saved`, `loaded`, `aggregated`, `totaled`, `reconciled`, `compute_error`, `reconcile_error`, or
                the name of the kind.
            size: The number of records, or the set.
            window: The window of the set, as anything that `Window.of` converts; relative forms are relative to *time*.
            error: For an error event, the exception or a message.
            operation: For an error event, the operation that failed; default: `compute` or `reconcile`, by the outcome.
            time: When it happened: a datetime, or nanoseconds since 1970; default: now.

        Raises:
            TypeError: *time* has an unsupported type.
            ValueError: The outcome or the operation is unknown, or *time* is outside the years 1970 to 2262.
        """
        kind = next(
            (kind for name, kind in self._target.kinds.items() if outcome in (name, kind.name, f"{kind.name}Event")),
            None,
        )
        if kind is None:
            names = ", ".join(self._target.kinds)
            raise ValueError(f"{short_repr(outcome)} is not an outcome; expected one of {names}")
        operation = operation or _OPERATION_OF[kind.outcome.name]
        if operation not in OPERATIONS:
            raise ValueError(f"{short_repr(operation)} is not an operation; expected one of {', '.join(OPERATIONS)}")
        at = time_ns() if time is None else time if isinstance(time, int) else to_ns(time)
        if not 0 <= at <= MAX_SIZE:
            raise ValueError(f"time={short_repr(time)} is outside the years 1970 to 2262, which a span can have")
        is_error = kind.outcome.error
        recorder = self._recorders[operation if is_error else _OPERATION_OF[kind.outcome.name]]
        started = recorder.start(at)
        if started is None:
            return
        span, window = started[0], recorder.window_of(window, None if time is None else at)
        if not is_error:
            if error is not None:
                recorder.warn("the error", TypeError(f"{kind.name} has none"))
            return recorder.finish(span, recorder.size_of(size), window, at)
        if size is not None:
            recorder.warn("the size", TypeError(f"{kind.name} has none"))
        if not isinstance(error, BaseException):
            message = error_message(RuntimeError(error or "no error was given"))
            return recorder.fail(span, Failure("Error", message, operation), window, at, kind.name)
        recorder.fail(span, error, window, at, kind.name)


_record_sets: WeakValueDictionary[Target, RecordSet] = WeakValueDictionary()


def record_set_of(target: Target) -> RecordSet:
    """Return an unpickled record set. Pickles of earlier versions call this function.

    Args:
        target: The target of its events in this process.
    """
    found = _record_sets.get(target)
    if found is None:
        found = RecordSet.__new__(RecordSet)
        found._bind(target)
    return found


allocation: RecordSet = RecordSet("allocation", "AllocationSet")
"""The allocation pipeline; its events go to the default log."""

asset: RecordSet = RecordSet("asset", "AssetSet")
"""The asset pipeline; its events go to the default log."""
