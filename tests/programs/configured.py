"""`configured.py NAME`: run one of the functions below, which pass arguments to `configure()` that it may ignore."""

from __future__ import annotations

import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_kcevents import EventLog, configure, default_log


def own_providers() -> None:
    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider())
    configure(service_name="nightly")


def own_providers_of_the_same_name() -> None:
    trace.set_tracer_provider(TracerProvider(resource=Resource.create({"service.name": "nightly"})))
    metrics.set_meter_provider(MeterProvider())
    configure(service_name="nightly")


def own_meter_provider() -> None:
    metrics.set_meter_provider(MeterProvider())
    configure(service_name="nightly")


def noop_provider() -> None:
    trace.set_tracer_provider(trace.NoOpTracerProvider())
    configure(log=EventLog())


def again() -> None:
    configure(service_name="nightly")
    configure(service_name="nightly")
    configure()


def again_with_other_names() -> None:
    configure()
    for _ in range(2):
        configure(service_name="nightly")


def again_with_a_log() -> None:
    """The second log receives the events of other code's spans from then on, once."""
    log = EventLog()
    configure()
    for _ in range(2):
        with trace.get_tracer("test").start_as_current_span("span") as span:
            span.add_event("AssetSetSaved")
        configure(log=log)
    print(default_log.counts(), log.counts())


def again_without_a_log() -> None:
    log = EventLog()
    configure(log=log)
    configure()
    with trace.get_tracer("test").start_as_current_span("span") as span:
        span.add_event("AssetSetSaved")
    print(default_log.counts(), log.counts())


def unconfigured() -> None:
    from otel_kcevents import asset

    asset.emit("saved")
    print(default_log.counts())


def settings() -> None:
    try:
        configure(service_name="nightly")
    except ValueError as error:
        print(error)
    resource = getattr(trace.get_tracer_provider(), "resource", None)
    print(resource and resource.attributes["service.name"])


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    globals()[sys.argv[1]]()
