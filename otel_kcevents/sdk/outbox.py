"""`Outbox`: buffers one signal's data until the collector accepts it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Condition, RLock
from time import monotonic
from typing import Any, Protocol

from opentelemetry.context import Context, get_current

from otel_kcevents.model.problems import logger as _logger

__all__ = ["MAX_KEPT", "Batch", "Client", "HandOver", "Outbox", "Progress", "SignalSource"]

MAX_KEPT = 16_384
"""The maximum number of spans, or of exports of metrics, that are buffered while the collector does not accept them."""

_MIN_BACKOFF = 1.0  # seconds
_MAX_BACKOFF = 60.0
_PARTS = 8  # three failures isolate one record among 512
_MAX_MERGED = 512  # spans of a merged request; by default, the SDK hands over as many at once
_MAX_PIECES = 64  # batches that an outage may leave; each becomes a request when it is over
_MIN_KEPT = 300.0  # seconds for which a span is retried at least while the collector accepts others


class Progress:
    """What the outboxes of a process share: a lock, a clock, and which of them have logged an outage.

    Args:
        clock: Returns seconds of a monotonic clock.

    Attributes:
        changed: Held during every change of an outbox, and notified of it.
        flushing: How many threads wait until buffered data is sent.
        last_success: When data was last accepted, by the clock.
    """

    changed: Condition
    flushing: int
    last_success: float

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.start_anew()

    def start_anew(self) -> None:
        """Reset everything, including the lock, which a thread of the parent may hold in a forked child."""
        self.changed = Condition()
        self.flushing = 0
        self.last_success = -math.inf
        self._failing: set[str] = set()

    def note_failure(self, name: str, endpoint: str) -> None:
        """Note that an export failed, and log a warning if an outage begins.

        Args:
            name: The name of the outbox.
            endpoint: Its endpoint, for the message.
        """
        if not self._failing:
            _logger.warning(
                "the OTLP endpoint %s did not accept an export of %s; up to %d spans are buffered and retried",
                endpoint,
                name,
                MAX_KEPT,
            )
        self._failing.add(name)

    def note_success(self, name: str, endpoint: str, rejected: int, is_failing: bool) -> None:
        """Note that an export succeeded; log rejected records, and the end of an outage.

        Args:
            name: The name of the outbox.
            endpoint: Its endpoint, for the message.
            rejected: How many records the collector rejected permanently.
            is_failing: Whether the outbox still buffers a failed batch.
        """
        self.last_success = self.clock()
        if rejected:
            _logger.warning("the OTLP endpoint %s rejected %d %s, which are not retried", endpoint, rejected, name)
        if name in self._failing and not is_failing:
            self._failing.discard(name)
            if not self._failing:
                _logger.warning("the OTLP endpoint %s accepts exports again", endpoint)


class Client(Protocol):
    """Sends one signal's data; see `OtlpClient`."""

    endpoint: str

    def send(self, data: Any, current: Context) -> int | None:
        """Return how many records were rejected permanently; None if the data was not accepted."""

    def close(self) -> None:
        """Close the connection."""

    def after_fork_in_child(self) -> None:
        """Leave the connection to the parent."""


class SignalSource(Protocol):
    """The SDK component for a signal, which hands over its queue to an outbox."""

    @property
    def seen(self) -> int | None:
        """The number of spans that it has received; None for metrics."""

    def hand_over(self) -> bool:
        """Hand over everything; return False if that failed."""

    def after_fork_in_child(self) -> None:
        """Reset the state in a forked child."""


@dataclass(slots=True)
class Batch:
    """Data that is exported in one request.

    Attributes:
        data: Spans, or a `MetricsData`.
        size: The number of spans, or 1.
        share: The share of a request's size limit that it takes, up to 1.
        context: The context in which the SDK handed it over.
        supersedes: Whether it replaces earlier data, as cumulative metrics do.
        number: Its position in the order of arrival; if it replaced or absorbed others, that of the oldest one.
        failing_since: When its first attempt failed; None if none has failed.
        failed_last: When its last attempt failed.
    """

    data: Any
    size: int
    share: float
    context: Context
    supersedes: bool
    number: int
    failing_since: float | None = None
    failed_last: float = -math.inf

    def parts(self) -> list[Batch]:
        """Return it split into up to eight batches, each with at least one record."""
        if self.size == 1:
            return [self]
        size = -(-self.size // _PARTS)
        return [
            replace(self, data=part, size=len(part))
            for part in (self.data[start : start + size] for start in range(0, self.size, size))
        ]


@dataclass(slots=True)
class HandOver:
    """A request that the SDK hands over its queue.

    Attributes:
        last: The number of the newest batch after the hand-over; None until it is done.
        succeeded: Whether everything was handed over.
    """

    last: int | None = None
    succeeded: bool = False


class Outbox:
    """Buffers one signal's batches, oldest first, and decides when the next attempt to send one is due.

    A batch that is not accepted moves to the end of the queue in parts, and the next attempt waits for a backoff that a
    success resets. An unreachable collector is thus tried once a minute, and a record that it never accepts is soon
    alone in its request and no longer delays others.

    One thread calls `work`; it also requests the hand-overs, so that no other thread waits for a slow one.

    Args:
        progress: What the outboxes of the process share.
        name: What it holds, for messages: `spans` or `metrics`.
        client: Sends a batch.
        interval: Seconds between two hand-overs that the outbox requests; infinite for spans, which the SDK hands over
            by itself.

    Attributes:
        source: The SDK component, which sets this attribute when it is built.
        sending: A lock held during an export and during a fork; reentrant, because a callback may fork.
        handing_over: A lock held while metrics are collected and during a fork; reentrant likewise.
        taken: How many spans, or exports of metrics, the collector accepted.
        dropped: How many were dropped or rejected permanently.
        reported: How many were logged as lost.
    """

    name: str
    client: Client
    source: SignalSource
    sending: Any
    handing_over: Any
    taken: int
    dropped: int
    reported: int

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
        self._pending: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._number = 0
        self._backoff = 0.0
        self._not_before = -math.inf
        self._last_success = -math.inf
        self._next_hand_over = self._progress.clock() + self._interval
        self._requests: list[HandOver] = []

    @property
    def lost(self) -> int:
        """The number of spans not exported so far, with those that the SDK dropped or still queues; 0 for metrics."""
        return 0 if self.source.seen is None else self.source.seen - self.taken

    @property
    def is_failing(self) -> bool:
        """Whether a batch is buffered that was not accepted."""
        return any(batch.failing_since is not None for batch in self._batches())

    def _batches(self) -> Iterator[Batch]:
        if self._in_flight is not None:
            yield self._in_flight
        yield from self._pending

    def put(self, data: Any, size: int = 1, share: float = 1.0, *, supersedes: bool = False) -> None:
        """Buffer data until it is accepted, and wake the thread that sends it. Small batches are merged.

        Args:
            data: Spans, or a `MetricsData`, that the client can send in one request.
            size: The number of spans in it, or 1.
            share: The share of a request's size limit that it takes, up to 1.
            supersedes: Whether it replaces all data that was put with this argument, as cumulative metrics do.
        """
        with self._progress.changed:
            self._number += 1
            batch = Batch(data, size, share, get_current(), supersedes, self._number)
            last = self._pending[-1] if self._pending else None
            if supersedes:
                batch.number = min([self._number, *(other.number for other in self._pending if other.supersedes)])
                self._pending = deque(other for other in self._pending if not other.supersedes)
                self._pending.append(batch)
            elif (
                last is not None
                and last.failing_since is None  # the collector may never accept that batch
                and last.size + size <= _MAX_MERGED
                and last.share + share <= 1
            ):
                merged = [*last.data, *data]
                self._pending[-1] = replace(last, data=merged, size=len(merged), share=last.share + share)
            else:
                self._pending.append(batch)
            self._drop_surplus()
            self._progress.changed.notify_all()

    def drop(self, size: int) -> None:
        """Count records that were dropped or rejected permanently.

        Args:
            size: The number of records.
        """
        with self._progress.changed:
            self.dropped += size

    def _drop_surplus(self) -> None:
        """Drop the oldest batches while more than `MAX_KEPT` records are buffered."""
        while self._pending and sum(batch.size for batch in self._batches()) > MAX_KEPT:
            oldest = min(range(len(self._pending)), key=lambda place: self._pending[place].number)
            self.drop(self._pending[oldest].size)
            del self._pending[oldest]

    def request_hand_over(self) -> HandOver:
        """Request a hand-over and an immediate attempt, without backoff."""
        with self._progress.changed:
            self._requests.append(request := HandOver())
            self._backoff = 0.0
            self._not_before = -math.inf
            self._progress.changed.notify_all()
        return request

    def has_sent(self, request: HandOver) -> bool:
        """Return whether the requested hand-over is done and no batch from it or an earlier one is left."""
        return request.last is not None and all(batch.number > request.last for batch in self._batches())

    def seconds_until_due(self) -> float:
        """Return the seconds until there is something to do: 0 for now, infinite if nothing is buffered."""
        if self._requests:
            return 0.0
        attempt = self._not_before if self._pending else math.inf
        return max(0.0, min(attempt, self._next_hand_over) - self._progress.clock())

    def work(self) -> None:
        """Do what is due: let the source hand over its queue, and send a batch."""
        now = self._progress.clock()
        requests = list(self._requests)
        if requests or now >= self._next_hand_over:
            self._next_hand_over = now + self._interval
            succeeded = self.source.hand_over()
            with self._progress.changed:
                del self._requests[: len(requests)]
                for request in requests:
                    request.last = self._number
                    request.succeeded = succeeded
                self._progress.changed.notify_all()
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
                    self._count_taken(batch, max(0, rejected))
                self._progress.changed.notify_all()

    def _count_taken(self, batch: Batch, rejected: int) -> None:
        lost = min(rejected, batch.size)
        self.taken += batch.size - lost
        self.drop(lost)
        self._backoff = 0.0
        self._not_before = -math.inf
        self._last_success = self._progress.clock()
        self._progress.note_success(self.name, self.client.endpoint, rejected, self.is_failing)

    def _keep(self, batch: Batch) -> None:
        now = self._progress.clock()
        longest = _MIN_BACKOFF if self._progress.flushing else _MAX_BACKOFF
        self._backoff = min(max(2 * self._backoff, _MIN_BACKOFF), longest)
        self._not_before = now + self._backoff
        if batch.failing_since is None:
            batch.failing_since = now
        newer = next((other for other in self._pending if other.supersedes), None) if batch.supersedes else None
        if newer is not None:
            newer.number = min(newer.number, batch.number)
        elif batch.size == 1 and now - batch.failing_since >= _MIN_KEPT and self._last_success > batch.failed_last:
            self.drop(batch.size)  # the collector accepts others, so this record is the cause
        else:
            accepts_others = self._last_success > batch.failing_since
            batch.failed_last = now
            self._pending.extend(batch.parts() if accepts_others or len(self._pending) < _MAX_PIECES else [batch])
            self._drop_surplus()
            self._progress.note_failure(self.name, self.client.endpoint)

    def after_fork_in_child(self) -> None:
        """Leave the buffered data and the connection to the parent."""
        self._start_empty()
        self.client.after_fork_in_child()
        self.source.after_fork_in_child()
