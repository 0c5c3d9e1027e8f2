"""`initializer.py METHOD`: configure only the processes of a pool, by its initializer."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import otel_kcevents
from otel_kcevents import asset


def load(size: int) -> None:
    asset.emit("loaded", size=size)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, mp_context=context, initializer=otel_kcevents.configure) as pool:
        list(pool.map(load, range(5)))
