"""`script.py NAME`: call `configure()`, then run one of the functions below."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from opentelemetry import metrics, trace

import otel_kcevents
from otel_kcevents import allocation, asset, default_log
from otel_kcevents.sdk import delivery

WINDOW = ("2024-09-18T22:00:00Z", "2024-09-18T23:00:00Z")


@allocation.save
def save(rows: list[int], window: object = WINDOW) -> None: ...


@asset.reconcile
def reconcile(window: str) -> None:
    raise ValueError("does not add up")


def print_event() -> None:
    save([1, 2, 3])
    for event in default_log.document().lists["allocation"]:
        print(event.time, event.size, event.window)


def fail() -> None:
    with suppress(ValueError):
        reconcile("2024-09-18T00:00:00Z,2024-09-19T00:00:00Z")


# Ways out of a program.


def end() -> None:
    save([1])


def exit_with_3() -> None:
    save([1])
    sys.exit(3)


def crash() -> None:
    save([1])
    raise RuntimeError


def interrupt() -> None:
    save([1])
    raise KeyboardInterrupt


def end_with_thread() -> None:
    def late() -> None:
        threading.main_thread().join()
        save([1])

    threading.Thread(target=late).start()


def end_with_exit_handler() -> None:
    atexit.register(save, [1])


def terminate() -> None:
    save([1])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def fork_and_exit() -> None:
    save([1])
    save([2])
    if os.fork() == 0:
        save([1, 2, 3])
        sys.exit()
    os.wait()


def fork_flush_and_leave() -> None:
    """RQ, Airflow and Celery end the processes that they fork in this way."""
    for number in range(3):
        child = os.fork()
        if not child:
            save([number])
            os._exit(0 if otel_kcevents.flush() else 1)
        print(os.waitpid(child, 0)[1])


def break_a_provider() -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    trace.get_tracer_provider().shutdown = broken  # type: ignore[attr-defined]
    save([1])


# Children of multiprocessing, forked.


def run_child(target: Any, *args: Any) -> None:
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    process.join(60)
    print(process.exitcode)


def child_with_thread() -> None:
    def late() -> None:
        threading.main_thread().join()
        time.sleep(0.3)
        save([1, 2])

    run_child(lambda: threading.Thread(target=late).start())


def child_without_events() -> None:
    save([1])
    otel_kcevents.flush()
    run_child(int)
    save([1, 2])


def child_with_open_thread_pool() -> None:
    pools = []

    def child() -> None:
        pools.append(ThreadPoolExecutor(2))
        pools[0].submit(save, [1, 2]).result()

    run_child(child)


def child_during_metrics_export() -> None:
    save([1])
    threading.Thread(target=metrics.get_meter_provider().force_flush).start()  # type: ignore[attr-defined]
    sys.stdin.readline()  # the receiver has the request
    run_child(save, [1, 2])


def terminate_child() -> None:
    ready = multiprocessing.get_context("fork").Event()

    def child() -> None:
        save([1, 2])
        ready.set()
        time.sleep(60)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    ready.wait()
    process.terminate()
    process.join()
    print(process.exitcode)


def terminate_child_with_handler() -> None:
    signal.signal(signal.SIGTERM, lambda *signal: sys.exit(7))
    terminate_child()


def run_program() -> None:
    """Start another program, which inherits the environment."""
    done = subprocess.run([sys.executable, *sys.argv[2:]], check=True, capture_output=True, text=True)
    print(done.stdout, end="")


# Collectors that are slow, unreachable, or do not accept everything.


def flush() -> None:
    save([1])
    print(otel_kcevents.flush())


def export_large_spans() -> None:
    for size in [10**5] * 60 + [5 * 10**6]:
        trace.get_tracer("other").start_span("large", attributes={"text": "x" * size}).end()
    otel_kcevents.flush(1)
    save([1])


def export_broken_span() -> None:
    """One that no exporter can encode."""
    trace.get_tracer("other").start_span("broken \ud800").end()
    otel_kcevents.flush(0.3)
    save([1])


def export_twice() -> None:
    for number in range(10):
        save([number])
    print(otel_kcevents.flush(0.5))
    for number in range(5):
        save([number])


def save_3000_and_flush() -> None:
    for _ in range(3000):
        save([1])
    print(otel_kcevents.flush(0.5), default_log.counts())


def save_600_and_wait() -> None:
    for number in range(600):
        save([number])
    sys.stdin.read()


def save_500() -> None:
    for _ in range(500):
        save([1])


def print_and_flush() -> None:
    print("before")
    save([1])
    otel_kcevents.flush()


def print_counts() -> None:
    save([1])
    print(default_log.counts(), flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    logging.basicConfig(format="%(name)s: %(message)s")
    delivery.IDLE_TIMEOUT = float(os.environ.get("TEST_IDLE_TIMEOUT", delivery.IDLE_TIMEOUT))
    otel_kcevents.configure(service_name="script")
    globals()[sys.argv[1]]()
