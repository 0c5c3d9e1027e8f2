"""`otel_kcevents.model.wire`: the attributes of spans and span events, written and read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import events_of

from otel_kcevents.model.event import KINDS, Event, Failure
from otel_kcevents.model.messages import MAX_MESSAGE
from otel_kcevents.model.window import Window
from otel_kcevents.model.wire import event_attributes, failure_attributes, failure_of, read_event, span_attributes

NOON = 1654257600 * 10**9  # 2022-06-03T12:00:00Z
DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
LONG = "x" * (MAX_MESSAGE + 1000)
CUT = "x" * MAX_MESSAGE + "…"


def read(kind: str, attributes: dict[str, Any], span: dict[str, Any] | None = None) -> tuple[Event, list[str]]:
    """Read an event, and return it with the warnings about omitted fields."""
    warnings: list[Exception] = []
    event = read_event(KINDS[kind], NOON, attributes, span or {}, warnings.append)
    return event, [str(warning) for warning in warnings]


def test_span_has_etl_operation_and_function() -> None:
    operation = {"kcevents.etl": "asset", "kcevents.operation": "save"}
    assert span_attributes("asset", "save", None) == operation
    assert span_attributes("asset", "save", "etl.save") == {**operation, "code.function.name": "etl.save"}


def test_failed_span_has_the_error_type() -> None:
    assert failure_attributes(Failure("OSError", "full", "save")) == {"error.type": "OSError"}


@pytest.mark.parametrize(
    ("event", "attributes"),
    [
        (
            Event("AllocationSetSaved", NOON, 0, DAY),
            {
                "kcevents.size": 0,
                "kcevents.window.start": "2022-06-03T00:00:00Z",
                "kcevents.window.end": "2022-06-04T00:00:00Z",
            },
        ),
        (
            Event("AssetSetTotaled", NOON, None, Window(None, "2022-06-04T00:00:00Z")),
            {"kcevents.window.end": "2022-06-04T00:00:00Z"},
        ),
        (
            Event("AssetSetComputeError", NOON, failure=Failure("OSError", "full", "save")),
            {"error.type": "OSError", "error.message": "full"},
        ),
        (Event("AssetSetReconcileError", NOON), {}),
    ],
)
def test_span_event_has_kind_and_known_fields(event: Event, attributes: dict[str, Any]) -> None:
    assert event_attributes(event) == {"kcevents.kind": event.kind, **attributes}


def test_long_failure_is_truncated_when_written_and_read() -> None:
    attributes = {"error.type": CUT, "error.message": CUT}
    event = Event("AssetSetComputeError", NOON, failure=Failure(LONG, LONG))
    assert event_attributes(event) == {"kcevents.kind": event.kind, **attributes}
    found, _ = read("AssetSetComputeError", {"error.type": LONG, "error.message": LONG}, {"kcevents.operation": LONG})
    assert found.failure == Failure(CUT, CUT, CUT)


@given(st.one_of([events_of(kind) for kind in KINDS.values()]))
def test_every_written_event_reads_back(event: Event) -> None:
    """Except a window that is open at both ends, which has no attribute."""
    operation = event.failure and event.failure.operation
    span = {} if operation is None else span_attributes("asset", operation, None)
    warnings: list[Exception] = []
    found = read_event(KINDS[event.kind], event.time, event_attributes(event), span, warnings.append)
    assert found == event._replace(window=None if event.window == Window() else event.window)
    assert warnings == []


@pytest.mark.parametrize(
    ("attributes", "value"),
    [
        *[({"kcevents.size": size}, repr(size)) for size in (-1, 2**63, 1.5, True)],
        ({"kcevents.size": "97"}, "a str of 2 characters"),
        ({"kcevents.window.start": "yesterday"}, "'yesterday'"),
        ({"kcevents.window.end": 5}, "5"),
        ({"kcevents.window.start": "2022-06-04T00:00:00Z", "kcevents.window.end": "2022-06-03T00:00:00Z"}, "swap"),
    ],
)
def test_unreadable_field_is_omitted_with_a_warning(attributes: dict[str, Any], value: str) -> None:
    event, (warning,) = read("AssetSetSaved", attributes)
    assert event == Event("AssetSetSaved", NOON)
    assert value in warning


def test_undocumented_field_is_not_read() -> None:
    attributes = {"kcevents.size": "x", "error.type": "OSError", "error.message": "full"}
    assert read("AssetSetTotaled", attributes) == (Event("AssetSetTotaled", NOON), [])


@pytest.mark.parametrize(
    ("attributes", "span", "failure"),
    [
        ({"error.type": "OSError"}, {}, Failure("OSError", "")),
        ({"error.message": 5}, {"kcevents.operation": 6}, Failure("", "5", "6")),
        ({}, {"kcevents.operation": "save"}, None),
    ],
)
def test_failure_is_read_from_partial_attributes(attributes: Any, span: Any, failure: Failure | None) -> None:
    assert read("AssetSetComputeError", attributes, span) == (Event("AssetSetComputeError", NOON, failure=failure), [])


@pytest.mark.parametrize(
    ("attributes", "failure"),
    [
        ({"error.type": "OSError", "error.message": 10**5000}, Failure("OSError", "", "save")),
        ({"error.type": ["OSError"], "error.message": "full"}, Failure("", "full", "save")),
        ({"error.message": object()}, None),
    ],
)
def test_only_the_unreadable_part_of_a_failure_is_omitted(attributes: dict[str, Any], failure: Failure | None) -> None:
    event, warnings = read("AssetSetComputeError", attributes, {"kcevents.operation": "save"})
    assert event == Event("AssetSetComputeError", NOON, failure=failure)
    assert "expected a string" in warnings[0]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "type_", "message"),
    [
        (OSError("disk full"), "OSError", "disk full"),
        (Unprintable(), f"{__name__}.Unprintable", "(the message cannot be read)"),
        (ValueError("half \ud800 pair"), "ValueError", "half ? pair"),
        (ValueError(LONG), "ValueError", CUT),
    ],
    ids=["builtin", "own", "surrogate", "long"],
)
def test_exception_becomes_a_failure(error: BaseException, type_: str, message: str) -> None:
    assert failure_of(error, "save") == Failure(type_, message, "save")
