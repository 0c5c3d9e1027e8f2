"""What a process writes to a journal: whatever interrupts it, each event is written once and no lock is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import run_program

from otel_kcevents import Journal
from otel_kcevents.store.query import EventQuery

SAVED, FAILED = "AssetSetSaved", "AssetSetReconcileError"


@pytest.mark.parametrize(
    ("action", "counts", "out"),
    [
        ("signal_appends", {FAILED: 1, SAVED: 1}, ""),
        ("signal_raises", {FAILED: 1}, "1\n"),
        ("signals_raise_twice", {FAILED: 1, SAVED: 1}, "2\n"),
        ("signal_flushes", {FAILED: 1}, ""),
        ("collector_appends", {FAILED: 1, SAVED: 1}, ""),
    ],
)
def test_interrupted_write_is_finished(tmp_path: Path, action: str, counts: dict[str, int], out: str) -> None:
    path = tmp_path / "log.db"
    assert run_program("journal_inside", action, str(path)) == (out, "")
    assert Journal(path).counts() == counts
    assert [run["outcome"] for run in Journal(path).runs()] == ["ended"]


def test_value_error_of_a_signal_handler_loses_no_event(tmp_path: Path) -> None:
    """Such an error looks like that of a malformed event."""
    out, err = run_program("journal_inside", "signal_raises_value_error", str(tmp_path / "log.db"))
    assert (out, err.count("\n"), "ValueError: timeout" in err) == ("1\n", 1, True)


def test_exceptions_of_signal_handlers_lose_or_double_nothing(tmp_path: Path) -> None:
    """Each call that returned has written its event once. Coverage has a lock that such an exception leaves locked."""
    path = str(tmp_path / "log.db")
    out, err = run_program("journal_inside", "random_interrupts", path, COVERAGE_PROCESS_CONFIG="")
    assert (json.loads(out), err) == ([0, 0], "")


def test_thread_that_is_stuck_delays_others_by_a_second(tmp_path: Path) -> None:
    """Each waits once; their events are written when the stuck thread continues."""
    path = tmp_path / "log.db"
    out, err = run_program("journal_inside", "stuck_thread", str(path))
    *first, later = json.loads(out)
    assert [(took >= 1, waited < 2) for took, waited in first] == [(True, True)] * 2
    assert later[1] < 0.5
    assert (err.count("\n"), "another thread" in err) == (1, True)
    assert Journal(path).counts() == {FAILED: 1, SAVED: 3}


def test_malformed_event_does_not_keep_others_waiting(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    out, err = run_program("journal_inside", "malformed_event", str(path))
    assert (out, err.count("\n")) == ("2\n", 1)
    assert "AttributeError" in err
    assert Journal(path).counts() == {SAVED: 2}


@pytest.mark.parametrize(
    ("fork", "in_child", "in_parent"),
    [
        ("fork_inside_write", {SAVED: 1}, {FAILED: 1, SAVED: 3}),
        ("fork_inside_read", {SAVED: 1}, {SAVED: 3}),
        ("fork_inside_opening", {SAVED: 1}, {SAVED: 4}),
        ("fork_from_c", {SAVED: 2}, {SAVED: 3}),  # which does not run the fork hook of the log either
    ],
)
def test_child_with_an_inherited_connection_does_not_use_it(
    tmp_path: Path, fork: str, in_child: dict[str, int], in_parent: dict[str, int]
) -> None:
    """It logs one warning, and keeps its events in its own log."""
    path = tmp_path / "log.db"
    out, err = run_program("journal_inside", fork, str(path))
    assert in_child in map(json.loads, out.splitlines())
    assert err.count("is not used in process") == len(err.splitlines()) == 1
    assert Journal(path).counts() == in_parent
    assert [run["outcome"] for run in Journal(path).runs()] == ["ended"]


@pytest.mark.parametrize(
    ("name", "written", "outcome"), [("locked_until_the_end", 3, "ended"), ("locked_forever", 1, "killed")]
)
def test_events_that_wait_are_written_at_the_end(tmp_path: Path, name: str, written: int, outcome: str) -> None:
    """The first of two calls waits for the lock, and so does the end, each for half a second."""
    path = tmp_path / "log.db"
    out, err = run_program("journal_exit", name, str(path))
    took, waited, counts = json.loads(out)
    assert (took >= 0.5, waited < 1) == (True, True)
    assert counts == {SAVED: 3}  # a source includes what waits
    assert ("not in it: 2" in err) == (name == "locked_forever")
    (run,) = Journal(path).runs()
    assert (run["events"], run["outcome"]) == (written, outcome)


def test_deleted_journal_is_not_created_again_at_the_end(tmp_path: Path) -> None:
    assert run_program("journal_exit", "deleted", str(tmp_path / "log.db")) == ("", "")
    assert {file.name for file in tmp_path.iterdir()} <= {"log.db-lock"}


def test_daemon_threads_record_until_the_interpreter_stops_them(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    assert run_program("journal_exit", "daemon_threads", str(path)) == ("", "")
    assert [run["outcome"] for run in Journal(path).runs()] == ["ended"]


def test_thread_that_repeats_attempts_ends_with_the_run(tmp_path: Path) -> None:
    """A thread inside SQLite while the interpreter exits could crash the process."""
    path = tmp_path / "log.db"
    out, err = run_program("journal_exit", "troubled", str(path))
    assert (out, err.count("\n")) == ("1\n", 2)
    assert "events of this process that are not in it: 1" in err
    (run,) = Journal(path).runs()
    assert (run["events"], run["outcome"]) == (3, "ended")  # the first one is in the deleted file


def test_journal_without_trouble_has_no_thread(tmp_path: Path) -> None:
    assert run_program("journal_exit", "idle", str(tmp_path / "log.db")) == ("1\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_all_kinds_of_processes_write_each_event_once(tmp_path: Path, method: str) -> None:
    """Processes, executors, pools that are closed or terminated, and forked children that exit at once."""
    path = tmp_path / "log.db"
    assert run_program("journal_workers", method, str(path), COVERAGE_PROCESS_CONFIG="") == ("", "")
    events = Journal(path).events(EventQuery()).events
    assert sorted(str(listed.event.size) for listed in events) == sorted(map(str, range(17)))
    flushed, unflushed, *workers, parent = Journal(path).runs()
    assert [flushed["outcome"], unflushed["outcome"], parent["outcome"]] == ["ended", "killed", "ended"]
    assert {run["parent"] for run in (flushed, unflushed, *workers)} == {parent["id"]}
    assert [run["outcome"] for run in workers if run["name"] == "process"] == ["ended"]
    assert sum(run["events"] for run in workers) == 13


def test_forks_beside_busy_threads_lose_no_event(tmp_path: Path) -> None:
    """Threads write, read, attach, and log by a handler that writes; each child writes and reads."""
    path = tmp_path / "log.db"
    out, err = run_program("fork_beside_journal", str(path), "6", COVERAGE_PROCESS_CONFIG="")
    failed, in_parent = json.loads(out)
    assert (failed, err) == (0, "")
    saved, loaded = in_parent[SAVED] + 6 * 2, in_parent["AssetSetLoaded"] + 6
    assert Journal(path).counts() == {"AssetSetLoaded": loaded, SAVED: saved}
