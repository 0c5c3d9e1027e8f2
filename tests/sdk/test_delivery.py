"""Flush, the end and forks: deliveries with real threads, and clients of the test's own."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'otel-kcevents[otlp]' to run these")

from conftest import run_script
from faults import wait_until
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from otel_kcevents.sdk import delivery as delivery_module
from otel_kcevents.sdk import signals
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.sdk.signals import FlushingMeterProvider, MetricReader, SpanProcessor

Warned = Callable[[], list[str]]
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


class Collector:
    """A client and its collector in one: takes what `takes` says."""

    endpoint = "http://collector:4317"

    def __init__(self) -> None:
        self.takes: Callable[[Any], int | None] = lambda data: 0
        self.taken: list[Any] = []
        self.closed = 0

    def send(self, data: Any, current: Context) -> int | None:
        rejected = self.takes(data)
        if rejected is not None:
            self.taken.append(data)
        return rejected

    def close(self) -> None:
        self.closed += 1

    def after_fork_in_child(self) -> None: ...


class Preferences:
    """What a metric reader asks its exporter for."""

    _preferred_temporality: ClassVar[dict[type, AggregationTemporality]] = {}
    _preferred_aggregation: ClassVar[dict[type, object]] = {}


class Pipeline:
    """Both signals of a process, each with a collector."""

    def __init__(self) -> None:
        self.delivery = Delivery()
        self.spans, self.metrics = Collector(), Collector()
        processor = SpanProcessor(self.delivery, self.delivery.outbox("spans", self.spans), None)
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(processor)
        reader = MetricReader(self.delivery, self.delivery.outbox("metrics", self.metrics, 60), Preferences())
        self.meters = FlushingMeterProvider(reader, Resource.get_empty())
        self.meters.get_meter("test").create_counter("counter").add(1)
        self.delivery.start()

    def emit(self, count: int = 1) -> None:
        for _ in range(count):
            self.tracers.get_tracer("test").start_span("span").end()


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    made = Pipeline()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()
    made.delivery.close()


def refuse(data: Any) -> None:
    """Take nothing."""


def test_a_flush_sends_what_is_queued_and_the_metrics(pipeline: Pipeline) -> None:
    pipeline.emit(3)
    assert pipeline.delivery.flush(20)
    assert [len(batch) for batch in pipeline.spans.taken] == [3]
    assert len(pipeline.metrics.taken) == 1


def test_a_flush_that_could_not_send_returns_false(pipeline: Pipeline) -> None:
    pipeline.spans.takes = refuse
    pipeline.emit(3)
    assert not pipeline.delivery.flush(0.05)


def test_a_flush_sends_what_was_kept(pipeline: Pipeline) -> None:
    pipeline.spans.takes = refuse
    pipeline.emit(3)
    pipeline.delivery.flush(0.05)
    pipeline.spans.takes = lambda data: 0
    assert pipeline.delivery.flush(20)
    assert sum(len(batch) for batch in pipeline.spans.taken) == 3


def test_a_flush_of_rejected_spans_returns_false(pipeline: Pipeline) -> None:
    pipeline.spans.takes = lambda data: 1
    pipeline.emit(3)
    assert not pipeline.delivery.flush(20)


def test_each_provider_flushes_its_own_signal(pipeline: Pipeline) -> None:
    pipeline.metrics.takes = refuse
    pipeline.emit()
    assert pipeline.tracers.force_flush()
    assert not pipeline.meters.force_flush(50)
    pipeline.spans.takes, pipeline.metrics.takes = refuse, lambda data: 0
    pipeline.emit()
    assert pipeline.meters.force_flush()
    assert not pipeline.tracers.force_flush(50)


def test_a_processor_flushes_without_a_timeout() -> None:
    delivery, collector = Delivery(), Collector()
    processor = SpanProcessor(delivery, delivery.outbox("spans", collector), None)
    delivery.start()
    assert processor.force_flush()
    processor.shutdown()  # type: ignore[no-untyped-call]
    delivery.close()


def test_kept_spans_are_sent_though_no_new_span_comes(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([None, None])
    pipeline.spans.takes = lambda data: next(answers, 0)
    pipeline.emit()
    pipeline.delivery.flush(0.01)
    wait_until(lambda: pipeline.spans.taken)


def test_metrics_are_collected_by_a_timer() -> None:
    delivery, collector = Delivery(), Collector()
    reader = MetricReader(delivery, delivery.outbox("metrics", collector, 0.05), Preferences())
    provider = FlushingMeterProvider(reader, Resource.get_empty())
    provider.get_meter("test").create_counter("counter").add(1)
    delivery.start()
    wait_until(lambda: len(collector.taken) > 2)
    provider.shutdown()
    delivery.close()


def test_metrics_that_cannot_be_collected_are_said_once(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    monkeypatch.setattr(signals, "_COLLECT_TIMEOUT", 0.01)
    slow = threading.Event()

    def callback(options: CallbackOptions) -> Iterator[Observation]:
        slow.wait(0.05)
        yield Observation(1)

    for name in ("first", "second"):  # the SDK looks at the clock between two instruments
        pipeline.meters.get_meter("test").create_observable_gauge(name, [callback])
    for _ in range(2):
        assert not pipeline.meters.force_flush(20_000)
    slow.set()
    [message] = warned()
    assert "the metrics could not be collected" in message


def test_a_flush_does_not_wait_for_a_slow_collection(pipeline: Pipeline) -> None:
    """A callback that hangs does not hang whoever flushes, and the spans are sent all the same."""
    hangs, goes_on = threading.Event(), threading.Event()

    def callback(options: CallbackOptions) -> Iterator[Observation]:
        hangs.set()
        goes_on.wait(20)
        yield Observation(1)

    pipeline.meters.get_meter("test").create_observable_gauge("gauge", [callback])
    pipeline.emit(3)
    assert not pipeline.delivery.flush(1)
    assert hangs.is_set()
    assert [len(batch) for batch in pipeline.spans.taken] == [3]
    goes_on.set()


def test_an_end_reports_what_was_lost_once(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, warned: Warned) -> None:
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", 0.1)
    pipeline.spans.takes = pipeline.metrics.takes = refuse
    pipeline.emit(3)
    pipeline.delivery.end()
    pipeline.delivery.end()
    lost = [message for message in warned() if "not exported" in message]
    assert sorted(lost) == [
        "3 spans were not exported to the OTLP endpoint http://collector:4317",
        "the last metrics were not exported to the OTLP endpoint http://collector:4317",
    ]


def test_an_end_without_success_gives_up_early(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", 0.1)
    monkeypatch.setattr(delivery_module, "SHUTDOWN_TIMEOUT", 1000.0)
    pipeline.spans.takes = refuse
    pipeline.emit()
    pipeline.delivery.end()
    assert pipeline.spans.taken == []


def test_an_end_with_successes_gives_up_too(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that takes one batch after the other cannot hold the end for ever."""
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", 1000.0)
    monkeypatch.setattr(delivery_module, "SHUTDOWN_TIMEOUT", 0.5)
    outbox = pipeline.delivery.outboxes[0]

    def takes(data: Any) -> int:
        pause.wait(0.01)
        outbox.put(["more"], 1)
        return 0

    pause = threading.Event()
    pipeline.spans.takes = takes
    for _ in range(1000):
        outbox.put(["first"], 1)
    pipeline.delivery.end()
    assert 0 < len(pipeline.spans.taken) < 1000
    pipeline.spans.takes = lambda data: 0


def test_an_end_sends_what_comes_after_another(pipeline: Pipeline) -> None:
    for _ in range(2):
        pipeline.emit()
        pipeline.delivery.end()
    assert len(pipeline.spans.taken) == 2


def test_spans_that_the_sdk_dropped_are_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a queue of one, whose thread has no time to empty it."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    delivery, collector = Delivery(), Collector()
    processor = SpanProcessor(delivery, delivery.outbox("spans", collector), 1)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    delivery.start()
    for _ in range(5000):
        provider.get_tracer("test").start_span("span").end()
    delivery.end()
    provider.shutdown()
    delivery.close()
    taken = sum(len(batch) for batch in collector.taken)
    said = [record.getMessage() for record in caplog.records if "not exported" in record.getMessage()]
    assert taken < 5000
    assert said == [f"{5000 - taken} spans were not exported to the OTLP endpoint {collector.endpoint}"]


def test_a_span_that_cannot_be_encoded_loses_no_other(pipeline: Pipeline, warned: Warned) -> None:
    """Among so many large ones that the batch is encoded to measure it."""
    for name in ["good"] * 25 + ["bad \ud800"] + ["good"] * 25:
        pipeline.tracers.get_tracer("test").start_span(name, attributes={"text": "x" * 100_000}).end()
    assert pipeline.delivery.flush(20)
    assert sum(len(batch) for batch in pipeline.spans.taken) == 51  # what the exporter makes of the one is seen later


def test_a_large_span_that_cannot_be_encoded_is_said(pipeline: Pipeline, warned: Warned) -> None:
    pipeline.tracers.get_tracer("test").start_span("bad \ud800", attributes={"text": "x" * 5_000_000}).end()
    assert not pipeline.delivery.flush(20)
    [message] = warned()
    assert "cannot be encoded" in message


def test_a_batch_of_any_size_is_kept(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_BSP_MAX_EXPORT_BATCH_SIZE` may be more than is kept of what fails."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20000")
    outbox, collector = pipeline.delivery.outbox("many", pipeline.spans), pipeline.spans
    processor = SpanProcessor(pipeline.delivery, outbox, 20_000)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for _ in range(10_000):
        provider.get_tracer("test").start_span("span").end()
    processor.hand_over()
    outbox.work()
    assert 0 < len(collector.taken[0]) <= 4096
    assert outbox.dropped == 0
    provider.shutdown()


def test_a_log_handler_that_raises_does_not_end_the_export(pipeline: Pipeline) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("broken")

    logger = logging.getLogger("otel_kcevents")
    logger.addFilter(broken)
    try:
        pipeline.spans.takes = refuse
        pipeline.emit(3)
        assert not pipeline.delivery.flush(0.1)
    finally:
        logger.removeFilter(broken)
    pipeline.spans.takes = lambda data: 0
    assert pipeline.delivery.flush(20)
    assert sum(len(batch) for batch in pipeline.spans.taken) == 3


def test_rejected_data_points_are_not_lost_metrics(pipeline: Pipeline, warned: Warned) -> None:
    """The next totals hold them, and those were taken."""
    pipeline.metrics.takes = lambda data: 1
    pipeline.delivery.flush(20)
    pipeline.metrics.takes = lambda data: 0
    pipeline.delivery.end()
    [message] = warned()
    assert "rejected 1 metrics" in message


def test_a_flush_after_the_end_is_refused(pipeline: Pipeline) -> None:
    pipeline.delivery.close()
    assert not pipeline.delivery.flush(20)


def test_a_flush_may_wait_for_ever(pipeline: Pipeline) -> None:
    assert pipeline.delivery.flush(float("inf"))


def test_a_span_too_large_is_lost_and_said(pipeline: Pipeline, warned: Warned) -> None:
    for size in (10, 5_000_000, 6_000_000, 10):
        pipeline.tracers.get_tracer("test").start_span("span", attributes={"text": "x" * size}).end()
    pipeline.delivery.end()
    assert sum(len(batch) for batch in pipeline.spans.taken) == 2
    first, last = warned()
    assert "exceed the limit of 4000000" in first
    assert last.startswith("2 spans were not exported")


class Unsampled(Sampler):
    """Records each span, for processors alone."""

    def should_sample(self, *args: Any, **options: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "unsampled"


def test_a_span_that_is_not_sampled_is_not_missed(warned: Warned) -> None:
    delivery, collector = Delivery(), Collector()
    provider = TracerProvider(Unsampled(), shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor(delivery, delivery.outbox("spans", collector), None))
    delivery.start()
    provider.get_tracer("test").start_span("span").end()
    delivery.end()
    provider.shutdown()
    delivery.close()
    assert (collector.taken, warned()) == ([], [])


def test_differences_do_not_replace_each_other() -> None:
    """With delta temporality each export counts."""

    class Deltas(Preferences):
        _preferred_temporality: ClassVar = {Counter: AggregationTemporality.DELTA}

    delivery, collector = Delivery(), Collector()
    reader = MetricReader(delivery, delivery.outbox("metrics", collector, 60), Deltas())
    provider = FlushingMeterProvider(reader, Resource.get_empty())
    counter = provider.get_meter("test").create_counter("counter")
    collector.takes = refuse
    for _ in range(3):
        counter.add(1)
        reader.hand_over()
    collector.takes = lambda data: 0
    delivery.start()
    assert delivery.flush(20)
    assert len(collector.taken) == 3
    provider.shutdown()
    delivery.close()


def test_closing_leaves_an_export_under_way_behind(pipeline: Pipeline) -> None:
    under_way, goes_on = threading.Event(), threading.Event()

    def takes(data: Any) -> int:
        under_way.set()
        goes_on.wait(20)
        return 0

    pipeline.spans.takes = takes
    pipeline.emit()
    pipeline.delivery.flush(0.01)
    assert under_way.wait(20)
    pipeline.delivery.close()
    assert (pipeline.spans.closed, pipeline.metrics.closed) == (0, 1)
    goes_on.set()


FORK = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of a fork beside threads
sys.path[:0] = {tests!r}
from test_delivery import Pipeline

pipeline = Pipeline()
under_way, goes_on = threading.Event(), threading.Event()

def takes(data):
    under_way.set()
    goes_on.wait(20)
    return 0

def leave(code):
    os._exit(code)
"""


def fork(script: str) -> str:
    out, err = run_script(
        FORK.format(tests=[os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))]) + script
    )
    assert err == ""
    return out


@FORKS
def test_a_fork_waits_for_an_export_under_way() -> None:
    out = fork("""
pipeline.spans.takes = takes
pipeline.emit(); pipeline.delivery.flush(0.01); under_way.wait(20)
threading.Timer(0.2, goes_on.set).start()
child = os.fork()
if not child:
    leave(0 if goes_on.is_set() else 1)
print(os.waitpid(child, 0)[1])
""")
    assert out == "0\n"


@FORKS
def test_a_fork_does_not_wait_for_ever_and_its_child_exports() -> None:
    """A peer that hangs delays it by a second; the child starts with a connection and nothing kept."""
    out = fork("""
pipeline.spans.takes = takes
pipeline.emit(5); pipeline.delivery.flush(0.01); under_way.wait(20)
child = os.fork()
if not child:
    pipeline.spans.takes = lambda data: 0
    pipeline.emit(2)
    flushed = pipeline.delivery.flush(20)
    leave(0 if flushed and [len(batch) for batch in pipeline.spans.taken] == [2] else 1)
print(os.waitpid(child, 0)[1])
goes_on.set()
print(pipeline.delivery.flush(20), [len(batch) for batch in pipeline.spans.taken])
""")
    assert out == "0\nTrue [5]\n"


@FORKS
def test_a_fork_inside_a_collection_does_not_hang() -> None:
    """A callback of an instrument may start a process."""
    out = fork("""
from opentelemetry.metrics import Observation
def callback(options):
    child = os.fork()
    if not child: leave(0)
    yield Observation(os.waitpid(child, 0)[1])
pipeline.meters.get_meter("test").create_observable_gauge("gauge", [callback])
print(pipeline.delivery.flush(20))
""")
    assert out == "True\n"


@FORKS
def test_forks_in_threads_at_once_all_return() -> None:
    out = fork("""
codes = []
def work():
    for _ in range(20):
        child = os.fork()
        if not child: leave(0)
        codes.append(os.waitpid(child, 0)[1])
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(50): pipeline.emit(); pipeline.delivery.flush(20)
for thread in threads: thread.join()
print(len(codes), set(codes))
""")
    assert out == "80 {0}\n"
