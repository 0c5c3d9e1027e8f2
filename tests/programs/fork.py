"""Forks after five saves and prints the log's counts and the counter's values of parent and child."""

from __future__ import annotations

import os

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_kcevents import asset, default_log


@asset.save
def save(rows: list[int]) -> None: ...


def counter_values(reader: InMemoryMetricReader) -> dict[object, object]:
    data = reader.get_metrics_data()
    points = [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    return {(point.attributes or {})["event"]: point.value for point in points}  # type: ignore[union-attr]


def main() -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))

    def show(process: str) -> None:
        print(process, default_log.counts(), counter_values(reader), flush=True)

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
