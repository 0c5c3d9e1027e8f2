"""`otel-kcevents mapping check`: what each entry matches, and why others match nothing."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_kcevents.cli.main import main

FILES = {
    "mc_costs.py": """
        import otel_kcevents
        print("the module runs")
        def load(window): return []
        def save(rows, window): pass
        class Reader:
            def read(self): pass
        class CsvReader(Reader): pass
        @otel_kcevents.allocation.save
        def decorated(rows): pass
        def size(call): return 1
        """,
    "mc_program.py": """
        import mc_no_such_module
        class Base: pass
        class Reader(Base):
            def load(self, window): pass
        def main(): pass
        raise AssertionError
        """,
    "mc_package/__init__.py": "",
    "mc_package/__main__.py": "def main(): pass\nraise AssertionError",
    "mc_broken.py": "def",
}
Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Check]:
    """A function that checks entries, given as their lines, and returns the lines of the report."""
    for name, source in FILES.items():
        lines = source.replace("\n        ", "\n")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(lines)
    monkeypatch.chdir(tmp_path)

    def check(*entries: str, options: tuple[str, ...] = (), code: int = 3) -> list[str]:
        text = "".join(f"[[functions]]\n{entry}\n" for entry in entries)
        (tmp_path / "kcevents.toml").write_text(text, encoding="utf-8")
        assert main(["mapping", "check", "kcevents.toml", *options]) == code
        return [] if code == 1 else capfd.readouterr().out.splitlines()

    yield check
    for name in [name for name in sys.modules if name.startswith("mc_")]:
        del sys.modules[name]


def entry(target: str, record: str = "allocation.load", *lines: str) -> str:
    return "\n".join([f'target = "{target}"', f'record = "{record}"', *lines])


def result(lines: list[str]) -> tuple[str, list[str]]:
    """Return the result and the details of a report about one entry."""
    heading, *rows, _ = lines
    start, details = heading.index("RESULT"), heading.index("DETAILS")
    return rows[0][start:details].strip(), [row[details:] for row in rows]


def test_matched_functions_are_shown_with_their_place(check: Check) -> None:
    """What the module prints is not on standard output."""
    path = list(sys.path)
    entries = entry("mc_costs:load"), entry("mc_costs:save", "allocation.save", 'window = "window"')
    assert check(*entries, code=0) == [
        "ENTRY         TARGET         RESULT   DETAILS",
        "functions[0]  mc_costs:load  matched  mc_costs:load mc_costs.py:4",
        "functions[1]  mc_costs:save  matched  mc_costs:save mc_costs.py:5",
        "kcevents.toml: 2 of 2 valid entries matched, 0 mistakes",
    ]
    assert sys.path == path
    assert not logging.getLogger("otel_kcevents").disabled


@pytest.mark.parametrize(
    ("checked", "word", "details"),
    [
        (entry("mc_costs:lod"), "not matched", "mc_costs has no function lod; did you mean 'load'?"),
        (entry("mc_cost:load"), "not importable", "No module named 'mc_cost'; did you mean 'mc_costs'?"),
        (entry("mc_costs:decorated"), "not matched", "decorated is already decorated by otel_kcevents"),
        (entry("mc_costs:load", "allocation.load", 'window = "widow"'), "not matched", "did you mean 'window'?"),
        (entry("mc_costs:CsvReader.read"), "matched", "mc_costs:CsvReader.read (only calls by this name)"),
        (entry("mc_costs:load", "allocation.load", 'size = "mc_costs:size"'), "matched", "mc_costs.py:4"),
        (
            entry("mc_costs:load", "allocation.load", 'size = "mc_costs:sise"'),
            "partly matched",
            "size: 'mc_costs:sise' does not exist",
        ),
        (entry("mc_cost*:save", "allocation.save"), "matched", "mc_costs:save mc_costs.py:5"),
        (entry("mc_c*:zzz"), "not matched", "mc_costs has no function zzz"),
        (entry("mc_costs.*:zzz"), "not matched", "no module matches mc_costs.*"),
        (entry("mc_program.py:main"), "matched", "mc_program:main mc_program.py:6"),
        (entry("mc_program.py:Reader.load"), "matched", "mc_program:Reader.load mc_program.py:5"),
        (entry("mc_program.py:Reader.save"), "not checked", "Reader may inherit it; files are not imported"),
        (entry("mc_program.py:mian"), "not matched", "mc_program has no function mian; did you mean 'main'?"),
        (entry("mc_broken.py:main"), "not importable", "mc_broken.py: invalid syntax"),
        (entry("mc_no_such.py:main"), "not matched", "no file here or on sys.path matches mc_no_such.py"),
        (entry("__main__:main"), "not checked", "name it with --main etl.py"),
    ],
)
def test_entry_has_a_result_and_details(check: Check, checked: str, word: str, details: str) -> None:
    found, lines = result(check(checked, code=0 if word == "matched" else 3))
    assert found == word
    assert details in " ".join(lines)


@pytest.mark.parametrize(
    ("program", "target", "word", "details"),
    [
        ("mc_program.py", "__main__:main", "matched", "__main__:main mc_program.py:6"),
        ("mc_program.py", "mc_program.py:main", "matched", "__main__:main mc_program.py:6"),
        ("mc_program.py", "__main__:mian", "not matched", "__main__ has no function mian; did you mean 'main'?"),
        ("mc_program.py", "mc_program:main", "not importable", "name __main__:main for it"),
        ("mc_program", "mc_program:main", "matched", "__main__:main mc_program.py:6"),
        ("mc_package", "mc_package.__main__:main", "matched", "__main__:main mc_package/__main__.py:1"),
    ],
)
def test_functions_of_a_program_are_matched_without_running_it(
    check: Check, program: str, target: str, word: str, details: str
) -> None:
    lines = check(entry(target), options=("--main", program), code=0 if word == "matched" else 3)
    found, shown = result(lines)
    assert found == word
    assert details in " ".join(shown)


def test_modules_that_a_glob_also_names_may_fail(check: Check) -> None:
    word, details = result(check(entry("mc_*:main", "allocation.compute"), options=("--main", "mc_package"), code=0))
    assert (word, details[0]) == ("matched", "__main__:main mc_package/__main__.py:1")
    assert "mc_program: ModuleNotFoundError: No module named 'mc_no_such_module'" in details


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("os:make*", "os:makedirs is skipped: {}"),
        ("os:get*", "3 functions are skipped: {}: os:get_exec_path, os:getenv, os:getenvb"),
        ("os:execl*", "4 functions are skipped: {}: os:execl, os:execle, os:execlp and 1 more"),
    ],
)
def test_functions_skipped_for_one_reason_are_one_line(check: Check, target: str, shown: str) -> None:
    reason = "functions of os are not instrumented, because recording a call may call them"
    assert result(check(entry(target, "allocation.compute"))) == ("not matched", [shown.format(reason)])


def test_mistakes_are_shown(check: Check) -> None:
    lines = check(entry("mc_costs:load"), entry("mc_costs:save", "allocation.sav"))
    assert "functions[1].record (mc_costs:save): 'sav' is not an operation" in lines[-2]
    assert lines[-1] == "kcevents.toml: 1 of 1 valid entry matched, 1 mistake"


def test_mapping_without_entries_is_a_finding(check: Check) -> None:
    assert check() == ["kcevents.toml: 0 of 0 valid entries matched, 0 mistakes"]


def test_check_as_json(check: Check, tmp_path: Path) -> None:
    lines = check(entry("mc_costs:load"), entry("mc_costs:save", "allocation.sav"), options=("--json",))
    data = json.loads("\n".join(lines))["data"]
    function = {"function": "mc_costs:load", "file": str(tmp_path / "mc_costs.py"), "line": 4, "inPlace": True}
    head = {"entry": "functions[0]", "target": "mc_costs:load", "result": "matched"}
    assert data["entries"] == [{**head, "functions": [function], "problems": [], "notes": []}]
    assert (data["mapping"], len(data["mistakes"])) == ("kcevents.toml", 1)


@pytest.mark.parametrize(
    ("program", "reason"),
    [("mc_no_such.py", "No such file"), ("mc_broken.py", "invalid syntax"), ("mc_no_such", "there is no such module")],
)
def test_unreadable_program_is_reported(
    check: Check, capfd: pytest.CaptureFixture[str], program: str, reason: str
) -> None:
    check(entry("__main__:main"), options=("--main", program), code=1)
    assert f"cannot read the program {program}: {reason}" in capfd.readouterr().err


def test_missing_mapping_is_reported(check: Check, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "check", "no_such.toml"]) == 1
    assert "no_such.toml: the file does not exist" in capfd.readouterr().err
