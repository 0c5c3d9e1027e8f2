"""How `otel-kcevents mapping run` finds the program, and what it refuses before the program runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from conftest import run_program

from otel_kcevents.cli.launch import describe_end, find_program, run_instrumented
from otel_kcevents.cli.sources import CommandError


def test_program_on_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "etl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program(["etl", "--day", "1"]) == [str(program), "--day", "1"]


def test_scripts_beside_python_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_program([Path(sys.executable).name]) == [sys.executable]


def test_python_file_is_run_without_naming_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("etl.py").touch()
    assert find_program(["etl.py", "x"]) == [sys.executable, "etl.py", "x"]


def test_python_without_the_plugin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    message = re.escape(f"{other} cannot import the plugin; ") + ".*" + re.escape(f"with {sys.executable}")
    with pytest.raises(CommandError, match=message):
        find_program(["python3", "etl.py"])


def test_another_python_with_the_plugin_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\nexit 0\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_program(["python3", "etl.py"]) == [str(other), "etl.py"]


def test_program_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CommandError, match="cannot find the program 'no_such_program'; write it as") as refused:
        find_program(["no_such_program"])
    assert refused.value.status == 127


def test_missing_launcher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(CommandError, match="install it with pip install 'otel-kcevents\\[plugin\\]'"):
        find_program([sys.executable])


def test_python_that_has_been_deleted_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(CommandError, match="cannot run 'etl': No such file or directory"):
        run_instrumented(["etl"], {})


def test_signal_before_the_program_starts_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def start_late(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        signal.raise_signal(signal.SIGTERM)
        return start(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", start_late)
    assert run_instrumented([sys.executable, "-S", "-c", "import time; time.sleep(20)"], {}) == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (0, "exited with 0"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-35, "was killed by signal 35"),
    ],
)
def test_end_of_a_program_is_described(status: int, end: str) -> None:
    assert describe_end(status) == end


@pytest.mark.parametrize("moment", [[], ["at_start"]], ids=["later", "at its start"])
def test_keys_of_a_terminal_interrupt_the_program_once(moment: list[str]) -> None:
    """The terminal sends the signal to the program as well."""
    out, _ = run_program("in_terminal", *moment)
    assert out.splitlines() == ["interrupts: 1", "exit code: 4"]
