"""The metrics of a program, through the collector and from its journal: they have the same names, labels and values."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from otel_kcevents import Journal, LogServer, start_http_server
from stack.backends import Collector, Run
from stack.conftest import Stack
from stack.programs import wait_until

PER_KIND = [
    "kubecost_etl_events_total",
    "kubecost_etl_last_event_timestamp_seconds",
    "kubecost_etl_last_window_end_timestamp_seconds",
    "kubecost_etl_records_total",
]
_Family = tuple[str, str, str]
_Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def collector(shared: Stack) -> Collector:
    return shared.collector("collector.yaml")


@pytest.fixture(scope="module")
def server(shared: Stack, collector: Collector) -> Iterator[LogServer]:
    """Serves the journal of a program that has also exported its metrics."""
    file = shared.folder / "kcevents.db"
    run: Run = shared.etl("etl", endpoint=collector.grpc, OTEL_PYTHON_KCEVENTS_LOG_FILE=str(file))
    run.finish()
    with start_http_server(0, log=Journal(file), metrics=True, max_load=1) as server:
        yield server


def exposed(text: str, *names: str) -> tuple[set[_Family], _Series]:
    """Return the families and the series of a text, without the labels of the process."""
    families: list[Metric] = [family for family in text_string_to_metric_families(text) if family.samples]
    series = {
        (sample.name, tuple(sorted(pair for pair in sample.labels.items() if pair[0] not in ("job", "instance")))): (
            sample.value
        )
        for family in families
        for sample in family.samples
        if sample.name in names
    }
    found = {sample.name for family in families for sample in family.samples}
    print(text[:3000])
    assert found >= set(names)
    return {(one.name, one.documentation, one.type) for one in families if one.samples[0].name in names}, series


def served(server: LogServer) -> str:
    return "\n".join(Collector.metrics(None, f"127.0.0.1:{server.port}"))  # type: ignore[arg-type]


def test_journal_and_collector_expose_the_same_metrics(collector: Collector, server: LogServer) -> None:
    def both() -> bool:
        live = "\n".join(collector.metrics(collector.exposed))
        return PER_KIND[0] in live and exposed(live, *PER_KIND) == exposed(served(server), *PER_KIND)

    wait_until(both, "the same metrics")
