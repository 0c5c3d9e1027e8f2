"""OpenTelemetry instrumentation for cost ETL: each operation becomes a span with its event, a count and a log entry.

PYTEST_DONT_REWRITE: pytest would warn that this package, which has a plugin of pytest, may be imported before pytest
starts.
"""

import os
from typing import TYPE_CHECKING

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.version import __version__

if TYPE_CHECKING:
    from otel_kcevents.model.document import Document, read_document
    from otel_kcevents.model.event import KINDS, Event, Failure, Kind
    from otel_kcevents.model.scrub import scrub
    from otel_kcevents.model.window import Window
    from otel_kcevents.record.durations import set_durations
    from otel_kcevents.record.extract import Call
    from otel_kcevents.record.operation import Operation, OperationScope
    from otel_kcevents.record.operation import OperationScope as Stretch
    from otel_kcevents.record.paths import keep
    from otel_kcevents.record.processor import EventLogProcessor
    from otel_kcevents.record.record_set import RecordSet, allocation, asset
    from otel_kcevents.record.run import run
    from otel_kcevents.sdk.configure import configure, flush
    from otel_kcevents.sdk.scrub_choice import set_scrub
    from otel_kcevents.serve.apps import make_asgi_app, make_wsgi_app
    from otel_kcevents.serve.respond import respond
    from otel_kcevents.serve.server import LogServer, start_http_server
    from otel_kcevents.store.coverage import Coverage, CoverageQuery, coverage
    from otel_kcevents.store.journal import Journal, JournalError
    from otel_kcevents.store.log import EventLog, default_log
    from otel_kcevents.store.remote import RemoteLog, RemoteLogError
    from otel_kcevents.store.source import Source

__all__ = [
    "KINDS",
    "Call",
    "Coverage",
    "CoverageQuery",
    "Document",
    "Event",
    "EventLog",
    "EventLogProcessor",
    "Failure",
    "Journal",
    "JournalError",
    "Kind",
    "LogServer",
    "Operation",
    "OperationScope",
    "RecordSet",
    "RemoteLog",
    "RemoteLogError",
    "Source",
    "Stretch",
    "Window",
    "__version__",
    "allocation",
    "asset",
    "configure",
    "coverage",
    "default_log",
    "flush",
    "keep",
    "make_asgi_app",
    "make_wsgi_app",
    "read_document",
    "respond",
    "run",
    "scrub",
    "set_durations",
    "set_scrub",
    "start_http_server",
]

_NAMES = {
    "model.document": ("Document", "read_document"),
    "model.event": ("KINDS", "Event", "Failure", "Kind"),
    "model.scrub": ("scrub",),
    "model.window": ("Window",),
    "record.durations": ("set_durations",),
    "record.extract": ("Call",),
    "record.operation": ("Operation", "OperationScope", "Stretch"),
    "record.paths": ("keep",),
    "record.processor": ("EventLogProcessor",),
    "record.record_set": ("RecordSet", "allocation", "asset"),
    "record.run": ("run",),
    "sdk.configure": ("configure", "flush"),
    "sdk.scrub_choice": ("set_scrub",),
    "serve.apps": ("make_asgi_app", "make_wsgi_app"),
    "serve.respond": ("respond",),
    "serve.server": ("LogServer", "start_http_server"),
    "store.coverage": ("Coverage", "CoverageQuery", "coverage"),
    "store.journal": ("Journal", "JournalError"),
    "store.log": ("EventLog", "default_log"),
    "store.remote": ("RemoteLog", "RemoteLogError"),
    "store.source": ("Source",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a program loads only what it needs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    with FORK_LOCK:
        value = globals()[name] = getattr(import_module(f"otel_kcevents.{_MODULES[name]}"), name)
    return value


for _name in ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER"):
    if not os.environ.get(_name, _name).strip():  # the API would look up a provider with the empty name, and fail
        del os.environ[_name]

if any(os.environ.get(f"OTEL_PYTHON_KCEVENTS_{name}") for name in ("CHILDREN", "SCRUB", "LOG_FILE_BY")):
    from otel_kcevents.sdk.joining import join_parent  # configure() or set_scrub() was called in a parent process

    join_parent()
