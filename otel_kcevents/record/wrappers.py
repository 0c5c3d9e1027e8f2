"""The shapes a decorated callable can have: plain, coroutine, generator, async generator, and what holds one."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import INVALID_SPAN

from otel_kcevents.record.callables import is_async_generator, is_coroutine, is_generator, name_of
from otel_kcevents.record.recorder import CallRecorder

__all__ = ["rewrap", "wrap"]

_Function = Callable[..., Any]


def rewrap(target: Any, decorate: Callable[[_Function], _Function]) -> Any:
    """Decorate a callable, or the function in a classmethod or staticmethod, which is made anew around it.

    Raises TypeError for what can't be called, and for a class.
    """
    if isinstance(target, (classmethod, staticmethod)):
        return type(target)(rewrap(target.__func__, decorate))
    if not callable(target) or isinstance(target, type):
        raise TypeError(f"{target!r} is no function to decorate; decorate a function, a method or a callable object")
    return decorate(target)


def wrap(function: _Function, recorder: CallRecorder) -> _Function:
    """A function of the same shape and signature, with `recorder` around each call."""
    shape = next((shape for is_one, shape in _SHAPES if is_one(function)), _plain)
    wrapper = shape(function, recorder)
    wrapper.__qualname__ = name_of(function)
    wrapper.__name__ = wrapper.__qualname__.rpartition(".")[2]
    if inspect.isfunction(function) or inspect.ismethod(function):
        return functools.update_wrapper(wrapper, function)
    functools.update_wrapper(wrapper, function, updated=())  # an object's data change; a copy would not
    for name in dir(type(function)):
        if not name.startswith("_") and callable(method := getattr(function, name)):
            setattr(wrapper, name, method)  # such as cache_clear
    return wrapper


def _plain(function: _Function, recorder: CallRecorder) -> _Function:
    start, measure, finish, fail = recorder.start, recorder.measure, recorder.finish_call, recorder.fail_call

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        begun = start()
        if begun is None:
            return function(*args, **kwargs)
        span, outside, inside = begun
        count = measure(args, kwargs) if measure else None
        if inside is not outside:
            attach(inside)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if inside is not outside:
                attach(outside)
            fail(span, error, args, kwargs)
            raise
        if inside is not outside:
            attach(outside)
        finish(span, args, kwargs, result, count)
        return result

    return wrapper


def _coroutine(function: _Function, recorder: CallRecorder) -> _Function:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        begun = recorder.start()
        if begun is None:
            return await function(*args, **kwargs)
        span, outside, inside = begun
        count = recorder.measure(args, kwargs) if recorder.measure else None
        attach(inside)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            _leave(inside, outside, error)
            recorder.fail_call(span, error, args, kwargs)
            raise
        attach(outside)
        recorder.finish_call(span, args, kwargs, result, count)
        return result

    return wrapper


def _leave(inside: Context, outside: Context, error: BaseException | None) -> None:
    """Restore the context around a coroutine that an exception may have left.

    One that is on_throw away half done is closed wherever the garbage collector runs, in a context that is
    not ours to change.
    """
    if not isinstance(error, GeneratorExit) or get_current() is inside:
        attach(outside)


class _GeneratorRun:
    """What one run of a generator needs between its steps: the span, the context inside, the number of items."""

    __slots__ = ("_args", "_begun", "_inside", "_kwargs", "_outside", "_recorder", "_span", "closed_early", "count")

    def __init__(self, recorder: CallRecorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._recorder, self._args, self._kwargs, self.count, self.closed_early = recorder, args, kwargs, 0, False
        self._begun = recorder.start()
        self._span, self._outside, self._inside = self._begun or (INVALID_SPAN, get_current(), get_current())

    def step(self, step: Callable[[], Any]) -> Any:
        """Run the generator to its next item, with the span current in it alone."""
        entered = self._enter()
        try:
            return step()
        finally:
            del step  # it may hold an error, whose traceback holds this frame
            self._leave(entered)

    async def async_step(self, step: Awaitable[Any]) -> Any:
        """The same for an async generator."""
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
        """Make the generator's context current: what it set itself, over what its consumer has by now."""
        if self._inside is self._outside:
            return None
        outside = get_current()
        if outside is not self._outside:
            own = {key: value for key, value in self._inside.items() if self._outside.get(key) is not value}
            self._inside, self._outside = Context({**outside, **own}), outside
        attach(self._inside)
        return self._inside

    def _leave(self, entered: Context | None, error: BaseException | None = None) -> None:
        if entered is not None:
            self._inside = get_current()  # the generator's own spans stay its own while it waits
            _leave(entered, self._outside, error)

    def count_item(self, item: Any) -> Any:
        """Count an item: whatever was thrown in before, the generator goes on."""
        self.count, self.closed_early = self.count + 1, False
        return item

    def on_throw(self, error: BaseException) -> BaseException:
        """Note what the consumer throws in: with GeneratorExit it had enough."""
        self.closed_early = isinstance(error, GeneratorExit)
        return error

    def finish(self, result: Any = None) -> None:
        if self._begun is None:
            return
        if self.closed_early:
            self._recorder.finish_call(self._span, self._args, self._kwargs, None, self.count, returned=False)
        else:
            self._recorder.finish_call(self._span, self._args, self._kwargs, result, self.count)

    def fail(self, error: BaseException) -> None:
        if self.closed_early and isinstance(error, GeneratorExit):
            self.finish()
        elif self._begun is not None:
            self._recorder.fail_call(self._span, error, self._args, self._kwargs)


def _generator(function: _Function, recorder: CallRecorder) -> _Function:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        items, step = _GeneratorRun(recorder, args, kwargs), None
        try:
            generator = function(*args, **kwargs)
            step = functools.partial(generator.send, None)
            while True:
                item = items.count_item(items.step(step))
                try:
                    step = functools.partial(generator.send, (yield item))
                except BaseException as error:
                    step = functools.partial(generator.throw, items.on_throw(error))
        except StopIteration as stop:
            result = stop.value
        except BaseException as error:
            items.fail(error)
            raise
        finally:
            step = None  # it may hold the error, whose traceback holds it
        items.finish(result)
        return result

    return wrapper


def _async_generator(function: _Function, recorder: CallRecorder) -> _Function:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        items, step = _GeneratorRun(recorder, args, kwargs), None
        try:
            generator = function(*args, **kwargs)
            step = _first(generator)
            while True:
                item = items.count_item(await items.async_step(step))
                try:
                    step = generator.asend((yield item))
                except BaseException as error:
                    step = generator.athrow(items.on_throw(error))
        except StopAsyncIteration:
            items.finish()
        except BaseException as error:
            items.fail(error)
            raise
        finally:
            step = None  # it may hold the error, whose traceback holds it

    return wrapper


def _first(generator: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """The first step, unseen by the event loop, which at its end would close the generator beside its wrapper."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


_SHAPES = (
    (is_async_generator, _async_generator),
    (is_coroutine, _coroutine),
    (is_generator, _generator),
)
