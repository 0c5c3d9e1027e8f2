"""Functions whose code was exchanged: they behave, and look, as before."""

from __future__ import annotations

import asyncio
import doctest
import functools
import gc
import importlib
import inspect
import pickle
import subprocess
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from conftest import clean_environment
from mapped_program import MappedProgram
from telemetry import Warned, in_threads

SHAPES = """
    def plain(day, /, region="eu", *rows, limit=7, **options):
        '''Return what it gets.'''
        return [day, region, rows, limit, options]

    async def coroutine(day, /, region="eu", *rows, limit=7, **options):
        return [day, region, rows, limit, options]

    def generator(day, /, region="eu", *rows, limit=7, **options):
        yield from (day, region, rows, limit, options)

    async def agenerator(day, /, region="eu", *rows, limit=7, **options):
        for value in (day, region, rows, limit, options):
            yield value
"""
NAMES = ("plain", "coroutine", "generator", "agenerator")
each_shape = pytest.mark.parametrize("name", NAMES)


def values(called: Any) -> list[Any]:
    """Run a call of any shape to its end."""

    async def collect() -> list[Any]:
        return [item async for item in called] if inspect.isasyncgen(called) else await called

    return asyncio.run(collect()) if inspect.iscoroutine(called) or inspect.isasyncgen(called) else list(called)


@each_shape
def test_arguments_and_defaults_reach_the_function(program: MappedProgram, name: str) -> None:
    function = getattr(program.load(SHAPES), name)
    program.instrument(f"program:{name}")
    assert values(function(1)) == [1, "eu", (), 7, {}]
    options = {"day": 2, "_kcevents_inner": 3}
    assert values(function(1, "us", 2, 3, limit=4, **options)) == [1, "us", (2, 3), 4, options]
    assert len(program.events) == 2


@each_shape
def test_later_changes_of_defaults_are_used(program: MappedProgram, name: str) -> None:
    function = getattr(program.load(SHAPES), name)
    program.instrument(f"program:{name}")
    function.__defaults__, function.__kwdefaults__ = ("us",), {"limit": 8}
    assert values(function(1)) == [1, "us", (), 8, {}]


@each_shape
def test_wrong_arguments_raise_as_before(program: MappedProgram, name: str) -> None:
    function = getattr(program.load(SHAPES), name)
    with pytest.raises(TypeError) as expected:
        function()
    program.instrument(f"program:{name}")
    with pytest.raises(TypeError) as raised:
        function()
    assert str(raised.value) == str(expected.value)
    assert program.events == []


def looks(function: Any) -> tuple[Any, ...]:
    return (
        inspect.signature(function),
        inspect.getfullargspec(function),
        inspect.getsource(function),
        inspect.getdoc(function),
        typing.get_type_hints(function),
        inspect.iscoroutinefunction(function),
        inspect.isgeneratorfunction(function),
        inspect.isasyncgenfunction(function),
        function.__code__.co_name,
        getattr(function.__code__, "co_qualname", None),
        function.__code__.co_freevars,
        function.__dict__,
    )


@each_shape
def test_function_looks_as_before(program: MappedProgram, name: str) -> None:
    function = getattr(program.load(SHAPES), name)
    before = looks(function)
    program.instrument(f"program:{name}")
    assert looks(function) == before
    assert inspect.signature(functools.wraps(function)(lambda: None)) == before[0]


@each_shape
def test_pickle_leads_to_the_function(program: MappedProgram, name: str) -> None:
    function = getattr(program.load(SHAPES), name)
    program.instrument(f"program:{name}")
    for dumps in (pickle.dumps, cloudpickle.dumps):
        assert pickle.loads(dumps(function)) is function


FUNCTIONS = """
    import contextlib, dataclasses, functools, typing

    class Base:
        def load(self, *rows):
            return ["base", *rows]

    class Loader(Base):
        def load(self, *rows):
            return [*super().load(*rows), __class__.__name__]

        def __secret(self, __day):
            return [__day]

        def call_secret(self):
            return self.__secret("monday")

        @property
        def rows(self):
            return ["rows"]

        @functools.cached_property
        def cached(self):
            return ["cached"]

        @classmethod
        def of_class(cls):
            return [cls.__name__]

        @staticmethod
        def static(day):
            return [day]

        @functools.singledispatchmethod
        def dispatched(self, value):
            return ["dispatched", value]

        def __call__(self, day):
            return [day]

        def __len__(self):
            return 4

    def closure(factor):
        def multiply(rows):
            def inside():
                return [factor * row for row in rows]
            return inside()
        return multiply

    multiply = closure(2)
    anonymous = lambda day: [day]

    @dataclasses.dataclass(slots=True)
    class Row:
        cost: int
        def double(self):
            return [self.cost * 2]

    class Pair(typing.NamedTuple):
        left: int
        right: int
        def total(self):
            return [self.left + self.right]

    @functools.lru_cache
    def cached(day):
        return [day]

    @contextlib.contextmanager
    def opened(day):
        yield [day]

    @functools.singledispatch
    def dispatched(value):
        return [value]

    def cell(rows):
        return (lambda: rows)()

    def many(first, *, second=lambda: 2, **others):
        return [first, second(), sorted(others)]
"""


def enter(manager: Any) -> Any:
    with manager as value:
        return value


CALLS: dict[str, tuple[str, Callable[[Any], Any], list[Any]]] = {
    "super": ("Loader.load", lambda m: m.Loader().load(1), ["base", 1, "Loader"]),
    "mangled name": ("Loader.__secret", lambda m: m.Loader().call_secret(), ["monday"]),
    "property": ("Loader.rows", lambda m: m.Loader().rows, ["rows"]),
    "cached property": ("Loader.cached", lambda m: m.Loader().cached, ["cached"]),
    "classmethod": ("Loader.of_class", lambda m: m.Loader.of_class(), ["Loader"]),
    "staticmethod": ("Loader.static", lambda m: m.Loader.static(1), [1]),
    "singledispatchmethod": ("Loader.dispatched", lambda m: m.Loader().dispatched(1), ["dispatched", 1]),
    "call of an object": ("Loader.__call__", lambda m: m.Loader()(1), [1]),
    "special method": ("Loader.__len__", lambda m: [len(m.Loader())], [4]),
    "closure": ("multiply", lambda m: m.multiply([1, 2]), [2, 4]),
    "lambda": ("anonymous", lambda m: m.anonymous(1), [1]),
    "dataclass with slots": ("Row.double", lambda m: m.Row(2).double(), [4]),
    "named tuple": ("Pair.total", lambda m: m.Pair(1, 2).total(), [3]),
    "lru_cache": ("cached", lambda m: m.cached(1), [1]),
    "context manager": ("opened", lambda m: enter(m.opened(1)), [1]),
    "singledispatch": ("dispatched", lambda m: m.dispatched(1), [1]),
    "cell variable": ("cell", lambda m: m.cell([1]), [1]),
    "keyword-only and others": ("many", lambda m: m.many(1, b=2, a=1), [1, 2, ["a", "b"]]),
}


@pytest.mark.parametrize("kind", CALLS)
def test_function_of_each_kind_is_recorded(program: MappedProgram, kind: str) -> None:
    name, call, expected = CALLS[kind]
    module = program.load(FUNCTIONS)
    program.instrument(f"program:{name}")
    assert call(module) == expected
    assert len(program.events) == 1


@pytest.mark.parametrize("kind", CALLS)
def test_function_of_each_kind_is_restored(program: MappedProgram, kind: str) -> None:
    name, call, expected = CALLS[kind]
    module = program.load(FUNCTIONS)
    program.instrument(f"program:{name}").end()
    assert call(module) == expected
    assert program.events == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in Python 3.12")
def test_generic_function_is_recorded(program: MappedProgram) -> None:
    module = program.load(
        "class Loader:\n    def load[T](self, row: T) -> list[T]:\n        return [T.__name__, row]\n"
    )
    program.instrument("program:Loader.*")
    assert module.Loader().load(1) == ["T", 1]
    assert len(program.events) == 1


def test_docstring_examples_run(program: MappedProgram) -> None:
    module = program.load("def double(cost):\n    '''\n    >>> double(2)\n    4\n    '''\n    return 2 * cost\n")
    program.instrument("program:double")
    assert doctest.testmod(module) == (0, 1)
    assert len(program.events) == 1


def test_debugger_stops_at_the_function(program: MappedProgram, tmp_path: Path) -> None:
    """A breakpoint by name stops at its `def` line."""
    program.write("def save(rows):\n    return len(rows)\n")
    main = "from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor as I\nI().instrument(functions=[dict("
    main += "target='program:save', record='allocation.total')])\nimport program\nprogram.save([1])\n"
    (tmp_path / "main.py").write_text(main)
    done = subprocess.run(
        [sys.executable, "-m", "pdb", "-c", "next", "-c", "next", "-c", "next", "main.py"],
        input="break program.save\ncontinue\nargs\nquit\n",
        env=clean_environment(OTEL_SDK_DISABLED="true", COVERAGE_PROCESS_CONFIG=""),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "program.py(1)save()" in done.stdout
    assert "rows = [1]" in done.stdout


def test_recursion_reaches_a_quarter_of_its_depth(program: MappedProgram) -> None:
    source = "def depth(n):\n    try:\n        return depth(n + 1)\n    except RecursionError:\n        return n\n"
    module = program.load(source)
    before = module.depth(0)
    program.instrument({"target": "program:depth", "record": "allocation.compute"})
    assert module.depth(0) > before // 5


# Calls that are hot, running or concurrent


def test_specialized_calls_use_the_exchanged_code(program: MappedProgram) -> None:
    """The interpreter has specialized the calls in the loop for the functions' code."""
    module = program.load("""
        class Loader:
            def __init__(self, day): self.day = day
            def load(self, day): return day
            def __getitem__(self, day): return day
            @property
            def rows(self): return self.day

        def save(day, rows=()): return day

        def loop(count, change_at, change):
            loader = Loader(0)
            for number in range(count):
                if number == change_at:
                    change()
                Loader(number)
                loader.load(number)
                loader[number]
                loader.rows
                save(number)
                save(number, rows=1)
    """)
    names = ("Loader.__*__", "Loader.load", "Loader.rows", "save")
    module.loop(2000, 1900, lambda: program.instrument(*(f"program:{name}" for name in names)))
    assert len(program.events) == 600


@pytest.mark.parametrize("change", ["begin", "end"])
def test_running_calls_end_as_they_began(program: MappedProgram, change: str) -> None:
    """A generator that is half way and a coroutine that is pending."""
    module = program.load("""
        import asyncio
        def rows():
            yield 1
            yield 2
        async def load(future):
            return await future
        async def batches():
            yield 1
            yield 2
    """)
    started = None if change == "begin" else program.instrument("program:*")

    async def run() -> list[Any]:
        generator, agenerator = module.rows(), module.batches()
        seen = [next(generator), await agenerator.asend(None)]
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(module.load(future))
        await asyncio.sleep(0)
        program.instrument("program:*") if started is None else started.end()
        future.set_result(3)
        return [*seen, *generator, *[batch async for batch in agenerator], await task]

    assert asyncio.run(run()) == [1, 1, 2, 2, 3]
    assert len(program.events) == (0 if change == "begin" else 3)


def test_calls_that_begin_after_the_end_are_not_recorded(program: MappedProgram) -> None:
    """A generator that was made before, and has not begun."""
    module = program.load("def rows():\n    yield 1\n")
    started = program.instrument("program:rows")
    waiting = module.rows()
    started.end()
    assert list(waiting) == [1]
    assert program.events == []


def test_other_threads_call_during_the_exchange(program: MappedProgram) -> None:
    module = program.load(SHAPES)
    is_over = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            for _ in range(30):
                program.instrument("program:*").end()
            is_over.set()
        while not is_over.is_set():
            assert module.plain(1)[0] == next(module.generator(1)) == 1
            assert values(module.coroutine(1))[0] == 1

    in_threads(work, 4)
    before = len(program.events)
    assert module.plain(1)[0] == 1
    assert len(program.events) == before


# Several exchanges of one function


def test_two_entries_record_one_function(program: MappedProgram) -> None:
    module = program.load(SHAPES)
    started = program.instrument("program:plain", {"target": "program:plain", "record": "asset.total"})
    code = module.plain.__code__
    assert values(module.plain(1))[0] == 1
    assert [event.kind for event in program.events] == ["AllocationSetTotaled", "AssetSetTotaled"]
    started.end()
    assert module.plain.__code__ is not code
    assert program.count(lambda: module.plain(1)) == 0


def exchange(function: Any, seen: list[str]) -> Callable[[], None]:
    """Exchange the code of a function as another tool does, and return what undoes it."""
    code = function.__code__
    held = types.FunctionType(code, function.__globals__, "held", function.__defaults__, function.__closure__)
    function.__globals__["_held"], function.__globals__["_seen"] = held, seen
    exec("def replaced(rows):\n    _seen.append('tool')\n    return _held(rows)\n", function.__globals__)
    function.__code__ = function.__globals__["replaced"].__code__

    def undo() -> None:
        function.__code__ = code

    return undo


def test_another_tool_exchanged_the_code_before(program: MappedProgram) -> None:
    module = program.load("def save(rows):\n    return len(rows)\n")
    seen: list[str] = []
    undo = exchange(module.save, seen)
    started = program.instrument("program:save")
    assert (module.save([1]), seen, len(program.events)) == (1, ["tool"], 1)
    started.end()
    assert (module.save([1]), seen, len(program.events)) == (1, ["tool"] * 2, 1)
    undo()
    assert (module.save([1]), seen) == (1, ["tool"] * 2)


def test_another_tool_exchanges_the_code_later(program: MappedProgram) -> None:
    """Its code is left alone at the end, and the code that it keeps records nothing any more."""
    module = program.load("def save(rows):\n    return len(rows)\n")
    seen: list[str] = []
    started = program.instrument("program:save")
    undo = exchange(module.save, seen)
    assert (module.save([1]), seen, len(program.events)) == (1, ["tool"], 1)
    started.end()
    assert (module.save([1]), seen, len(program.events)) == (1, ["tool"] * 2, 1)
    undo()
    assert (module.save([1]), seen, len(program.events)) == (1, ["tool"] * 2, 1)
    assert pickle.loads(cloudpickle.dumps(module.save)) is module.save


def test_code_that_the_program_replaced_is_not_restored(program: MappedProgram) -> None:
    module = program.load("def save(rows):\n    return len(rows)\n")
    started = program.instrument("program:save")
    module.save.__code__ = (lambda rows: 2).__code__
    gc.collect()
    started.end()
    assert module.save([1]) == 2


def test_copy_of_a_function_stops_recording(program: MappedProgram) -> None:
    """The function itself no longer exists."""
    module = program.load("def save(rows):\n    return len(rows)\n")
    started = program.instrument("program:save")
    copied = types.FunctionType(module.save.__code__, vars(module))
    del module.save
    assert program.count(lambda: copied([1])) == 1
    started.end()
    assert program.count(lambda: copied([1]) == 1) == 0


def test_functions_of_a_reloaded_module_are_freed(program: MappedProgram) -> None:
    program.instrument("program:plain")
    module = program.load(SHAPES)
    gone = weakref.ref(module.plain)
    importlib.reload(module)
    gc.collect()
    assert gone() is None
    assert program.count(lambda: module.plain(1)) == 1


# What is never exchanged


@pytest.mark.parametrize(
    "target",
    [
        *("otel_kcevents.store.log:EventLog.append", "opentelemetry.trace:get_tracer", "threading:Thread.start"),
        *("sqlite3.dbapi2:Date.__new__", "logging:Logger.handle", "os:getenv", "weakref:WeakSet.add"),
        *("functools:wraps", "contextlib:ExitStack.close", "typing:cast"),
        "multiprocessing.process:current_process",
    ],
)
def test_functions_that_recording_needs_are_refused(program: MappedProgram, warned: Warned, target: str) -> None:
    importlib.import_module(target.partition(":")[0])
    (state,) = program.instrument(target).states()
    (message,) = warned()
    assert f"({target}): " in message
    assert state.functions == ()
    assert (*state.problems,) == (message.partition("): ")[2],)


def test_glob_skips_functions_that_recording_needs(program: MappedProgram, warned: Warned) -> None:
    (state,) = program.instrument("sqlite3.dbapi2:*").states()
    assert (warned(), state.functions, state.problems) == ([], (), ())
    assert any(note.startswith("sqlite3.dbapi2:DateFromTicks is skipped") for note in state.notes)


def test_function_of_types_coroutine_is_refused(program: MappedProgram, warned: Warned) -> None:
    module = program.load("import types\n@types.coroutine\ndef pause():\n    yield\n")
    code = module.pause.__code__
    program.instrument("program:pause")
    assert module.pause.__code__ is code
    (message,) = warned()
    assert "kcevents.toml: functions[0].target (program:pause): program:pause is not instrumented" in message
    assert "types.coroutine" in message


@pytest.mark.parametrize("name", ["from", "a b"])
def test_generated_parameters_are_refused(program: MappedProgram, warned: Warned, name: str) -> None:
    module = program.load("def save(rows):\n    return 1\n")
    module.save.__code__ = module.save.__code__.replace(co_varnames=(name,))
    program.instrument("program:save")
    assert module.save([1]) == 1
    (message,) = warned()
    assert repr(name) in message


def test_code_of_a_module_is_refused(program: MappedProgram, warned: Warned) -> None:
    module = program.load("import types\nrun = types.FunctionType(compile('x = 1', 'file', 'exec'), globals())\n")
    program.instrument("program:run")
    module.run()
    assert module.x == 1
    (message,) = warned()
    assert "not that of a `def` statement" in message


def test_parameters_that_resemble_ours_are_passed_on(program: MappedProgram) -> None:
    module = program.load("def save(_kcevents_inner, *, _kcevents_run=2):\n    return _kcevents_inner, _kcevents_run\n")
    program.instrument("program:save", {"target": "program:save", "record": "asset.total"})
    assert module.save(1) == (1, 2)
    assert len(program.events) == 2


# Pickles by value


def test_functions_pickled_by_value_record(program: MappedProgram, tmp_path: Path) -> None:
    """As those of `__main__` are, which workers of joblib and Dask get."""
    module = program.load("""
        def factorial(n):
            return 1 if n < 2 else n * factorial(n - 1)

        class Base:
            def load(self): return [1]

        class Loader(Base):
            def load(self): return [*super().load(), 2]
    """)
    program.instrument(
        "program:factorial",
        {"target": "program:Base.load", "subclasses": True},
        {"target": "program:Loader.load", "record": "asset.total"},
    )
    cloudpickle.register_pickle_by_value(module)
    pickled = cloudpickle.dumps((module.factorial, module.Loader))
    cloudpickle.unregister_pickle_by_value(module)
    code = """
import pickle, sys
from otel_kcevents import default_log
factorial, Loader = pickle.loads(sys.stdin.buffer.read())
print(factorial(3), default_log.counts())
print(Loader().load(), default_log.counts())
class Later(Loader): pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickled,
        env=clean_environment(OTEL_SDK_DISABLED="true"),
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=False,
    )
    counts = ({"AllocationSetTotaled": 3}, {"AllocationSetTotaled": 4, "AssetSetTotaled": 1})
    assert done.stdout.decode().splitlines() == [f"6 {counts[0]}", f"[1, 2] {counts[1]}"], done.stderr
