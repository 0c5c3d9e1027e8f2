"""`Delivery`: sends what a process exports, in a thread for each outbox, and handles flush, shutdown and forks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from threading import Lock, Thread, get_ident
from time import monotonic
from typing import Any
from weakref import WeakSet

from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk.outbox import Client, HandOver, Outbox, Progress

__all__ = ["Delivery"]

IDLE_TIMEOUT = 5.0  # seconds without a success after which shutdown gives up
SHUTDOWN_TIMEOUT = 10.0  # seconds that shutdown takes in all
_RECENT = 1.0  # seconds after a failed flush in which shutdown counts the flush as part of itself
FORK_TIMEOUT = 1.0  # seconds that a fork waits for an export in progress
_MAX_WAIT = 3600.0  # seconds; threading refuses very long timeouts


class Delivery:
    """Sends what one process exports: the outboxes of its signals, their threads, and a common shutdown.

    Args:
        clock: Returns seconds of a monotonic clock.
    """

    outboxes: list[Outbox]
    is_closed: bool

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.outboxes = []
        self.is_closed = False
        self._progress = Progress(clock)
        self._reset_end()

    def _reset_end(self) -> None:
        self._ending = Lock()  # the end on a signal and the end of the main thread run one after the other
        self._ends = 0
        self._ends_since: float | None = None
        self._failed_flush = (-math.inf, -math.inf)  # the start and the end of the last failed flush

    @property
    def is_ending(self) -> bool:
        """Whether a call of `end` is in progress."""
        return self._ends > 0

    def outbox(self, name: str, client: Client, interval: float = math.inf) -> Outbox:
        """Add an outbox and return it.

        Args:
            name: What it holds, for messages: `spans` or `metrics`.
            client: Sends a batch.
            interval: Seconds between two hand-overs that the outbox requests.
        """
        outbox = Outbox(self._progress, name, client, interval)
        self.outboxes.append(outbox)
        return outbox

    def start(self) -> None:
        """Start the thread of each outbox early, because none can be started at interpreter exit.

        Forks are handled from here on, when the SDK and the exporters have registered their own hooks: in a child,
        threads start only when the locks of those libraries are free again.
        """
        _deliveries.add(self)
        _register_fork_hooks()
        for outbox in self.outboxes:
            thread = Thread(target=self._run, args=(outbox,), name=f"kcevents-export-{outbox.name}", daemon=True)
            with suppress(RuntimeError):  # the interpreter is exiting, or the system allows no more threads
                thread.start()

    def _run(self, outbox: Outbox) -> None:
        while True:
            with self._progress.changed:
                while (seconds := outbox.seconds_until_due()) > 0 and not self.is_closed:
                    self._progress.changed.wait(min(seconds, _MAX_WAIT))
            if self.is_closed:
                return
            try:
                outbox.work()
            except Exception:  # such as from a logging handler of the program; the thread must go on
                with self._progress.changed:
                    self._progress.changed.wait(1.0)

    def flush(self, timeout: float, outboxes: Sequence[Outbox] | None = None) -> bool:
        """Send what is queued and buffered.

        Args:
            timeout: The maximum time to wait, in seconds.
            outboxes: The outboxes to flush; None for all.

        Returns:
            Whether the collector accepted all of it in that time. False after `close`, unless nothing is exported.
        """
        chosen = self.outboxes if outboxes is None else outboxes
        if self.is_closed:
            return not chosen
        begun = self._progress.clock()
        dropped = sum(outbox.dropped for outbox in chosen)
        requests = {outbox: outbox.request_hand_over() for outbox in chosen}
        unsent = self._wait_until_sent(requests, lambda: begun + timeout)
        if unsent:
            self._failed_flush = (begun, self._progress.clock())
        handed_over = all(request.succeeded for request in requests.values())
        return handed_over and not unsent and dropped == sum(outbox.dropped for outbox in chosen)

    def end(self) -> None:
        """Send what is queued and buffered, and log how many spans were lost.

        Gives up after 5 s without a success, or 10 s in all. Further calls share the time limits of the first call. If
        a flush has just failed, its time counts toward these limits.
        """
        self._ends += 1  # set first, so that a signal handler sees that the final export has started
        try:
            with self._ending:
                if self._ends_since is None:
                    now = self._progress.clock()
                    flush_begun, flush_ended = self._failed_flush
                    self._ends_since = flush_begun if now - flush_ended < _RECENT else now
                begun = self._ends_since
                requests = {outbox: outbox.request_hand_over() for outbox in self.outboxes}
                unsent = self._wait_until_sent(
                    requests,
                    lambda: min(begun + SHUTDOWN_TIMEOUT, max(begun, self._progress.last_success) + IDLE_TIMEOUT),
                )
                self.report_lost(unsent)
        finally:
            self._ends -= 1

    def _wait_until_sent(self, requests: dict[Outbox, HandOver], deadline: Callable[[], float]) -> list[Outbox]:
        """Wait until the requested data is sent; return the outboxes that missed the deadline."""
        with self._progress.changed:
            self._progress.flushing += 1
            try:
                while True:
                    unsent = [outbox for outbox, request in requests.items() if not outbox.has_sent(request)]
                    left = deadline() - self._progress.clock()
                    if not unsent or left <= 0:
                        return unsent
                    self._progress.changed.wait(min(left, _MAX_WAIT))
            finally:
                self._progress.flushing = max(0, self._progress.flushing - 1)  # 0 in a child forked since

    def report_lost(self, unsent: Sequence[Outbox] = ()) -> None:
        """Log how many spans were lost since the last report, and whether the last metrics were lost.

        Args:
            unsent: The outboxes whose last data was not sent.
        """
        for outbox in self.outboxes:
            spans = outbox.source.seen is not None
            lost = (outbox.lost if spans else int(outbox in unsent)) - outbox.reported
            if lost > 0:
                outbox.reported += lost
                what = f"{lost} span{'s' if lost > 1 else ''}" if spans else "the last metrics"
                _logger.warning("failed to export %s to %s", what, outbox.client.endpoint)

    def close(self) -> None:
        """End the threads and close the connections; an export in progress is abandoned."""
        with self._progress.changed:
            self.is_closed = True
            self._progress.changed.notify_all()
        for outbox in self.outboxes:
            if outbox.sending.acquire(timeout=0):
                outbox.client.close()
                outbox.sending.release()

    def after_fork_in_child(self) -> None:
        """Start with empty outboxes, and with connections and threads of the child's own."""
        self._progress.start_anew()
        self._reset_end()
        for outbox in self.outboxes:
            outbox.after_fork_in_child()
        self.start()


_deliveries: WeakSet[Delivery] = WeakSet()
_locks_held: dict[int, list[Any]] = {}  # by thread: the locks that its fork holds


@cache
def _register_fork_hooks() -> None:
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
        )


def _before_fork() -> None:
    """Wait until no export is in progress: a lock that a library holds at the fork is never released in the child."""
    held = _locks_held[get_ident()] = []
    end = monotonic() + FORK_TIMEOUT
    for outbox in [outbox for delivery in list(_deliveries) for outbox in delivery.outboxes]:
        for lock in (outbox.handing_over, outbox.sending):
            if lock.acquire(timeout=max(0.0, end - monotonic())):
                held.append(lock)


def _after_fork_in_parent() -> None:
    for lock in _locks_held.pop(get_ident(), ()):
        lock.release()


def _after_fork_in_child() -> None:
    _locks_held.clear()
    for delivery in list(_deliveries):
        delivery.after_fork_in_child()
