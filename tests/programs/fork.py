"""Fork after five saves; print the log's counts, and the events and records that parent and child export."""

from __future__ import annotations

import os

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from telemetry import metric_values

from otel_kcevents import asset, default_log


@asset.save
def save(rows: list[int]) -> None: ...


def main() -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))

    def exported(name: str) -> list[int | float]:
        return list(metric_values(reader, f"kubecost.etl.{name}").values())

    def show(process: str) -> None:
        values = [value for name in ("events", "records") for value in exported(name)]
        print(process, default_log.counts(), values, flush=True)

    for _ in range(5):
        save([1, 2])
    show("parent")
    child = os.fork()
    if not child:
        show("child")
        save([1, 2])
        show("child")
        os._exit(0)
    os.waitpid(child, 0)
    save([1, 2])
    show("parent")


main()
