"""The self-checks: what they find, and that each ends in time."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import time_ns

import pytest
from conftest import run_program

from otel_kcevents import Event, Journal
from otel_kcevents.report.checks import check_endpoints, check_journal, state_findings
from otel_kcevents.store.journal_state import JournalState


@pytest.fixture
def listener() -> Iterator[str]:
    """The URL of something that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_reachable_collector_is_checked_once(listener: str) -> None:
    assert check_endpoints([("traces", listener), ("metrics", listener)]) == [
        ("collector (traces, metrics)", f"ok: {listener} accepts connections")
    ]


@pytest.mark.parametrize(
    ("url", "result"),
    [
        (
            "http://127.0.0.1:1",
            "problem: http://127.0.0.1:1 does not accept a connection: [Errno 111] Connection refused",
        ),
        ("http://127.0.0.1:99999", "not checked: http://127.0.0.1:99999 names no host and port"),
        ("grpc://", "not checked: grpc:// names no host and port"),
    ],
)
def test_unreachable_collector_is_a_problem(url: str, result: str) -> None:
    ((what, found),) = check_endpoints([("traces", url)])
    assert what == "collector (traces)"
    assert found.startswith(result)


def test_check_that_takes_too_long_ends() -> None:
    """The queue of the listener is full, so it does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert check_endpoints([("traces", url)], 0.05) == [
            ("collector (traces)", f"problem: {url} did not answer within 0.05 s")
        ]


def test_missing_endpoint_is_not_checked() -> None:
    assert check_endpoints([]) == [("collector", "not checked: no endpoint is set, or it is unknown to this process")]


def test_addresses_are_checked_while_the_interpreter_exits(listener: str) -> None:
    """No thread can be started then, from Python 3.12 on; looking up a name could take minutes."""
    out, _ = run_program("check_at_exit", listener)
    assert out.splitlines()[0] == f"ok: {listener} accepts connections"
    assert out.splitlines()[1].startswith("not checked: http://collector.invalid:1; the name cannot be looked up")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal with four events."""
    journal = Journal(tmp_path / "kcevents.db")
    for _ in range(4):
        journal(Event("AssetSetSaved", 1))
    return journal


def change(journal: Journal, statement: str) -> None:
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute(statement)


def results(journal: Journal) -> dict[str, str]:
    return dict(check_journal(journal.path)[0])


def test_healthy_journal_has_no_problem(journal: Journal) -> None:
    found = results(journal)
    assert found.pop("journal size").startswith("ok: 0.0 MiB, write-ahead log ")
    assert found == {
        "journal can be written": "ok",
        "clock": "ok: it was never set back while events were written",
        "counters and rows": "ok: AssetSetSaved: 4 counted, all kept",
    }


def test_calls_of_mapped_functions_are_summed(journal: Journal) -> None:
    change(journal, "INSERT INTO call VALUES ('a', 'x', 'f', 3, 2, 1, 1, 0), ('b', 'x', 'f', 1, 1, 0, 0, 1)")
    change(journal, "INSERT INTO call VALUES ('a', 'y', 'g', 0, 0, 0, 0, 0)")
    counts = "calls 4, events 3, errors 1, sizes missing 1, windows missing 1"
    assert results(journal)["mapped functions"] == f"2, 1 of them never called: {counts}"


@pytest.mark.parametrize(
    ("statement", "result"),
    [
        ("DELETE FROM event WHERE n <= 2", "ok: AssetSetSaved: 4 counted, retention is reached: the newest 2 are kept"),
        ("DELETE FROM event", "ok: AssetSetSaved: 4 counted, none kept"),
        ("DELETE FROM event WHERE n = 2", "problem: AssetSetSaved: 4 counted, 3 rows from 1 to 4: some are missing"),
        ("DELETE FROM event WHERE n = 4", "problem: AssetSetSaved: 4 counted, but the newest row has the number 3"),
    ],
)
def test_rows_are_compared_with_the_counter(journal: Journal, statement: str, result: str) -> None:
    change(journal, statement)
    assert results(journal)["counters and rows"].startswith(result)


def test_clock_that_was_set_back_is_a_problem(journal: Journal) -> None:
    change(journal, "UPDATE tally SET count = 2 WHERE name = 'clock'")
    assert results(journal)["clock"] == "problem: it was set back 2 times while events were written"


def test_event_in_the_future_is_a_problem(journal: Journal) -> None:
    change(journal, f"UPDATE tally SET last = {time_ns() + 60 * 10**9} WHERE name = 'clock'")
    assert results(journal)["clock"].endswith("which is in the future")


def test_rows_that_were_not_counted_are_not_compared() -> None:
    found = dict(state_findings(JournalState(1, 0, 2**30, None, 0, 0, ())))
    assert found["counters and rows"] == "not checked: counting the rows took too long"


@pytest.mark.parametrize(("wal_size", "free"), [(0, 2**20), (2**27, 2**40)], ids=["full disk", "large log"])
def test_lack_of_space_is_a_problem(wal_size: int, free: int) -> None:
    size, *_ = state_findings(JournalState(2**20, wal_size, free, (), 0, 0, ()))
    assert size[1].startswith("problem: 1.0 MiB, write-ahead log ")


def test_damaged_journal_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "kcevents.db"
    path.write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    findings, state = check_journal(str(path))
    assert [name for name, result in findings if result.startswith("problem: ")] == [
        "journal can be written",
        "journal can be read",
    ]
    assert state is None
