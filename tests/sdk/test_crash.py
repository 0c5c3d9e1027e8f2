"""`configure(report_on_crash=...)`: a report if an uncaught exception ends the program, whose end does not change."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import run_program

from otel_kcevents.model.document import read_document
from otel_kcevents.model.report_form import log_in_report

WARNING = re.compile(r"otel_kcevents: an exception ends the program; a bug report is in (.*)\n")


def reports(folder: Path) -> list[Path]:
    return sorted(folder.glob("kcevents-report-*"))


def without_ids(output: str) -> str:
    """Replace what differs between two runs."""
    return re.sub(r"0x[0-9a-f]+", "0x", output)


@pytest.mark.parametrize("name", ["crash", "crash_with_own_hook"])
def test_exception_is_reported_and_ends_the_program_as_before(tmp_path: Path, name: str) -> None:
    """The program prints one more line, a warning with the path."""
    out, err = run_program("crash", name, os.path.relpath(tmp_path), code=1)
    (path,) = reports(tmp_path)
    assert WARNING.findall(err) == [str(path)]
    plain_out, plain_err = run_program("crash", name, code=1)
    assert (out, without_ids(WARNING.sub("", err))) == (plain_out, without_ids(plain_err))


def test_report_has_the_exception_and_the_log(tmp_path: Path) -> None:
    run_program("crash", "crash", str(tmp_path), code=1)
    (path,) = reports(tmp_path)
    assert re.fullmatch(r"kcevents-report-crash-\d{8}T\d{6}Z-\d+\.txt", path.name)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^written: .*Z by the program crash.py, process \d+, which an exception ends$", text, re.M)
    assert "\n  RuntimeError: cannot save\n" in text
    assert "sesame" not in text
    assert read_document(log_in_report(text.encode())).counters == {"AssetSetSaved": 1}


@pytest.mark.parametrize(
    ("name", "code"),
    [("end", 0), ("exit_with_3", 3), ("interrupt", -2), ("crash_in_thread", 0), ("crash_in_child", 0)],
)
def test_other_ends_are_not_reported(tmp_path: Path, name: str, code: int) -> None:
    """Exceptions of threads and of multiprocessing children do not end the program."""
    run_program("crash", name, str(tmp_path), code=code)
    assert reports(tmp_path) == []


def test_forked_process_reports_its_own_exception(tmp_path: Path) -> None:
    out, _ = run_program("crash", "crash_in_fork", str(tmp_path))
    assert out == "1\n"
    assert len(reports(tmp_path)) == 1


def test_variable_names_the_folder(tmp_path: Path) -> None:
    run_program("crash", "crash", code=1, OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH=str(tmp_path))
    assert len(reports(tmp_path)) == 1


def test_last_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    run_program("crash", "configure_later", str(tmp_path), code=1)
    assert (len(reports(tmp_path)), len(reports(tmp_path / "later"))) == (0, 1)


def warnings_of(folder: Path, name: str, **environ: str) -> list[str]:
    _, err = run_program("crash", name, str(folder), code=1, **environ)
    return re.findall("^otel_kcevents: (.*)$", err, re.M)


def test_missing_folder_is_a_warning_at_once(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, "crash_without_folder")
    assert re.fullmatch("report_on_crash=.* is not a folder; create it, or no report is written", warning)


def test_folder_that_is_deleted_is_a_warning(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, "crash_without_the_folder")
    assert warning.startswith(f"cannot write a bug report to {tmp_path}: [Errno 2]")


def test_full_folder_is_a_warning(tmp_path: Path) -> None:
    """A program that is restarted again and again does not fill the disk."""
    for number in range(100):
        (tmp_path / f"kcevents-report-{number}.txt").touch()
    (warning,) = warnings_of(tmp_path, "crash")
    assert warning == f"cannot write a bug report to {tmp_path}: the folder has 100 reports; remove some"


def test_report_with_a_remaining_secret_is_refused(tmp_path: Path) -> None:
    (warning,) = warnings_of(tmp_path, "crash_with_secret_kind", API_KEY="Sesame5Set")
    assert "the value of the variable API_KEY" in warning
    assert reports(tmp_path) == []


def test_argument_that_is_not_a_path_is_refused() -> None:
    out, _ = run_program("crash", "configure_with_a_number")
    assert out == "report_on_crash must be the path of a folder or None, got 3\n"
