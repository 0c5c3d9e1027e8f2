"""`otel_kcevents.plugin.options`: reading and checking the keys of an entry."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from otel_kcevents.model.intervals import Duration
from otel_kcevents.plugin.options import FailureOptions, Options, SizeOptions, WindowOptions, read_options


def read(**item: Any) -> Options:
    """Return the options of a valid entry."""
    problems: list[str] = []
    options = read_options({"record": "allocation.save", **item}, lambda key, text: problems.append(f"{key}: {text}"))
    assert problems == []
    return options


def problems_of(item: dict[str, Any]) -> list[str]:
    """Return the mistakes of an entry."""
    problems: list[str] = []
    read_options(item, lambda key, text: problems.append(f"{key}: {text}"))
    return problems


def problem_of(**item: Any) -> str:
    """Return the only mistake of an entry."""
    (problem,) = problems_of({"record": "allocation.save", **item})
    return problem


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("self.date", WindowOptions(path="self.date")),
        (["args[0]", "env.END"], WindowOptions(start="args[0]", end="env.END")),
        ("costs.windows:of_call", WindowOptions(function="costs.windows:of_call")),
        (
            {"path": "day", "format": "%Y%m%d", "length": "1d"},
            WindowOptions(path="day", format="%Y%m%d", length=Duration(0, 86_400_000_000_000)),
        ),
        ({"path": "month", "length": "P1M"}, WindowOptions(path="month", length=Duration(1, 0))),
        ({"start": "a", "end": "b", "inclusive": True}, WindowOptions(start="a", end="b", inclusive=True)),
        (
            {"end": "b", "length": "1h", "inclusive": True},
            WindowOptions(end="b", length=Duration(0, 3_600 * 10**9), inclusive=True),
        ),
        ({"start": "a", "format": "milliseconds"}, WindowOptions(start="a", format="milliseconds")),
        ({"path": "file", "match": r"\d{4}"}, WindowOptions(path="file", match=r"\d{4}")),
        (
            {"path": "file", "match": "(?P<start>.*)-(?P<end>.*)"},
            WindowOptions(path="file", match="(?P<start>.*)-(?P<end>.*)"),
        ),
        ({"path": "rows[*].day", "read": "after"}, WindowOptions(path="rows[*].day", read="after")),
    ],
)
def test_window_has_many_forms(value: Any, options: WindowOptions) -> None:
    assert read(window=value).window == options


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("return.rows[*]", SizeOptions(path="return.rows[*]")),
        ("+rows", SizeOptions(path="+rows")),
        (False, SizeOptions()),
        ("costs.sizes:of_call", SizeOptions(function="costs.sizes:of_call")),
    ],
)
def test_size_has_four_forms(value: Any, options: SizeOptions) -> None:
    assert read(size=value).size == options


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("false", FailureOptions(values=(("word", "false"),))),
        ("costs.checks:failed", FailureOptions(function="costs.checks:failed")),
        ({"path": "return[3]", "is": False}, FailureOptions("return[3]", (("word", "false"),))),
        ({"path": "self.status", "is": "failed"}, FailureOptions("self.status", (("value", "failed"),))),
        (
            {"path": "return.code", "is": [1, 2.5, "none"]},
            FailureOptions("return.code", (("value", 1), ("value", 2.5), ("word", "none"))),
        ),
    ],
)
def test_fails_when_has_three_forms(value: Any, options: FailureOptions) -> None:
    assert read(fails_when=value).fails_when == options


def test_other_options_are_tuples() -> None:
    options = read(
        error="exc",
        keep={"day": "self.date"},
        ignore="KeyError",
        where={"self.name": "aws*", "env.MODE": ["a", "b"]},
        within="costs.*",
    )
    assert options == Options(
        error="exc",
        keep=(("day", "self.date"),),
        ignore=("KeyError",),
        where=(("self.name", ("aws*",)), ("env.MODE", ("a", "b"))),
        within=("costs.*",),
    )


def test_options_without_keys_are_the_defaults() -> None:
    assert read() == read(window=None, size=None, keep=None) == Options()


def test_options_are_picklable() -> None:
    options = read(
        window={"path": "day", "length": "1d"}, fails_when={"path": "return", "is": ["none", 3]}, keep={"a": "b"}
    )
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"window": 5}, "window: .* got 5"),
        ({"window": "a b"}, "window: 'a b' is not a path"),
        ({"window": ["a"]}, "window: .* a list of 1 item"),
        ({"window": ["a", "b..c"]}, r"window\[1\]: 'b..c' is not a path"),
        ({"window": {}}, "window: expected either path"),
        ({"window": {"path": "a", "end": "b"}}, "window: expected either path"),
        ({"window": {"path": "a", "lenght": "1d"}}, "window.lenght: 'lenght' is not a key; did you mean 'length'"),
        ({"window": {"path": "a", "length": "1 day"}}, "window.length: .*'1d'.* got '1 day'"),
        ({"window": {"path": "a", "length": "0d"}}, "window.length: .* got '0d'"),
        ({"window": {"start": "a", "end": "b", "length": "1d"}}, "window.length: .* remove one"),
        ({"window": {"path": "a", "inclusive": "yes"}}, "window.inclusive: expected true or false, got 'yes'"),
        ({"window": {"path": "a", "length": "1d", "inclusive": True}}, "window.inclusive: .* remove one"),
        ({"window": {"path": "a", "read": "late"}}, "window.read: expected 'before' or 'after', got 'late'"),
        ({"window": {"path": "return.a", "read": "before"}}, "window.read: .* remove read"),
        ({"window": {"path": "a", "format": "%%Y-%m"}}, "window.format: .*with a year.* got '%%Y-%m'"),
        ({"window": {"path": "a", "format": "%Y-W%W"}}, "window.format: '%Y-W%W' has a week without a weekday"),
        ({"window": {"path": "a", "format": "day"}}, "window.format: .*seconds.* got 'day'"),
        ({"window": {"path": "a", "format": "%d.%m."}}, "window.format: .*with a year"),
        ({"window": {"path": "a", "format": "%Y-%Q"}}, "window.format: '%Y-%Q' is not a format of strptime: 'Q'"),
        ({"window": {"path": "a", "format": "%Y-%"}}, "window.format: '%Y-%' is not a format of strptime: stray"),
        ({"window": {"path": "a", "match": 1}}, "window.match: expected a regular expression, got 1"),
        ({"window": {"path": "a", "match": "("}}, r"window.match: '\(' is not a regular expression"),
        ({"window": {"path": "a", "match": "[[a]"}}, r"window.match: '\[\[a\]' is not .*: Possible nested set"),
        ({"window": {"path": "a", "match": "(?P<begin>.)"}}, "window.match: the group 'begin'"),
        ({"window": {"start": "a", "match": "(?P<start>.)"}}, "window.match: .* need path"),
        ({"size": 3}, "size: .* got 3"),
        ({"size": "+return"}, "size: 'return' reads the result"),
        ({"size": "rows", "record": "allocation.total"}, "size: 'allocation.total' records no size; remove size"),
        ({"fails_when": False}, "fails_when: .* got False; write 'false', a string"),
        ({"fails_when": "flase"}, "fails_when: .* got 'flase'"),
        ({"fails_when": {"path": "return"}}, "fails_when.is: .* got None"),
        ({"fails_when": {"is": 1}}, "fails_when.path: .* got None"),
        ({"fails_when": {"path": "yield", "is": 1}}, "fails_when.path: 'yield' reads the items"),
        ({"fails_when": {"path": "a[*].ok", "is": [1, "none"]}}, "fails_when.is: .* leaves out None"),
        ({"fails_when": {"path": "return", "is": {}}}, "fails_when.is: .* got {}"),
        ({"error": ["a"]}, "error: expected a path"),
        ({"keep": "day"}, "keep: expected a table .* got 'day'"),
        ({"keep": {"a-b": "c"}}, "keep: 'a-b' cannot be NAME"),
        ({"keep": {"a": "yield.b"}}, "keep.a: 'yield.b' reads the items"),
        ({"where": "aws"}, "where: expected a table .* got 'aws'"),
        ({"where": {"return": "a"}}, "where: 'return' reads the result"),
        ({"where": {"a": 5}}, "where.a: expected a string such as 'aws.*got 5"),
        ({"within": [1]}, "within: expected a string such as 'costs.etl', got 1"),
        ({"within": [""]}, "within: .* got ''"),
        ({"ignore": "not a name"}, "ignore: .* got 'not a name'"),
    ],
)
def test_mistake_is_reported_with_key_and_remedy(item: dict[str, Any], problem: str) -> None:
    assert re.match(problem, problem_of(**item))


@pytest.mark.parametrize("key", ["window", "size", "fails_when", "error", "ignore"])
def test_entry_without_record_can_only_keep(key: str) -> None:
    (problem,) = problems_of(
        {key: {"size": "a", "window": "a", "fails_when": "none", "error": "a", "ignore": "a"}[key]}
    )
    assert problem.startswith(f"{key}: {key} needs record")
