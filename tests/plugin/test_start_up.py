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


def state(mapping: Path | None = None, environment: Mapping[str, str] = NO_DISTRIBUTION) -> dict[str, Any]:
    """Return the hooks and the modules of a program under the launcher."""
    out, _ = instrument(TESTS / "programs" / "print_hooks.py", mapping=mapping, journal=None, code=0, **environment)
    found: dict[str, Any] = json.loads(out)
    return found


def mapping_file(folder: Path, text: str) -> Path:
    file = folder / "kcevents.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("text", ["", "# none yet\n\n", SETS], ids=["empty", "comments", "no entries"])
def test_mapping_without_entries_installs_no_hook(tmp_path: Path, text: str) -> None:
    assert state(mapping_file(tmp_path, text))["hooks"] == state(environment=NO_PLUGIN)["hooks"]


def test_entry_for_a_module_to_come_installs_a_hook(tmp_path: Path) -> None:
    """So the test above would see one."""
    assert state(mapping_file(tmp_path, ENTRY))["hooks"]["loaders"] != state(environment=NO_PLUGIN)["hooks"]["loaders"]


def test_mapping_without_a_match_imports_no_recorder(tmp_path: Path) -> None:
    modules = state(mapping_file(tmp_path, ENTRY))["modules"]
    unneeded = ("otel_kcevents.record.recorder", "otel_kcevents.store.journal", "sqlite3", "difflib", "yaml")
    assert [name for name in unneeded if name in modules] == []


def test_empty_mapping_imports_what_no_mapping_does(tmp_path: Path) -> None:
    assert state(mapping_file(tmp_path, ""))["modules"] == state()["modules"]


def test_program_without_a_mapping_imports_no_sdk() -> None:
    """Until it starts a span."""
    modules = state()["modules"]
    assert "otel_kcevents.plugin.instrumentor" in modules
    unneeded = ("opentelemetry.sdk", "otel_kcevents.plugin.mapping", "otel_kcevents.record.paths", "tomllib")
    assert [name for name in unneeded if name in modules] == []


def test_instrumentor_is_found_by_its_entry_point() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="kcevents")
    assert found.load() is KcEventsInstrumentor


def test_launcher_takes_the_settings_as_options() -> None:
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run(
        [launcher, "--help"], env=clean_environment(), capture_output=True, text=True, timeout=60, check=True
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
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["otel_kcevents.plugin.instrumentor", "opentelemetry.instrumentation.instrumentor"]
