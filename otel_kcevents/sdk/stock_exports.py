"""`hold_forks_during_exports()`: forks wait for the exports of OpenTelemetry's own exporters, as for those of ours.

A child that is forked in the middle of an export inherits locks that are never released, counts of its parent, and
connections that gRPC does not expect: it may lose its own counts, or be aborted by the gRPC library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from threading import RLock, get_ident
from time import monotonic
from typing import Any

__all__ = ["hold_forks_during_exports"]

_TIMEOUT = 1.0  # seconds that a fork waits for exports in progress
_METHODS = (
    ("opentelemetry.sdk.metrics.export", "PeriodicExportingMetricReader", "collect"),  # exports too
    ("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "OTLPSpanExporter", "export"),
    ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter", "export"),
    ("opentelemetry.exporter.otlp.proto.grpc._log_exporter", "OTLPLogExporter", "export"),
    ("opentelemetry.exporter.otlp.proto.http._log_exporter", "OTLPLogExporter", "export"),
)

_locks: dict[str, Any] = {}  # by module: reentrant, because an export may fork
_held: dict[int, list[Any]] = {}  # by thread: the locks that its fork holds


def hold_forks_during_exports() -> None:
    """Make forks wait, for a second at most, until no export is in progress. Calling it again changes nothing.

    Call it when the exporters are imported and the SDK has registered its fork hooks.
    """
    if not hasattr(os, "register_at_fork"):  # pragma: no cover - Windows has no fork
        return
    is_first = not _locks
    for module, name, method in _METHODS:
        exporting = getattr(sys.modules.get(module), name, None)
        if exporting is not None and module not in _locks:
            _locks[module] = RLock()
            setattr(exporting, method, _locked(module, getattr(exporting, method)))
    if is_first and _locks:
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
        )


def _locked(module: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def locked(*args: Any, **options: Any) -> Any:
        with _locks[module]:
            return method(*args, **options)

    return locked


def _before_fork() -> None:
    end = monotonic() + _TIMEOUT
    held = _held[get_ident()] = []
    for lock in list(_locks.values()):
        if lock.acquire(timeout=max(0.0, end - monotonic())):
            held.append(lock)


def _after_fork_in_parent() -> None:
    for lock in _held.pop(get_ident(), ()):
        lock.release()


def _after_fork_in_child() -> None:
    _held.clear()
    for module in _locks:
        _locks[module] = RLock()  # a thread of the parent may hold the other
