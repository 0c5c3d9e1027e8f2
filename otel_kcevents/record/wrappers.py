"""Wrappers that record the calls of functions of every shape: plain, coroutine, generator and async generator."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, cast

from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import INVALID_SPAN

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window
from otel_kcevents.record.callables import is_async_generator, is_coroutine, is_generator, name_of
from otel_kcevents.record.extract import add_size
from otel_kcevents.record.recorder import NO_RESULT, CallRecorder
from otel_kcevents.record.windows import PendingWindow, cover

__all__ = ["rewrap", "wrap"]

_Function = Callable[..., Any]


def rewrap(target: Any, decorate: Callable[[_Function], _Function]) -> Any:
    """Decorate a callable, or the function in a classmethod or a staticmethod.

    Args:
        target: What to decorate.
        decorate: Returns the decorated function.

    Raises:
        TypeError: *target* is a class, or not callable.
    """
    if isinstance(target, (classmethod, staticmethod)):
        return type(target)(rewrap(target.__func__, decorate))
    if not callable(target) or isinstance(target, type):
        raise TypeError(f"cannot wrap {short_repr(target)}; decorate a function, a method or a callable object")
    return decorate(target)


def wrap(function: _Function, recorder: CallRecorder) -> _Function:
    """Return a function of the same shape and signature that records each call.

    Args:
        function: The function, method, partial or callable object to wrap.
        recorder: Records the calls.
    """
    shape = next((shape for is_one, shape in _SHAPES if is_one(function)), _plain)
    wrapper = shape(function, recorder)
    wrapper.__qualname__ = name_of(function)
    wrapper.__name__ = wrapper.__qualname__.rpartition(".")[2]
    if inspect.isfunction(function) or inspect.ismethod(function):
        return functools.update_wrapper(wrapper, function)
    functools.update_wrapper(wrapper, function, updated=())  # a copy of an object's attributes would become outdated
    for name in dir(type(function)):
        if not name.startswith("_") and callable(method := getattr(function, name)):
            setattr(wrapper, name, method)  # such as cache_clear
    return wrapper


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
            _restore(inside, outside, error)
            recorder.fail_call(span, args, kwargs, error, window)
            raise
        attach(outside)
        recorder.finish_call(span, args, kwargs, result, window, size)
        return result

    return wrapper


def _restore(inside: Context, outside: Context, error: BaseException | None) -> None:
    """Restore the context around a coroutine that has returned or raised *error*.

    The garbage collector may close an abandoned coroutine anywhere; the context that is current there must stay.
    """
    if not isinstance(error, GeneratorExit) or get_current() is inside:
        attach(outside)


class _GeneratorRun:
    """The state of one run of a generator between its steps: span, contexts, and size and window of its items."""

    def __init__(self, recorder: CallRecorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._recorder = recorder
        self._args = args
        self._kwargs = kwargs
        self._started = recorder.start()
        self._span, self._outside, self._inside = self._started or (INVALID_SPAN, get_current(), get_current())
        self._window: Window | PendingWindow | None = None
        self._size: Any = 0  # the number of items, or the sum of their sizes, unless it was read before the first
        if recorder.reads_before and self._started is not None:
            self._window, size = recorder.begin(args, kwargs)
            self._size = size if recorder.is_sized_before else 0
        self._item_window = recorder.item_window
        self._is_closed_early = False

    def step(self, step: Callable[[], Any]) -> Any:
        """Run the generator to its next item, with the span current only inside it."""
        entered = self._enter()
        try:
            return step()
        finally:
            del step  # it may refer to an error, whose traceback refers to this frame
            self._leave(entered)

    async def async_step(self, step: Awaitable[Any]) -> Any:
        """Run an async generator to its next item, with the span current only inside it."""
        entered = self._enter()
        try:
            item = await step
        except BaseException as error:
            self._leave(entered, error)
            raise
        finally:
            del step
        self._leave(entered)
        return item

    def _enter(self) -> Context | None:
        """Attach the generator's own context values on top of those that its caller has set in the meantime."""
        if self._inside is self._outside:
            return None
        outside = get_current()
        if outside is not self._outside:
            own = {key: value for key, value in self._inside.items() if self._outside.get(key) is not value}
            self._inside = Context({**outside, **own})
            self._outside = outside
        attach(self._inside)
        return self._inside

    def _leave(self, entered: Context | None, error: BaseException | None = None) -> None:
        if entered is not None:
            self._inside = get_current()  # with the spans that the generator keeps open across its `yield`
            _restore(entered, self._outside, error)

    def count_item(self, item: Any) -> Any:
        """Count an item, and read its size and its window if `yield` paths name them."""
        self._is_closed_early = False  # the generator continues, whatever was thrown into it
        recorder, args, kwargs = self._recorder, self._args, self._kwargs
        if recorder.item_size is None:
            if not recorder.is_sized_before:
                self._size += 1
        elif self._size is not None and self._started is not None:
            try:
                self._size = add_size(self._size, recorder.item_size(args, kwargs, item))
            except Exception as error:
                recorder.warn("the size", error)
                self._size = None  # the sum of the other items would be wrong
        if self._item_window is not None and self._started is not None:
            try:
                self._window = cover(cast("Window | None", self._window), self._item_window(args, kwargs, item))
            except Exception as error:
                recorder.warn("the window", error)
                self._window = self._item_window = None  # the window of the other items would be wrong
        return item

    def on_throw(self, error: BaseException) -> BaseException:
        """Note and return what the caller throws in: GeneratorExit closes the generator early."""
        self._is_closed_early = isinstance(error, GeneratorExit)
        return error

    def finish(self, result: Any = None) -> None:
        """Record that the generator ended, by returning or because it was closed early."""
        if self._started is not None:
            result = NO_RESULT if self._is_closed_early else result
            self._recorder.finish_call(self._span, self._args, self._kwargs, result, self._window, self._size)

    def fail(self, error: BaseException) -> None:
        """Record that the generator raised *error*, which is not a failure if it was closed early."""
        if self._is_closed_early and isinstance(error, GeneratorExit):
            self.finish()
        elif self._started is not None:
            self._recorder.fail_call(self._span, self._args, self._kwargs, error, self._window)


def _generator(function: _Function, recorder: CallRecorder) -> _Function:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        run, step = _GeneratorRun(recorder, args, kwargs), None
        try:
            generator = function(*args, **kwargs)
            step = functools.partial(generator.send, None)
            while True:
                item = run.count_item(run.step(step))
                try:
                    step = functools.partial(generator.send, (yield item))
                except BaseException as error:
                    step = functools.partial(generator.throw, run.on_throw(error))
        except StopIteration as stop:
            result = stop.value
        except BaseException as error:
            run.fail(error)
            raise
        finally:
            step = None  # it may refer to the error, whose traceback refers to this frame
        run.finish(result)
        return result

    return wrapper


def _async_generator(function: _Function, recorder: CallRecorder) -> _Function:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run, step = _GeneratorRun(recorder, args, kwargs), None
        try:
            generator = function(*args, **kwargs)
            step = _first_step(generator)
            while True:
                item = run.count_item(await run.async_step(step))
                try:
                    step = generator.asend((yield item))
                except BaseException as error:
                    step = generator.athrow(run.on_throw(error))
        except StopAsyncIteration:
            run.finish()
        except BaseException as error:
            run.fail(error)
            raise
        finally:
            step = None  # it may refer to the error, whose traceback refers to this frame

    return wrapper


def _first_step(generator: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Return the first step of *generator*, hidden from the event loop.

    An event loop that shuts down closes the async generators that it knows. It knows the wrapper, which closes
    *generator* itself.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


_SHAPES = ((is_async_generator, _async_generator), (is_coroutine, _coroutine), (is_generator, _generator))
