"""`single_child.py METHOD [--configure]`: save a set in a child; `--configure` configures at module level."""

from __future__ import annotations

import multiprocessing
import sys

import otel_kcevents
from otel_kcevents import asset

if "--configure" in sys.argv:
    otel_kcevents.configure()


def child() -> None:
    asset.emit("saved", size=7)


if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=child)  # type: ignore[attr-defined]
    process.start()
    process.join(60)
    print(process.exitcode)
