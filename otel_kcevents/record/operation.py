"""`Operation`, a decorator and a context manager, and `OperationScope`, what its `with` block sets."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from types import FrameType, TracebackType
from typing import Any, TypeAlias, TypeVar, overload

from opentelemetry.context import attach, get_current

from otel_kcevents.model.event import OPERATIONS, Outcome
from otel_kcevents.model.messages import short_repr
from otel_kcevents.record.callables import is_async_generator, is_generator, name_of, unwrap_partial
from otel_kcevents.record.extract import (
    Call,
    Extractor,
    bind_partial,
    first_size,
    result_size,
    size_reader,
    window_reader,
)
from otel_kcevents.record.recorder import CallRecorder, Recorder, StartedSpan, Target, is_clean_exit
from otel_kcevents.record.wrappers import rewrap, wrap

__all__ = ["Operation", "OperationScope", "Stretch"]

_F = TypeVar("_F", bound="Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]")

_Given: TypeAlias = "str | Callable[[Call], Any] | object"
"""Of a decorator a path or a function, which type checkers infer from this; of a `with` block the value itself."""


class OperationScope:
    """What a `with` block sets about its operation, at any time before it ends.

    Attributes:
        window: The window of the set, as anything that `Window.of` converts.
        size: The number of records in the set, or the set itself.
    """

    __slots__ = ("_started", "size", "window")

    window: Any
    size: Any

    def __init__(self, started: StartedSpan | None, window: Any, size: Any) -> None:
        self._started = started
        self.window = window
        self.size = size


Stretch = OperationScope  # the name until 0.1.0, for one more release


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

    __slots__ = ("_fails_when", "_once", "_recorder", "_scope", "_size", "_target", "_window", "name")

    name: str

    def __init__(
        self,
        target: Target,
        name: str,
        recorder: Recorder,
        window: Any = None,
        size: Any = None,
        fails_when: Callable[[Any], object] | None = None,
        once: Lock | None = None,
    ) -> None:
        self.name = name
        self._target = target
        self._recorder = recorder
        self._window = window
        self._size = size
        self._fails_when = fails_when
        self._once = once
        self._scope: OperationScope | None = None

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
            raise TypeError(f"{self.name} records no size, so size={short_repr(size)} has no place; leave it out")
        if fails_when is not None and not callable(fails_when):
            raise TypeError(f"fails_when={short_repr(fails_when)} can not be called; give a function of the result")
        return Operation(self._target, self.name, self._recorder, window, size, fails_when, Lock())

    def __repr__(self) -> str:
        return f"<{self.name} {self._target.set_name}>"

    def _outcome(self) -> Outcome | None:
        success = OPERATIONS[self.name][0]
        return None if success is None else self._target.kinds[success].outcome

    def _decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        mark = (id(self._target.log), self._target.etl, self.name)
        marks = {mark for held in _wrapped_callables(function) for mark in getattr(held, "__kcevents__", ())}
        if mark in marks:  # decorated twice by mistake
            return function
        name = f"{getattr(unwrap_partial(function), '__module__', None) or '?'}.{name_of(function)}"
        inner = unwrap_partial(function)
        if self._fails_when is not None and is_async_generator(inner):
            raise TypeError(
                f"fails_when= has no result to see: {name_of(function)} is an async generator; leave it out"
            )
        window, size, before = (
            bind_partial(function, read)
            for read in (self._window_reader(inner), self._size_reader(inner), self._size_before(inner))
        )
        wrapper = wrap(function, CallRecorder(self._target, self.name, name, window, size, before, self._fails_when))
        wrapper.__kcevents__ = marks | {mark}  # type: ignore[attr-defined]
        return wrapper

    def _window_reader(self, function: Callable[..., Any]) -> Extractor | None:
        window = window_reader(self._window, function)
        return None if window is None else window.read

    def _size_reader(self, function: Callable[..., Any]) -> Extractor | None:
        if self._size is not None:
            return size_reader(self._size, function).read
        outcome = self._outcome()
        if self.name == "save" or outcome is None or not outcome.sized or is_generator(function):
            return None
        return result_size

    def _size_before(self, function: Callable[..., Any]) -> Extractor | None:
        """What measures a save before it is called, where nothing else is named."""
        if self.name != "save" or self._size is not None or is_generator(function):
            return None
        window = window_reader(self._window, function)
        return first_size(function, (window and window.argument) or "window")

    def __enter__(self) -> OperationScope:
        if self._once is None:
            call = f"{self._target.etl}.{self.name}()"
            raise TypeError(f"a `with` block needs the parentheses: write `with {call} as op:`")
        if not self._once.acquire(blocking=False):  # never released, and safe if two threads enter at once
            call = f"{self._target.etl}.{self.name}()"
            raise RuntimeError(f"this {call} has served a `with` block before; call {call} for each block")
        started = self._recorder.start()
        if started is not None:
            attach(started[2])
        self._scope = OperationScope(started, self._window, self._size)
        return self._scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope = self._scope
        if scope is None or scope._started is None:
            return
        span, outside, inside = scope._started
        if get_current() is inside:
            attach(outside)
        window, size = self._recorder.window_of(scope.window), self._recorder.size_of(scope.size)
        is_closed_early = isinstance(error, GeneratorExit) and _is_generator(sys._getframe(1))
        if error is None or is_closed_early or is_clean_exit(error):
            self._recorder.finish(span, size, window)
        else:
            self._recorder.fail(span, error, window)


def _is_generator(frame: FrameType) -> bool:
    """Whether the code with the `with` is a generator, which its consumer may close early without an error."""
    while frame.f_back and frame.f_globals.get("__name__") == "contextlib":  # an ExitStack, say: whose is it?
        frame = frame.f_back
    return bool(frame.f_code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR))


def _wrapped_callables(function: Any) -> Iterator[Any]:
    """A callable and what it holds: behind partials, and in the `__call__` of an object."""
    while isinstance(function, partial):
        yield function
        function = function.func
    yield function
    if not inspect.isroutine(function):
        yield type(function).__call__
