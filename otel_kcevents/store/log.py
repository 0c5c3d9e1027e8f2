"""`EventLog`: the most recent events of each kind, and exact counts of all."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping
from threading import RLock
from weakref import WeakSet

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import DOCUMENTED, MAX_SIZE, Event, Kind, Outcome, is_name, kinds_of
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS
from otel_kcevents.model.window import Window

__all__ = ["EventLog", "default_log"]

_REMEMBERED = 4096  # events of spans that may still come a second time, at the least


class _KindBuffer:
    """One kind's place in a log: its last events and the count of all."""

    __slots__ = ("count", "error", "events", "sized")

    def __init__(self, outcome: Outcome, retention: int) -> None:
        self.sized, self.error = outcome.sized, outcome.error
        self.events: deque[Event] = deque(maxlen=retention)
        self.count = 0

    def without_undocumented_fields(self, event: Event) -> Event:
        """The event without what its kind does not document."""
        return event._replace(size=event.size if self.sized else None, failure=event.failure if self.error else None)


class EventLog:
    """Keeps the last `retention` events of each kind and counts every one; safe between threads and forks.

    Memory is bounded by `retention` times the number of kinds. A forked child starts with an empty log:
    what its parent did is the parent's to tell. Raises ValueError for a retention below 1.
    """

    retention: int

    def __init__(self, retention: int = 256) -> None:
        if retention < 1:
            raise ValueError(f"a retention of {retention!r} keeps nothing; give 1 event a kind or more")
        self.retention = retention
        self._sets: dict[str, str] = {}
        self._kinds: dict[str, Kind] = {}
        self._clear()
        for etl, set_name in DOCUMENTED.items():
            self.add_set(etl, set_name)
        _logs.add(self)

    def __repr__(self) -> str:
        return f"EventLog(retention={self.retention})"

    def _clear(self) -> None:
        """Start empty, with a lock of our own: after a fork the old one may be held by a thread that is gone."""
        self._lock = RLock()  # reentrant: a generator that the garbage collector closes may append at any point
        self._buffers = self._empty(self._kinds)
        self._seen: set[tuple[int, int, str]] = set()
        self._seen_before: set[tuple[int, int, str]] = set()

    def _empty(self, kinds: Mapping[str, Kind]) -> dict[str, _KindBuffer]:
        return {name: _KindBuffer(kind.outcome, self.retention) for name, kind in kinds.items()}

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The kinds that this log knows, by name: the 14 documented ones and those of the sets added."""
        return self._kinds

    def add_set(self, etl: str, set_name: str) -> None:
        """Give a set a list of its own, named `etl`, and its seven kinds. A second time changes nothing.

        Raises ValueError where a name is no name or is taken.
        """
        for name in (etl, set_name):
            if not is_name(name) or name == "counters":
                raise ValueError(
                    f"{short_repr(name)} can not name a set; use letters, digits and _, but not 'counters'"
                )
        with self._lock:
            if self._sets.get(etl) == set_name:
                return
            if etl in self._sets or set_name in self._sets.values():
                raise ValueError(f"{etl!r} with {set_name!r}: one of the names is taken by {self._sets!r}; use others")
            kinds = {kind.name: kind for kind in kinds_of(etl, set_name).values()}
            self._kinds = {**self._kinds, **kinds}  # new dicts: the old ones may be read at this moment
            self._buffers = {**self._buffers, **self._empty(kinds)}
            self._sets = {**self._sets, etl: set_name}

    def kind(self, name: str) -> Kind:
        """The kind of a name, with or without `Event` behind it. Raises ValueError for an unknown one."""
        found = self._kinds.get(name) or self._kinds.get(name.removesuffix("Event"))
        if found is None:
            raise ValueError(f"{short_repr(name)} is no kind of this log; it knows {', '.join(self._kinds)}")
        return found

    def has(self, kind: str, time: int, span_id: int) -> bool:
        """Whether the event of this kind, time and span has come; remembered for 4,096 events at least."""
        key = (span_id, time, kind)
        return key in self._seen or key in self._seen_before

    def append(self, event: Event, span_id: int = 0) -> bool:
        """Keep and count an event; False if this log has it already.

        `span_id` is the recording span that carries the event, 0 for none: an event of the same span, time
        and kind is the same event. Raises ValueError for an unknown kind, and for a time or a size that is no
        whole number in bounds.
        """
        kind, time, size, _, failure = event
        if type(time) is not int or not MIN_NS <= time <= MAX_NS:
            raise ValueError(
                f"time={short_repr(time)} ns since 1970 is no whole number, or outside the years 1 to 9999"
            )
        if size is not None and (type(size) is not int or not 0 <= size <= MAX_SIZE):
            raise ValueError(f"size={short_repr(size)} is no whole number from 0 to {MAX_SIZE}")
        with self._lock:
            buffer = self._buffers.get(kind)
            if buffer is None:
                kind = self.kind(kind).name
                event, buffer = event._replace(kind=kind), self._buffers[kind]
            if span_id:
                key = (span_id, time, kind)
                if key in self._seen or key in self._seen_before:
                    return False
                self._seen.add(key)
                if len(self._seen) >= _REMEMBERED:
                    self._seen_before, self._seen = self._seen, set()
            if (size is not None and not buffer.sized) or (failure is not None and not buffer.error):
                event = buffer.without_undocumented_fields(event)
            buffer.count += 1
            buffer.events.append(event)
        return True

    def counts(self) -> dict[str, int]:
        """How many events of each kind there were since the start, in alphabetical order, no zeros."""
        with self._lock:
            return {name: buffer.count for name, buffer in sorted(self._buffers.items()) if buffer.count}

    def document(self, kinds: Iterable[str] = (), window: Window | None = None) -> Document:
        """The log as it is now: the lists, newest first, and the counters.

        `kinds` are kinds or beginnings of kinds, `window` the period that an event's own time is in; both
        select from the lists alone. Raises ValueError for one that begins no known kind.
        """
        wanted = self._selected(kinds)
        with self._lock:
            kept = {name: list(buffer.events) for name, buffer in self._buffers.items() if name in wanted}
            counters = self.counts()
        lists: dict[str, list[Event]] = {etl: [] for etl in self._sets}
        for name, events in kept.items():
            lists[self._kinds[name].etl] += reversed(events)
        return Document({etl: _newest_first(events, window) for etl, events in lists.items()}, counters)

    def _selected(self, kinds: Iterable[str]) -> set[str]:
        beginnings = [kinds] if isinstance(kinds, str) else list(kinds)
        selected = set()
        for beginning in beginnings:
            names = [name for name in self._kinds if f"{name}Event".startswith(beginning)]
            if not names:
                raise ValueError(f"{short_repr(beginning)} begins no kind; the kinds are {', '.join(self._kinds)}")
            selected.update(names)
        return selected if beginnings else set(self._kinds)


def _newest_first(events: list[Event], window: Window | None) -> tuple[Event, ...]:
    chosen = events if window is None else [event for event in events if window.contains(event.time)]
    return tuple(sorted(chosen, key=_time, reverse=True))


def _time(event: Event) -> int:
    return event.time


_logs: WeakSet[EventLog] = WeakSet()


def _after_fork_in_child() -> None:
    for log in list(_logs):
        log._clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)

default_log: EventLog = EventLog()
"""The log that is used where none is given; a forked child's is its own."""
