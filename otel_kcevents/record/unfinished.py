"""Results that are not complete when a function returns: coroutines, futures, other awaitables and generators."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import cache
from types import AsyncGeneratorType, CoroutineType, GeneratorType, NoneType
from typing import Any, NamedTuple

from opentelemetry.context import attach, get_current

from otel_kcevents.model.window import Window
from otel_kcevents.record.call_recorder import NO_RESULT, CallRecorder
from otel_kcevents.record.callables import Shape
from otel_kcevents.record.generators import AsyncGeneratorRun, GeneratorRun, inside_context, restore
from otel_kcevents.record.recorder import StartedSpan
from otel_kcevents.record.set_types import is_library_set
from otel_kcevents.record.shim import make_shim
from otel_kcevents.record.signatures import Args, Kwargs
from otel_kcevents.record.windows import PendingWindow

__all__ = ["ORDINARY", "StartedCall", "record_unfinished"]

ORDINARY: frozenset[int] = frozenset(
    map(id, (NoneType, bool, int, float, str, bytes, list, tuple, dict, set, frozenset))
)
"""The ids of the usual types of results, for a quick check: all of them are complete. Not every type has a hash."""


class StartedCall(NamedTuple):
    """A call that has returned, but has not ended.

    Attributes:
        recorder: Records it.
        args: The positional arguments.
        kwargs: The keyword arguments.
        started: Its span and contexts.
        window: The window, if it is known before the call ends.
        size: The size, if it is known before the call ends.
    """

    recorder: CallRecorder
    args: Args
    kwargs: Kwargs
    started: StartedSpan
    window: Window | PendingWindow | None
    size: int | None

    def finish(self, result: Any) -> None:
        """Record that the call ended with *result*, or with NO_RESULT if the result is unknown."""
        self.recorder.finish_call(self.started[0], self.args, self.kwargs, result, self.window, self.size)

    def fail(self, error: BaseException) -> None:
        """Record that the call ended with *error*."""
        self.recorder.fail_call(self.started[0], self.args, self.kwargs, error, self.window)


def record_unfinished(call: StartedCall, result: Any) -> Any:
    """Return the object to return in place of *result* if the call ends later; None if the call has ended.

    A coroutine or a generator is wrapped in another one; a future or another awaitable is returned itself. An awaitable
    that is also an async iterable, or a collection of Dask, is a lazy set, so the call has ended.

    Args:
        call: The call, which is recorded when the result is complete.
        result: The result of the function.
    """
    kind = type(result)
    if kind is CoroutineType or (kind is GeneratorType and inspect.isawaitable(result)):
        return _named_like(result, _finish_awaited(call, result, _Closing(result)))
    if kind is GeneratorType or kind is AsyncGeneratorType:
        call = call._replace(recorder=call.recorder.of_items())
        run = GeneratorRun(result, *call) if kind is GeneratorType else AsyncGeneratorRun(result, *call)
        return _named_like(result, _driver("generator" if kind is GeneratorType else "async generator")(run))
    if _defines(kind, "add_done_callback") and _defines(kind, "cancelled"):
        return _record_future(call, result)
    if _defines(kind, "__await__") and not _defines(kind, "__aiter__") and not is_library_set(kind):
        return _record_awaitable(call, result)
    return None


def _defines(cls: type, name: str) -> bool:
    """Return whether a class or one of its base classes defines a method; errors of its metaclass are ignored."""
    try:
        return hasattr(cls, name) and any(name in vars(base) for base in cls.__mro__)
    except Exception:
        return False


@cache
def _driver(shape: Shape) -> Callable[..., Any]:
    return make_shim(None, shape, lambda run: run)


def _named_like(result: Any, wrapper: Any) -> Any:
    """Return a coroutine or a generator with the name of the one it wraps, for warnings and for `repr()`."""
    wrapper.__name__, wrapper.__qualname__ = result.__name__, result.__qualname__
    return wrapper


class _Closing(NamedTuple):
    """Closes a coroutine that never starts together with the one that wraps it: Python would warn about both."""

    coroutine: Any

    def __del__(self) -> None:
        self.coroutine.close()


async def _finish_awaited(call: StartedCall, awaitable: Awaitable[Any], _closing: _Closing | None = None) -> Any:
    """Await in the context of the call's span, with the values of the awaiting code's context."""
    _, outside, inside = call.started
    current, inside = get_current(), inside_context(inside, outside)
    attach(inside)
    try:
        result = await awaitable
    except BaseException as error:
        restore(inside, current, error)
        call.fail(error)
        raise
    attach(current)
    call.finish(result)
    return result


def _record_future(call: StartedCall, future: Any) -> Any:
    kind = type(future)
    is_asyncio = hasattr(kind, "_asyncio_future_blocking") and hasattr(kind, "_exception")
    # The result of another library's future is not fetched, because it may be data on another machine.
    is_here = is_asyncio or any(base.__module__.startswith("concurrent.futures") for base in kind.__mro__)

    def finish(future: Any) -> None:
        try:
            # `exception()` is not called, because asyncio would then no longer log an error that nobody retrieves.
            error = future._exception if is_asyncio and not future.cancelled() else future.exception()
            if error is None and future.cancelled():  # Dask's futures raise no error if they were cancelled
                from concurrent.futures import CancelledError  # takes 1 ms

                error = CancelledError()
        except BaseException as cancelled:
            error = cancelled
        if error is not None:
            return call.fail(error)
        if not is_here and call.recorder.is_sized and not call.recorder.is_sized_before:
            call.recorder.warn("the size", TypeError(f"the result of a {kind.__qualname__} is not fetched"))
        call.finish(future.result() if is_here else NO_RESULT)

    if is_asyncio and future.done():
        finish(future)  # a callback would wait for the event loop
        return future
    try:
        future.add_done_callback(finish)
    except Exception:  # it means something else
        return None
    return future


class _Original(NamedTuple):
    """An awaitable, awaited as its own class does it."""

    kind: Any
    awaitable: Any

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Generator[Any, Any, Any] = self.kind.__await__(self.awaitable)
        return steps


def _record_awaitable(call: StartedCall, awaitable: Any) -> Any:
    """Record an awaitable of any class when it is awaited, entered with `async with`, or run as a task.

    The awaitable is returned itself, because the program may need this object. Its class is replaced by a subclass
    until then. Returns None if the program could notice the subclass.
    """
    kind: Any = type(awaitable)
    recorder = call.recorder
    recorded_as = (recorder.target, recorder.operation, recorder.name)
    if any(vars(base).get("_kcevents_recorded_as") == recorded_as for base in kind.__mro__):
        recorder.skip(call.started[0])  # the same object was returned before, such as one in a cache
        return awaitable

    def restored(self: Any) -> Any:
        object.__setattr__(self, "__class__", kind)
        return self

    methods: dict[str, Any] = {
        "__slots__": (),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__await__": lambda self: _finish_awaited(call, restored(self)).__await__(),
        "__reduce_ex__": lambda self, protocol: restored(self).__reduce_ex__(protocol),  # pickle finds its class
        "_kcevents_recorded_as": recorded_as,
    }
    if hasattr(kind, "__aenter__"):
        methods["__aenter__"] = lambda self: _finish_awaited(call, restored(self).__aenter__())
    if issubclass(kind, Coroutine):
        methods.update(_coroutine_methods(call, kind))
    try:
        if not _is_plain(kind):
            return None
        object.__setattr__(awaitable, "__class__", type(kind)(kind.__name__, (kind,), methods))
    except Exception:  # the class is written in C
        return _finish_awaited(call, awaitable) if issubclass(kind, Coroutine) else None
    return awaitable


def _is_plain(kind: Any) -> bool:
    """Return whether a subclass can be created without running code of the program, and equality ignores the class."""
    hooks = {base.__module__ for base in kind.__mro__ if "__init_subclass__" in vars(base)}
    return type(kind) in (type, ABCMeta) and kind.__eq__ is object.__eq__ and hooks <= {"builtins", "typing"}


def _coroutine_methods(call: StartedCall, kind: Any) -> dict[str, Any]:
    """Return the methods that asyncio calls for each step of an object that it runs as a task."""
    running: Coroutine[Any, Any, Any] | None = None

    def start(self: Any) -> Coroutine[Any, Any, Any]:
        nonlocal running
        running = running or _finish_awaited(call, _Original(kind, self))
        return running

    return {
        "send": lambda self, value: start(self).send(value),
        "throw": lambda self, *error: start(self).throw(*error),
        "close": lambda self: kind.close(self) if running is None else running.close(),
    }
