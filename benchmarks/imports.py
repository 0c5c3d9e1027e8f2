"""What importing the package adds to importing `opentelemetry.trace`, in fresh processes with compiled bytecode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Row, run_child

__all__ = ["rows"]

_PROGRAM = Path(__file__).with_name("import_times.py")


def rows(quick: bool) -> Iterator[Row]:
    """Measure the import in one process per round, after a first one that compiles the bytecode."""
    with TemporaryDirectory() as compiled:
        environment = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        _, *rounds = [run_child(str(_PROGRAM), **environment) for _ in range(4 if quick else 32)]
    yield Row("importing the decorators", "`opentelemetry.trace`", rounds, "ms", "+15 ms", difference=True)
