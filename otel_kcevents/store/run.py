"""`Run`: one process of a program, from its start to its end; `current_run()` is the run of this process.

A run has a random id, because process ids are reused, and are not unique across containers. Its parent is the
nearest ancestor that has written to a journal: each such process publishes its id in its environment, which the
processes that it forks and starts inherit.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path
from time import time_ns
from typing import NamedTuple

from otel_kcevents.model.messages import error_message, to_utf8, type_name

__all__ = [
    "PARENT_VARIABLE",
    "Run",
    "change_run",
    "complete_run",
    "current_run",
    "failure_detail",
    "is_helper",
    "name_run",
    "outcome_of_run",
    "publish_run",
    "restore_run",
]

PARENT_VARIABLE = "OTEL_PYTHON_KCEVENTS_RUN"
"""The environment variable with the id of a run, set for the processes that it starts."""


class Run(NamedTuple):
    """One process of a program.

    Attributes:
        id: A random id of 16 hexadecimal digits.
        parent: The id of the run that started it; None if no such run is known.
        name: The argument of `run()`, the name of a `multiprocessing` process, or the program.
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
    """Return the name of the script, or `-m` with the name of the module; never an argument, which may be a secret."""
    return to_utf8(_given_program())


def _given_program() -> str:
    main = sys.modules.get("__mp_main__") or sys.modules.get("__main__")  # a spawned process runs it by this name
    module = getattr(getattr(main, "__spec__", None), "name", None)
    if isinstance(module, str) and module != "__main__":  # which is the name for a folder or a zip file
        return f"-m {module.removesuffix('.__main__')}"
    given = sys.argv[0] if sys.argv else ""
    if given == "-m":  # site customization runs before Python has found the module
        (option,) = sys.orig_argv[-len(sys.argv) :][:1] or ["?"]  # before the arguments: `nightly`, or `-Bmnightly`
        return f"-m {option.partition('m')[2] if option.startswith('-') else option}"
    return "python" if given in ("", "-") else Path(str(given)).name


def _worker_name() -> str | None:
    """Return the name of a process of `multiprocessing`, or of Celery's fork of it; None in other processes."""
    for package in ("multiprocessing", "billiard"):
        module = sys.modules.get(f"{package}.process")
        if module is not None and (name := module.current_process().name) != "MainProcess":
            return to_utf8(name)
    return None


def _begin(service: str | None = None) -> Run:
    parent = os.environ.get(PARENT_VARIABLE) or None
    program = _program()
    host = to_utf8(socket.gethostname())
    return Run(os.urandom(8).hex(), parent, program, program, service, host, os.getpid(), time_ns())


def current_run() -> Run:
    """Return the run of this process. It does not change, except by the functions below and in a forked child."""
    return _current


def is_helper() -> bool:
    """Return whether this process is a helper of multiprocessing, such as a fork server, or still has no work.

    A spawned process runs site customization before it gets the work from its parent. A helper never gets any, but a
    process that a fork server forks does.
    """
    started_by, package = (sys.argv or [""])[0], r"multiprocessing\.|billiard\.|[\w.]*\bloky\."
    if started_by == "-c":
        return any(re.match(rf"from (?:{package})\w+(?:\.\w+)* import ", argument) for argument in sys.orig_argv)
    return started_by == "-m" and any(re.match(package, argument) for argument in sys.orig_argv)


def complete_run() -> None:
    """Set the program and the name of the run of this process, unless that has been done.

    When the package is imported, the program may not have begun: site customization may import it, and a process of
    `multiprocessing` gets its name and the program of its parent later.
    """
    global _current, _is_complete
    if not _is_complete:
        _is_complete = True
        program = _program()
        inherited = _current.name if _current.name != _current.program else program
        name = _worker_name() if _current.parent else None  # a worker's name says little without its parent
        _current = _current._replace(program=program, name=name or inherited)


def change_run(*, service: str | None = None, failure: str | None = None) -> None:
    """Set what is known about the run of this process; None leaves a field unchanged.

    Args:
        service: The name of the service.
        failure: Why it failed.
    """
    global _current
    _current = _current._replace(service=service or _current.service, failure=failure or _current.failure)


def name_run(name: str, trace_id: str | None) -> None:
    """Name the run of this process at the start of its work, and forget an earlier failure.

    Args:
        name: The new name.
        trace_id: The trace of its root span, as 32 hexadecimal digits; None if it has none.
    """
    global _current
    complete_run()
    _current = _current._replace(name=to_utf8(name), trace_id=trace_id, failure=None)


def restore_run(run: Run) -> None:
    """Undo what has been changed about the run of this process, for a test.

    Args:
        run: An earlier result of `current_run()`, after `complete_run()`. In a child that was forked meanwhile, nothing
            is undone.
    """
    global _current
    if run.id == _current.id:
        _current = run


def publish_run() -> None:
    """Make this run the parent of the runs of the processes that this one starts."""
    os.environ[PARENT_VARIABLE] = _current.id


def failure_detail(error: BaseException) -> str:
    """Return why a run failed: the type and the message of an exception, scrubbed, or an exit code.

    Args:
        error: The exception.
    """
    if isinstance(error, SystemExit):
        if isinstance(error.code, int):
            return f"exit code {int(error.code)}"
        return f"exit code 1: {error_message(error)}"
    return ": ".join(filter(None, (type_name(error), error_message(error))))


def outcome_of_run() -> tuple[str, str | None]:
    """Return how the run of this process ends, as far as it can be seen, and why.

    Python stores an uncaught exception of the main thread in `sys.last_value`, but not a SystemExit. In an interactive
    session, an exception ends nothing.
    """
    error = getattr(sys, "last_value", None)
    if isinstance(error, BaseException) and not hasattr(sys, "ps1"):
        return "failed", failure_detail(error)
    return ("ended", None) if _current.failure is None else ("failed", _current.failure)


def _after_fork_in_child() -> None:
    global _current, _is_complete
    _current = _begin(_current.service)._replace(name=_current.name, program=_current.program)
    _is_complete = False


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)

_current = _begin()
_is_complete = False
