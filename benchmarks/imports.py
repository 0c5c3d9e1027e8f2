"""What importing a decorator adds to importing `opentelemetry.trace`, in fresh processes with compiled bytecode."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryDirectory

from benchmarks.measure import Row, child

__all__ = ["TITLE", "rows"]

TITLE = "import (opentelemetry.trace and ours / opentelemetry.trace; the goal is for what is added)"

_SCRIPT = """
from time import perf_counter
start = perf_counter()
import opentelemetry.trace
theirs = perf_counter() - start
from otel_kcevents import allocation
print([(perf_counter() - start) * 1e3, theirs * 1e3])
"""


def rows(quick: bool) -> Iterator[Row]:
    """One line; each round is a process that imports the one and then the other."""
    with TemporaryDirectory() as compiled:
        settings = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        child("-c", _SCRIPT, **settings)
        found = [child("-c", _SCRIPT, **settings) for _ in range(3 if quick else 31)]
    yield Row("from otel_kcevents import allocation", "ms", found, 15, by_difference=True)
