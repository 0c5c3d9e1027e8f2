"""`otel_kcevents.plugin.instrumentor_options`: the options of `KcEventsInstrumentor`, and the file of a mapping."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import run_program
from mapped import instrument
from telemetry import Warned

from otel_kcevents import Journal
from otel_kcevents.plugin import variables
from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor
from otel_kcevents.plugin.instrumentor_options import InstrumentorOptions, read_instrumentor_options

PROGRAM = Path(__file__).parents[1] / "programs" / "save_days.py"
SAVE = {"target": "programs.day_saver:save", "record": "costs.save"}
SETS = {"costs": "CostSet"}
TOML = '[sets]\ncosts = "CostSet"\n[[functions]]\ntarget = "programs.day_saver:save"\nrecord = "costs.save"\n'


def targets(options: InstrumentorOptions) -> list[str]:
    """Return the targets of a mapping without problems."""
    assert options.mapping is not None
    assert (options.problems, options.mapping.problems) == ((), ())
    return [entry.target.text for entry in options.mapping.entries]


def problem_of(**given: Any) -> str:
    """Return the only problem of these options."""
    (problem,) = read_instrumentor_options(given).problems
    return str(problem)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which has a mapping file; no variable is set."""
    monkeypatch.chdir(tmp_path)
    for name in ("OTEL_CONFIG_FILE", "OTEL_PYTHON_KCEVENTS_MAPPING"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "kcevents.toml").write_text(TOML, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("value", ["kcevents.toml", Path("kcevents.toml")])
def test_mapping_option_is_a_path(value: Any, folder: Path) -> None:
    options = read_instrumentor_options({"mapping": value})
    assert targets(options) == ["programs.day_saver:save"]
    assert options.mapping_file == str(folder / "kcevents.toml")


def test_file_with_only_comments_is_not_a_mapping(folder: Path) -> None:
    (folder / "kcevents.toml").write_text("# none yet\n\n", encoding="utf-8")
    options = read_instrumentor_options({"mapping": "kcevents.toml"})
    assert options.mapping is None
    assert options.mapping_file == str(folder / "kcevents.toml")
    assert options.problems == ()


@pytest.mark.parametrize(
    "given", [{"mapping": {"sets": SETS, "functions": [SAVE]}}, {"sets": SETS, "functions": [SAVE]}]
)
def test_mapping_may_be_inline(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_MAPPING", "missing.toml")
    options = read_instrumentor_options(given)
    assert targets(options) == ["programs.day_saver:save"]
    assert options.mapping_file is None


@pytest.mark.parametrize("given", [{}, {"mapping": None}, {"mapping": ""}, {"log_file": "kcevents.db"}])
def test_variable_names_the_mapping_if_no_option_does(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_instrumentor_options(given).mapping is None
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_MAPPING", "kcevents.toml")
    assert targets(read_instrumentor_options(given)) == ["programs.day_saver:save"]


def test_inline_mapping_replaces_a_file() -> None:
    options = read_instrumentor_options({"mapping": "missing.toml", "functions": []})
    assert options.mapping is not None
    assert options.mapping.problems == ()
    assert "the options of kcevents: mapping: it is not used, because functions" in str(options.problems[0])


def test_another_file_than_that_of_the_parent_is_used(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_MAPPING", str(folder / "kcevents.toml"))
    options = read_instrumentor_options({"mapping": "other.toml"})
    assert options.mapping is not None
    assert options.mapping.origin == "other.toml"


def test_mapping_file_that_does_not_exist_is_a_problem() -> None:
    options = read_instrumentor_options({"mapping": "kcevent.toml"})
    assert options.mapping is not None
    assert "did you mean 'kcevents.toml'?" in str(options.mapping.problems[0])
    assert options.mapping_file is None


@pytest.mark.parametrize("value", [7, b"kcevents.toml", "kcevents\0.toml", ["kcevents.toml"], Path])
def test_other_values_name_neither_a_mapping_nor_a_journal(value: Any) -> None:
    assert "expected a path such as 'kcevents.toml', or a table" in problem_of(mapping=value)
    assert "expected a path such as 'kcevents.db', or false" in problem_of(log_file=value)


@pytest.mark.parametrize(
    ("value", "log_file"), [("a.db", "a.db"), (Path("a.db"), "a.db"), (False, False), (None, None), ("", None)]
)
def test_log_file_is_a_path_or_false(value: Any, log_file: Any) -> None:
    assert read_instrumentor_options({"log_file": value}).log_file == log_file


def test_log_file_of_the_user_does_not_replace_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that the parent has published does."""
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", "/srv/kcevents.db")
    assert read_instrumentor_options({"log_file": "kcevents.db"}).log_file == "kcevents.db"


def test_absolute_path_is_not_that_of_the_parent(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_MAPPING", str(folder / "kcevents.toml"))
    options = read_instrumentor_options({"mapping": str(folder / "missing" / "kcevents.toml")})
    assert options.mapping is not None
    assert "the file does not exist" in str(options.mapping.problems[0])


def test_unknown_option_has_the_nearest_name() -> None:
    options = read_instrumentor_options({"maping": "kcevents.toml", "functions": [SAVE], "sets": SETS, 7: 7})  # type: ignore[dict-item]
    assert "the options of kcevents: maping: 'maping' is not a key; did you mean 'mapping'?" in map(
        str, options.problems
    )
    assert options.mapping is not None
    assert len(options.mapping.entries) == 1


@pytest.mark.parametrize(("value", "is_enabled"), [(True, True), (False, False), (None, True)])
def test_enabled_is_a_bool(value: Any, is_enabled: bool) -> None:
    assert read_instrumentor_options({"enabled": value}) == InstrumentorOptions(is_enabled=is_enabled)


def test_enabled_that_is_not_a_bool_is_a_problem() -> None:
    assert "enabled: expected true or false, got a str of 3 characters" in problem_of(enabled="off")
    assert read_instrumentor_options({"enabled": 0}).is_enabled


def test_launcher_takes_the_files_as_options(folder: Path) -> None:
    """A child process that starts in another folder finds both."""
    options = ["--kcevents_mapping", "kcevents.toml", "--kcevents_log_file", "kcevents.db"]
    output, errors = instrument(PROGRAM, "elsewhere", options=options)
    assert (output.splitlines()[0], errors) == ("{'CostSetSaved': 1}", "")
    assert Journal("kcevents.db").counts() == {"CostSetSaved": 1}


def test_uninstrument_restores_the_functions_and_the_variable() -> None:
    output, errors = run_program("save_days", "instrument", "undo", OTEL_PYTHON_KCEVENTS_MAPPING="kcevents.toml")
    counts, _, mapping = output.splitlines()
    assert (counts, mapping, errors) == ("{'CostSetSaved': 1}", "kcevents.toml", "")


def test_launcher_options_are_documented_variables() -> None:
    page = (Path(__file__).parents[2] / "docs" / "names.md").read_text(encoding="utf-8")
    assert [name for name in variables.__all__ if f"`{name}`" not in page] == []
    assert all(getattr(variables, name) == name for name in variables.__all__)


def test_option_that_raises_is_only_a_warning(warned: Warned) -> None:
    class Unreadable(os.PathLike[str]):
        def __fspath__(self) -> str:
            raise RuntimeError("no path")

    instrumentor = KcEventsInstrumentor()
    instrumentor.instrument(mapping=Unreadable())
    instrumentor.uninstrument()
    assert warned() == ["nothing is instrumented: no path"]
