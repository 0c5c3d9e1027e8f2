"""The package as a whole: its public names, its layers, what it weighs to import."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import otel_kcevents

PACKAGE = Path(otel_kcevents.__file__).parent
PATHS = {
    ".".join(["otel_kcevents", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MAY_IMPORT = {
    "version": set[str](),
    "model": set[str](),
    "store": {"model", "version"},
    "record": {"store", "model", "version"},
    "serve": {"store", "model"},
    "sdk": {"record", "store", "model"},
    "cli": {"sdk", "serve", "record", "store", "model", "version"},
    "__main__": {"cli"},
    "": {"cli", "sdk", "serve", "record", "store", "model", "version"},
}
"""What the modules of each folder may import from other folders."""


def imported(module: str) -> set[str]:
    """The package's modules that a module imports when it runs, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(PATHS[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & set(PATHS)


def folder(module: str) -> str:
    """The folder that a module is in, or its own name at the top."""
    return [*module.split("."), ""][1]


@pytest.mark.parametrize("module", PATHS)
def test_every_public_name_exists_and_is_its_modules_own(module: str) -> None:
    """`__all__` is sorted, and each name in it can be had."""
    found = import_module(module)
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


@pytest.mark.parametrize("module", PATHS)
def test_a_module_imports_only_from_folders_below(module: str) -> None:
    """Imports go down: `model`, `store`, `record` and `serve`, `sdk`, `cli`."""
    folders = {folder(name) for name in imported(module)} - {folder(module)}
    assert folders <= MAY_IMPORT[folder(module)]


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """Within a folder too, the modules have an order."""
    TopologicalSorter({module: imported(module) - {module} for module in PATHS}).prepare()


@pytest.mark.parametrize("module", PATHS)
def test_a_module_is_short_and_says_what_it_is_for(module: str) -> None:
    """Under 400 lines, with a sentence at the top."""
    text = PATHS[module].read_text(encoding="utf-8")
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
