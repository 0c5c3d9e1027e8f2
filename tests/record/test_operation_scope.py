"""A `with` block as one operation: its values, failures, span and context."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode
from telemetry import DAY, Pause, Telemetry, Warned, in_threads

from otel_kcevents.model.event import Event, Failure

PAIR = ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")


# Window and size


def test_window_and_size_are_read_when_the_block_ends(telemetry: Telemetry) -> None:
    with telemetry.allocation.save() as op:
        assert (op.window, op.size) == (None, None)
        op.window, op.size = PAIR, ["a", "b"]
    assert telemetry.event == Event("AllocationSetSaved", telemetry.event.time, 2, DAY)


def test_window_and_size_may_be_given_up_front(telemetry: Telemetry) -> None:
    with telemetry.allocation.save(window=PAIR, size=97) as op:
        assert (op.window, op.size) == (PAIR, 97)
        op.size = 98
    assert telemetry.event == Event("AllocationSetSaved", telemetry.event.time, 98, DAY)


def test_unreadable_values_are_omitted_with_one_warning_each(telemetry: Telemetry, warned: Warned) -> None:
    for _ in range(5):
        with telemetry.asset.save() as op:
            op.window, op.size = "the day before", -1
    assert [(event.window, event.size) for event in telemetry.events] == [(None, None)] * 5
    window, size = warned()
    assert window.startswith("save AssetSet: the window is ")
    assert size.startswith("save AssetSet: the size is ")


def test_size_for_an_operation_without_sizes_is_omitted(telemetry: Telemetry, warned: Warned) -> None:
    with telemetry.asset.total() as op:
        op.size = 4
    assert (telemetry.event.kind, telemetry.event.size) == ("AssetSetTotaled", None)
    (warning,) = warned()
    assert "the size is " in warning


# Failures


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError("full"), "full"), (KeyboardInterrupt(), ""), (SystemExit(1), "1"), (GeneratorExit("odd"), "odd")],
    ids=repr,
)
def test_exception_is_a_failure_and_passes_through(telemetry: Telemetry, error: BaseException, message: str) -> None:
    with pytest.raises(type(error)) as raised, telemetry.asset.reconcile(window=DAY):
        raise error
    assert raised.value is error
    failure = Failure(type(error).__name__, message, "reconcile")
    assert telemetry.event == Event("AssetSetReconcileError", telemetry.event.time, None, DAY, failure)
    assert telemetry.span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("code", [0, None, False])
def test_exit_with_status_zero_is_a_success(telemetry: Telemetry, code: Any) -> None:
    with pytest.raises(SystemExit) as raised, telemetry.asset.save(window=DAY, size=3):
        raise SystemExit(code)
    assert raised.value.code is code
    assert telemetry.event == Event("AssetSetSaved", telemetry.event.time, 3, DAY)
    assert telemetry.span.status.status_code is StatusCode.UNSET


def test_ignored_exception_in_a_block_records_no_event(telemetry: Telemetry) -> None:
    with pytest.raises(KeyError), telemetry.asset.save(window=DAY, size=3, ignore=(KeyError, OSError)):
        raise KeyError("again")
    assert telemetry.events == []
    assert telemetry.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("on_exit_stack", [False, True], ids=["with", "ExitStack"])
def test_closing_a_generator_inside_a_block_is_a_success(telemetry: Telemetry, on_exit_stack: bool) -> None:
    def rows() -> Generator[int, None, None]:
        with ExitStack() as stack:
            op = stack.enter_context(telemetry.asset.load())
            for op.size in range(1, 9):
                yield op.size

    def plain_rows() -> Generator[int, None, None]:
        with telemetry.asset.load() as op:
            for op.size in range(1, 9):
                yield op.size

    generator = rows() if on_exit_stack else plain_rows()
    assert [next(generator), next(generator)] == [1, 2]
    generator.close()
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, 2)


def test_closing_an_async_generator_inside_a_block_is_a_success(telemetry: Telemetry) -> None:
    async def rows() -> AsyncIterator[int]:
        with telemetry.asset.load() as op:
            for op.size in range(1, 9):
                yield op.size

    async def first() -> int:
        async with aclosing(rows()) as generator:  # type: ignore[type-var]
            return await anext(generator)

    assert asyncio.run(first()) == 1
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, 1)


def test_coroutine_dropped_inside_a_block_is_a_failure(telemetry: Telemetry) -> None:
    """The garbage collector closes it in another context, which stays current."""

    async def save() -> None:
        with telemetry.asset.save():
            await Pause()

    coroutine = save()
    copy_context().run(coroutine.send, None)
    with telemetry.tracer.start_as_current_span("elsewhere"):
        before = get_current()
        del coroutine
        gc.collect()
        assert get_current() is before
    assert telemetry.event.failure is not None
    assert telemetry.event.failure.type == "GeneratorExit"


# The span and the context


def test_span_of_a_block_has_no_function_name(telemetry: Telemetry) -> None:
    with telemetry.asset.save():
        pass
    assert dict(telemetry.span.attributes or {}) == {"kcevents.etl": "asset", "kcevents.operation": "save"}


def test_span_is_current_only_inside_the_block(telemetry: Telemetry) -> None:
    before = get_current()
    with telemetry.asset.save(), telemetry.tracer.start_as_current_span("inner"):
        pass
    assert get_current() is before
    inner, outer = telemetry.spans
    assert (inner.parent, outer.parent) == (outer.context, None)


def test_block_records_nothing_if_suppressed(telemetry: Telemetry) -> None:
    before = get_current()
    with suppress_instrumentation(), telemetry.asset.save() as op:
        op.size = 1
    assert (telemetry.spans, telemetry.events, telemetry.counters) == ([], [], {})
    assert get_current() is before


# Several blocks at once


@pytest.mark.parametrize("sampled", [True, False])
def test_nested_blocks_each_have_their_own_values(sampled: bool) -> None:
    telemetry = Telemetry() if sampled else Telemetry(ALWAYS_OFF)
    with telemetry.asset.save() as outer:
        with telemetry.asset.save() as inner:
            inner.size = 1
        outer.size = 2
    assert [event.size for event in telemetry.events] == [1, 2]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_blocks_of_several_threads_do_not_mix(telemetry: Telemetry) -> None:
    barrier = threading.Barrier(8)

    def run(number: int) -> None:
        for turn in range(50):
            barrier.wait(20)
            with telemetry.asset.save() as op, telemetry.tracer.start_as_current_span("inner"):
                op.size = number * 50 + turn

    in_threads(run)
    spans = {span.context.span_id: span for span in telemetry.spans if span.context and span.name == "save AssetSet"}
    sizes = [(span.events[0].attributes or {})["kcevents.size"] for span in spans.values()]
    assert sorted(sizes) == list(range(400))  # type: ignore[type-var]
    assert all(span.parent and span.parent.span_id in spans for span in telemetry.spans if span.name == "inner")


def test_blocks_of_several_tasks_do_not_mix(telemetry: Telemetry) -> None:
    """The tasks end in the order in which they began, while all later blocks are open."""

    async def run(number: int, before: asyncio.Event, after: asyncio.Event) -> None:
        with telemetry.asset.save() as op:
            op.size = number
            await before.wait()
        assert telemetry.events[-1].size == number
        after.set()

    async def main() -> None:
        gates = [asyncio.Event() for _ in range(9)]
        tasks = [asyncio.create_task(run(number, gates[number], gates[number + 1])) for number in range(8)]
        await asyncio.sleep(0)
        gates[0].set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert [event.size for event in telemetry.events] == list(range(8))


def test_exit_stacks_enter_and_exit_blocks(telemetry: Telemetry) -> None:
    with ExitStack() as outer:
        outer.enter_context(telemetry.asset.save()).size = 1
        with ExitStack() as inner:
            inner.enter_context(telemetry.asset.save()).size = 2
    assert [event.size for event in telemetry.events] == [2, 1]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_block_inside_a_contextmanager_function_works(telemetry: Telemetry) -> None:
    @contextmanager
    def saving() -> Iterator[None]:
        with telemetry.asset.save():
            yield

    with saving():
        pass
    with pytest.raises(OSError, match="full"), saving():
        raise OSError("full")
    assert telemetry.kinds == ["AssetSetSaved", "AssetSetComputeError"]


# One object, one block


@pytest.mark.parametrize("suppressed", [False, True], ids=["recorded", "suppressed"])
def test_second_block_with_one_object_is_refused(telemetry: Telemetry, suppressed: bool) -> None:
    """Both while the first block is open and after it; the first block keeps its values."""
    saving = telemetry.asset.save()
    with ExitStack() as stack:
        if suppressed:
            stack.enter_context(suppress_instrumentation())
        with saving as op:
            op.size = 1
            with pytest.raises(RuntimeError, match=r"call asset\.save\(\) for each block"), saving:
                pass
        with pytest.raises(RuntimeError, match=r"call asset\.save\(\) for each block"), saving:
            pass
    assert [event.size for event in telemetry.events] == ([] if suppressed else [1])


def test_only_one_thread_can_enter_an_object(telemetry: Telemetry) -> None:
    entered = []

    def enter(number: int) -> None:
        with suppress(RuntimeError), saving:
            entered.append(saving)

    for _ in range(20):
        saving: Any = telemetry.asset.save()
        in_threads(enter)
    assert len(set(entered)) == len(entered) == len(telemetry.events) == 20


def test_block_without_parentheses_is_refused(telemetry: Telemetry) -> None:
    with pytest.raises(TypeError, match=r"write `with allocation\.save\(\) as op:`"), telemetry.allocation.save:
        pass
    assert (telemetry.spans, telemetry.events) == ([], [])


def test_object_of_a_block_can_still_decorate(telemetry: Telemetry) -> None:
    """Any number of times, before and after its block."""

    def save(rows: list[int]) -> None: ...

    saving = telemetry.asset.save(window=lambda call: DAY)
    first = saving(save)
    with saving as op:
        op.window = None
    second = saving(save)
    for decorated in (first, second, first):
        decorated([1])
    assert [(event.size, event.window) for event in telemetry.events] == [(None, None)] + [(1, DAY)] * 3


def test_fails_when_of_a_block_is_refused(telemetry: Telemetry) -> None:
    scope = telemetry.asset.save(fails_when=lambda result: True)
    with pytest.raises(TypeError, match=r"remove it from asset\.save"), scope:
        pass
