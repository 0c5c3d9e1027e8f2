"""OTLP exporters that outlive their collector and a fork, and say once that nobody answers."""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from importlib import import_module
from time import monotonic, sleep
from typing import Any

from otel_kcevents.window import shown

__all__ = ["Collector", "OutlivingExporter", "otlp_exporter"]

_PROTOCOLS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}
_PAUSE = 1.0  # seconds between two attempts, each of which costs the program some of its time
_PATIENCE = 10.0  # seconds; how long a program that ends asks a collector that is there but takes nothing
_MOST_WAITING = 16_384  # spans, or exports of metrics, that wait for a collector to come back

_AGAIN = re.compile(r"retrying in|due to timeout, max retries")  # in the real exporter's own words: it may pass
_TOO_LARGE = re.compile(r"larger than max|exceeds max_request_size|too large", re.IGNORECASE)
_ABSENT = re.compile(r"connection refused|failed to connect|resolve|resolution", re.IGNORECASE)
_PASSING = {
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNAVAILABLE",
    "DATA_LOSS",
}

_logger = logging.getLogger("otel_kcevents")


class Collector:
    """What is known of the collector at the other end, shared by the exporters of one program."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._deadline: float | None = None

    def leave(self) -> None:
        """The program ends: a collector that is not there is given up now, one that takes nothing before long."""
        self._deadline = self._deadline or monotonic() + _PATIENCE

    @property
    def left(self) -> float | None:
        """The seconds that are left for the program's end, None while it does not end."""
        return None if self._deadline is None else self._deadline - monotonic()

    def failed(self, signal: str, reason: str) -> None:
        """Say once that a signal is not taken."""
        if not self._refused:
            _logger.warning(
                "the OTLP collector takes nothing; the program and its event log go on, and this is said once: %s",
                reason,
            )
        self._refused.add(signal)

    def answered(self, signal: str) -> None:
        """A signal is taken; that all are again is said too."""
        before = set(self._refused)
        self._refused.discard(signal)
        if before and not self._refused:
            _logger.warning("the OTLP collector takes data again")


class Outcome(Enum):
    """What became of one attempt."""

    TAKEN = "taken"
    AGAIN = "again"  # it may pass: the same data can be sent later
    ABSENT = "absent"  # likewise, but nobody is there
    TOO_LARGE = "too large"
    REFUSED = "refused"


class OutlivingExporter:
    """Stands for an OTLP exporter of spans or metrics: what it does not do itself, the real one does.

    Spans that can't be sent for now wait for the next export, so many at most; of metrics that are totals
    only the newest. What is too large is sent in halves. The real exporter never waits and tries again: that
    would hold up the queue. A forked child makes its own connection and leaves the parent's data to the parent.
    """

    def __init__(
        self, build: Callable[..., Any], collector: Collector, failure: Any, signal: str, timeout: float
    ) -> None:
        self._build, self._collector, self._failure = build, collector, failure
        self._signal, self._timeout = signal, timeout
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
        self._outcome = Outcome.TAKEN

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
            if self._outcome in (Outcome.AGAIN, Outcome.ABSENT):
                if self._collector.left is None:
                    return result
                continue  # nobody will ask again
            done = self._waiting.popleft()
            if self._outcome is Outcome.TOO_LARGE and self._spans and len(done) > 1:
                half = len(done) // 2
                self._waiting.extendleft((done[half:], done[:half]))
            elif result is self._failure:
                self._lose(done)
        return result

    @property
    def _spans(self) -> bool:
        return self._signal == "trace"

    def _may_ask(self) -> bool:
        """Not just after it failed to take something, and not past a program's end."""
        left = self._collector.left
        if left is None:
            return monotonic() >= self._not_before
        pause = self._not_before - monotonic()
        if self._given_up or left <= max(pause, 0):
            return False
        sleep(max(pause, 0))
        return True

    def _lose(self, data: Any) -> None:
        self._lost += len(data) if self._spans else 0

    def _wait(self, data: Any) -> None:
        if not self._spans and not _is_delta(data):
            self._waiting.clear()
        self._waiting.append(data)
        while sum(len(one) if self._spans else 1 for one in self._waiting) > _MOST_WAITING:
            self._lose(self._waiting.popleft())

    def _send(self, data: Any, options: dict[str, Any]) -> Any:
        left = self._collector.left
        if left is not None:  # an attempt must not outlast the program's end; metrics leave spans their half
            self._real = self._build(timeout=min(self._timeout, left if self._spans else left / 2))
        self._outcome = Outcome.REFUSED
        for logger in self._loggers:
            _listen(logger)
        token = _exporting.set(self)
        try:
            result = self._real.export(data, **options)
        except Exception as error:  # data that can't be encoded must not stand in the way of the rest
            result = self._failure
            self._collector.failed(self._signal, repr(error))
        finally:
            _exporting.reset(token)
        if result is not self._failure:
            self._outcome = Outcome.TAKEN
            self._collector.answered(self._signal)
        elif self._outcome is not Outcome.REFUSED:
            self._real = self._build()  # that one may have been stopped, or hold a connection that leads nowhere
            if self._outcome is not Outcome.TOO_LARGE:
                self._given_up = left is not None and (self._outcome is Outcome.ABSENT or not self._spans)
                self._not_before = monotonic() + _PAUSE
        return result

    def reported(self, record: logging.LogRecord) -> None:
        """The real exporter logs a trouble: what comes of it. Where it means to wait and try again, it shall not."""
        if self._outcome is not Outcome.REFUSED:  # what it says of being stopped
            return
        self._outcome = _outcome(record)
        self._collector.failed(self._signal, record.getMessage().partition(", retrying in")[0])
        if "retrying in" in record.getMessage():
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


def _outcome(record: logging.LogRecord) -> Outcome:
    """What a failed attempt comes to, from the real exporter's own words: it gives no other account."""
    message = record.getMessage()
    if _TOO_LARGE.search(message):
        return Outcome.TOO_LARGE
    if not (_AGAIN.search(message) or _is_passing(record)):
        return Outcome.REFUSED
    return Outcome.ABSENT if _ABSENT.search(message) else Outcome.AGAIN


def _is_passing(record: logging.LogRecord) -> bool:
    """Whether the status in a final report is one that passes: of gRPC by its name, of HTTP that there is none."""
    before, found, _ = str(record.msg).partition("code: %s")
    if not found or not isinstance(record.args, tuple):
        return False
    code = record.args[before.count("%s")]
    return code is None or getattr(code, "name", "") in _PASSING


def _is_delta(data: Any) -> bool:
    """Whether metrics tell what came since the last export, so that each export counts."""
    points = (
        metric.data
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
    return any(getattr(point, "aggregation_temporality", None) == _DELTA for point in points)


_DELTA = 1  # OTLP's number for delta; the SDK's own enumeration has the same

_exporting: ContextVar[OutlivingExporter | None] = ContextVar("kcevents_exporting", default=None)


_levels: dict[str, int] = {}  # the level that each exporter's logger had before it was listened to


def _listen(logger: logging.Logger) -> None:
    """Hear what an exporter reports, shown or not, before its own filter, which holds repetitions back."""
    if _is_not_ours not in logger.filters:
        _levels[logger.name] = logging.CRITICAL + 1 if logger.disabled else logger.getEffectiveLevel()
        logger.filters.insert(0, _is_not_ours)
    if logger.disabled or not logger.isEnabledFor(logging.WARNING):
        logger.disabled = False
        logger.setLevel(logging.WARNING)


def _is_not_ours(record: logging.LogRecord) -> bool:
    """A log filter: what an exporter reports while it works for us goes through us, the rest where it went before."""
    exporter = _exporting.get()
    if exporter is not None and record.levelno >= logging.WARNING:
        exporter.reported(record)
    return exporter is None and record.levelno >= _levels[record.name]


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
    return OutlivingExporter(build, collector, failure, signal, float(_setting(signals, "TIMEOUT") or _PATIENCE))


def _setting(signals: str, name: str) -> str:
    general = os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")
    return (os.environ.get(f"OTEL_EXPORTER_OTLP_{signals}_{name}") or general).strip()
