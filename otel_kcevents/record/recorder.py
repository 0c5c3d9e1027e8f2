"""`Recorder`: what happens around one instrumented operation, from the start of its span to its entry in the log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from sys import is_finalizing
from time import time_ns
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, StatusCode, TracerProvider, set_span_in_context

from otel_kcevents.model.event import MAX_SIZE, OPERATIONS, Event, Failure, Kind, kinds_of
from otel_kcevents.model.messages import short_repr, to_utf8, truncate
from otel_kcevents.model.window import Window
from otel_kcevents.model.wire import SCOPE, event_attributes, span_attributes
from otel_kcevents.record.extract import Extractor, to_size
from otel_kcevents.store.log import EventLog
from otel_kcevents.version import __version__

__all__ = ["Recorder", "StartedSpan", "Target", "failure_of"]

_logger = logging.getLogger("otel_kcevents")

StartedSpan: TypeAlias = tuple[Span, Context, Context]
"""A started span, the context around it, and the context inside it: the same where nothing is traced."""

(_SPAN_KEY,) = set_span_in_context(INVALID_SPAN, Context())  # asked of the API once; asked at each call it costs double
_new_event = tuple.__new__  # an Event is made at each call, and by its own name at twice the price


class Target:
    """Where the events of one set go: the log, the tracer, and the names of the kinds."""

    __slots__ = ("etl", "kinds", "log", "proxied", "set_name", "tracer")

    etl: str
    set_name: str
    log: EventLog
    kinds: dict[str, Kind]
    tracer: trace.Tracer
    proxied: bool

    def __init__(self, etl: str, set_name: str, log: EventLog, tracer_provider: TracerProvider | None) -> None:
        log.add_set(etl, set_name)
        self.etl, self.set_name, self.log = etl, set_name, log
        self.kinds = kinds_of(etl, set_name)
        self.tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
        self.proxied = tracer_provider is None

    def pass_proxy(self) -> None:
        """Take the tracer itself, now that a provider is set: each call through the proxy has its price."""
        self.proxied = False
        self.tracer = trace.get_tracer(SCOPE, __version__)


class Recorder:
    """Makes the span, the span event and the log entry of one operation, of one function where there is one.

    Whatever goes wrong in here is logged once and stays in here.
    """

    __slots__ = (
        "_append",
        "_attributes",
        "_before",
        "_error_kind",
        "_fails_when",
        "_kind",
        "_size",
        "_sized",
        "_span_name",
        "_target",
        "_warned",
        "_window",
        "measure",
        "name",
        "operation",
    )  # fmt: skip

    name: str
    operation: str
    measure: Callable[[tuple[Any, ...], Mapping[str, Any]], int | None] | None

    def __init__(
        self,
        target: Target,
        operation: str,
        name: str | None = None,
        window: Extractor | None = None,
        size: Extractor | None = None,
        before: Extractor | None = None,
        fails_when: Callable[[Any], object] | None = None,
    ) -> None:
        success, failure = OPERATIONS[operation]
        self._target, self._append, self.operation = target, target.log.append, operation
        self._kind = None if success is None else target.kinds[success].name
        self._sized = success is not None and target.kinds[success].outcome.sized
        self._error_kind = target.kinds[failure].name
        self._span_name = f"{operation} {target.set_name}"
        self.name = name or self._span_name
        self._attributes = span_attributes(target.etl, operation, name)
        self._window, self._size, self._before, self._fails_when = window, size, before, fails_when
        self.measure = None if before is None else self._measure
        self._warned: set[str] = set()

    def start(self, start: int | None = None) -> StartedSpan | None:
        """Start the span, at a time in nanoseconds since 1970 or now; None where instrumentation is suppressed.

        The caller attaches and restores the contexts.
        """
        outside = get_current()
        if outside and outside.get("suppress_instrumentation"):
            return None
        try:
            span = self._target.tracer.start_span(
                self._span_name, outside, attributes=self._attributes, start_time=start
            )
            if type(span) is NonRecordingSpan and (span is INVALID_SPAN or not _is_new(span, outside)):
                return span, outside, outside
            if self._target.proxied:
                self._target.pass_proxy()
            return span, outside, Context({**outside, _SPAN_KEY: span})
        except Exception as error:
            self.warn("the span", error)
            return INVALID_SPAN, outside, outside

    def succeed(
        self, span: Span, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, count: int | None = None
    ) -> None:
        """The function returned: record the operation's kind with size and window, or a failure by its result.

        `count` is the size where nothing else is named: the number of items that a generator count_item, or what
        was measured before the call.
        """
        if self._fails_when is not None and (failure := self._unwanted(result)):
            return self.record_failure(span, failure, self.read_window(args, kwargs, result))
        size = count if self._size is None else self._read_size(self._size, args, kwargs, result)
        self.record(span, self._kind, time_ns(), size, self.read_window(args, kwargs, result))

    def finish_early(self, span: Span, args: tuple[Any, ...], kwargs: Mapping[str, Any], count: int) -> None:
        """A generator's consumer had enough: no error, and no result to read from."""
        size = count if self._size is None else self._read_size(self._size, args, kwargs, None, count, returned=False)
        self.finish(span, size, self.read_window(args, kwargs, None, returned=False))

    def _measure(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
        """The size before the call, for a set that the call may empty."""
        return self._read_size(self._before, args, kwargs, None)

    def finish(self, span: Span, size: int | None, window: Window | None) -> None:
        """Record that the operation succeeded."""
        self.record(span, self._kind, time_ns(), size, window)

    def fail(self, span: Span, error: BaseException, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The function raised: record the error, and the window as far as the arguments tell it."""
        self.finish_with_error(span, error, self.read_window(args, kwargs, None, returned=False))

    def finish_with_error(
        self, span: Span, error: BaseException, window: Window | None, size: int | None = None
    ) -> None:
        """Record what left by an exception: a failure, unless it is an exit with status zero."""
        if isinstance(error, SystemExit) and (error.code is None or (isinstance(error.code, int) and error.code == 0)):
            return self.finish(span, size, window)
        self.record_failure(span, failure_of(error, self.operation), window, error)

    def record_failure(
        self, span: Span, failure: Failure, window: Window | None, error: BaseException | None = None
    ) -> None:
        self.mark_failed(span, failure, error)
        self.record(span, self._error_kind, time_ns(), None, window, failure)

    def mark_failed(self, span: Span, failure: Failure, error: BaseException | None, at: int | None = None) -> None:
        try:
            if span.is_recording():
                _mark_failed(span, failure, error, at)
        except Exception as problem:
            self.warn("the span's status", problem)

    def record(
        self,
        span: Span,
        kind: str | None,
        now: int,
        size: int | None = None,
        window: Window | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Write the event to the log and on the span, which ends with it. Without a kind the span just ends."""
        try:
            event = (
                None if kind is None else _new_event(Event, (kind, now, size if self._sized else None, window, failure))
            )
            if type(span) is NonRecordingSpan:  # nothing to write on, and nothing to end
                if event is not None:
                    self._append(event)
                return
            try:
                if event is not None and span.is_recording():
                    self._append(event, span.get_span_context().span_id)
                    span.add_event(event.kind, event_attributes(event), now)
                elif event is not None:
                    self._append(event)
            finally:
                span.end(now)
        except Exception as error:
            self.warn("the span's event", error)

    def read_window(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, returned: bool = True
    ) -> Window | None:
        if self._window is None:
            return None
        try:
            value = self._window(args, kwargs, result)
            returned = True
            return None if value is None else Window.of(value)
        except Exception as error:
            if returned:  # a call that failed has no result to look into
                self.warn("the window", error)
            return None

    def window_of(self, value: Any) -> Window | None:
        """The window that a value means; None, once with a warning, where it means none."""
        try:
            return None if value is None else Window.of(value)
        except Exception as error:
            self.warn("the window", error)
            return None

    def _read_size(
        self,
        read: Extractor | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
        otherwise: int | None = None,
        returned: bool = True,
    ) -> int | None:
        try:
            size = None if read is None else read(args, kwargs, result)
            return otherwise if size is None else size
        except Exception as error:
            if returned:
                self.warn("the size", error)
            return otherwise

    def size_of(self, value: Any) -> int | None:
        """The size that a value means; None, once with a warning, where it means none."""
        try:
            return None if value is None else to_size(value)
        except Exception as error:
            self.warn("the size", error)
            return None

    def _unwanted(self, result: Any) -> Failure | None:
        """The failure that a result means by `fails_when`, None where it means none."""
        try:
            if self._fails_when is None or not self._fails_when(result):
                return None
        except Exception as error:
            self.warn("fails_when", error)
            return None
        what = short_repr(result) if _is_plain(result) else f"a {type(result).__qualname__}"
        return Failure("FailedResult", f"{self.name} returned {what}", self.operation)

    def warn(self, what: str, error: Exception) -> None:
        """Log what was left out, the first time that it happens here; at the interpreter's end it is no news."""
        if what not in self._warned and not is_finalizing():
            self._warned.add(what)
            why = repr(error) if isinstance(error, KeyError) else _message(error)  # its text is the key alone
            _logger.warning("%s: %s is left out, and this is said once: %s", self.name, what, why)


def _is_plain(result: Any) -> bool:
    """Whether a result is shown as it is: not so an integer that Python may refuse to print."""
    return result is None or type(result) in (bool, float) or (type(result) is int and abs(result) <= MAX_SIZE)


def _is_new(span: Span, context: Context) -> bool:
    """Whether a span that records nothing is one of its own (not sampled), not a stand-in for the current one."""
    if not context:
        return True
    own, current = span.get_span_context(), trace.get_current_span(context).get_span_context()
    return own.is_valid and own.span_id != current.span_id


def _mark_failed(span: Span, failure: Failure, error: BaseException | None, at: int | None) -> None:
    span.set_attribute("error.type", failure.type)
    span.set_status(StatusCode.ERROR, f"{failure.type.rpartition('.')[2]}: {failure.message}")
    if error is not None:
        span.record_exception(error, _clean_texts(error), at)


def _clean_texts(error: BaseException) -> dict[str, str] | None:
    """What stands for an exception's texts where UTF-8 can't hold them, and an exporter would drop them."""
    message = str(error)
    if to_utf8(message) == message:
        return None
    stack = "".join(traceback.format_exception(error))
    return {"exception.message": to_utf8(message), "exception.stacktrace": to_utf8(stack)}


def failure_of(error: BaseException, operation: str | None) -> Failure:
    """What an exception tells: its type with the module, as OpenTelemetry writes it, and its message."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return Failure(name, _message(error), operation)


def _message(error: BaseException) -> str:
    """An exception's text, fit for UTF-8 and for a log of bounded size."""
    try:
        text = str(error)
    except Exception:
        text = "(its message can not be read)"
    return to_utf8(truncate(text))
