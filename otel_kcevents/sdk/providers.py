"""The providers that `configure()` sets, which export as the environment variables specify.

The SDK's metrics and the exporters are imported only if something is exported: they take 25 ms and more.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk import settings
from otel_kcevents.sdk.delivery import Delivery

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

    from otel_kcevents.sdk.console import ConsoleClient
    from otel_kcevents.sdk.otlp import OtlpClient

__all__ = ["build_providers", "import_exporters"]


def build_providers(
    delivery: Delivery, service_name: str | None, *, traces: bool, metrics: bool
) -> tuple[TracerProvider | None, MeterProvider | None]:
    """Return the providers of a process, which export as the environment variables specify.

    Args:
        delivery: The delivery to which the outboxes are added.
        service_name: The service name if the environment has none.
        traces: Whether to build a tracer provider.
        metrics: Whether to build a meter provider, if metrics are exported.

    Returns:
        The tracer provider and the meter provider; None for one that was not built. Without an exporter, a meter
        provider would only prevent the program from setting its own.

    Raises:
        ModuleNotFoundError: An exporter is not installed.
        ValueError: A setting is malformed.
    """
    warnings: list[str] = []
    # All settings are read before anything is built, because a processor starts a thread.
    trace_clients = _clients("traces", warnings) if traces else {}
    metric_clients = _clients("metrics", warnings) if metrics else {}
    batch = settings.batch_settings() if trace_clients else settings.BatchSettings()
    interval = settings.metric_export_interval() if metric_clients else math.inf
    is_named = not service_name or settings.service_is_named()
    resource = Resource.create({} if is_named else {"service.name": service_name})

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    meter_provider: MeterProvider | None = None
    if trace_clients or metric_clients:
        from otel_kcevents.sdk.signals import FlushingMeterProvider, MetricReader, SpanProcessor
    for name, client in trace_clients.items():
        try:
            processor = SpanProcessor(delivery, delivery.outbox(name, client), batch)
        except ValueError as error:
            raise ValueError(f"the settings OTEL_BSP_* contradict each other: {error}") from error
        provider.add_span_processor(processor)
    if metric_clients:
        readers = [
            MetricReader(delivery, delivery.outbox(name, client, interval), client.exporter)
            for name, client in metric_clients.items()
        ]
        meter_provider = FlushingMeterProvider(readers, resource)
    for message in dict.fromkeys(warnings):
        _logger.warning("%s", message)
    return provider if traces else None, meter_provider


def import_exporters() -> None:
    """Import what `build_providers` needs for the exporters that the environment specifies. Never raises."""
    signals: tuple[settings.Signal, ...] = ("traces", "metrics")
    for signal in signals:
        with suppress(Exception):  # which `build_providers` raises again
            _clients(signal, [])


def _clients(signal: settings.Signal, warnings: list[str]) -> dict[str, OtlpClient | ConsoleClient]:
    """Return a client for each exporter of a signal, by the name of its outbox."""
    records = "spans" if signal == "traces" else signal
    exporters = settings.exporters(signal, warnings.append)
    clients: dict[str, OtlpClient | ConsoleClient] = {}
    if "otlp" in exporters:
        from otel_kcevents.sdk.otlp import otlp_client

        clients[records] = otlp_client(settings.otlp_settings(signal, warnings.append))
    if "console" in exporters:
        from otel_kcevents.sdk.console import console_client

        clients[f"console-{records}"] = console_client(signal)
    return clients
