"""Methods that subclasses override, and methods that a named class inherits."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from mapped_program import MappedProgram
from telemetry import Warned

TREE = """
    class Base:
        def load(self): return ["base"]
        @classmethod
        def of_class(cls): return [cls.__name__]
        @staticmethod
        def static(): return ["static"]
        async def aload(self): return ["base"]
        def rows(self): yield "base"
        async def arows(self): yield "base"

    class Sub(Base):
        def load(self): return [*super().load(), "sub"]
        @classmethod
        def of_class(cls): return [*super().of_class(), "sub"]
        async def aload(self): return [*await super().aload(), "sub"]
        def rows(self):
            yield from super().rows()
            yield "sub"
        async def arows(self):
            async for row in super().arows(): yield row
            yield "sub"

    class Leaf(Sub): pass
"""


def values(called: Any) -> list[Any]:
    """Run a call of any shape to its end."""

    async def collect() -> list[Any]:
        return [item async for item in called] if inspect.isasyncgen(called) else await called

    return asyncio.run(collect()) if inspect.iscoroutine(called) or inspect.isasyncgen(called) else list(called)


def named(name: str) -> dict[str, Any]:
    return {"target": f"program:{name}", "subclasses": True}


@pytest.mark.parametrize("name", ["load", "aload", "rows", "arows"])
def test_override_that_calls_super_counts_once(program: MappedProgram, name: str) -> None:
    module = program.load(TREE)
    program.instrument(named(f"Base.{name}"))
    assert program.count(lambda: values(getattr(module.Base(), name)())) == 1
    assert program.count(lambda: values(getattr(module.Leaf(), name)()) == ["base", "sub"]) == 1


def test_generator_that_is_closed_early_counts_once(program: MappedProgram) -> None:
    module = program.load(TREE)
    program.instrument(named("Base.rows"), named("Base.arows"))

    async def close() -> None:
        running = module.Sub().arows()
        await running.asend(None)
        await running.aclose()

    running = module.Sub().rows()
    next(running)
    assert program.count(running.close) == 1
    assert program.count(lambda: asyncio.run(close())) == 1


def test_classmethod_and_staticmethod_count(program: MappedProgram) -> None:
    module = program.load(TREE)
    program.instrument(named("Base.of_class"), named("Base.static"))
    assert program.count(module.Leaf.of_class) == 1
    assert program.count(module.Leaf.static) == 1


def test_other_objects_inside_a_call_count(program: MappedProgram) -> None:
    """A composite calls the same method of its parts."""
    module = program.load("""
        class Base:
            def load(self): return 1
        class Composite(Base):
            def __init__(self, *parts): self.parts = parts
            def load(self): return sum(part.load() for part in self.parts) + super().load()
    """)
    program.instrument(named("Base.load"))
    assert program.count(lambda: module.Composite(module.Base(), module.Composite(module.Base())).load() == 4) == 4


def test_override_below_two_subclasses_counts_once(program: MappedProgram) -> None:
    module = program.load("""
        class Base:
            def load(self): return 1
        class Left(Base): pass
        class Right(Base): pass
        class Both(Left, Right):
            def load(self): return super().load()
    """)
    program.instrument(named("Base.load"))
    assert program.count(module.Both().load) == 1


def test_recursive_calls_count(program: MappedProgram) -> None:
    module = program.load("""
        class Base:
            def load(self, days): return 1
        class Sub(Base):
            def load(self, days): return self.load(days - 1) if days else super().load(days)
    """)
    program.instrument(named("Base.load"))
    assert program.count(lambda: module.Sub().load(2)) == 3


def test_overrides_are_recorded_only_with_subclasses(program: MappedProgram) -> None:
    module = program.load("class Base:\n    def load(self): pass\nclass Sub(Base):\n    def load(self): pass\n")
    program.instrument("program:Base.load")
    assert program.count(lambda: (module.Base().load(), module.Sub().load())) == 1


LATER: dict[str, str] = {
    "class statement": "class Later(Base):\n    def load(self): return 1\n",
    "in a function": """
def make():
    class Inside(Base):
        def load(self): return 1
    return Inside
Later = make()
""",
    "call of type": "Later = type('Later', (Base,), {'load': lambda self: 1})\n",
    "far below": "class Middle(Base): pass\nclass Later(Middle):\n    def load(self): return 1\n",
    "dataclass": """
import dataclasses
@dataclasses.dataclass(slots=True)
class Later(Base):
    def load(self): return 1
""",
    "own __init_subclass__": """
class Middle(Base):
    def __init_subclass__(cls, **options): cls.options = options
class Later(Middle, day=1):
    def load(self): return self.options["day"]
""",
    "options of the base": """
class Middle(Base):
    def __init_subclass__(cls, day, **options):
        super().__init_subclass__(**options)
        cls.day = day
class Last(Middle, day=1): pass
class Later(Last, day=1):
    def load(self): return self.day
""",
    "metaclass": """
import abc
class Later(Base, abc.ABC):
    def load(self): return 1
""",
}


@pytest.mark.parametrize("kind", LATER)
def test_subclass_that_is_defined_later_counts(program: MappedProgram, kind: str) -> None:
    program.load("class Base:\n    def load(self): return 0\n")
    program.instrument(named("Base.load"))
    later = program.load(f"from program import Base\n{LATER[kind]}", "later")
    assert program.count(lambda: later.Later().load() == 1) == 1


def test_classes_defined_after_the_end_do_not_count(program: MappedProgram) -> None:
    module = program.load("class Base:\n    def load(self): return 0\n")
    before = dict(vars(module.Base))
    started = program.instrument(named("Base.load"))
    kept = module.Base.__init_subclass__
    started.end()
    assert dict(vars(module.Base)) == before
    later = program.load(f"from program import Base\n{LATER['class statement']}", "later")
    kept.__func__(later.Later)
    assert program.count(lambda: later.Later().load()) == 0


def test_override_that_cannot_be_instrumented_is_a_problem(program: MappedProgram, warned: Warned) -> None:
    module = program.load("class Base:\n    def load(self, day): return day\n")
    program.instrument({**named("Base.load"), "window": "day"})
    later = program.load(
        "from program import Base\nclass Later(Base):\n    def load(self, date): return date\n", "later"
    )
    assert program.count(lambda: (module.Base().load("2022-06-03"), later.Later().load(1))) == 1
    (message,) = warned()
    assert "kcevents.toml: functions[0]" in message
    assert "later:Later.load" in message
    assert "'day'" in message


# Inherited methods

INHERITED: dict[str, Callable[[Any], Any]] = {
    "load": lambda held: held().load(),
    "of_class": lambda held: held.of_class(),
    "static": lambda held: held.static(),
    "aload": lambda held: values(held().aload()),
    "rows": lambda held: values(held().rows()),
    "arows": lambda held: values(held().arows()),
}


@pytest.mark.parametrize("name", INHERITED)
def test_inherited_method_counts_only_on_the_named_class(program: MappedProgram, name: str) -> None:
    module = program.load(f"{TREE}\n    class Other(Base): pass\n    class Named(Base): pass\n")
    before = dict(vars(module.Named))
    call, expected = INHERITED[name], INHERITED[name](module.Base)
    started = program.instrument(f"program:Named.{name}")
    assert program.count(lambda: (call(module.Base), call(module.Other))) == 0
    expected = ["Named"] if name == "of_class" else expected
    assert program.count(lambda: call(module.Named) == expected) == 1
    assert program.count(lambda: call(type("Below", (module.Named,), {}))) == 1
    started.end()
    assert dict(vars(module.Named)) == before


def test_inherited_method_keeps_the_method_resolution_order(program: MappedProgram) -> None:
    module = program.load("""
        class Base:
            def load(self): return ["base"]
            @staticmethod
            def static(): return ["base"]
        class Named(Base): pass
        class Mixed(Base):
            def load(self): return ["mixed", *super().load()]
        class Both(Named, Mixed): pass
    """)
    program.instrument("program:Named.load", "program:Named.static")
    assert program.count(lambda: module.Both().load() == ["mixed", "base"]) == 1
    assert program.count(lambda: module.Both().static() == ["base"]) == 1


def test_inherited_method_looks_like_the_inherited_one(program: MappedProgram) -> None:
    module = program.load("""
        class Base:
            def load(self, day: str, *, strict=False):
                '''Load a day.'''
        class Named(Base): pass
    """)
    program.instrument("program:Named.load")
    method, inherited = module.Named.load, module.Base.load
    assert inspect.signature(method) == inspect.signature(inherited)
    assert inspect.getsource(method) == inspect.getsource(inherited)
    assert (method.__doc__, method.__qualname__) == ("Load a day.", "Base.load")
    assert pickle.loads(pickle.dumps(module.Named().load))("monday") is None


def test_later_changes_of_the_inherited_method_are_used(program: MappedProgram) -> None:
    module = program.load(f"{TREE}\n    class Named(Base): pass\n")
    program.instrument("program:Named.load")
    module.Base.load = lambda self: ["patched"]
    assert program.count(lambda: module.Named().load() == ["patched"]) == 1


def test_inherited_method_in_c_counts(program: MappedProgram) -> None:
    module = program.load("class Costs(dict): pass\n")
    program.instrument("program:Costs.update", {"target": "program:Costs.update", "record": "asset.total"})
    costs = module.Costs()
    assert program.count(lambda: costs.update({"a": 1}, b=2)) == 2
    assert costs == {"a": 1, "b": 2}


def test_inherited_method_and_its_overrides_count(program: MappedProgram) -> None:
    module = program.load(f"{TREE}\n    class Below(Leaf):\n        def load(self): return super().load()\n")
    program.instrument(named("Leaf.load"))
    assert program.count(lambda: (module.Leaf().load(), module.Below().load())) == 2
    assert program.count(lambda: module.Sub().load()) == 0


def test_module_that_is_seen_again_is_watched_once(program: MappedProgram) -> None:
    module = program.load(TREE)
    started = program.instrument({"target": "program:Base.load", "subclasses": True})
    started.instrument_module(module)
    exec("class Later(Base):\n    def load(self): return super().load()", vars(module))
    assert program.count(lambda: module.Later().load()) == 1


def test_class_with_a_hook_of_its_own_is_watched_once(program: MappedProgram) -> None:
    """Python calls the hooks of two watched classes with it: that of the named class, and its own."""
    module = program.load(TREE)
    program.instrument({"target": "program:Base.load", "subclasses": True})
    hook = "def __init_subclass__(cls): super().__init_subclass__()"
    exec(f"class Middle(Base):\n    {hook}\nclass Low(Middle):\n    {hook}", vars(module))
    exec("class Later(Low):\n    def load(self): return super().load()", vars(module))
    assert program.count(lambda: module.Later().load()) == 1


def test_coroutine_may_be_closed_in_another_context(program: MappedProgram) -> None:
    """As the garbage collector does it, whose context must not change."""
    module = program.load("""
        import asyncio
        class Base:
            async def load(self): await asyncio.sleep(0)
    """)
    program.instrument({"target": "program:Base.load", "subclasses": True})
    call = module.Base().load()
    contextvars.copy_context().run(call.send, None)
    call.close()
    assert program.count(lambda: asyncio.run(module.Base().load())) == 1
