"""Fork after five saves; print the log's counts and the counter's values of parent and child."""

from __future__ import annotations

import os

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from telemetry import counter_values

from otel_kcevents import asset, default_log


@asset.save
def save(rows: list[int]) -> None: ...


def main() -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))

    def show(process: str) -> None:
        print(process, default_log.counts(), list(counter_values(reader).values()), flush=True)

    for _ in range(5):
        save([1])
    show("parent")
    child = os.fork()
    if not child:
        show("child")
        save([1])
        show("child")
        os._exit(0)
    os.waitpid(child, 0)
    save([1])
    show("parent")


main()
