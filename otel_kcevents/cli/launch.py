"""Runs a program under `opentelemetry-instrument`, passes signals on to it, and returns its exit code."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import FrameType

from otel_kcevents.cli.sources import CommandError
from otel_kcevents.model.messages import short_repr

__all__ = ["describe_end", "find_program", "run_instrumented"]

# Does what the command opentelemetry-instrument does, which need not be on PATH. The current folder is removed from
# sys.path: a module of the program may have the name of one that the launcher imports.
_LAUNCHER = (
    "import sys; sys.path = list(filter(None, sys.path)); sys.argv[0] = 'opentelemetry-instrument'; "
    "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
)
_TERMINAL_SIGNALS = ("SIGINT", "SIGQUIT")  # a terminal sends them to the program as well
_FORWARDED = (*_TERMINAL_SIGNALS, "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_PYTHON = re.compile(r"python[\d.]*(\.exe)?")
_NOT_FOUND = 127  # the exit code that shells use


def find_program(program: Sequence[str]) -> list[str]:
    """Return the command line of a program, with the path of its executable.

    The scripts beside this Python are found even if their folder is not on PATH. A Python file that is not executable
    is run with this Python.

    Args:
        program: The program and its arguments.

    Raises:
        CommandError: The program does not exist, or `opentelemetry-instrument` is not installed.
    """
    try:
        metadata.distribution("opentelemetry-instrumentation")
    except metadata.PackageNotFoundError:
        raise CommandError(
            "mapping run needs opentelemetry-instrumentation; install it with pip install 'otel-kcevents[plugin]'"
        ) from None
    name, *arguments = program
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), os.path.dirname(sys.executable)))
    if found := shutil.which(name, path=folders):
        if _PYTHON.fullmatch(os.path.basename(found)) and os.path.abspath(found) != os.path.abspath(sys.executable):
            _check_python(found)
        return [found, *arguments]
    if name.endswith(".py") and os.path.isfile(name):
        return [sys.executable, *program]
    raise CommandError(
        f"cannot find the program {short_repr(name)}; write it as you would without this command, such as "
        "-- python etl.py",
        _NOT_FOUND,
    )


def _check_python(path: str) -> None:
    """Refuse a Python without the plugin, under which a program may run for hours and record nothing.

    Raises:
        CommandError: It cannot import the plugin.
    """
    imports = subprocess.run([path, "-c", "import otel_kcevents.plugin.instrumentor"], capture_output=True, check=False)
    if imports.returncode:
        raise CommandError(
            f"{path} cannot import the plugin; install otel-kcevents[plugin] there, or run the program with "
            f"{sys.executable}"
        )


def run_instrumented(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program under `opentelemetry-instrument`, with the streams of this process, until it ends.

    Args:
        command: Its command line, as `find_program` returns it.
        environment: The variables to add to the environment of this process.

    Returns:
        Its exit code; the negative number of the signal that killed it, if one did.
    """
    process: subprocess.Popen[bytes] | None = None
    may_run = False
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if may_run and signal.Signals(number).name in _TERMINAL_SIGNALS and _has_terminal():
            return
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    known = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    # What this process ignores, as under nohup, the program ignores as well.
    handled = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in handled}
    try:
        # The launcher drops one -- after the program.
        escaped = [command[0], *command[1:2], *command[1:]] if command[1:2] == ["--"] else command
        may_run = True  # set before the call: a key may be pressed before Popen returns
        process = subprocess.Popen([sys.executable, "-c", _LAUNCHER, *escaped], env={**os.environ, **environment})
        for number in early:
            process.send_signal(number)
        status = process.wait()
    except OSError as error:
        raise CommandError(f"cannot run {short_repr(command[0])}: {error.strerror or error}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def describe_end(status: int) -> str:
    """Return how a program ended: `exited with 1`, or `was killed by SIGTERM`.

    Args:
        status: What `run_instrumented` returned.
    """
    if status >= 0:
        return f"exited with {status}"
    names = {int(known): known.name for known in signal.Signals}  # without most real-time signals
    return f"was killed by {names.get(-status, f'signal {-status}')}"


def _has_terminal() -> bool:
    """Return whether a terminal sends the signals of its keys, such as Ctrl+C, to this process."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    except OSError:
        return False
