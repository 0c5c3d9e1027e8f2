"""Events as attributes, both ways: the only place that spells `kcevents.*`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import Any

from otel_kcevents.model.event import MAX_SIZE, Event, Failure, Kind
from otel_kcevents.model.messages import short_repr, truncate
from otel_kcevents.model.timestamps import format_time
from otel_kcevents.model.window import Window

__all__ = ["SCOPE", "event_attributes", "read_event", "span_attributes"]

SCOPE = "otel_kcevents"
"""The name of the tracer and of the meter."""


def span_attributes(etl: str, operation: str, function: str | None) -> dict[str, str]:
    """Return the attributes of the span of an operation."""
    attributes = {"kcevents.etl": etl, "kcevents.operation": operation}
    if function is not None:
        attributes["code.function.name"] = function
    return attributes


def event_attributes(event: Event) -> dict[str, str | int]:
    """Return the attributes of the span event of an event."""
    kind, _, size, window, failure, _ = event
    attributes: dict[str, str | int] = {"kcevents.kind": kind}
    if size is not None:
        attributes["kcevents.size"] = size
    if window is not None:
        if window.start_text is not None:
            attributes["kcevents.window.start"] = window.start_text
        if window.end_text is not None:
            attributes["kcevents.window.end"] = window.end_text
    if failure is not None:
        attributes["error.type"] = failure.type
        attributes["error.message"] = failure.message
    return attributes


def read_event(
    kind: Kind,
    time: int,
    attributes: Mapping[str, Any],
    span_attributes: Mapping[str, Any],
    warn: Callable[[Exception], None],
) -> Event:
    """Read an event from the attributes of a span event, and the operation that failed from those of its span.

    A field that cannot be read is omitted, and *warn* called with the reason.

    Raises:
        ValueError: The time is outside the years 1 to 9999.
    """

    def read(field: Callable[[Mapping[str, Any]], Any]) -> Any:
        try:
            return field(attributes)
        except (TypeError, ValueError) as error:
            warn(error)
            return None

    format_time(time)
    size = read(_size) if kind.outcome.sized else None
    failure = _failure(attributes, span_attributes) if kind.outcome.error else None
    return Event(kind.name, time, size, read(_window), failure)


def _size(attributes: Mapping[str, Any]) -> int | None:
    value = attributes.get("kcevents.size")
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= (size := index(value)) <= MAX_SIZE:
        raise TypeError(f"kcevents.size={short_repr(value)} is not a size; expected an integer from 0 to {MAX_SIZE}")
    return size


def _window(attributes: Mapping[str, Any]) -> Window | None:
    start, end = attributes.get("kcevents.window.start"), attributes.get("kcevents.window.end")
    return None if start is None and end is None else Window(start, end)


def _failure(attributes: Mapping[str, Any], span_attributes: Mapping[str, Any]) -> Failure | None:
    type_, message = attributes.get("error.type"), attributes.get("error.message")
    if type_ is None and message is None:
        return None
    operation = span_attributes.get("kcevents.operation")
    return Failure(_string(type_), _string(message), None if operation is None else _string(operation))


def _string(value: Any) -> str:
    return "" if value is None else truncate(str(value))
