"""The package as a whole: its public names, its layers, what it weighs to import."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import otel_kcevents

PACKAGE = Path(otel_kcevents.__file__).parent
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
FLOORS = [
    ["version", "window"],
    ["batch", "events", "hosts", "http_session", "outbox"],
    ["export", "log", "otlp", "values"],
    ["probe", "processor", "exposition", "signals"],
    ["limited_server", "shapes", "sdk", "__main__"],
    ["instrument", "server"],
]


def imported(module: str) -> set[str]:
    """The package's modules that a module imports, wherever in it."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[2] for name in froms if name.startswith("otel_kcevents.")}


@pytest.mark.parametrize("module", ["", *MODULES])
def test_every_public_name_exists_and_is_its_modules_own(module: str) -> None:
    """`__all__` is sorted, and each name in it can be had."""
    found = import_module(f"otel_kcevents.{module}".rstrip("."))
    names = found.__all__
    assert all(hasattr(found, name) for name in names)
    assert len(names) == len(set(names))


def test_what_is_imported_later_is_listed_too() -> None:
    """`dir()` shows the public names, those that are imported when they are asked for among them."""
    assert sorted(dir(otel_kcevents)) == sorted(otel_kcevents.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """What the package does not have is missing as anywhere else."""
    with pytest.raises(AttributeError, match="'otel_kcevents' has no attribute 'nothing'"):
        _ = otel_kcevents.nothing


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    """A module imports from lower floors alone."""
    (floor,) = (number for number, modules in enumerate(FLOORS) if module in modules)
    below = {name for modules in FLOORS[:floor] for name in modules}
    assert imported(module) <= below


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_and_says_what_it_is_for(module: str) -> None:
    """Under 400 lines, with a sentence at the top."""
    text = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    assert ast.get_docstring(ast.parse(text))


def test_the_sdk_is_not_imported_until_it_is_asked_for() -> None:
    """Decorating needs the API alone, as far as importing goes; no server, no multiprocessing either."""
    code = (
        "import sys, otel_kcevents\n"
        "heavy = ('opentelemetry.sdk', 'http.server', 'multiprocessing', 'wrapt', 'asyncio')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        env={**os.environ, "COVERAGE_PROCESS_CONFIG": ""},  # measuring imports modules of its own
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
