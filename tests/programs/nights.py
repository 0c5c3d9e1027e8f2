"""`nights.py FILE DAY [EXTRA]`: load a day, add EXTRA events without a span, and fail to total it in a worker."""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import suppress
from time import time_ns

from otel_kcevents import Event, allocation, asset, configure, default_log


@allocation.load
def load(window: str) -> list[int]:
    return [1, 2, 3]


@asset.total
def total(window: str) -> None:
    raise ValueError("no price for disks")


def work(day: str) -> None:
    with suppress(ValueError):
        total(f"{day}T00:00:00Z,{day}T23:00:00Z")


if __name__ == "__main__":
    path, day, *extra = sys.argv[1:]
    configure(service_name="nightly", log_file=path)
    for hour in range(23):
        load(f"{day}T{hour:02}:00:00Z,{day}T{hour + 1:02}:00:00Z")
    for size in range(int(extra[0]) if extra else 0):
        default_log.append(Event("AllocationSetSaved", time_ns(), size))
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(day,))
    worker.start()
    worker.join()
