"""A `with` block as one operation: what it records, and what it leaves alone."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from contextvars import copy_context
from typing import Any

import pytest
from conftest import Telemetry
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window

DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
PAIR = ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
Warned = Callable[[], list[str]]


class Pause:
    """Something to await that yields to the event loop once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


# Window and size


def test_window_and_size_are_read_when_the_block_ends(pipeline: Telemetry) -> None:
    with pipeline.allocation.save() as op:
        assert (op.window, op.size) == (None, None)
        op.window, op.size = PAIR, ["a", "b"]
    assert pipeline.event == Event("AllocationSetSaved", pipeline.event.time, 2, DAY)


def test_window_and_size_may_be_given_up_front(pipeline: Telemetry) -> None:
    with pipeline.allocation.save(window=PAIR, size=97) as op:
        assert (op.window, op.size) == (PAIR, 97)
        op.size = 98
    assert pipeline.event == Event("AllocationSetSaved", pipeline.event.time, 98, DAY)


def test_unreadable_values_are_omitted_with_one_warning_each(pipeline: Telemetry, warned: Warned) -> None:
    for _ in range(5):
        with pipeline.asset.save() as op:
            op.window, op.size = "the day before", -1
    assert [(event.window, event.size) for event in pipeline.events] == [(None, None)] * 5
    window, size = warned()
    assert window.startswith("save AssetSet: the window is ")
    assert size.startswith("save AssetSet: the size is ")


def test_a_size_for_an_operation_without_sizes_is_omitted(pipeline: Telemetry, warned: Warned) -> None:
    with pipeline.asset.total() as op:
        op.size = 4
    assert (pipeline.event.kind, pipeline.event.size) == ("AssetSetTotaled", None)
    (warning,) = warned()
    assert "the size is " in warning


# Failures


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError("full"), "full"), (KeyboardInterrupt(), ""), (SystemExit(1), "1"), (GeneratorExit("odd"), "odd")],
    ids=repr,
)
def test_an_exception_is_a_failure_and_passes_through(pipeline: Telemetry, error: BaseException, message: str) -> None:
    with pytest.raises(type(error)) as raised, pipeline.asset.reconcile(window=DAY):
        raise error
    assert raised.value is error
    failure = Failure(type(error).__name__, message, "reconcile")
    assert pipeline.event == Event("AssetSetReconcileError", pipeline.event.time, None, DAY, failure)
    assert pipeline.span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("code", [0, None, False])
def test_an_exit_with_status_zero_is_a_success(pipeline: Telemetry, code: Any) -> None:
    with pytest.raises(SystemExit) as raised, pipeline.asset.save(window=DAY, size=3):
        raise SystemExit(code)
    assert raised.value.code is code
    assert pipeline.event == Event("AssetSetSaved", pipeline.event.time, 3, DAY)
    assert pipeline.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("on_exit_stack", [False, True], ids=["with", "ExitStack"])
def test_closing_a_generator_inside_a_block_is_a_success(pipeline: Telemetry, on_exit_stack: bool) -> None:
    def rows() -> Generator[int, None, None]:
        with ExitStack() as stack:
            op = stack.enter_context(pipeline.asset.load())
            for op.size in range(1, 9):
                yield op.size

    def plain_rows() -> Generator[int, None, None]:
        with pipeline.asset.load() as op:
            for op.size in range(1, 9):
                yield op.size

    generator = rows() if on_exit_stack else plain_rows()
    assert [next(generator), next(generator)] == [1, 2]
    generator.close()
    assert pipeline.event == Event("AssetSetLoaded", pipeline.event.time, 2)


def test_closing_an_async_generator_inside_a_block_is_a_success(pipeline: Telemetry) -> None:
    async def rows() -> AsyncIterator[int]:
        with pipeline.asset.load() as op:
            for op.size in range(1, 9):
                yield op.size

    async def first() -> int:
        async with aclosing(rows()) as generator:  # type: ignore[type-var]
            return await anext(generator)

    assert asyncio.run(first()) == 1
    assert pipeline.event == Event("AssetSetLoaded", pipeline.event.time, 1)


def test_a_coroutine_dropped_inside_a_block_is_a_failure(pipeline: Telemetry) -> None:
    """The garbage collector closes it in a context that is not its own, which stays current."""

    async def save() -> None:
        with pipeline.asset.save():
            await Pause()

    coroutine = save()
    copy_context().run(coroutine.send, None)
    with pipeline.tracer.start_as_current_span("elsewhere"):
        before = get_current()
        del coroutine
        gc.collect()
        assert get_current() is before
    assert pipeline.event.failure is not None
    assert pipeline.event.failure.type == "GeneratorExit"


# The span and the context


def test_the_span_of_a_block_names_no_function(pipeline: Telemetry) -> None:
    with pipeline.asset.save():
        pass
    assert dict(pipeline.span.attributes or {}) == {"kcevents.etl": "asset", "kcevents.operation": "save"}


def test_the_span_is_current_inside_the_block_alone(pipeline: Telemetry) -> None:
    before = get_current()
    with pipeline.asset.save(), pipeline.tracer.start_as_current_span("inner"):
        pass
    assert get_current() is before
    inner, outer = pipeline.spans
    assert (inner.parent, outer.parent) == (outer.context, None)


def test_a_block_records_nothing_if_suppressed(pipeline: Telemetry) -> None:
    before = get_current()
    with suppress_instrumentation(), pipeline.asset.save() as op:
        op.size = 1
    assert (pipeline.spans, pipeline.events, pipeline.counters) == ([], [], {})
    assert get_current() is before


# Several blocks at once


@pytest.mark.parametrize("sampled", [True, False])
def test_nested_blocks_each_have_their_own_values(sampled: bool) -> None:
    pipeline = Telemetry() if sampled else Telemetry(ALWAYS_OFF)
    with pipeline.asset.save() as outer:
        with pipeline.asset.save() as inner:
            inner.size = 1
        outer.size = 2
    assert [event.size for event in pipeline.events] == [1, 2]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_blocks_of_several_threads_do_not_mix(pipeline: Telemetry) -> None:
    barrier = threading.Barrier(8)

    def run(number: int) -> None:
        for turn in range(50):
            barrier.wait(20)
            with pipeline.asset.save() as op, pipeline.tracer.start_as_current_span("inner"):
                op.size = number * 50 + turn

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = {span.context.span_id: span for span in pipeline.spans if span.context and span.name == "save AssetSet"}
    sizes = [(span.events[0].attributes or {})["kcevents.size"] for span in spans.values()]
    assert sorted(sizes) == list(range(400))  # type: ignore[type-var]
    assert all(span.parent and span.parent.span_id in spans for span in pipeline.spans if span.name == "inner")


def test_blocks_of_several_tasks_do_not_mix(pipeline: Telemetry) -> None:
    """The tasks end in the order they began, while all of the blocks are open."""

    async def run(number: int, before: asyncio.Event, after: asyncio.Event) -> None:
        with pipeline.asset.save() as op:
            op.size = number
            await before.wait()
        assert pipeline.events[-1].size == number
        after.set()

    async def main() -> None:
        gates = [asyncio.Event() for _ in range(9)]
        tasks = [asyncio.create_task(run(number, gates[number], gates[number + 1])) for number in range(8)]
        await asyncio.sleep(0)
        gates[0].set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert [event.size for event in pipeline.events] == list(range(8))


def test_exit_stacks_enter_and_exit_blocks(pipeline: Telemetry) -> None:
    with ExitStack() as outer:
        outer.enter_context(pipeline.asset.save()).size = 1
        with ExitStack() as inner:
            inner.enter_context(pipeline.asset.save()).size = 2
    assert [event.size for event in pipeline.events] == [2, 1]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_block_inside_a_contextmanager_function_works(pipeline: Telemetry) -> None:
    @contextmanager
    def saving() -> Iterator[None]:
        with pipeline.asset.save():
            yield

    with saving():
        pass
    with pytest.raises(OSError, match="full"), saving():
        raise OSError("full")
    assert pipeline.kinds == ["AssetSetSaved", "AssetSetComputeError"]


# One object, one block


@pytest.mark.parametrize("suppressed", [False, True], ids=["recorded", "suppressed"])
def test_a_second_block_of_one_object_is_refused(pipeline: Telemetry, suppressed: bool) -> None:
    """While the first block is open as well as after it; the first block keeps its values."""
    saving = pipeline.asset.save()
    with ExitStack() as stack:
        if suppressed:
            stack.enter_context(suppress_instrumentation())
        with saving as op:
            op.size = 1
            with pytest.raises(RuntimeError, match=r"call asset\.save\(\) for each block"), saving:
                pass
        with pytest.raises(RuntimeError, match=r"call asset\.save\(\) for each block"), saving:
            pass
    assert [event.size for event in pipeline.events] == ([] if suppressed else [1])


def test_one_of_many_threads_enters_one_object(pipeline: Telemetry) -> None:
    entered = []

    def enter(saving: Any, barrier: threading.Barrier) -> None:
        barrier.wait(20)
        with suppress(RuntimeError), saving:
            entered.append(saving)

    for _ in range(20):
        saving, barrier = pipeline.asset.save(), threading.Barrier(8)
        threads = [threading.Thread(target=enter, args=(saving, barrier)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(entered)) == len(entered) == len(pipeline.events) == 20


def test_a_block_without_parentheses_is_refused(pipeline: Telemetry) -> None:
    with pytest.raises(TypeError, match=r"write `with allocation\.save\(\) as op:`"), pipeline.allocation.save:
        pass
    assert (pipeline.spans, pipeline.events) == ([], [])


def test_the_object_of_a_block_still_decorates(pipeline: Telemetry) -> None:
    """As often as one likes, before and after its block."""

    def save(rows: list[int]) -> None: ...

    saving = pipeline.asset.save(window=lambda call: DAY)
    first = saving(save)
    with saving as op:
        op.window = None
    second = saving(save)
    for decorated in (first, second, first):
        decorated([1])
    assert [(event.size, event.window) for event in pipeline.events] == [(None, None)] + [(1, DAY)] * 3
