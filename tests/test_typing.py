"""The types of decorated functions and public names, as mypy and pyright see them in strict mode."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
API = ROOT / "tests" / "typing" / "api.py"
MISUSE = """
from otel_kcevents import RecordSet, Window, allocation


@allocation.load
def load(window: Window) -> list[str]:
    return [str(window)]


class Etl:
    @allocation.total
    def total(self, window: Window) -> float:
        return 1.0


@allocation.save(size="rows")
async def save(rows: list[int]) -> int:
    return len(rows)


load("today", 5)  # wrong: too many arguments
load()  # wrong: too few arguments
wrong: int = load(Window())  # wrong: the type of the result
Etl().total("today")  # wrong: a string is not a Window
also: int = save([1])  # wrong: not awaited
allocation.save(5)  # wrong: not a function
allocation.save(windows="day")  # wrong: unknown keyword
allocation.save(fails_when="None")  # wrong: not a function
allocation.delete  # wrong: unknown operation
allocation.emit()  # wrong: an outcome is required
allocation.emit("saved", error=5)  # wrong: not an exception or a string
allocation.emit("saved", time="noon")  # wrong: not a time
RecordSet("cloudCost")  # wrong: the set's name is required
with allocation.save() as op:
    op.windows = 5  # wrong: unknown field
"""
WRONG = [number for number, line in enumerate(MISUSE.splitlines(), 1) if "# wrong" in line]


def run(*command: str | Path) -> str:
    """Run a checker on the package of this checkout, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    line = [sys.executable, "-m", *map(str, command)]
    finished = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode in (0, 1), finished.stdout + finished.stderr
    return finished.stdout


def mypy(file: Path, cache: Path) -> list[int]:
    """Return the lines in which mypy finds an error."""
    pytest.importorskip("mypy")
    out = run("mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", file)
    return [int(number) for number in re.findall(rf"{re.escape(file.name)}:(\d+): error", out)]


def pyright(file: Path, folder: Path) -> list[int]:
    """Return the lines in which pyright finds an error."""
    pytest.importorskip("pyright")
    settings = folder / "pyrightconfig.json"
    copy = folder / file.name  # pyright checks only the files in the project's own folder
    copy.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    settings.write_text(json.dumps({"typeCheckingMode": "strict", "include": [copy.name], "extraPaths": [str(ROOT)]}))
    out = run("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", settings)
    report = json.loads(out)
    assert report["summary"]["filesAnalyzed"] == 1
    errors = [item for item in report["generalDiagnostics"] if item["severity"] == "error"]
    return [item["range"]["start"]["line"] + 1 for item in errors]


each_checker = pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])


@each_checker
def test_decorated_functions_keep_their_types(checker: Callable[[Path, Path], list[int]], tmp_path: Path) -> None:
    assert checker(API, tmp_path) == []


@each_checker
def test_misuse_is_an_error_in_its_line(checker: Callable[[Path, Path], list[int]], tmp_path: Path) -> None:
    file = tmp_path / "misuse.py"
    file.write_text(MISUSE, encoding="utf-8")
    assert sorted(set(checker(file, tmp_path))) == WRONG
