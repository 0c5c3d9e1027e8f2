"""`cover_logs()`: sets the events and the consumers of all logs of this process aside, for a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from weakref import WeakSet

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.event import Event

__all__ = ["CoverConsumer", "Coverable", "all_logs", "cover_logs", "covers", "register_log"]

CoverConsumer: TypeAlias = Callable[[Any, Event, int, int], object]
"""A function that takes the log, an event, its span id and its trace id; the ids are 0 if no span was recorded."""


class Coverable(Protocol):
    """A log whose state can be set aside."""

    def _cover(self, consumer: CoverConsumer) -> None:
        """Set the events and the consumers aside; only *consumer* gets further events."""
        ...

    def _uncover(self, number: int) -> None:
        """Drop the events and consumers since the cover of this number, up to the next cover."""
        ...


@dataclass(eq=False, slots=True)
class _Cover:
    consumer: CoverConsumer


_logs: WeakSet[Any] = WeakSet()
_covers: list[_Cover] = []


def register_log(log: Coverable) -> None:
    """Let covers reach a new log, also the present ones.

    Args:
        log: The log.
    """
    with FORK_LOCK:
        for cover in _covers:
            log._cover(cover.consumer)
        _logs.add(log)


def all_logs() -> list[Any]:
    """Return the logs of this process."""
    return list(_logs)


def covers() -> tuple[object | None, ...]:
    """Return None, which stands for the state outside of all covers, and then the active covers, the newest last."""
    return None, *_covers


def cover_logs(consumer: CoverConsumer) -> Callable[[], None]:
    """Set the events and the consumers of all logs of this process aside, for a test.

    Each log starts empty, with *consumer* as its only consumer, and so do logs that are created meanwhile. The returned
    function drops what has been recorded and attached since then, and brings back what was set aside. Covers may
    overlap: the newest one gets the events.

    Args:
        consumer: Called as `consumer(log, event, span_id, trace_id)`, like the consumers of `EventLog.attach`.

    Returns:
        A function that removes the cover; calling it again does nothing.
    """
    cover = _Cover(consumer)
    with FORK_LOCK:
        _covers.append(cover)
        for log in all_logs():
            log._cover(consumer)

    def remove() -> None:
        with FORK_LOCK:
            if cover in _covers:
                number = _covers.index(cover)
                del _covers[number]
                for log in all_logs():
                    log._uncover(number)

    return remove
