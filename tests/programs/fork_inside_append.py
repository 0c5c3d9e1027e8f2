"""Fork while another thread is inside `EventLog.append`; print the logs, and what a consumer received."""

from __future__ import annotations

import json
import os
import signal
import threading
import warnings

from otel_kcevents.model.event import Event
from otel_kcevents.store.log import EventLog

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads

log = EventLog()
log.add_set("cloud", "CloudCostSet")
log.append(Event("AssetSetSaved", 1, 29), 7)
log.attach(lambda event, span_id, trace_id: received.append(event.kind))
received: list[str] = []
inside, forked = threading.Event(), threading.Event()


class Blocking(int):
    """A span id that blocks when the log hashes it while holding its lock."""

    def __hash__(self) -> int:
        inside.set()
        forked.wait()
        return super().__hash__()


def report() -> None:
    counters = log.counts()
    lists = {etl: len(events) for etl, events in log.document().lists.items()}
    os.write(1, json.dumps([counters, lists, received]).encode() + b"\n")


writer = threading.Thread(target=log.append, args=(Event("AssetSetLoaded", 1), Blocking(8)))
writer.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends a child that hangs
    report()
    log.append(Event("AssetSetSaved", 1, 29), 7)
    log.append(Event("CloudCostSetSaved", 2))
    report()
    os._exit(0)
os.waitpid(child, 0)
forked.set()
writer.join()
report()
