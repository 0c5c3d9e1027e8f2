"""Record in a process of billiard, Celery's fork of multiprocessing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from otel_kcevents import allocation, configure


def save() -> None:
    allocation.emit("saved", size=1)


if __name__ == "__main__":
    configure()
    billiard: Any = import_module("billiard")
    process = billiard.Process(target=save)
    process.start()
    process.join()
