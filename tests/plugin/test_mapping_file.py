"""`otel_kcevents.plugin.mapping_file`: TOML and YAML files, and the files that are neither."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_kcevents.plugin.mapping_file import MAX_BYTES, load_file

TOML = '[[functions]]\ntarget = "costs.etl:save"\nrecord = "allocation.save"\n'
YAML = "functions:\n- target: costs.etl:save\n  record: allocation.save\n"
CONTENT = {"functions": [{"target": "costs.etl:save", "record": "allocation.save"}]}


def problem_of(path: Path) -> str:
    """Return the message about a file that cannot be used."""
    with pytest.raises(ValueError, match=r"^\w") as raised:
        load_file(str(path))
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "content"),
    [
        ("kcevents.toml", TOML, CONTENT),
        ("kcevents", TOML, CONTENT),
        ("kcevents.toml", "", {}),
        ("kcevents.yaml", YAML, CONTENT),
        ("kcevents.YML", YAML, CONTENT),
        ("kcevents.yaml", "# nothing\n", None),
        ("kcevents.yml", "base: &base {a: 1}\nother: {<<: *base, b: 2}", {"base": {"a": 1}, "other": {"a": 1, "b": 2}}),
        ("kcevents.toml", f"\ufeff{TOML}", CONTENT),
        ("kcevents.yaml", f"\ufeff{YAML}", CONTENT),
        ("kcevents.toml", f"{TOML}{'#' * (MAX_BYTES - len(TOML))}", CONTENT),
    ],
)
def test_suffix_decides_how_a_file_is_read(tmp_path: Path, name: str, text: str, content: Any) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    assert load_file(str(file)) == content


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("a.toml", '[[functions]]\ntarget = "a:b\n', ["not valid TOML", "line 2, column 14"]),
        ("a.conf", YAML, ["not valid TOML", "line 1", "must end in .yaml or .yml"]),
        ("a.toml", "x = " + "[" * 50_000, ["nested too deeply"]),
        ("a.yaml", "functions:\n- {target: a:b", ["not valid YAML", "line 2, column 15"]),
        ("a.yaml", "- " * 50_000, ["nested too deeply"]),
        ("a.yaml", "window: 2024-13-45", ["not valid YAML", "month", "quotes"]),
        ("a.yaml", "window: '\0'", ["not valid YAML", "special characters"]),
        ("a.yaml", f"{YAML}  record: asset.save\n", ["'record' appears twice", "line 4, column 3"]),
        ("a.yaml", "? [a]\n: b\n", ["not valid YAML", "unhashable key", "line 1"]),
        ("a.yaml", "size: !!python/object:os.system x", ["not valid YAML", "python/object", "line 1, column 7"]),
    ],
)
def test_syntax_error_has_its_place(tmp_path: Path, name: str, text: str, parts: list[str]) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    message = problem_of(file)
    assert [part for part in parts if part not in message] == []


def test_recursive_yaml_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("functions: &all\n- *all\n- &one {target: *one}\n", encoding="utf-8")
    functions = load_file(str(file))["functions"]
    assert functions[0] is functions
    assert functions[1]["target"] is functions[1]


@pytest.mark.parametrize("codec", ["latin-1", "utf-16"])
def test_file_that_is_not_utf8_is_refused(tmp_path: Path, codec: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f"{TOML}# é", encoding=codec)
    assert f"line {4 if codec == 'latin-1' else 1} has the byte" in problem_of(file)
    assert "save it as UTF-8" in problem_of(file)


def test_large_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert f"larger than {MAX_BYTES} bytes" in problem_of(file)


def test_missing_file_has_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "kcevents.toml").touch()
    assert "did you mean 'kcevents.toml'?" in problem_of(tmp_path / "kcevent.toml")
    assert str(tmp_path) in problem_of(tmp_path / "other")
    assert os.getcwd() in problem_of(tmp_path / "nowhere" / "kcevents.toml")


def test_pipe_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kcevents.toml")
    assert "not a regular file" in problem_of(tmp_path / "kcevents.toml")
    assert "a folder" in problem_of(tmp_path)


def test_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be read: Not a directory" in problem_of(tmp_path / "file" / "kcevents.toml")


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [("yaml", "a.yaml", "pip install PyYAML"), ("tomllib" if sys.version_info >= (3, 11) else "tomli", "a", "tomli")],
)
def test_missing_parser_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, remedy: str
) -> None:
    (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, module, None)  # as if it was not installed
    assert remedy in problem_of(tmp_path / name)
