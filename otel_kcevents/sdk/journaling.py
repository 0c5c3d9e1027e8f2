"""`keep_in_file`: the journal of a configured program."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from opentelemetry import trace

from otel_kcevents.sdk import settings
from otel_kcevents.store.journal import Journal
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.run import change_run

__all__ = ["keep_in_file"]

_journals: dict[str, tuple[Journal, list[EventLog]]] = {}  # by path, with the logs that they are attached to


def keep_in_file(
    log: EventLog, log_file: str | os.PathLike[str] | None, retention: int | None, max_age: timedelta | None
) -> None:
    """Attach a journal to a log, if a file is given or named in the environment; doing so again changes nothing.

    Args:
        log: The log.
        log_file: The file; None for the one that the environment names.
        retention: How many events of each kind to keep; None for all.
        max_age: For how long to keep events; None for ever.
    """
    path = log_file or settings.log_file()
    if path is None:
        return
    attributes: Any = getattr(getattr(trace.get_tracer_provider(), "resource", None), "attributes", {})
    service = str(attributes.get("service.name", ""))
    change_run(service=None if service.startswith("unknown_service") else service)
    path = os.path.abspath(os.fspath(path))
    if path not in _journals:
        _journals[path] = Journal(path, retention, max_age), []
    journal, logs = _journals[path]
    if log not in logs:
        logs.append(log)
        log.attach(journal)
    settings.publish_log_file(path)
    journal.begin()
