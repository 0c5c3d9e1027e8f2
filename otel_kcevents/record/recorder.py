"""`Recorder`: the span, the span event and the log entry of one operation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from sys import is_finalizing
from time import time_ns
from typing import Any, TypeAlias, cast

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, set_span_in_context

from otel_kcevents.model.event import OPERATIONS, Event, Failure
from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.window import Window
from otel_kcevents.model.wire import event_attributes, failure_of, span_attributes
from otel_kcevents.record.durations import DURATIONS, TimedSpan
from otel_kcevents.record.failures import record_failure
from otel_kcevents.record.sizes import to_size
from otel_kcevents.record.target import Target
from otel_kcevents.store.calls import CallCounts

__all__ = ["Recorder", "StartedSpan"]


StartedSpan: TypeAlias = tuple[Span, Context, Context]
"""A started span, the context around it, and the context inside it: the same one if nothing is traced."""

(_SPAN_KEY,) = set_span_in_context(INVALID_SPAN, Context())  # using the key directly halves the cost of a call
_new_event = tuple.__new__  # builds an Event in half the time; every call builds one


class Recorder:
    """Records one operation: `start` a span, then `finish` or `fail` it.

    Never raises: a part that cannot be recorded is omitted, and a warning is logged once per part.

    Args:
        target: Where the events go.
        operation: The operation, such as `save`.
        function_name: The qualified name of the decorated function; None if there is none.
    """

    def __init__(self, target: Target, operation: str, function_name: str | None = None) -> None:
        success, failure = OPERATIONS[operation]
        self.operation: str = operation
        self.is_sized: bool = success is not None and target.kinds[success].outcome.sized
        self.target: Target = target
        self._append = target.log.append
        self._kind = None if success is None else target.kinds[success].name
        self._error_kind = target.kinds[failure].name
        self._span_name = f"{operation} {target.set_name}"
        self._attributes = span_attributes(target.etl, operation, function_name)
        self.name: str = function_name or self._span_name
        self._warned: set[str] = set() if function_name else target.warned.setdefault(operation, set())
        self._counts: CallCounts | None = None
        self._has_window_on_failure = False

    def start(self, time: int | None = None) -> StartedSpan | None:
        """Start the span; the caller attaches and restores the contexts.

        Args:
            time: When the operation started, in nanoseconds since 1970; default: now.

        Returns:
            The span and its contexts, or None if instrumentation is suppressed and nothing is recorded.
        """
        if DURATIONS.is_on and time is None:
            started = self.start(time_ns())
            return started and (cast(Span, TimedSpan(started[0])), started[1], started[2])
        if self._counts is not None:
            self._counts.calls += 1
        outside = get_current()
        if outside and outside.get("suppress_instrumentation"):
            return None
        target = self.target
        try:
            span = target.tracer.start_span(self._span_name, outside, attributes=self._attributes, start_time=time)
            if type(span) is NonRecordingSpan and (span is INVALID_SPAN or not _is_new(span, outside)):
                return span, outside, outside
            if target.is_proxied:
                target.replace_proxy()
            return span, outside, Context({**outside, _SPAN_KEY: span})
        except Exception as error:
            self.warn("the span", error)
            return INVALID_SPAN, outside, outside

    def finish(self, span: Span, size: int | None, window: Window | None, time: int | None = None) -> None:
        """Record that the operation succeeded, and end the span.

        Args:
            span: The span of the operation.
            size: The number of records in the set; ignored if the operation records no size.
            window: The window of the set.
            time: When it succeeded, in nanoseconds since 1970; default: now.
        """
        time = time_ns() if time is None else time
        size = size if self.is_sized else None
        kind = self._kind
        self._record(span, time, None if kind is None else _new_event(Event, (kind, time, size, window, None, None)))

    def fail(
        self,
        span: Span,
        error: BaseException | Failure,
        window: Window | None,
        time: int | None = None,
        kind: str | None = None,
    ) -> None:
        """Record that the operation failed, and end the span.

        Args:
            span: The span of the operation.
            error: The exception, which the span records too, or the failure.
            window: The window of the set.
            time: When it failed, in nanoseconds since 1970; default: now.
            kind: The name of the kind; default: the operation's own error kind.
        """
        time = time_ns() if time is None else time
        failure = error if isinstance(error, Failure) else failure_of(error, self.operation)
        try:
            record_failure(span, error, failure, time)
        except Exception as problem:
            self.warn("the span's status", problem)
        self._record(span, time, Event(kind or self._error_kind, time, None, window, failure))

    def skip(self, span: Span) -> None:
        """End the span of an operation that neither succeeded nor failed, without an event.

        Args:
            span: The span of the operation.
        """
        if type(span) is TimedSpan:  # type: ignore[comparison-overlap]  # its duration says nothing
            span = span.span
        self._record(span, time_ns(), None)

    def _record(self, span: Span, time: int, event: Event | None) -> None:
        """Append the event, if there is one, to the log and the span, and end the span."""
        if type(span) is TimedSpan:  # type: ignore[comparison-overlap]
            target = self.target
            span = target.durations.end(span, target.etl, self.operation, None if event is None else event.failure)
        if self._counts is not None:  # first, so that the journal gets the counts together with the event
            self._count(event)
        try:
            if type(span) is NonRecordingSpan:
                if event is not None:
                    self._append(event)
                return
            try:
                if event is not None and span.is_recording():
                    context = span.get_span_context()
                    self._append(event, context.span_id, context.trace_id)
                    span.add_event(self.target.recorded_kinds[event.kind], event_attributes(event), time)
                elif event is not None:
                    self._append(event)
            finally:
                span.end(time)
        except Exception as error:
            self.warn("the span's event", error)

    def _count(self, event: Event | None) -> None:
        counts = self._counts
        assert counts is not None
        if event is None:
            self.attempt("the count of the call", counts.write_soon)  # which no event takes to the journal
            return
        counts.events += 1
        if event.failure is not None:
            counts.errors += 1
            if event.window is None and self._has_window_on_failure:
                counts.windows_missing += 1
            return
        if event.window is None:
            counts.windows_missing += 1
        if event.size is None and counts.has_size and self.is_sized:
            counts.sizes_missing += 1

    def window_of(self, value: Any, now: int | None = None) -> Window | None:
        """Return *value* as a Window; None, with a warning, if it cannot be converted.

        Args:
            value: Anything that `Window.of` converts; None for no window.
            now: The time that relative forms are relative to, in nanoseconds since 1970; default: now.
        """
        try:
            return None if value is None else Window.of(value, now)
        except Exception as error:
            self.warn("the window", error)
            return None

    def size_of(self, value: Any) -> int | None:
        """Return *value* as a size; None, with a warning, if it cannot be converted or the operation records none."""
        if value is None or value is False:
            return None
        if not self.is_sized:
            self.warn("the size", TypeError(f"{self.operation} records no size"))
            return None
        size: int | None = self.attempt("the size", to_size, value)
        return size

    def attempt(self, field: str, function: Callable[..., Any], *args: Any) -> Any:
        """Return what *function* returns; None, with a warning, if it raises."""
        try:
            return function(*args)
        except Exception as error:
            self.warn(field, error)
            return None

    def share_warnings(self) -> None:
        """Log each warning once for all recorders of the same operation and function name in this process."""
        self._warned = self.target.warned.setdefault(self.name, self._warned)

    def warn(self, field: str, error: Exception) -> None:
        """Log, once per field, that it is omitted and why, unless the interpreter is exiting."""
        if field not in self._warned and not is_finalizing():
            self._warned.add(field)
            reason = error_message(error)
            if isinstance(error, KeyError):  # the message is the key alone
                reason = f"KeyError({reason})"
            with suppress(Exception):  # of the program's handlers and filters
                _logger.warning("%s: %s is omitted (logged once): %s", self._place_of(field), field, reason)

    def _place_of(self, field: str) -> str:
        """Return what a warning about a field starts with."""
        return self.name


def _is_new(span: Span, context: Context) -> bool:
    """Return whether a span that is not recording is new (not sampled), and not the current span returned again."""
    if not context:
        return True
    own, current = span.get_span_context(), trace.get_current_span(context).get_span_context()
    return own.is_valid and own.span_id != current.span_id
