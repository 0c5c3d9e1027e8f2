"""`capture()`: gives a test an isolated log, and assertions about the events that the test emits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import EllipsisType
from typing import Any

from otel_kcevents.expected_event import ExpectedEvent, list_events
from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.event import Event
from otel_kcevents.store.covers import cover_logs
from otel_kcevents.store.run import Run, complete_run, current_run, restore_run

__all__ = ["CapturedEvents", "capture"]

_HIDDEN = ("OTEL_PYTHON_KCEVENTS_LOG_FILE", "OTEL_PYTHON_KCEVENTS_LOG_FILE_BY")


class CapturedEvents:
    """The events of a test, from `capture()` or the fixture `kcevents`, with assertions about them.

    An event that several logs got from the same span is captured once. The assertions see the events that have been
    emitted by the time of the call: wait for threads first.
    """

    __slots__ = ("_events", "_is_active", "_numbers", "_outer", "_seen")

    def __init__(self, outer: CapturedEvents | None = None) -> None:
        self._outer = outer
        self._is_active = True
        self._events: list[Event] = []
        self._numbers: Counter[tuple[object, tuple[int, str, int]]] = Counter()
        self._seen: set[tuple[tuple[int, str, int], int]] = set()

    def __repr__(self) -> str:
        return f"CapturedEvents({self.counts!r})"

    @property
    def events(self) -> tuple[Event, ...]:
        """The events in the order in which they were emitted, of all kinds and all logs."""
        return tuple(self._events)

    @property
    def counts(self) -> dict[str, int]:
        """The number of events of each kind, in alphabetical order, without zeros."""
        return dict(sorted(Counter(event.kind for event in self.events).items()))

    def clear(self) -> None:
        """Forget the events so far, such as those of a fixture."""
        self._events.clear()

    def assert_emitted(
        self,
        kind: str,
        *,
        size: int | EllipsisType | None = ...,
        window: Any = ...,
        error: type[BaseException] | str | EllipsisType | None = ...,
        match: str | None = None,
        operation: str | EllipsisType | None = ...,
        count: int | None = None,
    ) -> Event:
        """Assert that an event was emitted. Fields that are not given, or given as `...`, may have any value.

        Args:
            kind: The kind, such as `AllocationSetSaved`; a trailing `Event` is accepted.
            size: The size; None for an event without a size.
            window: The window, as anything that `Window.of` converts; None for an event without a window.
            error: The type of the error: an exception class, which includes its subclasses, or the name of one with or
                without its module; None for an event without an error.
            match: A regular expression that the message of the error must match, as by `re.search`.
            operation: The operation that failed, such as `save`; None for an event that names none.
            count: How many such events there must be, at least 1; None for any number.

        Returns:
            The newest of these events.

        Raises:
            AssertionError: There is no such event, or not *count* of them. The message lists the events that were
                emitted instead, the closest first.
            TypeError: An argument has an unsupported type.
            ValueError: The kind, the operation, the window or the count is invalid.
        """
        __tracebackhide__ = True
        if count is not None and (type(count) is not int or count < 1):
            raise ValueError(f"count must be an integer of at least 1, got {count!r}; use assert_not_emitted for none")
        expected = ExpectedEvent(kind, size, window, error, match, operation)
        events = self.events
        found = [event for event in events if not expected.differences(event)]
        if not found or count not in (None, len(found)):
            raise AssertionError(expected.explain(events, len(found), count))
        return found[-1]

    def assert_not_emitted(
        self,
        kind: str,
        *,
        size: int | EllipsisType | None = ...,
        window: Any = ...,
        error: type[BaseException] | str | EllipsisType | None = ...,
        match: str | None = None,
        operation: str | EllipsisType | None = ...,
    ) -> None:
        """Assert that no such event was emitted.

        Args:
            kind: The kind, such as `AllocationSetSaved`; a trailing `Event` is accepted.
            size: The size, as for `assert_emitted`.
            window: The window, as for `assert_emitted`.
            error: The type of the error, as for `assert_emitted`.
            match: A regular expression for the message of the error, as for `assert_emitted`.
            operation: The operation that failed, as for `assert_emitted`.

        Raises:
            AssertionError: There are such events; the message lists them.
            TypeError: An argument has an unsupported type.
            ValueError: The kind, the operation or the window is invalid.
        """
        __tracebackhide__ = True
        expected = ExpectedEvent(kind, size, window, error, match, operation)
        found = [event for event in self.events if not expected.differences(event)]
        if found:
            raise AssertionError(f"expected no {expected}; emitted:\n{list_events(found)}")

    def assert_no_errors(self) -> None:
        """Assert that no event reports a failure.

        Raises:
            AssertionError: There are such events; the message lists them.
        """
        __tracebackhide__ = True
        found = [event for event in self.events if event.is_error]
        if found:
            raise AssertionError(f"expected no errors; emitted:\n{list_events(found)}")

    def _add(self, log: object, event: Event, span_id: int) -> None:
        """Keep an event of a log, unless another log got the same event from the span."""
        if span_id:
            key = (span_id, event.kind, event.time)  # a coarse clock gives several events of a span the same time
            self._numbers[log, key] += 1
            numbered = (key, self._numbers[log, key])
            if numbered in self._seen:
                return
            self._seen.add(numbered)
        self._events.append(event)


_current: ContextVar[CapturedEvents | None] = ContextVar("kcevents_capture", default=None)
_active: list[CapturedEvents] = []
# What the first of the active captures has found, for the last one:
_hidden: dict[str, str] = {}
_runs: list[Run] = []


@contextmanager
def capture() -> Iterator[CapturedEvents]:
    """Capture the events of all logs of this process, for a test: `with capture() as kcevents:`.

    Meanwhile, nothing else gets the events: every log starts empty, without its consumers, and a journal that the
    environment names is not used, also by processes that are started meanwhile. Afterwards, every log, its counts and
    its consumers are as before. Spans go to the tracer provider of the program as usual.

    Events of any thread are captured. Of several captures, the innermost one of the emitting thread or task gets an
    event; those of threads without a capture go to the innermost one of each thread.

    Returns:
        A context manager, whose value is the captured events; they stay available after its end.
    """
    captured = CapturedEvents(_own())
    with FORK_LOCK:
        if not _active:
            _hide_run_and_journal()
        _active.append(captured)
        remove_cover = cover_logs(_deliver)
    _current.set(captured)
    try:
        yield captured
    finally:
        with FORK_LOCK:
            remove_cover()
            _active.remove(captured)
            captured._is_active = False
            for inner in _active:
                if inner._outer is captured:
                    inner._outer = captured._outer
            if not _active:
                _show_run_and_journal()
        _current.set(_own())


def _hide_run_and_journal() -> None:
    complete_run()
    _runs.append(current_run())
    _hidden.update({name: os.environ.pop(name) for name in _HIDDEN if name in os.environ})


def _show_run_and_journal() -> None:
    restore_run(_runs.pop())
    for name in _HIDDEN:
        os.environ.pop(name, None)
    os.environ.update(_hidden)
    _hidden.clear()


def _own() -> CapturedEvents | None:
    """Return the innermost capture of this thread or task; None if it has none."""
    captured = _current.get()
    while captured is not None and not captured._is_active:
        captured = captured._outer
    return captured


def _deliver(log: object, event: Event, span_id: int, trace_id: int) -> None:
    own = _own()
    if own is not None:
        own._add(log, event, span_id)
        return
    active = tuple(_active)
    outer = {captured._outer for captured in active}
    for captured in active:
        if captured not in outer:
            captured._add(log, event, span_id)
