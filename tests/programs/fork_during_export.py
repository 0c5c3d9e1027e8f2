"""`fork_during_export.py NAME`: run a function below, which forks while spans are sent or metrics are collected."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from collector import Exporting
from opentelemetry.metrics import CallbackOptions, Observation

exporting = Exporting()
under_way = threading.Event()
goes_on = threading.Event()


def block(data: Any) -> int:
    under_way.set()
    goes_on.wait(20)
    return 0


def start_export(spans: int) -> None:
    exporting.spans.takes = block
    exporting.emit(spans)
    exporting.delivery.flush(0.01)
    under_way.wait(20)


def wait_for_export() -> None:
    start_export(1)
    threading.Timer(0.2, goes_on.set).start()
    child = os.fork()
    if not child:
        os._exit(0 if goes_on.is_set() else 1)
    print(os.waitpid(child, 0)[1])


def give_up_waiting() -> None:
    start_export(5)
    child = os.fork()
    if not child:
        exporting.spans.takes = lambda data: 0
        exporting.emit(2)
        os._exit(0 if exporting.delivery.flush(20) and exporting.sizes == [2] else 1)
    print(os.waitpid(child, 0)[1])
    goes_on.set()
    print(exporting.delivery.flush(20), exporting.sizes)


def fork_inside_collection() -> None:
    def callback(options: CallbackOptions) -> Iterator[Observation]:
        child = os.fork()
        if not child:
            os._exit(0)
        yield Observation(os.waitpid(child, 0)[1])

    exporting.meters.get_meter("test").create_observable_gauge("gauge", [callback])
    print(exporting.delivery.flush(20))


def fork_in_threads() -> None:
    codes = []

    def work() -> None:
        for _ in range(20):
            child = os.fork()
            if not child:
                os._exit(0)
            codes.append(os.waitpid(child, 0)[1])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        exporting.emit()
        exporting.delivery.flush(20)
    for thread in threads:
        thread.join()
    print(len(codes), set(codes))


warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads
globals()[sys.argv[1]]()
