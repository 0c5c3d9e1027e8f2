"""`check_at_exit.py URL`: check two endpoints while no thread can be started, as when the interpreter exits."""

from __future__ import annotations

import atexit
import sys
import threading

from otel_kcevents.report.checks import check_endpoints


def check() -> None:
    threading.stack_size(1 << 46)  # before Python 3.12, only a lack of memory keeps a thread from starting
    for url in (sys.argv[1], "http://collector.invalid:1"):
        print(check_endpoints([("traces", url)])[0][1])


atexit.register(check)
