"""What an outbox sends when, and what it drops, by a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from collector import Collector, refuse
from opentelemetry import context

from otel_kcevents.sdk.outbox import MAX_KEPT, Outbox, Progress

Warned = Callable[[], list[str]]


class Clock:
    """Seconds, as the test sets them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Queue:
    """The SDK's end: `seen` spans, or None for metrics."""

    def __init__(self, outbox: Outbox, seen: int | None = 0) -> None:
        self.seen = seen
        self.handed_over = 0
        outbox.source = self

    def hand_over(self) -> bool:
        self.handed_over += 1
        return True

    def after_fork_in_child(self) -> None: ...


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def outbox(clock: Clock, collector: Collector) -> Outbox:
    made = Outbox(Progress(clock), "spans", collector)
    Queue(made)
    return made


def put(outbox: Outbox, spans: list[Any]) -> None:
    """Put spans as the SDK's end does, which counts them."""
    assert isinstance(outbox.source, Queue)
    outbox.source.seen = (outbox.source.seen or 0) + len(spans)
    outbox.put(spans, len(spans))


def run(outbox: Outbox, clock: Clock, seconds: float) -> None:
    """Let time pass as the outbox's thread sees it."""
    end = clock.now + seconds
    while (wait := outbox.seconds_until_due()) <= end - clock.now:
        clock.now += wait
        outbox.work()
    clock.now = end


def spans_sent(collector: Collector) -> list[Any]:
    return [span for batch in collector.attempts for span in batch]


def test_what_is_accepted_is_sent_once(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    put(outbox, [1, 2])
    put(outbox, [3])
    run(outbox, clock, 1000)
    assert collector.attempts == [[1, 2], [3]]
    assert outbox.lost == 0


def test_small_hand_overs_that_wait_are_sent_together(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    for number in range(1030):
        outbox.put([number], 1, 0.001)
    request = outbox.request_hand_over()
    outbox.work()
    assert not outbox.has_sent(request)
    run(outbox, clock, 1)
    assert [len(batch) for batch in collector.attempts] == [512, 512, 6]
    assert spans_sent(collector) == list(range(1030))
    assert outbox.has_sent(request)


def test_hand_overs_too_large_to_merge_are_sent_apart(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    for share in (0.5, 0.5, 0.1):
        outbox.put([share], 1, share)
    run(outbox, clock, 1)
    assert collector.attempts == [[0.5, 0.5], [0.1]]


def test_nothing_is_merged_with_what_failed(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    """It may be what the collector never accepts."""
    answers = iter([None])
    collector.takes = lambda data: next(answers, 0)
    outbox.put(["failed"], 1, 0.1)
    run(outbox, clock, 0.5)
    outbox.put(["fresh"], 1, 0.1)
    run(outbox, clock, 2)
    assert collector.attempts == [["failed"], ["failed"], ["fresh"]]


def test_the_backoff_grows_from_one_second_to_sixty(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    times: list[float] = []
    collector.takes = lambda data: times.append(clock.now)
    put(outbox, [1])
    run(outbox, clock, 250)
    assert times == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_a_success_resets_the_backoff(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    collector.takes = refuse
    put(outbox, [1])
    run(outbox, clock, 40)
    collector.takes = lambda data: 0
    run(outbox, clock, 60)
    collector.takes = refuse
    put(outbox, [2])
    outbox.work()
    assert outbox.seconds_until_due() == 1


def test_spans_kept_through_an_outage_arrive_once(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    for first in range(0, 2000, 500):
        put(outbox, list(range(first, first + 500)))
    collector.takes = refuse
    run(outbox, clock, 10_000)
    collector.attempts.clear()
    collector.takes = lambda data: 0
    run(outbox, clock, 60)
    assert sorted(spans_sent(collector)) == list(range(2000))
    assert outbox.lost == 0


@pytest.mark.parametrize("place", [0, 7, 511])
def test_a_span_never_accepted_does_not_hold_up_others(
    outbox: Outbox, clock: Clock, collector: Collector, place: int
) -> None:
    collector.takes = lambda data: None if place in data else 0
    put(outbox, list(range(512)))
    run(outbox, clock, 6)
    assert outbox.lost == 1
    taken = [batch for batch in collector.attempts if place not in batch]
    assert sorted(span for batch in taken for span in batch) == [span for span in range(512) if span != place]


def test_a_span_never_accepted_is_kept_five_minutes(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    collector.takes = lambda data: None if "bad" in data else 0
    put(outbox, ["bad"])
    for second in range(0, 360, 10):
        put(outbox, ["good"])
        run(outbox, clock, 10)
        assert outbox.is_failing or second >= 290
    assert not outbox.is_failing
    assert (outbox.lost, outbox.dropped) == (1, 1)


def test_a_span_that_fails_again_in_an_outage_is_kept(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    """Successes long before its last attempt do not make it the culprit."""
    collector.takes = refuse
    put(outbox, ["old"])
    run(outbox, clock, 5)
    collector.takes = lambda data: None if "old" in data else 0
    put(outbox, ["good"])
    run(outbox, clock, 10)
    collector.takes = refuse
    run(outbox, clock, 1000)
    assert (outbox.is_failing, outbox.dropped) == (True, 0)


def test_a_long_outage_does_not_shred_what_is_kept(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    collector.takes = refuse
    for first in range(0, MAX_KEPT, 512):
        put(outbox, list(range(first, first + 512)))
    run(outbox, clock, 100_000)
    collector.attempts.clear()
    collector.takes = lambda data: 0
    run(outbox, clock, 60)
    assert sorted(spans_sent(collector)) == list(range(MAX_KEPT))
    assert len(collector.attempts) < 100


def test_no_span_is_dropped_for_its_age_in_an_outage(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    collector.takes = refuse
    put(outbox, [1])
    run(outbox, clock, 100_000)
    assert (outbox.is_failing, outbox.dropped) == (True, 0)


def test_the_newest_16384_spans_are_kept(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    collector.takes = refuse
    for first in range(0, MAX_KEPT + 1024, 128):
        put(outbox, list(range(first, first + 128)))
    run(outbox, clock, 100)
    collector.attempts.clear()
    collector.takes = lambda data: 0
    run(outbox, clock, 100)
    assert sorted(spans_sent(collector)) == list(range(1024, MAX_KEPT + 1024))
    assert (outbox.lost, outbox.dropped) == (1024, 1024)


def test_the_oldest_are_dropped_after_failures_too(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    """A failed batch moves to the end of the queue, which does not make it new."""
    collector.takes = refuse
    for first in range(0, MAX_KEPT, 512):
        put(outbox, list(range(first, first + 512)))
    run(outbox, clock, 100)
    put(outbox, ["new"] * 512)
    collector.attempts.clear()
    collector.takes = lambda data: 0
    run(outbox, clock, 60)
    assert sorted(span for span in spans_sent(collector) if span != "new") == list(range(512, MAX_KEPT))


def test_a_batch_under_way_counts_as_kept(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    """The bound holds when it fails."""

    def takes(data: Any) -> None:
        if len(collector.attempts) == 1:
            put(outbox, ["late"])

    collector.takes = takes
    put(outbox, list(range(MAX_KEPT)))
    run(outbox, clock, 100)
    assert (outbox.dropped, outbox.is_failing) == (1, True)


def test_rejected_spans_are_lost_and_not_sent_again(
    outbox: Outbox, clock: Clock, collector: Collector, warned: Warned
) -> None:
    collector.takes = lambda data: 2
    put(outbox, [1, 2, 3])
    run(outbox, clock, 1000)
    assert (len(collector.attempts), outbox.lost) == (1, 2)
    assert warned() == ["the OTLP endpoint http://collector:4317 rejected 2 spans, which are not sent again"]


@pytest.mark.parametrize(("rejected", "lost"), [(99, 3), (-5, 0)])
def test_an_impossible_number_of_rejected_spans(
    outbox: Outbox, clock: Clock, collector: Collector, rejected: int, lost: int
) -> None:
    """More than were sent is all of them, fewer than none is none."""
    collector.takes = lambda data: rejected
    put(outbox, [1, 2, 3])
    run(outbox, clock, 1)
    assert outbox.lost == lost


def test_an_outage_is_logged_when_it_begins_and_ends(
    outbox: Outbox, clock: Clock, collector: Collector, warned: Warned
) -> None:
    for _ in range(2):
        collector.takes = refuse
        put(outbox, [1, 2])
        run(outbox, clock, 300)
        collector.takes = lambda data: 0
        run(outbox, clock, 300)
    begins, ends = (
        "the OTLP endpoint http://collector:4317 did not accept an export of spans; "
        "up to 16384 spans are kept and sent again",
        "the OTLP endpoint http://collector:4317 accepts exports again",
    )
    assert warned() == [begins, ends, begins, ends]


def test_two_signals_with_one_outage_log_it_once(clock: Clock, warned: Warned) -> None:
    progress = Progress(clock)
    collectors = [Collector(), Collector()]
    boxes = [Outbox(progress, name, one) for name, one in zip(("spans", "metrics"), collectors, strict=True)]
    for box, one in zip(boxes, collectors, strict=True):
        Queue(box)
        box.put([1])
        one.takes = refuse
        run(box, clock, 1)
    for box, one in zip(boxes, collectors, strict=True):
        one.takes = lambda data: 0
        run(box, clock, 60)
    assert [message.rpartition(" ")[2] for message in warned()] == ["again", "again"]
    assert len(warned()) == 2


def test_a_batch_is_sent_in_its_hand_overs_context(outbox: Outbox, clock: Clock, collector: Collector) -> None:
    """The SDK suppresses the instrumentation of HTTP and gRPC in it."""
    token = context.attach(context.set_value("suppressed", True))
    put(outbox, [1])
    context.detach(token)
    run(outbox, clock, 1)
    assert collector.contexts[0]["suppressed"]


@pytest.fixture
def metrics(clock: Clock, collector: Collector) -> Outbox:
    made = Outbox(Progress(clock), "metrics", collector, interval=60)
    Queue(made, None)
    return made


def test_only_the_newest_totals_are_kept(metrics: Outbox, clock: Clock, collector: Collector) -> None:
    collector.takes = refuse
    for totals in ("1st", "2nd", "3rd"):
        metrics.put(totals, supersedes=True)
        metrics.work()
    collector.takes = lambda data: 0
    run(metrics, clock, 59)
    assert collector.attempts == ["1st", "3rd"]
    assert metrics.lost == 0


def test_failed_totals_are_replaced_by_newer_ones(metrics: Outbox, clock: Clock, collector: Collector) -> None:
    def takes(data: Any) -> int | None:
        if len(collector.attempts) > 1:
            return 0
        metrics.put("2nd", supersedes=True)
        return None

    collector.takes = takes
    metrics.put("1st", supersedes=True)
    run(metrics, clock, 59)
    assert collector.attempts == ["1st", "2nd"]


def test_totals_are_sent_when_newer_ones_are(metrics: Outbox, clock: Clock, collector: Collector) -> None:
    """A flush that waits for the first totals is done when the second are sent."""
    collector.takes = refuse
    metrics.put("1st", supersedes=True)
    request = metrics.request_hand_over()
    metrics.work()
    metrics.put("2nd", supersedes=True)
    assert not metrics.has_sent(request)
    collector.takes = lambda data: 0
    run(metrics, clock, 5)
    assert metrics.has_sent(request)


def test_deltas_are_all_kept(metrics: Outbox, clock: Clock, collector: Collector) -> None:
    collector.takes = refuse
    metrics.put("1st")
    metrics.put("2nd")
    run(metrics, clock, 20)
    assert metrics.lost == 0
    collector.takes = lambda data: 0
    run(metrics, clock, 30)
    assert collector.attempts[-2:] in (["1st", "2nd"], ["2nd", "1st"])


def test_the_source_is_asked_once_an_interval(metrics: Outbox, clock: Clock) -> None:
    run(metrics, clock, 200)
    assert isinstance(metrics.source, Queue)
    assert metrics.source.handed_over == 3
