"""`EventLogProcessor`: the events on every span that ends are in the log, each of them once."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult
from telemetry import DAY, Warned

from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.record.processor import EventLogProcessor
from otel_kcevents.record.record_set import RecordSet
from otel_kcevents.store.log import EventLog, default_log

TIME = 1654275521_289194368
WINDOW = {"kcevents.window.start": "2022-06-03T00:00:00Z", "kcevents.window.end": "2022-06-04T00:00:00Z"}


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def provider(log: EventLog) -> TracerProvider:
    """A provider whose processor writes to `log`."""
    return provider_of(EventLogProcessor(log))


def provider_of(*processors: SpanProcessor, **options: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **options)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def assets(provider: TracerProvider, log: EventLog) -> RecordSet:
    return RecordSet("asset", "AssetSet", log=log, tracer_provider=provider)


def add_event(provider: TracerProvider, name: str, attributes: dict[str, Any], time: Any = TIME) -> None:
    """Add an event to a span of the program's own, like code that uses only OpenTelemetry."""
    with provider.get_tracer("program").start_as_current_span("nightly") as span:
        span.add_event(name, attributes, timestamp=time)


def events_of(log: EventLog) -> list[Event]:
    return [event for events in log.document().lists.values() for event in events]


# Events of other code


@pytest.mark.parametrize("name", ["AssetSetSaved", "AssetSetSavedEvent"])
def test_event_is_logged_unchanged(provider: TracerProvider, log: EventLog, name: str) -> None:
    add_event(provider, name, {"kcevents.size": 2**63 - 1, **WINDOW})
    assert events_of(log) == [Event("AssetSetSaved", TIME, 2**63 - 1, DAY)]


def test_error_has_the_operation_of_its_span(provider: TracerProvider, log: EventLog) -> None:
    with provider.get_tracer("program").start_as_current_span(
        "nightly", attributes={"kcevents.operation": "save"}
    ) as span:
        span.add_event("AssetSetComputeError", {"error.type": "OSError", "error.message": "disk full"}, timestamp=TIME)
    assert events_of(log) == [Event("AssetSetComputeError", TIME, failure=Failure("OSError", "disk full", "save"))]


@pytest.mark.parametrize("name", ["", "cache miss", "AssetSet", "assetsetsaved", "AssetSetSavedEventEvent"])
def test_other_events_are_ignored(provider: TracerProvider, log: EventLog, warned: Warned, name: str) -> None:
    add_event(provider, name, {"kcevents.size": 5})
    assert (events_of(log), warned()) == ([], [])


def test_documented_example_is_logged_unchanged(provider: TracerProvider, log: EventLog, documented: str) -> None:
    document = read_document(documented)
    for event in (event for events in document.lists.values() for event in events):
        assert event.window is not None
        window = {"kcevents.window.start": event.window.start_text, "kcevents.window.end": event.window.end_text}
        size = {} if event.size is None else {"kcevents.size": event.size}
        add_event(provider, event.kind, {**size, **window}, event.time)
    for etl, events in document.lists.items():
        assert set(log.document().lists[etl]) == set(events)


def test_event_of_an_added_set_is_logged(provider: TracerProvider, log: EventLog) -> None:
    log.add_set("cloud", "CloudCostSet")
    add_event(provider, "CloudCostSetSaved", {"kcevents.size": 5})
    assert log.document().lists["cloud"] == (Event("CloudCostSetSaved", TIME, 5),)


# Each once


def test_each_event_of_a_span_is_appended_once(provider: TracerProvider, log: EventLog) -> None:
    """Even those of the same kind and time, which a coarse clock produces; a second processor adds none."""
    provider.add_span_processor(EventLogProcessor(log))
    with provider.get_tracer("program").start_as_current_span("nightly") as span:
        for number in range(100):
            span.add_event("AssetSetSaved", {"kcevents.size": number}, timestamp=TIME + number)
        for name in ("AssetSetLoaded", "AssetSetLoadedEvent", "AssetSetLoaded"):
            span.add_event(name, {"kcevents.size": 2}, timestamp=TIME)
    assert log.counts() == {"AssetSetLoaded": 3, "AssetSetSaved": 100}
    assert [event.size for event in events_of(log) if event.kind == "AssetSetSaved"] == list(range(99, -1, -1))


def test_processors_in_several_threads_append_once(log: EventLog) -> None:
    concurrent = ConcurrentMultiSpanProcessor(num_threads=2)
    provider = provider_of(EventLogProcessor(log), EventLogProcessor(log), active_span_processor=concurrent)
    for number in range(50):
        add_event(provider, "AssetSetSaved", {}, TIME + number)
        assets(provider, log).emit("loaded")
    provider.shutdown()
    assert log.counts() == {"AssetSetLoaded": 50, "AssetSetSaved": 50}


def test_each_log_has_the_event_once(provider: TracerProvider, log: EventLog) -> None:
    """Including the events of a recorder, which appends them to its own log."""
    other = EventLog()
    for _ in range(2):
        provider.add_span_processor(EventLogProcessor(other))
    add_event(provider, "AssetSetSaved", {})
    assets(provider, log).emit("loaded", size=3, window=DAY, time=TIME)
    assert log.counts() == other.counts() == {"AssetSetLoaded": 1, "AssetSetSaved": 1}
    assert other.document().lists["asset"] == log.document().lists["asset"]


class RecordOnly(Sampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "RecordOnly"


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, RecordOnly()], ids=["dropped", "recorded only"])
def test_events_on_unsampled_spans_count_once(log: EventLog, sampler: Sampler) -> None:
    assets(provider_of(EventLogProcessor(log), sampler=sampler), log).emit("saved")
    assert log.counts() == {"AssetSetSaved": 1}


def let_events_pass(log: EventLog) -> None:
    """Append more events than a log remembers for finding duplicates."""
    for number in range(35_000):
        log.append(Event("AssetSetSaved", TIME), span_id=number + 1)


class Blocking(SpanProcessor):
    """Holds the end of a span until it is released."""

    def __init__(self) -> None:
        self.blocked = threading.Event()
        self.released = threading.Event()

    def on_end(self, span: ReadableSpan) -> None:
        self.blocked.set()
        assert self.released.wait(60)


def test_error_behind_a_slow_processor_counts_once(log: EventLog) -> None:
    slow = Blocking()
    emit = assets(provider_of(slow, EventLogProcessor(log)), log).emit
    thread = threading.Thread(target=emit, args=("compute_error",))
    thread.start()
    assert slow.blocked.wait(60)
    let_events_pass(log)
    slow.released.set()
    thread.join()
    assert log.counts() == {"AssetSetComputeError": 1, "AssetSetSaved": 35_000}


class Deferring(SpanProcessor):
    """Collects the spans that end, for later."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def test_deferred_error_counts_once(log: EventLog) -> None:
    deferring = Deferring()
    assets(provider_of(deferring), log).emit("compute_error")
    let_events_pass(log)
    EventLogProcessor(log).on_end(deferring.spans[0])
    assert log.counts()["AssetSetComputeError"] == 1


@pytest.mark.parametrize("scope", ["program", "otel_kcevents"])
def test_copy_on_another_span_is_a_new_event(provider: TracerProvider, log: EventLog, scope: str) -> None:
    """Even on a span of the package's own."""
    deferring = Deferring()
    provider.add_span_processor(deferring)
    assets(provider, log).emit("saved", size=3)
    (event,) = deferring.spans[0].events
    with provider.get_tracer(scope).start_as_current_span("copy") as span:
        span.add_event(event.name, event.attributes, event.timestamp)
    assert [found.size for found in events_of(log)] == [3, 3]


class AddingOnStart(SpanProcessor):
    """Adds an event to each span that starts."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.add_event("AssetSetSaved", {"kcevents.size": 5}, TIME)


def test_repeat_by_other_code_on_our_span_is_a_new_event(log: EventLog) -> None:
    """Even if it has the same kind and time, and was added before the recorder's own event."""
    provider = provider_of(AddingOnStart(), EventLogProcessor(log), EventLogProcessor(log))
    assets(provider, log).emit("saved", size=3, time=TIME)
    assert sorted(event.size or 0 for event in events_of(log)) == [3, 5]


def test_name_of_our_event_is_an_ordinary_string(log: EventLog) -> None:
    """An exporter can encode it, and copies and pickles do not contain a log."""
    exporter = InMemorySpanExporter()
    assets(provider_of(SimpleSpanProcessor(exporter)), log).emit("saved")
    spans: Sequence[ReadableSpan] = exporter.get_finished_spans()
    (event,) = spans[0].events
    (encoded,) = encode_spans(spans).resource_spans[0].scope_spans[0].spans[0].events
    for name in (encoded.name, pickle.loads(pickle.dumps(event.name)), copy.deepcopy(event.name)):
        assert (type(name), name) == (str, "AssetSetSaved")
    assert '"AssetSetSaved"' in spans[0].to_json()


# Errors


def test_unreadable_field_is_omitted_with_one_warning(provider: TracerProvider, log: EventLog, warned: Warned) -> None:
    for number in range(3):
        add_event(provider, "AssetSetSaved", {"kcevents.size": "97", **WINDOW}, TIME + number)
    assert [(event.size, event.window) for event in events_of(log)] == [(None, DAY)] * 3
    (warning,) = warned()
    assert "'nightly'" in warning
    assert "kcevents.size=a str of 2 characters" in warning


def test_event_is_kept_without_an_unreadable_attribute(provider: TracerProvider, log: EventLog, warned: Warned) -> None:
    """Even beside an event whose name cannot be looked up."""
    with provider.get_tracer("program").start_as_current_span("nightly") as span:
        span.add_event(["AssetSetSaved"], timestamp=TIME)  # type: ignore[arg-type]
        span.add_event("AssetSetComputeError", {"error.message": 10**5000, "error.type": "OSError", **WINDOW}, TIME)
    assert events_of(log) == [Event("AssetSetComputeError", TIME, None, DAY, Failure("OSError", ""))]
    assert len(warned()) == 1


def test_message_of_other_code_is_scrubbed(provider: TracerProvider, log: EventLog) -> None:
    add_event(provider, "AssetSetComputeError", {"error.type": "token=hunter2", "error.message": "password=hunter2"})
    assert events_of(log) == [
        Event("AssetSetComputeError", TIME, failure=Failure("token=[redacted]", "password=[redacted]"))
    ]


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("AssetSetSaved", 10**30),
        ("AssetSetSaved", -(10**30)),
        ("AssetSetSaved", 1654275521.5),
        ("AssetSetSaved", "2022-06-03T16:58:41Z"),
        (None, TIME),
        (["AssetSetSaved"], TIME),
    ],
)
def test_invalid_event_does_not_affect_the_others(
    provider: TracerProvider, log: EventLog, warned: Warned, name: Any, time: Any
) -> None:
    with provider.get_tracer("program").start_as_current_span("nightly") as span:
        span.add_event("AssetSetLoaded", timestamp=TIME)
        span.add_event(name, timestamp=time)
        span.add_event("AssetSetTotaled", timestamp=TIME + 1)
    assert [event.kind for event in events_of(log)] == ["AssetSetTotaled", "AssetSetLoaded"]
    assert len(warned()) == 1


class BrokenLog(EventLog):
    def append(self, *args: Any, **kwargs: Any) -> bool:
        raise RuntimeError("the log is broken")


class BrokenSpan(ReadableSpan):
    @property
    def events(self) -> Any:
        raise RuntimeError("the span is broken")


def test_broken_log_does_not_affect_the_program(warned: Warned) -> None:
    provider = provider_of(EventLogProcessor(BrokenLog()))
    for _ in range(3):
        add_event(provider, "AssetSetSaved", {})
    (warning,) = warned()
    assert "the log is broken" in warning


def test_broken_span_does_not_affect_the_program(log: EventLog, warned: Warned) -> None:
    EventLogProcessor(log).on_end(BrokenSpan("broken"))
    (warning,) = warned()
    assert "the span is broken" in warning


def test_span_may_lack_context_scope_and_attributes(log: EventLog) -> None:
    """For example one that was rebuilt from an export."""
    bare = SpanEvent("AssetSetComputeError", timestamp=TIME)
    error = SpanEvent("AssetSetComputeError", {"error.type": "OSError"}, timestamp=TIME + 1)
    EventLogProcessor(log).on_end(ReadableSpan("rebuilt", events=[bare, error]))
    assert [event.failure for event in events_of(log)] == [Failure("OSError", ""), None]


# Lifecycle


def test_default_log_is_the_process_wide_one() -> None:
    assert EventLogProcessor().log is default_log


def test_shutdown_stops_the_processor(provider: TracerProvider, log: EventLog) -> None:
    add_event(provider, "AssetSetSaved", {})
    provider.shutdown()
    add_event(provider, "AssetSetSaved", {}, TIME + 1)
    assert events_of(log) == [Event("AssetSetSaved", TIME)]


def test_flush_succeeds_at_once(provider: TracerProvider) -> None:
    assert provider.force_flush()
