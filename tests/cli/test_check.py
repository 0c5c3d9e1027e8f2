"""The command `otel-kcevents check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clients import Stage, filled
from serving import Run

from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import Event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.json"


def test_documented_example_is_valid(run: Run, documented: str, path: Path) -> None:
    path.write_text(documented, encoding="utf-8")
    counted = "allocation 3, asset 3; 50004 events of 8 kinds counted"
    assert run("check", "--strict", str(path)) == (0, f"{path}: a valid log document: {counted}\n", "")


def test_output_of_log_is_valid(run: Run, stage: Stage, url: str, path: Path) -> None:
    """`check` accepts what `log --json` prints, including lists that the program added."""
    stage.log = log = filled()
    log.add_set("cloud", "CloudCostSet")
    log.append(Event("CloudCostSetSaved", 1, 5))
    path.write_text(run("log", "--json", url).out, encoding="utf-8")
    counted = "allocation 2, asset 2, cloud 1; 5 events of 5 kinds counted"
    assert run("check", "--strict", str(path)) == (0, f"{path}: a valid log document: {counted}\n", "")
    assert read_document(path.read_bytes()) == log.document()


def document(asset: list[Any], counters: dict[str, Any]) -> str:
    return json.dumps({"code": 200, "data": {"allocation": [], "asset": asset, "counters": counters}})


FOREIGN = document(
    [
        {"kind": "AssetSetDeletedEvent", "metadata": {"reason": "old"}, "time": "2022-06-03T17:07:54Z"},
        {"kind": "AssetSetSaved", "metadata": {"size": 1, "cluster": "a"}, "time": "2022-06-03T17:07:54Z"},
    ],
    {"AssetSetDeletedEvent": 3, "AssetSetSaved": 1, "AssetSetMergedEvent": 1},
)


def test_unknown_kinds_and_metadata_are_named(run: Run, path: Path) -> None:
    path.write_text(FOREIGN, encoding="utf-8")
    code, out, err = run("check", str(path))
    assert (code, err) == (0, "")
    first, kinds, metadata = out.splitlines()
    assert first.endswith("allocation 0, asset 2; 5 events of 3 kinds counted")
    assert kinds == "unknown kinds: AssetSetDeletedEvent, AssetSetMergedEvent"
    assert metadata == "unknown metadata: AssetSetDeletedEvent.reason, AssetSetSaved.cluster"


@pytest.mark.parametrize("kind", ["AsetSetSaved", "assetSetSaved", "Saved"])
def test_mistyped_kind_is_named_as_unknown(run: Run, path: Path, kind: str) -> None:
    event = {"kind": kind, "metadata": {}, "time": "2022-06-03T17:07:54Z"}
    path.write_text(document([event], {kind: 1}), encoding="utf-8")
    code, out, _ = run("check", str(path))
    refused = run("check", "--strict", str(path))
    assert (code, out.splitlines()[1:]) == (0, [f"unknown kinds: {kind}"])
    assert (refused.code, refused.out) == (3, "")
    assert kind in refused.err


def test_strict_check_refuses_the_unknown(run: Run, path: Path) -> None:
    path.write_text(FOREIGN, encoding="utf-8")
    code, out, err = run("check", "--strict", str(path))
    assert (code, out) == (3, "")
    assert "data.asset[0].kind" in err
    assert "AssetSetDeletedEvent" in err


def test_one_event_is_singular(run: Run, path: Path) -> None:
    path.write_text(document([], {"AssetSetSaved": 1}), encoding="utf-8")
    assert run("check", str(path)).out.endswith("; 1 event of 1 kind counted\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"code": 200,}', "it is not JSON: "),
        ('{"code": 400, "message": "no"}', "document: the key 'data' is missing"),
        (document([{}], {}), "data.asset[0]: the key 'kind' is"),
        (document([], {"AssetSetSaved": -1}), "data.counters.AssetSetSaved: expected "),
    ],
)
def test_invalid_document_error_shows_file_and_place(run: Run, path: Path, text: str, problem: str) -> None:
    path.write_text(text, encoding="utf-8")
    code, out, err = run("check", str(path))
    assert (code, out) == (3, "")
    assert err.startswith(f"otel-kcevents: {path} is not a log document: {problem}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("name", "shown"), [("missing", "missing"), ("\x1b[2J", r"\u001b[2J"), ("", "")])
def test_unreadable_file_is_an_error(run: Run, tmp_path: Path, name: str, shown: str) -> None:
    code, out, err = run("check", f"{tmp_path}/{name}")
    assert (code, out) == (1, "")
    assert err.startswith(f"otel-kcevents: cannot read {tmp_path}/{shown}: ")
    assert err.endswith("; expected a file's name, or - for standard input\n")


def test_url_in_place_of_a_file_hides_the_password(run: Run) -> None:
    ran = run("check", "http://user:secret@etl/log")
    assert (ran.code, ran.out) == (1, "")
    assert "secret" not in ran.err
    assert "etl/log" in ran.err
