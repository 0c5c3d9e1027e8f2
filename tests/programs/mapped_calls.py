"""Instrument this program from inside, and print the calls of its functions, also of its journal: argument PATH."""

from __future__ import annotations

import sys

from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor
from otel_kcevents.store.journal_calls import read_calls
from otel_kcevents.store.journal_reader import read_journal


def load(window: str) -> list[int]:
    """Load nothing."""
    return []


def save(rows: list[int]) -> None:
    """Save nothing."""


functions = [{"target": f"__main__:{name}", "record": f"asset.{name}"} for name in ("load", "save")]
instrumentor = KcEventsInstrumentor()
instrumentor.instrument(functions=functions, log_file=sys.argv[1])
for _ in range(3):
    load("2024-09-18")
for calls in instrumentor.calls():
    print(calls.function.partition(":")[2], calls.calls, calls.events)
instrumentor.uninstrument()
load("2024-09-18")
print(len(instrumentor.calls()))
for calls in read_journal(sys.argv[1], read_calls):
    print("journal", calls.function.partition(":")[2], calls.calls, calls.events)
