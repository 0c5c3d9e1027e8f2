"""Promises of `otel_kcevents.record.record_set`: what each operation records, where, and under which names."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from conftest import Telemetry, run_script
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, Metric, Sum
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace import TracerProvider as AnyProvider

from otel_kcevents.model.event import OPERATIONS, Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.record.operation import Operation
from otel_kcevents.record.record_set import RecordSet, allocation, asset
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.version import __version__

DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
PAIR = ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
ENDS = {"kcevents.window.start": PAIR[0], "kcevents.window.end": PAIR[1]}
TIME = 1654275521_289194368
SETS = {"allocation": "AllocationSet", "asset": "AssetSet"}
SUCCESSES = [
    ("save", "Saved", 3),
    ("load", "Loaded", 3),
    ("aggregate", "Aggregated", 3),
    ("total", "Totaled", None),
    ("reconcile", "Reconciled", None),
]
FAILURES = [(operation, "ReconcileError" if operation == "reconcile" else "ComputeError") for operation in OPERATIONS]
OUTCOMES = ["saved", "loaded", "aggregated", "totaled", "reconciled", "compute_error", "reconcile_error"]
Warned = Callable[[], list[str]]


def operation_of(pipeline: Telemetry, etl: str, name: str) -> Operation:
    found = getattr(getattr(pipeline, etl), name)
    assert isinstance(found, Operation)
    return found


def work(rows: list[int], window: Any) -> list[int]:
    """Do what each operation can be said to do."""
    return rows


def our_event(span: ReadableSpan) -> Any:
    """The one event on a span that is this package's."""
    (event,) = [event for event in span.events if event.name != "exception"]
    return event


def metric_of(pipeline: Telemetry) -> tuple[Any, Metric]:
    """The one metric that a reader gets, and its scope."""
    data = pipeline.reader.get_metrics_data()
    assert data is not None
    ((scope,),) = [resource.scope_metrics for resource in data.resource_metrics]
    (metric,) = scope.metrics
    return scope.scope, metric


# What is recorded


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize(("operation", "suffix", "size"), SUCCESSES)
def test_a_success_is_one_event_of_the_operations_kind(
    pipeline: Telemetry, etl: str, operation: str, suffix: str, size: int | None
) -> None:
    """The log gets the kind of the table, with the window, and with the size where the kind documents one."""
    operation_of(pipeline, etl, operation)(work)([1, 2, 3], DAY)
    kind = SETS[etl] + suffix
    assert pipeline.log.document().lists[etl] == (Event(kind, pipeline.event.time, size, DAY),)
    assert pipeline.counters == {(etl, kind): 1}


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize(("operation", "suffix", "size"), SUCCESSES)
def test_a_success_is_on_the_span(pipeline: Telemetry, etl: str, operation: str, suffix: str, size: int | None) -> None:
    """The span event is named after the kind and has its fields, flat."""
    operation_of(pipeline, etl, operation)(work)([1, 2, 3], DAY)
    kind = SETS[etl] + suffix
    sized = {} if size is None else {"kcevents.size": size}
    (event,) = pipeline.span.events
    assert (event.name, dict(event.attributes or {})) == (kind, {"kcevents.kind": kind, **sized, **ENDS})
    assert pipeline.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("etl", SETS)
def test_a_compute_that_succeeds_is_a_span_alone(pipeline: Telemetry, etl: str) -> None:
    """No kind is documented for it: nothing in the log, nothing counted."""
    assert operation_of(pipeline, etl, "compute")(work)([1], DAY) == [1]
    assert (pipeline.events, pipeline.counters, pipeline.span.events) == ([], {}, ())
    assert pipeline.span.name == f"compute {SETS[etl]}"


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize(("operation", "suffix"), FAILURES)
def test_a_failure_is_one_event_of_the_error_kind(pipeline: Telemetry, etl: str, operation: str, suffix: str) -> None:
    """The log gets the error kind with the window, the error's type and message, and the operation."""

    @operation_of(pipeline, etl, operation)
    def fail(rows: list[int], window: Any) -> None:
        raise LookupError("no such day")

    with pytest.raises(LookupError):
        fail([1, 2, 3], DAY)
    kind = SETS[etl] + suffix
    assert pipeline.event == Event(
        kind, pipeline.event.time, None, DAY, Failure("LookupError", "no such day", operation)
    )
    assert pipeline.counters == {(etl, kind): 1}


@pytest.mark.parametrize(("operation", "suffix"), FAILURES)
def test_a_failure_marks_the_span(pipeline: Telemetry, operation: str, suffix: str) -> None:
    """The span has status ERROR, `error.type` and the exception, its event the error's type and message."""

    @operation_of(pipeline, "asset", operation)
    def fail(window: Any) -> None:
        raise json.JSONDecodeError("bad bill", "", 0)

    with pytest.raises(json.JSONDecodeError):
        fail(DAY)
    span, message = pipeline.span, "bad bill: line 1 column 1 (char 0)"
    exception, event = span.events
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == f"JSONDecodeError: {message}"
    assert dict(span.attributes or {})["error.type"] == "json.decoder.JSONDecodeError"
    assert (exception.name, dict(exception.attributes or {})["exception.message"]) == ("exception", message)
    assert (event.name, dict(event.attributes or {})) == (
        f"AssetSet{suffix}",
        {
            "kcevents.kind": f"AssetSet{suffix}",
            "error.type": "json.decoder.JSONDecodeError",
            "error.message": message,
            **ENDS,
        },
    )


def test_a_failure_without_a_window_is_recorded_without(pipeline: Telemetry, warned: Warned) -> None:
    """A call that its arguments never reached has no window to tell, which is worth no warning."""
    wrong: Any = pipeline.asset.save(work)
    with pytest.raises(TypeError, match="missing"):
        wrong([1])
    assert (pipeline.event.window, warned()) == (None, [])


@pytest.mark.parametrize("end", ENDS)
def test_an_open_window_leaves_its_end_off_the_span(pipeline: Telemetry, end: str) -> None:
    """What is open is no attribute."""
    pipeline.asset.emit("totaled", window=Window(*(PAIR[0] if key == end else None for key in ENDS)))
    assert our_event(pipeline.span).attributes == {"kcevents.kind": "AssetSetTotaled", end: PAIR[0]}


def test_the_log_and_the_span_have_the_same_time(pipeline: Telemetry) -> None:
    """The entry's time is the span event's to the nanosecond, and the span ends with it."""
    pipeline.asset.total(work)([], DAY)
    assert pipeline.event.time == our_event(pipeline.span).timestamp == pipeline.span.end_time


# Names on the wire


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_span_is_named_after_operation_and_set(pipeline: Telemetry, etl: str, operation: str) -> None:
    """Its name, kind, attributes and scope are those of the design, and no others."""
    operation_of(pipeline, etl, operation)(work)([], None)
    span = pipeline.span
    assert (span.name, span.kind) == (f"{operation} {SETS[etl]}", SpanKind.INTERNAL)
    assert dict(span.attributes or {}) == {
        "kcevents.etl": etl,
        "kcevents.operation": operation,
        "code.function.name": f"{__name__}.work",
    }
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("otel_kcevents", __version__)


def test_the_counter_has_the_names_of_the_design(pipeline: Telemetry) -> None:
    """Its scope, name, unit and description are right, and it is a cumulative, monotonic sum."""
    pipeline.asset.total(work)([], DAY)
    scope, metric = metric_of(pipeline)
    assert (scope.name, scope.version) == ("otel_kcevents", __version__)
    assert (metric.name, metric.unit) == ("kubecost.etl.events", "{event}")
    assert metric.description == "Kubecost ETL events counted by kind."
    assert isinstance(metric.data, Sum)
    assert metric.data.is_monotonic
    assert metric.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
    assert [dict(p.attributes or {}) for p in metric.data.data_points] == [{"etl": "asset", "event": "AssetSetTotaled"}]


def test_the_counter_equals_the_logs_counts(pipeline: Telemetry) -> None:
    """What a reader collects is what the log counted, each time anew."""
    for number, outcome in enumerate(OUTCOMES, 1):
        for _ in range(number):
            pipeline.allocation.emit(outcome)
            pipeline.asset.emit(outcome)
        assert {event: count for (_, event), count in pipeline.counters.items()} == pipeline.log.counts()
    assert sum(pipeline.counters.values()) == 2 * sum(range(1, 8))


def test_prometheus_gets_the_series_of_the_dashboards(request: pytest.FixtureRequest) -> None:
    """The exporter writes the name, the help and the labels of the product's own counter."""
    prometheus = pytest.importorskip("opentelemetry.exporter.prometheus")
    client = pytest.importorskip("prometheus_client")
    reader = prometheus.PrometheusMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    request.addfinalizer(provider.shutdown)
    bills = RecordSet("allocation", "AllocationSet", log=EventLog(), meter_provider=provider)
    bills.emit("saved")
    lines = [line for line in client.generate_latest().decode().splitlines() if "kubecost_etl_events" in line]
    head = [line for line in lines if line.startswith("#")]
    assert head == [
        "# HELP kubecost_etl_events_total Kubecost ETL events counted by kind.",
        "# TYPE kubecost_etl_events_total counter",
    ]
    (series,) = [line for line in lines if not line.startswith("#")]
    name, _, rest = series.partition("{")
    labels, _, value = rest.partition("} ")
    own = [label for label in labels.split(",") if not label.startswith("otel_scope_")]
    assert (name, sorted(own), float(value)) == (
        "kubecost_etl_events_total",
        ['etl="allocation"', 'event="AllocationSetSaved"'],
        1,
    )


# Where it goes


def test_each_event_has_a_span_of_its_own(pipeline: Telemetry) -> None:
    """Of 500 events inside one span of the program each is exported: no span's limit of events is met."""
    with pipeline.tracer.start_as_current_span("nightly") as nightly:
        for _ in range(500):
            pipeline.allocation.emit("saved", size=1)
    *spans, last = pipeline.spans
    assert last.name == "nightly"
    assert last.events == ()
    assert [our_event(span).name for span in spans] == ["AllocationSetSaved"] * 500
    parents = {span.parent.span_id for span in spans if span.parent}
    assert parents == {nightly.get_span_context().span_id}
    assert pipeline.counters == {("allocation", "AllocationSetSaved"): 500}


def test_the_log_is_exact_whatever_the_sampler_decides() -> None:
    """Under ALWAYS_OFF no span is exported, and every event is listed and counted."""
    pipeline = Telemetry(ALWAYS_OFF)
    save = pipeline.allocation.save(work)
    with pipeline.tracer.start_as_current_span("nightly"):
        for _ in range(250):
            save([1], DAY)
            pipeline.allocation.emit("saved", size=1)
    assert pipeline.spans == []
    assert pipeline.counters == {("allocation", "AllocationSetSaved"): 500}
    assert [event.size for event in pipeline.events] == [1] * 256


def test_a_failure_is_logged_whatever_the_sampler_decides() -> None:
    """A failure on a span that records nothing is a failure in the log."""
    pipeline = Telemetry(ALWAYS_OFF)
    with pytest.raises(OSError, match="full"), pipeline.asset.save():
        raise OSError("full")
    assert pipeline.event.failure == Failure("OSError", "full", "save")


def test_the_log_fills_with_no_sdk_at_all() -> None:
    """Decorators, stretches and direct emission work where nobody set up OpenTelemetry."""
    out, err = run_script("""
        import sys
        from otel_kcevents import allocation, default_log

        @allocation.save
        def save(rows): return rows

        for _ in range(200): save([1])
        with allocation.load() as op: op.size = 7
        for _ in range(300): allocation.emit("saved", size=2)
        assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
        print(default_log.counts(), default_log.document().lists["allocation"][-1].size)
    """)
    assert (out, err) == ("{'AllocationSetLoaded': 1, 'AllocationSetSaved': 500} 7\n", "")


def test_a_parents_context_is_kept_with_no_sdk_at_all() -> None:
    """Where nothing is traced, a span context that came from elsewhere stays current inside a call."""
    out, err = run_script("""
        from opentelemetry import trace
        from otel_kcevents import allocation, default_log

        remote = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))

        @allocation.load
        def load(): return trace.get_current_span()

        with trace.use_span(remote):
            print(load() is remote, default_log.counts())
            with allocation.load(): print(trace.get_current_span() is remote)
            print(trace.get_current_span() is remote)
    """)
    assert out == "True {'AllocationSetLoaded': 1}\nTrue\nTrue\n"
    assert "has no len()" in err  # what the function returns is no set


def test_providers_set_after_decoration_are_used() -> None:
    """A program may set its tracer provider and its meter provider when it likes."""
    out, err = run_script("""
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from otel_kcevents import allocation, default_log

        @allocation.save
        def save(rows): return rows

        save([1])
        exporter, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider([reader]))
        save([1, 2])
        save([1, 2])
        (scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
        print([span.name for span in exporter.get_finished_spans()])
        print(scope.scope.name, scope.metrics[0].data.data_points[0].value, default_log.counts())
    """)
    assert out.splitlines() == [
        "['save AllocationSet', 'save AllocationSet']",
        "otel_kcevents 3 {'AllocationSetSaved': 3}",
    ]
    assert err == ""


def test_two_pipelines_do_not_mix(pipeline: Telemetry) -> None:
    """Each has its own log, spans and counts, and the process's log has none of either."""
    other, before = Telemetry(), default_log.counts()
    pipeline.allocation.save(work)([1], DAY)
    other.allocation.save(work)([1, 2], DAY)
    other.asset.total(work)([], DAY)
    assert [event.size for event in pipeline.events] == [1]
    assert pipeline.counters == {("allocation", "AllocationSetSaved"): 1}
    assert other.counters == {("allocation", "AllocationSetSaved"): 1, ("asset", "AssetSetTotaled"): 1}
    assert (len(pipeline.spans), len(other.spans)) == (1, 2)
    assert default_log.counts() == before


def test_sets_with_one_log_are_counted_once(pipeline: Telemetry) -> None:
    """A second set on the same log and meter provider makes no second instrument, nor a warning of one."""
    again = RecordSet("asset", "AssetSet", log=pipeline.log, meter_provider=pipeline.meter_provider)
    again.emit("saved")
    assert pipeline.counters == {("asset", "AssetSetSaved"): 1}


def test_one_log_is_counted_for_each_meter_provider(pipeline: Telemetry) -> None:
    """Two meter providers both read the counts of the log that they share."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    RecordSet("asset", "AssetSet", log=pipeline.log, meter_provider=provider).emit("saved")
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert [point.value for point in metric.data.data_points] == [1]  # type: ignore[union-attr]
    assert pipeline.counters == {("asset", "AssetSetSaved"): 1}
    provider.shutdown()


def test_logs_with_one_meter_provider_are_counted_together(pipeline: Telemetry) -> None:
    """A kind that two logs have is one series, their sum."""
    other = RecordSet("asset", "AssetSet", log=EventLog(), meter_provider=pipeline.meter_provider)
    for assets in (pipeline.asset, other, other):
        assets.emit("saved")
    assert pipeline.counters == {("asset", "AssetSetSaved"): 3}


def test_the_two_sets_have_the_processs_log() -> None:
    """`allocation` and `asset` write to the log that is used where none is given."""
    assert allocation.log is asset.log is default_log


# Sets of one's own


def test_a_set_of_ones_own_has_its_kinds_list_and_label(pipeline: Telemetry) -> None:
    """`RecordSet("cloudCost", "CloudCostSet")` counts and lists `CloudCostSetSaved` for `cloudCost`."""
    cloud = RecordSet(
        "cloudCost",
        "CloudCostSet",
        log=pipeline.log,
        tracer_provider=pipeline.tracer_provider,
        meter_provider=pipeline.meter_provider,
    )
    cloud.save(work)([1, 2], DAY)
    assert pipeline.log.document().lists["cloudCost"] == (Event("CloudCostSetSaved", pipeline.event.time, 2, DAY),)
    assert pipeline.counters == {("cloudCost", "CloudCostSetSaved"): 1}
    assert pipeline.span.name == "save CloudCostSet"


@pytest.mark.parametrize(
    ("etl", "set_name"),
    [("cloud cost", "C"), ("cloud", "9C"), ("counters", "C"), ("cloud", "AssetSet"), ("asset", "C")],
)
def test_a_set_with_a_name_that_is_none_or_taken_is_refused(etl: str, set_name: str) -> None:
    """The error says which, and the remedy."""
    with pytest.raises(ValueError, match=r"; use (letters|others)"):
        RecordSet(etl, set_name, log=EventLog())


# Suppressed


@pytest.mark.parametrize("form", ["decorator", "stretch", "emission", "generator", "coroutine", "async generator"])
def test_nothing_is_recorded_where_instrumentation_is_suppressed(pipeline: Telemetry, form: str) -> None:
    """OpenTelemetry's own switch silences every form, and the program goes on."""

    def items() -> Iterator[int]:
        yield 1

    async def get() -> list[int]:
        return [1]

    async def aitems() -> AsyncGenerator[int, None]:
        yield 1

    async def collected() -> list[int]:
        return [item async for item in pipeline.asset.load(aitems)()]

    def stretch() -> list[int]:
        with pipeline.asset.load() as op:
            op.size = 1
        return [op.size]

    forms: dict[str, Callable[[], Any]] = {
        "decorator": lambda: pipeline.asset.load(work)([1], DAY),
        "stretch": stretch,
        "emission": lambda: pipeline.asset.emit("saved") or [1],  # type: ignore[func-returns-value]
        "generator": lambda: list(pipeline.asset.load(items)()),
        "coroutine": lambda: asyncio.run(pipeline.asset.load(get)()),
        "async generator": lambda: asyncio.run(collected()),
    }
    with suppress_instrumentation():
        assert forms[form]() == [1]
    assert (pipeline.spans, pipeline.events, pipeline.counters) == ([], [], {})


@pytest.mark.parametrize("shape", ["generator", "async generator"])
def test_a_suppressed_generator_that_fails_records_nothing(pipeline: Telemetry, shape: str) -> None:
    """Its error reaches the consumer, and nothing else happens."""

    @pipeline.asset.load
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    @pipeline.asset.load
    async def aitems() -> AsyncGenerator[int, None]:
        yield 1
        raise OSError("gone")

    async def collected() -> list[int]:
        return [item async for item in aitems()]

    with suppress_instrumentation(), pytest.raises(OSError, match="gone"):
        list(items()) if shape == "generator" else asyncio.run(collected())
    assert (pipeline.spans, pipeline.events) == ([], [])


# Failures


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
@pytest.mark.parametrize("form", ["decorator", "stretch"])
def test_what_leaves_by_an_exception_is_a_failure(
    pipeline: Telemetry, form: str, error: BaseException, message: str
) -> None:
    """The event tells it, the span has status ERROR, and the same object passes through."""

    @pipeline.asset.save
    def fail() -> None:
        raise error

    def stretch() -> None:
        with pipeline.asset.save():
            raise error

    with pytest.raises(type(error)) as raised:
        {"decorator": fail, "stretch": stretch}[form]()
    assert raised.value is error
    assert pipeline.event.kind == "AssetSetComputeError"
    assert pipeline.event.failure is not None
    assert pipeline.event.failure[1:] == (message, "save")
    assert pipeline.span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("code", [0, None, False])
@pytest.mark.parametrize("form", ["decorator", "stretch"])
def test_an_exit_with_status_zero_is_a_success(pipeline: Telemetry, form: str, code: Any) -> None:
    """A script that says sys.exit(0) inside has done its work."""

    @pipeline.asset.save
    def leave(window: Window = DAY) -> None:
        raise SystemExit(code)

    def stretch() -> None:
        with pipeline.asset.save(window=DAY):
            raise SystemExit(code)

    with pytest.raises(SystemExit) as raised:
        {"decorator": leave, "stretch": stretch}[form]()
    assert raised.value.code is code
    assert (pipeline.event.kind, pipeline.event.window) == ("AssetSetSaved", DAY)
    assert pipeline.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("result", [None, False, 0, 1.5, [1, 2], "text", 10**5000], ids=lambda value: repr(type(value)))
def test_a_result_can_mean_failure(pipeline: Telemetry, result: Any) -> None:
    """`fails_when` names it; the event says what was returned, an object by its type alone."""
    save: Any = pipeline.asset.save(fails_when=lambda found: found is result)(lambda rows, window: result)
    assert save([1], DAY) is result
    failure = pipeline.event.failure
    plain = result is None or type(result) in (bool, float) or result == 0
    shown = repr(result) if plain else f"a {type(result).__name__}"
    assert pipeline.event.kind == "AssetSetComputeError"
    assert pipeline.event.window == DAY
    assert failure is not None
    assert (failure.type, failure.operation) == ("FailedResult", "save")
    assert failure.message.endswith(f" returned {shown}")
    assert (pipeline.span.status.status_code, len(pipeline.span.events)) == (StatusCode.ERROR, 1)


def test_a_result_that_does_not_mean_failure_is_a_success(pipeline: Telemetry) -> None:
    """Even one that Python refuses to print."""
    load: Any = pipeline.asset.load(fails_when=lambda found: found is None, size=lambda call: 1)(lambda: 10**5000)
    assert load() == 10**5000
    assert pipeline.event == Event("AssetSetLoaded", pipeline.event.time, 1)


def test_a_fails_when_that_raises_is_left_out(pipeline: Telemetry, warned: Warned) -> None:
    """The call is a success, with one warning."""
    load: Any = pipeline.asset.load(fails_when=lambda found: found["status"] == 500)(lambda: [1])
    assert (load(), load()) == ([1], [1])
    assert pipeline.kinds == ["AssetSetLoaded"] * 2
    (warning,) = warned()
    assert "fails_when is omitted" in warning


@pytest.mark.parametrize("shape", ["coroutine", "generator"])
def test_fails_when_works_for_every_shape_that_returns(pipeline: Telemetry, shape: str) -> None:
    """It is asked of what a coroutine or a generator returns."""
    load = pipeline.asset.load(fails_when=lambda result: result is None)

    @load
    async def get() -> None: ...

    @load
    def items() -> Iterator[int]:
        yield 1

    runs: dict[str, Callable[[], object]] = {
        "coroutine": lambda: asyncio.run(get()),
        "generator": lambda: list(items()),
    }
    runs[shape]()
    assert pipeline.kinds == ["AssetSetComputeError"]


def test_fails_when_of_an_async_generator_is_refused(pipeline: Telemetry) -> None:
    """It has no result to see."""

    async def items() -> AsyncGenerator[int, None]:
        yield 1

    with pytest.raises(TypeError, match=r"fails_when= has no result to see: .*items is an async generator; leave it"):
        pipeline.asset.load(fails_when=lambda result: result is None)(items)


def test_a_generator_that_its_consumer_leaves_has_no_result_to_fail_by(pipeline: Telemetry) -> None:
    """Breaking out early is no error, and the size is what came, unless an argument has it."""

    def items(rows: list[int]) -> Iterator[int]:
        yield from rows

    for size in (None, "result.total", "rows"):
        load = pipeline.asset.load(fails_when=lambda result: result is None, size=size)(items)
        for _ in load([1, 2, 3]):
            break
    assert [event.size for event in pipeline.events] == [1, 1, 3]
    assert pipeline.kinds == ["AssetSetLoaded"] * 3


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("never to be asked")


def test_an_error_that_can_not_be_told_is_still_an_error(pipeline: Telemetry, warned: Warned) -> None:
    """An exception whose text raises passes through, and its type is recorded."""
    with pytest.raises(Unspeakable), pipeline.asset.save():
        raise Unspeakable
    assert pipeline.event.failure == Failure(f"{__name__}.Unspeakable", "(the message cannot be read)", "save")
    assert pipeline.span.status.status_code is StatusCode.ERROR
    assert len(warned()) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [("größe", "größe"), ("half \ud800 pair", "half ? pair"), ("x" * 10**6, "x" * 4096 + "…")],
    ids=["unicode", "lone surrogate", "1 MB"],
)
def test_an_error_of_any_text_can_be_exported(
    pipeline: Telemetry, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    """The log's message is bounded and fit for UTF-8, and no attribute of the span is lost in OTLP."""
    with pytest.raises(LookupError) as raised, pipeline.asset.save():
        raise LookupError(text)
    assert raised.value.args == (text,)
    assert pipeline.event.failure == Failure("LookupError", told, "save")
    assert pipeline.log.document().to_json().encode()
    request = encode_spans(pipeline.spans)
    exception, event = request.resource_spans[0].scope_spans[0].spans[0].events
    assert {pair.key for pair in exception.attributes} >= {"exception.message", "exception.stacktrace"}
    assert told in {pair.value.string_value for pair in event.attributes}
    assert caplog.records == []


# Nothing in here reaches the program


class BrokenTracer(Tracer):
    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        raise RuntimeError("no span today")

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class OneTracer(AnyProvider):
    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return self.tracer


class BrokenSpan(NonRecordingSpan):
    """A recording span of somebody else's that breaks where it is told to."""

    def __init__(self, *broken: str) -> None:
        super().__init__(trace.SpanContext(1, 2, is_remote=False))
        self.broken, self.ended = broken, False

    def _maybe(self, name: str) -> None:
        if name in self.broken:
            raise RuntimeError(f"broken {name}")

    def is_recording(self) -> bool:
        return True

    def add_event(self, *args: Any, **kwargs: Any) -> None:
        self._maybe("add_event")

    def set_status(self, *args: Any, **kwargs: Any) -> None:
        self._maybe("set_status")

    def end(self, end_time: int | None = None) -> None:
        self.ended = True
        self._maybe("end")


class BrokenSpans(BrokenTracer):
    def __init__(self, *broken: str) -> None:
        self.span = BrokenSpan(*broken)

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return self.span


class BrokenLog(EventLog):
    def append(self, event: Event, span_id: int = 0) -> bool:
        raise RuntimeError("no log today")


@pytest.mark.parametrize("form", ["decorator", "stretch", "emission"])
def test_a_tracer_that_raises_is_left_out(form: str, warned: Warned) -> None:
    """The log fills without spans, with one warning."""
    log = EventLog()
    assets = RecordSet("asset", "AssetSet", log=log, tracer_provider=OneTracer(BrokenTracer()))
    save = assets.save(work)
    for _ in range(3):
        if form == "decorator":
            assert save([1], DAY) == [1]
        elif form == "stretch":
            with assets.save():
                pass
        else:
            assets.emit("saved")
    assert log.counts() == {"AssetSetSaved": 3}
    (warning,) = warned()
    assert warning.endswith("the span is omitted (logged once per function): no span today")


@pytest.mark.parametrize("broken", [("add_event",), ("end",), ("add_event", "end")], ids=" and ".join)
def test_a_span_that_raises_is_left_out(broken: tuple[str, ...], warned: Warned) -> None:
    """The log fills, the span ends if it can, with one warning."""
    log, tracer = EventLog(), BrokenSpans(*broken)
    assets = RecordSet("asset", "AssetSet", log=log, tracer_provider=OneTracer(tracer))
    save = assets.save(work)
    assert [save([1], DAY) for _ in range(3)] == [[1]] * 3
    assert tracer.span.ended
    assert log.counts()
    (warning,) = warned()
    assert f"the span's event is omitted (logged once per function): broken {broken[-1]}" in warning


def test_a_span_that_can_not_be_marked_is_left_unmarked(warned: Warned) -> None:
    """The program's own exception passes, the failure is logged, the span ends."""
    log, tracer = EventLog(), BrokenSpans("set_status")
    assets = RecordSet("asset", "AssetSet", log=log, tracer_provider=OneTracer(tracer))
    with pytest.raises(OSError, match="full"), assets.save():
        raise OSError("full")
    assert (log.counts(), tracer.span.ended) == ({"AssetSetComputeError": 1}, True)
    assert "the span's status is omitted" in warned()[0]


def test_a_log_that_raises_is_left_out(warned: Warned) -> None:
    """The span is exported all the same, with one warning."""
    made = Telemetry()
    assets = RecordSet("asset", "AssetSet", log=BrokenLog(), tracer_provider=made.tracer_provider)
    save = assets.save(work)
    assert [save([1], DAY), save([2], DAY)] == [[1], [2]]
    assert [span.name for span in made.spans] == ["save AssetSet"] * 2
    assert len(warned()) == 1


def test_what_users_hold_shows_what_it_is(pipeline: Telemetry) -> None:
    """Not an address in memory."""
    shown = f"{pipeline.asset!r} {pipeline.asset.save!r} {pipeline.log!r}"
    assert shown == "RecordSet('asset', 'AssetSet') <save AssetSet> EventLog(retention=256)"


def test_an_argument_that_a_call_lacks_is_named_in_the_warning(pipeline: Telemetry, warned: Warned) -> None:
    """By its error too, for the name alone says little."""
    load: Any = pipeline.asset.load(window="day")(lambda **options: [1])
    load()
    (warning,) = warned()
    assert warning.endswith("the window is omitted (logged once per function): KeyError('day')")


def test_a_success_that_is_given_an_error_leaves_it_out_with_a_warning(pipeline: Telemetry, warned: Warned) -> None:
    """Nothing is thrown away without a word."""
    pipeline.asset.emit("saved", error="disk full")
    (warning,) = warned()
    assert "the error is omitted" in warning


def test_a_function_that_ends_our_span_itself_is_logged_all_the_same(pipeline: Telemetry) -> None:
    """The span has no event then, the log has."""

    @pipeline.asset.load
    def load() -> list[int]:
        trace.get_current_span().end()
        return [1, 2]

    logging.disable()  # the SDK warns of a second end
    try:
        load()
    finally:
        logging.disable(logging.NOTSET)
    assert pipeline.event.size == 2
    assert list(pipeline.span.events) == []


def test_a_compute_that_succeeds_without_a_tracer_leaves_nothing() -> None:
    """No kind is documented for it."""
    log = EventLog()
    RecordSet("asset", "AssetSet", log=log).compute(lambda: 1)()
    assert log.counts() == {}


# Direct emission


@pytest.mark.parametrize("etl", SETS)
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("form", ["outcome", "kind", "event"])
def test_every_outcome_can_be_emitted(pipeline: Telemetry, etl: str, outcome: str, form: str) -> None:
    """By its own name, by its kind's, and by the kind's with `Event` behind it."""
    kind = SETS[etl] + "".join(map(str.capitalize, outcome.split("_")))
    names = {"outcome": outcome, "kind": kind, "event": f"{kind}Event"}
    getattr(pipeline, etl).emit(names[form], window=PAIR)
    assert (pipeline.event.kind, pipeline.event.window) == (kind, DAY)
    assert our_event(pipeline.span).name == kind


@pytest.mark.parametrize(
    ("outcome", "operation"),
    list(zip(OUTCOMES, ["save", "load", "aggregate", "total", "reconcile", "compute", "reconcile"], strict=True)),
)
def test_an_emission_is_an_instant_span_of_its_operation(pipeline: Telemetry, outcome: str, operation: str) -> None:
    """It begins and ends at the event, a child of the current span."""
    with pipeline.tracer.start_as_current_span("nightly") as nightly:
        pipeline.asset.emit(outcome)
    span = pipeline.spans[0]
    assert span.name == f"{operation} AssetSet"
    assert span.start_time == span.end_time == our_event(span).timestamp == pipeline.event.time
    assert span.parent == nightly.get_span_context()


@pytest.mark.parametrize(
    "time",
    [TIME, datetime(2022, 6, 3, 16, 58, 41, 289194, timezone.utc), "2022-06-03T16:58:41.289194368Z"],
    ids=["nanoseconds", "datetime", "text"],
)
def test_an_emission_may_be_of_an_earlier_time(pipeline: Telemetry, time: Any) -> None:
    """The log, the event and both ends of the span have it."""
    pipeline.asset.emit("saved", size=29, time=time)
    span, expected = pipeline.span, TIME if not isinstance(time, datetime) else TIME - 368
    assert pipeline.event == Event("AssetSetSaved", expected, 29)
    assert span.start_time == span.end_time == our_event(span).timestamp == expected


def test_an_emitted_error_has_all_its_times_at_its_time(pipeline: Telemetry) -> None:
    """The recorded exception is not from now either."""
    pipeline.asset.emit("compute_error", error=OSError("full"), time=TIME)
    assert [event.timestamp for event in pipeline.span.events] == [TIME, TIME]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OSError("full"), ("OSError", "full")),
        ("disk full", ("Error", "disk full")),
        (None, ("Error", "no error was given")),
    ],
    ids=["exception", "text", "none"],
)
@pytest.mark.parametrize("outcome", ["compute_error", "reconcile_error"])
@pytest.mark.parametrize("operation", [None, *OPERATIONS])
def test_an_emitted_error_tells_error_and_operation(
    pipeline: Telemetry, error: Any, failure: tuple[str, str], outcome: str, operation: str | None
) -> None:
    """The error may be an exception or a text, the operation any; its span is the operation's."""
    pipeline.asset.emit(outcome, error=error, operation=operation)
    expected = operation or outcome.partition("_")[0]
    assert pipeline.event.failure == Failure(*failure, expected)
    assert pipeline.span.name == f"{expected} AssetSet"
    assert pipeline.span.status.status_code is StatusCode.ERROR
    assert [event.name for event in pipeline.span.events][:-1] == ["exception"] * isinstance(error, Exception)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"outcome": "deleted"},
            r"'deleted' is not an outcome; expected one of saved, loaded, aggregated, totaled, rec",
        ),
        ({"outcome": "AllocationSetSaved"}, r"'AllocationSetSaved' is not an outcome; expected one of saved"),
        (
            {"operation": "delete"},
            r"'delete' is not an operation; expected one of save, load, aggregate, total, reconcile, c",
        ),
        ({"time": -1}, r"time=-1 is outside the years 1970 to 2262"),
        ({"time": 2**63}, r"time=9223372036854775808 is outside the years"),
        ({"time": datetime(1969, 12, 31)}, r"time=datetime.datetime\(1969, 12, 31, 0, 0\) is outside the years"),
        ({"time": "noon"}, r"'noon' is not an RFC 3339 time; write it as in"),
    ],
    ids=str,
)
def test_a_wrong_emission_is_refused(pipeline: Telemetry, wrong: dict[str, Any], message: str) -> None:
    """The error shows the value and the choices, and nothing is recorded."""
    with pytest.raises(ValueError, match=message):
        pipeline.asset.emit(**{"outcome": "saved", **wrong})
    assert (pipeline.spans, pipeline.events) == ([], [])


@pytest.mark.parametrize(
    ("outcome", "field", "what"),
    [
        ("saved", {"window": "someday"}, "the window"),
        ("saved", {"window": 5}, "the window"),
        ("saved", {"size": -1}, "the size"),
        ("saved", {"size": True}, "the size"),
        ("saved", {"size": 2**63}, "the size"),
        ("saved", {"size": "3.5".split}, "the size"),
        ("totaled", {"size": 5}, "the size"),
        ("compute_error", {"size": 5}, "the size"),
    ],
    ids=str,
)
def test_what_an_emission_can_not_tell_is_left_out(
    pipeline: Telemetry, warned: Warned, outcome: str, field: dict[str, Any], what: str
) -> None:
    """The event is recorded without it, with one warning however often."""
    for _ in range(3):
        pipeline.asset.emit(outcome, **field)
    assert [(event.size, event.window) for event in pipeline.events] == [(None, None)] * 3
    (warning,) = warned()
    assert f": {what} is omitted (logged once per function): " in warning


# Decorated wrongly


@pytest.mark.parametrize("operation", ["total", "reconcile", "compute"])
def test_a_size_where_none_is_recorded_is_refused(pipeline: Telemetry, operation: str) -> None:
    """An operation whose kind documents no size takes none."""
    with pytest.raises(TypeError, match=f"{operation} records no size, so size='rows' has no place; leave it out"):
        operation_of(pipeline, "asset", operation)(size="rows")


def test_a_fails_when_that_can_not_be_called_is_refused(pipeline: Telemetry) -> None:
    """It is a function of the result."""
    wrong: Any = None, 5
    with pytest.raises(TypeError, match=r"fails_when=5 can not be called; give a function of the result"):
        pipeline.asset.save(fails_when=wrong[1])


def test_an_unknown_keyword_is_refused(pipeline: Telemetry) -> None:
    """A misspelt keyword is an error where it stands."""
    save: Any = pipeline.asset.save
    with pytest.raises(TypeError, match="windows"):
        save(windows="day")


def test_the_packages_log_is_the_only_one_written_to(pipeline: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """Warnings go to the logger `otel_kcevents`, and a call that goes well says nothing."""
    caplog.set_level(logging.DEBUG)
    pipeline.asset.save(work)([1], DAY)
    assert caplog.records == []
    pipeline.asset.emit("saved", size=-1)
    assert [(record.name, record.levelname) for record in caplog.records] == [("otel_kcevents", "WARNING")]


def test_a_disabled_sdk_still_fills_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SDK_DISABLED` turns spans off, not the log."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    log = EventLog()
    assets = RecordSet("asset", "AssetSet", log=log, tracer_provider=TracerProvider(shutdown_on_exit=False))
    assets.save(work)([1], DAY)
    assert log.counts() == {"AssetSetSaved": 1}


def test_a_provider_given_and_set_for_the_process_counts_for_both() -> None:
    """The SDK keeps one instrument of a name: it tells every log that goes to this provider."""
    out, _ = run_script(
        """
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from otel_kcevents import EventLog, RecordSet, asset
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader])
        metrics.set_meter_provider(provider)
        RecordSet("cloudCost", "CloudCostSet", meter_provider=provider, log=EventLog()).emit("saved")
        asset.emit("loaded")
        (metric,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
        print(sorted((point.attributes["event"], point.value) for point in metric.data.data_points))
        """
    )
    assert out == "[('AssetSetLoaded', 1), ('CloudCostSetSaved', 1)]\n"
