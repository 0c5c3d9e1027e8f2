"""The command `otel-kcevents runs`."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clients import canned, raw_response
from conftest import clean_environment
from journals import NIGHT, run_of, write, write_nights
from serving import Run

from otel_kcevents import EventLog, Journal, start_http_server
from otel_kcevents.cli import runs as runs_module
from otel_kcevents.model.event import Event
from otel_kcevents.model.timestamps import SECOND

LATER = NIGHT + 100 * SECOND


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs_module, "time_ns", lambda: LATER)
    return tmp_path / "log.db"


def change(path: Path, id_: str, **values: Any) -> None:
    """Set columns of a run in a journal."""
    columns = ", ".join(f"{name} = ?" for name in values)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE run SET {columns} WHERE id = ?", (*values.values(), id_ * 16))


@pytest.fixture
def nights(path: Path) -> Path:
    """Two nights with workers: `a` failed, its worker `b` was killed; `c` and its workers have ended."""
    write_nights(path)
    change(path, "a", ended=NIGHT + 2 * SECOND, outcome="failed", detail="KeyError: 'größe'")
    for id_ in "cde":
        change(path, id_, ended=NIGHT + 65 * SECOND, outcome="ended")
    change(path, "d", name="part 1", service=None)
    return path


def test_runs_are_listed_with_their_ends(run: Run, nights: Path) -> None:
    """The newest first; the numbers of a run include those of its workers."""
    assert run("runs", str(nights)) == (
        0,
        """
RUN       STARTED               DURATION  NAME     SERVICE  PID  EVENTS  ERRORS  OUTCOME  DETAILS
cccccccc  2022-06-03T22:00:05Z     1m00s  nightly  costs      7       3       0  ended
aaaaaaaa  2022-06-03T22:00:00Z      2.0s  nightly  costs      7       5       2  failed   KeyError: 'größe'
"""[1:],
        "",
    )


def test_workers_are_listed_below_their_parents(run: Run, nights: Path) -> None:
    assert (
        run("runs", "--all", str(nights)).out
        == (
            """
RUN       STARTED               DURATION  NAME         SERVICE  PID  EVENTS  ERRORS  OUTCOME  DETAILS
cccccccc  2022-06-03T22:00:05Z     1m00s  nightly      costs      7       3       0  ended
dddddddd  2022-06-03T22:00:06Z     59.0s    part 1     -          7       2       0  ended
eeeeeeee  2022-06-03T22:00:07Z     58.0s      nightly  costs      7       1       0  ended
aaaaaaaa  2022-06-03T22:00:00Z      2.0s  nightly      costs      7       5       2  failed   KeyError: 'größe'
bbbbbbbb  2022-06-03T22:00:01Z     >0.0s    nightly    costs      7       2       2  killed
"""[1:]
        )
    )


@pytest.mark.parametrize(
    ("template", "shown"), [("", "a" * 32), ("http://jaeger/trace/{trace_id}", f"http://jaeger/trace/{'a' * 32}")]
)
def test_trace_of_a_run_is_shown(
    run: Run, nights: Path, monkeypatch: pytest.MonkeyPatch, template: str, shown: str
) -> None:
    """A run without a block has none."""
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_TRACE_URL", template)
    change(nights, "a", trace_id="a" * 32)
    head, newest, failed = run("runs", "--traces", str(nights)).out.splitlines()
    assert head.split()[-2:] == ["TRACE", "DETAILS"]
    assert newest.split()[-2:] == ["ended", "-"]
    assert failed.split()[-4:] == ["failed", shown, "KeyError:", "'größe'"]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"d": {"outcome": "killed", "detail": "SIGTERM"}}, "ended"),
        ({"d": {"outcome": None}}, "1 of its processes was killed"),
        ({"d": {"outcome": None}, "e": {"outcome": None}}, "2 of its processes were killed"),
        ({"d": {"outcome": "failed"}, "e": {"outcome": None}}, "1 of its processes failed, 1 was killed"),
    ],
)
def test_killed_workers_are_noted_at_the_root(
    run: Run, nights: Path, changes: dict[str, dict[str, str | None]], shown: str
) -> None:
    """Those that SIGTERM ended do not count, because a pool ends its workers like this."""
    for id_, values in changes.items():
        change(nights, id_, ended=None, **values)
    assert run("runs", str(nights)).out.splitlines()[1].split("  ")[-1] == shown


def test_long_detail_is_cut(run: Run, nights: Path) -> None:
    change(nights, "a", detail="KeyError: " + "x" * 100)
    assert run("runs", str(nights)).out.splitlines()[2].endswith(f"  KeyError: {'x' * 87}...")
    assert "x" * 100 in run("runs", "--json", str(nights)).out


@pytest.mark.parametrize(("options", "ids"), [(["-n1"], "c"), (["-n1", "--all"], "cde"), (["-n9"], "ca")])
def test_newest_programs_are_listed(run: Run, nights: Path, options: list[str], ids: str) -> None:
    """With all processes that they started."""
    assert [row[0] for row in run("runs", *options, str(nights)).out.splitlines()[1:]] == list(ids)
    assert [one["id"][0] for one in json.loads(run("runs", "--json", *options, str(nights)).out)["data"]] == list(ids)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"c": {"outcome": "failed"}}, 3),
        ({"c": {"outcome": None, "ended": None}}, 3),
        ({"e": {"outcome": "failed"}}, 3),
        ({"e": {"outcome": "killed", "detail": "SIGTERM"}}, 0),
    ],
)
def test_exit_code_is_3_unless_all_ended_well(
    run: Run, nights: Path, changes: dict[str, dict[str, str | None]], code: int
) -> None:
    """All listed programs, and their processes."""
    for id_, values in changes.items():
        change(nights, id_, **values)
    assert run("runs", "-n1", "--exit-code", str(nights)).code == code
    assert run("runs", "--exit-code", str(nights)).code == 3
    assert run("runs", str(nights)).code == 0


def test_exit_code_is_3_if_an_error_was_recorded(run: Run, nights: Path) -> None:
    """Even if the run has ended well."""
    write(nights, run_of("c", None, 5), Event("AssetSetReconcileError", NIGHT), first=2)
    change(nights, "c", ended=NIGHT + 65 * SECOND, outcome="ended")
    assert run("runs", "-n1", "--exit-code", str(nights)).code == 3


def test_failures_of_workers_are_noted_at_the_root(run: Run, nights: Path) -> None:
    """Of all its descendants, unless it has failed itself."""
    for id_ in "be":
        change(nights, id_, ended=NIGHT + 65 * SECOND, outcome="failed", detail="KeyError: 'x'")
    rows = run("runs", "--all", str(nights)).out.splitlines()[1:]
    details = {row.split()[0]: row.split("  ")[-1].strip() for row in rows}
    assert details == {
        "cccccccc": "1 of its processes failed",
        "dddddddd": "ended",
        "eeeeeeee": "KeyError: 'x'",
        "aaaaaaaa": "KeyError: 'größe'",
        "bbbbbbbb": "KeyError: 'x'",
    }


def test_hosts_are_shown_if_there_are_several(run: Run, nights: Path) -> None:
    change(nights, "a", host="etl-2", trace_id="a" * 32)
    assert [row.split()[4:7] for row in run("runs", "--traces", str(nights)).out.splitlines()] == [
        ["SERVICE", "HOST", "PID"],
        ["costs", "host", "7"],
        ["costs", "etl-2", "7"],
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0.0s"), (0.16, "0.1s"), (59.97, "59.9s"), (60, "1m00s"), (3600, "1h00m"), (90_000, "1d01h")],
)
def test_duration_has_two_units(run: Run, nights: Path, seconds: float, shown: str) -> None:
    """It is 0 if the clock was set back."""
    change(nights, "c", ended=NIGHT + 5 * SECOND + int(seconds * SECOND))
    assert run("runs", str(nights)).out.splitlines()[1].split()[2] == shown


HOLD = """
import sys
from otel_kcevents.store.lock_file import LockFile
lock = LockFile(sys.argv[1])
lock.hold("c" * 16)
print(flush=True)
sys.stdin.read()
"""


def test_running_program_has_a_duration_so_far(run: Run, nights: Path) -> None:
    """Even if `flush()` has written an end."""
    command = [sys.executable, "-c", HOLD, f"{nights}-lock"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=clean_environment(), stdin=pipe, stdout=pipe) as program:
        assert program.stdout is not None
        program.stdout.readline()
        row = run("runs", str(nights)).out.splitlines()[1].split()
    assert (row[2], row[-1]) == ("1m35s", "running")


def test_killed_run_without_events_has_no_duration(run: Run, path: Path) -> None:
    write(path, run_of("a"))
    assert run("runs", str(path)).out.splitlines()[1].split()[2] == "-"


def test_ids_are_as_long_as_needed(run: Run, path: Path) -> None:
    """No other id, not even a worker's, begins with the part that is shown."""
    for id_, parent in (("aaaaaaaaaa1", None), ("aaaaaaaaaa2", "aaaaaaaaaa1"), ("b", None)):
        write(path, run_of("a")._replace(id=id_.ljust(16, "0"), parent=parent and parent.ljust(16, "0")))
    assert [row.split()[0] for row in run("runs", str(path)).out.splitlines()[1:]] == ["aaaaaaaaaa1", "b0000000000"]


def test_shown_id_selects_a_run_of_the_log(run: Run, nights: Path) -> None:
    id_ = run("runs", str(nights)).out.splitlines()[1].split()[0]
    listed = run("log", "--run", id_, str(nights)).out.split("\n\n")[0].splitlines()[1:]
    assert [row.split()[1] for row in listed] == ["AssetSetSaved", "AssetSetSaved", "AssetSetTotaled"]


def test_json_is_the_form_of_the_endpoint(run: Run, nights: Path) -> None:
    """With its own numbers of events and errors, and those that include its workers'."""
    everything = json.loads(run("runs", "--all", "--json", str(nights)).out)
    assert everything["code"] == 200
    assert [one["id"][0] for one in everything["data"]] == list("cdeab")
    assert sorted(everything["data"], key=str) == sorted(Journal(nights).runs(), key=str)
    roots = json.loads(run("runs", "--json", str(nights)).out)["data"]
    assert [(one["events"], one["allEvents"], one["errors"], one["allErrors"]) for one in roots] == [
        (1, 3, 0, 0),
        (3, 5, 0, 2),
    ]


def test_name_and_detail_cannot_control_the_terminal(run: Run, nights: Path) -> None:
    change(nights, "c", name="\x1b[2J", detail="two\nlines")
    out = run("runs", str(nights)).out
    assert r"\u001b[2J" in out
    assert r"two\nlines" in out


def test_parents_that_form_a_cycle_are_read(run: Run, nights: Path) -> None:
    """Other programs can write to a journal."""
    change(nights, "c", parent="e" * 16)
    assert [row[:4] for row in run("runs", str(nights)).out.splitlines()[1:]] == ["aaaa"]


def test_journal_without_runs_lists_none(run: Run, path: Path) -> None:
    write_nights(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM run")
    assert run("runs", str(path)) == (0, "no runs\n", "")


def test_runs_of_a_program_are_those_of_its_journal(run: Run, nights: Path) -> None:
    with start_http_server(0, log=Journal(nights)) as server:
        assert run("runs", "--all", server.url) == run("runs", "--all", str(nights))


def test_program_without_a_journal_is_an_error(run: Run) -> None:
    with start_http_server(0, log=EventLog()) as server:
        ran = run("runs", server.url)
    assert (ran.code, ran.out) == (1, "")
    assert "configure(log_file=...)" in ran.err


def test_malformed_runs_are_an_error(run: Run) -> None:
    with canned(raw_response("200 OK", b'{"code":200,"data":[{"id":"a"}]}')) as (url, _):
        ran = run("runs", url)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_log_without_runs_is_an_error(run: Run, tmp_path: Path) -> None:
    document = tmp_path / "log.json"
    document.write_text('{"code":200,"data":{"allocation":[],"asset":[],"counters":{}}}', encoding="utf-8")
    ran = run("runs", str(document))
    assert (ran.code, ran.out) == (1, "")
    assert f"{document} has no runs: of a saved document or report, only the log is read; give a journal" in ran.err


@pytest.mark.parametrize("name", ["missing.db", "missing.json"])
def test_missing_file_is_an_error(run: Run, tmp_path: Path, name: str) -> None:
    ran = run("runs", str(tmp_path / name))
    assert (ran.code, ran.out) == (1, "")
    assert f"cannot read {tmp_path / name}: No such file" in ran.err
