"""What a bug report says about the SDK: the providers, exporters and endpoints of this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry import metrics, trace

from otel_kcevents.report.facts import Facts
from otel_kcevents.sdk import settings
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.store.run import current_run

__all__ = ["command_facts", "program_facts"]


def program_facts(delivery: Delivery, own_providers: Sequence[object]) -> Facts:
    """Return the facts of a program that called `configure()`.

    Args:
        delivery: What the program exports.
        own_providers: The providers that `configure()` set.
    """
    providers: list[tuple[str, str]] = []
    for label, provider in (
        ("tracer provider", trace.get_tracer_provider()),
        ("meter provider", metrics.get_meter_provider()),
    ):
        setter = "configure()" if provider in own_providers else "the program"
        is_set = not type(provider).__name__.startswith(("Proxy", "_Proxy"))  # the API's placeholder
        providers.append((label, f"{_type_name(provider)}, set by {setter}" if is_set else "none"))
    resource: Any = getattr(trace.get_tracer_provider(), "resource", None)
    attributes = getattr(resource, "attributes", {})
    providers.append(("service", str(attributes.get("service.name", "unknown"))))
    for outbox in delivery.outboxes:
        exporter = getattr(outbox.client, "exporter", None)
        what = f"{_type_name(exporter)} to {outbox.client.endpoint}"
        if outbox.source.seen is not None:
            what += f"; {outbox.source.seen} spans ended, {outbox.lost} of them not accepted so far"
        providers.append((f"exporter of {outbox.name}", what))
    if not delivery.outboxes:
        providers.append(("exporters", "none set by configure()"))
    endpoints = tuple((box.name, box.client.endpoint) for box in delivery.outboxes if "://" in box.client.endpoint)
    environment = _environment()
    run = current_run()
    writer = f"the program {run.program}, process {run.pid}"
    return Facts(writer, tuple(providers), endpoints or environment[0], environment[1])


def command_facts() -> Facts:
    """Return the facts of the command, which knows only the environment."""
    unknown = "unknown: the command writes this report; GET /model/etl/report is written by the program itself"
    return Facts("the command otel-kcevents", (("in the program", unknown),), *_environment())


def _type_name(value: object) -> str:
    return "none" if value is None else f"{type(value).__module__}.{type(value).__qualname__}"


def _environment() -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the endpoints that the environment names, and what is wrong with the settings."""
    endpoints: list[tuple[str, str]] = []
    problems: list[str] = []
    signals: tuple[settings.Signal, ...] = ("traces", "metrics")
    for signal in signals:
        try:
            if "otlp" in settings.exporters(signal, problems.append):
                endpoints.append((signal, settings.otlp_settings(signal, problems.append).display_url))
        except ValueError as error:
            problems.append(str(error))
    return tuple(endpoints), tuple(dict.fromkeys(problems))
