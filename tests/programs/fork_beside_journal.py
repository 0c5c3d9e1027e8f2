"""`fork_beside_journal.py FILE N`: fork N times while threads write, read, log and attach; print what was recorded."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable

from otel_kcevents import EventLog, Journal
from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.event import Event

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads
signal.alarm(100)  # ends a program that hangs
log, journal = EventLog(), Journal(sys.argv[1])
log.attach(journal)


class RecordingHandler(logging.Handler):
    """Records an event while it holds its lock."""

    def emit(self, record: logging.LogRecord) -> None:
        log.append(Event("AssetSetLoaded", time.time_ns()))


def record() -> None:
    log.append(Event("AssetSetSaved", time.time_ns()))


def record_and_read() -> None:
    record()
    assert journal.counts()["AssetSetSaved"] >= 1


def attach() -> None:
    """Like `configure()`, which holds this lock."""
    with FORK_LOCK:
        EventLog().attach(journal)
    time.sleep(0.001)


def repeat(function: Callable[[], object]) -> None:
    while not stop.is_set():
        function()


def work_in_child() -> None:
    signal.alarm(60)
    thread = threading.Thread(target=record_and_read)
    thread.start()
    record()
    logger.error("child")
    thread.join()
    assert journal.counts()["AssetSetSaved"] >= 2


stop = threading.Event()
logger = logging.getLogger("program")
logger.addHandler(RecordingHandler())
logger.propagate = False
work = (record, record, lambda: logger.error("thread"), journal.document, attach)
threads = [threading.Thread(target=repeat, args=(function,)) for function in work]
for thread in threads:
    thread.start()
children = []
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if not child:
        try:
            work_in_child()
        except BaseException:
            os._exit(1)
        os._exit(0)
    children.append(os.waitpid(child, 0)[1])
stop.set()
for thread in threads:
    thread.join()
print(json.dumps([sum(map(bool, children)), log.counts()]))
