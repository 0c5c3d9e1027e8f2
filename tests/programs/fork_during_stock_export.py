"""Fork while another thread exports with OpenTelemetry's own reader; print what the child finds.

The hook that lets the export end is registered last, so it runs first.
"""

from __future__ import annotations

import os
from threading import Event, Thread
from typing import Any

from otel_kcevents.sdk.stock_exports import hold_forks_during_exports

hold_forks_during_exports()  # no exporter is imported

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import (  # noqa: E402
    ConsoleMetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)

hold_forks_during_exports()
hold_forks_during_exports()

started, may_end = Event(), Event()
exports: list[str] = []


class Exporter(ConsoleMetricExporter):
    def export(self, *args: Any, **options: Any) -> MetricExportResult:
        exports.append("begun")
        started.set()
        may_end.wait()
        exports.append("ended")
        return MetricExportResult.SUCCESS


def fork_during_export() -> int:
    """Return the exit code of a child, which is the number of exports that it has seen begin and not end."""
    started.clear()
    may_end.clear()
    exports.clear()
    thread = Thread(target=reader.collect, daemon=True)
    thread.start()
    started.wait()
    if not (child := os.fork()):
        os._exit(exports.count("begun") - exports.count("ended"))
    status = os.waitpid(child, 0)[1]
    may_end.set()
    thread.join()
    return status >> 8


reader = PeriodicExportingMetricReader(Exporter())
provider = MeterProvider([reader], shutdown_on_exit=False)
provider.get_meter("test").create_counter("counter").add(1)
print(fork_during_export())  # the export does not end, so the fork waits for a second
os.register_at_fork(before=may_end.set)
print(fork_during_export())
if not (child := os.fork()):
    reader.collect()
    os._exit(exports.count("ended"))
print(os.waitpid(child, 0)[1] >> 8)
