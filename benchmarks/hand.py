"""What a user would write by hand for the very same telemetry, one function for each shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any, NoReturn, TypeAlias

from opentelemetry.metrics import Counter
from opentelemetry.trace import Tracer, use_span

__all__ = ["FAILURE", "ROWS", "Period", "Texts", "failing", "formatted", "items", "items_apart", "loading", "waiting"]

Period: TypeAlias = tuple[datetime, datetime]
Texts: TypeAlias = tuple[str, str] | None
"""A window's ends, formatted once for all calls; None has each call format them."""

ROWS = list(range(97))
FAILURE = ValueError("no prices for the window: the table cloud_prices has 0 rows")


def formatted(window: Period) -> tuple[str, str]:
    """A window's two ends as RFC 3339 writes them."""
    start, end = window
    return start.isoformat().replace("+00:00", "Z"), end.isoformat().replace("+00:00", "Z")


def loading(tracer: Tracer, counter: Counter, texts: Texts) -> Callable[[Period], Any]:
    """A plain function that returns a set."""

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
            start, end = texts or formatted(window)
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


def waiting(tracer: Tracer, counter: Counter, texts: Texts) -> Callable[[Period], Awaitable[Any]]:
    """A coroutine that returns a set."""
    record = loading(tracer, counter, texts)  # the same lines: there is nothing here to wait for

    async def load(window: Period) -> list[int]:
        rows: list[int] = record(window)
        return rows

    return load


def failing(tracer: Tracer, counter: Counter, texts: Texts) -> Callable[[Period], NoReturn]:
    """A plain function that raises; the tracer's own context manager records the exception."""

    def load(window: Period) -> NoReturn:
        with tracer.start_as_current_span(
            "load AllocationSet",
            attributes={
                "kcevents.etl": "allocation",
                "kcevents.operation": "load",
                "code.function.name": "pipeline.load",
            },
        ) as span:
            try:
                raise FAILURE.with_traceback(None)
            except Exception as error:
                start, end = texts or formatted(window)
                span.set_attribute("error.type", type(error).__qualname__)
                span.add_event(
                    "AllocationSetComputeError",
                    {
                        "kcevents.kind": "AllocationSetComputeError",
                        "kcevents.window.start": start,
                        "kcevents.window.end": end,
                        "error.type": type(error).__qualname__,
                        "error.message": str(error),
                    },
                )
                counter.add(1, {"etl": "allocation", "event": "AllocationSetComputeError"})
                raise

    return load


def items(tracer: Tracer, counter: Counter, count: int) -> Iterator[int]:
    """A generator whose span is current in its consumer's code too, as a `with` around a `yield` makes it."""
    with tracer.start_as_current_span("load AllocationSet") as span:
        size = 0
        for item in range(count):
            size += 1
            yield item
        span.add_event("AllocationSetLoaded", {"kcevents.kind": "AllocationSetLoaded", "kcevents.size": size})
        counter.add(1, {"etl": "allocation", "event": "AllocationSetLoaded"})


def items_apart(tracer: Tracer, counter: Counter, count: int) -> Iterator[int]:
    """A generator whose span is current in its own code alone."""
    source, size = iter(range(count)), 0
    span = tracer.start_span("load AllocationSet")
    while True:
        with use_span(span):
            item = next(source, None)
        if item is None:
            break
        size += 1
        yield item
    span.add_event("AllocationSetLoaded", {"kcevents.kind": "AllocationSetLoaded", "kcevents.size": size})
    counter.add(1, {"etl": "allocation", "event": "AllocationSetLoaded"})
    span.end()
