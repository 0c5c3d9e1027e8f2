"""`otel_kcevents.model.event`: the tables of kinds and operations, and events as JSON."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any

import pytest

from otel_kcevents.model.event import DOCUMENTED, KINDS, OPERATIONS, OUTCOMES, Event, Failure, kinds_of
from otel_kcevents.model.window import Window

TIME = 1654275521_289194368
DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
SIZED, PLAIN, FAILED = ("size", "window"), ("window",), ("window", "error", "operation")
SUFFIXES = {
    "Saved": SIZED,
    "Loaded": SIZED,
    "Aggregated": SIZED,
    "Totaled": PLAIN,
    "Reconciled": PLAIN,
    "ComputeError": FAILED,
    "ReconcileError": FAILED,
}
TABLE = [
    (set_name + suffix, etl, fields)
    for etl, set_name in (("allocation", "AllocationSet"), ("asset", "AssetSet"))
    for suffix, fields in SUFFIXES.items()
]


def test_kinds_are_the_14_documented_ones() -> None:
    assert [(name, kind.etl, kind.outcome.fields) for name, kind in KINDS.items()] == TABLE
    assert [kind.name for kind in KINDS.values()] == list(KINDS)


def test_kinds_match_the_specification(spec: str) -> None:
    """The same names in the same order; the same ones have a size or a window."""
    rows = re.findall(r"^\* `(\w+)Event`.*\n((?:  \* .*\n)*)", spec, re.MULTILINE)
    specified = [(name, "* size:" in fields, "* window:" not in fields) for name, fields in rows]
    assert specified == [(name, fields is SIZED, fields is FAILED) for name, _, fields in TABLE]


def test_added_set_has_the_same_seven_outcomes() -> None:
    kinds = kinds_of("cloud", "CloudCostSet")
    assert [kind.name for kind in kinds.values()] == [f"CloudCostSet{suffix}" for suffix in SUFFIXES]
    assert {kind.etl for kind in kinds.values()} == {"cloud"}
    assert list(kinds) == list(OUTCOMES)


@pytest.mark.parametrize("table", [DOCUMENTED, KINDS, OPERATIONS, OUTCOMES])
def test_tables_are_read_only(table: Any) -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        table["other"] = None


@pytest.mark.parametrize(
    ("event", "metadata"),
    [
        (
            Event("AllocationSetSaved", TIME, 97, DAY),
            '{"size":97,"window":{"start":"2022-06-03T00:00:00Z","end":"2022-06-04T00:00:00Z"}}',
        ),
        (
            Event("AssetSetTotaled", TIME, None, DAY),
            '{"window":{"start":"2022-06-03T00:00:00Z","end":"2022-06-04T00:00:00Z"}}',
        ),
        (Event("AssetSetLoaded", TIME, 0), '{"size":0}'),
        (
            Event("AssetSetReconciled", TIME, None, Window(None, "2022-06-04T00:00:00Z")),
            '{"window":{"start":null,"end":"2022-06-04T00:00:00Z"}}',
        ),
        (
            Event("AssetSetComputeError", TIME, None, Window(), Failure("OSError", 'full: "é"', "save")),
            '{"window":{"start":null,"end":null},"error":{"type":"OSError","message":"full: \\"é\\""},'
            '"operation":"save"}',
        ),
        (Event("AssetSetReconcileError", TIME, failure=Failure("", "")), '{"error":{"type":"","message":""}}'),
        (Event("AssetSetReconcileError", TIME), "{}"),
        (Event("AssetSetSaved", TIME, 5, extra='{"cluster":"a","rows":[1]}'), '{"size":5,"cluster":"a","rows":[1]}'),
    ],
)
def test_event_is_written_in_the_documented_form(event: Event, metadata: str) -> None:
    """Keys have the documented order, missing fields are omitted, open ends are null, and extra fields come last."""
    text = f'{{"kind":"{event.kind}","metadata":{metadata},"time":"2022-06-03T16:58:41.289194368Z"}}'
    assert json.dumps(event.to_dict(), ensure_ascii=False, separators=(",", ":")) == text


def test_event_is_hashable_and_pickles() -> None:
    event = Event("AssetSetComputeError", TIME, 5, DAY, Failure("OSError", "full"), '{"rows":[1]}')
    assert {pickle.loads(pickle.dumps(event))} == {event}
