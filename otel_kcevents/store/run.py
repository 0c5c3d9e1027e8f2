"""`Run`: one process of a program, from its start to its end; `current_run()` is the run of this process."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from time import time_ns
from typing import NamedTuple

__all__ = ["Run", "change_run", "current_run", "publish_run"]

_PARENT = "OTEL_PYTHON_KCEVENTS_RUN"  # set for the processes that this one starts


class Run(NamedTuple):
    """One process of a program.

    Attributes:
        id: A random name: 16 hexadecimal digits.
        parent: The id of the run that started it; None if no such run is known.
        name: What a person calls it: the argument of `run()`, or the program.
        program: The name of the script or module, without its arguments.
        service: The name of the service; None if unknown.
        host: The name of the machine.
        pid: The id of the process.
        started: When it started, in nanoseconds since 1970.
        trace_id: The trace of its root span, as 32 hexadecimal digits; None if it has none.
        failure: Why it failed, so far; None if it did not.
    """

    id: str
    parent: str | None
    name: str
    program: str
    service: str | None
    host: str
    pid: int
    started: int
    trace_id: str | None = None
    failure: str | None = None


def _program() -> str:
    """Return the name of the script, or `-m` with the name of the module; never an argument."""
    given = sys.orig_argv[1:]
    for place, argument in enumerate(given):
        if argument == "-m" and place + 1 < len(given):
            return f"-m {given[place + 1]}"
        if not argument.startswith("-"):
            break
    return Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"


def _begin(parent: str | None, service: str | None = None) -> Run:
    program = _program()
    return Run(os.urandom(8).hex(), parent, program, program, service, socket.gethostname(), os.getpid(), time_ns())


def current_run() -> Run:
    """Return the run of this process. It does not change, except by `change_run()` and in a forked child."""
    return _current


def change_run(
    *,
    name: str | None = None,
    service: str | None = None,
    trace_id: str | None = None,
    failure: str | None = None,
) -> None:
    """Set what is known about the run of this process; None leaves a field unchanged.

    Args:
        name: What a person calls it.
        service: The name of the service.
        trace_id: The trace of its root span, as 32 hexadecimal digits.
        failure: Why it failed.
    """
    global _current
    run = _current
    _current = run._replace(
        name=name or run.name,
        service=service or run.service,
        trace_id=trace_id or run.trace_id,
        failure=failure or run.failure,
    )


def publish_run() -> None:
    """Make this run the parent of the runs of the processes that this one starts."""
    os.environ[_PARENT] = _current.id


def _after_fork_in_child() -> None:
    global _current
    _current = _begin(_current.id, _current.service)._replace(name=_current.name)


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)

_current = _begin(os.environ.get(_PARENT) or None)
