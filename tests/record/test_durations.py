"""The histogram `kubecost.etl.operation.duration`: which operations it has, and that a call never waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from conftest import run_program
from mapped import mapped
from opentelemetry.context import attach, detach, set_value
from opentelemetry.metrics import CallbackOptions, NoOpMeterProvider, Observation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import INVALID_SPAN
from telemetry import Telemetry, Warned, collect, in_threads

from otel_kcevents import configure
from otel_kcevents.record.durations import BOUNDARIES, Durations, TimedSpan, set_durations

NAME = "kubecost.etl.operation.duration"
LOADED = ("allocation", "load")
FAILED = ("allocation", "load", "ValueError")


@pytest.fixture(autouse=True)
def _measured() -> Iterator[None]:
    set_durations()
    yield
    set_durations(False)


def points(telemetry: Telemetry) -> list[Any]:
    metrics = [metric for scope in collect(telemetry.reader) for metric in scope.metrics if metric.name == NAME]
    return [point for metric in metrics for point in metric.data.data_points]


def counts(telemetry: Telemetry) -> dict[tuple[Any, ...], int]:
    """How many durations the histogram has, by the values of the attributes."""
    return {tuple(point.attributes.values()): point.count for point in points(telemetry)}


def call(telemetry: Telemetry, count: int) -> None:
    @telemetry.allocation.load
    def load(window: str) -> list[int]:
        return [1] * count if count >= 0 else [][0]

    load("2022-06-03")


def call_coroutine(telemetry: Telemetry, count: int) -> None:
    @telemetry.allocation.load
    async def load(window: str) -> int:
        await asyncio.sleep(0)
        return int("1" if count >= 0 else "x")

    asyncio.run(load("2022-06-03"))


def call_generator(telemetry: Telemetry, count: int) -> None:
    @telemetry.allocation.load
    def load(window: str) -> Iterator[int]:
        yield 1
        yield int("1" if count >= 0 else "x")

    list(load("2022-06-03"))


def call_async_generator(telemetry: Telemetry, count: int) -> None:
    @telemetry.allocation.load
    async def load(window: str) -> AsyncIterator[int]:
        yield int("1" if count >= 0 else "x")

    async def consume() -> None:
        async for _ in load("2022-06-03"):
            pass

    asyncio.run(consume())


def enter_block(telemetry: Telemetry, count: int) -> None:
    with telemetry.allocation.load() as op:
        op.size = int("1" if count >= 0 else "x")


def call_mapped(telemetry: Telemetry, count: int) -> None:
    def load(window: str) -> int:
        return int("1" if count >= 0 else "x")

    mapped(telemetry, load, record="allocation.load", size=False)("2022-06-03")


SHAPES = [call_coroutine, call_generator, call_async_generator, enter_block, call_mapped]


@pytest.mark.parametrize("shape", [call, *SHAPES])
def test_operation_of_every_shape_is_measured(telemetry: Telemetry, shape: Callable[..., None]) -> None:
    shape(telemetry, 1)
    assert counts(telemetry) == {LOADED: 1}


@pytest.mark.parametrize("shape", SHAPES)
def test_failure_has_the_type_of_its_error(telemetry: Telemetry, shape: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        shape(telemetry, -1)
    (point,) = points(telemetry)
    assert dict(point.attributes) == {"etl": "allocation", "operation": "load", "error.type": "ValueError"}


def test_histogram_is_in_seconds_with_buckets_for_an_etl(telemetry: Telemetry) -> None:
    call(telemetry, 1)
    (metric,) = [metric for scope in collect(telemetry.reader) for metric in scope.metrics if metric.name == NAME]
    assert (metric.unit, metric.description) == ("s", "Duration of Kubecost ETL operations.")
    (point,) = metric.data.data_points
    assert point.explicit_bounds == BOUNDARIES  # type: ignore[union-attr]
    assert (BOUNDARIES[0], BOUNDARIES[-1]) == (0.01, 3600)
    assert 0 < point.sum < 0.01  # type: ignore[union-attr]


def test_computation_that_succeeds_is_measured(telemetry: Telemetry) -> None:
    with telemetry.asset.compute():
        pass
    assert counts(telemetry) == {("asset", "compute"): 1}


def test_unsampled_operations_are_measured() -> None:
    telemetry = Telemetry(ALWAYS_OFF)
    call(telemetry, 1)
    assert counts(telemetry) == {LOADED: 1}


def test_nothing_is_measured_unless_asked_for(telemetry: Telemetry) -> None:
    set_durations(False)
    call(telemetry, 1)
    assert points(telemetry) == []


def test_ignored_call_is_not_measured(telemetry: Telemetry) -> None:
    with pytest.raises(KeyError), telemetry.allocation.load(ignore=KeyError):
        raise KeyError
    assert (points(telemetry), telemetry.span.name) == ([], "load AllocationSet")


def test_suppressed_call_is_not_measured(telemetry: Telemetry) -> None:
    token = attach(set_value("suppress_instrumentation", True))
    try:
        call(telemetry, 1)
    finally:
        detach(token)
    assert points(telemetry) == []


def test_emitted_event_has_no_duration(telemetry: Telemetry) -> None:
    telemetry.allocation.emit("loaded", size=3)
    assert (points(telemetry), telemetry.counters) == ([], {("allocation", "AllocationSetLoaded"): 1})


def test_handwritten_event_has_no_duration(telemetry: Telemetry) -> None:
    with telemetry.tracer.start_as_current_span("work") as span:
        span.add_event("AllocationSetLoaded")
    assert points(telemetry) == []


def test_measuring_changes_no_span(telemetry: Telemetry) -> None:
    call(telemetry, 1)
    set_durations(False)
    call(telemetry, 1)
    first, second = telemetry.spans
    assert (first.name, first.attributes, first.status) == (second.name, second.attributes, second.status)
    assert [event.name for span in (first, second) for event in span.events] == ["AllocationSetLoaded"] * 2


def test_call_during_an_export_is_in_the_next_one(telemetry: Telemetry) -> None:
    """Whatever lock the SDK holds then; the garbage collector may close a generator at any point."""

    def observe(options: CallbackOptions) -> list[Observation]:
        call(telemetry, 1)
        return []

    call(telemetry, 1)
    telemetry.meter_provider.get_meter("program").create_observable_gauge("gauge", [observe])
    assert [counts(telemetry)[LOADED] for _ in range(3)] == [1, 2, 3]


def test_threads_lose_no_duration(telemetry: Telemetry) -> None:
    def work(number: int) -> None:
        for _ in range(50):
            call(telemetry, 1)
        points(telemetry)

    in_threads(work, 4)
    assert counts(telemetry) == {LOADED: 200}


def test_waiting_durations_are_bounded(warned: Warned) -> None:
    durations = Durations(NoOpMeterProvider().get_meter("test"))
    for _ in range(2**16 + 1):
        assert durations.end(TimedSpan(INVALID_SPAN), "asset", "load", None) is INVALID_SPAN
    for _ in range(2):
        durations.export()
    assert warned() == [
        "some durations are omitted (logged once): more than 65,536 operations ended between two exports"
    ]


def test_child_processes_measure_like_their_parent() -> None:
    """A forked child exports none of the durations that wait in its parent."""
    out, err = run_program("durations")
    assert out.splitlines() == ["fork 1", "spawn 1", "parent 2"]
    assert err == ""


@pytest.mark.parametrize("choose", [set_durations, lambda enabled: configure(durations=enabled)])
def test_only_a_bool_turns_it_on(choose: Callable[[Any], None]) -> None:
    with pytest.raises(TypeError, match="'true'"):
        choose("true")
