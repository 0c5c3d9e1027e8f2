"""Every kind of reference to a function counts, whoever took it and when, and with the real libraries.

A function that is nested in another one is the kind that a mapping cannot name: it does not exist before the outer one
is called.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from mapped_program import MappedProgram
from telemetry import Warned

HOLDERS = """
    import abc, atexit, concurrent.futures, dataclasses, functools, operator, threading, types, weakref

    def save(rows=()): return len(rows)

    alias = save
    table = {"save": [save]}
    partial = functools.partial(save, [1])
    def call_default(function=save): return function()
    def make(function):
        def call(): return function()
        return call
    closure = make(save)
    class Job:
        run = staticmethod(save)
        def __init__(self): self.step = save
    @dataclasses.dataclass
    class Step:
        function: object = save
    weak = weakref.ref(save)
    method = types.MethodType(save, [1])
    wrapped = functools.wraps(save)(lambda: save())
    cached = functools.lru_cache(save)
    compose = operator.methodcaller("run")
    pool = concurrent.futures.ThreadPoolExecutor
    def imported_late():
        from program import save as late
        return late()
    iterator = iter(save, None)
    copied = types.SimpleNamespace(save=save)
    calls = [save.__call__]
    def by_map(): return list(map(save, [[1]]))
    def by_thread():
        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
    def by_pool():
        with pool(1) as executor: return executor.submit(save).result()
    def nested():
        def save(): return 1
        return save()
"""

REFERENCES: dict[str, Callable[[Any], object]] = {
    "name": lambda m: m.save(),
    "alias": lambda m: m.alias(),
    "list in a dict": lambda m: m.table["save"][0](),
    "partial": lambda m: m.partial(),
    "default": lambda m: m.call_default(),
    "closure": lambda m: m.closure(),
    "class attribute": lambda m: m.Job.run(),
    "instance attribute": lambda m: m.Job().step(),
    "dataclass field": lambda m: m.Step().function(),
    "weak reference": lambda m: m.weak()(),
    "bound method": lambda m: m.method(),
    "wrapper": lambda m: m.wrapped(),
    "cache": lambda m: m.cached(),
    "later import": lambda m: m.imported_late(),
    "iterator": lambda m: next(m.iterator),
    "namespace": lambda m: m.copied.save(),
    "method of the function": lambda m: m.calls[0](),
    "map": lambda m: m.by_map(),
    "thread": lambda m: m.by_thread(),
    "thread pool": lambda m: m.by_pool(),
}


@pytest.mark.parametrize("is_loaded_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("kind", REFERENCES)
def test_calls_through_any_reference_are_recorded(program: MappedProgram, kind: str, is_loaded_before: bool) -> None:
    """Taken before and after the function was instrumented."""
    program.write(HOLDERS)
    if is_loaded_before:
        importlib.import_module("program")
    program.instrument("program:save")
    module = importlib.import_module("program")
    assert program.count(lambda: REFERENCES[kind](module)) == 1


def test_nested_function_is_not_named(program: MappedProgram) -> None:
    module = program.load(HOLDERS)
    program.instrument("program:save", "program:*.save")
    assert program.count(module.nested) == 0


def test_calls_by_an_imported_name_are_recorded(program: MappedProgram) -> None:
    program.write("def save(): return 1\n", "library")
    module = program.load("from library import save as store\n")
    program.instrument("library:save")
    assert program.count(module.store) == 1


# Objects that libraries put in the place of a function


CLICK = """
    import click
    group = click.Group()
    @group.command("load")
    @click.option("--day")
    def load(day): return [day]
"""
TYPER = """
    import typer
    app = typer.Typer()
    @app.command()
    def load(day: str = "monday"): return [day]
    @app.callback()
    def main(): pass
"""
CELERY = """
    import celery
    app = celery.Celery(broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True
    @app.task(shared=False)
    def load(day): return [day]
    @app.task(shared=False, bind=True)
    def bound(self, day): return [day]
    class Base(celery.Task):
        def run(self, day): return [day]
"""
DAGSTER = """
    import dagster
    @dagster.op
    def load(): return [1]
    @dagster.job
    def job(): load()
    @dagster.asset
    def costs(): return [1]
"""
REGISTRY = """
    class Task:
        def __init__(self, function): self.function = function
        def execute(self): return self.function("monday")
        def __call__(self): raise TypeError("use the operator inside a DAG")
    def task(function): return Task(function)
    @task
    def load(day): return [day]
    REGISTRY = []
    def register(function):
        REGISTRY.append(function)
        return None
    @register
    def hidden(day): return [day]
    def deleted(day): return [day]
    hooks = {"deleted": deleted}
    del deleted
"""


def run_click(module: Any) -> Any:
    return module.group.main(["load", "--day", "monday"], standalone_mode=False)


def run_typer(module: Any) -> Any:
    return module.app(["load"], standalone_mode=False)


LIBRARIES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "click": (CLICK, "load", run_click),
    "click, called": (CLICK, "load", lambda m: m.load.callback("monday")),
    "typer": (TYPER, "load", run_typer),
    "celery": (CELERY, "load", lambda m: m.load.delay("monday").get()),
    "celery, called": (CELERY, "load", lambda m: m.load("monday")),
    "celery, bound": (CELERY, "bound", lambda m: m.bound.apply_async(["monday"]).get()),
    "celery, class": (CELERY, "Base.run", lambda m: m.app.register_task(m.Base()).delay("monday").get()),
    "dagster op": (DAGSTER, "load", lambda m: m.job.execute_in_process().output_for_node("load")),
    "dagster asset": (DAGSTER, "costs", lambda m: m.costs()),
    "task object": (REGISTRY, "load", lambda m: m.load.execute()),
    "registry": (REGISTRY, "hidden", lambda m: m.REGISTRY[0]("monday")),
    "deleted name": (REGISTRY, "deleted", lambda m: m.hooks["deleted"]("monday")),
}


@pytest.mark.parametrize("is_loaded_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("kind", LIBRARIES)
def test_function_behind_an_object_counts(program: MappedProgram, kind: str, is_loaded_before: bool) -> None:
    source, name, call = LIBRARIES[kind]
    pytest.importorskip(source.split()[1] if "import" in source else "json")
    program.write(source)
    if is_loaded_before:
        importlib.import_module("program")
    started = program.instrument(f"program:{name}")
    module = importlib.import_module("program")
    assert program.count(lambda: call(module)) == 1
    assert started.states()[0].problems == ()


def test_lazy_task_is_not_evaluated(program: MappedProgram) -> None:
    """Celery creates a task when it is first used, after the app has been set up."""
    pytest.importorskip("celery")
    module = program.load(CELERY)
    program.instrument("program:load")
    assert not module.app.finalized
    assert program.count(lambda: module.load("monday")) == 1


def test_function_in_a_slot_counts(program: MappedProgram) -> None:
    module = program.load("""
        class Slot:
            __slots__ = ("__wrapped__",)
        load = Slot()
        load.__wrapped__ = lambda: 1
    """)
    program.instrument("program:load")
    assert program.count(module.load.__wrapped__) == 1


# Functions without Python code


def test_function_in_c_counts_by_its_attribute(program: MappedProgram, warned: Warned) -> None:
    module = program.load("import math\nfrom math import sqrt\ndef root(): return math.sqrt(4)\n")
    (state,) = program.instrument({"target": "math:sqrt", "where": {}}).states()
    assert [(matched.name, matched.is_in_place) for matched in state.functions] == [("math:sqrt", False)]
    assert program.count(lambda: module.root() == 2) == 1
    assert program.count(lambda: module.sqrt(4)) == 0
    assert warned() == []


def test_function_in_c_is_restored(program: MappedProgram) -> None:
    import math

    before = math.sqrt
    started = program.instrument("math:sqrt", {"target": "math:sqrt", "record": "asset.total"})
    assert math.sqrt is not before
    assert program.count(lambda: math.sqrt(4)) == 2
    started.end()
    assert math.sqrt is before


def test_callable_object_counts_by_its_attribute(program: MappedProgram) -> None:
    module = program.load("""
        import functools
        class Loader:
            def __call__(self, day): return [day]
        load = Loader()
        total = functools.partial(sum, [1, 2])
    """)
    program.instrument("program:load", "program:total")
    assert program.count(lambda: module.load(1)) == 1
    assert program.count(lambda: module.total()) == 1


def test_callable_object_is_pickled_without_the_recording(program: MappedProgram) -> None:
    """The process that unpickles it has its own mapping."""
    module = program.load("class Loader:\n    def __call__(self, day): return [day]\nload = Loader()\n")
    program.instrument("program:load")
    unpickled = pickle.loads(pickle.dumps(module.load))
    assert program.count(lambda: unpickled(1) == [1]) == 0


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("datetime:date.today", "cannot be replaced; name its caller"),
        ("decimal:Decimal.sqrt", "cannot be replaced; name its caller"),
        ("program:Loader", "Loader is a class; name a method of it, such as Loader.__init__"),
        ("program:os", "os is a module; write os:FUNCTION"),
        ("program:limit", "limit is an instance of int, not a function"),
        ("program:Loader.limit", "Loader.limit is an instance of int, not a function"),
        ("program:sabe", "program has no function sabe; did you mean 'save'?"),
        ("program:Loader.laod", "program has no function Loader.laod; did you mean 'Loader.load'?"),
        ("program:Loader.__repr__", "__repr__ is inherited"),
        ("program:proxy", "name the function that it calls"),
        ("program:limit.load", "program has no function limit.load"),
        ("program:empty", "empty is an instance of Slot, not a function"),
    ],
)
def test_what_cannot_be_instrumented_is_a_problem(
    program: MappedProgram, warned: Warned, target: str, reason: str
) -> None:
    program.load("""
        import os, decimal, datetime
        limit = 1
        def save(): pass
        class Loader:
            limit = 1
            def load(self): pass
        class Proxy:
            def __getattr__(self, name): raise SystemExit
            def __call__(self): pass
        proxy = Proxy()
        class Slot:
            __slots__ = ("__wrapped__",)
        empty = Slot()
    """)
    (state,) = program.instrument(target).states()
    (message,) = warned()
    assert message.startswith(f"kcevents.toml: functions[0].target ({target}): ")
    assert reason in message
    assert state.functions == ()
    assert message.endswith(state.problems[0])
