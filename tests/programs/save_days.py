"""Saves a day with an undecorated function, and prints the counters, the type of the tracer provider and the mapping.

Arguments: `configure_sdk` sets up OpenTelemetry from `OTEL_CONFIG_FILE` first; `instrument` instruments the program;
`undo` also undoes that, and saves again; `elsewhere` does all of it in a child process that starts in another folder.
"""

from __future__ import annotations

import os
import subprocess
import sys

from opentelemetry import trace

from otel_kcevents import default_log


def main(how: list[str]) -> None:
    """Run the program."""
    if "elsewhere" in how:
        sys.exit(subprocess.run([sys.executable, __file__], cwd="/", check=False).returncode)
    if "configure_sdk" in how:
        from opentelemetry.configuration import configure_sdk, load_config_file

        configure_sdk(load_config_file(os.environ["OTEL_CONFIG_FILE"]))
    if "instrument" in how:
        from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor

        KcEventsInstrumentor().instrument()
    from programs import day_saver

    day_saver.save([1, 2, 3], "2024-09-18")
    if "undo" in how:
        KcEventsInstrumentor().uninstrument()
        day_saver.save([1, 2, 3], "2024-09-18")
    print(default_log.counts())
    print(type(trace.get_tracer_provider()).__name__)
    print(os.environ.get("OTEL_PYTHON_KCEVENTS_MAPPING"))


if __name__ == "__main__":
    main(sys.argv[1:])
