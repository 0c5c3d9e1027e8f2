"""The package as a whole: its public names, its layers, and what an import of it loads."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pytest

import otel_kcevents
from otel_kcevents.serve.page import PAGE_FILES

PACKAGE = Path(otel_kcevents.__file__).parent
TREE = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
PATHS = {
    ".".join(["otel_kcevents", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
MAY_IMPORT = {
    "version": set[str](),
    "fork_lock": set[str](),
    "model": set[str](),
    "store": {"model", "version", "fork_lock"},
    "record": {"store", "model", "version", "fork_lock"},
    "report": {"store", "model", "version"},
    "serve": {"report", "store", "model", "version"},
    "sdk": {"report", "record", "store", "model", "fork_lock"},
    "plugin": {"sdk", "record", "store", "model", "fork_lock"},
    "cli": {"plugin", "sdk", "serve", "report", "record", "store", "model", "version"},
    "expected_event": {"store", "model"},
    "testing": {"expected_event", "store", "model", "fork_lock"},
    "pytest_plugin": {"testing"},
    "__main__": {"cli"},
    "": {"cli", "plugin", "sdk", "serve", "report", "record", "store", "model", "version", "fork_lock"},
}
"""What the modules of each folder may import from other folders."""


def imported(module: str) -> set[str]:
    """Return the package's modules that a module imports anywhere in its code."""
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
    """Return the folder of a module, or the module's own name if it is at the top."""
    return [*module.split("."), ""][1]


@pytest.mark.parametrize("module", [name for name in PATHS if not name.endswith("__main__")])
def test_public_names_of_a_module_exist(module: str) -> None:
    found = import_module(module)
    assert all(hasattr(found, name) for name in found.__all__)
    assert len(found.__all__) == len(set(found.__all__))


@pytest.mark.parametrize("name", otel_kcevents.__all__)
def test_lazy_name_is_the_one_that_type_checkers_see(name: str) -> None:
    """The lazy import returns the object that is imported under TYPE_CHECKING."""
    imports = [node for node in ast.walk(TREE) if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname or alias.name: (node.module or "", alias.name) for node in imports for alias in node.names}
    module, original = homes[name]
    assert getattr(otel_kcevents, name) is getattr(import_module(module), original)


def test_dir_lists_the_public_names() -> None:
    assert dir(otel_kcevents) == sorted(otel_kcevents.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'otel_kcevents' has no attribute 'nothing'"):
        _ = otel_kcevents.nothing


@pytest.mark.parametrize("module", PATHS)
def test_module_imports_only_from_lower_folders(module: str) -> None:
    folders = {folder(name) for name in imported(module)} - {folder(module)}
    assert folders <= MAY_IMPORT[folder(module)]


def test_modules_have_no_import_cycle() -> None:
    TopologicalSorter({module: imported(module) - {module} for module in PATHS}).prepare()


@pytest.mark.parametrize("module", PATHS)
def test_module_is_short_and_has_a_docstring(module: str) -> None:
    text = PATHS[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("module", PATHS)
def test_no_function_is_over_60_lines(module: str) -> None:
    """Not counting its docstring."""
    for node in ast.walk(ast.parse(PATHS[module].read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0  # type: ignore[operator]
            assert node.end_lineno - node.lineno + 1 - docstring <= 60, node.name  # type: ignore[operator]


def test_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    """Also those of the page, which are not modules."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=PACKAGE.parent, check=True, capture_output=True, timeout=300)
    [wheel] = tmp_path.iterdir()
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith(f"{PACKAGE.name}/")}
    here = {path for path in PACKAGE.rglob("*.*") if path.is_file() and "__pycache__" not in path.parts}
    assert packed == {path.relative_to(PACKAGE.parent).as_posix() for path in here}
    assert "otel_kcevents/serve/static/page.js" in packed


SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in (PACKAGE / "serve" / "static").glob("*.js")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_module_of_the_page_is_short_served_and_preloaded(name: str) -> None:
    """And it begins with what it is for."""
    assert len(SCRIPTS[name].splitlines()) < 300
    assert SCRIPTS[name].startswith("/**")
    assert PAGE_FILES[f"/static/{name}"] == (name, "text/javascript")
    assert f'"static/{name}"' in (PACKAGE / "serve" / "static" / "index.html").read_text(encoding="utf-8")


def test_modules_of_the_page_have_no_import_cycle() -> None:
    imports = {name: set(re.findall(r'from "\./([\w.]+)";', text)) for name, text in SCRIPTS.items()}
    assert len(list(TopologicalSorter(imports).static_order())) == len(PAGE_FILES) - 2


def test_only_two_modules_spell_names_on_the_wire() -> None:
    spelled = re.compile(r"""["'](kcevents\.(?!db|toml)|code\.function|error\.(type|message))""")
    modules = {module for module, path in PATHS.items() if spelled.search(path.read_text(encoding="utf-8"))}
    assert modules == {"otel_kcevents.model.wire", "otel_kcevents.model.metrics"}


def imports_of(statement: str, *names: str) -> list[str]:
    """Return those of *names* that a new process imports for a statement."""
    code = f"import sys\n{statement}\nprint(*(name for name in {names!r} if name in sys.modules))"
    environment = {**os.environ, "COVERAGE_PROCESS_CONFIG": ""}  # measuring coverage imports further modules
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_importing_the_package_imports_nothing_else() -> None:
    assert imports_of("import otel_kcevents", "opentelemetry", "otel_kcevents.model", "json", "inspect") == []


def test_plugin_of_pytest_imports_nothing_before_its_use() -> None:
    unused = ("opentelemetry", "otel_kcevents.testing", "otel_kcevents.model", "otel_kcevents.store")
    assert imports_of("import otel_kcevents.pytest_plugin", *unused) == []


def test_decorating_does_not_import_the_sdk_or_a_server() -> None:
    heavy = ("opentelemetry.sdk", "http.server", "multiprocessing", "wrapt", "asyncio", "sqlite3", "urllib.parse")
    assert imports_of("from otel_kcevents import allocation", *heavy) == []


def test_program_that_does_not_use_the_package_imports_nothing() -> None:
    assert imports_of("pass", "otel_kcevents", "opentelemetry") == []


def test_configuring_without_export_imports_no_exporter() -> None:
    heavy = ("opentelemetry.sdk.metrics", "otel_kcevents.sdk.otlp", "otel_kcevents.store.journal", "sqlite3")
    unused = ("otel_kcevents.plugin", "otel_kcevents.record.recorder", "otel_kcevents.serve", "difflib")
    assert imports_of("from otel_kcevents import configure\nconfigure()", *heavy, *unused) == []
