"""The command `otel-kcevents` as a whole, called in this process and run in one of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from clients import GENEROUS, Stage, log_of
from serving import Run

from otel_kcevents.cli.main import main
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.store.log import EventLog
from otel_kcevents.version import __version__

ROOT = Path(__file__).parents[2]


def test_version_is_shown(run: Run) -> None:
    assert run("--version") == (0, f"otel-kcevents {__version__}\n", "")


def test_command_without_arguments_prints_help(run: Run) -> None:
    ran = run()
    assert ran == run("--help")
    assert all(f"\n    {name} " in ran.out for name in ("log", "tail", "check"))


@pytest.mark.parametrize("argv", [("logs",), ("check",), ("log", "--what"), ("tail", "-n")])
def test_usage_error_shows_the_usage(run: Run, argv: tuple[str, ...]) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("usage: otel-kcevents ")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("log", "[--window WINDOW] [--set-window WINDOW] [--errors] [--exit-code] [SOURCE ...]"),
        ("tail", "[-n N] [--interval SECONDS] [SOURCE ...]"),
    ],
)
def test_help_names_the_options(run: Run, command: str, options: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert options in " ".join(out.split())


@pytest.mark.parametrize(
    ("command", "is_read"),
    [("log", True), ("coverage", True), ("serve", True), ("report", True), ("runs", False), ("tail", False)],
)
def test_help_names_documents_only_if_they_are_read(run: Run, command: str, is_read: bool) -> None:
    assert ("a saved document or report" in " ".join(run(command, "--help").out.split())) is is_read


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_disk_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["log", url]) == 1
    assert "No space left on device" in capsys.readouterr().err


def test_closed_pipe_is_not_an_error(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last flush does not fail either."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["log", url]) == 0
    assert capsys.readouterr().err == ""


# In a process of its own


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command; it is killed at the end of the test, or if it runs for too long."""
    with ExitStack() as stack:

        def start(*argv: str, **options: Any) -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "error", "-m", "otel_kcevents", *argv]
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT, **options}
            process = stack.enter_context(subprocess.Popen(command, text=True, encoding="utf-8", **options))
            timer = Timer(GENEROUS, process.kill)
            timer.start()
            stack.callback(timer.join)
            stack.callback(timer.cancel)
            stack.callback(process.kill)
            return process

        yield start


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process, and return its exit code and what it printed."""
    out, err = process.communicate()
    return process.returncode, out or "", err


def test_process_ends_with_the_exit_code(start: Start, run: Run, url: str) -> None:
    """A process prints the same as a call of `main()`."""
    assert ended(start("log", url)) == run("log", url)
    assert ended(start("log", "--kind=Nope", url)) == run("log", "--kind=Nope", url)


def test_document_may_come_through_a_pipe(start: Start, url: str) -> None:
    """`log --json | check -` is a valid document."""
    code, out, err = ended(start("check", "-", stdin=start("log", "--json", url).stdout))
    assert (code, err) == (0, "")
    assert out == "-: a valid log document: allocation 2, asset 2; 4 events of 4 kinds counted\n"


def test_log_is_read_from_a_pipe(start: Start, run: Run, url: str) -> None:
    """`log --json | log -` shows what `log` shows."""
    assert ended(start("log", "-", stdin=start("log", "--json", url).stdout)) == run("log", url)


posix = pytest.mark.skipif(os.name != "posix", reason="pipes and signals are POSIX's")


@posix
def test_head_ends_the_command_quietly(start: Start, stage: Stage, url: str) -> None:
    """`log | head -1` gets its line, although most of the output is never read."""
    stage.log = log_of(*(Event("AssetSetComputeError", 1, failure=Failure("E", "x" * 10_000)) for _ in range(200)))
    reading, writing = os.pipe()
    process = start("log", url, stdout=writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        assert pipe.readline().startswith("TIME ")
    assert ended(process) == (0, "", "")


@posix
def test_tail_shows_new_events_until_ctrl_c(start: Start, url: str, log: EventLog) -> None:
    process = start("tail", "-n0", "--interval=0.05", url)
    assert process.stdout
    assert process.stdout.readline().startswith("TIME ")
    log.append(Event("AssetSetLoaded", 1, 1))
    assert process.stdout.readline().split()[:3] == ["1970-01-01T00:00:00.000Z", "AssetSetLoaded", "1"]
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "", "")


@posix
def test_ctrl_c_ends_the_wait_for_an_answer(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start("log", f"127.0.0.1:{silent.getsockname()[1]}")
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            assert ended(process) == (130, "", "")
