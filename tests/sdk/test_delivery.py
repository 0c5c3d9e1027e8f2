"""Flush, the end of a program, and forks: deliveries with real threads, and collectors that the test controls."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)

from collector import Exporting, refuse
from conftest import run_program, wait_until
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from telemetry import Warned

from otel_kcevents.sdk import delivery as delivery_module
from otel_kcevents.sdk import signals


@pytest.fixture
def start() -> Iterator[Callable[..., Exporting]]:
    """A function that makes an `Exporting`; each is closed at the end of the test."""
    made: list[Exporting] = []

    def make(**options: Any) -> Exporting:
        made.append(Exporting(**options))
        return made[-1]

    yield make
    for exporting in made:
        exporting.close()


@pytest.fixture
def exporting(start: Callable[..., Exporting]) -> Exporting:
    return start()


def test_flush_sends_what_is_queued_and_the_metrics(exporting: Exporting) -> None:
    exporting.emit(3)
    assert exporting.delivery.flush(20)
    assert (exporting.sizes, len(exporting.metrics.taken)) == ([3], 1)


def test_flush_sends_what_an_earlier_one_could_not(exporting: Exporting) -> None:
    exporting.spans.takes = refuse
    exporting.emit(3)
    assert not exporting.delivery.flush(0.05)
    exporting.spans.takes = lambda data: 0
    assert exporting.delivery.flush(20)
    assert sum(exporting.sizes) == 3


def test_flush_of_rejected_spans_returns_false(exporting: Exporting) -> None:
    exporting.spans.takes = lambda data: 1
    exporting.emit(3)
    assert not exporting.delivery.flush(20)


def test_each_provider_flushes_its_own_signal(exporting: Exporting) -> None:
    exporting.metrics.takes = refuse
    exporting.emit()
    assert exporting.tracers.force_flush()
    assert not exporting.meters.force_flush(50)
    exporting.spans.takes, exporting.metrics.takes = refuse, lambda data: 0
    exporting.emit()
    assert exporting.meters.force_flush()
    assert not exporting.tracers.force_flush(50)


def test_processor_flushes_without_a_timeout(exporting: Exporting) -> None:
    exporting.emit()
    assert exporting.processor.force_flush()
    assert exporting.sizes == [1]


def test_flush_may_have_an_infinite_timeout(exporting: Exporting) -> None:
    assert exporting.delivery.flush(float("inf"))


def test_flush_after_the_end_is_refused(exporting: Exporting) -> None:
    exporting.delivery.close()
    assert not exporting.delivery.flush(20)


def test_kept_spans_are_sent_without_new_ones(exporting: Exporting) -> None:
    answers = iter([None])
    exporting.spans.takes = lambda data: next(answers, 0)
    exporting.emit()
    exporting.delivery.flush(0.01)
    wait_until(lambda: exporting.spans.taken)


def test_metrics_are_collected_by_a_timer(start: Callable[..., Exporting]) -> None:
    exporting = start(interval=0.05)
    wait_until(lambda: len(exporting.metrics.taken) > 2)


def test_metrics_that_cannot_be_collected_warn_once(
    exporting: Exporting, monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    monkeypatch.setattr(signals, "COLLECT_TIMEOUT", 0.01)
    slow = threading.Event()

    def callback(options: CallbackOptions) -> Iterator[Observation]:
        slow.wait(0.05)
        yield Observation(1)

    for name in ("first", "second"):  # the SDK looks at the clock between two instruments
        exporting.meters.get_meter("test").create_observable_gauge(name, [callback])
    for _ in range(2):
        assert not exporting.meters.force_flush(20_000)
    slow.set()
    [message] = warned()
    assert "cannot collect the metrics" in message


def test_flush_does_not_wait_for_a_slow_collection(exporting: Exporting) -> None:
    """The spans are sent nevertheless."""
    goes_on = threading.Event()

    def callback(options: CallbackOptions) -> Iterator[Observation]:
        goes_on.wait(20)
        yield Observation(1)

    exporting.meters.get_meter("test").create_observable_gauge("gauge", [callback])
    exporting.emit(3)
    assert not exporting.delivery.flush(1)
    assert exporting.sizes == [3]
    goes_on.set()


def test_end_reports_losses_once(exporting: Exporting, monkeypatch: pytest.MonkeyPatch, warned: Warned) -> None:
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", 0.1)
    exporting.spans.takes = exporting.metrics.takes = refuse
    exporting.emit(3)
    exporting.delivery.end()
    exporting.delivery.end()
    lost = [message for message in warned() if "failed to export" in message]
    spans, metrics = sorted(lost)
    assert spans.startswith("failed to export 3 spans")
    assert metrics.startswith("failed to export the last metrics")
    assert "http://collector:4317" in spans


def test_end_without_successes_gives_up_early(exporting: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", 0.1)
    monkeypatch.setattr(delivery_module, "SHUTDOWN_TIMEOUT", 1000.0)
    exporting.spans.takes = refuse
    exporting.emit()
    exporting.delivery.end()
    assert exporting.spans.taken == []


def test_end_with_successes_is_limited_in_time(exporting: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that accepts one batch after the other cannot delay the end forever."""
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", 1000.0)
    monkeypatch.setattr(delivery_module, "SHUTDOWN_TIMEOUT", 0.3)
    outbox = exporting.delivery.outboxes[0]
    pause = threading.Event()

    def takes(data: Any) -> int:
        pause.wait(0.01)
        outbox.put(["more"], 1)
        return 0

    exporting.spans.takes = takes
    for _ in range(1000):
        outbox.put(["first"], 1)
    exporting.delivery.end()
    assert 0 < len(exporting.spans.taken) < 1000
    exporting.spans.takes = lambda data: 0


def test_second_end_sends_later_spans(exporting: Exporting) -> None:
    for _ in range(2):
        exporting.emit()
        exporting.delivery.end()
    assert exporting.sizes == [1, 1]


def test_is_ending_is_true_during_the_end(exporting: Exporting) -> None:
    """A signal handler checks this, and lets it finish."""
    seen = []

    def takes(data: Any) -> int:
        seen.append(exporting.delivery.is_ending)
        return 0

    exporting.spans.takes = takes
    exporting.emit()
    exporting.delivery.end()
    assert (seen, exporting.delivery.is_ending) == ([True], False)


def test_spans_that_the_sdk_dropped_are_reported(
    start: Callable[..., Exporting], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue holds one span, and its thread cannot empty it fast enough."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    exporting = start(queue_size=1)
    exporting.emit(5000)
    exporting.delivery.end()
    taken = sum(exporting.sizes)
    [reported] = [record.getMessage() for record in caplog.records if "failed to export" in record.getMessage()]
    assert taken < 5000
    assert reported.startswith(f"failed to export {5000 - taken} spans")


def test_span_that_cannot_be_encoded_loses_no_other(exporting: Exporting) -> None:
    """Even in a batch so large that it is encoded to measure it. The exporter fails on that span later."""
    for name in ["good"] * 25 + ["bad \ud800"] + ["good"] * 25:
        exporting.emit(name=name, text="x" * 100_000)
    assert exporting.delivery.flush(20)
    assert sum(exporting.sizes) == 51


def test_large_span_that_cannot_be_encoded_is_reported(exporting: Exporting, warned: Warned) -> None:
    exporting.emit(name="bad \ud800", text="x" * 5_000_000)
    assert not exporting.delivery.flush(20)
    [message] = warned()
    assert "cannot be encoded" in message


def test_span_too_large_is_lost_with_a_warning(exporting: Exporting, warned: Warned) -> None:
    for size in (10, 5_000_000, 6_000_000, 10):
        exporting.emit(text="x" * size)
    exporting.delivery.end()
    assert sum(exporting.sizes) == 2
    first, last = warned()
    assert "exceed the limit of 4000000" in first
    assert last.startswith("failed to export 2 spans")


def test_batch_of_any_size_is_kept(start: Callable[..., Exporting], monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_BSP_MAX_EXPORT_BATCH_SIZE` may exceed the number of spans that are kept after failed exports."""
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20000")
    exporting = start(queue_size=20_000)
    exporting.emit(10_000)
    assert exporting.delivery.flush(20)
    assert sum(exporting.sizes) == 10_000
    assert max(exporting.sizes) <= 4096


def test_raising_log_handler_does_not_stop_exports(exporting: Exporting) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("broken")

    logger = logging.getLogger("otel_kcevents")
    logger.addFilter(broken)
    try:
        exporting.spans.takes = refuse
        exporting.emit(3)
        assert not exporting.delivery.flush(0.1)
    finally:
        logger.removeFilter(broken)
    exporting.spans.takes = lambda data: 0
    assert exporting.delivery.flush(20)
    assert sum(exporting.sizes) == 3


def test_rejected_data_points_are_not_reported_as_lost(exporting: Exporting, warned: Warned) -> None:
    """The next totals include them, and those were accepted."""
    exporting.metrics.takes = lambda data: 1
    exporting.delivery.flush(20)
    exporting.metrics.takes = lambda data: 0
    exporting.delivery.end()
    [message] = warned()
    assert "rejected 1 metrics" in message


class _Unsampled(Sampler):
    """Records each span for processors, but not for export."""

    def should_sample(self, *args: Any, **options: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        return "unsampled"


def test_span_that_is_not_sampled_is_not_lost(start: Callable[..., Exporting], warned: Warned) -> None:
    exporting = start(sampler=_Unsampled())
    exporting.emit()
    exporting.delivery.end()
    assert (exporting.sizes, warned()) == ([], [])


def test_deltas_do_not_replace_each_other(start: Callable[..., Exporting]) -> None:
    exporting = start(temporality=AggregationTemporality.DELTA)
    exporting.metrics.takes = refuse
    for _ in range(3):
        exporting.counter.add(1)
        exporting.reader.hand_over()
    exporting.metrics.takes = lambda data: 0
    assert exporting.delivery.flush(20)
    values = [
        point.value
        for data in exporting.metrics.taken
        for point in data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    ]
    assert sorted(values) == [1, 1, 2]


def test_close_does_not_wait_for_a_running_export(exporting: Exporting) -> None:
    under_way, goes_on = threading.Event(), threading.Event()

    def takes(data: Any) -> int:
        under_way.set()
        goes_on.wait(20)
        return 0

    exporting.spans.takes = takes
    exporting.emit()
    exporting.delivery.flush(0.01)
    assert under_way.wait(20)
    exporting.delivery.close()
    assert (exporting.spans.closed, exporting.metrics.closed) == (0, 1)
    goes_on.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: run on Linux or macOS")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wait_for_export", "0\n"),
        ("give_up_waiting", "0\nTrue [5]\n"),
        ("fork_inside_collection", "True\n"),
        ("fork_in_threads", "80 {0}\n"),
    ],
)
def test_fork_during_an_export_is_safe(name: str, expected: str) -> None:
    """It waits at most a second for an export. The child exports only its own spans."""
    assert run_program("fork_during_export", name) == (expected, "")
