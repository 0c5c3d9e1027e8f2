"""`Recorder`: what it records on the span, in the log and in the counter, and that it never affects the call."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from conftest import run_program
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.event import OPERATIONS, Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog
from otel_kcevents.version import __version__

SETS = {"allocation": "AllocationSet", "asset": "AssetSet"}
SUCCESSES = [
    ("save", "Saved", {"kcevents.size": 3}),
    ("load", "Loaded", {"kcevents.size": 3}),
    ("aggregate", "Aggregated", {"kcevents.size": 3}),
    ("total", "Totaled", {}),
    ("reconcile", "Reconciled", {}),
]
FAILURES = [(operation, "ReconcileError" if operation == "reconcile" else "ComputeError") for operation in OPERATIONS]
ENDS = {"kcevents.window.start": "2022-06-03T00:00:00Z", "kcevents.window.end": "2022-06-04T00:00:00Z"}


def work(rows: list[int], window: Any) -> list[int]:
    return list(rows)


# Log, span and counter


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize(("operation", "suffix", "size"), SUCCESSES)
def test_success_is_in_log_span_and_counter(
    telemetry: Telemetry, etl: str, operation: str, suffix: str, size: dict[str, int]
) -> None:
    """With the window, and with the size if the kind documents one."""
    getattr(getattr(telemetry, etl), operation)(work)([1, 2, 3], DAY)
    kind, event = SETS[etl] + suffix, telemetry.event
    assert telemetry.log.document().lists[etl] == (event,)
    assert event == Event(kind, event.time, size.get("kcevents.size"), DAY)
    assert telemetry.counters == {(etl, kind): 1}
    assert telemetry.span_event.name == kind
    assert telemetry.span_event.attributes == {"kcevents.kind": kind, **size, **ENDS}
    assert telemetry.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize(("operation", "suffix"), FAILURES)
def test_failure_is_in_log_span_and_counter(telemetry: Telemetry, etl: str, operation: str, suffix: str) -> None:
    """With the window, the error's type and message, and the operation; the exception is recorded on the span."""

    def fail(rows: list[int], window: Any) -> None:
        raise json.JSONDecodeError("bad bill", "", 0)

    with pytest.raises(json.JSONDecodeError):
        getattr(getattr(telemetry, etl), operation)(fail)([1, 2, 3], DAY)
    kind, error, message = SETS[etl] + suffix, "json.decoder.JSONDecodeError", "bad bill: line 1 column 1 (char 0)"
    event, span, (exception, span_event) = telemetry.event, telemetry.span, telemetry.span.events
    assert event == Event(kind, event.time, None, DAY, Failure(error, message, operation))
    assert telemetry.counters == {(etl, kind): 1}
    assert span_event.name == kind
    assert span_event.attributes == {"kcevents.kind": kind, "error.type": error, "error.message": message, **ENDS}
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, f"JSONDecodeError: {message}")
    assert (span.attributes or {})["error.type"] == error
    assert (exception.name, (exception.attributes or {})["exception.message"]) == ("exception", message)


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_span_has_the_documented_names(telemetry: Telemetry, etl: str, operation: str) -> None:
    getattr(getattr(telemetry, etl), operation)(work)([], None)
    span = telemetry.span
    assert (span.name, span.kind) == (f"{operation} {SETS[etl]}", SpanKind.INTERNAL)
    assert span.attributes == {
        "kcevents.etl": etl,
        "kcevents.operation": operation,
        "code.function.name": f"{__name__}.work",
    }
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("otel_kcevents", __version__)


@pytest.mark.parametrize(
    ("provider", "spans"), [(None, 1), (trace.NoOpTracerProvider(), 0)], ids=["traced", "not traced"]
)
def test_successful_compute_is_only_a_span(provider: Any, spans: int) -> None:
    telemetry = Telemetry(tracer_provider=provider)
    assert telemetry.asset.compute(work)([1], DAY) == [1]
    assert (telemetry.events, telemetry.counters) == ([], {})
    assert [span.events for span in telemetry.spans] == [()] * spans


def test_span_ends_at_the_events_time(telemetry: Telemetry) -> None:
    telemetry.asset.total(work)([], DAY)
    assert telemetry.event.time == telemetry.span_event.timestamp == telemetry.span.end_time


def test_each_event_has_a_span_of_its_own(telemetry: Telemetry) -> None:
    """The SDK's limit of 128 events for each span loses none of them."""
    with telemetry.tracer.start_as_current_span("nightly") as nightly:
        for _ in range(500):
            telemetry.allocation.emit("saved", size=1)
    *spans, last = telemetry.spans
    assert (last.name, last.events) == ("nightly", ())
    assert [[event.name for event in span.events] for span in spans] == [["AllocationSetSaved"]] * 500
    assert all(span.parent == nightly.get_span_context() for span in spans)


def test_caller_context_is_current_inside(telemetry: Telemetry) -> None:
    token = attach(baggage.set_baggage("tenant", "blue"))
    assert telemetry.asset.compute(baggage.get_baggage)("tenant") == "blue"
    detach(token)


def test_consumers_of_the_log_receive_the_span_ids(telemetry: Telemetry) -> None:
    received: list[Any] = []
    detach_consumer = telemetry.log.attach(lambda *event: received.append(event))
    telemetry.asset.save(work)([1], DAY)
    detach_consumer()
    assert received == [(telemetry.event, telemetry.span.context.span_id, telemetry.span.context.trace_id)]


def test_function_that_ends_its_span_is_logged(telemetry: Telemetry) -> None:
    """Its span has no event."""

    @telemetry.asset.load
    def load() -> list[int]:
        trace.get_current_span().end()
        return [1, 2]

    load()
    assert telemetry.event.size == 2
    assert telemetry.span.events == ()


# Without spans


def test_log_is_complete_if_nothing_is_sampled() -> None:
    telemetry = Telemetry(ALWAYS_OFF)
    save = telemetry.allocation.save(work)
    with telemetry.tracer.start_as_current_span("nightly"):
        for _ in range(250):
            save([1], DAY)
            telemetry.allocation.emit("saved", size=1)
    with pytest.raises(TypeError):
        save(None, DAY)  # type: ignore[arg-type]
    assert telemetry.spans == []
    assert telemetry.counters == {
        ("allocation", "AllocationSetComputeError"): 1,
        ("allocation", "AllocationSetSaved"): 500,
    }
    assert [event.size for event in telemetry.events] == [1] * 256 + [None]


def test_log_is_complete_without_an_sdk() -> None:
    """A remote span context stays current inside the calls."""
    assert run_program("no_sdk") == ("{'AllocationSetLoaded': 2, 'AllocationSetSaved': 501} 7\n", "")


def test_current_span_stays_if_nothing_is_traced(telemetry: Telemetry) -> None:
    """Attributes that the function sets on it are not lost."""
    other = Telemetry(tracer_provider=trace.NoOpTracerProvider())
    with telemetry.tracer.start_as_current_span("nightly") as nightly:
        assert other.asset.compute(trace.get_current_span)() is nightly


def test_call_that_is_not_sampled_has_its_own_span() -> None:
    """So that spans inside are not sampled either."""
    telemetry = Telemetry(ALWAYS_OFF)
    inside = telemetry.asset.compute(trace.get_current_span)
    with telemetry.tracer.start_as_current_span("nightly") as nightly:
        for span in (inside(), telemetry.asset.compute(inside)()):
            assert span.get_span_context().is_valid
            assert span.get_span_context().span_id != nightly.get_span_context().span_id


def test_log_is_complete_with_a_disabled_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = Telemetry(tracer_provider=TracerProvider(shutdown_on_exit=False))
    telemetry.asset.save(work)([1], DAY)
    assert telemetry.log.counts() == {"AssetSetSaved": 1}


def test_suppressed_emission_records_nothing(telemetry: Telemetry) -> None:
    with suppress_instrumentation():
        telemetry.asset.emit("compute_error", error=OSError("full"))
    assert (telemetry.spans, telemetry.events, telemetry.counters) == ([], [], {})


# Exceptions


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("full"), "full"),
        (asyncio.CancelledError(), ""),
        (KeyboardInterrupt(), ""),
        (SystemExit(1), "1"),
        (SystemExit("no bill"), "no bill"),
        (GeneratorExit("odd"), "odd"),
    ],
    ids=repr,
)
def test_exception_is_a_failure_and_passes_through(telemetry: Telemetry, error: BaseException, message: str) -> None:
    @telemetry.asset.save
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    assert telemetry.event.failure is not None
    assert telemetry.event.failure.type.endswith(type(error).__name__)
    assert telemetry.event.failure.message == message
    assert telemetry.span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("code", [0, None, False])
def test_exit_with_status_zero_is_a_success(telemetry: Telemetry, code: Any) -> None:
    @telemetry.asset.save
    def leave(window: Window) -> None:
        raise SystemExit(code)

    with pytest.raises(SystemExit) as raised:
        leave(DAY)
    assert raised.value.code is code
    assert (telemetry.event.kind, telemetry.event.window) == ("AssetSetSaved", DAY)
    assert telemetry.span.status.status_code is StatusCode.UNSET


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


def test_unprintable_exception_is_recorded_by_type(telemetry: Telemetry, warned: Warned) -> None:
    with pytest.raises(Unprintable), telemetry.asset.save():
        raise Unprintable
    assert telemetry.event.failure is not None
    assert telemetry.event.failure.type == f"{__name__}.Unprintable"
    assert telemetry.span.status.status_code is StatusCode.ERROR
    assert warned() == []


def test_failing_log_handler_does_not_reach_the_program(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise KeyError("request_id")

    monkeypatch.setattr(logging.getLogger("otel_kcevents"), "filters", [fail])
    assert telemetry.asset.load(lambda: None)() is None
    assert telemetry.kinds == ["AssetSetLoaded"]


@pytest.mark.parametrize(
    ("message", "recorded"),
    [("größe", "größe"), ("half \ud800 pair", "half ? pair"), ("x" * 10**6, "x" * 4096 + "…")],
    ids=["unicode", "lone surrogate", "1 MB"],
)
def test_any_message_can_be_exported(telemetry: Telemetry, warned: Warned, message: str, recorded: str) -> None:
    """It is truncated and made encodable in UTF-8, so that OTLP loses no attribute of the span."""
    with pytest.raises(LookupError) as raised, telemetry.asset.save():
        raise LookupError(message)
    assert raised.value.args == (message,)
    assert telemetry.event.failure == Failure("LookupError", recorded, "save")
    assert telemetry.log.document().to_json().encode()
    request = encode_spans(telemetry.spans)
    exception, event = request.resource_spans[0].scope_spans[0].spans[0].events
    assert {pair.key for pair in exception.attributes} >= {"exception.message", "exception.stacktrace"}
    assert recorded in {pair.value.string_value for pair in event.attributes}
    assert warned() == []


PASSWORD = "hunter2"


def fail_with_secrets(rows: list[int]) -> None:
    try:
        raise OSError(f"no route to pg://etl:{PASSWORD}@db/costs")
    except OSError as error:
        raise LookupError(f"password={PASSWORD}", {"rows": [PASSWORD]}) from error


def test_secrets_and_data_are_not_recorded(telemetry: Telemetry, warned: Warned) -> None:
    """They appear neither in the log nor in the span's status, its message or its stack trace."""
    with pytest.raises(LookupError):
        telemetry.asset.save(fail_with_secrets)([1])
    telemetry.asset.load(fails_when=lambda result: True)(lambda: PASSWORD)()
    telemetry.asset.load(lambda window: PASSWORD)({"password": PASSWORD})
    telemetry.asset.emit("compute_error", error=f"token={PASSWORD}")
    assert "('password=[redacted]', a dict of 1 item)" in telemetry.log.document().to_json()
    assert "pg://[redacted]@db/costs" in telemetry.spans[0].to_json()
    recorded = [telemetry.log.document().to_json(), *(span.to_json() for span in telemetry.spans), *warned()]
    assert [text for text in recorded if PASSWORD in text] == []


# Telemetry that fails


def fail(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("is broken")


def enter_and_exit(telemetry: Telemetry) -> None:
    with telemetry.asset.save():
        pass


@pytest.mark.parametrize(
    "record",
    [
        lambda telemetry: telemetry.asset.save(lambda rows: rows)([1]),
        enter_and_exit,
        lambda telemetry: telemetry.asset.emit("saved"),
    ],
    ids=["call", "block", "emission"],
)
def test_failing_tracer_loses_only_the_span(
    telemetry: Telemetry, warned: Warned, monkeypatch: pytest.MonkeyPatch, record: Callable[[Telemetry], object]
) -> None:
    monkeypatch.setattr("opentelemetry.sdk.trace.Tracer.start_span", fail)
    record(telemetry)
    assert (telemetry.kinds, telemetry.spans) == (["AssetSetSaved"], [])
    (warning,) = warned()
    assert "the span is " in warning
    assert "is broken" in warning


@pytest.mark.parametrize("broken", [["add_event"], ["end"], ["add_event", "end"]], ids=" and ".join)
def test_failing_span_is_logged_and_ended(
    telemetry: Telemetry, warned: Warned, monkeypatch: pytest.MonkeyPatch, broken: list[str]
) -> None:
    for method in broken:
        monkeypatch.setattr(f"opentelemetry.sdk.trace.Span.{method}", fail)
    assert telemetry.asset.save(work)([1], DAY) == [1]
    assert telemetry.kinds == ["AssetSetSaved"]
    assert len(telemetry.spans) == ("end" not in broken)
    (warning,) = warned()
    assert "is broken" in warning


def test_span_that_refuses_a_status_is_logged_and_ended(
    telemetry: Telemetry, warned: Warned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opentelemetry.sdk.trace.Span.set_status", fail)
    with pytest.raises(OSError, match="full"), telemetry.asset.save():
        raise OSError("full")
    assert telemetry.kinds == [telemetry.span_event.name] == ["AssetSetComputeError"]
    (warning,) = warned()
    assert "is broken" in warning


def test_failing_log_loses_only_the_entry(warned: Warned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventLog, "append", fail)
    telemetry = Telemetry()
    save = telemetry.asset.save(work)
    assert [save([1], DAY), save([2], DAY)] == [[1], [2]]
    assert [span.name for span in telemetry.spans] == ["save AssetSet"] * 2
    (warning,) = warned()
    assert "is broken" in warning


# Warnings


def test_warnings_go_to_the_packages_logger(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """A call without a problem logs nothing at any level."""
    caplog.set_level(logging.DEBUG)
    telemetry.asset.save(work)([1], DAY)
    assert caplog.records == []
    telemetry.asset.emit("saved", size=-1)
    assert [(record.name, record.levelname) for record in caplog.records] == [("otel_kcevents", "WARNING")]


def test_warning_names_function_field_and_cause(telemetry: Telemetry, warned: Warned) -> None:
    load: Any = telemetry.asset.load(window="day")(lambda **options: [1])
    load()
    (warning,) = warned()
    assert warning.startswith(f"{__name__}.test_warning_names_function_field_and_cause.<locals>.<lambda>: the window ")
    assert "KeyError('day')" in warning


def test_failed_call_without_a_window_needs_no_warning(telemetry: Telemetry, warned: Warned) -> None:
    save: Any = telemetry.asset.save(lambda **options: work(**options))
    with pytest.raises(TypeError, match="missing"):
        save(rows=[1])
    assert (telemetry.event.window, warned()) == (None, [])
