"""A log of another product, with kinds, lists and metadata that this package does not know, in every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clients import canned, log_of, raw_response
from serving import Run

from otel_kcevents.cli import tail as tail_module
from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import Event
from otel_kcevents.store.merged_source import merge
from otel_kcevents.store.remote import RemoteLog

HOUR = {"start": "2022-06-03T10:00:00Z", "end": "2022-06-03T11:00:00Z"}


def entry(kind: str, time: str, **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": metadata, "time": time}


DATA: dict[str, Any] = {
    "allocation": [
        entry("AllocationSetSaved", "2022-06-03T17:07:54.092619416Z", size=97, window=HOUR, store="file"),
        entry("AllocationSetDeletedEvent", "2022-06-03T17:07:53Z", size=0, window={"start": None, "end": None}),
        entry(
            "AllocationSetComputeError", "2022-06-03T17:07:52.5Z", window=HOUR, error="no prices", retry={"in": "5m"}
        ),
        entry("AllocationSetTotaled", "2022-06-03T17:07:51.1Z", window=None),
    ],
    "asset": [],
    "cloudCost": [
        entry("CloudCostSetSaved", "2022-06-03T17:00:00Z", size=5, window=HOUR),
        entry("CloudCostIngestErrorEvent", "2022-06-03T16:00:00Z", provider="aws"),
        entry("CloudCostSynced", "2022-06-03T15:00:00Z", error={}),
    ],
    "customCost": [],
    "counters": {
        "AllocationSetComputeError": 1,
        "AllocationSetDeletedEvent": 50,
        "AllocationSetSaved": 2573,
        "AllocationSetTotaled": 2711,
        "CloudCostIngestErrorEvent": 1,
        "CloudCostSetSaved": 7,
        "CloudCostSynced": 1,
        "DiagnosticRun": 3,
    },
}
TEXT = json.dumps({"code": 200, "data": DATA}, indent=2) + "\n"
KINDS = [item["kind"] for name in ("allocation", "cloudCost") for item in DATA[name]]
ERRORS = [KINDS[2], KINDS[5], KINDS[6]]  # an error kind, a kind that ends in Error, and an error in the metadata


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "night.json"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def kinds(out: str) -> list[str]:
    """Return the kinds in the first table of an output."""
    return [line.split()[1] for line in out.split("\n\n")[0].splitlines()[1:]]


def test_json_of_a_foreign_log_is_unchanged(run: Run, path: str) -> None:
    """From a program and from a file."""
    with canned(raw_response("200 OK", TEXT.encode())) as (url, _):
        from_program = run("log", "--json", url)
    assert json.loads(from_program.out) == json.loads(TEXT)
    assert list(json.loads(from_program.out)["data"]) == list(DATA)
    assert run("log", "--json", path) == from_program


def test_table_of_a_foreign_log_has_every_event(run: Run, path: str) -> None:
    ran = run("log", path)
    assert (ran.code, kinds(ran.out)) == (0, KINDS)
    assert '{"error":"no prices","retry":{"in":"5m"}}' in ran.out
    assert ran.out.endswith("DiagnosticRun                  3\n")


def test_errors_of_a_foreign_log_are_selected(run: Run, path: str) -> None:
    ran = run("log", "--errors", "--exit-code", path)
    assert (ran.code, kinds(ran.out)) == (3, ERRORS)


def test_tail_shows_a_foreign_log_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = iter([None, None])

    def sleep(seconds: float) -> None:
        if next(waits, "end") == "end":
            raise KeyboardInterrupt

    monkeypatch.setattr(tail_module, "sleep", sleep)
    with canned(raw_response("200 OK", TEXT.encode())) as (url, _):
        ran = run("tail", url)
    assert (kinds(ran.out), ran.err) == (KINDS[::-1], "")


def test_check_names_unknown_kinds_and_metadata(run: Run, path: str) -> None:
    ran = run("check", path)
    assert (ran.code, ran.err) == (0, "")
    first, unknown, metadata = ran.out.splitlines()
    assert first.endswith("allocation 4, asset 0, cloudCost 3, customCost 0; 5347 events of 8 kinds counted")
    assert "AllocationSetDeletedEvent, CloudCostIngestErrorEvent, CloudCostSynced, DiagnosticRun" in unknown
    assert "AllocationSetComputeError.error, AllocationSetComputeError.retry" in metadata


def test_strict_check_refuses_a_foreign_log(run: Run, path: str) -> None:
    ran = run("check", "--strict", path)
    assert (ran.code, ran.out) == (3, "")
    assert "data.allocation[0].metadata: the key 'store'" in ran.err


def test_merge_keeps_a_foreign_log() -> None:
    """A single log is unchanged; with another log, its events keep their order and the counters are added up."""
    own = log_of(Event("AllocationSetSaved", 1, 5), Event("AssetSetSaved", 2, 6))
    with canned(raw_response("200 OK", TEXT.encode())) as (url, _):
        assert merge(RemoteLog(url)).document().to_dict()["data"] == DATA
        merged = merge(own, RemoteLog(url)).document()
    assert [event.kind for event in merged.lists["allocation"]] == [*KINDS[:4], "AllocationSetSaved"]
    assert merged.lists["cloudCost"] == read_document(TEXT).lists["cloudCost"]
    assert merged.counters["AllocationSetSaved"] == 2574
    assert merged.counters["DiagnosticRun"] == 3
    assert read_document(merged.to_json()) == merged
