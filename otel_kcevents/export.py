"""OTLP exporters that outlive their collector and a fork, and say once that nobody answers."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from threading import Event
from time import monotonic
from typing import Any

from otel_kcevents.window import shown

__all__ = ["Collector", "OutlivingExporter", "otlp_exporter"]

_PROTOCOLS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}
_PAUSE = 1.0  # seconds between two attempts, each of which costs the program some of its time
_PATIENCE = 10.0  # seconds; how long a program that ends asks a collector that is there but does not answer
_PROMPT = 0.5  # seconds; a refusal takes less, and what takes longer is no answer
_MOST_WAITING = 16_384  # spans that wait for a collector to come back

_logger = logging.getLogger("otel_kcevents")


class Collector:
    """What is known of the collector at the other end, shared by the exporters of one program."""

    unreachable: Event

    def __init__(self) -> None:
        self.unreachable = Event()
        self._left: float | None = None

    def leave(self) -> None:
        """The program ends: from now on a collector that is not there is given up, one that is slow before long."""
        self._left = monotonic()

    @property
    def leaving(self) -> bool:
        """Whether the program ends."""
        return self._left is not None

    @property
    def late(self) -> bool:
        """Whether the program has waited long enough for its end."""
        return self._left is not None and monotonic() - self._left > _PATIENCE

    def failed(self, reason: str) -> None:
        if not self.unreachable.is_set():
            self.unreachable.set()
            _logger.warning(
                "the OTLP collector takes nothing; the program and its event log go on, and this is said once: %s",
                reason,
            )

    def answered(self) -> None:
        if self.unreachable.is_set():
            self.unreachable.clear()
            _logger.warning("the OTLP collector takes data again")


class OutlivingExporter:
    """Stands for an OTLP exporter of spans or metrics: what it does not do itself, the real one does.

    Spans that can't be sent for now wait for the next export, so many at most; of metrics, which are
    totals, only the newest. The real exporter never waits and tries again: that would hold up the queue.
    A forked child makes its own connection and leaves the parent's data to the parent.
    """

    def __init__(self, build: Callable[[], Any], collector: Collector, failure: Any, keeps: bool) -> None:
        self._build, self._collector, self._failure, self._keeps = build, collector, failure, keeps
        self._start()
        modules = {base.__module__ for base in type(self._real).__mro__}
        self._loggers = [logging.getLogger(name) for name in modules if name.startswith("opentelemetry.exporter.")]

    def _start(self) -> None:
        self._real = self._build()
        self._pid = os.getpid()
        self._waiting: deque[Any] = deque()
        self._lost = 0
        self._given_up = False
        self._not_before = 0.0
        self._may_try_again = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def export(self, data: Any, **options: Any) -> Any:
        """Send what waits, then `data`. The result is the real exporter's last one."""
        if self._pid != os.getpid():
            self._start()
        self._wait(data)
        result = self._failure
        while self._waiting and self._may_ask():
            result = self._send(self._waiting[0], options)
            if self._may_try_again:
                if self._collector.leaving:  # nobody will ask again
                    continue
                return result
            done = self._waiting.popleft()
            if result is self._failure:
                self._lose(done)
        return result

    def _may_ask(self) -> bool:
        """Not just after it failed to answer, not past a program's end, and not for nothing then."""
        if self._collector.leaving:
            return not (self._given_up or (self._collector.late and self._collector.unreachable.is_set()))
        return monotonic() >= self._not_before

    def _lose(self, data: Any) -> None:
        self._lost += len(data) if self._keeps else 0

    def _wait(self, data: Any) -> None:
        if not self._keeps:
            self._waiting.clear()
        self._waiting.append(data)
        while self._keeps and sum(map(len, self._waiting)) > _MOST_WAITING:
            self._lose(self._waiting.popleft())

    def _send(self, data: Any, options: dict[str, Any]) -> Any:
        self._may_try_again = False
        leaving, began = self._collector.leaving, monotonic()
        for logger in self._loggers:
            _listen(logger)
        token = _exporting.set(self)
        try:
            result = self._real.export(data, **options)
        except Exception as error:  # data that can't be encoded must not stand in the way of the rest
            result = self._failure
            self._collector.failed(repr(error))
        finally:
            _exporting.reset(token)
        if result is not self._failure:
            self._collector.answered()
        elif self._may_try_again or monotonic() - began > _PROMPT:
            self._given_up = leaving and (self._may_try_again or self._collector.late)
            self._collector.failed("it does not answer")
            self._may_try_again = True
            self._not_before = monotonic() + _PAUSE
            self._real = self._build()
        return result

    def reported(self, record: logging.LogRecord) -> None:
        """The real exporter logs a trouble, at level WARNING where it means to try again: it shall not."""
        self._collector.failed(record.getMessage().partition(", retrying in")[0])
        if record.levelno == logging.WARNING and not self._may_try_again:
            self._may_try_again = True
            self._real.shutdown()

    def shutdown(self, *args: Any, **options: Any) -> None:
        """Close the connection; spans that still wait are lost, and counted in a warning."""
        if self._pid != os.getpid():  # the connection is the parent's
            return
        for data in list(self._waiting):
            self._lose(data)
        if self._lost:
            _logger.warning("%d spans were not exported: the OTLP collector did not take them", self._lost)
        token = _exporting.set(self)
        try:
            self._real.shutdown(*args, **options)
        finally:
            _exporting.reset(token)


_exporting: ContextVar[OutlivingExporter | None] = ContextVar("kcevents_exporting", default=None)


def _listen(logger: logging.Logger) -> None:
    """Hear what an exporter reports, shown or not, before its own filter, which holds repetitions back."""
    if not logger.isEnabledFor(logging.WARNING):
        logger.setLevel(logging.WARNING)
    if _is_not_ours not in logger.filters:
        logger.filters.insert(0, _is_not_ours)


def _is_not_ours(record: logging.LogRecord) -> bool:
    """A log filter: what an exporter reports while it works for us goes through us."""
    exporter = _exporting.get()
    if exporter is not None and record.levelno >= logging.WARNING:
        exporter.reported(record)
    return exporter is None


def otlp_exporter(signal: str, collector: Collector, failure: Any) -> OutlivingExporter | None:
    """The exporter that the environment asks for, for `trace` or `metric`; None where it asks for none.

    Reads `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_PROTOCOL` (`grpc` by default) and
    `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER`, with the names for one signal. Raises ValueError for
    an unknown protocol and ModuleNotFoundError where the exporters are not installed.
    """
    signals = f"{signal.upper()}S"
    asked = os.environ.get(f"OTEL_{signals}_EXPORTER") or "otlp"
    if "otlp" not in (name.strip() for name in asked.split(",")) or not _setting(signals, "ENDPOINT"):
        return None
    protocol = _setting(signals, "PROTOCOL") or "grpc"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL={shown(protocol)} is not known; set {' or '.join(_PROTOCOLS)}")
    try:
        module = import_module(f"{_PROTOCOLS[protocol]}.{signal}_exporter")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name!r} is not installed; "
            "run pip install 'otel-kcevents[otlp]'",
            name=error.name,
        ) from error
    build = module.OTLPSpanExporter if signal == "trace" else module.OTLPMetricExporter
    return OutlivingExporter(build, collector, failure, keeps=signal == "trace")


def _setting(signals: str, name: str) -> str:
    general = os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")
    return (os.environ.get(f"OTEL_EXPORTER_OTLP_{signals}_{name}") or general).strip()
