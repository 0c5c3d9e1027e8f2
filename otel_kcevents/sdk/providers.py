"""The providers that `configure()` sets, which export as the environment variables specify."""

from __future__ import annotations

import math

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_kcevents.sdk import settings
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.sdk.otlp import otlp_client
from otel_kcevents.sdk.signals import FlushingMeterProvider, MetricReader, SpanProcessor

__all__ = ["build_providers"]


def build_providers(
    delivery: Delivery, service_name: str | None, *, traces: bool, metrics: bool
) -> tuple[TracerProvider | None, MeterProvider | None]:
    """Return the providers of a process, which export if an endpoint is set.

    Args:
        delivery: The delivery to which the outboxes are added.
        service_name: The service name if the environment has none.
        traces: Whether to build a tracer provider.
        metrics: Whether to build a meter provider.

    Raises:
        ModuleNotFoundError: An exporter is not installed.
        ValueError: A setting is malformed.
    """
    settings.remove_empty_variables()
    exported_traces = settings.otlp_settings("traces") if traces else None
    exported_metrics = settings.otlp_settings("metrics") if metrics else None
    interval = settings.metric_export_interval() if exported_metrics else math.inf
    is_named = not service_name or settings.service_is_named()
    resource = Resource.create({} if is_named else {"service.name": service_name})

    tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False) if traces else None
    if tracer_provider and exported_traces:
        queue_size = settings.span_queue_size()
        outbox = delivery.outbox("spans", otlp_client(exported_traces))
        try:
            tracer_provider.add_span_processor(SpanProcessor(delivery, outbox, queue_size))
        except ValueError as error:
            raise ValueError(f"the settings OTEL_BSP_* contradict each other: {error}") from error

    meter_provider: MeterProvider | None = None
    if exported_metrics:
        client = otlp_client(exported_metrics)
        reader = MetricReader(delivery, delivery.outbox("metrics", client, interval), client.exporter)
        meter_provider = FlushingMeterProvider(reader, resource)
    elif metrics:
        meter_provider = MeterProvider(resource=resource, shutdown_on_exit=False)
    return tracer_provider, meter_provider
