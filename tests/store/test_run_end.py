"""How runs end: each program is a real process, whose run is read from its journal afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS, clean_environment, run_program

from otel_kcevents import Journal

PROGRAM = TESTS / "programs" / "run_ends.py"
KILL, TERM, ABORT = -signal.SIGKILL, -signal.SIGTERM, -signal.SIGABRT


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log.db")


def runs_after(path: str, *args: str, code: int = 0) -> list[dict[str, Any]]:
    """Run the program, and return the runs in its journal, the oldest first."""
    run_program("run_ends", *args, code=code, OTEL_PYTHON_KCEVENTS_LOG_FILE=path)
    return Journal(path).runs()[::-1]


ENDS: list[tuple[str, int, str, str | None]] = [
    ("returns", 0, "ended", None),
    ("raises", 1, "failed", "KeyError: 'x'"),
    ("raises_with_secret", 1, "failed", "ValueError: cannot open postgres://[redacted]@db/costs"),
    ("raises_in_thread", 0, "ended", None),
    ("interrupted", -signal.SIGINT, "failed", "KeyboardInterrupt"),
    ("exits_with_3", 3, "ended", None),
    ("exits_with_3_in_block", 3, "failed", "exit code 3"),
    ("exits_with_message_in_block", 1, "failed", "exit code 1: no bill, password=[redacted]"),
    ("exits_with_0_in_block", 0, "ended", None),
    ("caught_outside_block", 0, "failed", "ValueError: no bill"),
    ("second_block_succeeds", 0, "ended", None),
    ("nested_block_fails", 0, "ended", None),
    ("fails_later_than_block", 1, "failed", "KeyError: 'x'"),
    ("killed", KILL, "killed", None),
    ("killed_after_failed_block", KILL, "failed", "ValueError: no bill"),
    ("terminated", TERM, "killed", None),
    ("terminated_configured", TERM, "killed", "SIGTERM"),
    ("aborts", ABORT, "killed", None),
    ("exits_at_once", 0, "killed", None),
    ("exits_after_flush", 0, "ended", None),
    ("records_after_flush", 0, "killed", None),
]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The folder of the journals of the programs, and their exit codes."""
    folder = tmp_path_factory.mktemp("ends")
    out, _ = run_program("run_ends", "all", str(folder), *(name for name, *_ in ENDS))
    return folder, {name: int(code) for name, code in map(str.split, out.splitlines())}


@pytest.mark.parametrize(("name", "code", "outcome", "detail"), ENDS)
def test_outcome_is_how_the_run_ended(
    ended: tuple[Path, dict[str, int]], name: str, code: int, outcome: str, detail: str | None
) -> None:
    folder, codes = ended
    assert codes[name] == code
    (run,) = Journal(folder / f"{name}.db").runs()
    assert (run["outcome"], run["detail"]) == (outcome, detail)
    assert (run["ended"] is None) == (code in (KILL, ABORT) or (outcome, detail) == ("killed", None))


def test_event_of_an_exit_handler_keeps_the_end(path: str) -> None:
    (run,) = runs_after(path, "records_at_exit")
    assert (run["events"], run["outcome"]) == (1, "ended")


def test_exception_of_an_interactive_session_ends_nothing(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-i", PROGRAM, "returns"],
        input="1 / 0\n",
        env=clean_environment(OTEL_PYTHON_KCEVENTS_LOG_FILE=path),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert "ZeroDivisionError" in done.stderr
    assert [run["outcome"] for run in Journal(path).runs()] == ["ended"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_end_of_a_multiprocessing_child_is_seen(path: str, method: str) -> None:
    """Python 3.13 calls the finalizers of a child when it has handled the exception that ends it."""
    parent, *children = runs_after(path, "starts_processes", method)
    assert (parent["parent"], parent["outcome"], parent["allEvents"]) == (None, "ended", 4)
    assert {child["parent"] for child in children} == {parent["id"]}
    assert {child["program"] for child in children} == {"run_ends.py"}
    is_seen = sys.version_info < (3, 13)
    assert sorted((child["name"], child["outcome"], child["detail"]) for child in children) == [
        ("part 0", "ended", None),
        ("part 1", "failed", "KeyError: 'x'") if is_seen else ("part 1", "ended", None),
        ("part 2", "failed", "exit code 4") if is_seen else ("part 2", "ended", None),
        ("part 3", "killed", None),
    ]


@contextmanager
def started(path: str, name: str, *launcher: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the program, and wait for the first line that it prints."""
    environment = clean_environment(OTEL_PYTHON_KCEVENTS_LOG_FILE=path)
    command = [*launcher, sys.executable, str(PROGRAM), name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdout is not None
        yield program, program.stdout.readline()


def test_run_is_killed_though_a_child_has_its_descriptors(path: str) -> None:
    """The child does not inherit the lock, so the run does not seem to exist."""
    with started(path, "leaves_child") as (program, child):
        assert program.wait(300) == KILL
        assert [run["outcome"] for run in Journal(path).runs()] == ["killed"]
        os.kill(int(child), signal.SIGKILL)


def test_run_in_another_process_namespace_is_running(path: str) -> None:
    """As in another container: process ids say nothing there, but the locks are those of the kernel."""
    namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user cannot create a process namespace")
    with started(path, "waits", *namespace, "sh", "-c", 'exec "$@"', "sh"):
        (run,) = Journal(path).runs()
        assert (run["pid"], run["outcome"]) == (1, "running")


def test_killed_run_with_a_reused_process_id_is_killed(path: str) -> None:
    runs_after(path, "killed", code=KILL)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE run SET pid = ?", (os.getpid(),))
    (run,) = Journal(path).runs()
    assert (run["pid"], run["outcome"]) == (os.getpid(), "killed")


def test_running_program_is_not_running_in_a_copy(path: str, tmp_path: Path) -> None:
    """Nothing shows whether a copy was made on this machine."""
    copy = str(tmp_path / "copy.db")
    with started(path, "waits"):
        for suffix in ("", "-wal", "-lock"):
            shutil.copy(path + suffix, copy + suffix)
        (run,) = Journal(path).runs()
        assert (run["outcome"], run["ended"], run["detail"]) == ("running", None, None)
        assert [run["outcome"] for run in Journal(copy).runs()] == ["killed"]
    assert [run["outcome"] for run in Journal(path).runs()] == ["ended"]


def test_program_started_by_a_run_is_its_child(path: str) -> None:
    """As a run of its own, which does not change how the first one ends."""
    parent, child = runs_after(path, "starts_program")
    assert (child["parent"], child["outcome"]) == (parent["id"], "failed")
    assert (parent["parent"], parent["outcome"]) == (None, "ended")


def test_forked_child_may_leave_the_block_of_its_parent(path: str) -> None:
    parent, child = runs_after(path, "leaves_block_in_child")
    assert (parent["name"], parent["outcome"], parent["detail"]) == ("nightly", "ended", None)
    assert (child["name"], child["parent"]) == ("nightly", parent["id"])
    assert (child["outcome"], child["detail"]) == ("failed", "exit code 4")


def test_forked_child_can_have_its_own_block(path: str) -> None:
    parent, child = runs_after(path, "names_child")
    assert (parent["name"], child["name"], child["parent"]) == ("nightly", "part", parent["id"])
