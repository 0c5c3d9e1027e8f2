"""Measure durations in a program and in its children; print how many each of them exports."""

from __future__ import annotations

import multiprocessing
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from telemetry import collect

from otel_kcevents import EventLog, RecordSet, configure

reader = InMemoryMetricReader()
provider = MeterProvider([reader], shutdown_on_exit=False)
asset = RecordSet("asset", "AssetSet", log=EventLog(), meter_provider=provider)


@asset.save
def save(rows: list[int]) -> None: ...


def show(process: str) -> None:
    save([1])
    metrics: list[Any] = [metric for scope in collect(reader) for metric in scope.metrics]
    counts = [p.count for m in metrics if m.name.endswith("duration") for p in m.data.data_points]
    print(process, *counts, flush=True)


if __name__ == "__main__":
    configure(durations=True)
    save([1])
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=show, args=(method,))  # type: ignore[attr-defined]
        child.start()
        child.join()
    show("parent")
