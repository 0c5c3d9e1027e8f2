"""`otel_kcevents.model.document`: the log's JSON, written and read."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import documents, texts, texts_with_surrogates

from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import MAX_SIZE, Event, Failure
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.model.window import Window

TIME = "2022-06-03T16:58:41Z"
NS = parse_time(TIME)
DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
WINDOW = {"start": "2022-06-03T00:00:00Z", "end": "2022-06-04T00:00:00Z"}
ERROR = {"type": "OSError", "message": "disk full"}


def entry(kind: str, **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": metadata, "time": TIME}


VALID: dict[str, Any] = {
    "code": 200,
    "data": {
        "allocation": [
            entry("AllocationSetSaved", size=97, window=WINDOW),
            entry("AllocationSetTotaled", window=WINDOW),
        ],
        "asset": [entry("AssetSetComputeError", error=ERROR, operation="save")],
        "counters": {"AllocationSetSaved": 8240, "AllocationSetTotaled": 1, "AssetSetComputeError": 1},
        "cloud": [entry("CloudSetLoaded")],
    },
}
VALID["data"]["counters"]["CloudSetLoaded"] = 1
SAVED, TOTALED, FAILED = "data.allocation[0]", "data.allocation[1]", "data.asset[0]"
MISSING = object()  # in place of a value: removes its key


def changed(path: str, value: object) -> str:
    """Return the valid document with another value at a path such as `data.asset[0].kind`."""
    document = {"": copy.deepcopy(VALID)}
    keys = ["", *(int(key) if key.isdigit() else key for key in re.findall(r"\w+", path))]
    parent: Any = document
    for key in keys[:-1]:
        parent = parent[key]
    if value is MISSING:
        del parent[keys[-1]]
    else:
        parent[keys[-1]] = value
    return json.dumps(document[""])


def of(*events: dict[str, Any], **counters: int) -> str:
    """Return a document with events in the list of assets."""
    data = {"allocation": [], "asset": events, "counters": counters}
    return json.dumps({"code": 200, "data": data}, separators=(",", ":"))


# Written


@given(documents(), st.none() | st.integers(0, 4))
def test_json_equals_json_dumps(document: Document, indent: int | None) -> None:
    separators = (",", ":") if indent is None else None
    expected = json.dumps(document.to_dict(), indent=indent, separators=separators, ensure_ascii=False)
    assert document.to_json(indent) == expected


def test_document_has_an_envelope_and_counters_last() -> None:
    document = Document({"allocation": (), "asset": (Event("AssetSetLoaded", 0),)}, {"AssetSetLoaded": 7})
    assert document.to_json() == (
        '{"code":200,"data":{"allocation":[],"asset":[{"kind":"AssetSetLoaded","metadata":{},'
        '"time":"1970-01-01T00:00:00Z"}],"counters":{"AssetSetLoaded":7}}}'
    )


def test_lone_surrogate_is_escaped() -> None:
    """UTF-8 cannot encode it."""
    event = Event("AssetSetComputeError", 0, failure=Failure("é", "\ud800"))
    assert '{"type":"\\u00e9","message":"\\ud800"}' in Document({"asset": (event,)}, {}).to_json()


def test_document_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(Document({}, {}), "lists", {})  # noqa: B010 - mypy refuses the plain assignment, as it should


# Read


@pytest.mark.parametrize("strict", [False, True])
@given(documents(texts_with_surrogates), st.none() | st.integers(0, 4))
def test_every_document_reads_back_from_utf8(strict: bool, document: Document, indent: int | None) -> None:
    assert read_document(document.to_json(indent).encode(), strict=strict) == document


def test_example_of_the_specification_is_written_back(documented: str) -> None:
    """Byte for byte; its entries are read as events."""
    document = read_document(documented, strict=True)
    assert document.to_json(indent=2) == documented
    time = 1654275521_289194368
    assert document.lists["allocation"][0] == Event("AllocationSetAggregated", time, 35, DAY)


@pytest.mark.parametrize("size", [0, 2**53 + 1, MAX_SIZE])
def test_size_is_exact(size: int) -> None:
    assert read_document(changed(f"{SAVED}.metadata.size", size)).lists["allocation"][0].size == size


def test_lists_events_and_counters_keep_their_order() -> None:
    events = tuple(Event("AssetSetSaved", time) for time in (5, 9, 1))
    document = Document({"asset": events, "allocation": ()}, {"AssetSetSaved": 3, "AllocationSetSaved": 1})
    assert read_document(document.to_json()).to_json() == document.to_json()


def test_event_suffix_of_a_known_kind_is_removed() -> None:
    text = of(entry("AssetSetSaved", size=5), AssetSetSaved=1)
    assert read_document(text.replace("Saved", "SavedEvent"), strict=True).to_json() == text


# Unknown kinds and fields


def read_both(text: str, place: str) -> Document:
    """Read a document, after checking that strict reading refuses it at *place*."""
    with pytest.raises(ValueError, match=f"^{re.escape(place)}"):
        read_document(text, strict=True)
    document = read_document(text)
    assert read_document(document.to_json()) == document
    assert {event for events in document.lists.values() for event in events}  # hashable
    return document


@pytest.mark.parametrize("kind", ["AssetSetDeletedEvent", "AssetSetDeleted", "AssetSetDailySavedEvent", "größe \x1b"])
def test_unknown_kind_is_kept(kind: str) -> None:
    document = read_both(of(entry(kind, size=5), **{kind: 2}), "data.asset[0].kind: expected a kind")
    assert document == Document({"allocation": (), "asset": (Event(kind, NS, 5),)}, {kind: 2})


def test_unknown_kind_in_the_list_of_an_added_set_is_kept() -> None:
    text = changed("data.cloud", [entry("Cloudy"), entry("CloudSetLoadedEvent"), entry("OtherSetLoaded")])
    text = text.replace('"counters": {', '"counters": {"Cloudy": 1, "OtherSetLoaded": 1, ')
    document = read_both(text, "data.cloud[0].kind: expected a kind")
    assert [event.kind for event in document.lists["cloud"]] == ["Cloudy", "CloudSetLoaded", "OtherSetLoaded"]


@pytest.mark.parametrize(("listed", "counted"), [("XEvent", "X"), ("X", "XEvent")])
def test_counter_of_an_unknown_kind_ignores_the_event_suffix(listed: str, counted: str) -> None:
    assert read_document(of(entry(listed), **{counted: 1})).counters == {counted: 1}
    with pytest.raises(ValueError, match=r"data\.counters\.X: expected at least the 2 listed, found 1"):
        read_document(of(entry(listed), entry(listed), **{counted: 1}))


def test_counter_of_an_unknown_kind_is_kept() -> None:
    assert read_both(changed("data.counters.Deleted", 3), "data.counters: ").counters["Deleted"] == 3


@pytest.mark.parametrize(
    ("metadata", "extra"),
    [
        ({"size": 5, "window": WINDOW, "error": ERROR, "operation": "save"}, None),
        ({"size": 5, "window": WINDOW, "error": ERROR, "operation": 6}, {"operation": 6}),
        ({"operation": "save"}, {"operation": "save"}),
        *[({"size": size}, {"size": size}) for size in ("three", -1, 2**63, 1.5, None)],
        ({"window": {"start": "soon", "end": None}}, {"window": {"start": "soon", "end": None}}),
        ({"error": {**ERROR, "trace": []}}, {"error": {**ERROR, "trace": []}}),
        (
            {"b": [1, {"c": None}], "a": "\ud800", "Größe": 10**600},
            {"b": [1, {"c": None}], "a": "\ud800", "Größe": 10**600},
        ),
    ],
)
def test_documented_metadata_of_an_unknown_kind_is_parsed(metadata: dict[str, Any], extra: Any) -> None:
    """Values that do not fit their field are kept as written."""
    (event,) = read_document(of(entry("Deleted", **metadata), Deleted=1)).lists["asset"]
    assert (event.extra and json.loads(event.extra)) == extra
    assert event.to_dict()["metadata"] == metadata
    kept = extra or {}
    assert event.size == (None if "size" in kept else metadata.get("size"))
    assert event.window == (DAY if "window" in metadata and "window" not in kept else None)
    operation = metadata.get("operation") if "operation" not in kept else None
    assert event.failure == (
        Failure("OSError", "disk full", operation) if "error" in metadata and "error" not in kept else None
    )


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        (SAVED, "cluster", {"name": "a", "nodes": [1, 2.5, None, True]}),
        (SAVED, "error", ERROR),
        (SAVED, "operation", "save"),
        (TOTALED, "size", "three"),
        (FAILED, "size", 1),
        (FAILED, "", 1),
    ],
)
def test_undocumented_field_is_kept_as_written(place: str, field: str, value: Any) -> None:
    document = VALID["data"][place.split(".")[1][:-3]][int(place[-2])]
    metadata = {**document["metadata"], field: value}
    read = read_both(changed(f"{place}.metadata", metadata), f"{place}.metadata: the key '{field}'")
    event = read.lists[place.split(".")[1][:-3]][int(place[-2])]
    assert json.loads(event.extra or "") == {field: value}
    assert event.to_dict()["metadata"] == metadata


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1e999", "expected a finite number, found inf"),
        ("[NaN]", "expected a finite number, found nan"),
        ("9" * 700, "expected a finite number, found inf"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' appears twice"),
        ("[" * 60 + "]" * 60, "nested more than 50 levels deep"),
    ],
)
def test_unknown_value_that_cannot_be_written_is_refused(value: str, message: str) -> None:
    text = changed(f"{SAVED}.metadata.cluster", "VALUE").replace('"VALUE"', value)
    with pytest.raises(ValueError, match=re.escape(f"{SAVED}.metadata.cluster: {message}")):
        read_document(text)


# Refused


A_SIZE = f"expected an integer from 0 to {MAX_SIZE}, found"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("", [], "document: expected an object, found []"),
        ("", "text", "document: expected an object, found 'text'"),
        ("code", MISSING, "document: the key 'code' is missing"),
        ("message", "x", "document: the key 'message' does not belong here"),
        ("code", 400, "code: expected 200, found 400"),
        ("code", True, "code: expected 200, found True"),
        ("code", 200.0, "code: expected 200, found 200.0"),
        ("code", "200", "code: expected 200, found '200'"),
        ("data", MISSING, "document: the key 'data' is missing"),
        ("data", None, "data: expected an object, found None"),
        ("data.allocation", MISSING, "data: the key 'allocation' is missing"),
        ("data.asset", MISSING, "data: the key 'asset' is missing"),
        ("data.counters", MISSING, "data: the key 'counters' is missing"),
        ("data.allocation", {}, "data.allocation: expected a list, found {}"),
        (SAVED, "x", f"{SAVED}: expected an object, found 'x'"),
        (f"{SAVED}.id", 1, f"{SAVED}: the key 'id' does not belong here"),
        (f"{SAVED}.kind", MISSING, f"{SAVED}: the key 'kind' is missing"),
        (f"{SAVED}.kind", 5, f"{SAVED}.kind: expected a string, found 5"),
        (f"{SAVED}.kind", "AssetSetSaved", f"{SAVED}.kind: expected a kind of AllocationSet, found 'AssetSetSaved'"),
        ("data.cloud[0].kind", "AssetSetLoaded", "data.cloud[0].kind: expected a kind of this list's own set, found"),
        (f"{SAVED}.kind", "", f"{SAVED}.kind: expected a kind, which ends in one of"),
        (f"{SAVED}.time", MISSING, f"{SAVED}: the key 'time' is missing"),
        (f"{SAVED}.time", 1654275521, f"{SAVED}.time: expected a string, found 1654275521"),
        (f"{SAVED}.time", "yesterday", f"{SAVED}.time: 'yesterday' is not an RFC 3339 time"),
        (f"{SAVED}.time", "2022-06-03T16:58:41", f"{SAVED}.time: '2022-06-03T16:58:41' is not an RFC 3339 time"),
        (f"{SAVED}.time", "2022-06-03T16:58:41.1234567891Z", f"{SAVED}.time: '2022-06-03T16:58:41.1234567891Z' is not"),
        (f"{SAVED}.time", "2022-02-29T16:58:41Z", f"{SAVED}.time: '2022-02-29T16:58:41Z' is not a time that exists"),
        (f"{SAVED}.metadata", MISSING, f"{SAVED}: the key 'metadata' is missing"),
        (f"{SAVED}.metadata", [], f"{SAVED}.metadata: expected an object, found []"),
        (f"{SAVED}.metadata.size", True, f"{SAVED}.metadata.size: {A_SIZE} True"),
        (f"{SAVED}.metadata.size", 97.0, f"{SAVED}.metadata.size: {A_SIZE} 97.0"),
        (f"{SAVED}.metadata.size", "97", f"{SAVED}.metadata.size: {A_SIZE} '97'"),
        (f"{SAVED}.metadata.size", -1, f"{SAVED}.metadata.size: {A_SIZE} -1"),
        (f"{SAVED}.metadata.size", MAX_SIZE + 1, f"{SAVED}.metadata.size: {A_SIZE} 9223372036854775808"),
        (f"{SAVED}.metadata.size", 10**4200, f"{SAVED}.metadata.size: {A_SIZE} "),
        (f"{SAVED}.metadata.size", float("nan"), f"{SAVED}.metadata.size: {A_SIZE} nan"),
        (f"{SAVED}.metadata.size", float("-inf"), f"{SAVED}.metadata.size: {A_SIZE} -inf"),
        (f"{SAVED}.metadata.window", "today", f"{SAVED}.metadata.window: expected an object, found 'today'"),
        (f"{SAVED}.metadata.window.start", MISSING, f"{SAVED}.metadata.window: the key 'start' is missing"),
        (f"{SAVED}.metadata.window.end", MISSING, f"{SAVED}.metadata.window: the key 'end' is missing"),
        (f"{SAVED}.metadata.window.zone", "", f"{SAVED}.metadata.window: the key 'zone' does not belong here"),
        (f"{SAVED}.metadata.window.start", 5, f"{SAVED}.metadata.window.start: expected a string, found 5"),
        (f"{SAVED}.metadata.window.end", "2022", f"{SAVED}.metadata.window.end: '2022' is not an RFC 3339 time"),
        (
            f"{SAVED}.metadata.window.start",
            "2022-06-05T00:00:00Z",
            f"{SAVED}.metadata.window: a window cannot start at 2022-06-05T00:00:00Z, after its end",
        ),
        ("data.counters", {"": 1}, "data.counters: expected a kind, which ends in one of"),
        ("data.counters", [], "data.counters: expected an object, found []"),
        ("data.counters.AssetSetSaved", 0, f"data.counters.AssetSetSaved: expected an integer from 1 to {MAX_SIZE}"),
        ("data.counters.AssetSetSaved", True, "data.counters.AssetSetSaved: expected an integer"),
        ("data.counters.AssetSetSaved", 1.5, "data.counters.AssetSetSaved: expected an integer"),
        (
            "data.counters.AllocationSetTotaled",
            MISSING,
            "data.counters.AllocationSetTotaled: expected at least the 1 listed, found None",
        ),
        (
            "data.cloud",
            VALID["data"]["cloud"] * 3,
            "data.counters.CloudSetLoaded: expected at least the 3 listed, found 1",
        ),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_invalid_document_error_shows_the_place(path: str, value: object, message: str, strict: bool) -> None:
    """It also shows the value found there and what was expected."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_document(changed(path, value), strict=strict)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{SAVED}.metadata.size", None, f"{SAVED}.metadata.size: {A_SIZE} None"),
        (f"{SAVED}.metadata.window", None, f"{SAVED}.metadata.window: expected an object, found None"),
        (f"{FAILED}.metadata.error", None, f"{FAILED}.metadata.error: expected an object, found None"),
        (f"{FAILED}.metadata.error", MISSING, f"{FAILED}.metadata: the key 'error' is missing"),
        (f"{FAILED}.metadata.error.type", MISSING, f"{FAILED}.metadata.error: the key 'type' is missing"),
        (f"{FAILED}.metadata.error.message", 5, f"{FAILED}.metadata.error.message: expected a string, found 5"),
        (f"{FAILED}.metadata.error.trace", "", f"{FAILED}.metadata.error: the key 'trace' does not belong here"),
        (f"{FAILED}.metadata.operation", 5, f"{FAILED}.metadata.operation: expected a string, found 5"),
    ],
)
def test_null_and_error_in_another_format_are_kept(path: str, value: object, message: str) -> None:
    """The Events API does not document an error's form."""
    text = changed(path, value)
    assert read_both(text, message).to_dict() == json.loads(text)


def test_null_list_metadata_and_counters_are_empty() -> None:
    """As a program in Go writes them."""
    text = '{"code": 200, "data": {"allocation": null, "asset": [], "counters": null}}'
    assert read_document(text) == Document({"allocation": (), "asset": ()}, {})
    assert read_document(changed(f"{SAVED}.metadata", None)).lists["allocation"][0] == Event("AllocationSetSaved", NS)
    for place, broken in (("data.allocation", text), (f"{SAVED}.metadata", changed(f"{SAVED}.metadata", None))):
        with pytest.raises(ValueError, match=f"^{re.escape(place)}: expected .*, found None"):
            read_document(broken, strict=True)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{SAVED}.kind", "AllocationSetDeleted", "a kind, which ends in one of Saved, Loaded"),
        (f"{SAVED}.kind", "Saved", "a kind, which ends in one of"),
        (f"{SAVED}.kind", "Allocation SetSaved", "a kind, which ends in one of"),
        (f"{FAILED}.kind", "OtherSetSaved", "a kind of AssetSet, found 'OtherSetSaved'"),
        ("data.counters", {"Saved": 1}, "a kind, which ends in one of"),
    ],
)
def test_unknown_kind_is_refused_if_strict(path: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(path)}: expected {re.escape(message)}"):
        read_document(changed(path, value), strict=True)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("original", "repeated", "message"),
    [
        ('"code"', '"code": 200, "code"', "document: the key 'code'"),
        ('"asset"', '"asset": [], "asset"', "data: the key 'asset'"),
        ('"kind"', '"kind": "AllocationSetSaved", "kind"', f"{SAVED}: the key 'kind'"),
        ('"size"', '"size": 1, "size"', f"{SAVED}.metadata: the key 'size'"),
        ('"end"', '"end": null, "end"', f"{SAVED}.metadata.window: the key 'end'"),
        ('"AssetSetComputeError": 1', '"X": 1, "X": 1', "data.counters: the key 'X'"),
        (f'"{TIME}"', '{"a": 1, "a": 1}', f"{SAVED}.time: expected a string, found"),
    ],
)
def test_repeated_key_is_refused(original: str, repeated: str, message: str, strict: bool) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_document(json.dumps(VALID).replace(original, repeated, 1), strict=strict)


def test_repeated_key_in_a_window_of_an_unknown_kind_is_refused() -> None:
    text = of(entry("Deleted", window=WINDOW), Deleted=1).replace('"end"', '"end":null,"end"')
    with pytest.raises(ValueError, match=r"data\.asset\[0\]\.metadata\.window: the key 'end' appears twice"):
        read_document(text)


@pytest.mark.parametrize("strict", [False, True])
def test_counter_with_and_without_event_suffix_is_refused(strict: bool) -> None:
    with pytest.raises(ValueError, match=r"data\.counters: 'AssetSetSaved' appears twice"):
        read_document(of(AssetSetSaved=1, AssetSetSavedEvent=2), strict=strict)


def test_number_with_10000_digits_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match=re.escape(f"{SAVED}.metadata.size: {A_SIZE}")):
        read_document(json.dumps(VALID).replace("97", "9" * 10_000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 column 1"),
        ('{"code": 200,\n"data": }', "line 2 column 9"),
        ('{"code": 200} {}', "line 1 column 15"),
        (b'{"code": "\xff"}', "it is not UTF-8: .*position 10"),
        (b'{"code": "\xed\xa0\x80"}', "it is not UTF-8: .*position 10"),
        (json.dumps(VALID).encode("utf-16"), "it is not UTF-8"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"data":' * 100_000, "it is nested too deeply"),
    ],
    ids=lambda value: value[:20],
)
def test_input_that_is_not_utf8_json_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_document(text)


@pytest.mark.parametrize("key", ["", "my list", "1st", "wölke", "\ud800", "\x1b[31m", "x" * 1_000_000 + "!"])
@pytest.mark.parametrize(
    ("place", "value"), [("data", 5), ("data.counters", 0), (f"{SAVED}.metadata", float("nan"))], ids=str
)
def test_message_about_a_key_is_short_and_printable(place: str, value: Any, key: str) -> None:
    document = copy.deepcopy(VALID)
    data = document["data"]
    parents = {"data": data, "data.counters": data["counters"], f"{SAVED}.metadata": data["allocation"][0]["metadata"]}
    parents[place][key] = value
    with pytest.raises(ValueError, match=f"^{re.escape(place)}") as caught:
        read_document(json.dumps(document))
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 300


PLACES = ["", "code", "data", "data.allocation", "data.counters", "data.counters.AssetSetSaved", "data.cloud"] + [
    f"{entry}{field}"
    for entry in (SAVED, TOTALED, FAILED)
    for field in ("", ".kind", ".time", ".metadata", ".metadata.size", ".metadata.window", ".metadata.error")
]
KEYS = st.sampled_from(["kind", "metadata", "time", "start", "end", "type", "message"]) | texts
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts_with_surrogates,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(PLACES), anything, st.booleans())
def test_any_value_in_any_place_is_read_or_refused(path: str, value: object, strict: bool) -> None:
    """A document that is not refused with a ValueError can be written and read back."""
    try:
        document = read_document(changed(path, value), strict=strict)
    except ValueError:
        return
    assert read_document(document.to_json(), strict=strict) == document
