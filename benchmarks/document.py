"""The log document at full retention, against `json.dumps` of a dict that is made already."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from datetime import timedelta
from time import perf_counter, time_ns

from benchmarks.measure import Rounds, Row, Side, child, in_turn, pairs
from benchmarks.pipeline import HOUR, WINDOW
from otel_kcevents import KINDS, Event, EventLog, Failure, Window

__all__ = ["TITLE", "full_log", "rows"]

TITLE = "the log document at full retention (ours, from the log to bytes / json.dumps(dict).encode(), the dict made)"

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
    """256 events of each of the 14 kinds, over ten days, of hourly and daily windows, in the order of their times."""
    chance, log, now = random.Random(14), EventLog(), time_ns()
    times = sorted(now - chance.randrange(10 * _DAY) for _ in range(len(KINDS) * log.retention))
    names = [*KINDS] * log.retention
    for number, (name, time) in enumerate(zip(names, times, strict=True)):
        outcome, start = KINDS[name].outcome, WINDOW[0] + HOUR * (number // len(KINDS))
        window = Window(start, start + chance.choice((HOUR, timedelta(days=1))))
        size = chance.randrange(20_000) if outcome.sized else None
        operation = "reconcile" if outcome.suffix == "ReconcileError" else chance.choice(("save", "load", "aggregate"))
        failure = Failure(*chance.choice(_FAILURES), operation) if outcome.error else None
        log.append(Event(name, time, size, window, failure))
    return log


def rows(quick: bool) -> Iterator[Row]:
    """A line for the first document of a process, and one for those after it."""
    processes = [child("-m", "benchmarks.document", "3" if quick else "15") for _ in range(2 if quick else 9)]
    yield Row("first in a process", "ms", [found["first"] for found in processes], 0.5)
    repeated: Rounds = [round_ for found in processes for round_ in found["repeated"]]
    yield Row("again", "ms", pairs(repeated, 1e3), 0.5)


def _measure(rounds: int) -> dict[str, object]:
    log = full_log()
    start = perf_counter()
    text = log.document().to_json().encode()
    ours = perf_counter() - start
    made = json.loads(text)
    start = perf_counter()
    json.dumps(made).encode()
    first = (ours * 1e3, (perf_counter() - start) * 1e3)
    sides = [_documents(log), _dumps(made)]
    return {"first": first, "repeated": in_turn(sides, rounds, 1)}


def _documents(log: EventLog) -> Side:
    return lambda calls: [log.document().to_json().encode() for _ in range(calls)]


def _dumps(made: object) -> Side:
    return lambda calls: [json.dumps(made).encode() for _ in range(calls)]


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
