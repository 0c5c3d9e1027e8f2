"""The command `otel-kcevents log`."""

from __future__ import annotations

import io
import json
import sys

import pytest
from clients import Stage, canned, closed_port, filled, log_of, raw_response
from serving import Run

from otel_kcevents import start_http_server
from otel_kcevents.cli.main import main
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog


def test_log_shows_events_and_counters(run: Run, url: str) -> None:
    """The events of all lists, newest first, then the counters."""
    assert run("log", url) == (
        0,
        r"""
TIME                      KIND                  SIZE  WINDOW                DETAILS
2022-06-04T00:00:00.000Z  AssetSetComputeError     -  -                     total: ValueError: größe 円 🙂 \u001b
2022-06-03T17:07:54.334Z  AssetSetSaved           29  2022-06-03T10:00Z/1h
2022-06-03T17:07:54.092Z  AllocationSetSaved      97  2022-06-03T10:00Z/1h
2022-06-03T16:58:41.285Z  AllocationSetTotaled     -  2022-06-03/1d

KIND                  COUNT
AllocationSetSaved        1
AllocationSetTotaled      1
AssetSetComputeError      1
AssetSetSaved             1
""".lstrip(),
        "",
    )


def test_empty_log_has_no_events(run: Run, stage: Stage, url: str) -> None:
    stage.log = EventLog()
    assert run("log", url) == (0, "no events\n", "")


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z", "2022-06-03/1d"),
        ("2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z", "2022-01-01/365d"),
        ("2022-06-03T10:00:00Z", "2022-06-03T11:00:00Z", "2022-06-03T10:00Z/1h"),
        ("2022-06-03T10:00:00Z", "2022-06-04T11:00:00Z", "2022-06-03T10:00Z/25h"),
        ("2022-06-03T10:45:00Z", "2022-06-03T11:00:00Z", "2022-06-03T10:45Z/15m"),
        ("2022-06-03T10:45:10Z", "2022-06-03T10:46:10Z", "2022-06-03T10:45:10Z/1m"),
        ("2022-06-03T10:00:00.5Z", "2022-06-03T11:00:00.5Z", "2022-06-03T10:00:00.5Z/1h"),
        ("2022-06-03T00:00:00Z", "2022-06-03T23:59:59Z", "2022-06-03/2022-06-03T23:59:59Z"),
        ("2022-06-03T00:00:00Z", "2022-06-05T00:01:00Z", "2022-06-03/2022-06-05T00:01Z"),
        ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00.000000001Z", "2022-06-03/2022-06-04T00:00:00.000000001Z"),
        ("2022-06-03T10:00:00Z", "2022-06-03T10:00:00Z", "2022-06-03T10:00Z/0d"),
        ("2022-06-03T00:00:00Z", None, "2022-06-03/.."),
        (None, "2022-06-03T10:00:00Z", "../2022-06-03T10:00Z"),
        (None, None, "../.."),
    ],
)
def test_window_is_short_but_exact(
    run: Run, stage: Stage, url: str, start: str | None, end: str | None, shown: str
) -> None:
    """A window is shown as start and length, or as start and end if it is open or its length is not round."""
    stage.log = log_of(Event("AssetSetTotaled", 1, window=Window(start, end)))
    assert run("log", url).out.splitlines()[1] == f"1970-01-01T00:00:00.000Z  AssetSetTotaled     -  {shown}"


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (Failure("builtins.KeyError", "'cpu'", "save"), "save: builtins.KeyError: 'cpu'"),
        (Failure("KeyError", "'cpu'"), "KeyError: 'cpu'"),
        (Failure("TimeoutError", ""), "TimeoutError"),
        (
            Failure("E", "two\nlines\r\x1b[2J\x7f\x9b\u2028\u202e end"),
            r"E: two\nlines\r\u001b[2J\u007f\u009b\u2028\u202e end",
        ),
        (Failure("E", "half \ud83d"), r"E: half \ud83d"),
        (Failure("E", "日本 🙂"), "E: 日本 🙂"),
    ],
)
def test_error_is_shown_on_one_line(run: Run, stage: Stage, url: str, failure: Failure, shown: str) -> None:
    """Characters that control the terminal or break the line are escaped."""
    stage.log = log_of(Event("AssetSetComputeError", 1, failure=failure))
    row = run("log", url).out.split("\n")[1]
    assert row == f"1970-01-01T00:00:00.000Z  AssetSetComputeError     -  -       {shown}"


def test_kind_and_window_select_events(run: Run, url: str) -> None:
    options = ("--kind=AssetSet", "--kind=AllocationSetT", "--window=2022-06-03T16:00:00Z,2022-06-03T17:08:00Z")
    rows = run("log", *options, url).out.split("\n\n")[0].splitlines()
    assert [row.split()[1] for row in rows] == ["KIND", "AssetSetSaved", "AllocationSetTotaled"]


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("--kind=Nope", ("'Nope'", "AllocationSetSaved")),
        ("--kind=Nope\udcff", ("'Nope",)),
        ("--window=soon", ("'soon'", "15m, 24h, 7d or 2w")),
    ],
)
def test_wrong_selection_is_an_error(run: Run, url: str, option: str, parts: tuple[str, ...]) -> None:
    ran = run("log", option, url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("otel-kcevents: ")
    assert all(part in ran.err for part in parts)
    assert ran.err.count("\n") == 1


def test_json_is_the_document(run: Run, url: str) -> None:
    whole = filled().document().to_dict()
    assert run("log", "--json", url) == (0, json.dumps(whole, indent=2, ensure_ascii=False) + "\n", "")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_json_is_the_document_on_any_terminal(
    stage: Stage, url: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """Characters that the terminal lacks, or that control it, are escaped."""
    message = "größe 日本 🙂 \x00\n\r\x1b[2J\x7f\x9b\u2028 half \ud83d"
    stage.log = log_of(Event("AssetSetComputeError", 1, failure=Failure("E", message)))
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding=encoding, newline="\n"))
    assert main(["log", "--json", url]) == 0
    printed = terminal.getvalue().decode("utf-8")
    assert all(char.isprintable() for char in printed.replace("\n", ""))
    assert json.loads(printed) == stage.log.document().to_dict()


def test_table_can_be_printed_on_any_terminal(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii"))
    assert main(["log", url]) == 0
    assert rb"ValueError: gr\u00f6\u00dfe" in terminal.getvalue()


def test_closed_standard_output_is_not_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be started without standard output."""
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["log", url]) == 0


def test_unknown_kinds_and_metadata_are_shown(run: Run) -> None:
    event = {"kind": "AssetSetDeletedEvent", "metadata": {"reason": "old"}, "time": "2022-06-03T17:07:54Z"}
    data = {"allocation": [], "asset": [event], "counters": {"AssetSetDeletedEvent": 3}}
    with canned(raw_response("200 OK", json.dumps({"code": 200, "data": data}).encode())) as (url, _):
        row, _, _, counter = run("log", url).out.splitlines()[1:]
    assert row.split(maxsplit=4)[1:] == ["AssetSetDeletedEvent", "-", "-", '{"reason":"old"}']
    assert counter.split() == ["AssetSetDeletedEvent", "3"]


def test_default_address_is_port_9003(run: Run) -> None:
    try:
        server = start_http_server(9003, log=filled())
    except OSError:
        pytest.skip("port 9003 is in use here")
    with server:
        assert "AllocationSetSaved" in run("log").out


@pytest.mark.parametrize("name", ["log", "tail"])
def test_wrong_address_is_a_usage_error(run: Run, name: str) -> None:
    ran = run(name, "ftp://127.0.0.1")
    assert (ran.code, ran.out) == (2, "")
    assert "'ftp://127.0.0.1' is not an address; expected one such as 'http://127.0.0.1:9003'" in ran.err


@pytest.mark.parametrize(
    "argv",
    [
        ("log", "ftp://user:secret@etl"),
        ("log", "a:1", "ftp://user:secret@etl"),
        ("check", "a", "user:secret@etl"),
        ("log", "a:1", "ftp://user:secret/more@etl"),
        ("tail", "-n", "http://user:secret@etl"),
        ("tail", "user:secret@etl"),
        ("http://user:secret@etl",),
    ],
)
def test_usage_error_does_not_show_the_password(run: Run, argv: tuple[str, ...]) -> None:
    ran = run(*argv)
    assert ran.code == 2
    assert "secret" not in ran.err
    assert "etl" in ran.err


@pytest.mark.parametrize("name", ["log", "tail"])
def test_unreachable_program_is_an_error(run: Run, name: str) -> None:
    with closed_port() as port:
        ran = run(name, f"user:secret@127.0.0.1:{port}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"otel-kcevents: http://127.0.0.1:{port}/model/etl/log does not answer: ")
    assert ran.err.count("\n") == 1


def test_remote_message_cannot_control_the_terminal(run: Run) -> None:
    with canned(raw_response("400 Bad Request", b'{"message":"two\\n\\u001b[2Jlines"}')) as (url, _):
        ran = run("log", "--kind=A", url)
    assert ran == (1, "", "otel-kcevents: two\\n\\u001b[2Jlines\n")
