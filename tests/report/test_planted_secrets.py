"""Reports about a program whose environment and exceptions are full of secrets hold none of them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest
from conftest import clean_environment, run_program
from programs.planted_secrets import HEADER_TOKEN, PASSWORD, PLANTED, environment

from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.report_form import log_in_report


class Night(NamedTuple):
    """What a run of the program left, and the environment in which it ran."""

    journal: Path
    crash_report: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A run of the program, which an exception ends."""
    folder = tmp_path_factory.mktemp("night")
    journal = folder / "kcevents.db"
    variables = {
        **environment(str(folder / "plantedperson")),
        "OTEL_PYTHON_KCEVENTS_LOG_FILE": str(journal),
        "OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH": str(folder),
    }
    run_program("planted_secrets", code=1, **variables)
    (report,) = folder.glob("kcevents-report-*")
    return Night(journal, report.read_text(encoding="utf-8"), variables)


def command(night: Night, *arguments: str) -> str:
    """Run the command in the environment of the program."""
    done = subprocess.run(
        [sys.executable, "-m", "otel_kcevents", *arguments],
        env=clean_environment(**night.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["of the command", "of the crash"])
def report(night: Night, request: pytest.FixtureRequest) -> str:
    """One of the two reports about the program."""
    return command(night, "report", str(night.journal)) if request.param == "of the command" else night.crash_report


def decoded(text: str) -> str:
    """Return a string in which everything that can be decoded is decoded."""
    found = [text, unquote(text), text.replace("\\\\", "\\").replace('\\"', '"')]
    for run in re.findall(r"[\w+/\-]{12,}", text):
        for start in range(4):
            part = run[start:][: len(run[start:]) // 4 * 4].replace("-", "+").replace("_", "/")
            found.append(base64.b64decode(part).decode("latin-1"))
    found += [bytes.fromhex(run[: len(run) // 2 * 2]).decode("latin-1") for run in re.findall("[0-9a-f]{12,}", text)]
    return "\n".join(found)


def test_report_holds_no_secret(report: str) -> None:
    text = decoded(report)
    assert [secret for secret in PLANTED if secret in text or secret[:-4] in text] == []


def test_log_is_shown_from_the_report(night: Night, report: str, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text(report, encoding="utf-8")
    shown = read_document(command(night, "log", "--json", str(path)))
    kept = read_document(command(night, "log", "--json", str(night.journal)))
    assert shown.counters == kept.counters

    def without_messages(document: Document) -> list[tuple[object, ...]]:
        return [(event.kind, event.time, event.window) for events in document.lists.values() for event in events]

    assert without_messages(shown) == without_messages(kept)


def test_report_is_still_useful(report: str) -> None:
    """Words that are not secrets are kept: hosts, windows, operations, short and ordinary values."""
    document = log_in_report(report.encode()).decode()
    assert "2024-09-18 does not add up" in document
    assert "OTEL_EXPORTER_OTLP_HEADERS: set\n" in report
    assert "OTEL_RESOURCE_ATTRIBUTES: set: service.name, owner.token\n" in report
    assert "db.example" in document or "[redacted]" in document
    assert json.loads(document)["code"] == 200


def test_truncated_secret_is_removed(report: str) -> None:
    assert "xxx" in report
    for secret in (PASSWORD, HEADER_TOKEN):
        assert secret[:8] not in report


def test_crash_report_has_the_exception(night: Night) -> None:
    exception = night.crash_report.partition("== Exception ==\n")[2].partition("\n== ")[0]
    assert "The above exception was the direct cause of the following exception:" in exception
    assert "  RuntimeError: 2024-09-19 does not add up" in exception
    assert "in reconcile" in exception


def test_home_folder_of_the_crash_is_hidden(night: Night) -> None:
    assert os.path.dirname(night.environment["HOME"]) in night.crash_report  # the folder of the journal
    assert "cannot open" in night.crash_report
