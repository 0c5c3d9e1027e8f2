"""Flush providers of another library, of which one raises and one hangs; print whether a flush is in progress."""

from __future__ import annotations

import logging
from threading import Event
from typing import Any

from opentelemetry import metrics, trace

from otel_kcevents.sdk.ending import Ending

flushing = Event()
ending = Ending(timeout=0.2)


class Raising(trace.NoOpTracerProvider):
    def force_flush(self, timeout_millis: int) -> None:
        flushing.wait()
        raise ValueError("no connection")


class Hanging(metrics.NoOpMeterProvider):
    def force_flush(self, timeout_millis: int) -> None:
        print(timeout_millis, ending.is_running)
        flushing.set()
        Event().wait()


logging.basicConfig(format="%(message)s")
tracers: Any = Raising()
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(Hanging())
ending()
print(ending.is_running)
