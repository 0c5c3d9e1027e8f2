"""What a mapping instruments in a process: it says what it has matched, and undoes everything."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from mapped import instrument
from mapped_program import MappedProgram
from telemetry import Warned, in_threads

from otel_kcevents.store.journal_state import read_state

SOURCE = """
    import functools, math
    from otel_kcevents import allocation

    def save(rows=()): return len(rows)
    def wrapper(function):
        @functools.wraps(function)
        def call(*args): return function(*args)
        return call
    @wrapper
    def wrapped(): return 1
    class Base:
        def load(self): return 1
        @classmethod
        def of_class(cls): return 1
        @property
        def rows(self): return 1
    class Sub(Base):
        def load(self): return super().load()
    class Named(Base): pass
    async def aload(): return 1
    def generate(): yield 1
"""
EVERYTHING: list[str | dict[str, Any]] = [
    *("program:save", "program:wrapped", "program:*", "program:Named.load", "program:Named.of_class", "math:floor"),
    {"target": "program:Base.*", "subclasses": True, "record": "asset.total"},
    {"target": "program:save", "record": "asset.compute"},
]


def snapshot(*modules: str) -> dict[str, Any]:
    """Return what modules and their classes hold, and the code of their functions."""
    found: dict[str, Any] = {}

    def take(prefix: str, held: Any) -> None:
        for name, value in list(vars(held).items()):
            found[prefix + name] = value
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType):
                found[f"{prefix}{name} code"] = function.__code__
                found[f"{prefix}{name} attributes"] = dict(vars(function))
            if isinstance(value, type) and value.__module__ in modules:
                take(f"{prefix}{name}.", value)

    for module in modules:
        take(f"{module}:", sys.modules[module])
    return found


def test_end_restores_everything(program: MappedProgram) -> None:
    program.load(SOURCE)
    before = snapshot("program", "math")
    started = program.instrument(*EVERYTHING)
    assert snapshot("program", "math") != before
    started.end()
    after = snapshot("program", "math")
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before if not name.endswith("attributes"))
    assert after == before


def test_instrumentation_can_begin_again_after_its_end(program: MappedProgram) -> None:
    module = program.load(SOURCE)
    for _ in range(2):
        started = program.instrument(*EVERYTHING)
        assert program.count(lambda: module.Named().load()) == 3
        started.end()
        assert program.count(lambda: module.Named().load()) == 0


def test_attribute_that_the_program_removed_stays_removed(program: MappedProgram) -> None:
    module = program.load(SOURCE)
    started = program.instrument("program:Named.load")
    del module.Named.load
    started.instrument_module(module)
    assert program.count(module.Named().load) == 0


def test_attribute_that_was_replaced_since_is_left_alone(program: MappedProgram) -> None:
    module = program.load(SOURCE)
    started = program.instrument("program:Named.load")
    module.Named.load = replaced = lambda self: 2
    started.end()
    assert vars(module.Named)["load"] is replaced


def test_change_that_cannot_be_undone_is_a_warning(program: MappedProgram, warned: Warned) -> None:
    """All other changes are undone."""
    module = program.load("""
        class Meta(type):
            def __delattr__(cls, name): raise TypeError("no")
        class Base:
            def load(self): return 1
        class Named(Base, metaclass=Meta): pass
    """)
    program.instrument("program:Base.load", "program:Named.load").end()
    assert warned() == ["a change to the program cannot be undone: no"]
    assert program.count(module.Base().load) == 0


def test_module_with_unusual_names_is_a_problem(program: MappedProgram, warned: Warned) -> None:
    module = program.load("""
        class Name(str):
            def __add__(self, other): raise OSError("unusual")
            __radd__ = __add__
            def rpartition(self, sep): raise OSError("unusual")
        class Meta(type):
            def __getattribute__(cls, name): raise OSError(name)
        class Hidden(metaclass=Meta):
            def load(self): return 1
        def save(): return 1
    """)
    program.instrument("program:*")
    assert program.count(module.save) == 1
    assert warned() == []
    vars(module)[1] = 1
    program.instrument("program:*").end()
    vars(module)[module.Name("unusual")] = 1
    program.instrument("program:*", "program:save")
    assert [message.endswith("(program:*): unusual") for message in warned()] == [True]


def test_nothing_is_instrumented_twice(program: MappedProgram) -> None:
    """A module that is seen again, under other names, and a function that matches in two ways."""
    module = program.load(SOURCE)
    sys.modules["program_too"] = module
    started = program.instrument("program*:*")
    for _ in range(3):
        started.instrument_module(module)
    assert program.count(module.save) == 1


def test_threads_instrument_a_module_once(program: MappedProgram) -> None:
    module = program.load(SOURCE)
    started = program.instrument({"target": "later:save"}, {"target": "later:save", "record": "asset.total"})
    later: Any = ModuleType("later")
    later.save = module.save
    in_threads(lambda number: started.instrument_module(later))
    assert program.count(module.save) == 2


# What entries have matched


def test_states_name_the_functions(program: MappedProgram) -> None:
    module = program.load(SOURCE)
    started = program.instrument("program:save", "later:main", "program:Named.load")
    first, second, third = started.states()
    (matched,) = first.functions
    assert (first.entry.number, first.modules, first.problems, first.notes) == (0, ("program",), (), ())
    assert (matched.name, matched.file, matched.line) == ("program:save", module.__file__, 5)
    assert matched.is_in_place
    assert (second.modules, second.functions) == ((), ())
    assert [(held.name, held.file, held.is_in_place) for held in third.functions] == [
        ("program:Named.load", None, False)
    ]
    program.load("\ndef main(): pass\n", "later")
    assert [held.line for held in started.states()[1].functions] == [2]


def test_module_that_is_not_imported_is_not_a_problem(program: MappedProgram, warned: Warned) -> None:
    (state,) = program.instrument("never.imported:save").states()
    assert (state.modules, state.problems, warned()) == ((), (), [])


def test_missing_function_is_a_problem_once(program: MappedProgram, warned: Warned) -> None:
    started = program.instrument("program:sav")
    module = program.load(SOURCE)
    started.instrument_module(module)
    importlib.reload(module)
    expected = "program has no function sav; did you mean 'save'?"
    assert started.states()[0].problems == (expected,)
    assert warned() == [f"kcevents.toml: functions[0].target (program:sav): {expected}"]


def test_missing_function_shows_some_names(program: MappedProgram, warned: Warned) -> None:
    program.load("".join(f"def step_{number}(): pass\n" for number in range(20)))
    program.load("limit = 1\n", "empty")
    program.load("def only(): pass\n", "single")
    program.instrument("program:unlike", "empty:unlike", "single:unlike")
    messages = [message.partition("has no function unlike")[2] for message in warned()]
    assert messages == [f"; expected one of {', '.join(f'step_{n}' for n in range(10))}, …", "", "; expected only"]


def test_function_may_be_missing_while_its_module_runs(
    program: MappedProgram, warned: Warned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the modules begins to instrument itself."""
    program.write("import second\ndef save(): return 1\n", "first")
    program.write("import first, sys\nsys.modules['begin']()\ndef load(): return 1\n", "second")
    begin: Any = lambda: program.instrument("first:save", "second:load")  # noqa: E731
    monkeypatch.setitem(sys.modules, "begin", begin)
    importlib.import_module("first")
    assert warned() == []


def test_functions_are_found_while_their_module_runs(program: MappedProgram) -> None:
    """Also behind objects, such as commands of the main module."""
    module = program.load("""
        class Command:
            def __init__(self, function): self.callback = function
            def __call__(self): return self.callback()
        @Command
        def main(): return 1
        def helper(): return 1
    """)
    del sys.modules["program"]
    started = program.instrument("program:main", {"target": "program:*", "record": "asset.total"}, "program:not_yet")
    for _ in range(2):
        started.instrument_module(module, is_complete=False)
    assert program.count(lambda: (module.main(), module.helper())) == 3
    assert started.states()[2].problems == ()


def test_bad_option_is_a_problem_of_its_entry(program: MappedProgram, warned: Warned) -> None:
    module = program.load(SOURCE)
    started = program.instrument(
        {"target": "program:save", "size": "rowz", "record": "allocation.save"}, "program:aload"
    )
    assert module.save([1]) == 1
    assert program.count(lambda: module.aload().close()) == 0
    (message,) = warned()
    assert "kcevents.toml: functions[0]" in message
    assert "'rowz'" in message
    assert "did you mean 'rows'?" in message
    assert [len(state.functions) for state in started.states()] == [0, 1]


def test_function_that_two_entries_name_is_recorded_once(program: MappedProgram, warned: Warned) -> None:
    """The first entry records its calls, unless conditions distinguish the calls of the two."""
    module = program.load(SOURCE)
    started = program.instrument("program:save", "program:sav*", "progra*:save")
    assert program.count(module.save) == 1
    assert started.states()[1].notes == ("program:save is skipped: functions[0] records the same calls",)
    (message,) = warned()
    assert "functions[2].target (progra*:save)" in message
    assert "functions[0] records the same calls; distinguish them by where or within" in message


def test_function_is_recorded_by_entries_that_differ(program: MappedProgram) -> None:
    module = program.load(SOURCE)
    program.instrument(
        "program:save",
        {"target": "program:sav*", "record": "asset.total"},
        {"target": "program:sav*", "within": "mapped_program"},
    )
    assert program.count(module.save) == 3


def test_inherited_method_that_two_entries_name_is_recorded_once(program: MappedProgram, warned: Warned) -> None:
    module = program.load("class Base:\n    def load(self): return 1\nclass Child(Base): pass")
    program.instrument("program:Child.load", "progra*:Child.load")
    assert program.count(lambda: module.Child().load()) == 1
    assert "functions[0] records the same calls" in warned()[0]


def test_kept_value_that_no_entry_keeps_is_a_problem(program: MappedProgram, warned: Warned) -> None:
    program.load("def know(day): ...\ndef save(rows): return 1\ndef load(kept): return 1")
    program.instrument(
        {"target": "program:know", "record": None, "keep": {"window": "day"}},
        {"target": "program:save", "window": "kept.windw"},
        {"target": "program:load", "window": "kept.day"},
    )
    (message,) = warned()
    assert "functions[1].window (program:save)" in message
    assert "no entry keeps 'windw'; did you mean 'window'?" in message


def test_kept_value_without_any_keep_is_a_problem(program: MappedProgram, warned: Warned) -> None:
    program.load("def save(rows): return 1")
    program.instrument({"target": "program:save", "where": {"kept.day": "2024*"}})
    assert "no entry keeps 'day'; add keep to the entry of a function that knows it" in warned()[0]


# Functions that are decorated by this package

DECORATED = """
    import functools
    from otel_kcevents import allocation

    def outer(function):
        @functools.wraps(function)
        def call(): return function()
        return call
    class Task:
        def __init__(self, function): self.function = function
    @allocation.total
    def save(): return 1
    @outer
    @allocation.total
    def covered(): return 1
    @Task
    @allocation.total
    def behind(): return 1
    def bare(): return 1
    tracked = allocation.total(bare)
    partial = allocation.total(functools.partial(bare))
    class Loader:
        @allocation.total
        def load(self): return 1
        @allocation.total
        @classmethod
        def of_class(cls): return 1
"""


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("save", lambda m: m.save()),
        ("covered", lambda m: m.covered()),
        ("behind", lambda m: m.behind.function()),
        ("bare", lambda m: m.tracked()),
        ("tracked", lambda m: m.tracked()),
        ("partial", lambda m: m.partial()),
        ("Loader.load", lambda m: m.Loader().load()),
        ("Loader.of_class", lambda m: m.Loader().of_class()),
        ("*", lambda m: m.save()),
        ("b*", lambda m: m.behind.function()),
    ],
)
def test_decorated_function_is_recorded_once(program: MappedProgram, warned: Warned, name: str, call: Any) -> None:
    module = program.load(DECORATED)
    (state,) = program.instrument(f"program:{name}").states()
    assert program.count(lambda: call(module)) == 1
    assert any(note.endswith("is already decorated by otel_kcevents") for note in state.notes)
    assert warned() == []


def test_function_that_is_decorated_later_is_recorded_once(program: MappedProgram) -> None:
    module = program.load("def save(): return 1\n")
    program.instrument("program:save")
    from otel_kcevents import allocation

    decorated = allocation.total(module.save)
    assert program.count(decorated) == 1


@pytest.mark.parametrize(
    "options",
    [{"window": "self.day"}, {"where": {"self.day": "2022*"}}, {"keep": {"day": "self.day"}}],
    ids=["window", "where", "keep"],
)
def test_calls_for_reading_values_are_not_recorded(program: MappedProgram, options: dict[str, Any]) -> None:
    """A path uses a property that the same entry names, and that calls another method."""
    module = program.load("""
        class Loader:
            @property
            def day(self): return self.find()
            def find(self): return "2022-06-03"
            def load(self): return 1
    """)
    program.instrument({"target": "program:Loader.*", **options})
    loader = module.Loader()
    assert program.count(loader.load) == 1
    assert program.count(lambda: loader.day) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"window": "self"},
        {"window": "self.job"},
        {"size": "self"},
        {"size": "+self"},
        {"fails_when": "program:check"},
        {"window": "program:check", "size": "program:check"},
    ],
    ids=str,
)
def test_calls_for_converting_values_are_not_recorded(program: MappedProgram, options: dict[str, Any]) -> None:
    """A window has properties, a size a length, and a function of the program calls other functions."""
    module = program.load("""
        class Loader:
            start = end = property(lambda self: self.find())
            job = property(lambda self: self)
            def find(self): return "2022-06-03T00:00:00Z"
            def __len__(self): return len(self.find())
            def load(self): return 1
        def check(_): Loader().load()
    """)
    program.instrument({"target": "program:Loader.*", "record": "allocation.load", **options})
    assert program.count(module.Loader().load) == 1


# Modules


def test_file_of_the_same_name_is_not_instrumented(program: MappedProgram) -> None:
    module = program.load(SOURCE)
    started = program.instrument("jobs/program.py:save")
    assert program.count(module.save) == 0
    assert started.states()[0].modules == ()


def test_module_whose_name_cannot_be_read_is_left_alone(program: MappedProgram, warned: Warned) -> None:
    class Name(str):
        def __hash__(self) -> int:
            raise OSError("no hash")

    started = program.instrument("program:save")
    module = ModuleType("odd")
    module.__name__ = Name("odd")
    started.instrument_module(module)
    assert [message.endswith("are not instrumented: no hash") for message in warned()] == [True]


def test_warning_about_a_module_that_is_imported_later_is_in_the_journal(tmp_path: Path) -> None:
    """No event may follow that would write it."""
    (tmp_path / "later.py").write_text("def load(): return 1\n", encoding="utf-8")
    (tmp_path / "m.toml").write_text("functions = [{target = 'later:laod', record = 'allocation.load'}]")
    journal = tmp_path / "kcevents.db"
    instrument("-c", "import later", mapping=tmp_path / "m.toml", journal=journal, PYTHONPATH=str(tmp_path))
    (problem,) = [message for _, _, message in read_state(str(journal)).problems]
    assert "later has no function laod; did you mean 'load'?" in problem


def test_missing_function_of_a_later_module_is_a_problem(program: MappedProgram, warned: Warned) -> None:
    program.instrument("program:laod")
    program.load("def load(): return 1")
    assert "program has no function laod; did you mean 'load'?" in warned()[0]
