"""`lazy_import.py METHOD`: run a child that imports the package only in its target function."""

from __future__ import annotations

import multiprocessing
import sys


def load(size: int) -> None:
    from otel_kcevents import asset

    asset.emit("loaded", size=size)


if __name__ == "__main__":
    import otel_kcevents

    otel_kcevents.configure()
    process = multiprocessing.get_context(sys.argv[1]).Process(target=load, args=(3,))  # type: ignore[attr-defined]
    process.start()
    process.join(60)
    print(process.exitcode)
