"""The stock console exporters, for `OTEL_TRACES_EXPORTER=console` and `OTEL_METRICS_EXPORTER=console`."""

from __future__ import annotations

import os
import sys
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk.settings import Signal

__all__ = ["ConsoleClient", "console_client"]

_reported: dict[str, object] = {}


class ConsoleClient:
    """Prints one signal's data with a stock exporter. Data that cannot be printed is lost.

    Args:
        exporter: The stock exporter.
    """

    endpoint: str = "standard output"

    def __init__(self, exporter: Any) -> None:
        self.exporter = exporter

    def send(self, data: Any, current: Context) -> int:
        """Print *data*.

        Args:
            data: The argument of the stock exporter's `export`.
            current: The context in which the SDK calls the exporter.

        Returns:
            0: nothing is retried, because a closed standard output does not open again.
        """
        try:
            self.exporter.export(data)
        except Exception as error:
            _warn(f"{type(error).__name__}: {error}")
        return 0

    def close(self) -> None:
        """Leave standard output open."""

    def after_fork_in_child(self) -> None:
        """Share standard output with the parent."""


def _warn(problem: str) -> None:
    """Log a problem once in a process."""
    own = object()
    if _reported.setdefault(problem, own) is own:  # atomic, because both signals may fail at once
        what = "OTEL_TRACES_EXPORTER or OTEL_METRICS_EXPORTER=console"
        _logger.warning("%s cannot write to standard output: %s", what, problem)


class _StandardOutput:
    """Writes to standard output without using its buffer.

    If the buffer holds data and the pipe is closed, the interpreter cannot flush it at exit, and exits with code 120.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []

    def write(self, text: str) -> None:
        self._parts.append(text)

    def flush(self) -> None:
        text, self._parts = "".join(self._parts), []
        stream: Any = sys.stdout
        own: Any = sys.__stdout__
        if stream is None:
            raise OSError("the process has none")
        if stream is not own:  # a notebook or a test redirects it
            print(text, end="", file=stream, flush=True)
            return
        stream.flush()  # what the program printed before
        data = memoryview(text.encode(stream.encoding, "backslashreplace"))
        while data:
            data = data[os.write(stream.fileno(), data) :]


def console_client(signal: Signal) -> ConsoleClient:
    """Return a client that prints a signal.

    Args:
        signal: `traces` or `metrics`.
    """
    out: Any = _StandardOutput()
    return ConsoleClient(ConsoleSpanExporter(out=out) if signal == "traces" else ConsoleMetricExporter(out=out))
