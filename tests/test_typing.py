"""Promises to type checkers: mypy and pyright, both strict, see every decorated function as it was written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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


load("today", 5)  # wrong: too many
load()  # wrong: too few
wrong: int = load(Window())  # wrong: what is returned
Etl().total("today")  # wrong: a text is no window here
also: int = save([1])  # wrong: not awaited
allocation.save(5)  # wrong: no function
allocation.save(windows="day")  # wrong: no such keyword
allocation.save(fails_when="None")  # wrong: no function
allocation.delete  # wrong: no such operation
allocation.emit()  # wrong: no outcome
allocation.emit("saved", error=5)  # wrong: no error
allocation.emit("saved", time="noon")  # wrong: no time
RecordSet("cloudCost")  # wrong: no set name
with allocation.save() as op:
    op.windows = 5  # wrong: no such field
"""
WRONG = [number for number, line in enumerate(MISUSE.splitlines(), 1) if "# wrong" in line]


def run(*command: str | Path) -> str:
    """What a checker prints, run on this checkout's package."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    line = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(file: Path, cache: Path) -> list[int]:
    """The lines in which mypy finds an error."""
    pytest.importorskip("mypy")
    out = run("mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary", file)
    return [int(number) for number in re.findall(rf"{re.escape(file.name)}:(\d+): error", out)]


def pyright(file: Path, folder: Path) -> list[int]:
    """The lines in which pyright finds an error."""
    pytest.importorskip("pyright")
    settings = folder / "pyrightconfig.json"
    copy = folder / file.name  # a project's files are those in its own folder
    copy.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    settings.write_text(json.dumps({"typeCheckingMode": "strict", "include": [copy.name], "extraPaths": [str(ROOT)]}))
    out = run("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", settings)
    found = json.loads(out)
    assert found["summary"]["filesAnalyzed"] == 1
    errors = [item for item in found["generalDiagnostics"] if item["severity"] == "error"]
    return [item["range"]["start"]["line"] + 1 for item in errors]


@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_signatures_survive(checker: object, tmp_path: Path) -> None:
    """Functions, methods, coroutines and generators have the same types decorated, bare or called."""
    assert callable(checker)
    assert checker(API, tmp_path) == []


@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_misuse_is_an_error(checker: object, tmp_path: Path) -> None:
    """A wrong call of a decorated function or of this package is found in its line, and nothing else is."""
    assert callable(checker)
    file = tmp_path / "misuse.py"
    file.write_text(MISUSE, encoding="utf-8")
    assert sorted(set(checker(file, tmp_path))) == WRONG
