"""`EventLog`: the most recent events of each kind, in memory, and exact counts of all of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import itemgetter
from threading import RLock
from time import time_ns
from typing import Any, TypeAlias

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import DOCUMENTED, MAX_SIZE, Event, Kind, is_name, kinds_of
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS, SECOND
from otel_kcevents.model.window import Window
from otel_kcevents.store.attachment import Attachment, Consumer
from otel_kcevents.store.covers import CoverConsumer, all_logs, register_log
from otel_kcevents.store.local import Reference, refer, resolve
from otel_kcevents.store.shared_log import SharedLog
from otel_kcevents.store.source import Source, check_selection
from otel_kcevents.store.totals import KindTotals, add_window_end

__all__ = ["EventLog", "default_log", "etl_of", "known_kinds", "log_of"]


_Entry: TypeAlias = tuple[int, int, Event]
"""The number of times that the clock had been set back before an event, the event's own time, and the event."""

_by_time, _by_epoch_and_time, _event_of = itemgetter(1), itemgetter(0, 1), itemgetter(2)

_MAX_WAIT = 0.1  # seconds that reading the totals waits for an append
_REMEMBERED_STEPS = 64
_REMEMBERED = 4096  # the minimum number of event keys that a log remembers to recognize duplicates
_STATE = ("_attachments", "_buffers", "_clock", "_set_back", "_epoch", "_seen", "_seen_before")


class _KindBuffer:
    """The newest events of one kind, and the totals of all of them."""

    __slots__ = ("count", "epoch", "error", "events", "latest", "records", "sized", "window", "window_ends")

    def __init__(self, kind: Kind, retention: int) -> None:
        self.sized = kind.outcome.sized
        self.error = kind.outcome.error
        self.events: deque[_Entry] = deque(maxlen=retention)
        self.count = 0
        self.records: int | None = None  # until the first size
        self.latest = MIN_NS  # the time of the latest event
        self.epoch = 0  # how often the clock had been set back before it
        self.window: Window | None = None  # the window of the last event that has one
        self.window_ends: dict[str, int] = {}


class EventLog:
    """Keeps the newest *retention* events of each kind in memory and counts all of them.

    Safe to use from any number of threads. Memory is bounded by *retention* times the number of kinds. After
    a fork, the child's log has the same sets and consumers, but no events. A copy or a pickle of a log is the same log
    in its own process, and the default log in another process, such as a forked child.

    Args:
        retention: How many events of each kind to keep, at least 1.

    Raises:
        ValueError: *retention* is less than 1.
    """

    retention: int
    """How many events of each kind are kept."""

    def __init__(self, retention: int = 256) -> None:
        if retention < 1:
            raise ValueError(f"retention must be at least 1, got {retention!r}")
        self.retention = retention
        self._sets: dict[str, str] = {}
        self._kinds: dict[str, Kind] = {}
        self._attachments: tuple[Attachment, ...] = ()
        self._covered: list[dict[str, Any]] = []  # the states that are set aside, the oldest first
        self._clear()
        for etl, set_name in DOCUMENTED.items():
            self.add_set(etl, set_name)
        register_log(self)

    def __reduce__(self) -> str | tuple[Any, ...]:
        return "default_log" if self is default_log else (log_of, (refer(self),))

    def __repr__(self) -> str:
        return f"EventLog(retention={self.retention})"

    def _repr_html_(self) -> str:
        from otel_kcevents.model.notebook import MAX_EVENTS, log_html  # only notebooks need it

        return log_html(repr(self), lambda: self.document(limit=MAX_EVENTS))

    def _clear(self) -> None:
        """Remove all events and replace the lock, which a thread that a forked child does not have may have held."""
        self._lock = RLock()  # reentrant: a generator that the garbage collector closes may append at any point
        for state in self._covered:
            self._start_empty()
            state.update({name: getattr(self, name) for name in _STATE if name != "_attachments"})
        self._start_empty()

    def _start_empty(self) -> None:
        self._buffers = {name: _KindBuffer(kind, self.retention) for name, kind in self._kinds.items()}
        self._clock = 0  # the clock at the last append
        self._set_back: deque[int] = deque(maxlen=_REMEMBERED_STEPS)  # the clock after each time that it was set back
        self._epoch = 0  # how often the clock was set back
        self._seen: set[tuple[int, int, str, int]] = set()
        self._seen_before: set[tuple[int, int, str, int]] = set()

    def _cover(self, consumer: CoverConsumer) -> None:
        with self._lock:
            self._covered.append({name: getattr(self, name) for name in _STATE})
            self._start_empty()
            self._attachments = (Attachment(partial(consumer, self)),)

    def _uncover(self, number: int) -> None:
        """Drop what was recorded since the cover of this number, up to the next one."""
        with self._lock:
            if number + 1 < len(self._covered):
                del self._covered[number + 1]
                return
            for name, value in self._covered.pop().items():
                setattr(self, name, value)

    @property
    def source(self) -> Source:
        """What to serve for this log: an attached journal, which has the events of all processes, or the log itself.

        While the journal cannot be read, the source answers with the events of this log.
        """
        return next((attachment.source for attachment in self._attachments if attachment.source), self)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The 14 documented kinds and those of the added sets, by name."""
        return self._kinds

    def add_set(self, etl: str, set_name: str) -> None:
        """Add a list named *etl* and the seven kinds of *set_name*; adding the same set again changes nothing.

        Args:
            etl: The name of the list, such as `cloud`: ASCII letters, digits and `_`.
            set_name: The prefix of the names of its kinds, such as `CloudCostSet`.

        Raises:
            ValueError: A name is invalid, or is already taken by another set.
        """
        for name in (etl, set_name):
            if not is_name(name) or name == "counters":
                raise ValueError(f"{short_repr(name)} cannot name a set; use letters, digits and _, but not 'counters'")
        with self._lock:
            if self._sets.get(etl) == set_name:
                return
            if etl in self._sets or set_name in self._sets.values():
                raise ValueError(f"{etl!r} or {set_name!r} is already taken by one of {self._sets!r}; use other names")
            kinds = {kind.name: kind for kind in kinds_of(etl, set_name).values()}
            buffers = {name: _KindBuffer(kind, self.retention) for name, kind in kinds.items()}
            self._kinds = {**self._kinds, **kinds}  # new dicts: other threads may be iterating over the old ones
            self._buffers = {**self._buffers, **buffers}
            for state in self._covered:
                empty = {name: _KindBuffer(kind, self.retention) for name, kind in kinds.items()}
                state["_buffers"] = {**state["_buffers"], **empty}
            self._sets = {**self._sets, etl: set_name}
            _etls.update(dict.fromkeys(kinds, etl))

    def kind(self, name: str) -> Kind:
        """Return the kind named *name*, which may have a trailing `Event`.

        Raises:
            ValueError: The log has no such kind.
        """
        found = self._kinds.get(name) or self._kinds.get(name.removesuffix("Event"))
        if found is None:
            raise ValueError(f"{short_repr(name)} is not a kind of this log; expected one of {', '.join(self._kinds)}")
        return found

    def append(self, event: Event, span_id: int = 0, trace_id: int = 0, repeat: int = 0) -> bool:
        """Keep and count *event*, and pass it to the attached consumers, unless the log already has it.

        Events of the same span, time, kind and *repeat* are the same event. A kind with a trailing `Event` is
        kept without it. A size or a failure that the kind does not document is removed.

        Args:
            event: The event.
            span_id: The id of the recording span that carries the event, 0 for none.
            trace_id: The id of that span's trace, for the consumers.
            repeat: How many events of the same kind and time precede it on the same span.

        Returns:
            True, or False if the log already has the event.

        Raises:
            ValueError: The kind is unknown, the time or the size is not an integer within bounds, or the event
                has `extra` metadata, which the log's format cannot represent.
        """
        kind, time, size, window, failure, extra = event
        if type(time) is not int or not MIN_NS <= time <= MAX_NS:
            raise ValueError(f"time must be integer nanoseconds in the years 1 to 9999, got {short_repr(time)}")
        if size is not None and (type(size) is not int or not 0 <= size <= MAX_SIZE):
            raise ValueError(f"size must be an integer from 0 to {MAX_SIZE}, got {short_repr(size)}")
        if extra is not None:
            raise ValueError(f"extra must be None in a log, got {short_repr(extra)}; use event._replace(extra=None)")
        with self._lock:
            buffer = self._buffers.get(kind)
            if buffer is None:
                kind = self.kind(kind).name
                event, buffer = event._replace(kind=kind), self._buffers[kind]
            if span_id:
                key = (span_id, time, kind, repeat)
                if key in self._seen or key in self._seen_before:
                    return False
                self._seen.add(key)
                if len(self._seen) >= _REMEMBERED:
                    self._seen_before, self._seen = self._seen, set()
            if size is not None:
                if buffer.sized:
                    buffer.records = (buffer.records or 0) + size
                else:
                    event = event._replace(size=None)
            if window is not None and window is not buffer.window:
                buffer.window = window
                add_window_end(buffer.window_ends, window)
            if failure is not None and not buffer.error:
                event = event._replace(failure=None)
            buffer.count += 1
            now = time_ns()
            if now < self._clock:
                self._epoch += 1
                self._set_back.append(now - SECOND)  # the event's own time was read a moment earlier
            self._clock = now
            epoch = self._epoch and self._epoch_of(time)
            if (time > buffer.latest and epoch == buffer.epoch) or epoch > buffer.epoch:  # faster in this order
                buffer.latest, buffer.epoch = time, epoch
            buffer.events.append((epoch, time, event))
            attachments = self._attachments  # read under the lock: a consumer gets exactly the events since `attach`
        for attachment in attachments:
            attachment.deliver(event, span_id, trace_id)
        return True

    def _epoch_of(self, time: int) -> int:
        """Return how often the clock had been set back when an event of this time happened, which arrives now."""
        epoch = self._epoch
        for start in reversed(self._set_back):
            if time >= start:
                break
            epoch -= 1  # it arrives late, and happened before
        return epoch

    def attach(self, consumer: Consumer, *, begin: bool = True) -> Callable[[], None]:
        """Call *consumer* for each event that is appended from now on.

        The consumer is called in the thread that appends, once the log has the event and outside the log's lock,
        with the event as the log keeps it. An exception that it raises is logged once per attachment and reaches
        neither the program nor the other consumers. Calls from several threads may overlap. A forked child keeps
        the consumers. A consumer that is attached twice is called twice; a journal is called once.

        The lock is reentrant: if the garbage collector or a signal handler causes an append inside another call
        of the log, that call still holds the lock. A consumer must neither append to the same
        log nor wait for another thread that appends.

        Args:
            consumer: Called as `consumer(event, span_id, trace_id)`; the ids are integers, 0 for none.
            begin: Whether a journal registers the run of this process now; otherwise its first event does.

        Returns:
            A function that detaches the consumer; calling it again does nothing. An event that another thread is
            delivering at that moment may still arrive.

        Raises:
            TypeError: *consumer* is not callable.
        """
        if not callable(consumer):
            raise TypeError(f"consumer must be a function of event, span_id and trace_id, got {short_repr(consumer)}")
        journal: Any = consumer if hasattr(consumer, "document") else None
        attachment = Attachment(consumer, None if journal is None else SharedLog(self, journal))
        with self._lock:
            for other in self._attachments:
                if other.consumer is journal:
                    attachment = other
                    break
            else:
                self._attachments = (*self._attachments, attachment)
        if begin and hasattr(journal, "begin"):
            journal.begin()  # this process is now a run in it

        def detach() -> None:
            with self._lock:
                self._attachments = tuple(other for other in self._attachments if other is not attachment)
                for state in self._covered:
                    state["_attachments"] = tuple(other for other in state["_attachments"] if other is not attachment)

        return detach

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind, in alphabetical order, without zeros."""
        # Without the lock: if a signal interrupts an append, the handler waits for an export that reads the counts.
        return {name: count for name, buffer in sorted(self._buffers.items()) if (count := buffer.count)}

    def totals(self) -> tuple[KindTotals, ...]:
        """Return the totals of each kind that was seen, in alphabetical order."""
        lock = self._lock
        # If a signal interrupts an append, the handler may wait for an export that reads the totals.
        is_locked = lock.acquire(timeout=_MAX_WAIT)
        try:
            return tuple(
                KindTotals(
                    self._kinds[name].etl, name, buffer.count, buffer.records, buffer.latest, dict(buffer.window_ends)
                )
                for name, buffer in sorted(self._buffers.items())
                if buffer.count
            )
        finally:
            if is_locked:
                lock.release()

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return a snapshot of the log: the lists, newest first, and the counters of all events.

        Events are ordered by their times, except that those recorded after the clock was set back come first.

        Args:
            kinds: The kinds to list, or prefixes of them; all kinds if empty.
            window: The window that an event's own time must be in to be listed; None for any time.
            limit: The maximum number of events to list of each kind: the newest of those selected.

        Raises:
            TypeError: *window* is not a Window.
            ValueError: One of *kinds* is not a prefix of a kind, or *limit* is not an integer of at least 1.
        """
        check_selection(window, limit)
        prefixes = [kinds] if isinstance(kinds, str) else list(kinds)
        wanted = set() if prefixes else set(self._kinds)
        for prefix in prefixes:
            names = [name for name in self._kinds if f"{name}Event".startswith(prefix)]
            if not names:
                known = ", ".join(self._kinds)
                raise ValueError(f"{short_repr(prefix)} is not a kind or a prefix of one; expected one of {known}")
            wanted.update(names)
        with self._lock:
            kept = {name: list(buffer.events) for name, buffer in self._buffers.items() if name in wanted}
            counters = self.counts()
        lists: dict[str, list[_Entry]] = {kind.etl: [] for kind in self._kinds.values()}
        for name, entries in kept.items():
            if window is not None:
                entries = [entry for entry in entries if window.contains(entry[1])]
            lists[self._kinds[name].etl] += reversed(entries[-limit:])
        order = _by_epoch_and_time if self._epoch else _by_time  # which is twice as fast
        for entries in lists.values():
            entries.sort(key=order, reverse=True)
        return Document({etl: tuple(map(_event_of, entries)) for etl, entries in lists.items()}, counters)


_etls: dict[str, str] = {}


def known_kinds() -> tuple[str, ...]:
    """Return the names of the kinds that the logs of this process have had, in the order in which they were added."""
    return tuple(_etls)


def etl_of(kind: str) -> str:
    """Return the name of the list of a kind that a log of this process has.

    Args:
        kind: The name of the kind, without a trailing `Event`.

    Raises:
        KeyError: No log of this process has had the kind.
    """
    return _etls[kind]


def _after_fork_in_child() -> None:
    for log in all_logs():
        log._clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)

default_log: EventLog = EventLog()
"""The log that is used unless another one is given; each process has its own."""


def log_of(reference: Reference) -> EventLog:
    """Return the log for a pickle: the same log in its own process, or the default log in another process.

    Pickles of earlier versions call this function.

    Args:
        reference: The reference to the log in its own process.
    """
    found: EventLog | None = resolve(reference)
    return default_log if found is None else found
