"""`Attachment`: one consumer of the events of a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from otel_kcevents.model.event import Event
from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.store.source import Source

__all__ = ["Attachment", "Consumer"]

Consumer: TypeAlias = Callable[[Event, int, int], object]
"""A function that takes an event, its span id and its trace id; the ids are 0 for an event without a recorded span."""


@dataclass(eq=False, slots=True)
class Attachment:
    """One consumer of a log, from `attach` until it is detached.

    Attributes:
        consumer: Called for each event.
        source: What to serve for the log while the consumer is attached; None for the log itself.
        warned: Whether a warning about an exception of the consumer has been logged.
    """

    consumer: Consumer
    source: Source | None = None
    warned: bool = False

    def deliver(self, event: Event, span_id: int, trace_id: int) -> None:
        """Call the consumer. An exception that it raises is logged once.

        Args:
            event: The event as the log keeps it.
            span_id: The id of its span, 0 for none.
            trace_id: The id of its trace, 0 for none.
        """
        try:
            self.consumer(event, span_id, trace_id)
        except Exception as error:
            if not self.warned:
                self.warned = True  # before the warning, whose handler may append an event itself
                name = getattr(self.consumer, "__qualname__", type(self.consumer).__qualname__)
                problem = f"{type(error).__qualname__}: {error_message(error)}"
                _logger.warning("%s missed an event of the log; logged once per attachment: %s", name, problem)
