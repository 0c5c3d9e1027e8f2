"""`WindowResult`: what a source knows about one window of one operation: how often it succeeded or failed, and last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import OPERATIONS, OUTCOMES, Event, Failure, Outcome
from otel_kcevents.model.resolution import resolution_of

__all__ = ["WindowResult", "WindowResults", "results_of"]

_OPERATIONS = {success: operation for operation, (success, _) in OPERATIONS.items() if success}


class WindowResult(NamedTuple):
    """The successes, or the failures, of one operation for one window.

    Attributes:
        etl: The name of the list, such as `allocation`.
        operation: The operation; None for failures that do not tell it.
        is_error: Whether these are failures.
        start: The start of the window, in nanoseconds since 1970.
        end: The end of the window; equal to `start` if the events have no window.
        events: How many events there are.
        order: The position of the latest event among all events of the source, in the order of their arrival.
        time: The time of the latest event, in nanoseconds since 1970.
        size: The size of the latest event; None if unknown.
        failure: The failure of the latest event; None for successes.
    """

    etl: str
    operation: str | None
    is_error: bool
    start: int
    end: int
    events: int
    order: int
    time: int
    size: int | None
    failure: Failure | None


class WindowResults(NamedTuple):
    """What a source knows about the windows of a range.

    Attributes:
        results: The results of the windows that overlap the range.
        newest: For each etl, operation and resolution that was ever seen, the success with the newest window, also
            outside the range.
        without_window: The failures without a window.
        known_since: By etl and operation, the time of the oldest event that is kept, if older ones were deleted.
    """

    results: tuple[WindowResult, ...]
    newest: tuple[WindowResult, ...]
    without_window: tuple[WindowResult, ...]
    known_since: Mapping[tuple[str, str], int]


def outcome_of(kind: str) -> Outcome | None:
    """Return the outcome that a kind stands for; None for a kind that this package does not know."""
    name = kind.removesuffix("Event")
    return next((outcome for outcome in OUTCOMES.values() if name.endswith(outcome.suffix)), None)


def operation_of(event: Event) -> str | None:
    """Return the operation that an event reports; None if it does not tell."""
    outcome = outcome_of(event.kind)
    if outcome is None or not outcome.error:
        return None if outcome is None else _OPERATIONS[outcome.name]
    if outcome.name == "reconcile_error":
        return "reconcile"
    operation = event.failure and event.failure.operation
    return operation if operation in _OPERATIONS.values() else None


def results_of(document: Document, start: int, end: int) -> WindowResults:
    """Return the results of the events that a document lists.

    Args:
        document: The document; each list newest first.
        start: The start of the range, in nanoseconds since 1970.
        end: The end of the range.
    """
    found: dict[tuple[object, ...], WindowResult] = {}
    oldest: dict[tuple[str, str], int] = {}
    listed: dict[str, int] = {}
    for etl, events in document.lists.items():
        for order, event in enumerate(reversed(events)):
            outcome = outcome_of(event.kind)
            if outcome is None:
                continue
            operation = operation_of(event)
            listed[event.kind] = listed.get(event.kind, 0) + 1
            if operation is not None and (listed[event.kind] == 1) and not outcome.error:
                oldest[etl, event.kind] = event.time
            bounds = _bounds(event)
            if bounds is None:
                continue
            key = (etl, operation, outcome.error, *bounds)
            before = found.get(key)
            found[key] = WindowResult(
                etl,
                operation,
                outcome.error,
                *bounds,
                1 + (before.events if before else 0),
                order,
                event.time,
                event.size,
                event.failure,
            )
    known_since = {}
    for (etl, kind), time in oldest.items():
        if document.counters.get(kind, 0) > listed[kind]:
            outcome = outcome_of(kind)
            assert outcome is not None
            known_since[etl, _OPERATIONS[outcome.name]] = time
    return select_results(found.values(), start, end, known_since)


def _bounds(event: Event) -> tuple[int, int] | None:
    """Return the window of an event; twice the same time for a failure without one; None for no use."""
    window = event.window
    if window is None or window.start_ns is None or window.end_ns is None or window.start_ns == window.end_ns:
        return (0, 0) if event.is_error else None
    return window.start_ns, window.end_ns


def select_results(
    results: Iterable[WindowResult], start: int, end: int, known_since: Mapping[tuple[str, str], int]
) -> WindowResults:
    """Return the results of a range.

    Args:
        results: All results.
        start: The start of the range, in nanoseconds since 1970.
        end: The end of the range.
        known_since: By etl and operation, the time of the oldest event that is kept, if older ones were deleted.
    """
    newest: dict[tuple[str, str | None, str], WindowResult] = {}
    selected, without = [], []
    for result in results:
        if result.start == result.end:
            without.append(result)
            continue
        if not result.is_error:
            key = result.etl, result.operation, resolution_of(result.start, result.end)
            if key not in newest or newest[key].start < result.start:
                newest[key] = result
        if result.start < end and start < result.end:
            selected.append(result)
    return WindowResults(tuple(selected), tuple(newest.values()), tuple(without), known_since)
