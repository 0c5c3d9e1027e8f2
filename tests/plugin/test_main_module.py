"""Functions of the main module: instrumented when they are defined, in every way of running a main module."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TESTS, clean_environment, run_program
from mapped import PROVIDERS, instrument

HAS_MONITORING = sys.version_info >= (3, 12)
SOURCE = """
import sys
from otel_kcevents import default_log

def save_rows(rows):
    return rows

save_rows([1])
recorded = sum(default_log.counts().values())
"""
PROGRAM = f"{SOURCE}\nprint(recorded)\n"

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs a program under the launcher, with a mapping of its functions whose names start with save.

    Before Python 3.12, the tracer of coverage takes the place of the plugin's, so the programs run without it.
    """

    def run(*command: object, target: str = "__main__:[sS]ave*", code: int = 0) -> tuple[str, str]:
        mapping = tmp_path / "kcevents.toml"
        mapping.write_text(f'[[functions]]\ntarget = "{target}"\nrecord = "allocation.save"\n', encoding="utf-8")
        environment = {**PROVIDERS["ours"], "COVERAGE_PROCESS_CONFIG": ""}  # starts faster than with a distribution
        return instrument(*command, mapping=mapping, journal=None, options=(), code=code, **environment)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with one program in all forms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("etl.py", "costs/__init__.py", "costs/etl.py", "costs/__main__.py", "folder/__main__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("" if name.endswith("__init__.py") else PROGRAM, encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "costs.zip", "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
    return tmp_path


def test_functions_are_recorded_as_soon_as_they_are_defined(run: Run) -> None:
    out, _ = run(TESTS / "programs" / "main_shapes.py")
    recorded = json.loads(out)
    assert len(recorded) == 18
    assert recorded == dict.fromkeys(recorded, 1)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("command", "target"),
    [
        (("etl.py",), "etl.py:save_rows"),
        (("-mcosts.etl",), "costs.etl:save_rows"),
        (("folder",), "folder/__main__.py:save_rows"),
        (("-c", PROGRAM), "__main__:save_rows"),
        (("-m", "cProfile", "-o", "profile", "etl.py"), "etl.py:save_rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value).partition("\n")[0],
)
def test_main_module_is_recognized(run: Run, command: tuple[str, ...], target: str) -> None:
    assert run(*command, target=target) == ("1\n", "")


def test_nothing_watches_a_main_module_that_no_entry_can_name(run: Run) -> None:
    program = f"{SOURCE}\nmonitoring = getattr(sys, 'monitoring', None)\n"
    program += "print(recorded, sys.gettrace(), monitoring and monitoring.get_tool(4))"
    assert run("-c", program, target="other.py:save_rows") == ("0 None None\n", "")


def test_second_copy_of_the_main_module_is_instrumented(run: Run, folder: Path) -> None:
    (folder / "costs" / "etl.py").write_text(f"{PROGRAM}\nif __name__ == '__main__':\n    import costs.etl\n")
    out, _ = run("-m", "costs.etl", target="costs.etl:save_rows")
    assert out.split() == ["1", "1"]  # the copy calls the function while its code runs, before it is instrumented


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_functions_of_the_main_module_are_recorded_in_workers(run: Run, method: str) -> None:
    out, err = run(TESTS / "programs" / "main_workers.py", method)
    assert out == "[(1, False), (2, False)]\n"
    assert err == ""


def test_main_module_that_fails_has_its_own_traceback(run: Run, folder: Path) -> None:
    (folder / "etl.py").write_text("def save_rows(rows):\n    pass\n1 / 0\ndef save_more(rows):\n    pass\n")
    _, err = run("etl.py", code=1)
    assert err.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert err.count("File ") == 1


def test_program_may_change_its_main_module(run: Run) -> None:
    changes = """
save_rows = None
def save_rows(rows): pass
save_rows([1]); more = save_rows; del save_rows; more([1])
import threading
thread = threading.Thread(target=more, args=([1],)); thread.start(); thread.join()
sys.modules["__main__"] = None
def save_more(rows): pass
save_more([1])
sys.exit(sum(default_log.counts().values()))
def save_last(rows): pass
"""
    assert run("-c", SOURCE + changes, code=5) == ("", "")


def test_trace_function_of_the_program_is_left_alone(run: Run) -> None:
    change = "def trace(*args): pass\nsys.settrace(trace)\ndef save_more(rows): pass\nsave_more([1])\n"
    end = "print(sum(default_log.counts().values()), sys.gettrace() is trace)"
    assert run("-c", SOURCE + change + end) == ("2 True\n", "")


def test_warning_if_the_program_stops_the_trace_function(run: Run) -> None:
    change = "sys.settrace(None)\ndef save_more(rows): pass\nsave_more([1])\n"
    out, err = run("-c", f"{SOURCE}{change}print(sum(default_log.counts().values()))")
    assert (out, err.count("functions of the main module are not instrumented")) in [("1\n", 1), ("2\n", 0)]
    assert out == ("2\n" if HAS_MONITORING else "1\n")


@pytest.mark.usefixtures("folder")
def test_coverage_of_the_main_module_is_complete(run: Run) -> None:
    out, err = run("-m", "coverage", "run", "--data-file=coverage", "etl.py")
    report = subprocess.run(
        [sys.executable, "-m", "coverage", "report", "--data-file=coverage", "--include=etl.py"],
        env=clean_environment(COVERAGE_PROCESS_CONFIG=""),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert "100%" in report.stdout
    assert out == ("1\n" if HAS_MONITORING else "0\n")
    assert (err.count("functions of the main module are not instrumented: coverage") == 1) is not HAS_MONITORING


def test_running_main_module_is_instrumented() -> None:
    out, _ = run_program("main_instruments_itself", COVERAGE_PROCESS_CONFIG="")
    assert out == "[1, 1]\n"


def test_finalizers_find_the_names_of_the_main_module(folder: Path, run: Run) -> None:
    source = """
        import os
        def text(): return b"finalized"
        class Buffer:
            def __del__(self): os.write(1, text())
        buffer = Buffer()
        def save_rows(): ...
        """
    (folder / "buffer.py").write_text(textwrap.dedent(source), encoding="utf-8")
    out, err = run(folder / "buffer.py", target="__main__:*")
    assert (out, "Error" in err) == ("finalized", False)
