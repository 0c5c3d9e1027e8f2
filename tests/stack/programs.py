"""The real programs as processes of a test: found, started with the very files of `collector-config/`, ended."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"
REQUIRED = os.environ.get("KCEVENTS_STACK") == "required"
PATIENCE = 60.0  # seconds; the machine may be busy with other work

_T = TypeVar("_T")

running: list[Program] = []


class Program:
    """One running program, with its log in a file and the address that says when it is ready."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path, ready: str) -> None:
        self.name, self.command, self.environment, self.folder, self.ready = name, command, environment, folder, ready
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Start, or start again."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=clean_environment(self.environment), cwd=self.folder, stdout=log, stderr=log
            )
        running.append(self)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it answers; a program that ends instead fails the test with its log."""

        def answers() -> bool:
            if self.process is None or self.process.poll() is not None:
                pytest.fail(f"{self.name} ended by itself:\n{self.tail()}")
            return http_status(self.ready) == 200

        until(answers, f"{self.name} to be ready")

    def kill(self) -> None:
        """SIGKILL: no time to write or send anything."""
        self._end(subprocess.Popen.kill)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(subprocess.Popen.terminate)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        running.remove(self)
        how(process)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Our environment without what would reconfigure OpenTelemetry, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "KCEVENTS_", "JAEGER_"))}
    return {**kept, **more}


_ports = iter(random.sample(range(20_000, 32_768), 12_768))  # below those that the system gives to whoever connects


def free_port() -> int:
    """A loopback port that nobody listens on, another one each time."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port from 20000 to 32767 was given away or is taken")


def address(port: int) -> str:
    """A port as the files of `collector-config/` want it."""
    return f"127.0.0.1:{port}"


def http_status(url: str) -> int:
    """The status that a URL answers with; 0 where nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def until(condition: Callable[[], _T], what: str, patience: float = PATIENCE) -> _T:
    """Poll until the condition gives something true, and return it; fail after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:.0f} s for {what}, in vain; it was {found!r} at last")
        time.sleep(0.1)


def _missing(reason: str) -> str:
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@lru_cache
def _built() -> Path | None:
    bash = shutil.which("bash")
    if bash is None:
        return None
    where = subprocess.run([bash, str(CONFIG / "build.sh"), "--where"], capture_output=True, text=True, check=True)
    return Path(where.stdout.strip())


def program(name: str) -> str:
    """The path of `otelcol-kcevents`, `jaeger`, `prometheus` or `promtool`; skips the test where it is missing."""
    if name in ("prometheus", "promtool"):
        return shutil.which(name) or _missing(f"{name} is not installed; run: apt-get install prometheus")
    folder = _built()
    if folder is not None and (folder / name).exists():
        return str(folder / name)
    return _missing(f"{name} is not built; run: collector-config/build.sh")


def run(command: Iterable[str], environment: Mapping[str, str] | None = None) -> str:
    """What a command prints; its failure fails the test, with what it printed."""
    command = list(command)
    done = subprocess.run(
        command, env=clean_environment(environment or {}), capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def python(script: Path, arguments: Iterable[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A Python program that finds the package of this checkout, its output in a pipe."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env=clean_environment({**environment, "PYTHONPATH": path}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of(pipe: IO[str] | None) -> IO[str]:
    """A pipe that is known to be one."""
    assert pipe is not None
    return pipe
