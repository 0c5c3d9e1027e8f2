"""Definitions of a running module: which names count, when they are seen, and when none can follow."""

from __future__ import annotations

import dis
import sys
from typing import Any

import pytest

from otel_kcevents.plugin.definitions import Definitions, may_define

AFTER_HANDLER = sys.version_info < (3, 12)  # later versions move handlers behind the code that follows them


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("look()\ndef f(): pass\nlook()\nlook()", [(False, False), (True, True), (False, True)]),
        ("def f(): pass\nlook()\nf = f\nlook()\nf = None\nlook()", [(True, False), (False, False), (True, True)]),
        ("def f(): pass\nlook()\ndel f\nlook()", [(True, True), (True, True)]),
        ("class f:\n    pass\nlook()", [(True, True)]),
        ("from os import getcwd as f\nlook()", [(True, True)]),
        ("global f\ndef f(): pass\nlook()", [(True, True)]),
        ("for n in 1, 2:\n    def f(): pass\n    look()\nlook()", [(True, False), (True, False), (False, True)]),
        ("if 1:\n    look()\n    def f(): pass\nlook()", [(False, False), (True, True)]),
        ("try:\n    1 / 0\nexcept ArithmeticError:\n    def f(): pass\nlook()", [(True, AFTER_HANDLER)]),
        ("try:\n    1 / 0\nexcept ArithmeticError:\n    look()\ndef f(): pass\nlook()", [(False, False), (True, True)]),
    ],
)
def test_definitions_are_seen_when_they_have_run(source: str, expected: list[tuple[bool, bool]]) -> None:
    code = compile(f"{source}\npass\n", "<module>", "exec")
    found: list[tuple[bool, bool]] = []

    def look() -> None:
        at = sys._getframe(1).f_lasti
        offset = [start for start, _ in dis.findlinestarts(code) if start <= at][-1]  # of the event for this line
        found.append((definitions.have_changed(), definitions.are_over(offset)))

    namespace: dict[str, Any] = {"look": look}
    definitions = Definitions(code, namespace, lambda name, is_defined: name == "f")
    exec(code, namespace)
    assert found[: len(expected)] == expected


def test_module_that_always_raises_has_definitions() -> None:
    definitions = Definitions(
        compile("def f(): pass\nraise SystemExit", "<module>", "exec"), {}, lambda name, is_defined: name == "f"
    )
    assert definitions.names == {"f"}


def test_loop_around_a_definition_repeats() -> None:
    source = "for n in 1, 2:\n    look()\nfor n in 1, 2:\n    def f(): pass\n    look()\n"
    code = compile(source, "<module>", "exec")
    definitions = Definitions(code, {}, lambda name, is_defined: name == "f")
    starts = {line: offset for offset, line in dis.findlinestarts(code)}
    assert [definitions.may_repeat(starts[line]) for line in (2, 4, 5)] == [False, True, True]


def test_names_of_functions_and_classes_are_distinguished() -> None:
    source = "import os\nf = 1\nl = lambda: 1\ndef g(): pass\nclass h: pass\n"
    source += "def i[T](): pass" if sys.version_info >= (3, 12) else "def i(): pass"
    code = compile(source, "<module>", "exec")
    assert Definitions(code, {}, lambda name, is_defined: is_defined).names == {"g", "h", "i"}


@pytest.mark.parametrize("source", ["def g(): pass", "def g():\n    def f(): pass", "print(f)", "g.f = 1", ""])
def test_code_without_a_relevant_name_has_no_definitions(source: str) -> None:
    definitions = Definitions(compile(source, "<module>", "exec"), {}, lambda name, is_defined: name == "f")
    assert not definitions.names


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("main", "main", True),
        ("main", "main2", False),
        ("Loader.load", "Loader", True),
        ("Loader.load", "load", False),
        ("Loader.*", "Loader", True),
        ("Loader.*", "LoaderOfFiles", False),
        ("save_*", "save_rows", True),
        ("save_*", "load_rows", False),
        ("Load*.load", "Loader", True),
        ("*.load", "Loader", True),
        ("[sS]ave", "save", True),
    ],
)
def test_name_at_the_top_level_may_lead_to_a_target(pattern: str, name: str, expected: bool) -> None:
    assert may_define(pattern, name) is expected
