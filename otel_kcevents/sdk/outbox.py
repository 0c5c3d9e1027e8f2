"""An outbox keeps one signal's data until the collector takes it."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Condition, RLock
from time import monotonic
from typing import Any, Protocol

from opentelemetry.context import Context, get_current

__all__ = ["MAX_KEPT", "Batch", "Client", "Outbox", "Progress", "Source"]

MAX_KEPT = 16_384
"""Spans, or exports of metrics, that are kept for a collector that does not take them."""

MIN_BACKOFF = 1.0  # seconds
MAX_BACKOFF = 60.0
_PARTS = 8  # three failures find one record among 512
_MAX_MERGED = 512  # spans of a request that is put together, as many as the SDK hands over at once by default
_MAX_PIECES = 64  # batches that an outage may leave; each is a request when it is over
MIN_KEPT = 300.0  # seconds that a span is kept at least if the collector rejects it but takes others

_logger = logging.getLogger("otel_kcevents")


class Progress:
    """What the outboxes of a process share: their lock, their clock, and what the log says of them.

    Args:
        clock: Seconds of a clock that is never set back.
    """

    changed: Condition
    """Held for every change of an outbox, and notified of each."""

    flushing: int
    """How many wait for what is kept."""

    last_success: float
    """When something was taken last, by the clock."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.start_anew()

    def start_anew(self) -> None:
        """Forget everything, the lock too: in a forked child a thread of the parent may hold it."""
        self.changed = Condition()
        self.flushing = 0
        self.last_success = -math.inf
        self._kept: set[str] = set()

    def note_kept(self, name: str, endpoint: str) -> None:
        """Log a warning if nothing was kept before."""
        if not self._kept:
            _logger.warning(
                "the OTLP endpoint %s did not accept an export of %s; up to %d spans are kept and sent again",
                endpoint,
                name,
                MAX_KEPT,
            )
        self._kept.add(name)

    def note_taken(self, name: str, endpoint: str, rejected: int, is_failing: bool) -> None:
        """Log what was rejected for good, and once when nothing is kept any more."""
        self.last_success = self.clock()
        if rejected:
            _logger.warning("the OTLP endpoint %s rejected %d %s, which are not sent again", endpoint, rejected, name)
        if name in self._kept and not is_failing:
            self._kept.discard(name)
            if not self._kept:
                _logger.warning("the OTLP endpoint %s accepts exports again", endpoint)


class Client(Protocol):
    """Sends one signal's data; see `OtlpClient`."""

    endpoint: str

    def send(self, data: Any, current: Context) -> int | None:
        """Return how many records were rejected for good, None if the data was not taken."""

    def close(self) -> None:
        """Close the connection."""

    def after_fork_in_child(self) -> None:
        """Leave the connection to the parent."""


class Source(Protocol):
    """The SDK's end of a signal, which hands over to an outbox what it has queued."""

    @property
    def seen(self) -> int | None:
        """The spans that it was given so far; None for metrics."""

    def hand_over(self) -> bool:
        """Hand over everything; False if that failed."""

    def after_fork_in_child(self) -> None:
        """Start from nothing."""


@dataclass(slots=True)
class Batch:
    """Data that is exported in one request.

    Args:
        data: Spans, or a `MetricsData`.
        size: How many spans, or 1.
        share: Which part of the room in a request they take, 1 for all of it.
        context: The context in which the SDK handed it over.
        supersedes: Whether it makes what was put before unnecessary, as totals do.
        number: Its place in the order of arrival; one that replaced or absorbed others has the oldest one's.
        failing_since: When it was first not taken, None if it was never sent.
        failed_last: When it was last not taken.
    """

    data: Any
    size: int
    share: float
    context: Context
    supersedes: bool
    number: int
    failing_since: float | None = None
    failed_last: float = -math.inf

    def has_room_for(self, other: Batch) -> bool:
        """Whether both may go in one request, which may be small if the SDK hands over often."""
        fits = self.size + other.size <= _MAX_MERGED and self.share + other.share <= 1
        return fits and self.failing_since is None

    def with_more(self, other: Batch) -> Batch:
        """The batch with another's records behind its own."""
        data = [*self.data, *other.data]
        return replace(self, data=data, size=len(data), share=self.share + other.share)

    def parts(self) -> list[Batch]:
        """The batch as up to eight, one for each record at least."""
        size = -(-self.size // _PARTS)
        if self.size == 1:
            return [self]
        return [
            replace(self, data=part, size=len(part))
            for part in (self.data[start : start + size] for start in range(0, self.size, size))
        ]


class Outbox:
    """One signal's batches, oldest first, and when the next attempt to send one is due.

    A batch that is not taken goes to the end of the queue in parts, and the next attempt waits for a backoff that a
    success resets. So an unreachable collector is tried once a minute, and a record that it never accepts is soon alone
    in its request, which no longer holds up others.

    One thread calls `work`; it also asks the source to hand over, so that nobody else waits for a slow one.

    Args:
        progress: What the outboxes of the process share.
        name: What it holds, for messages: `spans` or `metrics`.
        client: Sends a batch.
        interval: Seconds between two hand-overs that the outbox asks its source for; infinite for spans, which come
            by themselves.
    """

    source: Source

    sending: Any
    """Held during an export, and by a fork; reentrant, for a callback may fork."""

    handing_over: Any
    """Likewise, while metrics are collected."""

    taken: int
    """Spans, or exports of metrics, that the collector took."""

    dropped: int
    """Those that are not going to be taken."""

    reported: int
    """Those that were logged as lost."""

    number_handed_over: int
    """The number of the newest batch at the source's last hand-over."""

    handed_over_well: bool
    """Whether that hand-over succeeded."""

    def __init__(self, progress: Progress, name: str, client: Client, interval: float = math.inf) -> None:
        self.name = name
        self.client = client
        self._progress = progress
        self._interval = interval
        self._start_empty()

    def _start_empty(self) -> None:
        self.sending = RLock()
        self.handing_over = RLock()
        self.taken = 0
        self.dropped = 0
        self.reported = 0
        self.number_handed_over = 0
        self.handed_over_well = True
        self._pending: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._number = 0
        self._backoff = 0.0
        self._not_before = -math.inf
        self._last_success = -math.inf
        self._next_hand_over = self._progress.clock() + self._interval
        self._requested = 0
        self._handed_over = 0

    @property
    def lost(self) -> int:
        """Spans not exported so far, including those that the SDK dropped or still queues; 0 for metrics."""
        return 0 if self.source.seen is None else self.source.seen - self.taken

    def _size(self) -> int:
        return sum(batch.size for batch in self._batches())

    @property
    def is_failing(self) -> bool:
        """Whether a batch is kept that was not taken."""
        return any(batch.failing_since is not None for batch in self._batches())

    def _batches(self) -> Iterator[Batch]:
        if self._in_flight is not None:
            yield self._in_flight
        yield from self._pending

    def put(self, data: Any, size: int = 1, share: float = 1.0, *, supersedes: bool = False) -> None:
        """Keep data until it is taken, and wake the thread that sends it. What waits is sent in one request if it fits.

        Args:
            data: What the client sends in one request.
            size: How many spans it holds, or 1.
            share: Which part of the room in a request it takes, 1 for all of it.
            supersedes: Whether it makes what was put with the same argument before unnecessary, as totals do.
        """
        with self._progress.changed:
            self._number += 1
            batch = Batch(data, size, share, get_current(), supersedes, self._number)
            if supersedes:
                batch.number = min([self._number, *(other.number for other in self._pending if other.supersedes)])
                self._pending = deque(other for other in self._pending if not other.supersedes)
            elif self._pending and self._pending[-1].has_room_for(batch):
                batch = self._pending.pop().with_more(batch)
            self._pending.append(batch)
            self._drop_surplus()
            self._progress.changed.notify_all()

    def drop(self, size: int) -> None:
        """Count records that are not going to be taken."""
        with self._progress.changed:
            self.dropped += size

    def _drop_surplus(self) -> None:
        while self._pending and self._size() > MAX_KEPT:
            oldest = min(range(len(self._pending)), key=lambda place: self._pending[place].number)
            self.drop(self._pending[oldest].size)
            del self._pending[oldest]

    def request_hand_over(self) -> int:
        """Request a hand-over and an immediate attempt, without backoff; return a ticket for `has_handed_over`."""
        self._requested += 1
        self._backoff = 0.0
        self._not_before = -math.inf
        return self._requested

    def has_handed_over(self, ticket: int) -> bool:
        """Whether the requested hand-over is done; `number_handed_over` is then the number of its newest batch."""
        return self._handed_over >= ticket

    def is_sent(self, number: int) -> bool:
        """Whether no batch up to *number* is kept any more."""
        return all(batch.number > number for batch in self._batches())

    def seconds_until_due(self) -> float:
        """How long there is nothing to do; 0 if there is, infinite if nothing is kept."""
        if self._requested > self._handed_over:
            return 0.0
        attempt = self._not_before if self._pending else math.inf
        return max(0.0, min(attempt, self._next_hand_over) - self._progress.clock())

    def work(self) -> None:
        """Do what is due: ask the source to hand over, send a batch."""
        now = self._progress.clock()
        ticket = self._requested
        if ticket > self._handed_over or now >= self._next_hand_over:
            self._next_hand_over = now + self._interval
            well = self.source.hand_over()
            with self._progress.changed:
                self._handed_over = ticket
                self.number_handed_over = self._number
                self.handed_over_well = well
                self._progress.changed.notify_all()
        self._attempt()

    def _attempt(self) -> None:
        with self.sending:
            with self._progress.changed:
                if not self._pending or self._progress.clock() < self._not_before:
                    return
                batch = self._in_flight = self._pending.popleft()
            rejected = self.client.send(batch.data, batch.context)
            with self._progress.changed:
                self._in_flight = None
                if rejected is None:
                    self._keep(batch)
                else:
                    self._note_taken(batch, rejected)
                self._progress.changed.notify_all()

    def _note_taken(self, batch: Batch, rejected: int) -> None:
        rejected = max(0, rejected)
        lost = min(rejected, batch.size)
        self.taken += batch.size - lost
        self.drop(lost)
        self._backoff = 0.0
        self._not_before = -math.inf
        self._last_success = self._progress.clock()
        self._progress.note_taken(self.name, self.client.endpoint, rejected, self.is_failing)

    def _keep(self, batch: Batch) -> None:
        now = self._progress.clock()
        longest = MIN_BACKOFF if self._progress.flushing else MAX_BACKOFF
        self._backoff = min(max(2 * self._backoff, MIN_BACKOFF), longest)
        self._not_before = now + self._backoff
        if batch.failing_since is None:
            batch.failing_since = now
        newer = next((other for other in self._pending if other.supersedes), None) if batch.supersedes else None
        if newer is not None:
            newer.number = min(newer.number, batch.number)
        elif batch.size == 1 and now - batch.failing_since >= MIN_KEPT and self._last_success > batch.failed_last:
            self.drop(batch.size)  # the collector takes others: it is this one
        else:
            others_pass = self._last_success > batch.failing_since
            batch.failed_last = now
            self._pending.extend(batch.parts() if others_pass or len(self._pending) < _MAX_PIECES else [batch])
            self._drop_surplus()
            self._progress.note_kept(self.name, self.client.endpoint)

    def after_fork_in_child(self) -> None:
        """Leave what is kept, and the connection, to the parent."""
        self._start_empty()
        self.client.after_fork_in_child()
        self.source.after_fork_in_child()
