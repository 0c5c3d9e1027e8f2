"""The call counts of mapped functions: what is a call, an event, an error, and a missing size or window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from conftest import run_program
from mapped import mapped
from telemetry import DAY, Telemetry

from otel_kcevents.plugin.calls import function_name
from otel_kcevents.store.calls import all_calls, all_counts


def step(window: Any, result: Any) -> Any:
    """Return the result, or raise it."""
    if isinstance(result, Exception):
        raise result
    return result


def new_step() -> FunctionType:
    """Return a function like `step` that can be instrumented by itself."""
    return FunctionType(step.__code__, globals(), "step", (DAY, [1, 2]))


@pytest.mark.parametrize(
    ("record", "options", "arguments", "expected"),
    [
        ("allocation.load", {}, {}, (1, 1, 0, 0, 0)),
        ("allocation.load", {}, {"window": None}, (1, 1, 0, 0, 1)),
        ("allocation.load", {}, {"result": None}, (1, 1, 0, 1, 0)),
        ("allocation.load", {"size": False}, {}, (1, 1, 0, 0, 0)),
        ("allocation.total", {}, {"result": None}, (1, 1, 0, 0, 0)),
        ("allocation.compute", {}, {}, (1, 0, 0, 0, 0)),
        ("allocation.compute", {"fails_when": "none"}, {"result": None}, (1, 1, 1, 0, 0)),
        ("allocation.load", {}, {"result": KeyError()}, (1, 1, 1, 0, 0)),
        ("allocation.load", {}, {"result": KeyError(), "window": None}, (1, 1, 1, 0, 1)),
        ("allocation.load", {"window": "return[0]"}, {"result": KeyError()}, (1, 1, 1, 0, 0)),
        ("allocation.load", {"ignore": ["KeyError"]}, {"result": KeyError()}, (1, 0, 0, 0, 0)),
        ("allocation.load", {"where": {"window": "2020*"}}, {}, (0, 0, 0, 0, 0)),
        ("allocation.load", {"within": "costs.*"}, {}, (0, 0, 0, 0, 0)),
        (None, {"keep": {"day": "window"}}, {}, (1, 0, 0, 0, 0)),
        (None, {"keep": {"day": "window"}}, {"result": KeyError()}, (1, 0, 0, 0, 0)),
    ],
)
def test_call_is_counted_by_its_outcome(
    telemetry: Telemetry,
    record: str | None,
    options: dict[str, Any],
    arguments: dict[str, Any],
    expected: tuple[int, ...],
) -> None:
    function = mapped(telemetry, new_step(), record, **options)
    (counts,) = all_counts()
    counts.start_anew()
    with suppress(KeyError):
        function(**arguments)
    assert counts.read()[2:] == expected


def test_generators_and_coroutines_are_counted(telemetry: Telemetry) -> None:
    """A generator that is closed early has an event, too."""

    def items(window: Any) -> Iterator[int]:
        yield 1
        yield 2

    async def rows(window: Any) -> list[int]:
        return [1]

    async def pages(window: Any) -> AsyncIterator[int]:
        yield 1

    async def read() -> None:
        await rows(DAY)
        assert [page async for page in pages(DAY)] == [1]

    for function in (items, rows, pages):
        mapped(telemetry, function)
    assert list(items(DAY)) == [1, 2]
    closed = items(DAY)
    next(closed)
    closed.close()  # type: ignore[attr-defined]
    asyncio.run(read())
    assert [calls[2:] for calls in all_calls()] == [(2, 2, 0, 0, 0), (1, 1, 0, 0, 0), (1, 1, 0, 0, 0)]


def test_function_of_a_spawned_worker_is_named_after_main() -> None:
    function = new_step()
    function.__module__ = "__mp_main__"
    assert function_name(function) == "__main__:step"


def test_instrumentor_lists_the_calls_of_its_process(tmp_path: Path) -> None:
    """Also those of functions that were not called; none after the end."""
    out, _ = run_program("mapped_calls", str(tmp_path / "kcevents.db"))
    assert out.splitlines() == ["load 3 3", "save 0 0", "0", "journal load 3 3", "journal save 0 0"]
