"""Promises of `otel_kcevents.record.processor`: the events of any span that ends are retained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.trace import Tracer

from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.record.processor import EventLogProcessor
from otel_kcevents.store.log import EventLog, default_log

TIME = 1654275521_289194368
WINDOW = {"kcevents.window.start": "2022-06-03T00:00:00Z", "kcevents.window.end": "2022-06-04T00:00:00Z"}
DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture
def processor(log: EventLog, provider: TracerProvider) -> EventLogProcessor:
    processor = EventLogProcessor(log)
    provider.add_span_processor(processor)
    return processor


@pytest.fixture
def tracer(provider: TracerProvider, processor: EventLogProcessor) -> Tracer:
    """A tracer of a program that knows OpenTelemetry alone, with the processor on its provider."""
    return provider.get_tracer("program")


def record(tracer: Tracer, name: str, attributes: dict[str, Any], time: Any = TIME) -> None:
    """Do what a user does by hand: add one event to a span of the program's own."""
    with tracer.start_as_current_span("nightly") as span:
        span.add_event(name, attributes, timestamp=time)


def retained(log: EventLog) -> list[Event]:
    return [event for events in log.document().lists.values() for event in events]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [found.getMessage() for found in caplog.records if found.name == "otel_kcevents"]


# What is taken


def test_an_event_by_hand_is_retained(tracer: Tracer, log: EventLog) -> None:
    """A span event of a documented kind is kept at its own time, to the nanosecond, with its size and window."""
    record(tracer, "AssetSetSaved", {"kcevents.size": 29, **WINDOW})
    assert retained(log) == [Event("AssetSetSaved", TIME, 29, DAY)]


def test_a_size_is_retained_exactly(tracer: Tracer, log: EventLog) -> None:
    """The greatest size that OTLP carries is kept to the last digit."""
    record(tracer, "AssetSetSaved", {"kcevents.size": 2**63 - 1})
    assert retained(log) == [Event("AssetSetSaved", TIME, 2**63 - 1)]


def test_event_behind_the_name_is_accepted(tracer: Tracer, log: EventLog) -> None:
    """A kind may be named as the document's list names it, and is kept under the log's name."""
    record(tracer, "AllocationSetTotaledEvent", WINDOW)
    assert retained(log) == [Event("AllocationSetTotaled", TIME, None, DAY)]


@pytest.mark.parametrize("name", ["", "cache miss", "AssetSet", "assetsetsaved", "AssetSetSavedEventEvent"])
def test_other_events_are_ignored(tracer: Tracer, log: EventLog, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What else is on a span is nobody's business here, and worth no warning."""
    record(tracer, name, {"kcevents.size": 5})
    assert (retained(log), warnings(caplog)) == ([], [])


def test_every_event_of_a_span_is_taken(tracer: Tracer, log: EventLog) -> None:
    """One span may carry many events, and each counts."""
    with tracer.start_as_current_span("nightly") as span:
        for number in range(100):
            span.add_event("AssetSetSaved", {"kcevents.size": number}, timestamp=TIME + number)
    assert [event.size for event in retained(log)] == list(range(99, -1, -1))


@pytest.mark.parametrize("end", WINDOW)
def test_a_window_may_be_open(tracer: Tracer, log: EventLog, end: str) -> None:
    """One end alone is a window whose other end is open."""
    record(tracer, "AssetSetTotaled", {end: "2022-06-03T00:00:00Z"})
    ends = ["2022-06-03T00:00:00Z" if key == end else None for key in WINDOW]
    assert retained(log) == [Event("AssetSetTotaled", TIME, None, Window(*ends))]


def test_a_set_of_ones_own_is_taken(tracer: Tracer, log: EventLog) -> None:
    """The kinds are the log's, those of added sets among them."""
    log.add_set("cloud", "CloudCostSet")
    record(tracer, "CloudCostSetSaved", {"kcevents.size": 5})
    assert log.document().lists["cloud"] == (Event("CloudCostSetSaved", TIME, 5),)


@pytest.mark.parametrize(
    ("on_span", "on_event", "failure"),
    [
        (
            {"kcevents.operation": "save"},
            {"error.type": "OSError", "error.message": "disk full"},
            Failure("OSError", "disk full", "save"),
        ),
        ({}, {"error.type": "OSError", "error.message": "disk full"}, Failure("OSError", "disk full")),
        ({}, {"error.type": "OSError"}, Failure("OSError", "")),
        ({}, {"error.message": "disk full"}, Failure("", "disk full")),
        ({"kcevents.operation": "save"}, {}, None),
    ],
)
def test_an_error_tells_what_failed(
    tracer: Tracer, log: EventLog, on_span: dict[str, str], on_event: dict[str, str], failure: Failure | None
) -> None:
    """An error's type and message are the event's, its operation the span's, as far as they are known."""
    with tracer.start_as_current_span("nightly", attributes=on_span) as span:
        span.add_event("AssetSetComputeError", {**on_event, **WINDOW}, timestamp=TIME)
    assert retained(log) == [Event("AssetSetComputeError", TIME, None, DAY, failure)]


@pytest.mark.parametrize("kind", ["AssetSetTotaled", "AssetSetReconciled", "AssetSetComputeError"])
def test_a_size_that_is_not_documented_is_dropped(
    tracer: Tracer, log: EventLog, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A kind without a size in the document has none in the log, whether the attribute can be read or not."""
    record(tracer, kind, {"kcevents.size": 5, **WINDOW})
    record(tracer, kind, {"kcevents.size": "five", **WINDOW})
    assert (retained(log), warnings(caplog)) == ([Event(kind, TIME, None, DAY)] * 2, [])


def test_an_error_that_is_not_documented_is_dropped(tracer: Tracer, log: EventLog) -> None:
    """What succeeded has no error in the log, whatever its attributes say."""
    record(tracer, "AssetSetSaved", {"error.type": "OSError", "error.message": "disk full"})
    assert retained(log) == [Event("AssetSetSaved", TIME)]


def test_the_documents_own_events_are_retained_as_they_stand(tracer: Tracer, log: EventLog, documented: str) -> None:
    """The example's six events, put on spans by hand, give the very same entries, newest first."""
    document = read_document(documented)
    for event in (event for events in document.lists.values() for event in events):
        assert event.window is not None
        attributes = {"kcevents.window.start": event.window.start_text, "kcevents.window.end": event.window.end_text}
        size = {} if event.size is None else {"kcevents.size": event.size}
        record(tracer, event.kind, {**size, **attributes}, event.time)
    newest_first = {
        etl: sorted((event.to_dict() for event in events), key=lambda entry: str(entry["time"]), reverse=True)
        for etl, events in document.lists.items()
    }
    entries = log.document().to_dict()["data"]
    assert {etl: entries[etl] for etl in newest_first} == newest_first


# Once and no more


def test_a_processor_added_twice_counts_once(
    provider: TracerProvider, processor: EventLogProcessor, tracer: Tracer, log: EventLog
) -> None:
    """The same processor may be on a provider twice over."""
    provider.add_span_processor(processor)
    record(tracer, "AssetSetSaved", {})
    assert log.counts() == {"AssetSetSaved": 1}


def test_two_processors_on_one_log_count_once(provider: TracerProvider, tracer: Tracer, log: EventLog) -> None:
    """Two processors that share a log share its entries."""
    provider.add_span_processor(EventLogProcessor(log))
    record(tracer, "AssetSetSaved", {})
    assert log.counts() == {"AssetSetSaved": 1}


def test_processors_in_threads_of_their_own_count_once(log: EventLog) -> None:
    """With the SDK's concurrent processor, which calls each from a thread, the events are the same."""
    concurrent = ConcurrentMultiSpanProcessor(num_threads=2)
    provider = TracerProvider(active_span_processor=concurrent, shutdown_on_exit=False)
    for _ in range(2):
        provider.add_span_processor(EventLogProcessor(log))
    for number in range(50):
        record(provider.get_tracer("program"), "AssetSetSaved", {}, TIME + number)
    provider.shutdown()
    assert log.counts() == {"AssetSetSaved": 50}


def test_two_logs_have_the_event_each(provider: TracerProvider, tracer: Tracer, log: EventLog) -> None:
    """A second processor with a log of its own takes nothing from the first."""
    other = EventLog()
    provider.add_span_processor(EventLogProcessor(other))
    record(tracer, "AssetSetSaved", {})
    assert log.counts() == other.counts() == {"AssetSetSaved": 1}


def test_the_log_is_the_process_wide_one_where_none_is_given() -> None:
    """`EventLogProcessor()` fills the default log."""
    assert EventLogProcessor().log is default_log


# What can go wrong


@pytest.mark.parametrize(
    ("broken", "kept"),
    [
        ({"kcevents.size": "97"}, {"window": DAY}),
        ({"kcevents.size": ("97", "98")}, {"window": DAY}),
        ({"kcevents.size": 97.0}, {"window": DAY}),
        ({"kcevents.size": True}, {"window": DAY}),
        ({"kcevents.size": -1}, {"window": DAY}),
        ({"kcevents.size": 2**63}, {"window": DAY}),
        ({"kcevents.window.start": "yesterday"}, {"size": 97}),
        ({"kcevents.window.start": 1654214400}, {"size": 97}),
        ({"kcevents.window.start": "2022-06-05T00:00:00Z"}, {"size": 97}),
        ({"kcevents.window.end": ""}, {"size": 97}),
    ],
)
def test_a_broken_attribute_leaves_its_field_out(
    tracer: Tracer, log: EventLog, broken: dict[str, Any], kept: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What can not be read is left out and the rest kept, with one warning however often it happens."""
    for number in range(3):
        record(tracer, "AssetSetSaved", {"kcevents.size": 97, **WINDOW, **broken}, TIME + number)
    assert retained(log) == [Event("AssetSetSaved", TIME + number, **kept) for number in (2, 1, 0)]
    assert [text[:32] for text in warnings(caplog)] == ["an event on the span 'nightly' i"]


@pytest.mark.parametrize("time", [10**30, -(10**30), 1654275521.5, "2022-06-03T16:58:41Z"])
def test_an_event_without_a_time_is_left_out_alone(
    tracer: Tracer, log: EventLog, time: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An event whose time is none is dropped with one warning, and the span's other events are taken."""
    with tracer.start_as_current_span("nightly") as span:
        span.add_event("AssetSetLoaded", timestamp=TIME)
        span.add_event("AssetSetSaved", timestamp=time)
        span.add_event("AssetSetTotaled", timestamp=TIME + 1)
    assert [event.kind for event in retained(log)] == ["AssetSetTotaled", "AssetSetLoaded"]
    assert len(warnings(caplog)) == 1


class BrokenLog(EventLog):
    """A log that can take nothing."""

    def append(self, event: Event, span_id: int = 0, trace_id: int = 0, repeat: int = 0) -> bool:
        raise RuntimeError("the log is broken")


def test_a_broken_log_never_reaches_the_program(provider: TracerProvider, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a log raises, the program's spans end as ever, with one warning."""
    provider.add_span_processor(EventLogProcessor(BrokenLog()))
    for _ in range(3):
        record(provider.get_tracer("program"), "AssetSetSaved", {})
    assert warnings(caplog) == [
        "an event on the span 'nightly' is omitted or incomplete (logged once per processor): the log is broken"
    ]


def test_a_span_may_lack_context_and_attributes(log: EventLog) -> None:
    """A span that another program rebuilt, without an identity and as bare as its events, is taken all the same."""
    bare = SpanEvent("AssetSetComputeError", timestamp=TIME)
    error = SpanEvent("AssetSetComputeError", {"error.type": "OSError"}, timestamp=TIME + 1)
    EventLogProcessor(log).on_end(ReadableSpan("rebuilt", events=[bare, error]))
    assert [event.failure for event in retained(log)] == [Failure("OSError", ""), None]


# Its life


def test_shutdown_stops_it(processor: EventLogProcessor, tracer: Tracer, log: EventLog) -> None:
    """After `shutdown` no event is taken, and the log keeps what it has."""
    record(tracer, "AssetSetSaved", {})
    processor.shutdown()
    record(tracer, "AssetSetSaved", {}, TIME + 1)
    assert retained(log) == [Event("AssetSetSaved", TIME)]


def test_a_flush_has_nothing_to_wait_for(provider: TracerProvider, processor: EventLogProcessor) -> None:
    """`force_flush` is true at once, by itself and through the provider."""
    assert processor.force_flush() is provider.force_flush() is True


def test_a_very_long_message_is_cut() -> None:
    """The log's memory is bounded, whatever other code puts on its spans."""
    log = EventLog()
    provider = TracerProvider()
    provider.add_span_processor(EventLogProcessor(log))
    with provider.get_tracer("t").start_as_current_span("s") as span:
        span.add_event("AssetSetComputeError", {"error.type": "E", "error.message": "x" * 5_000_000})
    (event,) = log.document().lists["asset"]
    assert event.failure is not None
    assert len(event.failure.message) == 4097


def test_a_span_whose_events_can_not_be_read_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of it reaches the program."""

    class Unreadable(ReadableSpan):
        @property
        def events(self) -> Any:
            raise RuntimeError("no events")

    EventLogProcessor(EventLog()).on_end(Unreadable("broken"))
    assert "no events" in caplog.text


def test_events_of_one_name_and_time_on_one_span_are_each_taken(
    provider: TracerProvider, tracer: Tracer, log: EventLog
) -> None:
    """A coarse clock loses none, and a second processor takes none twice."""
    provider.add_span_processor(EventLogProcessor(log))
    with tracer.start_as_current_span("nightly") as span:
        for size in (1, 2, 2):
            span.add_event("AssetSetSaved", {"kcevents.size": size}, timestamp=TIME)
    assert sorted(event.size or 0 for event in retained(log)) == [1, 2, 2]


def test_an_event_whose_name_is_no_text_leaves_the_others(
    tracer: Tracer, log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out alone, with a warning."""
    name: Any = None
    with tracer.start_as_current_span("nightly") as span:
        span.add_event(name)
        span.add_event("AssetSetSaved")
    assert log.counts() == {"AssetSetSaved": 1}
    assert len(warnings(caplog)) == 1
