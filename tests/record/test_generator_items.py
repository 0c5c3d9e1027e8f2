"""Paths that start with `yield`: size and window of a generator, read from its items."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.window import Window

MORNING = Window("2022-06-03T00:00:00Z", "2022-06-03T12:00:00Z")
EVENING = Window("2022-06-03T12:00:00Z", "2022-06-04T00:00:00Z")


class Batch(NamedTuple):
    rows: Any
    window: Any = None


def batches(*items: Any) -> Iterator[Any]:
    for item in items:
        yield item
        if isinstance(item, Exception):
            raise item


async def async_batches(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


def run_generator(function: Callable[..., Any], *items: Any) -> None:
    assert list(function(*items)) == list(items)


def run_async_generator(function: Callable[..., Any], *items: Any) -> None:
    async def consume() -> list[Any]:
        return [item async for item in function(*items)]

    assert asyncio.run(consume()) == list(items)


@pytest.mark.parametrize(
    ("function", "run"), [(batches, run_generator), (async_batches, run_async_generator)], ids=["generator", "async"]
)
def test_sizes_are_summed_and_windows_covered(telemetry: Telemetry, function: Any, run: Any) -> None:
    load = telemetry.asset.load(window="yield.window", size="yield.rows")(function)
    run(load, Batch(2, EVENING), Batch([1, 2, 3], MORNING), Batch(None), Batch(0, MORNING))
    assert (telemetry.event.size, telemetry.event.window) == (5, DAY)


def test_items_are_read_as_they_are_produced(telemetry: Telemetry) -> None:
    """Changes that the consumer makes to an item do not matter."""
    for rows in telemetry.asset.load(size="yield")(batches)([1, 2], [3]):
        rows.clear()
    assert telemetry.event.size == 3


def test_generator_without_items_has_size_0(telemetry: Telemetry) -> None:
    run_generator(telemetry.asset.load(window="yield.window", size="yield.rows")(batches))
    assert (telemetry.event.size, telemetry.event.window) == (0, None)


def test_closing_early_keeps_what_was_read(telemetry: Telemetry) -> None:
    load = telemetry.asset.load(window="yield.window", size="yield.rows")(batches)
    generator = load(Batch(2, MORNING), Batch(3, EVENING))
    next(generator)
    generator.close()  # type: ignore[attr-defined]
    assert (telemetry.event.kind, telemetry.event.size, telemetry.event.window) == ("AssetSetLoaded", 2, MORNING)


def test_failure_keeps_the_window_of_the_items(telemetry: Telemetry) -> None:
    class Failing(Exception):
        window = EVENING

    load = telemetry.asset.load(window="yield.window")(batches)
    with pytest.raises(Failing):
        list(load(Batch(2, MORNING), Failing("gone")))
    assert (telemetry.event.kind, telemetry.event.window) == ("AssetSetComputeError", DAY)


def test_unreadable_item_omits_its_field(telemetry: Telemetry, warned: Warned) -> None:
    """The size or window of the other items alone would be wrong. One warning is logged for each field."""
    load = telemetry.asset.load(window="yield.window", size="yield.rows")(batches)
    items = [Batch(2, MORNING), Batch("many", "soon"), Batch(3, EVENING)]
    run_generator(load, *items, *items)
    assert (telemetry.event.size, telemetry.event.window) == (None, None)
    size, window = warned()
    assert "the size is omitted" in size
    assert "the window is omitted" in window


def test_items_are_not_read_if_suppressed(telemetry: Telemetry, warned: Warned) -> None:
    load = telemetry.asset.load(window="yield.window", size="yield.rows")(batches)
    with suppress_instrumentation():
        run_generator(load, Batch("many", "soon"))
    assert (telemetry.events, warned()) == ([], [])
