"""Plain functions whose result is complete only later: they return awaitables, futures or generators."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import types
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from opentelemetry.context import attach, get_current, get_value, set_value
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import INVALID_SPAN, NoOpTracerProvider, StatusCode, get_current_span
from telemetry import DAY, Pause, Telemetry, Warned

Run = Callable[[Any], Any]


async def fetch(rows: Any) -> Any:
    """Fetch rows, or raise an error."""
    await asyncio.sleep(0)
    if isinstance(rows, BaseException):
        raise rows
    return rows


@types.coroutine
def fetch_by_steps(rows: Any) -> Generator[Any, Any, Any]:
    return (yield from fetch(rows).__await__())


async def fetch_in_parts(rows: Any) -> AsyncGenerator[Any, None]:
    yield await fetch(rows)


class Request:
    """An awaitable of the program's own class, which is also a context manager."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __await__(self) -> Generator[Any, Any, Any]:
        return fetch(self.rows).__await__()

    async def __aenter__(self) -> Any:
        return await self

    async def __aexit__(self, *error: object) -> None:
        self.rows = None


class SlottedRequest:
    __slots__ = ("rows",)

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __await__(self) -> Generator[Any, Any, Any]:
        return fetch(self.rows).__await__()


class Sending(Coroutine[Any, Any, Any]):
    """A coroutine of the program's own class, such as a request that can also be entered with `async with`."""

    def __init__(self, rows: Any) -> None:
        self.coroutine = fetch(rows)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.coroutine.__await__()

    __iter__ = __await__

    def send(self, value: Any) -> Any:
        return self.coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self.coroutine.throw(*error)

    def close(self) -> None:
        self.coroutine.close()


def finished_future(rows: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    if isinstance(rows, BaseException):
        future.set_exception(rows)
    else:
        future.set_result(rows)
    return future


AWAITABLES: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "coroutine": fetch,
    "generator-based coroutine": fetch_by_steps,
    "task": lambda rows: asyncio.ensure_future(fetch(rows)),
    "gathered": lambda rows: asyncio.gather(fetch(rows), fetch(1)),
    "finished future": finished_future,
    "awaitable": Request,
    "awaitable with slots": SlottedRequest,
    "coroutine of a class": Sending,
    "coroutine in C": lambda rows: anext(fetch_in_parts(rows)),
}


@pytest.fixture(params=list(AWAITABLES.values()), ids=list(AWAITABLES))
def start(request: pytest.FixtureRequest) -> Any:
    """A plain function that returns an awaitable."""
    make = request.param

    def start(rows: Any, window: Any) -> Any:
        return make(rows)

    start.__name__ = make.__name__
    return start


def test_call_is_recorded_when_the_awaitable_completes(telemetry: Telemetry, start: Any) -> None:
    async def main() -> Any:
        before, called = get_current(), telemetry.asset.load(start)([1, 2], DAY)
        assert get_current() is before
        assert len(telemetry.events) == (start.__name__ == "finished_future")
        result = await called
        assert get_current() is before
        return result

    assert asyncio.run(main()) in ([1, 2], [[1, 2], 1])
    assert (telemetry.event.kind, telemetry.event.size, telemetry.event.window) == ("AssetSetLoaded", 2, DAY)
    assert telemetry.span.end_time == telemetry.event.time


def test_error_in_the_awaitable_is_a_failure(telemetry: Telemetry, start: Any) -> None:
    error = OSError("gone")

    async def main() -> None:
        with pytest.raises(OSError, match="gone") as raised:
            await telemetry.asset.load(start)(error, DAY)
        assert raised.value is error

    asyncio.run(main())
    assert telemetry.event.failure is not None
    assert (telemetry.event.failure.message, telemetry.event.window) == ("gone", DAY)
    assert telemetry.span.status.status_code is StatusCode.ERROR


def test_ignored_error_in_an_awaitable_records_no_event(telemetry: Telemetry, start: Any) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="gone"):
            await telemetry.asset.load(ignore=OSError)(start)(OSError("gone"), DAY)

    asyncio.run(main())
    assert (telemetry.events, len(telemetry.spans)) == ([], 1)


async def wait() -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("make", [lambda: asyncio.ensure_future(wait()), lambda: wait()], ids=["task", "coroutine"])
def test_cancelled_awaitable_is_a_failure(telemetry: Telemetry, make: Any) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(telemetry.asset.load(make)())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert telemetry.event.failure is not None
    assert telemetry.event.failure.type == "asyncio.exceptions.CancelledError"


def test_suppressed_or_untraced_call_returns_the_awaitable(start: Any) -> None:
    telemetry = Telemetry(tracer_provider=NoOpTracerProvider())

    async def main() -> None:
        with suppress_instrumentation():
            assert await telemetry.asset.load(start)([1], DAY) in ([1], [[1], 1])
        assert await telemetry.asset.load(start)([1, 2], DAY) in ([1, 2], [[1, 2], 1])

    asyncio.run(main())
    assert telemetry.event.size == 2


@pytest.mark.parametrize("fails", [True, False])
def test_coroutine_that_starts_a_task_is_recorded_at_its_end(telemetry: Telemetry, fails: bool) -> None:
    @telemetry.asset.load
    async def load(rows: Any) -> Any:
        return asyncio.ensure_future(fetch(rows))

    async def main() -> None:
        task = await load(OSError("gone") if fails else [1, 2])
        assert telemetry.events == []
        with suppress(OSError):
            await task

    asyncio.run(main())
    assert telemetry.kinds == ["AssetSetComputeError" if fails else "AssetSetLoaded"]


# What a program sees of the result


def test_coroutine_is_a_coroutine_of_the_same_name(telemetry: Telemetry) -> None:
    @telemetry.asset.load
    def load(rows: Any) -> Any:
        return fetch(rows)

    coroutine = load([1])
    assert inspect.iscoroutine(coroutine)
    assert (coroutine.__name__, coroutine.__qualname__) == ("fetch", "fetch")
    assert asyncio.run(coroutine) == [1]


def test_coroutine_that_never_starts_causes_one_warning(telemetry: Telemetry) -> None:
    load: Any = telemetry.asset.load(lambda rows: fetch(rows))
    load([1]).close()
    with pytest.warns(RuntimeWarning, match="fetch") as warnings:
        load([1])
    gc.collect()
    assert len(warnings) == 1
    assert telemetry.events == []


def test_abandoned_coroutine_of_an_object_is_freed(telemetry: Telemetry) -> None:
    class Etl:
        @telemetry.asset.load
        def load(self) -> Any:
            return self.fetch()

        async def fetch(self) -> None:
            await asyncio.sleep(0)

        def __init__(self) -> None:
            self.coroutine = self.load()
            self.coroutine.send(None)

    alive = weakref.ref(Etl())
    gc.collect()
    assert alive() is None


def test_future_is_the_same_object(telemetry: Telemetry) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(fetch([1]))
        assert telemetry.asset.load(lambda: task)() is task
        await task

    asyncio.run(main())
    assert telemetry.event.size == 1


def test_awaitable_is_the_same_object_of_its_class(telemetry: Telemetry) -> None:
    request = Request([1, 2])

    async def main() -> None:
        called = telemetry.asset.load(lambda: request)()
        assert called is request
        assert isinstance(called, Request)
        assert type(called).__qualname__ == "Request"
        assert await called == await called == [1, 2]

    asyncio.run(main())
    assert type(request) is Request
    assert telemetry.event.size == 2


def test_awaitable_returned_repeatedly_is_recorded_once(telemetry: Telemetry) -> None:
    """Such as an awaitable in a cache. Each of two operations records it once."""
    request = Request([1, 2])
    load: Any = telemetry.asset.load(telemetry.allocation.load(lambda: request))
    for _ in range(2000):
        load()

    async def main() -> Any:
        return await asyncio.gather(request, request)

    assert asyncio.run(main()) == [[1, 2], [1, 2]]
    assert telemetry.log.counts() == {"AllocationSetLoaded": 1, "AssetSetLoaded": 1}


def test_awaitable_can_be_pickled_and_copied(telemetry: Telemetry) -> None:
    request: Any = telemetry.asset.load(lambda: Request([1]))()
    assert type(copy.copy(request)) is type(pickle.loads(pickle.dumps(request))) is Request


def test_entering_an_awaitable_records_it(telemetry: Telemetry) -> None:
    """As in `async with session.get(url) as response`."""

    async def main() -> None:
        async with telemetry.asset.load(lambda: Request([1, 2]))() as rows:
            assert rows == [1, 2]
            assert telemetry.event.size == 2

    asyncio.run(main())


def test_coroutine_of_a_class_can_run_as_a_task(telemetry: Telemetry) -> None:
    async def main() -> None:
        load: Any = telemetry.asset.load(lambda rows: Sending(rows))
        assert list(await asyncio.gather(load([1, 2]), load([1]))) == [[1, 2], [1]]
        task = asyncio.ensure_future(load([1]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        load([1]).close()
        closed = load([1])
        closed.send(None)
        closed.close()

    asyncio.run(main())
    assert telemetry.log.counts() == {"AssetSetComputeError": 2, "AssetSetLoaded": 2}


class Query:
    """A lazy set: `await` loads all rows, `async for` loads them in steps, and its methods return other queries."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return fetch([1]).__await__()

    async def __aiter__(self) -> AsyncIterator[int]:
        yield 1


class Registry(type):
    """A metaclass that rejects a second class, like one that registers classes by name."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        assert not bases


class Registered(metaclass=Registry):
    def __await__(self) -> Generator[Any, Any, Any]:
        return fetch([1]).__await__()


class Plugin:
    """An awaitable whose class notices subclasses."""

    plugins: ClassVar[list[type]] = []

    def __init_subclass__(cls) -> None:
        cls.plugins.append(cls)

    def __await__(self) -> Generator[Any, Any, Any]:
        return fetch([1]).__await__()


@dataclass
class Ticket:
    """An awaitable that equals only others of exactly its class."""

    number: int = 1

    def __await__(self) -> Generator[Any, Any, Any]:
        return fetch([1]).__await__()


class Button:
    """Not a future, in spite of its methods."""

    def add_done_callback(self, name: str, callback: Any) -> None:
        raise AssertionError

    def cancelled(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("make", [Query, Registered, Plugin, Ticket, Button])
def test_other_objects_are_recorded_when_they_are_returned(telemetry: Telemetry, warned: Warned, make: Any) -> None:
    result = make()
    assert telemetry.asset.load(lambda: result)() is result
    assert type(result) is make
    assert Plugin.plugins == []
    assert (telemetry.kinds, telemetry.event.size, len(warned())) == (["AssetSetLoaded"], None, 1)


class AnswersAll(type):
    def __getattr__(cls, name: str) -> str:
        return name


class HasNoHash(type):
    def __eq__(cls, other: object) -> bool:
        return False


class RaisesAll(type):
    def __getattr__(cls, name: str) -> str:
        raise OSError(name)


@pytest.mark.parametrize(("metaclass", "size"), [(AnswersAll, 2), (HasNoHash, None), (RaisesAll, 2)])
def test_result_of_an_unusual_class_is_complete(telemetry: Telemetry, metaclass: type, size: int | None) -> None:
    result: Any = metaclass("Model", (), {"__len__": lambda self: 2})()
    assert telemetry.asset.load(lambda: result)() is result
    assert telemetry.event.size == size


def test_unretrieved_error_is_still_logged_by_asyncio(telemetry: Telemetry) -> None:
    """The instrumentation does not mark the error as retrieved."""
    logged = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context["message"]))
        task = telemetry.asset.load(lambda: asyncio.ensure_future(fetch(OSError("gone"))))()
        await asyncio.wait([task])
        del task
        gc.collect()

    asyncio.run(main())
    assert telemetry.kinds == ["AssetSetComputeError"]
    assert logged == ["Task exception was never retrieved"]


# The context


def test_span_is_current_in_the_awaitable_and_not_outside(telemetry: Telemetry) -> None:
    seen = []

    async def look() -> None:
        seen.append(get_current_span().get_span_context())
        await asyncio.sleep(0)
        seen.append(get_current_span().get_span_context())

    @telemetry.asset.compute
    def load(make: Any) -> Any:
        return make(look())

    async def main() -> None:
        for make in (asyncio.ensure_future, lambda coroutine: coroutine):
            called = load(make)
            with telemetry.tracer.start_as_current_span("caller") as caller:
                await called
                assert get_current_span() is caller

    asyncio.run(main())
    spans = [span.context for span in telemetry.spans if span.name == "compute AssetSet"]
    assert seen == [spans[0], spans[0], spans[1], spans[1]]


def test_awaitable_sees_the_context_of_its_awaiter(telemetry: Telemetry) -> None:
    async def read() -> Any:
        return [get_value("region"), get_current_span() is INVALID_SPAN]

    async def main() -> Any:
        coroutine: Any = telemetry.asset.load(lambda: read())()
        attach(set_value("region", "eu"))
        return await coroutine

    assert asyncio.run(main()) == ["eu", False]


def test_dropped_coroutine_leaves_the_context_unchanged(telemetry: Telemetry) -> None:
    coroutine = telemetry.asset.load(lambda: paused())()
    copy_context().run(coroutine.send, None)
    with telemetry.tracer.start_as_current_span("elsewhere"):
        before = get_current()
        del coroutine
        gc.collect()
        assert get_current() is before
    assert telemetry.kinds == ["AssetSetComputeError"]


async def paused() -> None:
    await Pause()


# Options


def test_size_and_fails_when_use_the_final_result(telemetry: Telemetry, start: Any) -> None:
    results = []

    def fails(result: Any) -> bool:
        results.append(result)
        return False

    async def main() -> Any:
        load = telemetry.asset.load(size=lambda call: len(call.result) + 1, fails_when=fails)(start)
        return await load([1, 2], DAY)

    result = asyncio.run(main())
    assert results == [result]
    assert telemetry.event.size == 3


# Futures of threads and of other libraries


@pytest.mark.parametrize("rows", [[1, 2], OSError("gone")], ids=["success", "failure"])
def test_thread_future_is_recorded_when_it_is_done(telemetry: Telemetry, rows: Any) -> None:
    with ThreadPoolExecutor(1) as pool:

        @telemetry.asset.load
        def load(rows: Any) -> Any:
            return pool.submit(lambda: asyncio.run(fetch(rows)))

        future = load(rows)
        assert isinstance(future, Future)
        with suppress(OSError):
            assert future.result() == [1, 2]
    assert telemetry.kinds == ["AssetSetLoaded" if rows == [1, 2] else "AssetSetComputeError"]
    assert telemetry.event.size == (2 if rows == [1, 2] else None)


def test_cancelled_thread_future_is_a_failure(telemetry: Telemetry) -> None:
    future: Future[Any] = telemetry.asset.load(lambda: Future())()
    assert telemetry.events == []
    future.cancel()
    assert telemetry.kinds == ["AssetSetComputeError"]


class RemoteFuture:
    """A future of a cluster, whose result is the data."""

    is_cancelled = False

    def add_done_callback(self, callback: Any) -> None:
        callback(self)

    def cancelled(self) -> bool:
        return self.is_cancelled

    def exception(self) -> None:
        return None

    def result(self) -> Any:
        raise AssertionError("the data is fetched")


@pytest.mark.parametrize(("operation", "warnings"), [("load", 1), ("total", 0)])
def test_result_of_a_remote_future_is_not_fetched(
    telemetry: Telemetry, warned: Warned, operation: str, warnings: int
) -> None:
    getattr(telemetry.asset, operation)(lambda: RemoteFuture())()
    assert (telemetry.event.size, len(warned())) == (None, warnings)


def test_cancelled_remote_future_is_a_failure(telemetry: Telemetry) -> None:
    future = RemoteFuture()
    future.is_cancelled = True
    telemetry.asset.load(lambda: future)()
    assert telemetry.kinds == ["AssetSetComputeError"]


# Generators


def rows_of(window: Any) -> Iterator[int]:
    yield from (1, 2, 3)


async def arows_of(window: Any) -> AsyncGenerator[int, None]:
    for row in (1, 2, 3):
        yield row


def items(generator: Any) -> list[int]:
    async def collect() -> list[int]:
        return [item async for item in generator]

    return asyncio.run(collect()) if inspect.isasyncgen(generator) else list(generator)


@pytest.mark.parametrize("function", [rows_of, arows_of], ids=["generator", "async generator"])
def test_items_of_a_returned_generator_are_counted(telemetry: Telemetry, warned: Warned, function: Any) -> None:
    generator = telemetry.asset.load(lambda window: function(window))(DAY)
    assert telemetry.events == []
    assert (generator.__name__, type(generator)) == (function.__name__, type(function(DAY)))
    assert items(generator) == [1, 2, 3]
    assert (telemetry.event.size, telemetry.event.window, warned()) == (3, DAY, [])


def test_saved_set_is_the_size_of_a_returned_generator(telemetry: Telemetry) -> None:
    save: Any = telemetry.asset.save(lambda rows, window: (row for row in rows))
    assert list(save([{}, {}], DAY)) == [{}, {}]
    assert telemetry.event.size == 2


def test_named_size_of_a_returned_generator_is_its_result(telemetry: Telemetry) -> None:
    def rows() -> Generator[int, None, list[int]]:
        yield 1
        return [1, 2]

    list(telemetry.asset.load(size="result")(lambda: rows())())
    assert telemetry.event.size == 2
