"""`children.py METHOD HOW`: work in child processes, which `configure()` in the parent makes export."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import otel_kcevents
from otel_kcevents import allocation, asset

TASKS = [1, 2, 3, 4]


@allocation.save
def save(rows: list[int]) -> None:
    """The parent's own work."""


@asset.load
def load(records: int) -> list[int]:
    return list(range(records))


def work(records: int) -> int:
    load(records)
    return os.getpid()


def main(method: str, how: str) -> None:
    otel_kcevents.configure(service_name="children")
    save([1, 2, 3])
    context = multiprocessing.get_context(method)
    if how == "process":
        processes = [context.Process(target=work, args=(task,)) for task in TASKS]  # type: ignore[attr-defined]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * len(TASKS)
    elif how == "executor":
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            assert os.getpid() not in set(executor.map(work, TASKS))
    else:
        with context.Pool(2) as pool:
            assert os.getpid() not in pool.map(work, TASKS)
    save([1])


if __name__ == "__main__":
    main(*sys.argv[1:])
