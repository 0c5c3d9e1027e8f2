"""Journals with the events of several runs, written in one process."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import SECOND
from otel_kcevents.model.window import Window
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import Batch, Entry
from otel_kcevents.store.lock_file import lock_file
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.run import Run

NIGHT = 1_654_293_600 * SECOND  # 2022-06-03T22:00:00Z
DAYS = [Window.of(f"2022-06-0{day}") for day in range(1, 6)]
FAILURE = Failure("ValueError", "größe 円 🙂 \x1b", "total")


def run_of(id_: str, parent: str | None = None, started: int = 0) -> Run:
    """A run; *started* is in seconds after `NIGHT`."""
    return Run(id_ * 16, parent and parent * 16, "nightly", "etl.py", "costs", "host", 7, NIGHT + started * SECOND)


def write(path: Path, run: Run, *events: Event, first: int = 1) -> None:
    """Add events of a run, of which the first has this number in the run; each has a span, but the first."""
    entries = tuple(Entry(event, n - 1, n - 1 and 0xABC) for n, event in enumerate(events, first))
    with closing(JournalFile(str(path), None, None, etl_of)) as file:
        file.write(run, Batch(entries, first - 1 + len(entries)), 5)
    lock_file(f"{path}-lock").close()  # as if the process of the run had been killed


def write_nights(path: Path) -> Path:
    """Two nights, `a` and `c`; `a` has a worker `b`, `c` has a worker `d`, which has a worker `e`."""
    saved, failed = "AssetSetSaved", "AllocationSetComputeError"
    write(path, run_of("a"), *(Event(saved, NIGHT + n, n, DAYS[n]) for n in range(3)))
    write(path, run_of("b", "a", 1), Event(failed, NIGHT + 3, None, DAYS[0], FAILURE), Event(failed, NIGHT + 4))
    write(path, run_of("c", None, 5), Event("AssetSetTotaled", NIGHT + 5, None, DAYS[4]))
    write(path, run_of("d", "c", 6), Event(saved, NIGHT + 6, 6, Window(None, DAYS[0].end)))
    write(path, run_of("e", "d", 7), Event(saved, NIGHT + 7, 7))
    return path
