"""`DocumentFollower`: the new events of a source that has only documents, such as a program without a journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import NamedTuple

from otel_kcevents.cli.output import newest_first, plural, print_error
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event
from otel_kcevents.store.source import Source

__all__ = ["MAX_REMEMBERED", "DocumentFollower"]

_MAX_PROCESSES = 16  # behind one address, each with its own log
MAX_REMEMBERED = 65_536
"""How many events are remembered; 16 processes with full logs of the documented kinds list 57,344."""


class DocumentFollower:
    """Finds the new events of a source by comparing its documents.

    Each event is found once, even if several processes answer in turn, each with its own log.

    Args:
        source: Where to read from.
        count: How many past events of each process to return.
    """

    def __init__(self, source: Source, count: int) -> None:
        self._source = source
        self._count = count
        self._shown = _Shown()
        self._processes: _Processes | None = None
        self._begun = 0

    def read(self) -> list[Event]:
        """Return the past events at the first call, then the new ones, oldest first.

        Raises:
            OSError: The source cannot be read.
        """
        document = self._source.document()
        if self._processes is None:
            return self._begin(document)
        new = self._shown.new(newest_first(document)[::-1])
        continued = self._processes.missed(document)
        if continued is None:  # another process answers, or the program restarted
            return _without_past(new, self._begun, self._count)
        missed, is_certain = continued
        for kind, number in missed.items():
            reason = "because the log no longer holds them" if is_certain else "unless another process answered"
            print_error(f"missed {plural(number, f'{kind} event')}, {reason}; use a shorter --interval")
        return new

    def _begin(self, document: Document) -> list[Event]:
        past = newest_first(document)
        self._begun = max((event.time for event in past), default=0)
        self._shown.new(past)
        self._processes = _Processes(document)
        return past[: self._count][::-1]


class _Shown:
    """The events that were returned. Those that have not been listed for the longest time are forgotten first."""

    def __init__(self) -> None:
        self._counts: dict[Event, int] = {}

    def new(self, events: Iterable[Event]) -> list[Event]:
        """Return the events that no earlier document listed; equal events of one document are different events."""
        listed = Counter[Event]()
        new = []
        for event in events:
            listed[event] += 1
            if listed[event] > self._counts.get(event, 0):
                new.append(event)
        for event, number in listed.items():
            self._counts[event] = max(number, self._counts.pop(event, 0))  # moves it to the end
        while len(self._counts) > MAX_REMEMBERED:
            del self._counts[next(iter(self._counts))]
        return new


class _Process(NamedTuple):
    """The last answer of a process: its counters and its listed events."""

    counters: Mapping[str, int]
    events: Counter[Event]


class _Processes:
    """The processes that have answered, the most recent one last. A restarted program is a new process.

    Args:
        document: The first document.
    """

    def __init__(self, document: Document) -> None:
        self._processes = [_Process(document.counters, Counter(newest_first(document)))]

    def missed(self, document: Document) -> tuple[Counter[str], bool] | None:
        """Return how many events the answering process counted since its last document without listing them.

        Returns:
            The numbers by kind, without zeros, and whether the process is known for certain, by an event that both
            documents list; None if the document cannot continue that of any known process.
        """
        events = Counter(newest_first(document))
        found: tuple[int, int, Counter[str]] | None = None
        for place, process in enumerate(self._processes):
            if any(document.counters.get(kind, 0) < count for kind, count in process.counters.items()):
                continue
            known = events & process.events
            missed = Counter(document.counters)
            missed.subtract(process.counters)
            missed.subtract(event.kind for event in (events - known).elements())
            is_same = process.counters == document.counters or place == len(self._processes) - 1
            if min(missed.values(), default=0) >= 0 and (known or is_same):
                found = max(found or (-1, -1, missed), (known.total(), place, +missed), key=itemgetter(0, 1))
        if found is not None:
            del self._processes[found[1]]
        self._processes = [*self._processes[1 - _MAX_PROCESSES :], _Process(document.counters, events)]
        return found and (found[2], found[0] > 0)


def _without_past(events: list[Event], begun: int, count: int) -> list[Event]:
    """Return events, oldest first, with only the newest *count* of those from before *begun*."""
    surplus = sum(event.time < begun for event in events) - count
    kept = []
    for event in events:
        if event.time < begun and surplus > 0:
            surplus -= 1
        else:
            kept.append(event)
    return kept
