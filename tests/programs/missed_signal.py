"""Ends a worker that waits for a lock by a SIGTERM that does not interrupt the wait."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from typing import Any

import otel_kcevents


def terminate() -> None:
    """Send this thread the signal while the main thread waits."""
    threading.Event().wait(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


def work(lock: Any) -> None:
    """Wait for a lock that is never released."""
    threading.Thread(target=terminate, daemon=True).start()
    lock.acquire()


if __name__ == "__main__":
    otel_kcevents.configure()
    context = multiprocessing.get_context("fork")
    held = context.Lock()
    held.acquire()
    worker = context.Process(target=work, args=(held,), daemon=True)
    worker.start()
    worker.join(60)
    print(worker.exitcode)
