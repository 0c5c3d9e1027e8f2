"""Mappings with mistakes: they never stop the program, and each valid entry still records."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import run_program
from hypothesis import given
from hypothesis import strategies as st
from mapped import instrument

from otel_kcevents.plugin.mapping import read_mapping

PROGRAM = Path(__file__).parents[1] / "programs" / "save_days.py"
TOML = """
[sets]
costs = "CostSet"

[[functions]]
target = "programs.day_saver:save"
record = "asset.save"
window = { path = "window", length = "1d" }

[[functions]]
target = "programs.day_saver:load"
record = "costs.load"
where = { window = ["2024*", "2025*"] }
"""
YAML = """
sets: {costs: CostSet}
functions:
- &save
  target: programs.day_saver:save
  record: asset.save
  window: {path: window, length: 1d}
- <<: *save
  record: costs.load
"""


def test_mutated_mappings_never_stop_a_program() -> None:
    """Entries that no mutation touched record their call once; the program has the properties in detail."""
    output, errors = run_program("mutated_mappings", "40")
    assert (output, errors) == ("True\n", "")


@given(
    st.sampled_from([("a.toml", TOML), ("a.yaml", YAML)]),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 9), st.text(max_size=3) | st.sampled_from(list("[]{}\"'=:*&-\n"))),
        max_size=4,
    ),
)
def test_mapping_with_mistakes_never_raises(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, str], edits: list[tuple[float, int, str]]
) -> None:
    name, text = file
    for place, removed, inserted in edits:
        position = int(place * len(text))
        text = text[:position] + inserted + text[position + removed :]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = read_mapping(path)
    assert len(found.entries) == 2 or edits


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.toml", b"\x00\xff" * 99),
        ("a.yaml", b"functions: &a [*a, {target: *a, record: *a}]"),
        ("a.yaml", b"functions:\n" + b"- x\n" * 999),
    ],
)
def test_garbage_under_the_launcher_is_only_a_warning(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    output, errors = instrument(PROGRAM, mapping=file)
    assert output.startswith("{}\n")
    assert errors.startswith(str(file))
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 21


def test_valid_entries_under_the_launcher_record(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(TOML.replace("costs.load", "cost.load"), encoding="utf-8")
    output, errors = instrument(PROGRAM, mapping=file)
    assert output.startswith("{'AssetSetSaved': 1}\n")
    assert "functions[1].record (programs.day_saver:load): 'cost' is not an etl; did you mean 'costs'?" in errors
