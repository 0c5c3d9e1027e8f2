"""`EventLogProcessor`: a span processor that retains the events of other code's spans in the log."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial

from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_kcevents.model.wire import read_event
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["EventLogProcessor"]

_logger = logging.getLogger("otel_kcevents")


class EventLogProcessor(SpanProcessor):
    """Appends to `log` every event of a known kind that it finds on a span that ends.

    Add it to any tracer provider. An event that the log has already, from a decorator or from a second
    processor, is not taken twice. A broken event is left out, or kept without what can't be read, with
    one warning; no exception reaches the program. The log keeps what it has after `shutdown`.
    """

    log: EventLog

    def __init__(self, log: EventLog = default_log) -> None:
        self.log = log
        self._closed = False
        self._warned = False

    def on_end(self, span: ReadableSpan) -> None:
        """Take the known events of a span that has ended."""
        if self._closed:
            return
        try:
            came: Counter[tuple[object, int]] = Counter()
            for event in span.events:
                repeat = came[event.name, event.timestamp]
                came[event.name, event.timestamp] += 1
                self._try(event, span, repeat)
        except Exception as error:  # a processor's exception would end the program's own call
            self._warn(span, error)

    def _try(self, found: SpanEvent, span: ReadableSpan, repeat: int) -> None:
        try:
            if found.name in self.log.kinds or found.name.removesuffix("Event") in self.log.kinds:
                # Events of one name and time on one span, as a coarse clock gives them, are told apart by their number.
                span_id = (span.context.span_id if span.context else 0) | repeat << 64
                if self.log.has(found.name, found.timestamp, span_id):  # our own, from its emission
                    return
                kind = self.log.kind(found.name)
                warn = partial(self._warn, span)
                event = read_event(kind, found.timestamp, found.attributes or {}, span.attributes or {}, warn)
                self.log.append(event, span_id)
        except Exception as error:  # the span's other events may be whole
            self._warn(span, error)

    def _warn(self, span: ReadableSpan, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning("an event on the span %r is left out or not whole: %s", span.name, error)

    def shutdown(self) -> None:
        """Take no more events."""
        self._closed = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits: events are in the log when their span has ended."""
        return True
