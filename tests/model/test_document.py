"""Promises of `otel_kcevents.model.document`: the table of kinds, and the log's JSON form."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import KINDS, OPERATIONS, OUTCOMES, Event, Failure, kinds_of
from otel_kcevents.model.window import Window

TABLE = [
    # name, etl, tells a size, is an error
    ("AllocationSetSaved", "allocation", True, False),
    ("AllocationSetLoaded", "allocation", True, False),
    ("AllocationSetAggregated", "allocation", True, False),
    ("AllocationSetTotaled", "allocation", False, False),
    ("AllocationSetReconciled", "allocation", False, False),
    ("AllocationSetComputeError", "allocation", False, True),
    ("AllocationSetReconcileError", "allocation", False, True),
    ("AssetSetSaved", "asset", True, False),
    ("AssetSetLoaded", "asset", True, False),
    ("AssetSetAggregated", "asset", True, False),
    ("AssetSetTotaled", "asset", False, False),
    ("AssetSetReconciled", "asset", False, False),
    ("AssetSetComputeError", "asset", False, True),
    ("AssetSetReconcileError", "asset", False, True),
]

TIME = 1654275521_289194368
DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
MOST = 2**63 - 1


# The kinds


def test_the_kinds_are_the_14_documented_ones() -> None:
    """The table holds exactly the 14 kinds, in the document's order, each with what it tells."""
    assert [(kind.name, kind.etl, kind.outcome.sized, kind.outcome.error) for kind in KINDS.values()] == TABLE


def test_the_kinds_stand_under_their_names() -> None:
    """A kind is looked up by its name."""
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name, *_ in TABLE}


def test_the_kinds_are_those_of_the_document(spec: str) -> None:
    """The document lists the same kinds in the same order, with a size and a window for the same ones."""
    rows = re.findall(r"^\* `(\w+)Event`.*\n((?:  \* .*\n)*)", spec, re.MULTILINE)
    documented = [(name, "* size:" in fields, "* window:" not in fields) for name, fields in rows]
    assert documented == [(name, sized, error) for name, _, sized, error in TABLE]


def test_a_set_of_ones_own_has_seven_kinds() -> None:
    """Any set has the documented outcomes, named after it."""
    kinds = kinds_of("cloud", "CloudCostSet")
    assert [kind.name.removeprefix("CloudCostSet") for kind in kinds.values()] == [
        "Saved",
        "Loaded",
        "Aggregated",
        "Totaled",
        "Reconciled",
        "ComputeError",
        "ReconcileError",
    ]
    assert {kind.etl for kind in kinds.values()} == {"cloud"}


@pytest.mark.parametrize(
    ("operation", "success", "failure"),
    [
        ("save", "saved", "compute_error"),
        ("load", "loaded", "compute_error"),
        ("aggregate", "aggregated", "compute_error"),
        ("total", "totaled", "compute_error"),
        ("reconcile", "reconciled", "reconcile_error"),
        ("compute", None, "compute_error"),
    ],
)
def test_an_operation_ends_in_one_of_two_outcomes(operation: str, success: str | None, failure: str) -> None:
    """Each operation has its outcome when it succeeds and its kind of error, as documented."""
    assert OPERATIONS[operation] == (success, failure)


@pytest.mark.parametrize("table", [KINDS, OPERATIONS, OUTCOMES])
def test_the_tables_can_not_be_changed(table: Any) -> None:
    """What the document fixes is read-only."""
    with pytest.raises(TypeError, match="does not support item assignment"):
        table["other"] = None


# Written


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            Event("AllocationSetSaved", TIME, 97, DAY),
            '{"kind":"AllocationSetSaved","metadata":{"size":97,"window":{"start":"2022-06-03T00:00:00Z",'
            '"end":"2022-06-04T00:00:00Z"}},"time":"2022-06-03T16:58:41.289194368Z"}',
        ),
        (
            Event("AssetSetTotaled", 0, None, DAY),
            '{"kind":"AssetSetTotaled","metadata":{"window":{"start":"2022-06-03T00:00:00Z",'
            '"end":"2022-06-04T00:00:00Z"}},"time":"1970-01-01T00:00:00Z"}',
        ),
        (
            Event("AssetSetLoaded", 0, 0),
            '{"kind":"AssetSetLoaded","metadata":{"size":0},"time":"1970-01-01T00:00:00Z"}',
        ),
        (
            Event("AssetSetReconciled", 0, None, Window(None, "2022-06-04T00:00:00Z")),
            '{"kind":"AssetSetReconciled","metadata":{"window":{"start":null,"end":"2022-06-04T00:00:00Z"}},'
            '"time":"1970-01-01T00:00:00Z"}',
        ),
        (
            Event("AssetSetComputeError", 0, None, Window(), Failure("OSError", 'full: "é"', "save")),
            '{"kind":"AssetSetComputeError","metadata":{"window":{"start":null,"end":null},'
            '"error":{"type":"OSError","message":"full: \\"é\\""},"operation":"save"},"time":"1970-01-01T00:00:00Z"}',
        ),
        (
            Event("AssetSetReconcileError", 0, None, None, Failure("", "")),
            '{"kind":"AssetSetReconcileError","metadata":{"error":{"type":"","message":""}},'
            '"time":"1970-01-01T00:00:00Z"}',
        ),
        (
            Event("AssetSetReconcileError", 0),
            '{"kind":"AssetSetReconcileError","metadata":{},"time":"1970-01-01T00:00:00Z"}',
        ),
    ],
)
def test_an_event_is_written_in_the_documents_form(event: Event, text: str) -> None:
    """Keys stand in the document's order, what is unknown is left out, and an open end is null."""
    assert json.dumps(event.to_dict(), ensure_ascii=False, separators=(",", ":")) == text


def test_a_document_is_written_with_its_envelope() -> None:
    """The whole answer is `code` and `data`, which holds the lists and, last, the counters."""
    document = Document({"allocation": (), "asset": (Event("AssetSetLoaded", 0),)}, {"AssetSetLoaded": 7})
    assert document.to_json() == (
        '{"code":200,"data":{"allocation":[],"asset":[{"kind":"AssetSetLoaded","metadata":{},'
        '"time":"1970-01-01T00:00:00Z"}],"counters":{"AssetSetLoaded":7}}}'
    )


def test_a_document_is_frozen() -> None:
    """A document that was handed out can not be changed."""
    with pytest.raises(FrozenInstanceError):
        setattr(Document({}, {}), "lists", {})  # noqa: B010 - mypy refuses the plain assignment, as it should


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
broken_texts = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=20).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # joins whole pairs
)
times = st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1)


def window_of(ends: list[int], open_start: bool, open_end: bool) -> Window:
    start, end = sorted(ends)
    return Window.from_ns(None if open_start else start, None if open_end else end)


def events_of(etl: str, set_name: str, texts: st.SearchStrategy[str]) -> st.SearchStrategy[Event]:
    windows = st.builds(window_of, st.lists(times, min_size=2, max_size=2), st.booleans(), st.booleans())
    failures = st.builds(Failure, texts, texts, st.none() | texts)
    return st.one_of(
        [
            st.builds(
                Event,
                st.just(kind.name),
                times,
                st.none() | st.integers(0, MOST) if kind.outcome.sized else st.none(),
                st.none() | windows,
                st.none() | failures if kind.outcome.error else st.none(),
                st.none(),
            )
            for kind in kinds_of(etl, set_name).values()
        ]
    )


def document_of(lists: dict[str, list[Event]], more: dict[str, int]) -> Document:
    listed = Counter(event.kind for events in lists.values() for event in events)
    return Document({etl: tuple(events) for etl, events in lists.items()}, dict(listed + Counter(more)))


def documents(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Document]:
    sets = {"allocation": "AllocationSet", "asset": "AssetSet", "cloud": "CloudCostSet", "_2": "X"}
    lists = {etl: st.lists(events_of(etl, name, texts), max_size=3) for etl, name in sets.items()}
    own = {etl: lists.pop(etl) for etl in ("cloud", "_2")}
    counters = st.dictionaries(st.sampled_from(list(KINDS)), st.integers(1, 10**6), max_size=3)
    return st.builds(document_of, st.fixed_dictionaries(lists, optional=own), counters)


@given(documents(texts), st.none() | st.integers(0, 4))
def test_a_document_is_the_json_that_json_dumps_gives(document: Document, indent: int | None) -> None:
    """Compact or indented, the text is what `json.dumps` gives for `to_dict`, without escapes."""
    separators = (",", ":") if indent is None else None
    expected = json.dumps(document.to_dict(), indent=indent, separators=separators, ensure_ascii=False)
    assert document.to_json(indent) == expected


@given(documents(broken_texts), st.none() | st.integers(0, 4))
def test_every_document_is_read_back(document: Document, indent: int | None) -> None:
    """What is written can be sent as UTF-8 and reads back as the same document, whatever its texts hold."""
    assert read_document(document.to_json(indent).encode()) == document


def test_half_of_a_surrogate_pair_is_escaped() -> None:
    """A text that UTF-8 can not hold is written in ASCII escapes."""
    event = Event("AssetSetComputeError", 0, None, None, Failure("e", "\ud800"))
    assert '{"type":"e","message":"\\ud800"}' in Document({"asset": (event,)}, {}).to_json()


# Read


def test_the_documents_own_example_is_written_back_byte_for_byte(documented: str) -> None:
    """The example in the document is read strictly, and indented by two it is the same bytes again."""
    assert read_document(documented).to_json(indent=2) == documented


def test_the_documents_own_example_is_read_as_events(documented: str) -> None:
    """An entry of the example becomes the event with its kind, exact time, size and window."""
    first = read_document(documented).lists["allocation"][0]
    assert first == Event("AllocationSetAggregated", TIME, 35, DAY)


@pytest.mark.parametrize("size", [0, 2**53 + 1, MOST])
def test_a_size_is_exact(size: int) -> None:
    """Sizes are whole numbers up to 2**63 - 1, without the loss that a float would have."""
    entry = {"kind": "AssetSetSaved", "metadata": {"size": size}, "time": "1970-01-01T00:00:00Z"}
    text = json.dumps({"code": 200, "data": {"allocation": [], "asset": [entry], "counters": {"AssetSetSaved": 1}}})
    assert read_document(text).lists["asset"][0].size == size


def test_the_order_of_lists_and_events_stays() -> None:
    """Neither lists nor events nor counters are sorted anew."""
    events = tuple(Event("AssetSetSaved", time) for time in (5, 9, 1))
    document = Document({"asset": events, "allocation": ()}, {"AssetSetSaved": 3, "AllocationSetSaved": 1})
    assert read_document(document.to_json()).to_json() == document.to_json()


WINDOW = {"start": "2022-06-03T00:00:00Z", "end": "2022-06-04T00:00:00Z"}
ERROR = {"type": "OSError", "message": "disk full"}
WHOLE: dict[str, Any] = {
    "code": 200,
    "data": {
        "allocation": [
            {"kind": "AllocationSetSaved", "metadata": {"size": 97, "window": WINDOW}, "time": "2022-06-03T16:58:41Z"},
            {"kind": "AllocationSetTotaled", "metadata": {"window": WINDOW}, "time": "2022-06-03T16:58:41Z"},
        ],
        "asset": [
            {
                "kind": "AssetSetComputeError",
                "metadata": {"error": ERROR, "operation": "save"},
                "time": "2022-06-03T16:58:41Z",
            }
        ],
        "counters": {"AllocationSetSaved": 8240, "AllocationSetTotaled": 1, "AssetSetComputeError": 1},
        "cloud": [{"kind": "CloudSetLoaded", "metadata": {}, "time": "2022-06-03T16:58:41Z"}],
    },
}
WHOLE["data"]["counters"]["CloudSetLoaded"] = 1
GONE = object()  # in place of a value: without its key


def changed(path: str, value: object) -> dict[str, Any]:
    """The whole document with another value at a path such as `data.asset[0].kind`."""
    document = {"": copy.deepcopy(WHOLE)}
    keys = ["", *(int(key) if key.isdigit() else key for key in re.findall(r"\w+", path))]
    inner: Any = document
    for key in keys[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return document[""]


def test_the_whole_document_is_accepted() -> None:
    """The document that the refusals below change is itself in order."""
    assert read_document(json.dumps(WHOLE)).counters["AllocationSetSaved"] == 8240


SAVED, TOTALED, FAILED = "data.allocation[0]", "data.allocation[1]", "data.asset[0]"
A_SIZE = f"expected a whole number from 0 to {MOST}, found"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("", [], "document: expected an object, found []"),
        ("", "text", "document: expected an object, found 'text'"),
        ("code", GONE, "document: the key 'code' is missing"),
        ("message", "x", "document: the key 'message' does not belong here"),
        ("code", 400, "code: expected 200, found 400"),
        ("code", True, "code: expected 200, found True"),
        ("code", 200.0, "code: expected 200, found 200.0"),
        ("code", "200", "code: expected 200, found '200'"),
        ("data", GONE, "document: the key 'data' is missing"),
        ("data", None, "data: expected an object, found None"),
        ("data.allocation", GONE, "data: the key 'allocation' is missing"),
        ("data.asset", GONE, "data: the key 'asset' is missing"),
        ("data.counters", GONE, "data: the key 'counters' is missing"),
        ("data.allocation", {}, "data.allocation: expected a list, found {}"),
        ("data.cloud", None, "data.cloud: expected a list, found None"),
        (SAVED, "x", f"{SAVED}: expected an object, found 'x'"),
        (f"{SAVED}.id", 1, f"{SAVED}: the key 'id' does not belong here"),
        (f"{SAVED}.kind", GONE, f"{SAVED}: the key 'kind' is missing"),
        (f"{SAVED}.kind", 5, f"{SAVED}.kind: expected a text, found 5"),
        (f"{SAVED}.kind", "AllocationSetDeleted", f"{SAVED}.kind: expected a kind, which ends in one of Saved, Loaded"),
        (f"{SAVED}.kind", "Saved", f"{SAVED}.kind: expected a kind, which ends in one of"),
        (f"{SAVED}.kind", "Allocation SetSaved", f"{SAVED}.kind: expected a kind, which ends in one of"),
        (f"{SAVED}.kind", "AssetSetSaved", f"{SAVED}.kind: expected a kind of AllocationSet, found 'AssetSetSaved'"),
        (f"{FAILED}.kind", "OtherSetSaved", f"{FAILED}.kind: expected a kind of AssetSet, found 'OtherSetSaved'"),
        ("data.cloud[0].kind", "AssetSetLoaded", "data.cloud[0].kind: expected a kind of this list's own set, found"),
        (
            "data.cloud",
            [WHOLE["data"]["cloud"][0], {"kind": "OtherSetLoaded", "metadata": {}, "time": "2022-06-03T16:58:41Z"}],
            "data.cloud[1].kind: expected a kind of CloudSet, found 'OtherSetLoaded'",
        ),
        (f"{SAVED}.time", GONE, f"{SAVED}: the key 'time' is missing"),
        (f"{SAVED}.time", 1654275521, f"{SAVED}.time: expected a text, found 1654275521"),
        (f"{SAVED}.time", "yesterday", f"{SAVED}.time: 'yesterday' is not an RFC 3339 time"),
        (f"{SAVED}.time", "2022-06-03T16:58:41", f"{SAVED}.time: '2022-06-03T16:58:41' is not an RFC 3339 time"),
        (f"{SAVED}.time", "2022-06-03T16:58:41.1234567891Z", f"{SAVED}.time: '2022-06-03T16:58:41.1234567891Z' is not"),
        (f"{SAVED}.time", "2022-02-29T16:58:41Z", f"{SAVED}.time: '2022-02-29T16:58:41Z' is not a time that exists"),
        (f"{SAVED}.metadata", GONE, f"{SAVED}: the key 'metadata' is missing"),
        (f"{SAVED}.metadata", [], f"{SAVED}.metadata: expected an object, found []"),
        (f"{SAVED}.metadata.rows", 1, f"{SAVED}.metadata: the key 'rows' does not belong here"),
        (f"{SAVED}.metadata.error", ERROR, f"{SAVED}.metadata: the key 'error' does not belong here"),
        (f"{TOTALED}.metadata.size", 1, f"{TOTALED}.metadata: the key 'size' does not belong here"),
        (f"{FAILED}.metadata.size", 1, f"{FAILED}.metadata: the key 'size' does not belong here"),
        (f"{SAVED}.metadata.size", None, f"{SAVED}.metadata.size: {A_SIZE} None"),
        (f"{SAVED}.metadata.size", True, f"{SAVED}.metadata.size: {A_SIZE} True"),
        (f"{SAVED}.metadata.size", 97.0, f"{SAVED}.metadata.size: {A_SIZE} 97.0"),
        (f"{SAVED}.metadata.size", "97", f"{SAVED}.metadata.size: {A_SIZE} '97'"),
        (f"{SAVED}.metadata.size", -1, f"{SAVED}.metadata.size: {A_SIZE} -1"),
        (f"{SAVED}.metadata.size", MOST + 1, f"{SAVED}.metadata.size: {A_SIZE} 9223372036854775808"),
        (f"{SAVED}.metadata.size", 10**4200, f"{SAVED}.metadata.size: {A_SIZE} "),
        (f"{SAVED}.metadata.size", float("nan"), f"{SAVED}.metadata.size: {A_SIZE} nan"),
        (f"{SAVED}.metadata.size", float("-inf"), f"{SAVED}.metadata.size: {A_SIZE} -inf"),
        (f"{SAVED}.metadata.window", None, f"{SAVED}.metadata.window: expected an object, found None"),
        (f"{SAVED}.metadata.window", "today", f"{SAVED}.metadata.window: expected an object, found 'today'"),
        (f"{SAVED}.metadata.window.start", GONE, f"{SAVED}.metadata.window: the key 'start' is missing"),
        (f"{SAVED}.metadata.window.end", GONE, f"{SAVED}.metadata.window: the key 'end' is missing"),
        (f"{SAVED}.metadata.window.zone", "", f"{SAVED}.metadata.window: the key 'zone' does not belong here"),
        (f"{SAVED}.metadata.window.start", 5, f"{SAVED}.metadata.window.start: expected a text, found 5"),
        (f"{SAVED}.metadata.window.end", "2022", f"{SAVED}.metadata.window.end: '2022' is not an RFC 3339 time"),
        (
            f"{SAVED}.metadata.window.start",
            "2022-06-05T00:00:00Z",
            f"{SAVED}.metadata.window: a window can not start at 2022-06-05T00:00:00Z, after its end",
        ),
        (f"{FAILED}.metadata.error", None, f"{FAILED}.metadata.error: expected an object, found None"),
        (f"{FAILED}.metadata.error", GONE, f"{FAILED}.metadata: the key 'error' is missing"),
        (f"{FAILED}.metadata.error.type", GONE, f"{FAILED}.metadata.error: the key 'type' is missing"),
        (f"{FAILED}.metadata.error.message", 5, f"{FAILED}.metadata.error.message: expected a text, found 5"),
        (f"{FAILED}.metadata.error.trace", "", f"{FAILED}.metadata.error: the key 'trace' does not belong here"),
        (f"{FAILED}.metadata.operation", 5, f"{FAILED}.metadata.operation: expected a text, found 5"),
        ("data.counters", [], "data.counters: expected an object, found []"),
        ("data.counters.Deleted", 1, "data.counters: expected a kind, which ends in one of"),
        ("data.counters.Saved", 1, "data.counters: expected a kind, which ends in one of"),
        ("data.counters.AssetSetSaved", 0, f"data.counters.AssetSetSaved: expected a whole number from 1 to {MOST}"),
        ("data.counters.AssetSetSaved", True, "data.counters.AssetSetSaved: expected a whole number"),
        ("data.counters.AssetSetSaved", 1.5, "data.counters.AssetSetSaved: expected a whole number"),
        (
            "data.counters.AllocationSetTotaled",
            GONE,
            "data.counters.AllocationSetTotaled: expected at least the 1 listed, found None",
        ),
        (
            "data.cloud",
            WHOLE["data"]["cloud"] * 3,
            "data.counters.CloudSetLoaded: expected at least the 3 listed, found 1",
        ),
    ],
)
def test_a_broken_document_is_refused_with_the_place(path: str, value: object, message: str) -> None:
    """What does not belong is refused with its place, what is found there and what belongs there."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_document(json.dumps(changed(path, value)))


@pytest.mark.parametrize(
    ("was", "twice", "message"),
    [
        ('"code"', '"code": 200, "code"', "document: the key 'code' stands twice"),
        ('"asset"', '"asset": [], "asset"', "data: the key 'asset' stands twice"),
        ('"kind"', '"kind": "AllocationSetSaved", "kind"', f"{SAVED}: the key 'kind' stands twice"),
        ('"size"', '"size": 1, "size"', f"{SAVED}.metadata: the key 'size' stands twice"),
        ('"end"', '"end": null, "end"', f"{SAVED}.metadata.window: the key 'end' stands twice"),
        ('"AssetSetComputeError": 1', '"X": 1, "X": 1', "data.counters: the key 'X' stands twice"),
        ('"2022-06-03T16:58:41Z"', '{"a": 1, "a": 1}', f"{SAVED}.time: expected a text, found"),
    ],
)
def test_a_key_that_stands_twice_is_refused(was: str, twice: str, message: str) -> None:
    """Of two values neither is taken silently: the object and the key are named."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_document(json.dumps(WHOLE).replace(was, twice, 1))


def test_a_number_of_very_many_digits_is_refused_with_its_place() -> None:
    """A number longer than Python converts is refused where it stands, like any other that is too great."""
    with pytest.raises(ValueError, match=re.escape(f"{SAVED}.metadata.size: {A_SIZE}")):
        read_document(json.dumps(WHOLE).replace("97", "9" * 10_000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 column 1"),
        ('{"code": 200,\n"data": }', "line 2 column 9"),
        ('{"code": 200} {}', "line 1 column 15"),
        (b'{"code": "\xff"}', "it is not UTF-8: .*position 10"),
        (b'{"code": "\xed\xa0\x80"}', "it is not UTF-8: .*position 10"),
        (json.dumps(WHOLE).encode("utf-16"), "it is not UTF-8"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"data":' * 100_000, "it is nested too deeply"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_json_in_utf8_is_refused(text: str | bytes, message: str) -> None:
    """Text that is not JSON, bytes that are not UTF-8 and bottomless nesting are refused with the place or reason."""
    with pytest.raises(ValueError, match=message):
        read_document(text)


@pytest.mark.parametrize("key", ["", "my list", "1st", "wölke", "\ud800", "\x1b[31m", "x" * 1_000_000 + "!"])
@pytest.mark.parametrize("place", ["data", "data.counters"])
def test_a_refusal_can_always_be_printed(place: str, key: str) -> None:
    """A key from outside is shown cut and escaped, so that the message is short and fits any terminal."""
    document = copy.deepcopy(WHOLE)
    (document["data"] if place == "data" else document["data"]["counters"])[key] = 5
    with pytest.raises(ValueError, match=f"^{place}: ") as caught:
        read_document(json.dumps(document))
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300


PLACES = ["", "code", "data", "data.allocation", "data.counters", "data.counters.AssetSetSaved", "data.cloud"] + [
    f"{entry}{field}"
    for entry in (SAVED, TOTALED, FAILED)
    for field in ("", ".kind", ".time", ".metadata", ".metadata.size", ".metadata.window", ".metadata.error")
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | broken_texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "metadata", "time", "start", "end", "type", "message"]) | texts, inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(PLACES), anything)
def test_anything_anywhere_is_read_or_refused(path: str, value: object) -> None:
    """Whatever stands at a place, the document is refused with a ValueError or read so that it is written back."""
    try:
        document = read_document(json.dumps(changed(path, value)))
    except ValueError:
        return
    assert read_document(document.to_json()) == document


def test_a_kind_with_event_behind_it_is_read_as_the_kind() -> None:
    """Older logs write `AssetSetSavedEvent`; it is kept, and written, under the kind's name."""
    text = Document({"allocation": (), "asset": (Event("AssetSetSaved", 0),)}, {"AssetSetSaved": 1}).to_json()
    assert read_document(text.replace("Saved", "SavedEvent")).to_json() == text


def test_a_counter_with_and_without_event_behind_it_is_refused() -> None:
    """Two counters of one kind can't both be right."""
    text = '{"code":200,"data":{"allocation":[],"asset":[],"counters":{"AssetSetSaved":1,"AssetSetSavedEvent":2}}}'
    with pytest.raises(ValueError, match=r"data\.counters: AssetSetSaved stands twice"):
        read_document(text)
