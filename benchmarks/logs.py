"""Other logs whose events survive SIGKILL, compared with a journal.

The facts are the kind, the time, the size, the window, the trace, the span and the run. The libraries are measured if
they are installed: `pip install dagster openlineage-python`, in an environment of its own if they need other versions.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from time import time_ns
from typing import Any, TypeAlias
from uuid import uuid4

from benchmarks.measure import Rounds, Row, Side, alternate, run_child
from otel_kcevents import Event, EventLog, Journal, Window

__all__ = ["rows"]

_Write: TypeAlias = Callable[[Event, int, int], object]

_RUN = str(uuid4())


def rows(quick: bool) -> Iterator[Row]:
    """Measure each of them in a process of its own, in one thread."""
    for name, (module, calls, _) in _OTHERS.items():
        what, journal = f"writing an event to {name}", "a journal"
        if find_spec(module) is None:
            yield Row(what, journal, note="not installed")
            continue
        numbers = ("3", "20") if quick else ("31", str(calls))
        yield Row(what, journal, run_child("-m", "benchmarks.logs", name, *numbers), "µs")


def _json_lines(folder: str) -> _Write:
    handler = logging.FileHandler(f"{folder}/events.jsonl")  # which flushes after each record
    logger = logging.getLogger("events")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)

    def write(event: Event, span_id: int, trace_id: int) -> None:
        logger.info("%s", json.dumps(_facts(event, span_id, trace_id)))

    return write


def _facts(event: Event, span_id: int, trace_id: int) -> dict[str, Any]:
    assert event.window
    return {
        "kind": event.kind,
        "time": event.time,
        "size": event.size,
        "window": [event.window.start_text, event.window.end_text],
        "trace": f"{trace_id:032x}",
        "span": f"{span_id:016x}",
        "run": _RUN,
    }


def _openlineage(folder: str) -> _Write:
    lineage = import_module("openlineage.client")
    events = import_module("openlineage.client.event_v2")
    facets = import_module("openlineage.client.facet_v2")
    transports = import_module("openlineage.client.transport.file")
    config = transports.FileConfig(log_file_path=f"{folder}/lineage.jsonl", append=True)
    client = lineage.OpenLineageClient(transport=transports.FileTransport(config))

    def write(event: Event, span_id: int, trace_id: int) -> None:
        assert event.window
        tag = facets.tags_run.TagsRunFacetFields
        run_facets = {
            "nominalTime": facets.nominal_time_run.NominalTimeRunFacet(event.window.start_text, event.window.end_text),
            "tags": facets.tags_run.TagsRunFacet(
                [tag("kind", event.kind), tag("trace", f"{trace_id:032x}"), tag("span", f"{span_id:016x}")]
            ),
        }
        statistics = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=event.size)
        client.emit(
            events.RunEvent(
                eventType=events.RunState.RUNNING,
                eventTime=datetime.fromtimestamp(event.time / 1e9, timezone.utc).isoformat(),
                run=events.Run(_RUN, run_facets),
                job=events.Job("benchmarks", "load"),
                outputs=[events.OutputDataset("benchmarks", "AllocationSet", {"outputStatistics": statistics})],
            )
        )

    return write


def _dagster_message(folder: str) -> _Write:
    os.environ["DAGSTER_HOME"] = folder
    entry = import_module("dagster._core.events.log").EventLogEntry
    storage = _dagster_storage(folder)

    def write(event: Event, span_id: int, trace_id: int) -> None:
        message = json.dumps(_facts(event, span_id, trace_id))
        storage.store_event(entry(None, logging.INFO, message, _RUN, event.time / 1e9))

    return write


def _dagster_asset(folder: str) -> _Write:
    os.environ["DAGSTER_HOME"] = folder
    dagster = import_module("dagster")
    entry = import_module("dagster._core.events.log").EventLogEntry
    events = import_module("dagster._core.events")
    storage = _dagster_storage(folder)

    def write(event: Event, span_id: int, trace_id: int) -> None:
        facts = _facts(event, span_id, trace_id)
        partition = "/".join(facts.pop("window"))
        materialization = dagster.AssetMaterialization("AllocationSet", metadata=facts, partition=partition)
        data = events.StepMaterializationData(materialization)
        happened = events.DagsterEvent("ASSET_MATERIALIZATION", "load", event_specific_data=data)
        storage.store_event(entry(None, logging.INFO, "", _RUN, event.time / 1e9, dagster_event=happened))

    return write


def _dagster_storage(folder: str) -> Any:
    return import_module("dagster._core.storage.event_log").SqliteEventLogStorage(folder)


_OTHERS: dict[str, tuple[str, int, Callable[[str], _Write]]] = {
    "a file of JSON lines, by a `logging` handler": ("logging", 500, _json_lines),
    "OpenLineage's file transport": ("openlineage", 100, _openlineage),
    "Dagster's SQLite event log, as a message": ("dagster", 20, _dagster_message),
    "Dagster's SQLite event log, as an asset materialization": ("dagster", 20, _dagster_asset),
}
"""By name: the required module, the calls per round, and a function that returns the function that writes."""


def _measure(name: str, rounds: int, calls: int) -> Rounds:
    log = EventLog()
    with TemporaryDirectory() as folder:
        log.attach(Journal(f"{folder}/kcevents.db"))
        os.mkdir(f"{folder}/other")
        write = _OTHERS[name][2](f"{folder}/other")
        return alternate([_writing(write), _writing(log.append)], rounds, calls)


def _writing(write: _Write) -> Side:
    window = Window("2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z")

    def side(calls: int) -> None:
        for number in range(calls):
            time = time_ns()
            write(Event("AllocationSetLoaded", time, 97, window), time + number, time << 64)

    return side


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], *map(int, sys.argv[2:]))))
