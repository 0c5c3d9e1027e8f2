"""Helpers for tests of mappings: functions that one instruments, and programs under `opentelemetry-instrument`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from conftest import clean_environment
from opentelemetry.instrumentation import auto_instrumentation
from telemetry import Telemetry

from otel_kcevents.plugin.mapping import mapping_of
from otel_kcevents.plugin.patching import Swap
from otel_kcevents.plugin.recording import record_calls
from otel_kcevents.record.target import Target

__all__ = ["LAUNCHER", "MAPPINGS", "PROVIDERS", "instrument", "mapped"]

_F = TypeVar("_F", bound=Callable[..., Any])

MAPPINGS = Path(__file__).parents[1] / "examples" / "mappings"
LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")
PROVIDERS = {
    "distribution": {"OTEL_LOGS_EXPORTER": "none"},
    "ours": {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none"},  # as without opentelemetry-distro
}
"""The environment in which the launcher sets the providers of `opentelemetry-distro`, and in which it sets none."""
_NO_CONFIGURATOR = "Configuration of configurator not loaded because none is set by OTEL_PYTHON_CONFIGURATOR\n"
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

    Without options, Python starts as the launcher would start it, with its folder first in PYTHONPATH: the launcher's
    own process takes a third of the time.

    Args:
        command: What follows `python`: a script or `-m` and a module, and arguments.
        mapping: The file of the mapping.
        journal: The file of the journal.
        options: Options of the launcher.
        code: The expected exit code.
        environment: Variables to add to `clean_environment()`.

    Returns:
        What the program wrote to stdout and to stderr, without what the launcher says of `PROVIDERS["ours"]`.
    """
    if mapping is not None:
        environment["OTEL_PYTHON_KCEVENTS_MAPPING"] = str(mapping)
    if journal is not None:
        environment["OTEL_PYTHON_KCEVENTS_LOG_FILE"] = str(journal)
    variables = clean_environment(**{**_NO_EXPORT, **environment})
    launcher = [str(LAUNCHER), *options] if options else []
    if not launcher:
        folder = Path(auto_instrumentation.__file__).parent
        variables["PYTHONPATH"] = os.pathsep.join([str(folder), os.getcwd(), variables["PYTHONPATH"]])
    finished = subprocess.run(
        [*launcher, sys.executable, *map(str, command)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == code, finished.stderr
    return finished.stdout, finished.stderr.replace(_NO_CONFIGURATOR, "")


def mapped(telemetry: Telemetry, function: _F, record: str | None = "allocation.load", **options: Any) -> _F:
    """Instrument a function in place, as an entry of a mapping does.

    Args:
        telemetry: Where the events go.
        function: The function; `__func__` of a method.
        record: The key `record` of the entry.
        options: The other keys of the entry, but not `target`.

    Returns:
        The function.

    Raises:
        TypeError: An option does not suit the function.
    """
    item = {"target": "costs.etl:step", "record": record, **options}
    mapping = mapping_of({"sets": {"cloudCost": "CloudCostSet"}, "functions": [item]}, "kcevents.toml")
    assert mapping.problems == ()
    (entry,) = mapping.entries
    target = None
    if entry.etl and entry.set_name:
        providers = telemetry.tracer_provider, telemetry.meter_provider
        target = Target(entry.etl, entry.set_name, telemetry.log, *providers)
    python_function: Any = function
    Swap(python_function, lambda original: record_calls(entry, python_function, original, target))
    return function
