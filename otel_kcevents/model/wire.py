"""Conversion between events and attributes of spans and span events; only this module names the attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import Any, TypeVar

from otel_kcevents.model.event import MAX_SIZE, Event, Failure, Kind
from otel_kcevents.model.messages import describe, error_message, scrub_message, stack_trace, truncate, type_name
from otel_kcevents.model.window import Window

__all__ = [
    "SCOPE",
    "event_attributes",
    "exception_attributes",
    "failure_attributes",
    "failure_of",
    "read_event",
    "run_attributes",
    "span_attributes",
]

_T = TypeVar("_T")

SCOPE = "otel_kcevents"
"""The name of the tracer and of the meter."""


def span_attributes(etl: str, operation: str, function: str | None) -> dict[str, str]:
    """Return the attributes of the span of an operation.

    Args:
        etl: The pipeline, such as `asset`.
        operation: The operation, such as `save`.
        function: The qualified name of the decorated function; None if there is none.
    """
    attributes = {"kcevents.etl": etl, "kcevents.operation": operation}
    if function is not None:
        attributes["code.function.name"] = function
    return attributes


def run_attributes(name: str, run: str) -> dict[str, str]:
    """Return the attributes of the root span of a run.

    Args:
        name: The argument of `run()`.
        run: The id of the run of the process, as in a journal.
    """
    return {"kcevents.run.name": name, "kcevents.run.id": run}


def failure_attributes(failure: Failure) -> dict[str, str]:
    """Return the additional attributes of the span of an operation that failed."""
    return {"error.type": failure.type}


def failure_of(error: BaseException, operation: str | None) -> Failure:
    """Return the failure that an exception means.

    Its type includes the module, unless that is `builtins`. Its message is scrubbed, valid UTF-8, and cut to
    `MAX_MESSAGE` characters.

    Args:
        error: The exception.
        operation: The operation that failed; None if unknown.
    """
    return Failure(type_name(error), error_message(error), operation)


def exception_attributes(error: BaseException, failure: Failure) -> dict[str, str]:
    """Return the attributes of the span event `exception` that OpenTelemetry specifies for a recorded exception.

    It replaces `Span.record_exception`, which would record secrets in the message.

    Args:
        error: The exception.
        failure: The result of `failure_of` for the exception.
    """
    return {
        "exception.type": failure.type,
        "exception.message": failure.message,
        "exception.stacktrace": stack_trace(error, failure.message),
        "exception.escaped": "False",
    }


def event_attributes(event: Event) -> dict[str, str | int]:
    """Return the attributes of the span event that carries *event*.

    The type and the message of a failure are cut to `MAX_MESSAGE` characters. The operation that failed is an
    attribute of the span instead.
    """
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
        attributes["error.type"] = truncate(failure.type)
        attributes["error.message"] = truncate(failure.message)
    return attributes


def read_event(
    kind: Kind,
    time: int,
    attributes: Mapping[str, Any],
    span_attributes: Mapping[str, Any],
    warn: Callable[[Exception], None],
) -> Event:
    """Return the event that a span event carries; the operation that failed is read from the span.

    Args:
        kind: The kind; fields that it does not document are not read.
        time: Nanoseconds since 1970 (UTC).
        attributes: The attributes of the span event.
        span_attributes: The attributes of its span.
        warn: Called with the error for each field that is present but cannot be read; the field is omitted.
    """

    def read(field: Callable[[], _T]) -> _T | None:
        try:
            return field()
        except Exception as error:  # attributes may hold anything
            warn(error)
            return None

    def string(source: Mapping[str, Any], name: str) -> str | None:
        return read(lambda: _string(source, name))

    size = read(lambda: _size(attributes)) if kind.outcome.sized else None
    window = read(lambda: _window(attributes))
    failure = None
    if kind.outcome.error:
        type_, message = string(attributes, "error.type"), string(attributes, "error.message")
        if type_ is not None or message is not None:
            operation = string(span_attributes, "kcevents.operation")
            failure = Failure(
                scrub_message(type_ or ""), scrub_message(message or ""), operation and truncate(operation)
            )
    return Event(kind.name, time, size, window, failure)


def _size(attributes: Mapping[str, Any]) -> int | None:
    value = attributes.get("kcevents.size")
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= (size := index(value)) <= MAX_SIZE:
        raise TypeError(f"kcevents.size={describe(value)} is not a size; expected an integer from 0 to {MAX_SIZE}")
    return size


def _window(attributes: Mapping[str, Any]) -> Window | None:
    start, end = attributes.get("kcevents.window.start"), attributes.get("kcevents.window.end")
    return None if start is None and end is None else Window(start, end)


def _string(attributes: Mapping[str, Any], name: str) -> str | None:
    """Return an attribute as a string: numbers are converted, other types refused."""
    value = attributes.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, float)) or (isinstance(value, int) and -MAX_SIZE <= value <= MAX_SIZE):
        return str(value)
    raise TypeError(f"{name}={describe(value)} cannot be read; expected a string")
