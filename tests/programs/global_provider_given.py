"""Pass a record set the meter provider that is also the global one; print what its reader collects."""

from __future__ import annotations

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from telemetry import counter_values

from otel_kcevents import EventLog, RecordSet, asset

reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
RecordSet("cloudCost", "CloudCostSet", meter_provider=provider, log=EventLog()).emit("saved")
asset.emit("loaded")
RecordSet("asset", "AssetSet", meter_provider=provider).emit("loaded")
print(sorted(counter_values(reader).items()))
