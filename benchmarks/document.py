"""The log document at full retention, from the log to bytes, relative to `json.dumps` of the same data."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from datetime import timedelta
from time import perf_counter, time_ns

from benchmarks.measure import Rounds, Row, run_child
from benchmarks.pipeline import HOUR, WINDOW
from otel_kcevents import KINDS, Event, EventLog, Failure, Window

__all__ = ["events", "full_log", "rows"]

_DAY = 86_400 * 10**9
_FAILURES = (
    (
        "requests.exceptions.ConnectTimeout",
        "HTTPSConnectionPool(host='prices.internal', port=443): Max retries exceeded",
    ),
    ("KeyError", "'node_cost_hourly'"),
    ("json.decoder.JSONDecodeError", 'Expecting value: line 1 column 1 (char 0), found "<html>\\n<head>"'),
    ("pipeline.errors.PriceError", "no price for c5.2xlarge in São Paulo (sa-east-1)\n  file: prices/2024-01.csv"),
)


def full_log() -> EventLog:
    """Return a log with 256 events of each of the 14 kinds, with hourly and daily windows, over ten days."""
    log = EventLog()
    for event in events(log.retention):
        log.append(event)
    return log


def events(number: int) -> Iterator[Event]:
    """Return events of all kinds in turn, the oldest first.

    Args:
        number: How many events of each kind to return.
    """
    chance, now = random.Random(14), time_ns()
    times = sorted(now - chance.randrange(10 * _DAY) for _ in range(len(KINDS) * number))
    for place, (name, time) in enumerate(zip([*KINDS] * number, times, strict=True)):
        outcome, start = KINDS[name].outcome, WINDOW[0] + HOUR * (place // len(KINDS))
        window = Window(start, start + chance.choice((HOUR, timedelta(days=1))))
        size = chance.randrange(20_000) if outcome.sized else None
        operation = "reconcile" if outcome.suffix == "ReconcileError" else chance.choice(("save", "load", "aggregate"))
        failure = Failure(*chance.choice(_FAILURES), operation) if outcome.error else None
        yield Event(name, time, size, window, failure)


def rows(quick: bool) -> Iterator[Row]:
    """Measure documents in several processes."""
    processes = [run_child("-m", "benchmarks.document", "3" if quick else "15") for _ in range(2 if quick else 9)]
    documents = [document for rounds in processes for document in rounds]
    yield Row("the log document at full retention", "`json.dumps` of the same data", documents, "ms")


def _measure(rounds: int) -> Rounds:
    log, measured = full_log(), []
    for _ in range(rounds):
        start = perf_counter()
        document = log.document().to_json().encode()
        ours = perf_counter() - start
        data = json.loads(document)
        start = perf_counter()
        json.dumps(data).encode()
        measured.append((ours * 1e3, (perf_counter() - start) * 1e3))
    return measured


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
