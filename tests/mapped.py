"""Helpers for tests of programs that run under `opentelemetry-instrument` with a mapping."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conftest import clean_environment

__all__ = ["MAPPINGS", "instrument"]

MAPPINGS = Path(__file__).parents[1] / "examples" / "mappings"
_LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")
_NO_EXPORT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


def instrument(
    *command: object,
    mapping: Path | None = None,
    journal: Path | None = None,
    options: Sequence[str] = (),
    code: int = 0,
    **environment: str,
) -> tuple[str, str]:
    """Run Python under `opentelemetry-instrument`, without exporting.

    Args:
        command: What follows `python`: a script or `-m` and a module, and arguments.
        mapping: The file of the mapping.
        journal: The file of the journal.
        options: Options of the launcher.
        code: The expected exit code.
        environment: Variables to add to `clean_environment()`.

    Returns:
        What the program wrote to stdout and to stderr.
    """
    if mapping is not None:
        environment["OTEL_PYTHON_KCEVENTS_MAPPING"] = str(mapping)
    if journal is not None:
        environment["OTEL_PYTHON_KCEVENTS_LOG_FILE"] = str(journal)
    finished = subprocess.run(
        [_LAUNCHER, *options, sys.executable, *map(str, command)],
        env=clean_environment(**{**_NO_EXPORT, **environment}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == code, finished.stderr
    return finished.stdout, finished.stderr
