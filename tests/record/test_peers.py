"""What other decorators fall short of, row by row: ours does each."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest
from conftest import Telemetry, run_script
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode


def rows(count: int) -> Iterator[int]:
    yield from range(count)


async def arows(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_above_classmethod_and_staticmethod(pipeline: Telemetry, kind: Callable[[Any], Any]) -> None:
    """The decorator may stand above either."""

    class Etl:
        @pipeline.asset.load
        @kind
        def load(*args: Any) -> list[Any]:
            return list(args)

    assert Etl.load(1)[-1] == 1
    assert pipeline.kinds == ["AssetSetLoaded"]


def test_async_callable_objects(pipeline: Telemetry) -> None:
    """An object whose `__call__` is a coroutine is measured to its end."""

    class Loader:
        async def __call__(self) -> list[int]:
            await asyncio.sleep(0)
            assert not pipeline.spans
            return [1]

    assert asyncio.run(pipeline.asset.load(Loader())()) == [1]
    assert pipeline.event.size == 1


def test_functools_partial(pipeline: Telemetry) -> None:
    """A partial is decorated like its function."""
    assert list(pipeline.asset.load(functools.partial(rows, 3))()) == [0, 1, 2]
    assert pipeline.event.size == 3


def test_a_generator_is_timed_to_exhaustion(pipeline: Telemetry) -> None:
    """Its span is still open at the last item, and ends behind all that happened until then."""
    generator = pipeline.asset.load(rows)(2)
    assert [next(generator), next(generator)] == [0, 1]
    assert pipeline.spans == []
    pipeline.asset.emit("totaled")
    assert next(generator, None) is None
    assert [span.name for span in pipeline.spans] == ["total AssetSet", "load AssetSet"]


def test_a_generators_span_does_not_leak(pipeline: Telemetry) -> None:
    """In the consumer's code it is never current."""
    for _ in pipeline.asset.load(rows)(3):
        assert trace.get_current_span() is trace.INVALID_SPAN


def test_an_async_generators_span_does_not_leak(pipeline: Telemetry) -> None:
    """Nor is an async one's, and what the consumer does is no child of it."""

    async def consume() -> None:
        async for _ in pipeline.asset.load(arows)(3):
            pipeline.tracer.start_span("consumer").end()

    asyncio.run(consume())
    *consumers, load = pipeline.spans
    assert [span.parent for span in consumers] == [None] * 3
    assert load.name == "load AssetSet"


def test_a_generator_keeps_send_throw_and_return(pipeline: Telemetry) -> None:
    """All three reach the generator and come back."""

    @pipeline.asset.load
    def echo() -> Generator[Any, Any, str]:
        try:
            while True:
                got = yield
                yield got
        except LookupError:
            return "returned"

    generator = echo()
    next(generator)
    assert generator.send(5) == 5
    with pytest.raises(StopIteration) as stop:
        generator.throw(LookupError())
    assert stop.value.value == "returned"


def test_an_async_generator_keeps_asend(pipeline: Telemetry) -> None:
    """What is sent reaches it."""

    @pipeline.asset.load
    async def echo() -> AsyncGenerator[Any, Any]:
        got = None
        while True:
            got = yield got

    async def main() -> Any:
        generator = echo()
        await anext(generator)
        got = await generator.asend(5)
        await generator.aclose()
        return got

    assert asyncio.run(main()) == 5


def test_a_consumer_that_breaks_out_early_is_no_error(pipeline: Telemetry) -> None:
    """The span ends, and not with ERROR."""
    for number in pipeline.asset.load(rows)(9):
        if number:
            break
    gc.collect()
    assert (pipeline.span.status.status_code, pipeline.event.size) == (StatusCode.UNSET, 2)


def test_a_keyboard_interrupt_is_an_error_and_ends_the_span(pipeline: Telemetry) -> None:
    """It passes through."""

    @pipeline.asset.load
    def load() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load()
    assert (pipeline.kinds, pipeline.span.status.status_code) == (["AssetSetComputeError"], StatusCode.ERROR)


def test_a_cancellation_is_an_error(pipeline: Telemetry) -> None:
    """Its status is not left UNSET."""

    @pipeline.asset.load
    async def load() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        await asyncio.wait_for(load(), 0.01)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert pipeline.span.status.status_code is StatusCode.ERROR


def test_decorated_twice_by_mistake_is_one_span(pipeline: Telemetry) -> None:
    """And one event."""
    assert list(pipeline.asset.load(pipeline.asset.load(rows))(2)) == [0, 1]
    assert (len(pipeline.spans), len(pipeline.events)) == (1, 1)


def test_a_multiprocessing_child_exports_its_own_spans() -> None:
    """`configure()` has a forked process export what it did, and nothing of its parent's."""
    receivers = pytest.importorskip("receivers")
    with receivers.http_receiver() as received:
        run_script(
            """
            import multiprocessing, otel_kcevents

            otel_kcevents.configure()

            def work():
                otel_kcevents.asset.emit("saved", size=2)

            if __name__ == "__main__":
                otel_kcevents.asset.emit("loaded", size=1)
                process = multiprocessing.get_context("fork").Process(target=work)
                process.start()
                process.join()
            """,
            **received.environment,
        )
    assert sorted(span.name for span in received.spans) == ["load AssetSet", "save AssetSet"]
    assert sorted(map(tuple, received.counters.values()), key=repr) == [
        (("asset", "AssetSetLoaded"),),
        (("asset", "AssetSetSaved"),),
    ]


def test_500_events_are_kept_under_always_off() -> None:
    """In the log's counts and in the counter."""
    pipeline = Telemetry(ALWAYS_OFF)
    for _ in range(500):
        pipeline.asset.emit("saved")
    assert pipeline.log.counts() == {"AssetSetSaved": 500}
    assert pipeline.counters == {("asset", "AssetSetSaved"): 500}


def test_500_events_inside_one_span_are_exported(pipeline: Telemetry) -> None:
    """None falls to a span's limit of 128 events."""
    with pipeline.tracer.start_as_current_span("nightly"):
        for _ in range(500):
            pipeline.asset.emit("saved")
    assert sum(len(span.events) for span in pipeline.spans) == 500


def test_failed_to_detach_context_is_never_said(pipeline: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """Not by a generator that another context closes."""

    async def main() -> None:
        generator = pipeline.asset.load(arows)(9)
        await asyncio.create_task(step(generator))
        await asyncio.create_task(generator.aclose())

    async def step(generator: AsyncGenerator[int, None]) -> None:
        await anext(generator)

    asyncio.run(main())
    assert (pipeline.event.size, caplog.records) == (1, [])
