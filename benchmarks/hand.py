"""Handwritten code for the telemetry of a decorated function, and the minimum that any decorator must do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from opentelemetry.metrics import Counter
from opentelemetry.trace import Tracer

__all__ = ["ROWS", "Load", "Period", "format_ends", "load_by_hand", "load_with_span_only"]

Period: TypeAlias = tuple[datetime, datetime]
Load: TypeAlias = Callable[[Period], list[int]]

ROWS = list(range(97))


def format_ends(window: Period) -> tuple[str, str]:
    """Return both ends of a window in UTC as RFC 3339 strings."""
    start, end = window
    return start.isoformat().replace("+00:00", "Z"), end.isoformat().replace("+00:00", "Z")


def load_by_hand(tracer: Tracer, counter: Counter, ends: tuple[str, str] | None = None) -> Load:
    """Return a function that records a span, a span event and a count.

    Args:
        tracer: Creates the span.
        counter: Counts the event.
        ends: The ends of the window, formatted once for all calls. If None, each call formats them.
    """

    def load(window: Period) -> list[int]:
        with tracer.start_as_current_span(
            "load AllocationSet",
            attributes={
                "kcevents.etl": "allocation",
                "kcevents.operation": "load",
                "code.function.name": "pipeline.load",
            },
        ) as span:
            rows = ROWS
            start, end = ends or format_ends(window)
            span.add_event(
                "AllocationSetLoaded",
                {
                    "kcevents.kind": "AllocationSetLoaded",
                    "kcevents.size": len(rows),
                    "kcevents.window.start": start,
                    "kcevents.window.end": end,
                },
            )
            counter.add(1, {"etl": "allocation", "event": "AllocationSetLoaded"})
            return rows

    return load


def load_with_span_only(tracer: Tracer, ends: tuple[str, str]) -> Load:
    """Return a function that starts a span, adds the event and ends the span: the limit for any decorator."""
    start, end = ends

    def load(window: Period) -> list[int]:
        span = tracer.start_span(
            "load AllocationSet",
            attributes={
                "kcevents.etl": "allocation",
                "kcevents.operation": "load",
                "code.function.name": "pipeline.load",
            },
        )
        span.add_event(
            "AllocationSetLoaded",
            {
                "kcevents.kind": "AllocationSetLoaded",
                "kcevents.size": len(ROWS),
                "kcevents.window.start": start,
                "kcevents.window.end": end,
            },
        )
        span.end()
        return ROWS

    return load
