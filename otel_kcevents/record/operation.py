"""`Operation`: a decorator, and a context manager when called. `OperationScope`: what a `with` block sets."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from threading import Lock
from types import FrameType, FunctionType, TracebackType
from typing import Any, TypeAlias, TypeVar, overload

from opentelemetry.context import attach, get_current

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window, current_time
from otel_kcevents.record.call_recorder import CallRecorder, ExceptionTypes
from otel_kcevents.record.callables import Shape, is_async_generator, is_partial, name_of, shape_of
from otel_kcevents.record.extract import Call, FieldReader
from otel_kcevents.record.failures import is_clean_exit
from otel_kcevents.record.fields import fields_of
from otel_kcevents.record.late import LateCallable, Remade
from otel_kcevents.record.proxy import RecordedCallable, RecordedPartial, reject_indirect, special_methods
from otel_kcevents.record.recorder import Recorder, StartedSpan
from otel_kcevents.record.renamed import RenamedFunction, is_renamed
from otel_kcevents.record.shim import inner_of, make_shim
from otel_kcevents.record.target import Target
from otel_kcevents.record.wrappers import marks_of, rewrap, wrap

__all__ = [
    "Operation",
    "OperationScope",
    "Stretch",
    "callable_again",
    "operation_of",
    "partial_again",
    "recording_again",
]

_F = TypeVar("_F", bound="Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]")

_Given: TypeAlias = "str | Callable[[Call], Any] | object"
"""A path or a function (type checkers infer its parameter from this) for a decorator; a value for a `with` block."""


class OperationScope:
    """The window and the size of a `with` block, which it may set at any time before it ends.

    A copy or a pickle has only the values: setting them in a copy does not change the event of the block.

    Attributes:
        window: The window of the set, as anything that `Window.of` converts; relative forms are relative to the
            start of the block.
        size: The number of records in the set, or the set itself.
    """

    __slots__ = ("_started", "size", "window")

    window: Any
    size: Any

    def __init__(self, started: StartedSpan | None, window: Any, size: Any) -> None:
        self._started = started
        self.window = window
        self.size = size

    def __reduce__(self) -> tuple[type[OperationScope], tuple[Any, ...]]:
        return OperationScope, (None, self.window, self.size)


Stretch = OperationScope  # the former name, kept for one release


class Operation:
    """One operation on one set, such as `allocation.save`: a decorator, and a context manager when called.

    `@allocation.save` and `@allocation.save(...)` keep a function's shape (plain function, coroutine, generator or
    async generator) and signature. `with allocation.save(...) as op:` records a block of code; call `allocation.save`
    for each block.

    Args:
        window: For a decorator, where to read the window: a path over the arguments and `return`, such as
            `"batch.window"` (the page "Decorating" describes paths), or a function of the `Call`; default: the
            argument `window`, or a pair of arguments such as `start` and `end`. For a block, the window itself, as
            anything that `Window.of` converts.
        size: For a decorator, where to read the size, as a path or a function: an integer, or a set, whose `len()` is
            the size; default: the result of a load or an aggregate, the set among the arguments of a save, measured
            before the call (see the page "Decorating"), or the number of items of a generator. For a block, the size
            itself. False for no size.
        fails_when: For a decorator, a function of the result that returns whether the call has failed.
        ignore: An exception type, or a tuple of types, that counts as neither success nor failure, such as a retry: the
            span ends without an event.

    Raises:
        TypeError: An argument does not suit the operation or, at decoration, the function.
    """

    __slots__ = (
        *("_fails_when", "_first_window", "_ignore", "_now", "_once", "_recorder", "_scope", "_size", "_window"),
        "name",
    )

    name: str

    def __init__(
        self,
        recorder: Recorder,
        window: Any = None,
        size: Any = None,
        fails_when: Callable[[Any], object] | None = None,
        ignore: ExceptionTypes = (),
        once: Lock | None = None,
    ) -> None:
        self.name = recorder.operation
        self._recorder = recorder
        self._window = window
        self._size = size
        self._fails_when = fails_when
        self._ignore = ignore
        self._once = once
        self._scope: OperationScope | None = None
        self._first_window: Window | None = None
        self._now = 0

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
        ignore: ExceptionTypes | None = None,
    ) -> Operation: ...

    def __call__(
        self,
        function: Any = None,
        /,
        *,
        window: Any = None,
        size: Any = None,
        fails_when: Callable[[Any], object] | None = None,
        ignore: ExceptionTypes | None = None,
    ) -> Any:
        if function is not None:
            if not (window is size is fails_when is ignore is None):
                name = f"{self._recorder.target.etl}.{self.name}"
                raise TypeError(f"{name} takes either a function or arguments; write {name}(window=...)(function)")
            return rewrap(function, self._decorate)
        if size is not None and size is not False and not self._recorder.is_sized:
            raise TypeError(f"{self.name} records no size, got size={short_repr(size)}; remove it")
        if fails_when is not None and not callable(fails_when):
            raise TypeError(f"fails_when={short_repr(fails_when)} is not callable; expected a function of the result")
        types = ignore if isinstance(ignore, tuple) else () if ignore is None else (ignore,)
        if not all(isinstance(held, type) and issubclass(held, BaseException) for held in types):
            raise TypeError(f"ignore={ignore!r} is not an exception type or a tuple of exception types")
        return Operation(self._recorder, window, size, fails_when, types, Lock())

    def __repr__(self) -> str:
        return f"<{self.name} {self._recorder.target.set_name}>"

    def _decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        target = self._recorder.target
        mark, marks = (target.log, target.etl, self.name), marks_of(function)
        if mark in marks:  # decorated twice by mistake
            return function
        if is_partial(function):
            remade: Remade = (partial_again, (self, function, shape_of(function)))
            return RecordedPartial.of(function, self._decorate(function.func), remade)
        reject_indirect(function, f"{target.etl}.{self.name}")
        recorder = self._recorder_of(function, *self._fields_of(function))
        wrapper = self._wrap(function, recorder)
        if type(function) in (FunctionType, RenamedFunction):  # other proxies may bind differently
            return RenamedFunction(wrapper, (function_again, (self, function))) if is_renamed(function) else wrapper
        recorder.share_warnings()  # a bound method may be decorated again for each call
        special = special_methods(function)
        remade = (callable_again, (self, function, shape_of(function), special))
        return RecordedCallable(function, self, wrapper, special, remade)

    def _wrap(self, function: Callable[..., Any], recorder: CallRecorder) -> FunctionType:
        mark = (self._recorder.target.log, self._recorder.target.etl, self.name)
        return wrap(function, recorder, (*marks_of(function), mark), (recording_again, (self, function)))

    def _decorate_again(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a callable that records the calls of an unpickled one."""
        if is_partial(function):
            return partial(self._decorate_again(function.func), *function.args, **function.keywords)
        try:
            recorder = self._recorder_of(function, *self._fields_of(function))
            recorder.share_warnings()  # a worker may unpickle it for each task
        except Exception as error:  # another version of the function than the pickled one, with other arguments
            recorder = self._recorder_of(function)
            recorder.share_warnings()
            recorder.warn("the window and the size", error)
        return self._wrap(function, recorder)

    def _recorder_of(
        self, function: Callable[..., Any], window: FieldReader | None = None, size: FieldReader | None = None
    ) -> CallRecorder:
        name = f"{getattr(function, '__module__', None) or '?'}.{name_of(function)}"
        return CallRecorder(self._recorder.target, self.name, name, window, size, self._fails_when, self._ignore)

    def _fields_of(self, function: Callable[..., Any]) -> tuple[FieldReader | None, FieldReader | None]:
        """Return readers of the window and the size of *function*, whose signature must be complete."""
        if self._fails_when is not None and is_async_generator(function):
            name = name_of(function)
            raise TypeError(f"fails_when needs a result, and {name} is an async generator, which has none; remove it")
        return fields_of(self._recorder, function, self._window, self._size)

    def __reduce__(self) -> tuple[Callable[..., Operation], tuple[Any, ...]]:
        options = {"window": self._window, "size": self._size, "fails_when": self._fails_when}
        given = {name: value for name, value in options.items() if value is not None}
        if self._ignore:
            given["ignore"] = self._ignore
        return operation_of, (self._recorder.target, self.name, None if self._once is None else given)

    def __enter__(self) -> OperationScope:
        call = f"{self._recorder.target.etl}.{self.name}()"
        if self._once is None:
            raise TypeError(f"a `with` block needs the parentheses: write `with {call} as op:`")
        if self._fails_when is not None:
            raise TypeError(f"fails_when needs a result, and a `with` block has none; remove it from {call}")
        if not self._once.acquire(blocking=False):  # never released: only one thread can enter
            raise RuntimeError(f"this {call} was already used by a `with` block; call {call} for each block")
        started = self._recorder.start()
        if started is not None:
            attach(started[2])
            self._now = current_time()
            self._first_window = self._given_window()
        self._scope = OperationScope(started, self._window, self._size)
        return self._scope

    def _given_window(self) -> Window | None:
        """Return the window that the block was given, read at its start, because it may change during the block."""
        try:
            window = None if self._window is None else Window.of(self._window, self._now)
        except Exception:  # the window may be complete only at the end, where a warning is logged if it is not
            return None
        return None if window == Window() else window

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope = self._scope
        if scope is None or scope._started is None:
            return
        span, outside, inside = scope._started
        if get_current() is inside:
            attach(outside)
        if isinstance(error, self._ignore):
            return self._recorder.skip(span)
        given = scope.window
        if given is self._window and self._first_window is not None:
            given = self._first_window
        window, size = self._recorder.window_of(given, self._now), self._recorder.size_of(scope.size)
        is_closed_early = isinstance(error, GeneratorExit) and _is_generator(sys._getframe(1))
        if error is None or is_closed_early or is_clean_exit(error):
            self._recorder.finish(span, size, window)
        else:
            self._recorder.fail(span, error, window)


def operation_of(target: Target, name: str, options: dict[str, Any] | None) -> Operation:
    """Return an unpickled operation. Pickles of earlier versions call this function.

    Args:
        target: The target of its events in this process.
        name: The operation, such as `save`.
        options: The arguments that it was called with, by name; None if it was not called.
    """
    return Operation(Recorder(target, name), **(options or {}), once=None if options is None else Lock())


def recording_again(operation: Operation, function: Callable[..., Any]) -> LateCallable:
    """Return the callable for the shim of a decorated function. Pickles of earlier versions call this function.

    Args:
        operation: The operation that the function was decorated with.
        function: The undecorated function, which may be incomplete until it is called.
    """

    def decorate() -> Any:
        return inner_of(operation._decorate_again(function))

    return LateCallable(decorate, (recording_again, (operation, function)))


def function_again(operation: Operation, function: Any) -> RenamedFunction:
    """Return an unpickled decorated function. Pickles of earlier versions call this function.

    Args:
        operation: The operation that the function was decorated with.
        function: The undecorated function.
    """
    return RenamedFunction(operation._decorate_again(function), (function_again, (operation, function)))


def partial_again(operation: Operation, undecorated: partial[Any], shape: Shape) -> RecordedPartial:
    """Return an unpickled decorated partial. Pickles of earlier versions call this function.

    Args:
        operation: The operation that the partial was decorated with.
        undecorated: The partial; its function may be incomplete until it is called.
        shape: The kind of result that a call returns.
    """
    remade: Remade = (partial_again, (operation, undecorated, shape))
    late = LateCallable(partial(operation._decorate_again, undecorated.func), remade)
    return RecordedPartial.of(undecorated, make_shim(late, shape, late), remade)


def callable_again(operation: Operation, wrapped: Any, shape: Shape, special: tuple[str, ...]) -> RecordedCallable:
    """Return an unpickled decorated callable object. Pickles of earlier versions call this function.

    Args:
        operation: The operation that the object was decorated with.
        wrapped: The object; its class may be incomplete until it is called.
        shape: The kind of result that a call returns.
        special: Its special methods, as `special_methods` returns them.
    """
    remade: Remade = (callable_again, (operation, wrapped, shape, special))
    late = LateCallable(partial(operation._decorate_again, wrapped), remade)
    return RecordedCallable(wrapped, operation, make_shim(late, shape, late), special, remade)


def _is_generator(frame: FrameType) -> bool:
    """Return whether the code of the `with` block is a generator, which may be closed early without an error."""
    while frame.f_back and frame.f_globals.get("__name__") == "contextlib":  # an ExitStack calls __exit__
        frame = frame.f_back
    return bool(frame.f_code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR))
