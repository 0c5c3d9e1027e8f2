"""The command `otel-kcevents serve`, in processes of its own."""

from __future__ import annotations

import os
import re
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
from clients import GENEROUS, ask_port, closed_port, filled
from conftest import clean_environment, wait_until
from journals import run_of, write, write_nights
from serving import Run

from otel_kcevents.cli import serve as serve_module
from otel_kcevents.model.event import Event
from otel_kcevents.store.remote import RemoteLog

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

Start = Callable[..., "tuple[subprocess.Popen[str], int]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the command on a free port, and return its process and the port; it is ended with the test."""
    with ExitStack() as stack:

        def start(*argv: str, **variables: str) -> tuple[subprocess.Popen[str], int]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-m", "otel_kcevents", "serve", "--port=0", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=tmp_path,
                    env=clean_environment(**variables),
                )
            )
            timer = Timer(GENEROUS, process.kill)
            timer.start()
            stack.callback(timer.join)
            stack.callback(timer.cancel)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            assert process.stdout
            line = process.stdout.readline()  # which is not kept back, although the output is a pipe
            assert re.fullmatch(r"serving .* at (http://\S+/), its log at \1model/etl/log\n", line)
            return process, int(line.rpartition(":")[2].partition("/")[0])

        yield start


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """End a process by a signal; return its exit code and what it printed."""
    process.send_signal(number)
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_journal_is_served_until_a_signal(start: Start, tmp_path: Path, number: int) -> None:
    """The exit code is 0."""
    write_nights(tmp_path / "log.db")
    process, port = start("log.db")
    assert RemoteLog(f"127.0.0.1:{port}").counts() == {
        "AllocationSetComputeError": 2,
        "AssetSetSaved": 5,
        "AssetSetTotaled": 1,
    }
    assert ask_port(port, target="/model/etl/runs").status == 200
    assert b'event="AssetSetTotaled"} 1.0' in ask_port(port, target="/metrics").body
    assert end(process, number) == (0, "", "")


def test_server_starts_before_its_journal_exists(start: Start, tmp_path: Path) -> None:
    """The file that the environment names is served as soon as a program writes it."""
    process, port = start(OTEL_PYTHON_KCEVENTS_LOG_FILE="log.db")
    assert ask_port(port).status == 503
    write(tmp_path / "log.db", run_of("a"), Event("AssetSetSaved", 1, 29))
    wait_until(lambda: ask_port(port).status == 200)  # the response is cached for a moment
    assert RemoteLog(f"127.0.0.1:{port}").counts() == {"AssetSetSaved": 1}
    code, out, err = end(process)
    assert (code, out) == (0, "")
    assert "log.db does not exist" in err
    assert "it is served as soon as it can be read" in err


def test_several_sources_are_served(start: Start, tmp_path: Path, url: str) -> None:
    write(tmp_path / "log.db", run_of("a"), Event("AssetSetSaved", 1, 29))
    (tmp_path / "saved.json").write_text(filled().document().to_json(), encoding="utf-8")
    with closed_port() as closed:
        _, port = start("log.db", "saved.json", url, f"127.0.0.1:{closed}")
        assert ask_port(port).status == 503  # one of the sources does not answer
    _, port = start("log.db", "saved.json", url)
    assert RemoteLog(f"127.0.0.1:{port}").counts()["AssetSetSaved"] == 3


def test_other_hosts_are_a_deliberate_option(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "log.db", run_of("a"), Event("AssetSetSaved", 1, 29))
    _, port = start("log.db", "--allowed-host=etl.example", "--addr=127.0.0.2")
    statuses = {
        host: ask_port(port, host="127.0.0.2", headers={"Host": host}).status
        for host in ("127.0.0.2", "etl.example", "attacker.example")
    }
    assert statuses == {"127.0.0.2": 200, "etl.example": 200, "attacker.example": 421}


def test_port_that_is_taken_is_an_error(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "log.db", run_of("a"), Event("AssetSetSaved", 1, 29))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("serve", f"--port={port}", str(tmp_path / "log.db"))
    assert (ran.code, ran.out) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}: [Errno 98] Address already in use" in ran.err


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ((), "http://127.0.0.1:9003/model/etl/log would be this server itself; give a journal"),
        (("localhost:9003",), "would be this server itself"),
        (("log.db", "--port=65536"), "expected a number from 0 to 65535, got '65536'"),
        (("log.db", "--port=0", "--addr="), "addr must be an address"),
        (("log.db", "--port=0", "--allowed-host=a/b"), "'a/b', which is not a host"),
    ],
)
def test_wrong_server_is_a_usage_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "log.db", run_of("a"), Event("AssetSetSaved", 1, 29))
    ran = run("serve", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert part in ran.err


def test_document_that_is_invalid_is_not_served(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    ran = run("serve", "--port=0", str(tmp_path / "x.json"))
    assert (ran.code, ran.out) == (1, "")
    assert "is not a log document" in ran.err


def test_handlers_of_signals_are_restored(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "log.db", run_of("a"), Event("AssetSetSaved", 1, 29))
    before: list[Any] = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    monkeypatch.setattr(serve_module, "print_lines", lambda lines: os.kill(os.getpid(), signal.SIGTERM))
    assert run("serve", "--port=0", str(tmp_path / "log.db")).code == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
