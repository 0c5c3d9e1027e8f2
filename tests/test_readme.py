"""Every block of the README and the docs is run, and what it says comes out is what comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_kcevents import EventLog, RecordSet, start_http_server
from otel_kcevents.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS: list[list[tuple[str, str]]] = [
    re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S) for page in PAGES
]
PROGRAMS = [
    (code, blocks[number + 1][1])
    for blocks in BLOCKS
    for number, (language, code) in enumerate(blocks)
    if language == "python" and blocks[number + 1][0] in ("json", "text")
]
COMMANDS = [line.partition("  ")[0] for language, code in BLOCKS[0] if language == "sh" for line in code.splitlines()]


def without_times(text: str) -> str:
    """The text with the times of day, which no two runs share, replaced."""
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "TIME", text)


def test_every_program_has_its_output() -> None:
    """No Python block stands alone, unseen by the test below."""
    assert len(PROGRAMS) == sum(language == "python" for blocks in BLOCKS for language, _ in blocks)


@pytest.mark.parametrize(("code", "output"), PROGRAMS)
def test_a_program_prints_what_the_readme_says(code: str, output: str) -> None:
    """A program run as it stands, warnings being errors, prints the block that follows it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (without_times(done.stdout), done.stderr) == (without_times(output), "")


def test_the_first_command_runs_the_main_job() -> None:
    """Behind its installation the first of the two commands runs the example, which ends well."""
    command = next(command for command in COMMANDS if "examples/" in command).rpartition("&& ")[2]
    python, *arguments = command.split()
    assert python == ".venv/bin/python"
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "AllocationSetReconcileError" in done.stdout


def test_the_second_command_is_the_one_that_is_checked() -> None:
    """What a change has to pass installs and tests as the README says."""
    command = next(command for command in COMMANDS if "pytest" in command)
    install, _, test = command.rpartition(" && ")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n{install}\n" in script
    assert f"\n{test}" in script


def test_the_terminals_commands_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`log` shows a running program's log and `check` validates its document."""
    log = EventLog()
    RecordSet("asset", "AssetSet", log=log).emit("saved", size=29)
    commands = [command.split() for command in COMMANDS if command.startswith("otel-kcevents ")]
    assert [command[1] for command in commands] == ["log", "tail", "check"]
    monkeypatch.chdir(tmp_path)
    with start_http_server(0, log=log) as server:
        assert main([*commands[0][1:], server.url]) == 0
        assert "AssetSetSaved" in capsys.readouterr().out
        assert main([*commands[0][1:], "--json", server.url]) == 0
    (tmp_path / commands[2][2]).write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(commands[2][1:]) == 0
