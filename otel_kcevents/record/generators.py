"""The runs of generators and async generators: one span and one event each, from the first step to the last."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, cast

from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import INVALID_SPAN

from otel_kcevents.model.window import Window
from otel_kcevents.record.call_recorder import NO_RESULT, CallRecorder
from otel_kcevents.record.recorder import StartedSpan
from otel_kcevents.record.signatures import Args, Kwargs
from otel_kcevents.record.sizes import add_size
from otel_kcevents.record.windows import PendingWindow, cover

__all__ = ["AsyncGeneratorRun", "GeneratorRun", "inside_context", "restore"]


def restore(inside: Context, outside: Context, error: BaseException | None) -> None:
    """Restore the context around a coroutine that has returned or raised.

    The garbage collector may close an abandoned coroutine in any context, which must not change.

    Args:
        inside: The context inside the coroutine.
        outside: The context around it.
        error: The exception that it raised; None if it returned.
    """
    if not isinstance(error, GeneratorExit) or get_current() is inside:
        attach(outside)


def inside_context(inside: Context, outside: Context) -> Context:
    """Return a context with the values that its caller has set in the meantime.

    Args:
        inside: The context.
        outside: The context from which *inside* was created.
    """
    current = get_current()
    if current is outside:
        return inside
    own = {key: value for key, value in inside.items() if outside.get(key) is not value}
    return Context({**current, **own})


class _Run:
    """The state of one run between its steps: span, contexts, and size and window of its items."""

    def __init__(
        self,
        recorder: CallRecorder,
        args: Args,
        kwargs: Kwargs,
        started: StartedSpan | None,
        window: Window | PendingWindow | None,
        size: int | None,
    ) -> None:
        self._recorder = recorder
        self._args = args
        self._kwargs = kwargs
        self._started = started
        self._span, self._outside, self._inside = started or (INVALID_SPAN, get_current(), get_current())
        self._window: Window | PendingWindow | None = window
        # The number of items or the sum of their sizes, unless the size is read before the call.
        self._size: Any = size if recorder.is_sized_before else 0
        self._item_window = recorder.item_window
        self._is_closed_early = False

    def _enter(self) -> Context | None:
        """Attach the generator's own context, with the values that its caller has set in the meantime."""
        if self._inside is self._outside:
            return None
        self._inside, self._outside = inside_context(self._inside, self._outside), get_current()
        attach(self._inside)
        return self._inside

    def _leave(self, entered: Context | None, error: BaseException | None = None) -> None:
        if entered is not None:
            self._inside = get_current()  # with the spans that the generator keeps open across its `yield`
            restore(entered, self._outside, error)

    def _count_item(self, item: Any) -> Any:
        """Count an item, and read its size and its window if `yield` paths name them."""
        self._is_closed_early = False  # the generator continued after `throw`
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

    def _finish(self, result: Any = None) -> None:
        """Record that the generator ended, by returning or because it was closed early."""
        if self._started is not None:
            result = NO_RESULT if self._is_closed_early else result
            self._recorder.finish_call(self._span, self._args, self._kwargs, result, self._window, self._size)

    def _fail(self, error: BaseException) -> None:
        """Record that the generator raised *error*, which is not a failure if it was closed early."""
        if self._is_closed_early and isinstance(error, GeneratorExit):
            self._finish()
        elif self._started is not None:
            self._recorder.fail_call(self._span, self._args, self._kwargs, error, self._window)


class GeneratorRun(_Run):
    """The run of a generator, with the generator's own `send` and `throw`.

    Args:
        generator: The generator.
        state: The recorder, the arguments, the started span, and the window and the size read before the call.
    """

    def __init__(self, generator: Generator[Any, Any, Any], *state: Any) -> None:
        super().__init__(*state)
        self._generator = generator

    def send(self, value: Any) -> Any:
        """Run the generator to its next item, with the span current only inside it."""
        return self._step(self._generator.send, value)

    def throw(self, error: BaseException) -> Any:
        """Raise *error* in the generator and run it to its next item; GeneratorExit closes it early."""
        self._is_closed_early = isinstance(error, GeneratorExit)
        try:
            return self._step(self._generator.throw, error)
        finally:
            del error  # its traceback refers to this frame

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        entered = self._enter()
        try:
            item = step(value)
        except StopIteration as stop:
            self._leave(entered)
            self._finish(stop.value)
            raise
        except BaseException as error:
            self._leave(entered)
            self._fail(error)
            raise
        finally:
            del value  # it may be an error, whose traceback refers to this frame
        self._leave(entered)
        return self._count_item(item)


class AsyncGeneratorRun(_Run):
    """The run of an async generator, with the generator's own `asend` and `athrow`.

    Args:
        generator: The generator.
        state: The recorder, the arguments, the started span, and the window and the size read before the call.
    """

    def __init__(self, generator: AsyncGenerator[Any, Any], *state: Any) -> None:
        super().__init__(*state)
        self._generator = generator
        self._has_begun = False

    async def asend(self, value: Any) -> Any:
        """Run the generator to its next item, with the span current only inside it."""
        if self._has_begun:
            return await self._step(self._generator.asend(value))
        self._has_begun = True
        # An event loop that shuts down closes the async generators that it knows. It knows the wrapper, which closes
        # this one itself.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            step = self._generator.asend(None)
        finally:
            sys.set_asyncgen_hooks(*hooks)
        return await self._step(step)

    async def athrow(self, error: BaseException) -> Any:
        """Raise *error* in the generator and run it to its next item; GeneratorExit closes it early."""
        self._is_closed_early = isinstance(error, GeneratorExit)
        try:
            return await self._step(self._generator.athrow(error))
        finally:
            del error  # its traceback refers to this frame

    async def _step(self, step: Awaitable[Any]) -> Any:
        entered = self._enter()
        try:
            item = await step
        except StopAsyncIteration:
            self._leave(entered)
            self._finish()
            raise
        except BaseException as error:
            self._leave(entered, error)
            self._fail(error)
            raise
        finally:
            del step  # it may refer to an error, whose traceback refers to this frame
        self._leave(entered)
        return self._count_item(item)
