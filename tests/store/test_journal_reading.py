"""Reading a journal: in every place, beside every writer, and without touching what is not ours."""

from __future__ import annotations

from pathlib import Path

from journals import write_nights

from otel_kcevents import EventLog, Journal, RecordSet
from otel_kcevents.store.run import current_run


def test_runs_can_be_read_before_the_first_write(tmp_path: Path) -> None:
    """The lock file, opened to look for other processes, can then be locked by this one."""
    log = EventLog()
    journal = Journal(write_nights(tmp_path / "log.db"))
    assert {run["outcome"] for run in journal.runs()} == {"killed"}
    log.attach(journal)
    RecordSet("asset", "AssetSet", log=log).emit("loaded")
    assert journal.counts()["AssetSetLoaded"] == 1
    assert [run["outcome"] for run in journal.runs() if run["id"] == current_run().id] == ["running"]
