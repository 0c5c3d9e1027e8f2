"""Promises of `otel_kcevents.record.wrappers`: whatever can be called keeps its shape and its signature."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import pickle
import types
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from conftest import Telemetry
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach, get_current
from opentelemetry.trace import StatusCode

from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.record.record_set import RecordSet
from otel_kcevents.store.log import EventLog

DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
LOADED = "AssetSetLoaded"


def loaded(pipeline: Telemetry, size: int | None, window: Window | None = None) -> list[Event]:
    """What the log holds after one load."""
    return [Event(LOADED, pipeline.event.time, size, window)]


def is_current(name: str = "load AssetSet") -> bool:
    """Whether the current span is the operation's."""
    return getattr(trace.get_current_span(), "name", None) == name


class Pause:
    """Something to await that gives way once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def load(window: Any, count: int = 2) -> list[int]:
    """Load a day."""
    assert is_current()
    return list(range(count))


async def aload(window: Any, count: int = 2) -> list[int]:
    """Load a day."""
    await asyncio.sleep(0)
    assert is_current()
    return list(range(count))


def items(window: Any, count: int = 2) -> Generator[int, str | None, str]:
    """Load a day."""
    for number in range(count):
        assert is_current()
        yield number
    return "all"


async def aitems(window: Any, count: int = 2) -> AsyncGenerator[int, str | None]:
    """Load a day."""
    for number in range(count):
        await asyncio.sleep(0)
        assert is_current()
        yield number


async def collected(generator: AsyncGenerator[int, Any]) -> list[int]:
    return [item async for item in generator]


def result_of(called: Any) -> list[int]:
    """The rows that a call of any shape gives in the end."""
    if inspect.iscoroutine(called):
        return result_of(asyncio.run(called))
    if inspect.isasyncgen(called):
        generator: Any = called
        return asyncio.run(collected(generator))
    return list(called)


FUNCTIONS: list[Callable[..., Any]] = [load, aload, items, aitems]
each_shape = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)


def object_with(function: Callable[..., Any]) -> Any:
    """A callable object whose `__call__` has a function's shape."""
    if function is load:

        class Loader:
            """Loads a day."""

            def __call__(self, window: Any, count: int = 2) -> list[int]:
                return load(window, count)

        return Loader()
    if function is aload:

        class AsyncLoader:
            async def __call__(self, window: Any, count: int = 2) -> list[int]:
                return await aload(window, count)

        return AsyncLoader()
    if function is items:

        class Items:
            def __call__(self, window: Any, count: int = 2) -> Iterator[int]:
                yield from items(window, count)

        return Items()

    class AsyncItems:
        async def __call__(self, window: Any, count: int = 2) -> AsyncGenerator[int, None]:
            async for item in aitems(window, count):
                yield item

    return AsyncItems()


# Every shape


@each_shape
def test_every_shape_is_one_event_with_size_and_window(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """A function, a coroutine, a generator and an async generator: the span is current in its body alone."""
    decorated, before = pipeline.asset.load(function), get_current()
    assert result_of(decorated(DAY, count=3)) == [0, 1, 2]
    assert get_current() is before
    assert pipeline.events == loaded(pipeline, 3, DAY)
    assert pipeline.span.name == "load AssetSet"


@each_shape
def test_every_shape_passes_its_own_error_on(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """The same object leaves, the failure is recorded with the window, and the current context is restored."""
    error, before = OSError("gone"), get_current()

    class Bad:
        def __index__(self) -> int:
            raise error

    with pytest.raises(OSError, match="gone") as raised:
        result_of(pipeline.asset.load(function)(DAY, Bad()))
    assert raised.value is error
    assert (pipeline.kinds, pipeline.event.window) == (["AssetSetComputeError"], DAY)
    assert get_current() is before


@each_shape
def test_every_shape_is_silent_without_a_tracer(function: Callable[..., Any]) -> None:
    """With no provider set the log fills all the same."""
    log = EventLog()
    provider = trace.NoOpTracerProvider()
    decorated = RecordSet("asset", "AssetSet", log=log, tracer_provider=provider).load(unchecked(function))
    assert result_of(decorated(DAY, 3)) == [0, 1, 2]
    assert [event.size for event in log.document().lists["asset"]] == [3]
    with pytest.raises(TypeError):
        result_of(decorated(DAY, "three"))
    assert log.counts() == {"AssetSetComputeError": 1, "AssetSetLoaded": 1}


def unchecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same shape, for where no span is current."""

    def plain(window: Any, count: int) -> list[int]:
        return list(range(count))

    async def coroutine(window: Any, count: int) -> list[int]:
        return list(range(count))

    def generator(window: Any, count: int) -> Iterator[int]:
        yield from range(count)

    async def async_generator(window: Any, count: int) -> AsyncGenerator[int, None]:
        for number in range(count):
            yield number

    return {"load": plain, "aload": coroutine, "items": generator, "aitems": async_generator}[function.__name__]


@each_shape
def test_a_methods_own_object_is_no_argument(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """In a class it is a method, and in an object a bound one."""

    class Loader:
        run = pipeline.asset.load(in_class(function))

    assert result_of(Loader().run(DAY)) == [0, 1]
    assert pipeline.events == loaded(pipeline, 2, DAY)
    pipeline.asset.aggregate(unchecked_method(function))
    assert inspect.signature(Loader().run) == inspect.signature(function)


def in_class(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with `self` (or `cls`) in front, of the same shape."""
    if function is load:

        def run(own: Any, window: Any, count: int = 2) -> list[int]:
            return load(window, count)

        return run
    if function is aload:

        async def arun(own: Any, window: Any, count: int = 2) -> list[int]:
            return await aload(window, count)

        return arun
    if function is items:

        def run_items(own: Any, window: Any, count: int = 2) -> Generator[int, str | None, str]:
            return (yield from items(window, count))

        return run_items

    async def arun_items(own: Any, window: Any, count: int = 2) -> AsyncGenerator[int, str | None]:
        async for item in aitems(window, count):
            yield item

    return arun_items


def unchecked_method(function: Callable[..., Any]) -> Any:
    class Loader:
        run = in_class(function)

    return Loader().run


@each_shape
def test_a_bound_method_can_be_decorated(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """Its object is bound already."""
    assert result_of(pipeline.asset.load(unchecked_method(function))(DAY)) == [0, 1]
    assert pipeline.events == loaded(pipeline, 2, DAY)


@each_shape
@pytest.mark.parametrize("where", ["above", "below"])
@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_it_goes_above_and_below_classmethod_and_staticmethod(
    pipeline: Telemetry, function: Callable[..., Any], kind: Any, where: str
) -> None:
    """Either order works, by the class and by an object."""
    inner = in_class(function) if kind is classmethod else function

    class Loader:
        run = pipeline.asset.load(kind(inner)) if where == "above" else kind(pipeline.asset.load(inner))

    assert isinstance(Loader.__dict__["run"], kind)
    assert result_of(Loader.run(DAY)) == [0, 1]
    assert result_of(Loader().run(DAY, 3)) == [0, 1, 2]
    assert [(event.size, event.window) for event in pipeline.events] == [(2, DAY), (3, DAY)]


@each_shape
def test_a_partial_can_be_decorated(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """However deep the function is, it keeps its shape and its name."""
    held = functools.partial(functools.partial(function, count=3), window=DAY)
    decorated: Any = pipeline.asset.load(held)
    assert result_of(decorated()) == [0, 1, 2]
    assert pipeline.events == loaded(pipeline, 3, DAY)
    assert decorated.__name__ == function.__name__
    assert dict(pipeline.span.attributes or {})["code.function.name"] == f"{__name__}.{function.__name__}"


@each_shape
def test_a_callable_object_can_be_decorated(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """Its `__call__` has the shape, its class the name."""
    held = object_with(function)
    decorated = pipeline.asset.load(held)
    assert result_of(decorated(DAY)) == [0, 1]
    assert pipeline.events == loaded(pipeline, 2, DAY)
    assert decorated.__qualname__ == type(held).__qualname__


@each_shape
def test_recursion_makes_an_event_at_each_level(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """Each call has its own span, inside its caller's."""

    def plain(depth: int) -> list[int]:
        return [*plain(depth - 1), depth] if depth else []

    async def coroutine(depth: int) -> list[int]:
        return [*await coroutine(depth - 1), depth] if depth else []

    def generator(depth: int) -> Iterator[int]:
        if depth:
            yield from generator(depth - 1)
            yield depth

    async def async_generator(depth: int) -> AsyncGenerator[int, None]:
        if depth:
            async for item in async_generator(depth - 1):
                yield item
            yield depth

    plain, coroutine = pipeline.asset.load(plain), pipeline.asset.load(coroutine)
    generator, async_generator = pipeline.asset.load(generator), pipeline.asset.load(async_generator)
    calls: list[Any] = [plain, coroutine, generator, async_generator]
    assert result_of(calls[FUNCTIONS.index(function)](3)) == [1, 2, 3]
    assert [event.size for event in pipeline.events] == [0, 1, 2, 3]
    inner, *outer = pipeline.spans
    for span in outer:
        assert inner.parent == span.context
        inner = span


# What survives


@each_shape
def test_name_doc_signature_and_shape_survive(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """Whoever inspects the decorated function sees the function."""
    decorated = pipeline.asset.load(function)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
        assert getattr(decorated, attribute) == getattr(function, attribute)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert inspect.unwrap(decorated) is function
    for is_one in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert is_one(decorated) is is_one(function)


pickled = RecordSet("asset", "AssetSet", log=EventLog()).load(load)
load_pickled = pickled
pickled.__qualname__ = pickled.__name__ = "load_pickled"


def test_a_decorated_function_can_be_pickled() -> None:
    """A ProcessPoolExecutor finds it by its name, as it does any function."""
    assert pickle.loads(pickle.dumps(load_pickled)) is load_pickled


@pytest.mark.parametrize("wrong", [Window, int, 5, "load", None.__class__, object()], ids=repr)
def test_what_is_no_function_is_refused(pipeline: Telemetry, wrong: Any) -> None:
    """A class, or what can't be called, is a TypeError that says what to decorate."""
    with pytest.raises(TypeError, match="is no function to decorate; decorate a function, a method or a callable obj"):
        pipeline.asset.load(wrong)


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_a_classmethod_around_what_is_no_function_is_refused(pipeline: Telemetry, kind: Any) -> None:
    """It is looked into."""
    with pytest.raises(TypeError, match="is no function to decorate"):
        pipeline.asset.load(kind(Window))


# Decorated twice


def passed_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """Another decorator, as people write them."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


BETWEEN: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda function: function,
    "wraps": passed_on,
    "lru_cache": functools.lru_cache,
    "partial": functools.partial,
    "partial of partial": lambda function: functools.partial(functools.partial(function)),
    "staticmethod": staticmethod,
}


@pytest.mark.parametrize("between", BETWEEN)
def test_decorated_twice_is_one_event(pipeline: Telemetry, between: str) -> None:
    """By mistake, directly or with something in between."""
    again = pipeline.asset.load(BETWEEN[between](pipeline.asset.load(load)))
    assert again(DAY) == [0, 1]
    assert (pipeline.kinds, len(pipeline.spans)) == ([LOADED], 1)


def test_a_classmethod_decorated_twice_is_one_event(pipeline: Telemetry) -> None:
    """Above and below."""

    class Loader:
        run = pipeline.asset.load(classmethod(pipeline.asset.load(in_class(load))))

    assert Loader.run(DAY) == [0, 1]
    assert pipeline.kinds == [LOADED]


def test_an_object_whose_call_is_decorated_is_one_event(pipeline: Telemetry) -> None:
    """In the class and again as an object."""

    class Loader:
        __call__ = pipeline.asset.load(in_class(load))

    assert pipeline.asset.load(Loader())(DAY) == [0, 1]
    assert pipeline.kinds == [LOADED]


@each_shape
def test_two_operations_on_one_function_are_two_events(pipeline: Telemetry, function: Callable[..., Any]) -> None:
    """Save above load, and asset above allocation, are meant."""
    decorated = pipeline.allocation.load(pipeline.asset.aggregate(pipeline.asset.load(function)))
    assert len(result_of(decorated(DAY))) == 2
    assert sorted(pipeline.kinds) == ["AllocationSetLoaded", "AssetSetAggregated", LOADED]
    assert {event.size for event in pipeline.events} == {2}


def test_two_pipelines_on_one_function_are_two_events(pipeline: Telemetry) -> None:
    """Each has its own log."""
    other = Telemetry()
    assert other.asset.load(pipeline.asset.load(unchecked(load)))(DAY, 1) == [0]
    assert pipeline.kinds == other.kinds == [LOADED]


# Coroutines


def test_a_cancelled_task_is_a_failure(pipeline: Telemetry) -> None:
    """The cancellation passes through."""

    @pipeline.asset.load
    async def wait(window: Any) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(wait(DAY))
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    assert pipeline.event.failure is not None
    assert pipeline.event.failure.type == "asyncio.exceptions.CancelledError"
    assert pipeline.event.window == DAY
    assert pipeline.span.status.status_code is StatusCode.ERROR


def test_tasks_at_once_each_have_their_own_span(pipeline: Telemetry) -> None:
    """What is current in one is not in another."""

    @pipeline.asset.load
    async def get(number: int) -> list[int]:
        own = trace.get_current_span()
        for _ in range(5):
            await asyncio.sleep(0)
            assert trace.get_current_span() is own
        return [0] * number

    async def main() -> None:
        await asyncio.gather(*map(get, range(20)))
        assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(main())
    assert sorted(event.size or 0 for event in pipeline.events) == list(range(20))


@pytest.mark.parametrize("sampled", [True, False], ids=["traced", "no SDK"])
def test_a_coroutine_that_is_dropped_disturbs_nobody(caplog: pytest.LogCaptureFixture, sampled: bool) -> None:
    """Collected in the middle of something else it is a failure, and the context there stays current."""
    pipeline = Telemetry()
    provider = pipeline.tracer_provider if sampled else trace.NoOpTracerProvider()
    assets = RecordSet("asset", "AssetSet", log=pipeline.log, tracer_provider=provider)

    @assets.load
    async def get(window: Any) -> None:
        await Pause()

    coroutine = get(DAY)
    copy_context().run(coroutine.send, None)
    with pipeline.tracer.start_as_current_span("elsewhere") as elsewhere:
        del coroutine
        gc.collect()
        assert trace.get_current_span() is elsewhere
    assert pipeline.kinds == ["AssetSetComputeError"]
    assert caplog.records == []


def test_a_coroutine_that_is_closed_in_its_own_context_restores_it(pipeline: Telemetry) -> None:
    """Closed where its span is current, it leaves what was current before."""

    @pipeline.asset.load
    async def get() -> None:
        await Pause()

    before, coroutine = get_current(), get()
    coroutine.send(None)
    assert is_current()
    coroutine.close()
    assert get_current() is before


# Generators


def test_send_throw_and_the_return_value_work(pipeline: Telemetry) -> None:
    """The generator gets what is sent and thrown, and the consumer what it returns."""

    @pipeline.asset.load
    def echo() -> Generator[object, object, str]:
        got: object = "begin"
        while got != "end":
            try:
                got = yield got
            except LookupError as error:
                got = error
        return "returned"

    generator, error = echo(), LookupError("thrown")
    assert (next(generator), generator.send("sent"), generator.throw(error)) == ("begin", "sent", error)
    with pytest.raises(StopIteration) as stop:
        generator.send("end")
    assert stop.value.value == "returned"
    assert pipeline.events == loaded(pipeline, 3)


def test_a_generators_return_value_can_be_the_size(pipeline: Telemetry) -> None:
    """`result` is what it returns, where that is named."""

    @pipeline.asset.load(size="result")
    def batches(window: Any) -> Generator[int, None, list[str]]:
        yield from range(5)
        return ["cpu", "ram", "gpu"]

    assert list(batches(DAY)) == list(range(5))
    assert pipeline.event.size == 3


def test_what_a_partial_holds_counts_as_an_argument(pipeline: Telemetry) -> None:
    """Window and size are read from what the call and the partials give together."""

    def save(rows: list[int], window: Any) -> None: ...

    pipeline.asset.save(functools.partial(save, [1, 2, 3]))(DAY)
    pipeline.asset.save(functools.partial(functools.partial(save, [1, 2]), window=DAY))()
    assert [(event.size, event.window) for event in pipeline.events] == [(3, Window.of(DAY)), (2, Window.of(DAY))]


def test_an_error_thrown_in_leaves_as_it_is(pipeline: Telemetry) -> None:
    """What the generator does not catch is its failure."""
    generator, error = pipeline.asset.load(items)(DAY), OSError("gone")
    next(generator)
    with pytest.raises(OSError, match="gone") as raised:
        generator.throw(error)
    assert raised.value is error
    assert pipeline.kinds == ["AssetSetComputeError"]


@pytest.mark.parametrize("end", ["close", "break", "collect"])
def test_an_early_end_is_no_error(pipeline: Telemetry, end: str) -> None:
    """A generator that is closed, broken out of or collected half done is a success with the count so far."""
    cleaned = []

    @pipeline.asset.load
    def rows(window: Any) -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            cleaned.append(is_current())

    generator, before = rows(DAY), get_current()
    for number in generator:
        if number == 3:
            break
    if end == "close":
        generator.close()  # type: ignore[attr-defined]
    del generator
    gc.collect()
    assert cleaned == [True]
    assert get_current() is before
    assert pipeline.events == loaded(pipeline, 4, DAY)
    assert pipeline.span.status.status_code is StatusCode.UNSET


def test_a_generator_that_fails_to_close_is_a_failure(pipeline: Telemetry) -> None:
    """An error in its cleaning up is its own, and reaches who closes it."""

    @pipeline.asset.load
    def rows() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            raise OSError("not closed")

    generator = rows()
    next(generator)
    with pytest.raises(OSError, match="not closed"):
        generator.close()
    assert pipeline.kinds == ["AssetSetComputeError"]


def test_a_generators_span_is_never_current_in_the_consumers_code(pipeline: Telemetry) -> None:
    """Between two items the consumer has its own context, even where that has changed."""
    generator = pipeline.asset.load(items)(DAY, 3)
    for _ in range(3):
        with pipeline.tracer.start_as_current_span("consumer") as consumer:
            next(generator)
            assert trace.get_current_span() is consumer
    assert list(generator) == []
    assert [span.parent for span in pipeline.spans if span.name == "consumer"] == [None] * 3


def test_interleaved_generators_do_not_mix(pipeline: Telemetry) -> None:
    """Two that advance in turn each have their own span and count."""
    decorated = pipeline.asset.load(items)
    first, second = decorated(DAY, 2), decorated(DAY, 4)
    for generator in (first, second, first, second, second, first, second, second):
        next(generator, None)
    assert sorted(event.size or 0 for event in pipeline.events) == [2, 4]
    assert [span.parent for span in pipeline.spans] == [None, None]


@pytest.mark.parametrize("shape", ["generator", "async generator"])
def test_a_generators_own_spans_stay_inside_it(pipeline: Telemetry, shape: str) -> None:
    """A span that it holds open across a `yield` is current in it at each step, and never outside."""
    tracer = pipeline.tracer

    @pipeline.asset.load
    def rows() -> Iterator[int]:
        with tracer.start_as_current_span("inner") as inner:
            for number in range(3):
                assert trace.get_current_span() is inner
                yield number
        assert is_current()

    @pipeline.asset.load
    async def arows() -> AsyncGenerator[int, None]:
        with tracer.start_as_current_span("inner") as inner:
            for number in range(3):
                await asyncio.sleep(0)
                assert trace.get_current_span() is inner
                yield number
        assert is_current()

    async def consume() -> None:
        async for _ in arows():
            assert trace.get_current_span() is trace.INVALID_SPAN

    if shape == "generator":
        for _ in rows():
            assert trace.get_current_span() is trace.INVALID_SPAN
    else:
        asyncio.run(consume())
    inner, outer = pipeline.spans
    assert (inner.name, inner.parent) == ("inner", outer.context)
    assert pipeline.event.size == 3


# Async generators


def test_asend_and_athrow_work(pipeline: Telemetry) -> None:
    """The async generator gets what is sent and thrown."""

    @pipeline.asset.load
    async def echo() -> AsyncGenerator[object, object]:
        got: object = "begin"
        while got != "end":
            try:
                got = yield got
            except LookupError as error:
                got = error

    async def main() -> None:
        generator, error = echo(), LookupError("thrown")
        assert await anext(generator) == "begin"
        assert await generator.asend("sent") == "sent"
        assert await generator.athrow(error) is error
        with pytest.raises(StopAsyncIteration):
            await generator.asend("end")

    asyncio.run(main())
    assert pipeline.events == loaded(pipeline, 3)


def test_an_error_thrown_into_an_async_generator_leaves_as_it_is(pipeline: Telemetry) -> None:
    """What it does not catch is its failure."""
    error = OSError("gone")

    async def main() -> None:
        generator = pipeline.asset.load(aitems)(DAY)
        await anext(generator)
        with pytest.raises(OSError, match="gone") as raised:
            await generator.athrow(error)
        assert raised.value is error

    asyncio.run(main())
    assert pipeline.kinds == ["AssetSetComputeError"]


@pytest.mark.parametrize("end", ["aclose", "break", "shutdown"])
def test_an_early_end_of_an_async_generator_is_no_error(
    pipeline: Telemetry, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    """Closed, broken out of, or closed by the event loop's own end, it is a success with the count so far."""
    cleaned, kept = [], []

    @pipeline.asset.load
    async def rows(window: Any) -> AsyncGenerator[int, None]:
        try:
            for number in range(9):
                yield number
        finally:
            await asyncio.sleep(0)
            cleaned.append(is_current())

    async def consume() -> None:
        generator = rows(DAY)
        async for number in generator:
            if number == 3:
                break
        assert trace.get_current_span() is trace.INVALID_SPAN
        if end == "aclose":
            await generator.aclose()
            assert trace.get_current_span() is trace.INVALID_SPAN
        if end == "shutdown":
            kept.append(generator)

    async def main() -> None:
        await consume()
        for _ in range(5):  # the event loop closes what was broken out of, and takes its turns to do so
            await asyncio.sleep(0)

    asyncio.run(main())
    assert cleaned == [True]
    assert pipeline.events == loaded(pipeline, 4, DAY)
    assert caplog.records == []


def test_an_async_generator_that_fails_to_close_is_a_failure(pipeline: Telemetry) -> None:
    """An error in its cleaning up is its own, and reaches who closes it."""

    @pipeline.asset.load
    async def rows() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            raise OSError("not closed")

    async def main() -> None:
        generator = rows()
        await anext(generator)
        with pytest.raises(OSError, match="not closed"):
            await generator.aclose()

    asyncio.run(main())
    assert pipeline.kinds == ["AssetSetComputeError"]


def test_an_async_generators_span_is_never_current_in_the_consumers_code(pipeline: Telemetry) -> None:
    """Neither between two items nor in the tasks that run while it waits."""

    async def watch() -> None:
        for _ in range(5):
            assert trace.get_current_span() is trace.INVALID_SPAN
            await asyncio.sleep(0)

    async def main() -> None:
        watching = asyncio.create_task(watch())
        async for _ in pipeline.asset.load(aitems)(DAY, 5):
            assert trace.get_current_span() is trace.INVALID_SPAN
        await watching

    asyncio.run(main())
    assert pipeline.event.size == 5


def test_an_async_generator_moves_between_tasks(pipeline: Telemetry) -> None:
    """Each step may be awaited by another task."""

    async def step(generator: AsyncGenerator[int, Any]) -> int:
        return await anext(generator)

    async def main() -> None:
        generator = pipeline.asset.load(aitems)(DAY, 3)
        steps = [await asyncio.create_task(step(generator)) for _ in range(3)]
        assert steps == [0, 1, 2]
        assert [item async for item in generator] == []
        assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(main())
    assert pipeline.event.size == 3


def test_a_cancelled_consumer_of_an_async_generator_is_a_failure(pipeline: Telemetry) -> None:
    """Cancelled while the generator waits, it did not finish."""

    @pipeline.asset.load
    async def rows() -> AsyncGenerator[int, None]:
        yield 1
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.ensure_future(collected(rows()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert pipeline.event.failure is not None
    assert pipeline.event.failure.type == "asyncio.exceptions.CancelledError"


def test_an_async_generator_needs_no_event_loop(pipeline: Telemetry) -> None:
    """Driven by hand, and collected half done, it is a success as a generator is."""

    def driven(step: Awaitable[int]) -> int:
        with pytest.raises(StopIteration) as stop:
            next(step.__await__())
        return int(stop.value.value)

    generator = pipeline.asset.load(unchecked(aitems))(DAY, 5)
    assert [driven(anext(generator)), driven(anext(generator))] == [0, 1]
    del generator
    gc.collect()
    assert pipeline.events == loaded(pipeline, 2, DAY)


def test_generator_exit_thrown_in_comes_out_as_without_us(pipeline: Telemetry) -> None:
    """A context manager made of a decorated generator does not swallow it."""

    @contextlib.contextmanager
    @pipeline.asset.load
    def opened() -> Iterator[int]:
        yield 1

    with pytest.raises(GeneratorExit), opened():
        raise GeneratorExit
    assert pipeline.kinds == [LOADED]


def test_an_error_thrown_in_keeps_nothing_alive(pipeline: Telemetry) -> None:
    """What the call was given goes when it ends, not when the garbage collector comes."""

    class Rows(list[int]):
        pass

    @pipeline.asset.load
    def items(rows: Rows) -> Iterator[int]:
        yield from rows

    gc.disable()
    try:
        rows = Rows([1, 2])
        alive = weakref.ref(rows)
        generator: Any = items(rows)
        next(generator)
        with contextlib.suppress(ValueError):
            generator.throw(ValueError("no more"))
        del generator, rows
        assert alive() is None
    finally:
        gc.enable()


def test_a_generator_sees_what_its_consumer_sets_meanwhile(pipeline: Telemetry) -> None:
    """Its span stays its own, and everything else is the consumer's of now, as without us."""

    @pipeline.asset.load
    def items() -> Iterator[Any]:
        while True:
            assert is_current()
            yield baggage.get_baggage("tenant")

    generator = items()
    seen = [next(generator)]
    token = attach(baggage.set_baggage("tenant", "blue"))
    seen.append(next(generator))
    detach(token)
    seen.append(next(generator))
    generator.close()  # type: ignore[attr-defined]
    assert seen == [None, "blue", None]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_generator_based_coroutine_can_be_decorated(pipeline: Telemetry) -> None:
    """What `types.coroutine` makes is awaited, and its result has the size."""

    @pipeline.asset.load
    @types.coroutine
    def load() -> Generator[None, None, list[int]]:
        yield from Pause().__await__()
        return [1, 2]

    async def loaded_rows() -> list[int]:
        return await load()

    assert asyncio.run(loaded_rows()) == [1, 2]
    assert pipeline.event.size == 2


def test_the_methods_of_a_decorated_object_stay(pipeline: Telemetry) -> None:
    """A cache can still be cleared."""

    @pipeline.asset.load
    @functools.lru_cache
    def load(window: Window) -> list[int]:
        return [1]

    found: Any = load
    assert load(DAY) is load(DAY)
    assert found.cache_info().hits == 1
    found.cache_clear()
    assert found.cache_info().currsize == 0


def test_a_generator_that_goes_on_after_generator_exit_is_judged_by_its_result(pipeline: Telemetry) -> None:
    """Only one that ends there was left early."""

    @pipeline.asset.load(fails_when=lambda result: result is None)
    def items() -> Generator[int, None, None]:
        with contextlib.suppress(GeneratorExit):
            yield 1
        yield 2

    generator = items()
    assert [next(generator), generator.throw(GeneratorExit), *generator] == [1, 2]
    assert pipeline.kinds == ["AssetSetComputeError"]
