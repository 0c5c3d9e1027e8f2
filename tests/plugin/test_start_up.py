"""What the plugin does to a program that needs little of it, or nothing: it installs no hook and imports little."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS, clean_environment
from mapped import instrument

from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor

NO_DISTRIBUTION = {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none", "COVERAGE_PROCESS_CONFIG": ""}
NO_PLUGIN = {**NO_DISTRIBUTION, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "kcevents"}
SETS = '[sets]\nallocationKey = "AllocationKeySet"\n'
ENTRY = '[[functions]]\ntarget = "costs.store:save"\nrecord = "allocation.save"\n'


TEXTS = {"empty": "", "comments": "# none yet\n\n", "no entries": SETS, "entry": ENTRY}
State = dict[str, Any]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """The hooks and the modules of a program under the launcher: with mappings, with none, and without the plugin."""
    file = tmp_path_factory.mktemp("start") / "kcevents.toml"

    def state(text: str | None = None, environment: Mapping[str, str] = NO_DISTRIBUTION) -> State:
        file.write_text(text or "")
        mapping = None if text is None else file
        out, _ = instrument(TESTS / "programs" / "print_hooks.py", mapping=mapping, journal=None, code=0, **environment)
        found: State = json.loads(out)
        return found

    mapped = {name: state(text) for name, text in TEXTS.items()}
    return {**mapped, "no mapping": state(), "no plugin": state(environment=NO_PLUGIN)}


@pytest.mark.parametrize("name", ["empty", "comments", "no entries"])
def test_mapping_without_entries_installs_no_hook(states: dict[str, State], name: str) -> None:
    assert states[name]["hooks"] == states["no plugin"]["hooks"]


def test_entry_for_a_later_module_installs_a_hook(states: dict[str, State]) -> None:
    """So the test above can detect a hook."""
    assert states["entry"]["hooks"]["loaders"] != states["no plugin"]["hooks"]["loaders"]


def test_mapping_without_a_match_imports_no_recorder(states: dict[str, State]) -> None:
    modules = states["entry"]["modules"]
    unneeded = ("otel_kcevents.record.recorder", "otel_kcevents.store.journal", "sqlite3", "difflib", "yaml")
    assert [name for name in unneeded if name in modules] == []


def test_empty_mapping_imports_what_no_mapping_does(states: dict[str, State]) -> None:
    assert states["empty"]["modules"] == states["no mapping"]["modules"]


def test_program_without_a_mapping_imports_no_sdk(states: dict[str, State]) -> None:
    """The SDK is imported when the program starts a span."""
    modules = states["no mapping"]["modules"]
    assert "otel_kcevents.plugin.instrumentor" in modules
    unneeded = ("opentelemetry.sdk", "otel_kcevents.plugin.mapping", "otel_kcevents.record.paths", "tomllib")
    assert [name for name in unneeded if name in modules] == []


def test_instrumentor_is_found_by_its_entry_point() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="kcevents")
    assert found.load() is KcEventsInstrumentor


def test_launcher_takes_the_settings_as_options() -> None:
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run(
        [launcher, "--help"], env=clean_environment(), capture_output=True, text=True, timeout=300, check=True
    )
    assert "--kcevents_mapping" in done.stdout
    assert "--kcevents_log_file" in done.stdout


def test_only_the_instrumentor_needs_the_launchers_package() -> None:
    """The command checks mappings without it."""
    plugin = TESTS.parent / "otel_kcevents" / "plugin"
    modules = [f"otel_kcevents.plugin.{path.stem}" for path in sorted(plugin.glob("*.py"))]
    code = f"""
import importlib, sys
sys.modules["opentelemetry.instrumentation"] = None
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.split() == ["otel_kcevents.plugin.instrumentor", "opentelemetry.instrumentation.instrumentor"]
