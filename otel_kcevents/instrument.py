"""What users write: `allocation` and `asset`, their operations as decorators and context managers, and `emit`."""

from __future__ import annotations

import inspect
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import chain
from threading import Lock
from time import time_ns
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeAlias, TypeVar, overload
from weakref import WeakKeyDictionary, ref

from opentelemetry import metrics
from opentelemetry.context import Context, attach, get_current
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import INVALID_SPAN, TracerProvider

from otel_kcevents.events import MOST_SIZE, OPERATIONS, Failure, Outcome
from otel_kcevents.log import EventLog, default_log
from otel_kcevents.probe import Begun, Pipeline, Probe, failure_of
from otel_kcevents.shapes import is_async_generator, is_generator, rewrap, wrap
from otel_kcevents.values import (
    Call,
    Reader,
    argument_window,
    first_size,
    innermost,
    name_of,
    reader,
    result_size,
    size_reader,
    through,
)
from otel_kcevents.version import __version__
from otel_kcevents.window import shown, to_ns

__all__ = ["Operation", "RecordSet", "Stretch", "allocation", "asset"]

_F = TypeVar("_F", bound="Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]")

_Given: TypeAlias = "str | Callable[[Call], Any] | object"
"""Of a decorator a path or a function, which type checkers infer from this; of a stretch the value itself."""

_OPERATION_OF = {success: operation for operation, (success, _) in OPERATIONS.items() if success} | {
    "compute_error": "compute",
    "reconcile_error": "reconcile",
}

_Place: TypeAlias = tuple[int, CodeType]
"""The run of some code that a `with` stands in: its frame's id, which may come again, and the code itself."""


class Stretch:
    """A stretch of code as one operation. Set what it worked on before it ends.

    `window` is anything that means a window (see `Window.of`), `size` the number of records or the set.
    """

    __slots__ = ("_begun", "_place", "_told", "size", "window")

    window: Any
    size: Any

    def __init__(self, begun: Begun, told: bool, place: _Place, window: Any, size: Any) -> None:
        self._begun, self._told, self._place, self.window, self.size = begun, told, place, window, size


class Operation:
    """One operation on one set, such as `allocation.save`: a decorator, bare or called, and a context manager.

    As a decorator it keeps the function's shape and signature; a partial or a callable object comes back as
    a function, which holds it as `__wrapped__`. Keywords, all optional:

    `window`: where the window is: a path in format-field syntax over the arguments and `result`
    (`"batch.window"`), or a function of the `Call`. Default: the argument named `window`.
    `size`: where the size is, likewise: a whole number, or a set whose `len()` is taken. Default: what a
    load or aggregate returns, the first sized argument of a save (measured before the call), the items that
    a generator gives.
    `fails_when`: a function of the result that is true where the result means a failure.

    As a context manager, `window` and `size` are the values themselves, and may be set later. Raises
    TypeError at decoration for a name that the function does not have.
    """

    __slots__ = ("_fails_when", "_open", "_pipeline", "_probe", "_size", "_window", "name")

    name: str

    def __init__(
        self,
        pipeline: Pipeline,
        name: str,
        probe: Probe,
        window: Any = None,
        size: Any = None,
        fails_when: Callable[[Any], object] | None = None,
    ) -> None:
        self.name, self._pipeline, self._probe = name, pipeline, probe
        self._window, self._size, self._fails_when = window, size, fails_when
        self._open: list[Stretch] = []

    @overload
    def __call__(self, function: _F, /) -> _F: ...

    @overload
    def __call__(
        self,
        function: None = None,
        /,
        *,
        window: _Given = None,
        size: _Given = None,
        fails_when: Callable[[Any], object] | None = None,
    ) -> Operation: ...

    def __call__(
        self,
        function: Any = None,
        /,
        *,
        window: Any = None,
        size: Any = None,
        fails_when: Callable[[Any], object] | None = None,
    ) -> Any:
        if function is not None:
            return rewrap(function, self._decorate)
        outcome = self._outcome()
        if size is not None and (outcome is None or not outcome.sized):
            raise TypeError(f"{self.name} records no size, so size={shown(size)} has no place; leave it out")
        if fails_when is not None and not callable(fails_when):
            raise TypeError(f"fails_when={shown(fails_when)} can not be called; give a function of the result")
        return Operation(self._pipeline, self.name, self._probe, window, size, fails_when)

    def __repr__(self) -> str:
        return f"<{self.name} {self._pipeline.set_name}>"

    def _outcome(self) -> Outcome | None:
        success = OPERATIONS[self.name][0]
        return None if success is None else self._pipeline.kinds[success].outcome

    def _decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        mark = (id(self._pipeline.log), self._pipeline.etl, self.name)
        marks = {mark for held in _held(function) for mark in getattr(held, "__kcevents__", ())}
        if mark in marks:  # decorated twice by mistake
            return function
        name = f"{getattr(innermost(function), '__module__', None) or '?'}.{name_of(function)}"
        inner = innermost(function)
        if self._fails_when is not None and is_async_generator(inner):
            raise TypeError(
                f"fails_when= has no result to see: {name_of(function)} is an async generator; leave it out"
            )
        window, size, before = (
            through(function, read)
            for read in (self._window_reader(inner), self._size_reader(inner), self._size_before(inner))
        )
        wrapper = wrap(function, Probe(self._pipeline, self.name, name, window, size, before, self._fails_when))
        wrapper.__kcevents__ = marks | {mark}  # type: ignore[attr-defined]
        return wrapper

    def _window_reader(self, function: Callable[..., Any]) -> Reader | None:
        return argument_window(function) if self._window is None else reader(self._window, function)

    def _size_reader(self, function: Callable[..., Any]) -> Reader | None:
        if self._size is not None:
            return size_reader(self._size, function)
        outcome = self._outcome()
        if self.name == "save" or outcome is None or not outcome.sized or is_generator(function):
            return None
        return result_size

    def _size_before(self, function: Callable[..., Any]) -> Reader | None:
        """What measures a save before it is called, where nothing else is named."""
        if self.name != "save" or self._size is not None or is_generator(function):
            return None
        return first_size(function, self._window if isinstance(self._window, str) else "window")

    def __enter__(self) -> Stretch:
        begun = self._probe.begin()
        span, outside, inside = begun or (INVALID_SPAN, get_current(), get_current())
        inside = Context(inside) if inside is outside else inside  # one of its own, to know it by
        attach(inside)
        stretch = Stretch(
            (span, outside, inside), begun is not None, _place(sys._getframe(1)), self._window, self._size
        )
        self._open.append(stretch)
        return stretch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stretch = self._innermost(_place(sys._getframe(1)))
        span, outside, inside = stretch._begun
        if get_current() is inside:
            attach(outside)
        if not stretch._told:
            return
        outcome = self._outcome()
        if stretch.size is not None and (outcome is None or not outcome.sized):
            self._probe.warn("the size", TypeError(f"{self.name} records none"))
            stretch.size = None
        window, size = self._probe.window_of(stretch.window), self._probe.size_of(stretch.size)
        if error is None or (isinstance(error, GeneratorExit) and _is_generator(sys._getframe(1))):
            self._probe.done(span, size, window)
        else:
            self._probe.end_with(span, error, window, size)

    def _innermost(self, place: _Place) -> Stretch:
        """The stretch that ends here: of those open at once, in threads or tasks, the one begun in the same place.

        A context manager around ours begins and ends it in places of its own: then it is the one whose context
        is current.
        """
        current, opened = get_current(), self._open[::-1]  # a copy: other threads begin and end theirs
        here = (stretch for stretch in opened if stretch._place == place)
        inside = (stretch for stretch in opened if stretch._begun[2] is current)
        stretch = next(chain(here, inside, opened))
        self._open.remove(stretch)
        return stretch


def _place(frame: FrameType) -> _Place:
    return id(frame), frame.f_code


def _is_generator(frame: FrameType) -> bool:
    """Whether the code with the `with` is a generator, which its consumer may close early without an error."""
    while frame.f_back and frame.f_globals.get("__name__") == "contextlib":  # an ExitStack, say: whose is it?
        frame = frame.f_back
    return bool(frame.f_code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR))


def _held(function: Any) -> Iterator[Any]:
    """A callable and what it holds: behind partials, and in the `__call__` of an object."""
    while isinstance(function, partial):
        yield function
        function = function.func
    yield function
    if not inspect.isroutine(function):
        yield type(function).__call__


class RecordSet:
    """A set of records with its events: what `allocation` and `asset` are, for sets of your own too.

    `etl` names the set's list in the log and the counter's label, `set_name` begins its kinds:
    `RecordSet("cloudCost", "CloudCostSet")` counts `CloudCostSetSaved` for `cloudCost`. Events go to `log`,
    spans to `tracer_provider` and counts to `meter_provider`: the global ones, whenever they are set, where
    none are given. Both are held, with the log, for as long as the process lives: make few of these, at the
    start. Raises ValueError where a name is no name or is taken in the log.
    """

    __slots__ = ("_pipeline", "_probes", "aggregate", "compute", "load", "reconcile", "save", "total")

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
        self._pipeline = Pipeline(etl, set_name, log, tracer_provider)
        self._probes = {name: Probe(self._pipeline, name) for name in OPERATIONS}
        self.save, self.load, self.aggregate, self.total, self.reconcile, self.compute = (
            Operation(self._pipeline, name, probe) for name, probe in self._probes.items()
        )
        _observe(log, meter_provider)

    def __repr__(self) -> str:
        return f"RecordSet({self._pipeline.etl!r}, {self._pipeline.set_name!r})"

    @property
    def log(self) -> EventLog:
        """The log that this set's events go to."""
        return self._pipeline.log

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
            raise ValueError(f"{shown(operation)} is no operation; give one of {', '.join(OPERATIONS)}")
        at = time_ns() if time is None else time if isinstance(time, int) else to_ns(time)
        if not 0 <= at <= MOST_SIZE:
            raise ValueError(f"time={shown(time)} is not in the years 1970 to 2262, where a span's times are")
        probe = self._probes[operation if found.error else _OPERATION_OF[found.name]]
        for what, value, fits in (("the size", size, found.sized), ("the error", error, found.error)):
            if value is not None and not fits:
                probe.warn(what, TypeError(f"{self._pipeline.kinds[found.name].name} has none"))
        begun = probe.begin(at)
        if begun is not None:
            failure = _given(error, operation) if found.error else None
            if failure is not None:
                probe.mark_failed(begun[0], failure, error if isinstance(error, BaseException) else None, at)
            kind = self._pipeline.kinds[found.name].name
            size = probe.size_of(size) if found.sized else None
            probe.record(begun[0], kind, at, size, probe.window_of(window), failure)

    def _outcome(self, name: str) -> Outcome:
        for outcome, kind in self._pipeline.kinds.items():
            if name in (outcome, kind.name, f"{kind.name}Event"):
                return kind.outcome
        raise ValueError(f"{shown(name)} is no outcome; give one of {', '.join(self._pipeline.kinds)}")


def _given(error: BaseException | str | None, operation: str) -> Failure:
    if isinstance(error, BaseException):
        return failure_of(error, operation)
    return failure_of(RuntimeError(error or "no error was given"), operation)._replace(type="Error")


class _GlobalProvider:
    """Stands for whichever meter provider is set for the process, now or later."""


_GLOBAL = _GlobalProvider()
_observed: WeakKeyDictionary[MeterProvider | _GlobalProvider, list[EventLog]] = WeakKeyDictionary()
_observing = Lock()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        before=_observing.acquire, after_in_parent=_observing.release, after_in_child=_observing.release
    )


def _observe(log: EventLog, meter_provider: MeterProvider | None) -> None:
    """Let a meter provider's readers read a log's counts: one instrument for each provider and all of its logs."""
    with _observing:
        logs = _observed.setdefault(meter_provider or _GLOBAL, [])
        if log not in logs:
            logs.append(log)
        if len(logs) > 1 or logs[0] is not log:
            return
    metrics.get_meter("otel_kcevents", __version__, meter_provider).create_observable_counter(
        "kubecost.etl.events",
        [partial(_observations, ref(meter_provider or _GLOBAL))],
        unit="{event}",
        description="Kubecost ETL events counted by kind.",
    )


def _logs_of(provider: MeterProvider | _GlobalProvider | None) -> list[EventLog]:
    """The logs that a provider's one instrument tells: a provider given here may be the global one as well."""
    same: list[Any] = [_GLOBAL, metrics.get_meter_provider()]
    keys: list[Any] = same if any(provider is key for key in same) else [provider]
    return list(dict.fromkeys(log for key in keys for log in _observed.get(key, ())))


def _observations(
    provider: Callable[[], MeterProvider | _GlobalProvider | None], options: CallbackOptions
) -> Iterable[Observation]:
    totals: Counter[tuple[str, str]] = Counter()
    for log in _logs_of(provider()):
        totals.update({(log.kinds[name].etl, name): count for name, count in log.counts().items()})
    return [Observation(count, {"etl": etl, "event": name}) for (etl, name), count in totals.items()]


allocation: RecordSet = RecordSet("allocation", "AllocationSet")
"""The allocation pipeline, with the process's own log."""

asset: RecordSet = RecordSet("asset", "AssetSet")
"""The asset pipeline, with the process's own log."""
