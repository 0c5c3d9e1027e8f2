"""`ExpectedEvent`: what a test expects of an event, and how close the emitted events come to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from types import EllipsisType
from typing import Any

from otel_kcevents.model.event import OPERATIONS, Event
from otel_kcevents.model.messages import short_repr, type_name
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import known_kinds

__all__ = ["ExpectedEvent", "list_events"]

_MAX_LISTED = 20
_MAX_MESSAGE = 200  # of an error, in characters


class ExpectedEvent:
    """What a test expects of an event. Fields that are `...` may have any value.

    Args:
        kind: The kind; a trailing `Event` is accepted.
        size: The size; None for an event without a size.
        window: The window, as anything that `Window.of` converts; None for an event without a window.
        error: The type of the error: an exception class, which includes its subclasses, or a name with or without the
            module; None for an event without an error.
        match: A regular expression for the message of the error; None for any message.
        operation: The operation that failed; None for an event that names none.

    Raises:
        TypeError: An argument has an unsupported type.
        ValueError: The kind, the operation or the window is invalid.
    """

    def __init__(
        self,
        kind: str,
        size: int | EllipsisType | None = ...,
        window: Any = ...,
        error: type[BaseException] | str | EllipsisType | None = ...,
        match: str | None = None,
        operation: str | EllipsisType | None = ...,
    ) -> None:
        __tracebackhide__ = True  # the traceback of a mistake ends with the line of the test
        if size is not ... and size is not None and type(size) is not int:
            raise TypeError(f"size must be an integer, or None for an event without a size, got {short_repr(size)}")
        is_class = isinstance(error, type) and issubclass(error, BaseException)
        if error is not ... and error is not None and not is_class and not isinstance(error, str):
            raise TypeError(f"error must be an exception class or its name, got {short_repr(error)}")
        if operation is not ... and operation is not None and operation not in OPERATIONS:
            raise ValueError(f"{short_repr(operation)} is not an operation; expected one of {', '.join(OPERATIONS)}")
        self._kind = _kind_of(kind)
        self._size = size
        self._window = window if window is ... or window is None else _window_of(window)
        self._error = error
        self._errors = _names_of(error) if isinstance(error, type) else {error}
        self._pattern = None if match is None else _pattern_of(match)
        self._operation = operation

    def __str__(self) -> str:
        error = type_name(self._error) if isinstance(self._error, type) else self._error
        pattern = ... if self._pattern is None else repr(self._pattern.pattern)
        fields = {
            "size": self._size,
            "window": self._window,
            "error": error,
            "match": pattern,
            "operation": self._operation,
        }
        shown = [f"{name}={value}" for name, value in fields.items() if value is not ...]
        return " ".join([self._kind, *shown])

    def differences(self, event: Event) -> list[str]:
        """Return the names of what differs from the expectation: `kind`, `size`, `window`, `error`, `message` …"""
        failure = event.failure
        message = "" if failure is None else failure.message
        is_equal = {
            "kind": event.kind == self._kind,
            "size": self._size in (..., event.size),
            "window": self._window in (..., event.window),
            "error": self._error is ... or self._has_error(None if failure is None else failure.type),
            "message": self._pattern is None or (failure is not None and bool(self._pattern.search(message))),
            "operation": self._operation in (..., None if failure is None else failure.operation),
        }
        return [name for name, equal in is_equal.items() if not equal]

    def _has_error(self, name: str | None) -> bool:
        if name in self._errors:
            return True
        return isinstance(self._error, str) and name is not None and name.endswith(f".{self._error}")

    def explain(self, events: Sequence[Event], found: int, count: int | None) -> str:
        """Return the message of a failed assertion.

        Args:
            events: The events that were emitted.
            found: How many of them are as expected.
            count: How many should be; None for at least one.
        """
        expected = f"expected {self}" if count is None else f"expected {count} of {self}, got {found}"
        if not events:
            return f"{expected}; no event was emitted"
        nearest = sorted(events, key=self._distance)  # stable: otherwise in the order in which they were emitted
        differences = [", ".join(self.differences(event)) for event in nearest]
        notes = [f"different {names}" if names else "found" for names in differences]
        return f"{expected}; emitted, the closest first:\n{list_events(nearest, notes)}"

    def _distance(self, event: Event) -> tuple[int, bool]:
        differences = self.differences(event)
        return len(differences) + ("kind" in differences), "kind" in differences


def list_events(events: Sequence[Event], notes: Sequence[str] = ()) -> str:
    """Return a line for each event, up to 20.

    Args:
        events: The events.
        notes: What to write before each event.
    """
    shown = events[:_MAX_LISTED]
    width = max(map(len, notes[:_MAX_LISTED]), default=-2) + 2
    lines = [f"  {note:{width}}{_line(event)}" for note, event in zip(notes or [""] * len(shown), shown, strict=False)]
    if len(events) > len(shown):
        lines.append(f"  and {len(events) - len(shown)} more")
    return "\n".join(lines)


def _line(event: Event) -> str:
    parts = [event.kind]
    if event.size is not None:
        parts.append(f"size={event.size}")
    if event.window is not None:
        parts.append(f"window={event.window}")
    if event.failure is not None:
        kind, message, operation = event.failure
        if operation is not None:
            parts.append(f"operation={operation}")
        message = " ".join(message.split())
        cut = message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}…"
        parts.append(f"error={kind}: {cut}" if cut else f"error={kind}")
    return " ".join(parts)


def _kind_of(name: str) -> str:
    """Return the name of a kind without a trailing `Event`."""
    __tracebackhide__ = True
    if not isinstance(name, str):
        raise TypeError(f"kind must be a string such as 'AllocationSetSaved', got {short_repr(name)}")
    known = known_kinds()
    for kind in (name, name.removesuffix("Event")):
        if kind in known:
            return kind
    nearest = get_close_matches(name, known, n=3, cutoff=0.5) or known
    raise ValueError(
        f"{short_repr(name)} is not a kind; did you mean {' or '.join(nearest)}? "
        "If it belongs to a record set of your own, create that first"
    )


def _window_of(value: object) -> Window:
    """Convert the window that a test expects. The error shows the value, which is part of the test and not data."""
    __tracebackhide__ = True
    try:
        return Window.of(value)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"window={short_repr(value)}: {error}") from None


def _pattern_of(match: str) -> re.Pattern[str]:
    __tracebackhide__ = True
    try:
        return re.compile(match)
    except (TypeError, re.error) as error:
        remedy = "to match special characters literally, use re.escape()"
        raise ValueError(f"match must be a regular expression, got {short_repr(match)}: {error}; {remedy}") from None


def _names_of(error: type[BaseException]) -> set[Any]:
    """Return the names of an exception class and its subclasses, as events have them."""
    names = {type_name(error)}
    for subclass in error.__subclasses__():
        names |= _names_of(subclass)
    return names
