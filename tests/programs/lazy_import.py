"""`lazy_import.py METHOD`: a child imports the package only with its work, after all that multiprocessing prepares."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor


def load(size: int) -> None:
    from otel_kcevents import asset

    asset.emit("loaded", size=size)


if __name__ == "__main__":
    import otel_kcevents

    otel_kcevents.configure()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1])) as pool:
        pool.submit(load, 3).result()
