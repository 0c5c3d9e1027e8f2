"""`EventLogProcessor`: a span processor that puts the events of other code's spans into the log."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_kcevents.model.messages import error_message, short_repr
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.wire import SCOPE, read_event
from otel_kcevents.record.target import RecordedKind
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["EventLogProcessor"]


class EventLogProcessor(SpanProcessor):
    """Appends every event of a known kind, on any span that ends, to a log.

    Add it to a tracer provider. An event that a decorator or another processor has appended is not appended
    again. A field that cannot be read is omitted, and so is an event without a valid time or name, with one
    warning per processor. Exceptions never reach the program.

    Args:
        log: The log to append to; default: the log of the process.
    """

    log: EventLog

    def __init__(self, log: EventLog = default_log) -> None:
        self.log = log
        self._is_shut_down = False
        self._has_warned = False

    def on_end(self, span: ReadableSpan) -> None:
        """Append the known events of a span that has ended."""
        if self._is_shut_down:
            return
        try:
            events, own = span.events, None
            if span.instrumentation_scope is not None and span.instrumentation_scope.name == SCOPE:
                # The recorder appended its event to its log, and ended the span at the event's time. A copy on another
                # span, or the event of a recorder with another log, does not meet these conditions.
                for event in events:
                    name = event.name
                    if isinstance(name, RecordedKind) and name.log is self.log and event.timestamp == span.end_time:
                        own = event
                if own is not None and len(events) == 1:
                    return
            span_id, trace_id = (span.context.span_id, span.context.trace_id) if span.context else (0, 0)
            # With a coarse clock, several events of one kind have the same time. A number distinguishes them; that of
            # the recorder's event is 0.
            repeats = {} if own is None else {(str(own.name), own.timestamp): 1}
            for event in events:
                if event is own:
                    continue
                try:
                    kind = self.log.kinds.get(event.name) or self.log.kinds.get(event.name.removesuffix("Event"))
                    if kind is None:
                        continue
                    time, attributes = event.timestamp, event.attributes or {}
                    repeat = repeats.get((kind.name, time), 0)
                    repeats[kind.name, time] = repeat + 1
                    found = read_event(kind, time, attributes, span.attributes or {}, partial(self._warn, span))
                    self.log.append(found, span_id, trace_id, repeat)
                except Exception as error:  # the span's other events may be valid
                    self._warn(span, error)
        except Exception as error:  # it would propagate into the program's call
            self._warn(span, error)

    def _warn(self, span: ReadableSpan, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            message = "an event on the span %s is omitted or incomplete (logged once per processor): %s"
            with suppress(Exception):  # reading the name of a broken span may fail
                _logger.warning(message, short_repr(span.name), error_message(error))

    def shutdown(self) -> None:
        """Ignore the spans that end from now on."""
        self._is_shut_down = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: events are in the log as soon as their span has ended."""
        return True
