"""What a journal knows about windows and kinds: the same as all of its events say, at any moment."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from otel_kcevents import Event, Journal, Window
from otel_kcevents.model.event import Failure
from otel_kcevents.model.resolution import resolution_of
from otel_kcevents.model.timestamps import DAY, SECOND
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.window_results import WindowResults, results_of

HOUR = 3_600 * SECOND
START = 19_000 * DAY
LENGTHS = (HOUR, HOUR, HOUR, DAY, DAY - HOUR, 900 * SECOND, 61_500_000_000, 7 * DAY)
KINDS = [f"{name}{suffix}" for name in ("AllocationSet", "AssetSet") for suffix in ("Saved", "Loaded", "Reconciled")]


def random_event(random: Random, time: int) -> Event:
    """An event with or without a window, of any kind."""
    length = random.choice(LENGTHS)
    start = START + random.randrange(40) * length
    window: Window | None = Window.from_ns(start, start + length)
    if random.random() < 0.1:
        window = random.choice(
            [None, Window.from_ns(None, start), Window.from_ns(start, start), Window.from_ns(start, None)]
        )
    if random.random() < 0.3:
        kind = random.choice(["AssetSetComputeError", "AllocationSetComputeError", "AssetSetReconcileError"])
        operation = random.choice([None, "save", "load", "compute", "reconcile"])
        return Event(kind, time, None, window, Failure("ValueError", f"no {time}", operation))
    kind = random.choice(KINDS)
    size = None if kind.endswith("Reconciled") else random.choice([None, 0, 97, 2**62])
    return Event(kind, time, size, window)


def whole(log: EventLog) -> WindowResults:
    return results_of(log.document(limit=10**6), START, START + 30 * DAY)


def merged(results: WindowResults) -> tuple[object, ...]:
    """Return what results say, in one form: each window once, and in order."""
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for result in sorted(results.results, key=lambda result: result.order):
        events, *_ = found.get(result[:5], [0])
        found[result[:5]] = (events + result.events, result.time, result.size, result.failure)
    newest: dict[tuple[Any, ...], tuple[int, int]] = {}
    for result in results.newest:
        key = *result[:3], resolution_of(result.start, result.end)
        newest[key] = max(newest.get(key, (0, 0)), (result.start, result.end))
    without = {result[:3]: (result.events, result.time, result.failure) for result in results.without_window}
    return found, newest, without, results.regular


@pytest.mark.parametrize("seed", range(3))
def test_results_are_those_of_all_events(tmp_path: Path, seed: int) -> None:
    random, log, journal = Random(seed), EventLog(10**6), Journal(tmp_path / "kcevents.db")
    for number in range(700):
        event = random_event(random, START + number)
        log.append(event)
        journal(event)
        if number % 20 == 0:
            assert merged(journal.window_results(START, START + 30 * DAY)) == merged(whole(log))
            assert journal.totals() == tuple(
                total._replace(records=total.records and min(total.records, 2**63 - 1)) for total in log.totals()
            )
