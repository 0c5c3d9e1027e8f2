"""The stock OTLP exporters, each wrapped in a client that returns the result of each send."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk.settings import OtlpSettings, Signal

__all__ = ["Connection", "OtlpClient", "otlp_client"]

# By default, gRPC waits up to two minutes before it reconnects: the last flush would miss a collector that is back.
_CHANNEL_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 1000))
_EXPORTERS: dict[Signal, tuple[str, str, Any]] = {
    "traces": ("trace_exporter", "OTLPSpanExporter", SpanExportResult.SUCCESS),
    "metrics": ("metric_exporter", "OTLPMetricExporter", MetricExportResult.SUCCESS),
}


class Connection(NamedTuple):
    """A stock exporter, and how many records its last successful response reports as rejected."""

    exporter: Any
    rejected: Callable[[], int]


class OtlpClient:
    """Sends one signal's data with a stock exporter. Only the exporter's result counts.

    After a failure, the exporter is built again, because its connection may be dead.

    Args:
        connect: Builds the exporter.
        success: The exporter's result for data that was accepted.
        endpoint: The URL for messages, without user info, query and control characters.
    """

    endpoint: str

    def __init__(self, connect: Callable[[], Connection], success: Any, endpoint: str) -> None:
        self.endpoint = endpoint
        self._connect = connect
        self._success = success
        self._connection: Connection | None = connect()
        self._inherited: list[Connection | None] = []
        self._warned = False

    @property
    def exporter(self) -> Any:
        """The stock exporter, from which the SDK reads preferences; None between `close` and the next send."""
        return self._connection and self._connection.exporter

    def send(self, data: Any, current: Context) -> int | None:
        """Export *data* once.

        Args:
            data: The argument of the stock exporter's `export`.
            current: The context of the SDK's hand-over, which suppresses the instrumentation of HTTP and gRPC.

        Returns:
            How many of its records the collector rejected permanently; None if it did not accept the data.
        """
        token = context.attach(current)
        try:
            connection = self._connection = self._connection or self._connect()
            if connection.exporter.export(data) == self._success:
                return connection.rejected()
        except Exception as error:  # its message is not logged: it may quote a header
            if not self._warned:
                self._warned = True
                _logger.warning("the OTLP exporter raised %s; the data stays buffered", type(error).__name__)
        finally:
            context.detach(token)
        self.close()
        return None

    def close(self) -> None:
        """Close the connection; the next send opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # there is nothing more to do with it
                connection.exporter.shutdown()

    def after_fork_in_child(self) -> None:
        """Leave the connection to the parent. It is not closed: closing may wait for a thread of the parent."""
        self._inherited.append(self._connection)
        self._connection = None


def otlp_client(settings: OtlpSettings) -> OtlpClient:
    """Return a client for a signal.

    Args:
        settings: How the signal is exported.

    Raises:
        ModuleNotFoundError: The exporters are not installed.
    """
    module, name, success = _EXPORTERS[settings.signal]
    transport, connect = ("grpc", _connect_by_grpc) if settings.protocol == "grpc" else ("http", _connect_by_http)
    try:
        exporter = getattr(import_module(f"opentelemetry.exporter.otlp.proto.{transport}.{module}"), name)
        return OtlpClient(partial(connect, exporter, settings), success, settings.display_url)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name!r} is not installed; "
            "run pip install opentelemetry-exporter-otlp",
            name=error.name,
        ) from error


def _connect_by_grpc(exporter: Any, settings: OtlpSettings) -> Connection:
    from grpc import Compression

    stock = exporter(
        endpoint=settings.url,
        timeout=settings.timeout,
        compression=Compression.Gzip if settings.compression == "gzip" else Compression.NoCompression,
        channel_options=_CHANNEL_OPTIONS,
    )
    return Connection(stock, rejected=int)  # 0: the stock exporter does not pass the response on


def _connect_by_http(exporter: Any, settings: OtlpSettings) -> Connection:
    from opentelemetry.exporter.otlp.proto.http import Compression

    from otel_kcevents.sdk.http_session import OtlpSession

    session = None if settings.has_credential_provider else OtlpSession(settings.signal, settings.authorization)
    stock = exporter(
        endpoint=settings.url,
        timeout=settings.timeout,
        compression=Compression(settings.compression),
        session=session,
    )
    return Connection(stock, rejected=lambda: session.rejected if session else 0)
