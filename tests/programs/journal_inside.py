"""`journal_inside.py NAME FILE`: do something inside a write or a read of a journal; print what the log has then."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from random import Random
from types import FrameType
from typing import Any

from waits import waited

from otel_kcevents import EventLog, Journal, JournalError, flush
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.store.query import EventQuery

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads
logging.basicConfig(format="%(message)s")
log, journal = EventLog(), Journal(sys.argv[2])
log.attach(journal)
sizes = count()


def append() -> None:
    log.append(Event("AssetSetSaved", time.time_ns(), next(sizes)))


class Trap(str):
    """A string that does something when a journal converts it inside a write, or compares it inside a read."""

    action: Callable[[], object] | None = None

    def _spring(self) -> None:
        action, Trap.action = Trap.action, None
        if action is not None:
            action()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self._spring()
        return super().encode(encoding, errors)

    def __eq__(self, other: object) -> bool:
        self._spring()
        return super().__eq__(other)

    __hash__ = str.__hash__


def inside_write(action: Callable[[], object]) -> None:
    Trap.action = action
    log.append(Event("AssetSetReconcileError", time.time_ns(), failure=Failure("E", Trap("m"), "reconcile")))
    assert Trap.action is None


def in_handler(action: Callable[[], object]) -> Callable[[], None]:
    """A function that sends a signal whose handler does something."""

    def handle(number: int, frame: FrameType | None) -> None:
        action()

    def send() -> None:
        signal.signal(signal.SIGUSR1, handle)
        os.kill(os.getpid(), signal.SIGUSR1)

    return send


def print_written() -> None:
    """Print how many events the file has."""
    print(len(journal.events().events))


def print_log() -> None:
    os.write(1, f"{json.dumps(log.counts())}\n".encode())


def signal_appends() -> None:
    inside_write(in_handler(append))


def signal_raises() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    try:
        inside_write(in_handler(fail))
    except KeyboardInterrupt:
        print_written()  # the event does not wait for the next one


def signal_raises_value_error() -> None:
    """The log reports it like an exception of the journal."""

    def fail() -> None:
        raise ValueError("timeout")

    inside_write(in_handler(fail))
    print_written()


def signals_raise_twice() -> None:
    """The second exception interrupts what the first one has caused."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def send() -> None:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, fail)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1, signal.SIGUSR2])

    try:
        inside_write(send)
    except KeyboardInterrupt:
        append()
        print_written()


def signal_flushes() -> None:
    inside_write(in_handler(flush))


def collector_appends() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            append()

    gc.disable()
    Cycle()
    inside_write(gc.collect)


def random_interrupts() -> None:
    """Each call that returns has written its event once; each that a signal interrupts, at most once."""
    faulthandler.dump_traceback_later(60, exit=True)  # `setitimer` has replaced the alarm
    # A connection that is interrupted before it is assigned is closed by Python, which warns of that since 3.13.
    warnings.simplefilter("ignore", ResourceWarning)
    random, returned, is_armed = Random(), [], False

    def fail(number: int, frame: FrameType | None) -> None:
        if is_armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, fail)
    for size in range(300):
        try:
            is_armed = True
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 1e-4))
            journal(Event("AssetSetSaved", time.time_ns(), size))
            is_armed = False
            returned.append(size)
        except KeyboardInterrupt:
            is_armed = False
    written = [listed.event.size for listed in journal.events(EventQuery(limit=1000)).events]
    print(json.dumps([len(written) - len(set(written)), len(set(returned) - set(written))]))


def stuck_thread() -> None:
    """Two threads wait for one that is stuck inside its write; print how long their calls took and waited."""
    inside, goes_on, durations = threading.Event(), threading.Event(), []

    def stick() -> None:
        inside.set()
        goes_on.wait()

    def measure() -> None:
        begin, waited_before = time.monotonic(), waited()
        append()
        durations.append((time.monotonic() - begin, waited() - waited_before))

    stuck = threading.Thread(target=inside_write, args=(stick,))
    stuck.start()
    inside.wait()
    waiting = [threading.Thread(target=measure) for _ in range(2)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    measure()
    flush()  # cannot mark the end of the run
    Journal(f"{sys.argv[2]}-other")  # nor can this one be closed
    goes_on.set()
    stuck.join()
    print(json.dumps(durations))


def malformed_event() -> None:
    """It does not keep other events from being written."""
    malformed: Any = Event("AssetSetSaved", time.time_ns(), window="2022-06-03")  # type: ignore[arg-type]
    for _ in range(2):
        log.append(malformed)
        append()
    print_written()


def fork_in(place: Callable[[Callable[[], object]], object]) -> None:
    """Fork in a signal handler that returns in both processes."""
    children: list[int] = []
    append()
    place(in_handler(lambda: children.append(os.fork())))
    append()
    journal.begin()
    print_log()
    if children != [0]:
        assert os.waitpid(children[0], 0)[1] == 0
        append()


def fork_inside_write() -> None:
    fork_in(inside_write)


def fork_inside_read() -> None:
    def read(action: Callable[[], object]) -> None:
        Trap.action = action
        with suppress(JournalError):  # in the child, if the parent has changed the file
            journal.events(EventQuery(runs=(Trap("last"),)))
        assert Trap.action is None

    fork_in(read)


def fork_inside_opening() -> None:
    """A fork closes the file, so that the next write opens it again."""

    def open_again(action: Callable[[], object]) -> None:
        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)
        Trap.action = action
        append()
        assert Trap.action is None

    sys.addaudithook(lambda event, _: Trap("").encode() and None if event == "sqlite3.connect" else None)
    fork_in(open_again)


def fork_from_c() -> None:
    """Fork without Python's hooks, which does not release the interpreter's lock either."""
    append()
    child = ctypes.PyDLL(None).fork()
    append()
    print_log()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        append()


if __name__ == "__main__":
    signal.alarm(60)
    globals()[sys.argv[1]]()
