"""`report_crash_to()`: write a bug report when an uncaught exception ends the program."""

from __future__ import annotations

import atexit
import os
import re
import sys
from datetime import datetime, timezone
from os import PathLike

from otel_kcevents.model.messages import error_message, short_repr
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.report.build import build_report
from otel_kcevents.report.facts import current_facts
from otel_kcevents.report.file import save_report
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.run import current_run

__all__ = ["report_crash_to"]

_PREFIX = "kcevents-report-"
_MAX_REPORTS = 100  # a program that is restarted again and again must not fill the disk

_folder: str | None = None
_log: EventLog | None = None
_warned: str | None = None  # the folder that was missing when it was set


def report_crash_to(folder: str | PathLike[str], log: EventLog) -> None:
    """Write a report to a folder when an uncaught exception ends this program, or a process that it forks.

    The exception is looked for at exit, where Python has stored it; no hook is installed, so what the program prints
    and its exit code stay as they are. KeyboardInterrupt and SystemExit are not reported.

    Args:
        folder: The folder, which must exist. A further call replaces it.
        log: The log whose document is appended.

    Raises:
        TypeError: *folder* is not a path.
    """
    global _folder, _log, _warned
    if not isinstance(folder, (str, PathLike)):
        raise TypeError(f"report_on_crash must be the path of a folder or None, got {short_repr(folder)}")
    is_first = _folder is None
    _folder, _log = os.path.abspath(os.fspath(folder)), log
    if not os.path.isdir(_folder):
        _warned = _folder
        _logger.warning("report_on_crash=%s is not a folder; create it, or no report is written", short_repr(_folder))
    if is_first:
        atexit.register(_report_crash)


def _report_crash() -> None:
    error = getattr(sys, "last_value", None)  # set for an uncaught exception of the main thread only
    is_crash = isinstance(error, BaseException) and not isinstance(error, KeyboardInterrupt) and not hasattr(sys, "ps1")
    if not is_crash or _folder is None or _log is None:
        return
    try:
        if sum(name.startswith(_PREFIX) for name in os.listdir(_folder)) >= _MAX_REPORTS:
            raise OSError(f"the folder has {_MAX_REPORTS} reports; remove some")
        facts = current_facts()
        text = build_report(_log, facts._replace(writer=f"{facts.writer}, which an exception ends"), error=error)
        path = os.path.join(_folder, _file_name())
        save_report(path, text)
    except Exception as problem:  # nothing may change how the program ends
        if not (_warned == _folder and isinstance(problem, FileNotFoundError)):
            _logger.warning("cannot write a bug report to %s: %s", _folder, error_message(problem))
    else:
        _logger.warning("an exception ends the program; a bug report is in %s", path)


def _file_name() -> str:
    run = current_run()
    program = re.sub(r"[^\w.\-]+", "-", run.program.removeprefix("-m ").removesuffix(".py"), flags=re.ASCII)[:60]
    return f"{_PREFIX}{program.strip('-.') or 'python'}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{run.pid}.txt"
