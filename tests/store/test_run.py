"""The name of a run: that of its program, and never an argument, which may be a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clean_environment

from otel_kcevents import Journal

CODE = "from otel_kcevents import Journal, default_log; default_log.attach(Journal('log.db'))"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "etl").mkdir()
    for name in ("script.py", "etl/__init__.py", "etl/__main__.py", "etl/nightly.py"):
        (tmp_path / name).write_text("" if "init" in name else CODE, encoding="utf-8")
    return tmp_path


def program_of(folder: Path, *command: str, paths: str = "", text: str = "") -> str:
    """Return the program and the name of the only run after a command, which are equal."""
    environment = clean_environment()
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (paths, environment["PYTHONPATH"])))
    subprocess.run([sys.executable, *command], cwd=folder, env=environment, input=text, text=True, check=True)
    (run,) = Journal(folder / "log.db").runs()
    assert run["program"] == run["name"]
    return str(run["program"])


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (["script.py", "-m", "s3cret"], "script.py"),
        (["-W", "error", "./script.py", "s3cret"], "script.py"),
        (["-m", "etl.nightly", "s3cret"], "-m etl.nightly"),
        (["-metl", "s3cret"], "-m etl"),
        (["etl", "s3cret"], "etl"),
        (["-c", CODE, "s3cret"], "-c"),
        (["-", "s3cret"], "python"),
    ],
)
def test_program_is_named_without_its_arguments(folder: Path, command: list[str], program: str) -> None:
    assert program_of(folder, *command, text=CODE) == program


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (["-W", "error", "-m", "etl.nightly", "s3cret"], "-m etl.nightly"),
        (["--check-hash-based-pycs", "default", "-Xutf8", "-Bmetl.nightly", "-m", "s3cret"], "-m etl.nightly"),
        (["script.py", "-m", "s3cret"], "script.py"),
        (["-c", "", "-m", "s3cret"], "-c"),
    ],
)
def test_program_is_named_before_it_has_begun(folder: Path, command: list[str], program: str) -> None:
    """Site customization, which instruments programs without editing them, may attach the journal."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(CODE, encoding="utf-8")
    assert program_of(folder, *command, paths=str(folder / "site")) == program


WORKER = f"""
import multiprocessing
def work():
    {CODE}
if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
"""


def test_worker_without_a_parent_run_is_named_as_program(folder: Path) -> None:
    """As with uvicorn, whose supervisor does not import the application."""
    (folder / "server.py").write_text(WORKER, encoding="utf-8")
    assert program_of(folder, "server.py") == "server.py"


def test_name_that_is_not_unicode_is_stored(folder: Path) -> None:
    """A file name may hold any bytes."""
    name = "nightly-\udcff.py"
    (folder / name).write_text(CODE, encoding="utf-8")
    assert program_of(folder, name) == "nightly-?.py"
