"""Promises of the command `otel-kcevents` as a whole, called in this process and run in one of its own."""

from __future__ import annotations

import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, Any

import pytest
from clients import ASSETS, GENEROUS, SAVED, Stage, log_of
from serving import Run

from otel_kcevents import start_http_server
from otel_kcevents.cli.main import main
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.version import __version__

ROOT = Path(__file__).parents[2]


def test_version_is_shown(run: Run) -> None:
    assert run("--version") == (0, f"otel-kcevents {__version__}\n", "")


@pytest.mark.parametrize("argv", [(), ("logs",), ("check",), ("log", "--what"), ("log", "a:1", "b:2")])
def test_wrong_usage_shows_the_usage(run: Run, argv: tuple[str, ...]) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("usage: otel-kcevents ")


def test_python_m_is_the_command(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["otel_kcevents", "log", url])
    monkeypatch.delitem(sys.modules, "otel_kcevents.__main__", raising=False)
    with pytest.raises(SystemExit) as exit:
        runpy.run_module("otel_kcevents", run_name="__main__")
    assert exit.value.code == 0
    assert "AllocationSetSaved" in capsys.readouterr().out


def test_closed_pipe_is_not_an_error(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither is the interpreter's last flush."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["log", url]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_disk_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["log", url]) == 1
    assert capsys.readouterr().err == "otel-kcevents: cannot write: [Errno 28] No space left on device\n"


# In a process of its own


class Process:
    """The command, running: its next line of output or of messages can be waited for."""

    def __init__(self, *argv: str, **options: Any) -> None:
        arguments = [sys.executable, "-W", "error", "-m", "otel_kcevents", *argv]
        pipe = subprocess.PIPE
        options = {"stdout": pipe, "stderr": pipe, "cwd": ROOT, **options}
        self.popen = subprocess.Popen(arguments, text=True, encoding="utf-8", **options)
        self.readers: list[Thread] = []
        self.out, self.err = (self._read(stream) for stream in (self.popen.stdout, self.popen.stderr))

    def _read(self, stream: IO[str] | None) -> Callable[[], str]:
        lines: Queue[str] = Queue()

        def read() -> None:
            for line in stream or ():
                lines.put(line)
            lines.put("")

        self.readers.append(Thread(target=read))
        self.readers[-1].start()
        return lambda: lines.get(timeout=GENEROUS)

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """The exit code and what is left of both streams, after a signal if one is given."""
        if number is not None:
            self.popen.send_signal(number)
        code = self.popen.wait(GENEROUS)
        return code, "".join(iter(self.out, "")), "".join(iter(self.err, ""))

    def kill(self) -> None:
        self.popen.kill()
        for reader in self.readers:
            reader.join()
        with self.popen:  # closes the pipes
            pass


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*argv: str, **options: Any) -> Process:
        started.append(Process(*argv, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()


Start = Callable[..., Process]


def test_process_ends_with_the_exit_code(start: Start, run: Run, url: str) -> None:
    """The process prints what the call prints."""
    assert start("log", url).end() == run("log", url)
    assert start("log", "--kind=Nope", url).end() == run("log", "--kind=Nope", url)


def test_document_may_come_through_a_pipe(start: Start, url: str) -> None:
    """`log --json | check -` is a valid document."""
    first = subprocess.Popen(
        [sys.executable, "-m", "otel_kcevents", "log", "--json", url], stdout=subprocess.PIPE, cwd=ROOT
    )
    with first:
        counted = "allocation 2, asset 2; 4 events of 4 kinds counted"
        assert start("check", "-", stdin=first.stdout).end() == (0, f"-: a valid log document: {counted}\n", "")


posix = pytest.mark.skipif(os.name != "posix", reason="pipes and signals are POSIX's")


@posix
def test_head_ends_the_command_quietly(start: Start, stage: Stage, url: str) -> None:
    """`log | head -1` gets its line, though most of the output goes nowhere."""
    stage.log = log_of(*(Event("AssetSetComputeError", 1, failure=Failure("E", "x" * 10_000)) for _ in range(200)))
    reading, writing = os.pipe()
    process = start("log", url, stdout=writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        assert pipe.readline().startswith("TIME ")
    assert process.popen.wait(GENEROUS) == 0
    assert process.err() == ""


@posix
def test_ctrl_c_ends_tail_quietly(start: Start, url: str) -> None:
    process = start("tail", url)
    assert process.out().startswith("TIME ")
    code, _, err = process.end(signal.SIGINT)
    assert (code, err) == (130, "")


@posix
def test_ctrl_c_ends_the_wait_for_an_answer(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start("log", f"127.0.0.1:{silent.getsockname()[1]}")
        with silent.accept()[0]:
            assert process.end(signal.SIGINT) == (130, "", "")


@posix
def test_tail_outlives_the_program(start: Start) -> None:
    """It reports that the program is gone, is back and restarted, and shows what it does then."""
    with start_http_server(0, log=log_of(SAVED, ASSETS)) as first:
        process = start("tail", "--interval", "0.05", f"127.0.0.1:{first.port}")
        assert [process.out().split()[1] for _ in range(3)] == ["KIND", SAVED.kind, ASSETS.kind]
    assert process.err().startswith(f"otel-kcevents: {first.url} does not answer: ")
    log = log_of(Event("AssetSetLoaded", 1, 1))
    with start_http_server(first.port, log=log, cache_seconds=0):
        assert process.err() == f"otel-kcevents: {first.url} answers again\n"
        assert process.err().startswith(f"otel-kcevents: the program at {first.url} restarted")
        assert process.out().split()[:3] == ["1970-01-01T00:00:00.000000001Z", "AssetSetLoaded", "1"]
        log.append(Event("AssetSetLoaded", 2, 2))
        assert process.out().split()[:3] == ["1970-01-01T00:00:00.000000002Z", "AssetSetLoaded", "2"]
        assert process.end(signal.SIGINT) == (130, "", "")
