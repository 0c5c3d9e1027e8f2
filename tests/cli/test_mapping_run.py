"""`otel-kcevents mapping run`: the program as it is without it, and what each entry recorded in all its processes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TESTS, clean_environment

from otel_kcevents.cli.main import main

PROGRAM = TESTS / "programs" / "mapped_ends.py"
NO_EXPORT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
COMPLETE = "every entry is recorded, and no size or window that the mapping names is missing"
SAVE = '[[functions]]\ntarget = "mapped_ends.py:save"\nrecord = "allocation.save"\nwindow = "window"\nsize = "rows"\n'
LOAD = '[[functions]]\ntarget = "__main__:load"\nrecord = "allocation.load"\nsize = "return"\n'
WITHOUT_SITE = (sys.executable, "-S", "-c")
"""The beginning of a command that does not load the plugin."""
NEVER = '[[functions]]\ntarget = "__main__:never"\nrecord = "asset.compute"\n'

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """A function that runs the command with a mapping and a program, and returns what they wrote."""
    for name, value in clean_environment(COVERAGE_PROCESS_CONFIG="", **NO_EXPORT).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(mapping: str, *program: str, code: int = 0, options: tuple[str, ...] = ()) -> tuple[str, str]:
        (tmp_path / "kcevents.toml").write_text(mapping, encoding="utf-8")
        command = program if len(program) != 1 else (sys.executable, str(PROGRAM), *program)
        assert main(["mapping", "run", *options, "kcevents.toml", "--", *command]) == code
        written = capfd.readouterr()
        return written.out, written.err

    return run


def test_calls_of_all_processes_are_counted(run: Run) -> None:
    save = SAVE.replace('"window"', '"kept.day"') + 'keep = { day = "return" }\n'  # None
    out, err = run(save + LOAD + NEVER, "pool", code=5)
    assert out == "10\n"
    first, *lines = err.splitlines()
    assert first in ("kcevents.toml: 2 processes", "kcevents.toml: 3 processes")  # one worker may do all the work
    assert lines == [
        "ENTRY         FUNCTION        CALLS  EVENTS  ERRORS  NO SIZE  NO WINDOW",
        "functions[0]  __main__:save       1       1       0        0          1",
        "functions[1]  __main__:load      10      10       0        1          0",
        "functions[2]  __main__:never      0       0       0        0          0",
        "the program exited with 5",
        "not everything is recorded:",
        "  functions[0] (mapped_ends.py:save): 1 event without a window",
        "  functions[1] (__main__:load): 1 event without a size",
        "  functions[2] (__main__:never): no function was called",
    ]


def test_calls_without_events_count_in_spawned_processes(run: Run) -> None:
    _, err = run('[[functions]]\ntarget = "__main__:load"\nrecord = "allocation.compute"\n', "spawn")
    assert "functions[0]  __main__:load      2       0       0        0          0" in err.splitlines()


@pytest.mark.parametrize(
    ("how", "code", "end"), [("SIGTERM", 143, "was killed by SIGTERM"), ("SIGINT", 7, "exited with 7")]
)
def test_signals_are_passed_to_the_program(run: Run, how: str, code: int, end: str) -> None:
    """The report says how the program ended."""
    _, err = run(SAVE, how, code=code)
    assert err.splitlines()[-2:] == [f"the program {end}", COMPLETE]


def test_events_of_a_killed_process_may_not_be_counted(run: Run) -> None:
    _, err = run(SAVE, "gone")
    assert err.splitlines()[2:4] == [
        "functions[0]  __main__:save     63      63       0        0          0",
        "not counted: 38 events of processes that were killed",
    ]


def test_standard_input_and_output_are_those_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "kcevents.toml").write_text(SAVE, encoding="utf-8")
    command = [sys.executable, "-m", "otel_kcevents", "mapping", "run", "kcevents.toml", "-o", "report.txt", "--"]
    finished = subprocess.run(
        [*command, sys.executable, PROGRAM, "upper"],
        input="rows",
        cwd=tmp_path,
        env=clean_environment(COVERAGE_PROCESS_CONFIG="", **NO_EXPORT),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert (finished.stdout, finished.stderr) == ("ROWS\n", "")
    assert (tmp_path / "report.txt").read_text().splitlines()[-1] == COMPLETE


def test_report_as_json(run: Run, tmp_path: Path) -> None:
    """The temporary journal is removed."""
    assert run(SAVE, "end", options=("--json", "-o", "report.json")) == ("", "")
    data = json.loads((tmp_path / "report.json").read_text())["data"]
    assert (data["mapping"], data["exitCode"], len(data["runs"]), data["running"]) == ("kcevents.toml", 0, 1, 0)
    assert (data["uncounted"], data["warnings"], data["findings"]) == (0, [], [])
    counts = {"calls": 1, "events": 1, "errors": 0, "sizesMissing": 0, "windowsMissing": 0}
    functions = [{"function": "__main__:save", **counts}]
    entry = {"entry": "functions[0]", "target": "mapped_ends.py:save", "functions": functions, "findings": []}
    assert data["entries"] == [entry]
    assert {path.name for path in tmp_path.iterdir()} == {"kcevents.toml", "report.json"}


def test_journal_of_the_user_is_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls of earlier programs are not reported."""
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", "kcevents.db")
    for _ in range(2):
        _, err = run(SAVE, "end")
        assert err.splitlines()[2] == "functions[0]  __main__:save      1       1       0        0          0"
    assert (tmp_path / "kcevents.db").exists()


def test_problems_are_reported_without_any_event(run: Run) -> None:
    """Also those that a process finds before it is killed."""
    mapping = f'{LOAD}window = "day"\n{SAVE.replace("window =", "windou =")}'
    _, err = run(mapping, "killed", code=137)
    *_, heading, first, second, end, _, entry, mistakes = err.splitlines()
    assert heading == "warnings:"
    assert "functions[1].windou (mapped_ends.py:save): 'windou' is not a key; did you mean 'window'?" in first
    assert "'day' is not an argument of load; a path starts from window" in second
    assert end == "the program was killed by SIGKILL"
    unknown = "it is not known which functions are matched"
    assert entry == f"  functions[0] (__main__:load): {unknown}, 1 warning about its functions"
    assert mistakes == "  1 mistake in the mapping"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_arguments_of_the_program_are_not_changed(run: Run, options: tuple[str, ...]) -> None:
    out, _ = run(SAVE, "/bin/echo", "--", "-h", "--", "--json", options=("-o", "report.txt", *options))
    assert out == "-- -h -- --json\n"


def test_program_is_needed(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["kcevents.toml"], ["kcevents.toml", "--"]):
        with pytest.raises(SystemExit, match="2"):
            main(["mapping", "run", *arguments])
    assert capfd.readouterr().err.count("the following arguments are required: PROGRAM") == 2


@pytest.mark.parametrize("program", ["python -m etl", "python etl.py --json", "python -c 'import etl'"])
def test_options_of_the_program_need_two_dashes(run: Run, capfd: pytest.CaptureFixture[str], program: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["mapping", "run", "-o", "report.txt", "kcevents.toml", *shlex.split(program)])
    assert capfd.readouterr().err.endswith(f"error: write -- before the program: -- {program}\n")


def test_program_without_options_needs_no_dashes(run: Run, tmp_path: Path) -> None:
    run(SAVE, "end")
    assert main(["mapping", "run", "kcevents.toml", "-o", "report.txt", sys.executable, str(PROGRAM), "end"]) == 0
    assert (tmp_path / "report.txt").read_text().splitlines()[-1] == COMPLETE


def test_journal_that_cannot_be_read(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("not a journal")
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", "notes.txt")
    _, err = run(SAVE, "end")
    assert f"  {tmp_path}/notes.txt is not a journal, or is damaged" in err
    assert err.splitlines()[-2:] == ["not everything is recorded:", "  the journal cannot be read"]


def test_process_that_still_runs_is_reported(run: Run, tmp_path: Path) -> None:
    out, err = run(SAVE, "left")
    os.kill(int(out), signal.SIGKILL)
    assert err.splitlines()[-2:] == ["not everything is recorded:", "  1 process still running"]


def test_exit_code_3_if_not_everything_is_recorded(run: Run) -> None:
    run(SAVE, *WITHOUT_SITE, "pass", options=("--exit-code",), code=3)
    run(SAVE, *WITHOUT_SITE, "raise SystemExit(7)", options=("--exit-code",), code=7)


def test_call_without_an_event_is_reported(run: Run) -> None:
    """The process ends before the call does."""
    _, err = run(f'{SAVE}[[functions]]\ntarget = "mapped_ends.py:main"\nrecord = "asset.save"\n', "killed", code=137)
    assert err.splitlines()[-1] == "  functions[1] (mapped_ends.py:main): no call recorded an event"


def test_program_that_does_not_load_the_mapping(run: Run) -> None:
    _, err = run(SAVE, *WITHOUT_SITE, "pass")
    assert "no process of the program has loaded the mapping; is otel-kcevents[plugin] installed for" in err


@pytest.mark.parametrize(
    ("mapping", "message"), [("functions = [", "kcevents.toml: "), ("", "kcevents.toml has no functions")]
)
def test_mapping_without_functions_is_refused(run: Run, mapping: str, message: str) -> None:
    _, err = run(mapping, "end", code=3)
    assert message in err


def test_unreadable_mapping_is_reported(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "run", "no_such.toml", "--", "true"]) == 1
    assert "no_such.toml: the file does not exist" in capfd.readouterr().err


def test_report_that_cannot_be_written_is_refused(run: Run) -> None:
    out, err = run(SAVE, "pool", options=("-o", "no_such_folder/report.txt"), code=1)
    assert (out, err) == ("", "otel-kcevents: cannot write no_such_folder/report.txt: No such file or directory\n")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("functions: []", "OTEL_CONFIG_FILE has a mapping of its own"),
        ("log_file: false", "OTEL_CONFIG_FILE sets log_file: false"),
    ],
)
def test_config_file_with_other_options_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, message: str
) -> None:
    config = f'file_format: "1.0"\ninstrumentation/development:\n  python:\n    kcevents:\n      {option}\n'
    (tmp_path / "otel.yaml").write_text(config)
    monkeypatch.setenv("OTEL_CONFIG_FILE", "otel.yaml")
    _, err = run(SAVE, "end", code=2)
    assert err.startswith(f"otel-kcevents: {message}")
