"""`RecordSet`, and the two documented ones: `allocation` and `asset`."""

from __future__ import annotations

from datetime import datetime
from time import time_ns
from typing import Any

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from otel_kcevents.model.event import MAX_SIZE, OPERATIONS, Failure, Outcome
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import to_ns
from otel_kcevents.record.counter import observe
from otel_kcevents.record.operation import Operation
from otel_kcevents.record.recorder import Recorder, Target, failure_of
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["RecordSet", "allocation", "asset"]

_OPERATION_OF = {success: operation for operation, (success, _) in OPERATIONS.items() if success} | {
    "compute_error": "compute",
    "reconcile_error": "reconcile",
}


class RecordSet:
    """A set of records with its events: what `allocation` and `asset` are, for sets of your own too.

    `etl` names the set's list in the log and the counter's label, `set_name` begins its kinds:
    `RecordSet("cloudCost", "CloudCostSet")` counts `CloudCostSetSaved` for `cloudCost`. Events go to `log`,
    spans to `tracer_provider` and counts to `meter_provider`: the global ones, whenever they are set, where
    none are given. Both are held, with the log, for as long as the process lives: make few of these, at the
    start. Raises ValueError where a name is no name or is taken in the log.
    """

    __slots__ = ("_recorders", "_target", "aggregate", "compute", "load", "reconcile", "save", "total")

    save: Operation
    load: Operation
    aggregate: Operation
    total: Operation
    reconcile: Operation
    compute: Operation

    def __init__(
        self,
        etl: str,
        set_name: str,
        *,
        log: EventLog = default_log,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._target = Target(etl, set_name, log, tracer_provider)
        self._recorders = {name: Recorder(self._target, name) for name in OPERATIONS}
        self.save, self.load, self.aggregate, self.total, self.reconcile, self.compute = (
            Operation(self._target, name, recorder) for name, recorder in self._recorders.items()
        )
        observe(log, meter_provider)

    def __repr__(self) -> str:
        return f"RecordSet({self._target.etl!r}, {self._target.set_name!r})"

    @property
    def log(self) -> EventLog:
        """The log that this set's events go to."""
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
        """Record what already happened: an instant span with the one event, an entry in the log, a count.

        `outcome` is `saved`, `loaded`, `aggregated`, `totaled`, `reconciled`, `compute_error` or
        `reconcile_error`, or the kind's name. `size` is the number of records or the set, `window` anything
        that means one, `time` a datetime or nanoseconds since 1970 (default: now). An error event takes
        the `error` and the `operation` that failed. Raises ValueError for an unknown outcome or operation
        and a time that a span can't have.
        """
        found = self._outcome(outcome)
        operation = operation or _OPERATION_OF[found.name]
        if operation not in OPERATIONS:
            raise ValueError(f"{short_repr(operation)} is no operation; give one of {', '.join(OPERATIONS)}")
        at = time_ns() if time is None else time if isinstance(time, int) else to_ns(time)
        if not 0 <= at <= MAX_SIZE:
            raise ValueError(f"time={short_repr(time)} is not in the years 1970 to 2262, where a span's times are")
        recorder = self._recorders[operation if found.error else _OPERATION_OF[found.name]]
        for what, value, fits in (("the size", size, found.sized), ("the error", error, found.error)):
            if value is not None and not fits:
                recorder.warn(what, TypeError(f"{self._target.kinds[found.name].name} has none"))
        begun = recorder.start(at)
        if begun is not None:
            failure = _failure_from(error, operation) if found.error else None
            if failure is not None:
                recorder.mark_failed(begun[0], failure, error if isinstance(error, BaseException) else None, at)
            kind = self._target.kinds[found.name].name
            size = recorder.size_of(size) if found.sized else None
            recorder.record(begun[0], kind, at, size, recorder.window_of(window), failure)

    def _outcome(self, name: str) -> Outcome:
        for outcome, kind in self._target.kinds.items():
            if name in (outcome, kind.name, f"{kind.name}Event"):
                return kind.outcome
        raise ValueError(f"{short_repr(name)} is no outcome; give one of {', '.join(self._target.kinds)}")


def _failure_from(error: BaseException | str | None, operation: str) -> Failure:
    if isinstance(error, BaseException):
        return failure_of(error, operation)
    return failure_of(RuntimeError(error or "no error was given"), operation)._replace(type="Error")


allocation: RecordSet = RecordSet("allocation", "AllocationSet")
"""The allocation pipeline, with the process's own log."""

asset: RecordSet = RecordSet("asset", "AssetSet")
"""The asset pipeline, with the process's own log."""
