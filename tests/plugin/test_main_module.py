"""Functions of the main module: instrumented when they are defined, in every way of running a main module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS
from mapped import instrument

# The tracer of coverage and the trace function of the plugin exclude each other before Python 3.12.
NO_COVERAGE: dict[str, Any] = {"COVERAGE_PROCESS_CONFIG": ""}


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """A mapping of the functions whose names start with save, in the main module."""
    path = tmp_path / "kcevents.toml"
    path.write_text('[[functions]]\ntarget = "__main__:[sS]ave*"\nrecord = "allocation.save"\n', encoding="utf-8")
    return path


def test_functions_are_recorded_as_soon_as_they_are_defined(mapping: Path) -> None:
    out, err = instrument(TESTS / "programs" / "main_shapes.py", mapping=mapping, **NO_COVERAGE)
    recorded = json.loads(out)
    assert len(recorded) == 16
    assert recorded == dict.fromkeys(recorded, 1)
    assert err == ""
