"""A main module whose function runs in workers of multiprocessing. Prints what was recorded, and what still watches."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from otel_kcevents import default_log


def save_rows(rows: list[int]) -> list[int]:
    """A function that the mapping names."""
    return rows


def work(rows: list[int]) -> tuple[int, bool]:
    """Return the number of recorded calls, and whether the plugin still watches the main module."""
    save_rows(rows)
    monitoring = getattr(sys, "monitoring", None)
    tools = [monitoring.get_tool(tool) for tool in range(6)] if monitoring else []
    return sum(default_log.counts().values()), sys.gettrace() is not None or "otel_kcevents" in tools


if __name__ == "__main__":
    with ProcessPoolExecutor(1, multiprocessing.get_context(sys.argv[1])) as pool:
        print([pool.submit(work, [1]).result() for _ in range(2)])
