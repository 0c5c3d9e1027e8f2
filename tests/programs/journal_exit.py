"""`journal_exit.py NAME FILE`: end in a way below with a journal in use; print how long its calls took and waited."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time

from waits import waited

from otel_kcevents import Journal, asset, default_log
from otel_kcevents.store.run_end import end_run

path = sys.argv[2]
held = list[sqlite3.Connection]()
default_log.attach(Journal(path))


def daemon_threads() -> None:
    """They record until the interpreter stops them, also after the end of the run has been written."""

    record = threading.Barrier(4)

    def work() -> None:
        asset.emit("saved")
        record.wait()
        while True:
            asset.emit("saved")

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    record.wait()


def lock() -> sqlite3.Connection:
    """Lock the file like another program, so that two events wait."""
    asset.emit("saved")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begin, waited_before = time.monotonic(), waited()
    for _ in range(2):
        asset.emit("saved")
    print(json.dumps([time.monotonic() - begin, waited() - waited_before, Journal(path).counts()]))
    return other


def locked_until_the_end() -> None:
    lock().close()


def locked_forever() -> None:
    """Also while the end of the run is written."""
    held.append(lock())


def deleted() -> None:
    asset.emit("saved")
    for suffix in ("", "-wal", "-shm"):
        os.unlink(f"{path}{suffix}")


def troubled() -> None:
    """The thread that repeats attempts ends with the run; later calls make their attempts themselves."""
    deleted()
    os.mkdir(path)
    asset.emit("saved")
    end_run("ended")
    while len(os.listdir("/proc/self/task")) > 1:
        time.sleep(0.001)
    os.rmdir(path)
    asset.emit("saved")
    print(len(os.listdir("/proc/self/task")))


def idle() -> None:
    """A process without trouble has no thread for its journal."""
    asset.emit("saved")
    print(len(os.listdir("/proc/self/task")))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
