"""`build_report()`: its sections, their limits, and that nothing stops a report but a secret."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import run_program
from journals import DAYS, FAILURE, NIGHT, run_of, write, write_nights

from otel_kcevents import Event, EventLog, Failure, Journal, read_document
from otel_kcevents.cli.sources import SavedLog
from otel_kcevents.model.problems import logger
from otel_kcevents.model.report_form import FIRST_LINE, log_in_report
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.report.build import MAX_ERRORS, MAX_RUNS, build_report, check_report
from otel_kcevents.report.facts import Facts
from otel_kcevents.report.secrets import ReportRefusedError

FACTS = Facts("a test", (("tracer provider", "of jdoe\x1b"),), problems=("a setting of jdoe",))


def report(source: Any, **environ: str) -> str:
    return build_report(source, FACTS, environ={"USER": "jdoe", **environ})


def section(text: str, title: str) -> list[str]:
    """Return the lines of a section."""
    return text.partition(f"\n== {title} ==\n")[2].partition("\n\n== ")[0].splitlines()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(write_nights(tmp_path / "kcevents.db"))


def test_report_has_its_sections_in_order(journal: Journal) -> None:
    text = report(journal)
    assert text.startswith(f"{FIRST_LINE}\nwritten: 20")
    assert re.findall("^== (.*) ==$", text, re.M) == [
        *("Versions", "Platform", "Settings", "Providers and exporters", "Checks", "Runs", "Errors", "Warnings"),
        *("Source", "Log"),
    ]


def test_log_document_is_at_the_end(journal: Journal) -> None:
    """With escapes for characters that control a terminal."""
    document = log_in_report(report(journal).encode())
    assert b"\\u001b" in document
    assert read_document(document) == journal.document()


def test_report_on_a_report_keeps_the_time_of_the_log(journal: Journal, tmp_path: Path) -> None:
    """A report that is written later does not make the log newer."""
    file = tmp_path / "report.txt"
    for written in ("2022-06-04T10:00:00Z", "2023-01-01T00:00:00Z"):
        source = SavedLog(str(file)) if file.exists() else journal
        file.write_text(re.sub("(?m)^written: [^ ]+", f"written: {written}", report(source)), encoding="utf-8")
    assert "log as of: 2022-06-04T10:00:00Z" in section(file.read_text(encoding="utf-8"), "Source")
    assert SavedLog(str(file)).as_of() == parse_time("2022-06-04T10:00:00Z")


def test_runs_are_listed_with_how_they_ended(journal: Journal) -> None:
    lines = section(report(journal), "Runs")
    assert lines[:3] == [
        "runs: 5",
        "2022-06-03T22:00:07Z  killed  nightly (etl.py)  service costs  process 7  events 1, errors 0",
        "  run eeeeeeeeeeeeeeee  parent dddddddddddddddd",
    ]
    assert len(lines) == 11


def test_errors_are_listed_with_their_traces(journal: Journal) -> None:
    assert section(report(journal), "Errors") == [
        "2022-06-03T22:00:00.000000004Z  AllocationSetComputeError",
        f"  trace {0xABC:032x}  span {1:016x}  run bbbbbbbbbbbbbbbb",
        f"2022-06-03T22:00:00.000000003Z  AllocationSetComputeError  total  window {DAYS[0]}",
        "  ValueError: größe 円 🙂 \\u001b",
        "  run bbbbbbbbbbbbbbbb",
    ]


def test_warnings_of_other_processes_are_listed(journal: Journal) -> None:
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute("INSERT INTO problem (run, time, message) VALUES ('b', ?, 'lost 3 spans of jdoe')", (NIGHT,))
    logger.warning("mine\nalone")
    lines = section(report(journal), "Warnings")
    assert lines[0].endswith("Z  this process  mine\\nalone")
    assert "2022-06-03T22:00:00Z  run b  lost 3 spans of ~" in lines


def test_warnings_of_this_process_are_listed_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "kcevents.db")
    logger.warning("only once")
    journal(Event("AssetSetSaved", 1))
    assert sum("only once" in line for line in section(report(journal), "Warnings")) == 1


def test_newest_runs_and_errors_are_listed(tmp_path: Path) -> None:
    for number in range(MAX_RUNS + 2):
        run = run_of("a", started=number)._replace(id=f"{number:016x}")
        write(tmp_path / "kcevents.db", run, *[Event("AssetSetComputeError", number, failure=FAILURE)] * 3)
    text = report(Journal(tmp_path / "kcevents.db"))
    runs, errors = section(text, "Runs"), section(text, "Errors")
    assert runs[0] == f"runs: {MAX_RUNS + 2}, of which the newest {MAX_RUNS} are listed"
    assert len(runs) == 1 + 2 * MAX_RUNS
    assert sum(not line.startswith(" ") for line in errors) == MAX_ERRORS


def test_log_in_memory_has_no_runs_or_traces() -> None:
    log = EventLog()
    log.append(Event("AssetSetComputeError", 1, failure=Failure("E", "password=sesame", "save")))
    log.append(Event("AllocationSetReconcileError", 2))
    log.append(Event("AssetSetSaved", 3))
    text = report(log)
    assert section(text, "Runs")[0].startswith("this process: ")
    assert section(text, "Runs")[1] == "runs: unknown: the source is not a journal"
    assert section(text, "Errors") == [
        "1970-01-01T00:00:00.000000002Z  AllocationSetReconcileError",
        "1970-01-01T00:00:00.000000001Z  AssetSetComputeError  save",
        "  E: password=[redacted]",
    ]
    assert section(text, "Checks")[1] == "journal: not checked: the source is not a journal"


def test_attached_journal_is_reported(tmp_path: Path) -> None:
    log = EventLog()
    log.attach(Journal(tmp_path / "kcevents.db"))
    log.append(Event("AssetSetSaved", 1))
    assert section(report(log), "Runs")[0] == "runs: 1"


def test_facts_and_settings_are_redacted(journal: Journal) -> None:
    text = report(journal, OTEL_SERVICE_NAME="of jdoe")
    assert section(text, "Providers and exporters") == ["tracer provider: of ~\\u001b"]
    assert section(text, "Settings") == ["OTEL_SERVICE_NAME: of ~", "problem: a setting of ~"]


def test_program_without_configure_is_described() -> None:
    out, _ = run_program("report_without_configure")
    assert "by a program that does not call configure()" in out
    assert section(out, "Providers and exporters") == ["configure(): not called in this process"]
    assert section(out, "Errors") == ["none"]
    assert section(out, "Settings") == ["variables: none"]


def test_middle_of_a_long_exception_is_omitted(journal: Journal) -> None:
    def deep(number: int) -> None:
        if not number:
            raise ValueError(f"the end of jdoe {'x' * 3000}")
        try:
            deep(number - 1)
        except ValueError as error:
            raise ValueError(f"{number} {'y' * 3000}") from error

    with pytest.raises(ValueError, match="30") as caught:
        deep(30)
    text = build_report(journal, FACTS, error=caught.value, environ={"USER": "jdoe"})
    lines = section(text, "Exception")
    assert "  [...]" in lines
    assert lines[0] == "  Traceback (most recent call last):"
    assert any(line.startswith("  ValueError: the end of ~ ") for line in lines)
    assert lines[-1].startswith("  ValueError: 30 ")
    assert sum(map(len, lines)) < 45_000


def test_secret_on_two_lines_of_an_exception_is_removed() -> None:
    text = build_report(EventLog(), FACTS, error=ValueError("sesame-\nfive"), environ={"API_KEY": "sesame-five"})
    assert section(text, "Exception") == ["  ValueError: [redacted]"]


class Broken:
    """A source that cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def counts(self, *selection: object) -> dict[str, int]:
        raise self.error

    document = runs = events = counts


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("no route")])
def test_report_is_written_if_the_log_cannot_be_read(error: Exception) -> None:
    text = report(Broken(error))
    assert section(text, "Runs") == [f"not available: {type(error).__name__}: no route"]
    assert section(text, "Errors") == section(text, "Runs")
    assert read_document(log_in_report(text.encode())).counters == {}


def test_journal_that_cannot_be_read_is_checked(tmp_path: Path) -> None:
    (tmp_path / "kcevents.db").write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    checks = section(report(Journal(tmp_path / "kcevents.db")), "Checks")
    assert checks[1] == f"journal: {tmp_path}/kcevents.db"
    assert checks[2].startswith("journal can be written: problem: ")


def test_long_messages_limit_the_listed_events() -> None:
    """Removing secrets takes time, so it is bounded."""
    log = EventLog()
    for number in range(140):
        log.append(Event("AssetSetComputeError", number, failure=Failure("E", f"{number} {'. ' * 2000}")))
        log.append(Event("AssetSetSaved", number))
    text = report(log)
    assert section(text, "Source")[-1] == "listed events: the newest 64 of each kind, because the messages are long"
    document = read_document(log_in_report(text.encode()))
    assert len(document.lists["asset"]) == 128
    assert document.counters == log.counts()


@pytest.mark.parametrize("in_file", [False, True])
def test_report_with_a_remaining_secret_is_refused(tmp_path: Path, in_file: bool) -> None:
    """A kind is not redacted, because it is the key of a counter."""
    log = EventLog()
    log.add_set("cloud", "Sesame5Set")
    if in_file:
        log.attach(Journal(tmp_path / "kcevents.db"))
    log.append(Event("Sesame5SetSaved", 1))
    with pytest.raises(ReportRefusedError, match="API_KEY"):
        report(log, API_KEY="Sesame5Set")


@pytest.mark.parametrize("word", ["redacted", "Warnings", "AllocationSetSaved", "counters", "grpcio"])
def test_fixed_words_of_reports_are_not_secrets(journal: Journal, word: str) -> None:
    assert report(journal, DB_PASSWORD=word, API_KEY="nightly", OTEL_SERVICE_NAME="x").startswith(FIRST_LINE)


def test_report_of_another_process_is_checked(journal: Journal) -> None:
    text = report(journal, OTEL_SERVICE_NAME="sesame-5")
    check_report(text, {"DB_PASSWORD": "sesame-6"})
    with pytest.raises(ReportRefusedError, match="DB_PASSWORD"):
        check_report(text, {"DB_PASSWORD": "sesame-5"})
