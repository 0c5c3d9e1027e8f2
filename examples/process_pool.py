"""Distribute hours over processes: each worker keeps its own log and exports its own spans and counts.

`configure()` under the main guard is enough: workers of the pool configure themselves like their parent, whatever the
start method. In Prometheus, each process has its own series of the counter; their sum is the pipeline's count.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta, timezone

from otel_kcevents import Window, allocation, configure, default_log

DAY = datetime(2025, 3, 1, tzinfo=timezone.utc)
HOURS = [Window(DAY + timedelta(hours=n), DAY + timedelta(hours=n + 1)) for n in range(24)]


@allocation.load
def load_allocations(window: Window) -> dict[str, int]:
    return {"shop": 192, "batch": 21, "reports": 111}


@allocation.save
def save_allocations(allocations: dict[str, int], window: Window) -> None:
    """A real pipeline would write to a database here."""


@allocation.aggregate
def aggregate_allocations(hourly: list[dict[str, int]], window: Window) -> dict[str, int]:
    return dict(sum(map(Counter, hourly), Counter()))


def run_hour(window: Window) -> tuple[int, dict[str, int], dict[str, int]]:
    allocations = load_allocations(window)
    save_allocations(allocations, window)
    return os.getpid(), allocations, default_log.counts()


def main() -> None:
    with ProcessPoolExecutor(max_workers=2) as pool:
        pids, hourly, counts = zip(*pool.map(run_hour, HOURS), strict=True)
    day = aggregate_allocations(list(hourly), Window(DAY, DAY + timedelta(days=1)))
    for pid, last in sorted(dict(zip(pids, counts, strict=True)).items()):
        print(f"worker {pid}: {last}")
    print(f"parent {os.getpid()}: {default_log.counts()}")
    print(f"the day: {day}")


if __name__ == "__main__":
    configure(service_name="process-pool")
    main()
