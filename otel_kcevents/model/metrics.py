"""The names of all metrics, as OpenTelemetry and Prometheus spell them: those of a program, and those of a server."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DURATION", "EVENTS", "LAST_EVENT", "LAST_WINDOW_END", "RECORDS", "RUN_LAST_END", "Metric"]

_SUFFIXES = {"s": "_seconds"}  # a unit in braces is an annotation, which Prometheus omits


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: The name, as in `kubecost.etl.events`.
        unit: The unit, in UCUM, as in `s` or `{event}`.
        description: What it measures.
        attributes: The names of its attributes.
        is_counter: Whether its values only increase.
    """

    name: str
    unit: str
    description: str
    attributes: tuple[str, ...]
    is_counter: bool = False

    @property
    def prometheus_name(self) -> str:
        """The name of the series in Prometheus; of a histogram, their beginning."""
        return f"{self.name.replace('.', '_')}{_SUFFIXES.get(self.unit, '')}{'_total' if self.is_counter else ''}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its attributes in Prometheus."""
        return tuple(attribute.replace(".", "_") for attribute in self.attributes)


EVENTS: Metric = Metric(
    "kubecost.etl.events", "{event}", "Kubecost ETL events counted by kind.", ("etl", "event"), is_counter=True
)
"""How many events of a kind there were."""

RECORDS: Metric = Metric(
    "kubecost.etl.records",
    "{record}",
    "Records in the sets of Kubecost ETL events, summed by kind.",
    ("etl", "event"),
    is_counter=True,
)
"""The sum of the sizes of the events of a kind."""

LAST_EVENT: Metric = Metric(
    "kubecost.etl.last_event.timestamp", "s", "Time of the latest Kubecost ETL event of a kind.", ("etl", "event")
)
"""The Unix time of the latest event of a kind."""

LAST_WINDOW_END: Metric = Metric(
    "kubecost.etl.last_window_end.timestamp",
    "s",
    "Latest end of a window in the Kubecost ETL events of a kind.",
    ("etl", "event", "resolution"),
)
"""The Unix time of the latest end of a window of a kind and a resolution."""

DURATION: Metric = Metric(
    "kubecost.etl.operation.duration",
    "s",
    "Duration of Kubecost ETL operations.",
    ("etl", "operation", "error.type"),
)
"""How long operations took; `error.type` is set only if they failed."""

RUN_LAST_END: Metric = Metric(
    "kcevents.run.last_end.timestamp",
    "s",
    "Time at which the latest run of a service with an outcome ended.",
    ("service", "outcome"),
)
"""The Unix time at which the latest run of a service ended in a certain way."""
