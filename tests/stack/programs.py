"""Find, start and stop the real programs, with the unchanged files of `collector-config/`."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import pytest
from conftest import clean_environment

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"
REQUIRED = os.environ.get("KCEVENTS_STACK") == "required"
TIMEOUT = 60.0  # seconds; the machine may be busy with other work

_T = TypeVar("_T")

running: list[Program] = []


class Program:
    """A back end that can be started again after it was stopped or killed."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path, ready: str) -> None:
        """Prepare a program.

        Args:
            name: Its name in messages and of its log file.
            command: The command line.
            environment: Variables to add to `clean_environment`.
            folder: Its working directory, which also holds its log.
            ready: A URL that returns status 200 when the program is ready.
        """
        self.name = name
        self.command = command
        self.environment = environment
        self.folder = folder
        self.ready = ready
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready. If it ends instead, the test fails with its log."""
        with self.log.open("ab") as log:
            process = self.process = subprocess.Popen(
                self.command, env=clean_environment(**self.environment), cwd=self.folder, stdout=log, stderr=log
            )
        running.append(self)

        def is_ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"{self.name} ended unexpectedly:\n{self.tail()}")
            return http_status(self.ready) == 200

        wait_until(is_ready, f"{self.name} to be ready")

    def kill(self) -> None:
        """Send SIGKILL, which leaves no time to write or send anything."""
        self._end(subprocess.Popen.kill)

    def stop(self) -> None:
        """Send SIGTERM and wait."""
        self._end(subprocess.Popen.terminate)

    def _end(self, send_signal: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        running.remove(self)
        send_signal(process)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


_ports = iter(random.sample(range(20_000, 32_768), 12_768))  # below the range that the system assigns to clients


def free_address() -> str:
    """Return a loopback address on which nothing listens, a different one each time."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"
    raise AssertionError("all ports from 20000 to 32767 are in use or were already returned")


def http_status(url: str) -> int:
    """Return the status of a GET request, or 0 if nothing listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_until(condition: Callable[[], _T], what: str) -> _T:
    """Poll until the condition returns something true, and return that; fail after `TIMEOUT` seconds."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {TIMEOUT:.0f} s for {what}; the last value was {found!r}")
        time.sleep(0.1)
    return found


@lru_cache
def _build_folder() -> Path | None:
    bash = shutil.which("bash")
    if bash is None:
        return None
    where = subprocess.run([bash, str(CONFIG / "build.sh"), "--where"], capture_output=True, text=True, check=True)
    return Path(where.stdout.strip())


def path_of(name: str) -> str:
    """Return the path of `otelcol-kcevents`, `jaeger`, `prometheus` or `promtool`; skip the test if it is missing."""
    if name in ("prometheus", "promtool"):
        path, remedy = shutil.which(name), "apt-get install prometheus"
    else:
        folder, remedy = _build_folder(), "collector-config/build.sh"
        path = str(folder / name) if folder is not None and (folder / name).exists() else None
    if path is not None:
        return path
    if REQUIRED:
        pytest.fail(f"{name} not found; run: {remedy}")
    pytest.skip(f"{name} not found; run: {remedy}")


def run(*command: str) -> str:
    """Return what a command prints; fail the test if the command fails."""
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def start_python(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """Start Python with this checkout's package, such as on a script or with `-m`, with its output in pipes."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_output(process: subprocess.Popen[str], pattern: str) -> str:
    """Return the first match in what a program prints; fail the test if the program ends without one."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(pattern, line):
            return found[0]
    pytest.fail(f"the program ended without printing {pattern!r}:\n{process.communicate()[1]}")
