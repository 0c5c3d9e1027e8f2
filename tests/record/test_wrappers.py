"""Decorated callables: functions, coroutines and generators, as functions, methods, partials and objects."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import pickle
import sys
import types
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from contextvars import copy_context
from itertools import product
from typing import Any, NamedTuple

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach, get_current
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import INVALID_SPAN, Span, StatusCode, get_current_span
from telemetry import DAY, Pause, Telemetry, Warned

from otel_kcevents.model.event import Event
from otel_kcevents.record.record_set import RecordSet
from otel_kcevents.store.log import EventLog

Decorator = Callable[[Any], Any]
END = (StopIteration, StopAsyncIteration)


# The table of shapes: four kinds of functions, which return the current span `count` times, in nine holders


def load(window: Any, count: int = 3) -> list[Span]:
    """Load a day."""
    return [get_current_span() for _ in range(count)]


async def aload(window: Any, count: int = 3) -> list[Span]:
    """Load a day."""
    await asyncio.sleep(0)
    return [get_current_span() for _ in range(count)]


def items(window: Any, count: int = 3) -> Generator[Span, None, None]:
    """Load a day."""
    for _ in range(count):
        yield get_current_span()


async def aitems(window: Any, count: int = 3) -> AsyncGenerator[Span, None]:
    """Load a day."""
    for _ in range(count):
        await asyncio.sleep(0)
        yield get_current_span()


class Methods:
    """The same functions, with the object or the class as the first argument."""

    def load(self, window: Any, count: int = 3) -> list[Span]:
        return load(window, count)

    async def aload(self, window: Any, count: int = 3) -> list[Span]:
        return await aload(window, count)

    def items(self, window: Any, count: int = 3) -> Iterator[Span]:
        yield from items(window, count)

    async def aitems(self, window: Any, count: int = 3) -> AsyncGenerator[Span, None]:
        async for item in aitems(window, count):
            yield item


def class_with(**attributes: Any) -> Any:
    return type("Loader", (), attributes)


FUNCTIONS: dict[str, Callable[..., Any]] = {"load": load, "aload": aload, "items": items, "aitems": aitems}
HOLDERS: dict[str, Callable[[Decorator, Any, Any], Any]] = {
    "function": lambda decorate, function, method: decorate(function),
    "partial": lambda decorate, function, method: decorate(functools.partial(functools.partial(function, count=3))),
    "method": lambda decorate, function, method: class_with(run=decorate(method))().run,
    "bound method": lambda decorate, function, method: decorate(class_with(run=method)().run),
    "object": lambda decorate, function, method: decorate(class_with(__call__=method)()),
    "above classmethod": lambda decorate, function, method: class_with(run=decorate(classmethod(method))).run,
    "below classmethod": lambda decorate, function, method: class_with(run=classmethod(decorate(method))).run,
    "above staticmethod": lambda decorate, function, method: class_with(run=decorate(staticmethod(function)))().run,
    "below staticmethod": lambda decorate, function, method: class_with(run=staticmethod(decorate(function)))().run,
}


class Shape(NamedTuple):
    """A kind of function in a holder."""

    name: str
    holder: str

    def decorated(self, decorate: Decorator) -> Any:
        """Make the callable with a decorator where this shape has it."""
        return HOLDERS[self.holder](decorate, FUNCTIONS[self.name], getattr(Methods, self.name))


@pytest.fixture(params=product(FUNCTIONS, HOLDERS), ids=" in ".join)
def shape(request: pytest.FixtureRequest) -> Shape:
    return Shape(*request.param)


def run(called: Any) -> list[Any]:
    """Run a call of any shape to its end."""
    if inspect.isasyncgen(called):
        called = collect(called)
    return list(asyncio.run(in_own_context(called)) if inspect.iscoroutine(called) else called)


async def collect(generator: AsyncGenerator[Any, Any]) -> list[Any]:
    return [item async for item in generator]


async def in_own_context(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine, and check that it does not change the context."""
    before = get_current()
    try:
        return await coroutine
    finally:
        assert get_current() is before


class Unreadable:
    """A count that makes a call fail."""

    error = OSError("gone")

    def __index__(self) -> int:
        raise self.error


def test_call_is_one_event_with_size_and_window(telemetry: Telemetry, shape: Shape) -> None:
    """The span is current only in the body."""
    before = get_current()
    spans = run(shape.decorated(telemetry.asset.load)(DAY))
    assert get_current() is before
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, 3, DAY)
    assert [span.get_span_context() for span in spans] == [telemetry.span.context] * 3


def test_exception_passes_unchanged(telemetry: Telemetry, shape: Shape) -> None:
    before = get_current()
    with pytest.raises(OSError, match="gone") as raised:
        run(shape.decorated(telemetry.asset.load)(DAY, count=Unreadable()))
    assert get_current() is before
    assert raised.value is Unreadable.error
    assert (telemetry.event.kind, telemetry.event.window) == ("AssetSetComputeError", DAY)


def test_log_fills_without_a_tracer(shape: Shape) -> None:
    telemetry = Telemetry(tracer_provider=trace.NoOpTracerProvider())
    call = shape.decorated(telemetry.asset.load)
    assert run(call(DAY)) == [INVALID_SPAN] * 3
    assert telemetry.event.size == 3
    with pytest.raises(OSError, match="gone"):
        run(call(DAY, count=Unreadable()))
    assert telemetry.log.counts() == {"AssetSetComputeError": 1, "AssetSetLoaded": 1}


def test_suppressed_call_records_nothing(telemetry: Telemetry, shape: Shape) -> None:
    call = shape.decorated(telemetry.asset.load)
    with suppress_instrumentation():
        assert run(call(DAY)) == [INVALID_SPAN] * 3
        with pytest.raises(OSError, match="gone"):
            run(call(DAY, count=Unreadable()))
    assert (telemetry.spans, telemetry.events) == ([], [])


def test_two_operations_record_nested_spans(telemetry: Telemetry, shape: Shape) -> None:
    call = shape.decorated(lambda function: telemetry.allocation.load(telemetry.asset.aggregate(function)))
    assert len(run(call(DAY))) == 3
    inner, outer = telemetry.spans
    assert (inner.name, outer.name, inner.parent) == ("aggregate AssetSet", "load AllocationSet", outer.context)
    assert [event.size for event in telemetry.events] == [3, 3]


def test_signature_and_kind_of_function_survive(telemetry: Telemetry, shape: Shape) -> None:
    decorated, undecorated = shape.decorated(telemetry.asset.load), shape.decorated(lambda undecorated: undecorated)
    assert inspect.signature(decorated) == inspect.signature(undecorated)
    for is_kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert is_kind(decorated) is is_kind(undecorated)
        assert shape.holder != "object" or is_kind(decorated.__call__) is is_kind(undecorated.__call__)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_names_and_docstring_survive(telemetry: Telemetry, function: Callable[..., Any]) -> None:
    decorated = telemetry.asset.load(function)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(decorated, attribute) == getattr(function, attribute)
    assert inspect.unwrap(decorated) is function


@pytest.mark.parametrize("function", [load, aload, items], ids=["load", "aload", "items"])
def test_fails_when_sees_the_result(telemetry: Telemetry, function: Callable[..., Any]) -> None:
    results = []

    def fails(result: Any) -> bool:
        results.append(result)
        return True

    run(telemetry.asset.load(fails_when=fails)(function)(DAY))
    assert len(results) == 1
    assert telemetry.kinds == ["AssetSetComputeError"]


# Details of some holders


@pytest.mark.parametrize(
    ("callable_", "name"),
    [(functools.partial(functools.partial(load)), "load"), (class_with(__call__=Methods.load)(), "Loader")],
    ids=["partial", "object"],
)
def test_span_has_the_name_inside_partial_and_object(telemetry: Telemetry, callable_: Any, name: str) -> None:
    telemetry.asset.load(callable_)(DAY)
    assert (telemetry.span.attributes or {})["code.function.name"] == f"{__name__}.{name}"


def test_recursion_records_each_level(telemetry: Telemetry) -> None:
    @telemetry.asset.load
    def count_to(depth: int) -> Iterator[int]:
        if depth:
            yield from count_to(depth - 1)
            yield depth

    assert list(count_to(3)) == [1, 2, 3]
    assert [event.size for event in telemetry.events] == [0, 1, 2, 3]
    spans = telemetry.spans
    assert [span.parent for span in spans] == [*(span.context for span in spans[1:]), None]


@RecordSet("asset", "AssetSet", log=EventLog()).load
def picklable(window: Any) -> list[int]:
    return [1]


def test_decorated_function_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(picklable)) is picklable


# Coroutines, and async generators that wait


async def pause(window: Any) -> None:
    await Pause()


async def pause_and_yield(window: Any) -> AsyncGenerator[int, None]:
    await Pause()
    yield 1


each_that_waits = pytest.mark.parametrize("function", [pause, pause_and_yield], ids=["coroutine", "async generator"])


@each_that_waits
def test_cancellation_is_a_failure(telemetry: Telemetry, function: Any) -> None:
    async def main() -> None:
        called = telemetry.asset.load(function)(DAY)
        task = asyncio.create_task(called if function is pause else collect(called))
        await asyncio.sleep(0)
        task.cancel("enough")
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert telemetry.event.failure is not None
    assert telemetry.event.failure.type == "asyncio.exceptions.CancelledError"
    assert telemetry.event.window == DAY
    assert telemetry.span.status.status_code is StatusCode.ERROR


def test_generator_based_coroutine_is_awaited(telemetry: Telemetry) -> None:
    @telemetry.asset.load
    @types.coroutine
    def load() -> Generator[None, None, list[int]]:
        yield from Pause().__await__()
        return [1, 2]

    async def main() -> list[int]:
        return await load()

    assert asyncio.run(main()) == [1, 2]
    assert telemetry.event.size == 2


def test_concurrent_tasks_each_have_their_span(telemetry: Telemetry) -> None:
    @telemetry.asset.load
    async def get(number: int) -> list[int]:
        own = get_current_span()
        for _ in range(5):
            await asyncio.sleep(0)
            assert get_current_span() is own
        return [0] * number

    async def main() -> None:
        await asyncio.gather(*map(get, range(20)))
        assert get_current_span() is INVALID_SPAN

    asyncio.run(main())
    assert sorted(event.size or 0 for event in telemetry.events) == list(range(20))


@pytest.mark.parametrize("provider", [None, trace.NoOpTracerProvider()], ids=["traced", "not traced"])
@each_that_waits
def test_dropped_call_leaves_the_context_unchanged(provider: Any, function: Any, warned: Warned) -> None:
    """The garbage collector closes it in another context, which stays current."""
    telemetry = Telemetry(tracer_provider=provider)
    called = telemetry.asset.load(function)(DAY)
    step = called if function is pause else called.asend(None)
    copy_context().run(step.send, None)
    with telemetry.tracer.start_as_current_span("elsewhere"):
        before = get_current()
        del called, step
        gc.collect()
        assert get_current() is before
    assert telemetry.kinds == ["AssetSetComputeError"]
    assert warned() == []


def test_closed_coroutine_restores_the_context(telemetry: Telemetry) -> None:
    before, coroutine = get_current(), telemetry.asset.load(pause)(DAY)
    coroutine.send(None)
    assert get_current() is not before
    coroutine.close()
    assert get_current() is before


# Generators and async generators, step by step


class Steps:
    """Drives a generator or an async generator that awaits nothing, in the current context."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self.prefix = "a" if inspect.isasyncgen(generator) else ""

    def send(self, value: object = None) -> Any:
        return self._step("send", value)

    def throw(self, error: BaseException) -> Any:
        return self._step("throw", error)

    def close(self) -> None:
        self._step("close")

    def __iter__(self) -> Iterator[Any]:
        with suppress(*END):
            while True:
                yield self.send()

    def _step(self, name: str, *args: object) -> Any:
        step = getattr(self.generator, self.prefix + name)(*args)
        if not self.prefix:
            return step
        with pytest.raises(StopIteration) as stop:
            step.__await__().send(None)
        return stop.value.value


def as_async(function: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Return the async generator function that does the same as a generator function."""

    async def wrapper(*args: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args)
        step = functools.partial(generator.send, None)
        with suppress(StopIteration):
            while True:
                item = step()
                try:
                    step = functools.partial(generator.send, (yield item))
                except BaseException as error:
                    step = functools.partial(generator.throw, error)

    return wrapper


Start = Callable[..., Steps]


@pytest.fixture(params=[lambda function: function, as_async], ids=["generator", "async generator"])
def start(request: pytest.FixtureRequest, telemetry: Telemetry) -> Start:
    """A function that decorates a generator function, as it is or as an async one, and calls it."""
    return lambda function, *args: Steps(telemetry.asset.load(request.param(function))(*args))


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def test_sent_and_thrown_values_reach_the_generator(telemetry: Telemetry, start: Start) -> None:
    def echo() -> Generator[object, object, None]:
        got: object = "begin"
        while got != "end":
            try:
                got = yield got
            except LookupError as error:
                got = error

    steps, error = start(echo), LookupError("thrown")
    assert [steps.send(), steps.send("sent"), steps.throw(error)] == ["begin", "sent", error]
    with pytest.raises(END):
        steps.send("end")
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, 3)


@pytest.mark.parametrize(
    ("error", "kind"), [(OSError("gone"), "AssetSetComputeError"), (GeneratorExit(), "AssetSetLoaded")], ids=repr
)
def test_uncaught_thrown_error_propagates(telemetry: Telemetry, start: Start, error: BaseException, kind: str) -> None:
    """Even GeneratorExit, so that a context manager made of a decorated generator does not swallow it."""
    steps = start(numbers, 3)
    steps.send()
    with pytest.raises(type(error)) as raised:
        steps.throw(error)
    assert raised.value is error
    assert telemetry.kinds == [kind]


def test_span_lasts_until_exhaustion(telemetry: Telemetry, start: Start) -> None:
    steps = start(numbers, 2)
    assert [steps.send(), steps.send()] == [0, 1]
    telemetry.asset.emit("totaled")
    assert list(steps) == []
    assert [span.name for span in telemetry.spans] == ["total AssetSet", "load AssetSet"]


@pytest.mark.parametrize("end", ["close", "collect"])
def test_closing_early_is_a_success(telemetry: Telemetry, start: Start, end: str) -> None:
    """The size is the number of items so far; the generator cleans up inside its span."""
    in_cleanup: list[Any] = []

    def rows() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            in_cleanup.append(get_current_span().get_span_context())

    steps, before = start(rows), get_current()
    assert [steps.send(), steps.send()] == [0, 1]
    if end == "close":
        steps.close()
    del steps
    gc.collect()
    assert get_current() is before
    assert in_cleanup == [telemetry.span.context]
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, 2)
    assert telemetry.span.status.status_code is StatusCode.UNSET


def test_generator_exit_raised_inside_is_a_failure(telemetry: Telemetry, start: Start) -> None:
    """Nobody closed the generator."""

    def rows() -> Iterator[int]:
        yield 1
        raise GeneratorExit

    with pytest.raises(GeneratorExit):
        list(start(rows))
    assert telemetry.kinds == ["AssetSetComputeError"]


def test_error_while_closing_is_a_failure(telemetry: Telemetry, start: Start) -> None:
    def rows() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise OSError("not closed")

    steps = start(rows)
    steps.send()
    with pytest.raises(OSError, match="not closed"):
        steps.close()
    assert telemetry.kinds == ["AssetSetComputeError"]


def test_span_is_never_current_in_the_consumer(telemetry: Telemetry, start: Start) -> None:
    """Even if the consumer's context changes between the items."""
    steps = start(numbers, 3)
    for _ in range(3):
        with telemetry.tracer.start_as_current_span("consumer") as consumer:
            steps.send()
            assert get_current_span() is consumer
    assert list(steps) == []
    assert [span.parent for span in telemetry.spans if span.name == "consumer"] == [None] * 3


def test_interleaved_generators_do_not_mix(telemetry: Telemetry, start: Start) -> None:
    first, second = start(numbers, 2), start(numbers, 4)
    for steps in (first, second, first, second, second, first, second, second):
        with suppress(*END):
            steps.send()
    assert [event.size for event in telemetry.events] == [2, 4]
    assert [span.parent for span in telemetry.spans] == [None, None]


def test_spans_inside_a_generator_stay_inside(telemetry: Telemetry, start: Start) -> None:
    """A span that is open across a `yield` is current in the generator at each step, and never outside."""

    def rows() -> Iterator[int]:
        own = get_current_span()
        with telemetry.tracer.start_as_current_span("inner") as inner:
            for number in range(3):
                assert get_current_span() is inner
                yield number
        assert get_current_span() is own

    for _ in start(rows):
        assert get_current_span() is INVALID_SPAN
    inner, outer = telemetry.spans
    assert (inner.name, inner.parent) == ("inner", outer.context)


def test_generator_sees_the_consumers_context(telemetry: Telemetry, start: Start) -> None:
    """At each step, apart from the current span."""

    def rows() -> Iterator[Any]:
        while True:
            yield baggage.get_baggage("tenant"), get_current_span()

    steps = start(rows)
    seen = [steps.send()]
    token = attach(baggage.set_baggage("tenant", "blue"))
    seen.append(steps.send())
    detach(token)
    seen.append(steps.send())
    steps.close()
    assert [tenant for tenant, _ in seen] == [None, "blue", None]
    assert [span.get_span_context() for _, span in seen] == [telemetry.span.context] * 3
    assert get_current_span() is INVALID_SPAN


# Generators


def test_return_value_is_kept_and_can_be_the_size(telemetry: Telemetry) -> None:
    @telemetry.asset.load(size="result")
    def batches() -> Generator[int, None, list[str]]:
        yield 1
        return ["cpu", "ram", "gpu"]

    generator = batches()
    next(generator)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == ["cpu", "ram", "gpu"]
    assert telemetry.event.size == 3


def test_generator_that_survives_generator_exit_has_a_result(telemetry: Telemetry) -> None:
    """Only a generator that ends at GeneratorExit was closed early."""

    @telemetry.asset.load(fails_when=lambda result: result is None)
    def rows() -> Generator[int, None, None]:
        with suppress(GeneratorExit):
            yield 1
        yield 2

    generator = rows()
    assert [next(generator), generator.throw(GeneratorExit), *generator] == [1, 2]
    assert telemetry.kinds == ["AssetSetComputeError"]


def test_thrown_error_keeps_no_argument_alive(telemetry: Telemetry) -> None:
    """The arguments are freed when the call ends, not when the garbage collector runs."""

    class Rows(list[int]):
        pass

    @telemetry.asset.load
    def items(rows: Rows) -> Iterator[int]:
        yield from rows

    gc.disable()
    try:
        rows = Rows([1, 2])
        alive = weakref.ref(rows)
        generator: Any = items(rows)
        next(generator)
        with suppress(ValueError):
            generator.throw(ValueError("no more"))
        del generator, rows
        assert alive() is None
    finally:
        gc.enable()


def test_thrown_error_keeps_no_async_argument_alive(telemetry: Telemetry) -> None:
    class Rows(list[int]):
        pass

    @telemetry.asset.load
    async def items(rows: Rows) -> AsyncGenerator[int, None]:
        for row in rows:
            yield row

    async def main() -> None:
        rows = Rows([1, 2])
        alive = weakref.ref(rows)
        generator: Any = items(rows)
        await anext(generator)
        with suppress(ValueError):
            await generator.athrow(ValueError("no more"))
        del generator, rows
        await asyncio.sleep(0)
        assert alive() is None

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


# Async generators in an event loop


@pytest.mark.parametrize("end", ["aclose", "break", "shutdown"])
def test_event_loop_closes_an_async_generator(telemetry: Telemetry, warned: Warned, end: str) -> None:
    """Whether the consumer closes it, drops it after a `break`, or the loop ends: it is a success."""
    in_cleanup, kept = [], []

    @telemetry.asset.load
    async def rows() -> AsyncGenerator[int, None]:
        try:
            for number in range(9):
                yield number
        finally:
            await asyncio.sleep(0)
            in_cleanup.append(get_current_span().get_span_context())

    async def consume() -> None:
        generator, hooks = rows(), sys.get_asyncgen_hooks()
        async for number in generator:
            if number == 3:
                break
        assert sys.get_asyncgen_hooks() == hooks
        if end == "aclose":
            await generator.aclose()
        if end == "shutdown":
            kept.append(generator)
        assert get_current_span() is INVALID_SPAN

    async def main() -> None:
        await consume()
        for _ in range(5):  # gives the loop time to close what was dropped
            await asyncio.sleep(0)

    asyncio.run(main())
    assert in_cleanup == [telemetry.span.context]
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, 4)
    assert warned() == []


def test_each_step_may_be_in_another_task(telemetry: Telemetry, warned: Warned) -> None:
    """So may closing."""

    async def step(generator: AsyncGenerator[Span, Any]) -> Span:
        return await anext(generator)

    async def main() -> None:
        generator = telemetry.asset.load(aitems)(DAY, 9)
        for _ in range(3):
            await asyncio.create_task(step(generator))
        await asyncio.create_task(generator.aclose())
        assert get_current_span() is INVALID_SPAN

    asyncio.run(main())
    assert telemetry.event.size == 3
    assert warned() == []
