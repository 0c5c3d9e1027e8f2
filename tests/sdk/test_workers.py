"""Functions of a configured script in workers of real libraries: each process records and exports its own calls."""

from __future__ import annotations

import json

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.grpc", reason="pip install opentelemetry-exporter-otlp to run these"
)
pytest.importorskip("distributed", reason="pip install distributed to run these")
pytest.importorskip("joblib", reason="pip install joblib to run these")

from conftest import run_program
from receivers import Received, attributes, grpc_receiver

DAY = "2022-06-03T00:00:00Z,2022-06-04T00:00:00Z"
LOADED = [["AllocationSetLoaded", 2, DAY], ["AllocationSetLoaded", 3, DAY]]
SAVED = [["AssetSetSaved", 7, DAY]]
AGGREGATED = [["CloudCostSetAggregated", 5, DAY]]
TOTAL = {
    ("allocation", "AllocationSetLoaded"): 2,
    ("asset", "AssetSetSaved"): 1,
    ("cloudCost", "CloudCostSetAggregated"): 1,
}
PARTITIONS = {("allocation", "AllocationSetAggregated"): 2}


def sizes(received: Received) -> list[object]:
    return sorted(attributes(event)["kcevents.size"] for event in received.events)


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver", "joblib", "dask processes"])
def test_processes_record_and_export_their_own_calls(kind: str) -> None:
    """A set with its own log records into the worker's default log."""
    with grpc_receiver() as received:
        out, _ = run_program("workers", kind, code=0, **received.environment, COVERAGE_PROCESS_CONFIG="")
    assert json.loads(out) == [True, [LOADED, SAVED, AGGREGATED], [{}, {}]]
    assert (received.total, sizes(received)) == (TOTAL, [2, 3, 5, 7])


def test_dask_cluster_records_and_exports_in_its_workers() -> None:
    """Also the calls of `map_partitions`, with partitions of 3 and 2 rows."""
    with grpc_receiver() as received:
        out, _ = run_program("workers", "distributed", code=0, **received.environment, COVERAGE_PROCESS_CONFIG="")
    assert json.loads(out) == [True, [LOADED, SAVED, AGGREGATED], [{}, {}]]
    assert (received.total, sizes(received)) == ({**TOTAL, **PARTITIONS}, [2, 2, 3, 3, 5, 7])


def test_threads_of_dask_record_in_the_program() -> None:
    with grpc_receiver() as received:
        out, _ = run_program("workers", "dask threads", code=0, **received.environment)
    counts = {"AllocationSetAggregated": 2, "AllocationSetLoaded": 2, "AssetSetSaved": 1}
    assert json.loads(out) == [False, [LOADED, SAVED], [counts, {"CloudCostSetAggregated": 1}]]
    assert (received.total, sizes(received)) == ({**TOTAL, **PARTITIONS}, [2, 2, 3, 3, 5, 7])
