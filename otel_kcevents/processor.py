"""`EventLogProcessor`: a span processor that retains the events of other code's spans in the log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_kcevents.events import MOST_MESSAGE, Event, Failure
from otel_kcevents.log import EventLog, default_log
from otel_kcevents.values import to_size
from otel_kcevents.window import Window, format_time, shown

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
                self._take(found, span, repeat)
        except Exception as error:  # the span's other events may be whole
            self._warn(span, error)

    def _take(self, found: SpanEvent, span: ReadableSpan, repeat: int) -> None:
        # Events of one name and time on one span, as a coarse clock gives them, are told apart by their number.
        span_id = (span.context.span_id if span.context else 0) | repeat << 64
        if self.log.has(found.name, found.timestamp, span_id):  # our own, from its emission: read nothing twice
            return
        kind = self.log.kind(found.name)
        attributes = found.attributes or {}
        format_time(found.timestamp)  # raises for a time that the log could not print
        event = Event(
            kind.name,
            found.timestamp,
            self._read(_size, attributes, span) if kind.outcome.sized else None,
            self._read(_window, attributes, span),
            _failure(attributes, span) if kind.outcome.error else None,
        )
        self.log.append(event, span_id)

    def _read(self, read: Any, attributes: Mapping[str, Any], span: ReadableSpan) -> Any:
        try:
            return read(attributes)
        except (TypeError, ValueError) as error:
            self._warn(span, error)
            return None

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


def _size(attributes: Mapping[str, Any]) -> int | None:
    size = attributes.get("kcevents.size")
    if isinstance(size, (str, tuple)):  # these have a len(), which is no number of records
        raise TypeError(f"{shown(size)} is no size; give a whole number")
    return None if size is None else to_size(size)


def _window(attributes: Mapping[str, Any]) -> Window | None:
    start, end = attributes.get("kcevents.window.start"), attributes.get("kcevents.window.end")
    return None if start is None and end is None else Window(start, end)


def _failure(attributes: Mapping[str, Any], span: ReadableSpan) -> Failure | None:
    kind, message = attributes.get("error.type"), attributes.get("error.message")
    if kind is None and message is None:
        return None
    operation = (span.attributes or {}).get("kcevents.operation")
    return Failure(_short(kind), _short(message), None if operation is None else _short(operation))


def _short(value: Any) -> str:
    """A text for a log whose memory is bounded."""
    text = "" if value is None else str(value)
    return text if len(text) <= MOST_MESSAGE else f"{text[:MOST_MESSAGE]}…"
