"""Wrappers that record the calls of functions of every shape: plain, coroutine, generator and async generator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from opentelemetry.context import attach

from otel_kcevents.model.messages import short_repr
from otel_kcevents.record.call_recorder import CallRecorder
from otel_kcevents.record.callables import Shape, body_of, shape_of
from otel_kcevents.record.generators import AsyncGeneratorRun, GeneratorRun, restore
from otel_kcevents.record.late import Recording, Remade
from otel_kcevents.record.shim import inner_of, make_shim
from otel_kcevents.record.signatures import Args, Kwargs
from otel_kcevents.record.unfinished import ORDINARY, StartedCall, record_unfinished

__all__ = ["marks_of", "recording_of", "rewrap", "wrap"]

_Function = Callable[..., Any]


def rewrap(target: Any, decorate: Callable[[_Function], _Function]) -> Any:
    """Decorate a callable, or the function in a classmethod or a staticmethod.

    Args:
        target: What to decorate.
        decorate: Returns the decorated function.

    Raises:
        TypeError: *target* is a class, or not callable.
    """
    if issubclass(type(target), (classmethod, staticmethod)):  # a proxy of one may bind differently
        return type(target)(rewrap(target.__func__, decorate))
    if not callable(target) or isinstance(target, type):
        raise TypeError(f"cannot wrap {short_repr(target)}; decorate a function, a method or a callable object")
    return decorate(target)


def marks_of(function: _Function) -> tuple[Any, ...]:
    """Return the marks of the wrappers in a decorated callable, the innermost first; none if it is not decorated.

    Args:
        function: The callable; also a method, a partial, or an object whose `__call__` is decorated.
    """
    marks: tuple[Any, ...] = getattr(inner_of(function), "marks", ())
    return marks


def wrap(function: _Function, recorder: CallRecorder, marks: tuple[Any, ...], remade: Remade) -> FunctionType:
    """Return a function of the same shape, parameters and name that records each call.

    Args:
        function: The function, method or callable object to wrap.
        recorder: Records the calls.
        marks: What `marks_of` returns for the wrapper.
        remade: The content of the wrapper's pickle, in place of the code and the state for recording.
    """
    inner = recording_of(function, recorder, marks, remade)
    wrapper = make_shim(function, shape_of(function), inner)
    functools.update_wrapper(wrapper, body_of(function)[0])
    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    return wrapper


def recording_of(
    function: _Function,
    recorder: CallRecorder,
    marks: tuple[Any, ...],
    remade: Remade,
    applies: Callable[[Args, Kwargs], bool] | None = None,
) -> Recording:
    """Return the function that the shim of a function calls: it calls the function, and records the call.

    Args:
        function: The function, method or callable object.
        recorder: Records the calls.
        marks: What `marks_of` returns for the shim.
        remade: The content of its pickle.
        applies: Returns whether a call, by its arguments, is recorded; None if all calls are.
    """
    shape = shape_of(function)
    called = _INNER[shape](function, recorder)
    if applies is not None:
        called = _if_applies(applies, called, _unrecorded(function, recorder, shape))
    inner = Recording(called)
    inner.marks = marks  # not on the shim, whose attributes `functools.wraps` copies
    inner.remade = remade
    return inner


def _plain(function: _Function, recorder: CallRecorder) -> _Function:
    start, begin, finish, fail = recorder.start, recorder.begin, recorder.finish_call, recorder.fail_call
    reads_before = recorder.reads_before

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = start()
        if started is None:
            return function(*args, **kwargs)
        span, outside, inside = started
        window, size = begin(args, kwargs) if reads_before else (None, None)
        if inside is not outside:
            attach(inside)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if inside is not outside:
                attach(outside)
            fail(span, args, kwargs, error, window)
            raise
        if inside is not outside:
            attach(outside)
        if type(result) is not list and id(type(result)) not in ORDINARY:
            call = StartedCall(recorder, args, kwargs, started, window, size)
            if (unfinished := record_unfinished(call, result)) is not None:
                return unfinished
        finish(span, args, kwargs, result, window, size)
        return result

    return wrapper


def _coroutine(function: _Function, recorder: CallRecorder) -> _Function:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = recorder.start()
        if started is None:
            return await function(*args, **kwargs)
        span, outside, inside = started
        window, size = recorder.begin(args, kwargs) if recorder.reads_before else (None, None)
        attach(inside)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            restore(inside, outside, error)
            recorder.fail_call(span, args, kwargs, error, window)
            raise
        attach(outside)
        if type(result) is not list and id(type(result)) not in ORDINARY:
            call = StartedCall(recorder, args, kwargs, started, window, size)
            if (unfinished := record_unfinished(call, result)) is not None:
                return unfinished
        recorder.finish_call(span, args, kwargs, result, window, size)
        return result

    return wrapper


def _generator(function: _Function, recorder: CallRecorder, run: type[AsyncGeneratorRun | GeneratorRun]) -> _Function:
    def start(*args: Any, **kwargs: Any) -> AsyncGeneratorRun | GeneratorRun:
        generator, started = function(*args, **kwargs), recorder.start()
        reads = started is not None and recorder.reads_before
        window, size = recorder.begin(args, kwargs) if reads else (None, None)
        return run(generator, recorder, args, kwargs, started, window, size)

    return start


def _if_applies(applies: Callable[[Args, Kwargs], bool], recorded: _Function, unrecorded: _Function) -> _Function:
    """Return what a shim of any shape calls: it returns the coroutine or the run of one of the two functions."""

    def choose(*args: Any, **kwargs: Any) -> Any:
        return (recorded if applies(args, kwargs) else unrecorded)(*args, **kwargs)

    return choose


def _unrecorded(function: _Function, recorder: CallRecorder, shape: Shape) -> _Function:
    """Return what a shim calls for a call that is not recorded."""
    if shape != "async generator":
        return function

    def start(*args: Any, **kwargs: Any) -> AsyncGeneratorRun:
        # not the generator itself, which an event loop that shuts down would close twice
        return AsyncGeneratorRun(function(*args, **kwargs), recorder, args, kwargs, None, None, None)

    return start


_INNER: dict[Shape, Callable[[_Function, CallRecorder], _Function]] = {
    "plain": _plain,
    "coroutine": _coroutine,
    "generator": functools.partial(_generator, run=GeneratorRun),
    "async generator": functools.partial(_generator, run=AsyncGeneratorRun),
}
