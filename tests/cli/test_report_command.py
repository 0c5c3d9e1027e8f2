"""`otel-kcevents report`: where it writes, whose report it is, and what it does if something cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clients import canned, raw_response
from conftest import clean_environment
from journals import write_nights
from serving import Run

from otel_kcevents import start_http_server
from otel_kcevents.model.document import read_document
from otel_kcevents.model.report_form import FIRST_LINE, LOG_HEADING, log_in_report


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return write_nights(tmp_path / "kcevents.db")


def test_report_is_printed_and_its_log_can_be_read(run: Run, journal: Path, tmp_path: Path) -> None:
    done = run("report", str(journal))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{FIRST_LINE}\n")
    assert done.out.endswith("}\n")
    assert f"journal: {journal}\njournal can be written: ok\n" in done.out
    (tmp_path / "report.txt").write_text(done.out, encoding="utf-8")
    assert run("log", str(tmp_path / "report.txt")).out == run("log", str(journal)).out
    assert run("check", "--strict", str(tmp_path / "report.txt")).code == 0


def test_report_is_written_to_a_new_file(run: Run, journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    done = run("report", str(journal), "-o", str(path))
    assert (done.code, done.out, done.err) == (0, "", "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_document(log_in_report(path.read_bytes())).counters["AssetSetSaved"] == 5


def test_existing_file_is_replaced_only_by_force(run: Run, journal: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    path.write_text("mine")
    done = run("report", str(journal), "-o", str(path))
    assert (done.code, path.read_text()) == (1, "mine")
    assert done.err == f"otel-kcevents: {path} exists; choose another file, or replace it with --force\n"
    assert run("report", str(journal), "-o", str(path), "--force").code == 0
    assert path.read_text().startswith(FIRST_LINE)


def test_missing_folder_is_an_error(run: Run, journal: Path, tmp_path: Path) -> None:
    done = run("report", str(journal), "-o", str(tmp_path / "missing" / "report.txt"))
    assert done.code == 1
    assert done.err.endswith("report.txt: No such file or directory\n")


def test_several_sources_make_one_report(run: Run, journal: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write_nights(tmp_path / "other" / "kcevents.db")
    out = run("report", str(journal), str(other)).out
    assert f"journal: {journal}\n" in out
    assert f"journal: {other}\n" in out
    assert read_document(log_in_report(out.encode())).counters["AssetSetSaved"] == 10


def test_unreadable_source_is_an_error_and_in_the_report(run: Run, tmp_path: Path) -> None:
    done = run("report", str(tmp_path / "missing.txt"))
    assert done.code == 1
    assert done.out.startswith(FIRST_LINE)
    assert done.err.startswith("otel-kcevents: the report was written without a log: cannot read ")


def test_source_that_is_not_a_document_is_an_error_and_in_the_report(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text('{"code":')
    done = run("report", str(tmp_path / "log.json"))
    assert done.code == 1
    assert done.out.startswith(FIRST_LINE)
    assert "log.json is not a log document" in done.err


def test_remaining_secret_is_an_error(run: Run, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a report may be a secret, but its first line is not."""
    path = journal.with_name("report.txt")
    document = b'{"code":200,"data":{"allocation":[],"asset":[],"sesames":[],"counters":{}}}'
    path.write_bytes(document)
    monkeypatch.setenv("DB_PASSWORD", "sesames")
    done = run("report", str(path), "-o", str(path.with_name("new.txt")))
    assert (done.code, done.out) == (1, "")
    assert "the value of the variable DB_PASSWORD" in done.err
    assert "sesames" not in done.err
    assert not path.with_name("new.txt").exists()


REPORT = f"{FIRST_LINE}\nwritten: by the program \x1b[2J sesame-5\n\n{LOG_HEADING}\n{{}}\n".encode()


def test_running_program_reports_about_itself(run: Run, tmp_path: Path) -> None:
    with canned(raw_response("200 OK", REPORT)) as (url, requests):
        assert run("report", url, "-o", str(tmp_path / "report.txt")).code == 0
    assert requests[0] == "GET /model/etl/report HTTP/1.1"
    assert (tmp_path / "report.txt").read_text().splitlines()[1] == "written: by the program \\u001b[2J sesame-5"


def test_report_of_a_running_program_is_checked_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the command may have secrets that the program does not know."""
    monkeypatch.setenv("API_KEY", "sesame-5")
    with canned(raw_response("200 OK", REPORT)) as (url, _):
        done = run("report", url)
    assert (done.code, done.out) == (1, "")
    assert "the value of the variable API_KEY" in done.err


def test_command_reports_on_a_program_without_a_report(run: Run) -> None:
    with start_http_server(0, max_load=1, report=False) as server:
        done = run("report", server.url)
    assert done.code == 0
    assert "by the command otel-kcevents" in done.out
    assert f"log of: {server.url}\n" in done.out


def test_closed_standard_output_is_an_error(journal: Path) -> None:
    command = f"{sys.executable} -m otel_kcevents report {journal} > /dev/full"
    done = subprocess.run(
        command, shell=True, env=clean_environment(), capture_output=True, text=True, check=False, cwd=os.getcwd()
    )
    assert (done.returncode, done.stderr) == (1, "otel-kcevents: cannot write: [Errno 28] No space left on device\n")
