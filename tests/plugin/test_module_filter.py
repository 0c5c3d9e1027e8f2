"""The filter of modules: it lets through what a target may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_kcevents.plugin.module_filter import ModuleFilter
from otel_kcevents.plugin.target import Target


@pytest.mark.parametrize(
    ("target", "name", "file", "expected"),
    [
        ("costs.etl:save", "costs.etl", None, True),
        ("costs.etl:save", "costs.etl2", "/srv/costs/etl.py", False),
        ("costs.*:save", "costs.etl", None, True),
        ("costs.*:save", "prices.etl", "/srv/costs/etl.py", False),
        ("costs/etl.py:save", "costs.etl", "/srv/costs/etl.py", True),
        ("costs/etl.py:save", "costs.etl", "/srv/costs/etl.pyc", True),
        ("costs/etl.py:save", "costs.etl", "/srv/costs/__pycache__/etl.cpython-311.pyc", True),
        ("costs/etl.py:save", "costs.etl2", "/srv/costs/etl2.py", False),
        ("costs/etl.py:save", "costs.etl", None, False),
        ("costs/*.py:save", "costs.etl", "/srv/costs/etl.py", True),
        ("costs/*.py:save", "costs.etl", None, False),
    ],
)
def test_filter_lets_through_what_a_target_may_name(target: str, name: str, file: str | None, expected: bool) -> None:
    assert ModuleFilter([Target.parse(target)]).may_name([name], file) is expected


def test_symbolic_link_may_lead_to_a_named_file(tmp_path: Path) -> None:
    link = tmp_path / "current.py"
    link.symlink_to(tmp_path / "etl.py")
    assert ModuleFilter([Target.parse("etl.py:save")]).may_name(["current"], str(link))


def test_any_of_the_names_of_a_module_counts() -> None:
    names = ModuleFilter([Target.parse("costs.etl:save"), Target.parse("a.*:save")])
    assert names.may_name(["__main__", "costs.etl"], None)
    assert names.may_name({"__main__", "a.b"}, None)
