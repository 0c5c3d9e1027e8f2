"""The modules and files that targets name, before the program runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_kcevents.plugin.target import Target
from otel_kcevents.plugin.target_modules import find_files, import_modules

FILES = {
    "tm_costs/__init__.py": "",
    "tm_costs/etl.py": "",
    "tm_costs/exits.py": "raise SystemExit('done')",
    "tm_costs/__main__.py": "raise AssertionError",
    "tm_costs/readers/__init__.py": "",
    "tm_costs/readers/csv_reader.py": "",
    "tm_broken.py": "import tm_missing",
    "dags/tm_dag.py": "raise AssertionError",
    ".venv/tm_dag.py": "",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder has these files, and modules are found in it."""
    for name, source in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.startswith("tm_")]:
        del sys.modules[name]


def imported(target: str) -> tuple[list[str], list[str]]:
    """Return which modules are imported for a target, and why others are not."""
    errors = import_modules(Target.parse(target))
    return sorted(name for name in sys.modules if name.startswith("tm_")), errors


@pytest.mark.parametrize(
    ("target", "modules", "errors"),
    [
        ("tm_costs.etl:save", ["tm_costs", "tm_costs.etl"], []),
        ("tm_costs.readers.*:load", ["tm_costs", "tm_costs.readers", "tm_costs.readers.csv_reader"], []),
        (
            "tm_costs.*:*",
            ["tm_costs", "tm_costs.etl", "tm_costs.readers", "tm_costs.readers.csv_reader"],
            ["tm_costs.exits: SystemExit: done"],
        ),
        ("tm_cost*.etl:save", ["tm_costs", "tm_costs.etl", "tm_costs.readers"], []),
        ("tm_kost*.etl:save", [], ["no module has a name that matches tm_kost*"]),
        ("*:save", [], ["* may be any module; start it with the name of a package"]),
        ("tm_cots.etl:save", [], ["ModuleNotFoundError: No module named 'tm_cots'; did you mean 'tm_costs'?"]),
        (
            "tm_costs.elt:save",
            ["tm_costs"],
            ["ModuleNotFoundError: No module named 'tm_costs.elt'; did you mean 'tm_costs.etl'?"],
        ),
        ("qqqqqqqqqq:save", [], ["ModuleNotFoundError: No module named 'qqqqqqqqqq'"]),
        ("tm_broken:save", [], ["ModuleNotFoundError: No module named 'tm_missing'"]),
    ],
)
def test_modules_of_a_target_are_imported(target: str, modules: list[str], errors: list[str]) -> None:
    assert imported(target) == (modules, errors)


def test_interrupted_import_is_not_caught(tmp_path: Path) -> None:
    (tmp_path / "tm_interrupt.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        imported("tm_interrupt:save")


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("dags/tm_dag.py:main", ["dags/tm_dag.py"]),
        ("tm_dag.py:main", ["dags/tm_dag.py"]),
        ("dags/*.py:main", ["dags/tm_dag.py"]),
        ("tm_other.py:main", []),
    ],
)
def test_files_of_a_target_are_found(tmp_path: Path, target: str, files: list[str]) -> None:
    assert find_files(Target.parse(target)) == [str(tmp_path / file) for file in files]


def test_file_of_an_installed_module_is_found() -> None:
    assert find_files(Target.parse("json/decoder.py:x")) == [
        os.path.join(os.path.dirname(os.__file__), "json/decoder.py")
    ]


def test_search_for_files_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_kcevents.plugin.target_modules._MAX_FILES", 0)
    assert find_files(Target.parse("csv_*.py:load")) == []
