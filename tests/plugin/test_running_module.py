"""Functions of a module whose code still runs, found as they are defined; the module reports the steps itself."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from mapped_program import MappedProgram
from telemetry import Warned

SOURCE = """
class Command:
    def __init__(self, function): self.function = function
registry = []
@Command
def save_first(): pass
step(first=save_first.function)
@Command
def save_second(): pass
step(first=save_first.function, second=save_second.function)
@registry.append
def save_third(): pass
step(third=registry[0])
"""


def run(program: MappedProgram, target: str) -> list[dict[str, int]]:
    """Run the module; return how many events the calls recorded at each step, and after its end."""
    module, code = ModuleType("program"), compile(SOURCE, "program", "exec")
    instrumentation = program.instrument(target)
    counted: list[dict[str, int]] = []

    def step(is_complete: bool = False, **functions: Callable[[], object]) -> None:
        instrumentation.instrument_module(module, is_complete, code)
        counted.append({name: program.count(function) for name, function in functions.items()})

    vars(module).update(step=step)
    exec(code, vars(module))
    step(is_complete=True, third=module.registry[0])
    return counted


def test_glob_finds_functions_that_no_name_leads_to(program: MappedProgram) -> None:
    assert run(program, "program:save_*") == [{"first": 1}, {"first": 1, "second": 1}, {"third": 1}, {"third": 1}]


def test_function_without_a_name_is_found_at_the_end(program: MappedProgram) -> None:
    """The name is bound to None, as if it were not defined yet."""
    assert run(program, "program:save_third") == [{"first": 0}, {"first": 0, "second": 0}, {"third": 0}, {"third": 1}]


def test_name_that_the_code_lacks_is_reported_at_the_end(program: MappedProgram, warned: Warned) -> None:
    run(program, "program:save_thrid")
    (message,) = warned()
    assert "program has no function save_thrid" in message
