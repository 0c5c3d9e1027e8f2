"""`RecordSet`: direct emission, and sets with their own names, logs and providers."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from conftest import run_program
from opentelemetry.trace import StatusCode
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.event import OPERATIONS, Event, Failure
from otel_kcevents.record.record_set import RecordSet, allocation, asset
from otel_kcevents.store.log import EventLog, default_log

SETS = {"allocation": "AllocationSet", "asset": "AssetSet"}
OPERATION_OF = {
    "saved": "save",
    "loaded": "load",
    "aggregated": "aggregate",
    "totaled": "total",
    "reconciled": "reconcile",
    "compute_error": "compute",
    "reconcile_error": "reconcile",
}
TIME = 1654275521_289194368


# Direct emission


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize("outcome", OPERATION_OF)
@pytest.mark.parametrize("form", ["{outcome}", "{kind}", "{kind}Event"])
def test_every_outcome_can_be_emitted(telemetry: Telemetry, etl: str, outcome: str, form: str) -> None:
    kind = SETS[etl] + outcome.title().replace("_", "")
    getattr(telemetry, etl).emit(form.format(outcome=outcome, kind=kind), window=(DAY.start, DAY.end))
    assert (telemetry.event.kind, telemetry.event.window) == (kind, DAY)
    assert telemetry.span_event.name == kind


@pytest.mark.parametrize(("outcome", "operation"), OPERATION_OF.items())
def test_emission_is_an_instant_span_of_its_operation(telemetry: Telemetry, outcome: str, operation: str) -> None:
    with telemetry.tracer.start_as_current_span("nightly") as nightly:
        telemetry.asset.emit(outcome)
    span, _ = telemetry.spans
    assert (span.name, span.parent) == (f"{operation} AssetSet", nightly.get_span_context())
    assert span.start_time == span.end_time == span.events[0].timestamp == telemetry.event.time


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (TIME, TIME),
        (datetime(2022, 6, 3, 16, 58, 41, 289194, timezone.utc), TIME - 368),
        ("2022-06-03T16:58:41.289194368Z", TIME),
    ],
    ids=["nanoseconds", "datetime", "string"],
)
def test_emission_may_have_an_earlier_time(telemetry: Telemetry, time: Any, expected: int) -> None:
    telemetry.asset.emit("compute_error", error=OSError("full"), time=time)
    span = telemetry.span
    times = [event.timestamp for event in span.events]
    assert [span.start_time, span.end_time, telemetry.event.time, *times] == [expected] * 5


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OSError("full"), ("OSError", "full")),
        ("disk full", ("Error", "disk full")),
        ("half \ud800 pair", ("Error", "half ? pair")),
        ("x" * 10**6, ("Error", "x" * 4096 + "…")),
        (None, ("Error", "no error was given")),
        (Unprintable(), (f"{__name__}.Unprintable", "(the message cannot be read)")),
    ],
    ids=["exception", "string", "lone surrogate", "1 MB", "none", "unprintable"],
)
def test_emitted_error_is_an_exception_or_a_string(telemetry: Telemetry, error: Any, failure: tuple[str, str]) -> None:
    telemetry.asset.emit("compute_error", error=error)
    assert telemetry.event.failure == Failure(*failure, "compute")
    assert telemetry.span.status.status_code is StatusCode.ERROR
    recorded = [event.name for event in telemetry.span.events if event.name == "exception"]
    assert len(recorded) == isinstance(error, Exception)


@pytest.mark.parametrize("outcome", ["compute_error", "reconcile_error"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_emitted_error_names_the_operation_that_failed(telemetry: Telemetry, outcome: str, operation: str) -> None:
    telemetry.asset.emit(outcome, error="disk full", operation=operation)
    kind, failure = "AssetSet" + outcome.title().replace("_", ""), Failure("Error", "disk full", operation)
    assert telemetry.event == Event(kind, telemetry.event.time, failure=failure)
    assert telemetry.span.name == f"{operation} AssetSet"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"outcome": "deleted"}, "'deleted' .* saved, loaded, aggregated, totaled, reconciled, compute_error, reconc"),
        ({"outcome": "AllocationSetSaved"}, "'AllocationSetSaved' .* saved, loaded, aggregated, totaled"),
        ({"operation": "delete"}, "'delete' .* save, load, aggregate, total, reconcile, compute"),
        ({"time": -1}, "-1 .* 1970 .* 2262"),
        ({"time": 2**63}, "9223372036854775808 .* 1970 .* 2262"),
        ({"time": datetime(1969, 12, 31)}, r"datetime.datetime\(1969, 12, 31, 0, 0\) .* 1970 .* 2262"),
        ({"time": "noon"}, "'noon' .* RFC 3339"),
    ],
    ids=str,
)
def test_invalid_emission_is_refused(telemetry: Telemetry, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        telemetry.asset.emit(**{"outcome": "saved", **wrong})
    assert (telemetry.spans, telemetry.events) == ([], [])


@pytest.mark.parametrize(
    ("outcome", "field"),
    [
        ("saved", {"window": "someday"}),
        ("saved", {"window": 5}),
        ("saved", {"size": -1}),
        ("saved", {"size": True}),
        ("saved", {"size": 2**63}),
        ("saved", {"size": str.split}),
        ("saved", {"error": "disk full"}),
        ("totaled", {"size": 5}),
        ("compute_error", {"size": 5}),
    ],
    ids=str,
)
def test_unusable_field_is_omitted_with_one_warning(
    telemetry: Telemetry, warned: Warned, outcome: str, field: dict[str, Any]
) -> None:
    for _ in range(3):
        telemetry.asset.emit(outcome, **field)
    assert [(event.size, event.window) for event in telemetry.events] == [(None, None)] * 3
    (warning,) = warned()
    assert f": the {next(iter(field))} is " in warning


# Names, logs and providers


def test_set_of_ones_own_has_its_kinds_list_and_label(telemetry: Telemetry) -> None:
    telemetry.record_set("cloudCost", "CloudCostSet").emit("saved", size=2, window=DAY)
    event = Event("CloudCostSetSaved", telemetry.event.time, 2, DAY)
    assert telemetry.log.document().lists["cloudCost"] == (event,)
    assert telemetry.counters == {("cloudCost", "CloudCostSetSaved"): 1}
    assert telemetry.span.name == "save CloudCostSet"


@pytest.mark.parametrize(
    ("etl", "set_name", "message"),
    [
        ("cloud cost", "C", "'cloud cost'.* letters"),
        ("cloud", "9C", "'9C'.* letters"),
        ("counters", "C", "'counters'"),
        ("cloud", "AssetSet", "'AssetSet"),
        ("asset", "C", "'asset'"),
    ],
)
def test_invalid_or_taken_name_is_refused(etl: str, set_name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecordSet(etl, set_name, log=EventLog())


def test_allocation_and_asset_share_the_process_wide_log() -> None:
    assert allocation.log is asset.log is default_log


def test_sets_with_logs_of_their_own_do_not_mix(telemetry: Telemetry) -> None:
    other, before = Telemetry(), default_log.counts()
    telemetry.allocation.emit("saved", size=1)
    other.allocation.emit("saved", size=2)
    other.asset.emit("totaled")
    assert (telemetry.event.size, len(telemetry.spans)) == (1, 1)
    assert telemetry.counters == {("allocation", "AllocationSetSaved"): 1}
    assert (other.events[0].size, len(other.spans)) == (2, 2)
    assert other.counters == {("allocation", "AllocationSetSaved"): 1, ("asset", "AssetSetTotaled"): 1}
    assert default_log.counts() == before


def test_global_providers_may_be_set_later() -> None:
    out, err = run_program("providers_set_later")
    assert out.splitlines() == [
        "['save AllocationSet', 'save AllocationSet']",
        "{('allocation', 'AllocationSetSaved'): 3} {'AllocationSetSaved': 3}",
    ]
    assert err == ""


def test_repr_shows_the_names(telemetry: Telemetry) -> None:
    assert repr(telemetry.asset) == "RecordSet('asset', 'AssetSet')"
    assert repr(telemetry.asset.save) == "<save AssetSet>"
