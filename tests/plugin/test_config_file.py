"""`OTEL_CONFIG_FILE`: the mapping in OpenTelemetry's declarative configuration, with and without the launcher."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import run_program
from mapped import instrument
from opentelemetry.trace import NoOpTracerProvider

from otel_kcevents import Journal
from otel_kcevents.plugin.config_file import Section, read_section
from otel_kcevents.plugin.instrumentor_options import read_instrumentor_options

PROGRAM = Path(__file__).parents[1] / "programs" / "save_days.py"
KCEVENTS = """
instrumentation/development:
  python:
    kcevents:
      enabled: {enabled}
      functions:
        - {{target: "programs.day_saver:save", record: "${{ETL}}.save"}}
        - {{target: "programs.day_saver:load", record: asset.load, windw: day}}
"""
SDK = 'file_format: "1.0"\ntracer_provider: {processors: [{simple: {exporter: {console: {}}}}]}\n'
RECORDED = "{'AssetSetSaved': 1}\nTracerProvider\n"
NOT_INSTALLED: dict[str, Any] = {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with an SDK and a mapping, of which one entry has a mistake."""
    path = tmp_path / "otel.yaml"
    path.write_text(SDK + KCEVENTS.format(enabled="true"), encoding="utf-8")
    return path


def environment(file: Path) -> dict[str, Any]:
    """Return the variables that name a file."""
    return {"OTEL_CONFIG_FILE": str(file), "ETL": "asset"}


def test_launcher_instruments_once_without_a_warning(file: Path) -> None:
    """The declarative configuration instruments, and the launcher calls `instrument()` again."""
    output, errors = instrument(PROGRAM, **environment(file))
    assert RECORDED in output
    assert output.count('"name": "save AssetSet"') == 1
    assert "already instrumented" not in errors
    assert errors.count("kcevents") == 1
    assert f"kcevents in {file}: functions[1].windw (programs.day_saver:load)" in errors


def test_launcher_without_a_distribution_uses_the_section(file: Path) -> None:
    output, errors = instrument(PROGRAM, **environment(file), **NOT_INSTALLED)
    assert RECORDED in output
    assert "install opentelemetry-distro" in errors


@pytest.mark.parametrize("how", ["configure_sdk", "instrument"])
def test_program_without_the_launcher_is_instrumented(file: Path, how: str) -> None:
    output, errors = run_program("save_days", how, **environment(file))
    assert RECORDED in output
    assert "functions[1].windw (programs.day_saver:load)" in errors
    assert ("install opentelemetry-distro" in errors) == (how == "instrument")


@pytest.mark.parametrize("how", ["launcher", "instrument"])
def test_disabled_section_instruments_nothing(file: Path, how: str) -> None:
    file.write_text(SDK + KCEVENTS.format(enabled="false"), encoding="utf-8")
    run = (
        instrument(PROGRAM, **environment(file))
        if how == "launcher"
        else run_program("save_days", how, **environment(file))
    )
    assert run[0].startswith("{}\n")
    assert "kcevents" not in run[1]


@pytest.mark.parametrize("is_inline", [True, False], ids=["inline", "files"])
def test_child_in_another_folder_finds_relative_files(
    file: Path, is_inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_inline:
        files = "{mapping: kcevents.toml, log_file: kcevents.db}"
        file.write_text(f"{SDK}instrumentation/development: {{python: {{kcevents: {files}}}}}", encoding="utf-8")
        mapping = '[[functions]]\ntarget = "programs.day_saver:save"\nrecord = "asset.save"\n'
        (file.parent / "kcevents.toml").write_text(mapping, encoding="utf-8")
    monkeypatch.chdir(file.parent)
    output, _ = instrument(PROGRAM, "elsewhere", **environment(Path(file.name)))
    assert RECORDED in output
    assert is_inline or Journal("kcevents.db").counts() == {"AssetSetSaved": 1}


def test_broken_file_stops_neither_the_program_nor_the_rest(file: Path) -> None:
    file.write_text("kcevents: [", encoding="utf-8")
    output, errors = instrument(PROGRAM, **environment(file), **NOT_INSTALLED, OTEL_PYTHON_KCEVENTS_MAPPING="x.toml")
    assert output.startswith("{}\n")
    assert f"kcevents in {file}: the file is not used: Failed to parse YAML" in errors
    assert "x.toml: the file does not exist" in errors
    assert output.endswith("x.toml\n")  # a child in another folder may find it


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (SDK, {}),
        (f"{SDK}instrumentation/development: {{python: {{requests: {{}}}}}}", {}),
        (f"{SDK}instrumentation/development: {{python: {{kcevents: {{}}}}}}", {}),
        (f"{SDK}instrumentation/development: {{python: {{kcevents: {{log_file: a.db}}}}}}", {"log_file": "a.db"}),
        ('file_format: "1.0"\ndisabled: true\n', {"enabled": False}),
        (f"{SDK}# without kcevents", {}),
    ],
)
def test_section_has_the_options(tmp_path: Path, content: str, options: dict[str, Any]) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(content, encoding="utf-8")
    assert read_section(str(file)).options == options


METRICS = 'file_format: "1.0"\nmeter_provider: {readers: [{periodic: {exporter: {console: {}}}}]}\n'


@pytest.mark.parametrize(
    ("content", "enabled", "count"),
    [(SDK, "true", 1), (METRICS, "true", 1), (SDK, "false", 0), ('file_format: "1.0"\n', "true", 0)],
)
def test_providers_of_the_file_that_are_not_set_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, enabled: str, count: int
) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(content + KCEVENTS.format(enabled=enabled), encoding="utf-8")
    monkeypatch.setenv("ETL", "asset")
    assert len(read_section(str(file)).problems) == count
    provider = NoOpTracerProvider()
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    assert read_section(str(file)).problems == ()  # the program has set them


def test_missing_file_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read_section(str(tmp_path / "otel.yaml")).problems
    assert problem.startswith("the file is not used: Configuration file not found")


def test_reader_that_is_not_installed_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.configuration", None)
    monkeypatch.setenv("OTEL_CONFIG_FILE", str(file))
    (problem,) = read_instrumentor_options({}).problems
    assert "pip install opentelemetry-configuration" in problem.message
    assert problem.place == f"kcevents in {file}"


def test_file_without_the_section_is_not_parsed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To parse it takes longer than everything else at the start of a program."""
    file.write_text(f"{SDK}disabled: false", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "opentelemetry.configuration", None)
    assert read_section(str(file)) == Section()


def test_options_of_a_call_replace_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_CONFIG_FILE", str(file))
    assert read_instrumentor_options({"enabled": True}).mapping is None
