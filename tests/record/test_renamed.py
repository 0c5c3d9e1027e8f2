"""A function that is decorated under another name, as in `tracked = allocation.load(load)`."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from telemetry import DAY, Telemetry

from otel_kcevents.model.window import Window


def load(window: Window, count: int = 2) -> list[int]:
    """Load some rows."""
    return [1] * count


async def aload(window: Window) -> list[int]:
    return [1]


def stream(window: Window) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [load, aload, stream])
def test_renamed_function_keeps_its_shape(telemetry: Telemetry, function: Any) -> None:
    tracked = telemetry.asset.load(function)
    for ask in (inspect.isfunction, inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isroutine):
        assert ask(tracked) == ask(function)
    for read in (inspect.signature, inspect.getfullargspec, inspect.getsource, inspect.getdoc, inspect.getmodule, dir):
        assert read(tracked) == read(function) or read is dir
    assert (tracked.__name__, tracked.__qualname__, tracked.__wrapped__) == (function.__name__,) * 2 + (function,)
    assert repr(tracked).startswith(f"<function {function.__name__} at ")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_renamed_function_pickles_like_the_undecorated_one(telemetry: Telemetry, protocol: int) -> None:
    tracked = pickle.loads(pickle.dumps(telemetry.asset.load(load), protocol))
    assert pickle.loads(pickle.dumps(tracked, protocol))(DAY, 3) == [1, 1, 1]
    assert (telemetry.event.size, telemetry.event.window) == (3, DAY)
    assert tracked.__wrapped__ is load


def test_renamed_function_pickles_by_an_importable_name(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `load = allocation.load(load)`."""
    tracked = telemetry.asset.load(load)
    monkeypatch.setattr(sys.modules[__name__], "load", tracked)
    assert pickle.loads(pickle.dumps(tracked)) is tracked


def test_renamed_function_can_be_decorated_again(telemetry: Telemetry) -> None:
    tracked = telemetry.asset.aggregate(telemetry.allocation.load(load))
    pickle.loads(pickle.dumps(tracked))(DAY)
    assert telemetry.kinds == ["AllocationSetLoaded", "AssetSetAggregated"]
    assert telemetry.asset.aggregate(tracked) is tracked


def test_renamed_function_binds_as_a_method(telemetry: Telemetry) -> None:
    class Store:
        load = telemetry.asset.load(load)

    window: Any = Store()
    assert window.load() == [1, 1]
    assert Store.load(DAY) == [1, 1]
    assert inspect.ismethod(window.load)
    assert Store.load is Store.__dict__["load"]


def test_renamed_function_has_attributes_and_copies(telemetry: Telemetry) -> None:
    tracked: Any = telemetry.asset.load(load)
    tracked.region = "eu"
    assert (tracked.region, "region" in dir(tracked), hasattr(load, "region")) == ("eu", True, False)
    del tracked.region
    assert not hasattr(tracked, "region")
    assert copy.copy(tracked) is copy.deepcopy(tracked) is tracked
