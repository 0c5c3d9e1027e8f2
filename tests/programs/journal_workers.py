"""`journal_workers.py METHOD FILE`: attach a journal without `configure()`, and record in all kinds of processes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from otel_kcevents import Journal, asset, default_log, flush

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
default_log.attach(Journal(sys.argv[2]))  # also in a spawned process, which imports this module


def work(size: int) -> None:
    asset.emit("loaded", size=size)


def fork(size: int, end: Callable[[], object]) -> None:
    """Work in a forked child that exits at once, as task queues do it."""
    child = os.fork()
    if not child:
        work(size)
        end()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    context = get_context(sys.argv[1])
    work(0)
    process = context.Process(target=work, args=(1,), name="process")  # type: ignore[attr-defined]
    process.start()
    process.join()
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(work, range(2, 6)))
    with context.Pool(2) as pool:  # which terminates its processes
        pool.map(work, range(6, 10))
    pool = context.Pool(2)
    pool.map(work, range(10, 14))
    pool.close()
    pool.join()
    fork(14, lambda: None)
    fork(15, flush)
    work(16)
