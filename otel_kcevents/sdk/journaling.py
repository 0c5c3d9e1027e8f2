"""The journal of a configured program: chooses its file, and attaches it to the log."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from opentelemetry import trace

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk import published, settings
from otel_kcevents.store.covers import covers
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.run import change_run
from otel_kcevents.store.run_end import begin_with_calls

if TYPE_CHECKING:
    from otel_kcevents.store.journal import Journal

__all__ = ["LogFile", "choose_log_file", "keep_in_file"]

# Each log has one file, and each file one log, in the cover of a test or, for None, outside of tests.
_kept: list[tuple[object | None, EventLog, Journal]] = []
_warned: set[str] = set()


class LogFile(NamedTuple):
    """The file of a journal, as an argument or the environment names it.

    Attributes:
        path: Its path; None if there is none.
        argument: The argument, for messages; None if there is none, or the environment names the file.
        retention: How many events of each kind to keep; None for no limit.
        max_age: How long to keep events; None for no limit.
    """

    path: str | None
    argument: str | None = None
    retention: int | None = None
    max_age: timedelta | None = None


def choose_log_file(log_file: str | os.PathLike[str] | Literal[False] | None) -> LogFile:
    """Return the file for the journal, checked as far as possible without opening it.

    Args:
        log_file: The argument of `configure()`.

    Raises:
        TypeError: *log_file* is neither a path nor False nor None.
        ValueError: The path, or the retention in the environment, is malformed.
    """
    if log_file is False:
        return LogFile(None, "log_file=False")
    if log_file is not None and not isinstance(log_file, (str, os.PathLike)):
        raise TypeError(f"log_file must be the path of a file, False or None, got {short_repr(log_file)}")
    path: Any = os.fspath(log_file or "")
    argument = f"log_file={short_repr(path)}" if path else None
    path = path or settings.log_file()
    if not path:
        return LogFile(None)
    if not isinstance(path, str) or "\0" in path:
        raise ValueError(f"log_file must be the path of a file such as 'kcevents.db', got {short_repr(path)}")
    return LogFile(path, argument, *settings.log_file_retention())


def keep_in_file(log: EventLog, file: LogFile, service_name: str | None = None) -> Journal | None:
    """Attach a journal to a log, and publish its file to child processes; doing so again changes nothing.

    A log is kept in one file, and a file keeps one log: an event on a span reaches all logs, and would be counted for
    each of them.

    Args:
        log: The log.
        file: The file.
        service_name: The name of the service, if the tracer provider has none.

    Returns:
        The journal; None if there is none, or if the log or the file already has another.
    """
    journal = None
    if file.path is not None:
        from otel_kcevents.store.journal import Journal  # here, because it imports sqlite3

        journal = Journal(file.path, file.retention, file.max_age)
    present = covers()
    _kept[:] = [one for one in _kept if one[0] in present]
    for other_log, other in _kept_now():
        if (other_log is log) != (other is journal):
            if file.argument is not None and file.argument not in _warned:
                _warned.add(file.argument)
                log_is_kept = other_log is log
                reason = f"the log has been kept in {other.path}" if log_is_kept else "the file has kept another log"
                _logger.warning("%s is not used: %s since an earlier call of configure()", file.argument, reason)
            return None
    if journal is None:
        if file.argument is not None:
            published.publish_log_file(None)
        return None
    attributes: Any = getattr(getattr(trace.get_tracer_provider(), "resource", None), "attributes", {})
    service = str(attributes.get("service.name", ""))
    change_run(service=service_name if not service or service.startswith("unknown_service") else service)
    if (log, journal) not in _kept_now():
        _kept.append((present[-1], log, journal))
        log.attach(journal, begin=False)
        begin_with_calls(journal)
    published.publish_log_file(_kept_now()[0][1].path)
    return journal


def _kept_now() -> list[tuple[EventLog, Journal]]:
    cover = covers()[-1]
    return [(log, journal) for one, log, journal in _kept if one is cover]


def _after_fork_in_child() -> None:
    for _, journal in _kept_now()[:1]:
        published.publish_log_file(journal.path)  # with the child's process id, for its own children


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
