"""`otel_kcevents.plugin.mapping`: the sections and entries of a mapping, and the mistakes in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_kcevents.plugin.mapping import Mapping, mapping_of, read_mapping

SAVE: dict[Any, Any] = {"target": "costs.etl:save", "record": "allocation.save"}
LOAD: dict[Any, Any] = {"target": "costs.etl:load", "record": "asset.load"}


def mapping(*functions: Any, **sections: Any) -> Mapping:
    """Return a mapping of these entries."""
    return mapping_of({"functions": list(functions), **sections}, "kcevents.toml")


def problems(*functions: Any, **sections: Any) -> list[str]:
    """Return the mistakes in a mapping of these entries."""
    return [str(problem) for problem in mapping(*functions, **sections).problems]


def test_entry_names_functions_and_an_operation() -> None:
    (entry,) = mapping({**SAVE, "window": "day", "subclasses": True}).entries
    assert (entry.target.module, entry.target.name) == ("costs.etl", "save")
    assert (entry.etl, entry.operation, entry.set_name) == ("allocation", "save", "AllocationSet")
    assert entry.options.window is not None
    assert entry.subclasses


def test_program_may_give_a_tuple_of_entries() -> None:
    assert len(mapping_of({"functions": (SAVE, LOAD)}, "the options of kcevents").entries) == 2


def test_entry_that_only_keeps_records_nothing() -> None:
    (entry,) = mapping({"target": "costs.etl:begin", "keep": {"day": "day"}}).entries
    assert (entry.etl, entry.operation, entry.set_name) == (None, None, None)


@pytest.mark.parametrize("content", [None, {}, {"sets": {}}, {"functions": []}, {"sets": None, "functions": None}])
def test_empty_mapping_has_no_problems(content: Any) -> None:
    assert mapping_of(content, "kcevents.toml") == Mapping("kcevents.toml")


def test_etls_are_the_documented_and_those_of_sets() -> None:
    sets = {"cloudCost": "CloudCostSet", "asset": "AssetSet"}
    found = mapping(SAVE, LOAD, {**SAVE, "record": "cloudCost.total"}, sets=sets)
    assert found.problems == ()
    assert [entry.set_name for entry in found.entries] == ["AllocationSet", "AssetSet", "CloudCostSet"]


@pytest.mark.parametrize(
    ("item", "place", "parts"),
    [
        ({**SAVE, "windw": "day"}, "functions[0].windw (costs.etl:save)", ["did you mean 'window'?"]),
        ({**SAVE, "zzz": "day"}, "functions[0].zzz (costs.etl:save)", ["expected one of target, record, window"]),
        ({**SAVE, "a\nb": "day"}, "functions[0].a key (costs.etl:save)", [r"'a\nb' is not a key"]),
        ({**SAVE, 1: "day"}, "functions[0].a key (costs.etl:save)", ["1 is not a key"]),
        ({**SAVE, "record": "alocation.save"}, "functions[0].record", ["did you mean 'allocation'?", "sets"]),
        ({**SAVE, "record": "asset.safe"}, "functions[0].record", ["'safe'", "did you mean 'save'?"]),
        ({**SAVE, "record": "save"}, "functions[0].record", ["'allocation.save'", "got 'save'"]),
        ({**SAVE, "record": "allocation.save.x"}, "functions[0].record", ["'save.x'"]),
        ({**SAVE, "record": ["a"]}, "functions[0].record", ["'allocation.save'", "a list of 1 item"]),
        ({"target": "costs.etl:save"}, "functions[0] (costs.etl:save)", ["record is missing", "keep"]),
        ({"record": "asset.save"}, "functions[0]", ["target is missing", "'costs.etl:save'"]),
        ({"targt": "costs.etl:save", "record": "asset.save"}, "functions[0].targt", ["did you mean 'target'?"]),
        ({**SAVE, "target": ""}, "functions[0].target", ["''"]),
        ({**SAVE, "target": "costs.etl"}, "functions[0].target", ["'costs.etl'", "costs.etl:save"]),
        ({**SAVE, "target": "costs.[et:save"}, "functions[0].target", ["a [ without a ]", "[[]"]),
        ({**SAVE, "target": 7}, "functions[0].target", ["7"]),
        ({**SAVE, "subclasses": "yes"}, "functions[0].subclasses", ["expected true or false"]),
        ({**SAVE, "window": {"pat": "day"}}, "functions[0].window.pat", ["did you mean 'path'?"]),
        ("costs.etl:save", "functions[0]", ["expected a table", "a str of 14 characters"]),
        (None, "functions[0]", ["expected a table", "None"]),
    ],
)
def test_mistake_of_an_entry_disables_only_it(item: Any, place: str, parts: list[str]) -> None:
    found = mapping(item, LOAD)
    assert [entry.number for entry in found.entries] == [1]
    (problem,) = [problem for problem in found.problems if problem.place.startswith(f"kcevents.toml: {place}")]
    assert [part for part in parts if part not in problem.message] == []
    assert len({problem.place.partition("].")[0] for problem in found.problems}) == 1


@pytest.mark.parametrize("key", ["target", "record"])
def test_misspelled_key_is_one_mistake(key: str) -> None:
    """It is not reported as a missing key, too."""
    item = {f"{name}s" if name == key else name: value for name, value in SAVE.items()}
    (message,) = problems(item)
    assert f"'{key}s' is not a key; did you mean '{key}'?" in message


@pytest.mark.parametrize("target", ["costs.etl:a\nb", ""])
def test_target_that_cannot_be_printed_is_not_in_the_place(target: str) -> None:
    (problem,) = mapping({**SAVE, "target": target}).problems
    assert problem.place == "kcevents.toml: functions[0].target"


def test_entries_that_only_keep_may_name_the_same_function() -> None:
    found = mapping(*({"target": "costs.etl:begin", "keep": {name: "day"}} for name in ("day", "month")))
    assert (len(found.entries), found.problems) == (2, ())


@pytest.mark.parametrize(
    ("sets", "place", "part"),
    [
        ({"my-costs": "CostSet"}, "sets.my-costs", "letters, digits and _"),
        ({"counters": "CostSet"}, "sets.counters", "'counters'"),
        ({"costs": "Cost Set"}, "sets.costs", "'Cost Set'"),
        ({"costs": 7}, "sets.costs", "7"),
        ({"costs": None}, "sets.costs", "None"),
        ({7: "CostSet"}, "sets", "7"),
        ({"costs": "AssetSet"}, "sets.costs", "already the set"),
        ({"other": "CostSet", "costs": "CostSet"}, "sets.costs", "already the set"),
        ({"asset": "CostSet"}, "sets.asset", "'AssetSet'"),
        (["costs"], "sets", "expected a table"),
    ],
)
def test_wrong_set_disables_only_entries_that_use_it(sets: Any, place: str, part: str) -> None:
    found = mapping(SAVE, {**SAVE, "record": "costs.save"}, LOAD, sets=sets)
    assert [entry.number for entry in found.entries] in ([0, 2], [0, 1, 2])
    assert any(problem.place == f"kcevents.toml: {place}" and part in problem.message for problem in found.problems)


def test_entry_of_a_wrong_set_names_the_set() -> None:
    (_, message) = problems({**SAVE, "record": "costs.save"}, sets={"costs": "Cost Set"})
    assert "functions[0].record (costs.etl:save)" in message
    assert "sets.costs has a mistake" in message


@pytest.mark.parametrize("section", ["function", "Functions", "set"])
def test_misspelled_section_has_the_nearest_name(section: str) -> None:
    (message,) = problems(SAVE, **{section: []})
    assert f"kcevents.toml: {section}: '{section}' is not a key; did you mean '" in message


@pytest.mark.parametrize("functions", [SAVE, "costs.etl:save", 7])
def test_functions_must_be_a_list(functions: Any) -> None:
    found = mapping_of({"functions": functions}, "kcevents.toml")
    assert found.entries == ()
    assert "expected a list of tables" in str(found.problems[0])
    assert ("[[functions]]" in str(found.problems[0])) == isinstance(functions, dict)


@pytest.mark.parametrize("content", [[SAVE], "functions", 7])
def test_mapping_must_be_a_table(content: Any) -> None:
    (problem,) = mapping_of(content, "kcevents.toml").problems
    assert str(problem).startswith("kcevents.toml: expected the sections sets and functions")


@pytest.mark.parametrize(
    "twin",
    [SAVE, {**SAVE, "window": "day"}, {"target": "costs.etl:begin", "keep": {"day": "day"}}],
)
def test_second_entry_for_the_same_calls_is_a_problem(twin: Any) -> None:
    """Otherwise each call would be recorded twice."""
    first = {**twin} if "keep" in twin else SAVE
    found = mapping(first, LOAD, twin)
    assert [entry.number for entry in found.entries] == [0, 1]
    assert "functions[2]" in found.problems[0].place
    assert "functions[0] records the same calls" in found.problems[0].message


@pytest.mark.parametrize(
    "other",
    [
        {**SAVE, "record": "allocation.total"},
        {**SAVE, "record": "asset.save"},
        {**SAVE, "target": "costs.etl:saves"},
        {**SAVE, "where": {"kind": "aws"}},
        {**SAVE, "within": "costs.nightly"},
        {"target": "costs.etl:save", "keep": {"day": "day"}},
    ],
)
def test_entries_for_other_calls_are_not_duplicates(other: Any) -> None:
    assert problems(SAVE, other) == []


def test_place_of_a_key_names_file_entry_and_target() -> None:
    (entry,) = mapping(SAVE).entries
    assert entry.place == "kcevents.toml: functions[0] (costs.etl:save)"
    assert entry.place_of("window.format") == "kcevents.toml: functions[0].window.format (costs.etl:save)"


def test_yaml_aliases_that_refer_to_themselves_are_problems(tmp_path: Path) -> None:
    file = tmp_path / "kcevents.yaml"
    file.write_text(
        "functions: &all\n"
        "- *all\n"
        "- &one {target: 'a:b', record: asset.save, where: *one, keep: *one, window: {path: *one}, ignore: *all}\n"
        "- {target: 'a:b', record: *all, within: *all, fails_when: {is: *all}}\n"
        "- {target: 'a:b', record: asset.load}\n",
        encoding="utf-8",
    )
    found = read_mapping(file)
    assert [entry.number for entry in found.entries] == [3]
    assert {problem.place.partition("]")[0][-1] for problem in found.problems} == {"0", "1", "2"}


def test_yaml_date_in_place_of_a_string_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "kcevents.yaml"
    file.write_text("functions: [{target: 'a:b', record: asset.save, where: {day: 2024-09-18}}]", encoding="utf-8")
    (problem,) = read_mapping(file).problems
    assert problem.place == f"{file}: functions[0].where.day (a:b)"
    assert "datetime.date(2024, 9, 18)" in problem.message


def test_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    found = read_mapping(tmp_path / "kcevents.toml")
    assert (found.origin, found.entries) == (str(tmp_path / "kcevents.toml"), ())
    assert "does not exist" in found.problems[0].message
    assert found.problems[0].place == found.origin
