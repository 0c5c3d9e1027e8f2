"""The key `within` of an entry: which code counts as the caller of a function."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest
from mapped import mapped
from telemetry import Telemetry, Warned

LIBRARY = """
import functools

def read(path):
    return [path]

def deprecated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

def scan(path):
    return read(path)

decorated_read = deprecated(read)
"""
PROGRAM = """
import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor

def run(function, *args):
    return function(*args)

def run_all(function, values):
    return [*map(function, values)]

def items(function, *args):
    return [*function(*args)]

async def awaits(function, *args):
    return await function(*args)

async def in_task(function, *args):
    return await asyncio.ensure_future(function(*args))

def run_loop(function, *args):
    return asyncio.run(in_task(function, *args))

async def async_items(function, *args):
    return [item async for item in function(*args)]

def in_pool(function, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()
"""


def module(name: str, source: str, **names: Any) -> Any:
    """Return a new module, as if loaded from `/srv/NAME.py`."""
    found = ModuleType(name)
    vars(found).update(names)
    exec(compile(source, f"/srv/{name.replace('.', '/')}.py", "exec"), vars(found))
    return found


@pytest.fixture
def library() -> Any:
    """A library that several programs use."""
    return module("bills.io", LIBRARY)


@pytest.fixture
def etl() -> Any:
    """The program whose calls count."""
    return module("costs.etl", PROGRAM)


@pytest.fixture
def other() -> Any:
    """A program whose calls do not count."""
    return module("reports.main", PROGRAM)


@pytest.mark.parametrize("within", ["costs.etl", "costs.*", ["x", "costs.etl"], "costs/etl.py", "/srv/costs/*.py"])
def test_library_function_counts_within_one_program(
    telemetry: Telemetry, library: Any, etl: Any, other: Any, within: Any
) -> None:
    mapped(telemetry, library.read, within=within)
    assert etl.run(library.read, 1) == other.run(library.read, 1) == library.read(1) == [1]
    assert len(telemetry.events) == len(telemetry.spans) == 1


def test_frames_of_the_library_itself_are_skipped(telemetry: Telemetry, library: Any, etl: Any, other: Any) -> None:
    """The decorators of the library, and its functions that call each other."""
    mapped(telemetry, library.read, within="costs.*")
    for program in (etl, other):
        program.run(library.scan, 1)
        program.run(library.decorated_read, 1)
    assert len(telemetry.events) == 2


def test_only_the_nearest_caller_of_the_same_package_counts(telemetry: Telemetry, other: Any) -> None:
    """If `within` names modules of the function's own package."""
    io, main = module("reports.io", LIBRARY), other
    mapped(telemetry, io.read, within="reports.main")
    main.run(io.read, 1)
    main.run(io.scan, 1)
    assert len(telemetry.events) == 1


def test_file_named_like_the_package_is_another_caller(telemetry: Telemetry, library: Any) -> None:
    """Frames of the package are passed over, because the glob of a file names no module."""
    mapped(telemetry, library.read, within="bills.py")
    module("bills", PROGRAM).run(library.scan, 1)
    assert len(telemetry.events) == 1


def test_program_that_calls_another_one_is_not_the_caller(
    telemetry: Telemetry, library: Any, etl: Any, other: Any
) -> None:
    mapped(telemetry, library.read, within="costs.*")
    etl.run(other.run, library.read, 1)
    assert telemetry.events == []
    other.run(etl.run, library.read, 1)
    assert len(telemetry.events) == 1


def test_standard_library_is_skipped_unless_it_is_named(telemetry: Telemetry, library: Any, etl: Any) -> None:
    mapped(telemetry, library.read, within="costs.*")
    mapped(telemetry, library.read, "asset.load", within="concurrent.futures.*")
    cached = functools.lru_cache(library.read)
    assert etl.run(functools.partial(cached, 1)) == [1]
    assert etl.run_all(library.read, [1, 2]) == [[1], [2]]
    assert telemetry.kinds == ["AllocationSetLoaded"] * 3
    etl.in_pool(library.read, 1)  # a thread of the pool has no frame of the program
    assert telemetry.kinds[3:] == ["AssetSetLoaded"]


def test_caller_of_a_coroutine_awaits_it_or_runs_its_loop(telemetry: Telemetry, etl: Any, other: Any) -> None:
    async def read(path: int) -> list[int]:
        await asyncio.sleep(0)
        return [path]

    mapped(telemetry, read, within="costs.*")
    for program in (etl, other):
        assert asyncio.run(program.awaits(read, 1)) == [1]
        assert program.run_loop(read, 1) == [1]
    assert len(telemetry.events) == 2


def test_caller_of_a_generator_requests_its_first_item(telemetry: Telemetry, etl: Any, other: Any) -> None:
    def read(path: int) -> Iterator[int]:
        yield path

    async def async_read(path: int) -> AsyncIterator[int]:
        yield path

    mapped(telemetry, read, within="costs.*")
    mapped(telemetry, async_read, within="costs.*")
    for program in (etl, other):
        assert program.items(read, 1) == asyncio.run(program.async_items(async_read, 1)) == [1]
    etl.run_all(list, [other.run(read, 1)])
    other.run_all(list, [etl.run(read, 1)])
    assert len(telemetry.events) == 3


def test_functions_with_several_entries_have_one_caller(telemetry: Telemetry, library: Any, etl: Any) -> None:
    """The entries' own frames are skipped, and those of this package's decorators."""
    for record in ("allocation.load", "asset.load"):
        mapped(telemetry, library.read, record, within="costs.etl", where={"path": "*"})
    decorated = telemetry.record_set("cloudCost", "CloudCostSet").load(library.scan)
    etl.run(decorated, 1)
    assert sorted(telemetry.kinds) == ["AllocationSetLoaded", "AssetSetLoaded", "CloudCostSetLoaded"]


def test_main_module_is_named_by_its_own_name_too(telemetry: Telemetry, library: Any) -> None:
    """With `python -m costs.etl`, by the name in its spec."""
    spec = type(sys)("spec")
    spec.name = "costs.etl"  # type: ignore[attr-defined]
    as_module = module("__main__", PROGRAM, __spec__=spec)
    as_script = module("__main__", PROGRAM, __spec__=None)
    mapped(telemetry, library.read, "allocation.load", within="costs.etl")
    mapped(telemetry, library.read, "asset.load", within="__main__")
    as_module.run(library.read, 1)
    as_script.run(library.read, 1)
    assert sorted(telemetry.kinds) == ["AllocationSetLoaded", "AssetSetLoaded", "AssetSetLoaded"]


@pytest.mark.parametrize("name", [None, 5])
def test_code_without_a_module_is_not_a_caller(telemetry: Telemetry, library: Any, name: Any, warned: Warned) -> None:
    mapped(telemetry, library.read, within="[!t]*")
    namespace: dict[str, Any] = {"read": library.read, "__name__": name}
    exec("def run(): return read(1)\nrun()", namespace)
    assert (telemetry.events, warned()) == ([], [])


def test_function_without_a_module_has_callers(telemetry: Telemetry, library: Any, etl: Any) -> None:
    library.read.__module__ = None
    mapped(telemetry, library.read, within="costs.*")
    etl.run(library.read, 1)
    etl.run(library.scan, 1)
    assert len(telemetry.events) == 1
