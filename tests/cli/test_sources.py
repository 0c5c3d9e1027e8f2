"""The argument SOURCE of the command, and the source for a saved document."""

from __future__ import annotations

import gzip
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from clients import DAY, FAILED, SAVED, Stage, filled, log_of
from journals import write_nights
from serving import Run

from otel_kcevents.cli.sources import SavedLog, find_source
from otel_kcevents.model.event import Event
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.remote import RemoteLog


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the saved document `night.json`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night.json").write_text(filled().document().to_json(), encoding="utf-8")
    return tmp_path


@pytest.fixture
def no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any look-up of a host fails the test."""

    def fail(host: str, *args: Any, **options: Any) -> None:
        pytest.fail(f"{host} was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def test_file_is_shown_like_the_running_program(run: Run, url: str, no_lookup: None) -> None:
    file = run("log", "night.json")
    assert (file.code, file.err) == (0, "")
    assert file.out.splitlines()[1].split()[1] == "AssetSetComputeError"


@pytest.mark.parametrize(
    "text", ["a.json", "host", "localhost", "./a:1", "/a/b:1", "a b:1", "a:b", "a:1b", "../x", "~"]
)
def test_missing_file_exits_with_1(run: Run, no_lookup: None, text: str) -> None:
    ran = run("log", text)
    assert (ran.code, ran.out) == (1, "")
    assert f"cannot read {text}: No such file" in ran.err
    assert "host:port, a URL, or - for standard input" in ran.err


@pytest.mark.parametrize("text", ["a:1", "night.json:9003", "[::1]:9003", "user:pass@etl:1", "a:1/tools", "http://a"])
def test_host_and_port_or_a_url_names_a_program(text: str) -> None:
    assert isinstance(find_source(text), RemoteLog)


def test_existing_file_named_like_an_address_is_read(run: Run, folder: Path, no_lookup: None) -> None:
    (folder / "night.json").rename(folder / "etl:9003")
    assert run("log", "--kind=AssetSetSaved", "etl:9003").code == 0


def test_folder_exits_with_1(run: Run, folder: Path) -> None:
    ran = run("log", str(folder))
    assert (ran.code, ran.out) == (1, "")
    assert "Is a directory" in ran.err


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="this system has no such file")
def test_unreadable_file_exits_with_1(run: Run) -> None:
    ran = run("log", "/proc/self/mem")
    assert (ran.code, ran.out) == (1, "")
    assert "cannot read /proc/self/mem: Input/output error" in ran.err


def test_null_character_in_a_name_exits_with_1(run: Run) -> None:
    ran = run("log", "a\0b")
    assert (ran.code, ran.out) == (1, "")
    assert "null" in ran.err


@pytest.mark.parametrize("command", ["log", "check"])
def test_compressed_file_error_says_what_to_do(run: Run, folder: Path, command: str) -> None:
    (folder / "night.json.gz").write_bytes(gzip.compress((folder / "night.json").read_bytes()))
    ran = run(command, "night.json.gz")
    assert (ran.code, ran.out) == (1, "")
    assert "night.json.gz is compressed (gzip); decompress it first" in ran.err


@pytest.mark.parametrize("argv", [("check", "log.db"), ("log", "-")])
def test_journal_in_place_of_a_document_is_an_error(run: Run, folder: Path, argv: tuple[str, ...]) -> None:
    """Standard input cannot be read as a journal."""
    write_nights(folder / "log.db")
    with open("log.db", "rb") as stream:
        inherited = os.dup(0)
        os.dup2(stream.fileno(), 0)
        try:
            ran = run(*argv)
        finally:
            os.dup2(inherited, 0)
            os.close(inherited)
    assert (ran.code, ran.out) == (1, "")
    assert "is an SQLite file, not a log document; to show a journal, use otel-kcevents log" in ran.err


def test_file_that_is_given_by_two_paths_is_read_once(run: Run, folder: Path) -> None:
    write_nights(folder / "log.db")
    (folder / "link.db").symlink_to("log.db")
    (folder / "link.json").symlink_to("night.json")
    ran = run("log", "log.db", "./log.db", "link.db", str(folder / "log.db"), "night.json", "link.json")
    assert ran == run("log", "log.db", "night.json")


def test_file_that_is_not_a_log_exits_with_1(run: Run, folder: Path) -> None:
    (folder / "night.json").write_text("{}", encoding="utf-8")
    ran = run("log", "night.json")
    assert (ran.code, ran.out) == (1, "")
    assert "night.json is not a log document: document: the key 'code' is missing" in ran.err


@pytest.mark.parametrize(
    ("text", "shown"), [("night.json", "'night.json'"), ("-", "standard input"), ("u:secret@x", "'x'")]
)
def test_tail_of_a_document_is_a_usage_error(run: Run, folder: Path, text: str, shown: str) -> None:
    (folder / "u:secret@x").touch()
    ran = run("tail", text)
    assert (ran.code, ran.out) == (2, "")
    assert f"not {shown}; to show a document, use otel-kcevents log" in ran.err
    assert "secret" not in ran.err


# A saved document as a source


@pytest.mark.parametrize(
    ("kinds", "window", "limit"),
    [((), None, 256), (["AssetSet", "AllocationSetT"], None, 256), ("AllocationSet", None, 1), ((), DAY, 256)],
)
def test_saved_log_applies_a_selection_like_the_log(kinds: Any, window: Any, limit: int) -> None:
    saved = SavedLog("night.json")
    assert saved.document(kinds, window, limit) == filled().document(kinds, window, limit)
    assert saved.counts() == filled().counts()
    assert str(saved) == "night.json"


def test_saved_log_is_read_once(folder: Path) -> None:
    saved = SavedLog("night.json")
    before = saved.document()
    (folder / "night.json").unlink()
    assert saved.document() == before


@pytest.mark.parametrize("kind", ["CloudCostSetSaved", "CloudCostSetTotaled", "Cloudy", "AllocationSetLoaded"])
def test_kinds_of_the_document_can_be_selected(run: Run, folder: Path, kind: str) -> None:
    """Its own kinds and those of its sets, listed or not."""
    log = EventLog()
    log.add_set("cloud", "CloudCostSet")
    log.append(Event("CloudCostSetSaved", 1, 5))
    text = log.document().to_json().replace('"counters":{', '"counters":{"Cloudy":1,')
    (folder / "night.json").write_text(text, encoding="utf-8")
    assert run("log", f"--kind={kind}", "night.json").code == 0


def test_unknown_kind_of_a_file_is_an_error(run: Run) -> None:
    ran = run("log", "--kind=AssetSet,Nope", "night.json")
    assert (ran.code, ran.out) == (1, "")
    assert "'Nope' is not a kind" in ran.err


# Errors


@pytest.mark.parametrize(
    ("events", "options", "code"),
    [
        ([SAVED, FAILED], [], 0),
        ([SAVED, FAILED], ["--exit-code"], 3),
        ([SAVED, FAILED], ["--exit-code", "--kind=AllocationSet,AssetSetSaved"], 0),
        ([SAVED, FAILED], ["--exit-code", "--json"], 3),
        ([SAVED], ["--exit-code", "--errors"], 0),
    ],
)
def test_exit_code_is_3_if_an_error_is_listed(
    run: Run, stage: Stage, url: str, events: list[Event], options: list[str], code: int
) -> None:
    stage.log = log_of(*events)
    assert run("log", *options, url).code == code


def test_errors_selects_events_that_report_a_failure(run: Run, url: str) -> None:
    """The counters remain complete."""
    out = run("log", "--errors", url).out
    events, counters = out.split("\n\n")
    assert [line.split()[1] for line in events.splitlines()] == ["KIND", "AssetSetComputeError"]
    assert len(counters.splitlines()) == 5


def test_log_without_errors_reports_none(run: Run, stage: Stage, url: str) -> None:
    stage.log = log_of(SAVED)
    assert run("log", "--errors", url).out.startswith("no errors\n")
