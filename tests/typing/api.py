"""The types of the public API: decorated functions keep their types, and the public names have theirs.

Checked by mypy and pyright in strict mode; never run.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from datetime import datetime
from typing import Any

from typing_extensions import assert_type

from otel_kcevents import (
    Call,
    Event,
    EventLog,
    Operation,
    OperationScope,
    RecordSet,
    Stretch,
    Window,
    allocation,
    asset,
    run,
)
from otel_kcevents.testing import CapturedEvents, capture


@allocation.load
def load(window: Window, limit: int = 5) -> list[str]:
    return [str(window)] * limit


@allocation.save(window="day", size="rows")
def save(rows: dict[str, float], day: str, *, dry: bool = False) -> int | None:
    return None if dry else len(rows)


@asset.aggregate
async def aggregate(window: Window) -> dict[str, float]:
    return {str(window): 1.0}


@asset.aggregate(window=lambda call: call.arguments["day"])
async def aggregate_day(day: datetime) -> list[datetime]:
    return [day]


@asset.load
def rows(window: Window) -> Generator[int, str, bool]:
    return (yield 5) == str(window)


@asset.load(fails_when=lambda result: result is None)
def lines(path: str) -> Iterator[bytes]:
    yield path.encode()


@asset.load
async def pages(window: Window) -> AsyncGenerator[int, str]:
    if (yield 5) == str(window):
        yield 6


@asset.load()
async def pages_called(count: int) -> AsyncGenerator[int, None]:
    yield count


@allocation.load(ignore=(KeyError, OSError))
def retried(window: Window) -> list[int]:
    return [1]


@allocation.load
def awaited(window: Window) -> Awaitable[list[int]]:
    return later(window)


async def later(window: Window) -> list[int]:
    return [1]


class Etl:
    @allocation.total
    def total(self, window: Window) -> float:
        return 1.0 if window.start else 0.0

    @allocation.reconcile(window="day")
    async def reconcile(self, day: str) -> bool:
        return bool(day)

    @allocation.compute
    @classmethod
    def below(cls, window: Window) -> type[Etl]:
        return cls

    @classmethod
    @allocation.compute(window="day")
    def above(cls, day: str) -> str:
        return cls.__name__ + day

    @asset.save
    @staticmethod
    def static_below(rows: list[int]) -> int:
        return len(rows)

    @staticmethod
    @asset.save(size="rows")
    def static_above(rows: list[int]) -> int:
        return len(rows)


class Loader:
    def __call__(self, day: str) -> list[str]:
        return [day]


async def use(day: Window) -> None:
    assert_type(load(day), list[str])
    assert_type(load(window=day, limit=3), list[str])
    assert_type(save({}, "today", dry=True), int | None)
    assert_type(await aggregate(day), dict[str, float])
    assert_type(await aggregate_day(datetime.now()), list[datetime])
    assert_type(rows(day), Generator[int, str, bool])
    assert_type(lines("bill.csv"), Iterator[bytes])
    assert_type(pages(day), AsyncGenerator[int, str])
    assert_type(pages_called(5), AsyncGenerator[int, None])

    aggregating: Callable[[Window], Coroutine[Any, Any, dict[str, float]]] = aggregate
    assert_type(retried(day), list[int])
    assert_type(await awaited(day), list[int])

    awaitable: Callable[[Window], Awaitable[dict[str, float]]] = aggregating
    assert_type(await awaitable(day), dict[str, float])

    etl = Etl()
    assert_type(etl.total(day), float)
    assert_type(await etl.reconcile("today"), bool)
    assert_type(Etl.below(day), type[Etl])
    assert_type(etl.above("today"), str)
    assert_type(Etl.static_below([1]), int)
    assert_type(etl.static_above([1]), int)

    loader = asset.load(Loader())
    assert_type(loader, Loader)
    assert_type(loader("today"), list[str])
    partial = asset.load(functools.partial(save, {}))
    assert_type(partial("today"), int | None)

    with allocation.save() as op:
        assert_type(op, OperationScope)
        op.window, op.size = day, 97
    with asset.save(ignore=KeyError) as op:
        assert_type(op, OperationScope)
    former_name: Stretch = op
    assert_type(former_name, OperationScope)
    assert_type(allocation.save, Operation)
    assert_type(allocation.save(window=day, size=97), Operation)


def window_of(call: Call) -> Window:
    return Window.of(call.arguments["day"])


def assert_events(kcevents: CapturedEvents) -> dict[str, int]:
    with capture() as captured:
        assert_type(captured, CapturedEvents)
    event = kcevents.assert_emitted("AssetSetSaved", size=3, window="2022-06-03", error=None, operation=..., count=1)
    assert_type(event, Event)
    assert_type(kcevents.events, tuple[Event, ...])
    kcevents.assert_not_emitted("AssetSetComputeError", size=None, window=None, error=OSError, match="full")
    return kcevents.counts


def make(log: EventLog) -> RecordSet:
    cloud = RecordSet("cloudCost", "CloudCostSet", log=log)
    assert_type(cloud.log, EventLog)
    assert_type(cloud.save(window=window_of), Operation)
    cloud.emit("saved", size=97, window=("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z"), time=datetime.now())
    cloud.emit("compute_error", error=OSError("full"), operation="save", time=5)
    return cloud


@run("nightly")
def nightly(day: str, *, dry: bool = False) -> int:
    return len(day)


@run("hourly")
async def hourly(hour: datetime) -> list[datetime]:
    return [hour]


async def returns_from_block() -> int:
    with run("nightly"):
        assert_type(await hourly(datetime(2022, 6, 3)), list[datetime])
        return nightly("2022-06-03", dry=True)
