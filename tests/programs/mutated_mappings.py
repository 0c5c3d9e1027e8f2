"""Instruments a pipeline with mutated mappings, again and again: nothing raises, and each remaining entry records.

It checks each mutated mapping: `instrument()`, the import, the calls and `uninstrument()` do not raise; the results are
those of the program alone; entries that no mutation touched record their call exactly once; afterwards nothing records.
"""

from __future__ import annotations

import logging
import sys
from copy import deepcopy
from datetime import date
from importlib import import_module
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_kcevents import default_log
from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor

MODULE = "programs.pipeline"
ITEMS: list[dict[str, Any]] = [
    {"target": f"{MODULE}:save", "record": "e0.save"},
    {
        "target": f"{MODULE}:Loader.load",
        "record": "e1.load",
        "window": ["start", "end"],
        "size": "return",
        "where": {"self.name": "aws*"},
        "subclasses": True,
    },
    {"target": "programs.pipe*:*.total", "record": "e2.total", "window": {"path": "day", "length": "1d"}},
    {"target": "programs/pipeline.py:Loader.aggregate", "record": "e3.aggregate", "size": "return[*]", "window": "day"},
    {"target": f"{MODULE}:Loader.fetch", "record": "e4.load", "keep": {"day": "window"}, "within": "programs.*"},
    {"target": f"{MODULE}:read", "record": "e5.load"},
    {"target": f"{MODULE}:stream", "record": "e6.load", "ignore": ["KeyError"]},
    {"target": f"{MODULE}:reconcile", "record": "e7.reconcile", "fails_when": "false"},
    {
        "target": f"{MODULE}:compute",
        "record": "e8.compute",
        "window": {"path": "day", "format": "%Y-%m-%d", "match": r"\d+-\d+-\d+", "length": "P1D", "read": "before"},
    },
]
SETS = {f"e{number}": f"E{number}Set" for number in range(len(ITEMS))}
KEYS = ["target", "record", "window", "size", "fails_when", "error", "keep", "ignore", "where", "within", "subclasses"]

words = st.sampled_from(
    [
        *("return", "yield", "window", "self.days[first]", "kept.day", "env.PATH", "nothing", "false", "none", "+rows"),
        *(
            "%Y-%m-%d",
            "1d",
            "P1M",
            "before",
            "a:b",
            "os:getcwd",
            "KeyError",
            "*",
            "[",
            "allocation.save",
            "e0.",
            "",
            ":",
        ),
        *(MODULE, f"{MODULE}:*", f"{MODULE}:save", "programs/*.py:*", "(", "(?P<start>.*", "[*][*]", "", ":"),
    ]
)
scalars: st.SearchStrategy[Any] = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), words, st.text(max_size=20)),
    *(st.just(date(2024, 9, 18)), st.just(b"bytes"), st.builds(object)),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["path", "start", "end", "match", "format", "length", "is", "target"])
            | scalars.filter(lambda key: not isinstance(key, float)),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
# A name that is valid would be taken from then on: the log of a process never loses a set.
set_names = values.filter(lambda value: not (isinstance(value, str) and value.isidentifier()))
numbers = st.integers(0, len(ITEMS) - 1)
changes = st.lists(
    st.tuples(st.sampled_from(["delete", "rename", "nest"]), numbers, st.sampled_from(KEYS), values)
    | st.tuples(st.just("set"), numbers, st.sampled_from(KEYS), values)
    | st.tuples(st.sampled_from(["replace", "insert", "repeat"]), numbers, st.just(""), values)
    | st.tuples(st.just("sets"), numbers, st.just(""), set_names)
    | st.tuples(
        st.just("section"), numbers, st.text(max_size=9) | st.sampled_from(["function", "set", "Sets"]), values
    ),
    min_size=1,
    max_size=6,
)


warnings: list[str] = []


class Warnings(logging.Handler):
    """Keeps the warnings of one run."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        warnings.append(record.getMessage())


def mutate(mutations: list[tuple[str, int, Any, Any]]) -> tuple[dict[str, Any], set[int]]:
    """Return a mutated mapping, and the entries that are as before."""
    items: list[Any] = deepcopy(ITEMS)
    mapping: dict[Any, Any] = {"sets": dict(SETS), "functions": items}
    untouched = set(range(len(ITEMS)))
    added: list[Any] = []
    for how, number, key, value in mutations:
        item = items[number]
        if how in ("replace", "delete", "rename", "nest", "set", "sets"):
            untouched.discard(number)
        if how == "replace":
            items[number] = value
        elif how == "insert":
            added.append(value)
        elif how == "repeat":
            added.append(deepcopy(ITEMS[number]))  # a duplicate, of which only the first counts
        elif how == "sets":
            mapping["sets"][f"e{number}"] = value
        elif how == "row":
            mapping["sets"][key] = value
        elif how == "section":
            mapping[f"{key}-"] = value  # a misspelled section
        elif isinstance(item, dict):
            if how == "delete":
                item.pop(key, None)
            elif how == "rename" and key in item:
                item[f"{key}s"] = item.pop(key)
            elif how == "nest":
                item[key] = {key: item.get(key, value)}
            else:
                item[key] = value
    items += added
    return mapping, untouched


def events_of(number: int, counts: dict[str, int]) -> int:
    """Return how many events an entry has recorded."""
    return sum(count for kind, count in counts.items() if kind.startswith(SETS[f"e{number}"]))


def must_record(number: int, items: Any) -> bool:
    """Return whether an entry still names its function and its event, for the same calls."""
    item = items[number] if isinstance(items, list) and number < len(items) else None
    keys = ("target", "record", "where", "within", "ignore")
    return isinstance(item, dict) and all(item.get(key) == ITEMS[number].get(key) for key in keys)


def check(mapping: Any, untouched: set[int], is_imported: bool) -> None:
    """Run the pipeline with a mapping."""
    sys.modules.pop(MODULE, None)
    if is_imported:
        import_module(MODULE)
    before = default_log.counts()
    warnings.clear()
    instrumentor = KcEventsInstrumentor()
    instrumentor.instrument(mapping=mapping)
    pipeline = import_module(MODULE)
    assert pipeline.call_all() == EXPECTED
    after = default_log.counts()
    instrumentor.uninstrument()
    for number in range(len(ITEMS)):
        recorded = events_of(number, after) - events_of(number, before)
        if number in untouched:
            assert recorded == 1, (number, mapping, warnings)
        elif isinstance(mapping, dict) and must_record(number, mapping.get("functions")):
            assert recorded == 1 or any(f"functions[{number}]" in text for text in warnings), (number, mapping)
    assert pipeline.call_all() == EXPECTED
    assert default_log.counts() == after, mapping


@settings(max_examples=int(sys.argv[1]), deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(changes, st.booleans())
def check_mutated(mutations: list[tuple[str, int, Any, Any]], is_imported: bool) -> None:
    """Run the pipeline with a mutated mapping."""
    check(*mutate(mutations), is_imported)


@settings(
    max_examples=int(sys.argv[1]) // 4, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(values, st.sampled_from(["mapping", "functions", "sets"]))
def check_anything(value: Any, option: str) -> None:
    """Run the pipeline with content that is not a mapping."""
    check(value if option == "mapping" else {option: value}, set(), True)


if __name__ == "__main__":
    logging.getLogger("otel_kcevents").addHandler(Warnings())
    logging.getLogger("otel_kcevents").propagate = False
    EXPECTED = import_module(MODULE).call_all()
    check({"sets": SETS, "functions": ITEMS}, set(range(len(ITEMS))), True)
    check_mutated()
    check_anything()
    print(sum(default_log.counts().values()) > 0)
