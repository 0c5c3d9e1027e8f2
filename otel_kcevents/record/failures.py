"""Which exceptions are failures, and how a span shows one."""

from __future__ import annotations

from opentelemetry.trace import Span, StatusCode

from otel_kcevents.model.event import Failure
from otel_kcevents.model.wire import exception_attributes, failure_attributes

__all__ = ["is_clean_exit", "record_failure"]


def record_failure(span: Span, error: BaseException | Failure, failure: Failure, time: int) -> None:
    """Set the status and the attributes of the span of something that failed, and record the exception.

    Args:
        span: The span; nothing happens if it is not recording.
        error: The exception, which the span records too, or the failure.
        failure: The failure that *error* means.
        time: When it failed, in nanoseconds since 1970.
    """
    if span.is_recording():
        span.set_attributes(failure_attributes(failure))
        span.set_status(StatusCode.ERROR, f"{failure.type.rpartition('.')[2]}: {failure.message}")
        if isinstance(error, BaseException):
            span.add_event("exception", exception_attributes(error, failure), time)


def is_clean_exit(error: BaseException) -> bool:
    """Return whether *error* ends a program successfully: SystemExit, or the Exit of click and typer, with status zero.

    Args:
        error: The exception.
    """
    if isinstance(error, SystemExit):
        return error.code is None or (isinstance(error.code, int) and error.code == 0)
    try:
        code = getattr(error, "exit_code", None)
    except Exception:  # it is a property, which may raise anything
        return False
    return type(code) is int and code == 0
