"""Run a program as `otel-kcevents mapping run` does, in a terminal, press Ctrl-C, end it, and print what it prints.

With the argument `at_start`, the key is pressed before the call that starts the program has returned.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from typing import Any

from otel_kcevents.cli.launch import run_instrumented

# Pending signals are delivered in the order of their numbers, so SIGINT is counted before SIGTERM ends the program.
PROGRAM = """
import signal, sys
interrupts = 0
signals = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while signal.sigwait(signals) == signal.SIGINT:
    interrupts += 1
    print("interrupted", flush=True)
print(interrupts, "in all", flush=True)
sys.exit(4)
"""


def start_slowly(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
    """Start the program, and return when the key has interrupted it."""
    process = start(*args, **kwargs)
    sys.stdin.readline()
    return process


def read_until(part: bytes) -> bytes:
    """Read from the terminal until the program has printed this."""
    out = b""
    while part not in out:
        out += os.read(terminal, 1000)
    return out


start = subprocess.Popen
child, terminal = pty.fork()
if child == 0:
    if sys.argv[1:] == ["at_start"]:
        subprocess.Popen = start_slowly  # type: ignore[assignment,misc]
    sys.exit(run_instrumented([sys.executable, "-S", "-c", PROGRAM], {}))
read_until(b"ready")
os.write(terminal, b"\x03")
read_until(b"interrupted")
os.write(terminal, b"\n")
os.kill(child, signal.SIGTERM)
print("interrupts:", *re.findall(r"(\d+) in all", read_until(b"in all").decode()))
_, status = os.waitpid(child, 0)
print("exit code:", os.waitstatus_to_exitcode(status))
