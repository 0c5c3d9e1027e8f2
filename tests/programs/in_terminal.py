"""Run a program as `otel-kcevents mapping run` does, in a terminal, press Ctrl-C, and print what it prints."""

from __future__ import annotations

import os
import pty
import re
import sys

from otel_kcevents.cli.launch import run_instrumented

PROGRAM = """
import signal, sys, time
interrupts = 0
def interrupt(*_):
    global interrupts
    interrupts += 1
    signal.alarm(1)  # another one would come at once
def end(*_):
    print("interrupts:", interrupts, flush=True)
    sys.exit(4)
signal.signal(signal.SIGINT, interrupt)
signal.signal(signal.SIGALRM, end)
print("ready", flush=True)
while True:
    signal.pause()
"""

child, terminal = pty.fork()
if child == 0:
    sys.exit(run_instrumented([sys.executable, "-S", "-c", PROGRAM], {}))
out = b""
while b"ready" not in out:
    out += os.read(terminal, 1000)
os.write(terminal, b"\x03")
while b"interrupts:" not in out:
    out += os.read(terminal, 1000)
_, status = os.waitpid(child, 0)
print(*re.findall(r"interrupts: \d", out.decode()))
print("exit code:", os.waitstatus_to_exitcode(status))
