"""Each cost-ETL run as a span with its event, as a counter, and in the recent-events log."""

from typing import TYPE_CHECKING

from otel_kcevents.events import KINDS, Document, Event, Failure, Kind, read_document
from otel_kcevents.instrument import Operation, RecordSet, Stretch, allocation, asset
from otel_kcevents.log import EventLog, default_log
from otel_kcevents.sdk import configure, flush
from otel_kcevents.values import Call
from otel_kcevents.version import __version__
from otel_kcevents.window import Window

if TYPE_CHECKING:
    from otel_kcevents.exposition import make_asgi_app, make_wsgi_app, respond
    from otel_kcevents.processor import EventLogProcessor
    from otel_kcevents.server import LogServer, start_http_server

__all__ = [
    "KINDS",
    "Call",
    "Document",
    "Event",
    "EventLog",
    "EventLogProcessor",
    "Failure",
    "Kind",
    "LogServer",
    "Operation",
    "RecordSet",
    "Stretch",
    "Window",
    "__version__",
    "allocation",
    "asset",
    "configure",
    "default_log",
    "flush",
    "make_asgi_app",
    "make_wsgi_app",
    "read_document",
    "respond",
    "start_http_server",
]

_LATER = {
    "EventLogProcessor": "otel_kcevents.processor",
    "LogServer": "otel_kcevents.server",
    "make_asgi_app": "otel_kcevents.exposition",
    "make_wsgi_app": "otel_kcevents.exposition",
    "respond": "otel_kcevents.exposition",
    "start_http_server": "otel_kcevents.server",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    """Import what not every program needs, the SDK and the servers, when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
