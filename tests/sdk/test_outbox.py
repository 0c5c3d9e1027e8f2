"""What an outbox sends, when it sends it, and what it drops, with a clock that the test sets."""

from __future__ import annotations

import math
from typing import Any

import pytest
from collector import Collector, refuse
from opentelemetry import context
from telemetry import Warned

from otel_kcevents.sdk.outbox import MAX_KEPT, Outbox, Progress


class Clock:
    """Seconds, as the test sets them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Box(Outbox):
    """An outbox with a collector, and with a source that has nothing queued."""

    def __init__(self, name: str, interval: float = math.inf, progress: Progress | None = None) -> None:
        self.collector = Collector()
        self.clock: Any = progress.clock if progress else Clock()
        self.seen: int | None = 0 if name == "spans" else None
        self.hand_overs = 0
        self.source = self
        super().__init__(progress or Progress(self.clock), name, self.collector, interval)

    def hand_over(self) -> bool:
        self.hand_overs += 1
        return True

    def put_spans(self, spans: list[Any]) -> None:
        """Put spans, and count them like the SDK's span processor."""
        self.seen = (self.seen or 0) + len(spans)
        self.put(spans, len(spans))

    def run(self, seconds: float) -> None:
        """Let time pass, working when the outbox's thread would."""
        end = self.clock.now + seconds
        while (wait := self.seconds_until_due()) <= end - self.clock.now:
            self.clock.now += wait
            self.work()
        self.clock.now = end

    def accept(self) -> None:
        """Accept everything from now on, and forget the attempts so far."""
        self.collector.takes = lambda data: 0
        self.collector.attempts.clear()

    @property
    def sent(self) -> list[Any]:
        """The spans of all attempts."""
        return [span for batch in self.collector.attempts for span in batch]


@pytest.fixture
def box() -> Box:
    return Box("spans")


@pytest.fixture
def metrics() -> Box:
    return Box("metrics", interval=60)


def test_accepted_batches_are_sent_once(box: Box) -> None:
    box.put_spans([1, 2])
    box.put_spans([3])
    box.run(1000)
    assert box.collector.attempts == [[1, 2], [3]]
    assert box.lost == 0


def test_small_waiting_hand_overs_are_sent_together(box: Box) -> None:
    for number in range(1030):
        box.put([number], 1, 0.001)
    request = box.request_hand_over()
    box.work()
    assert not box.has_sent(request)
    box.run(1)
    assert [len(batch) for batch in box.collector.attempts] == [512, 512, 6]
    assert box.sent == list(range(1030))
    assert box.has_sent(request)


def test_hand_overs_too_large_to_merge_are_sent_separately(box: Box) -> None:
    for share in (0.5, 0.5, 0.1):
        box.put([share], 1, share)
    box.run(1)
    assert box.collector.attempts == [[0.5, 0.5], [0.1]]


def test_failed_batch_is_not_merged_with_new_spans(box: Box) -> None:
    """It may contain a span that the collector never accepts."""
    answers = iter([None])
    box.collector.takes = lambda data: next(answers, 0)
    box.put(["failed"], 1, 0.1)
    box.run(0.5)
    box.put(["fresh"], 1, 0.1)
    box.run(2)
    assert box.collector.attempts == [["failed"], ["failed"], ["fresh"]]


def test_backoff_grows_from_one_second_to_sixty(box: Box) -> None:
    times: list[float] = []
    box.collector.takes = lambda data: times.append(box.clock.now)
    box.put_spans([1])
    box.run(250)
    assert times == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_success_resets_the_backoff(box: Box) -> None:
    box.collector.takes = refuse
    box.put_spans([1])
    box.run(40)
    box.accept()
    box.run(60)
    box.collector.takes = refuse
    box.put_spans([2])
    box.work()
    assert box.seconds_until_due() == 1


@pytest.mark.parametrize("place", [0, 7, 511])
def test_span_that_is_never_accepted_does_not_block_others(box: Box, place: int) -> None:
    box.collector.takes = lambda data: None if place in data else 0
    box.put_spans(list(range(512)))
    box.run(6)
    assert box.lost == 1
    taken = [span for batch in box.collector.taken for span in batch]
    assert sorted(taken) == [span for span in range(512) if span != place]


def test_span_that_is_never_accepted_is_kept_5_minutes(box: Box) -> None:
    box.collector.takes = lambda data: None if "bad" in data else 0
    box.put_spans(["bad"])
    for second in range(0, 360, 10):
        box.put_spans(["good"])
        box.run(10)
        assert box.is_failing or second >= 290
    assert not box.is_failing
    assert (box.lost, box.dropped) == (1, 1)


def test_span_that_fails_again_in_an_outage_is_kept(box: Box) -> None:
    """Other spans were accepted only long before its last attempt, so it may not be the cause."""
    box.collector.takes = refuse
    box.put_spans(["old"])
    box.run(5)
    box.collector.takes = lambda data: None if "old" in data else 0
    box.put_spans(["good"])
    box.run(10)
    box.collector.takes = refuse
    box.run(1000)
    assert (box.is_failing, box.dropped) == (True, 0)


def test_spans_of_a_long_outage_arrive_once_in_large_batches(box: Box) -> None:
    box.collector.takes = refuse
    for first in range(0, MAX_KEPT, 512):
        box.put_spans(list(range(first, first + 512)))
    box.run(100_000)
    box.accept()
    box.run(60)
    assert sorted(box.sent) == list(range(MAX_KEPT))
    assert (len(box.collector.attempts) < 100, box.lost) == (True, 0)


def test_newest_16384_spans_are_kept(box: Box) -> None:
    box.collector.takes = refuse
    for first in range(0, MAX_KEPT + 1024, 128):
        box.put_spans(list(range(first, first + 128)))
    box.run(100)
    box.accept()
    box.run(100)
    assert sorted(box.sent) == list(range(1024, MAX_KEPT + 1024))
    assert (box.lost, box.dropped) == (1024, 1024)


def test_oldest_spans_are_dropped_after_failures(box: Box) -> None:
    """A failed batch moves to the end of the queue, but does not count as new."""
    box.collector.takes = refuse
    for first in range(0, MAX_KEPT, 512):
        box.put_spans(list(range(first, first + 512)))
    box.run(100)
    box.put_spans(["new"] * 512)
    box.accept()
    box.run(60)
    assert sorted(span for span in box.sent if span != "new") == list(range(512, MAX_KEPT))


def test_batch_that_is_being_sent_counts_as_kept(box: Box) -> None:
    """So that the limit holds if it fails."""

    def takes(data: Any) -> None:
        if len(box.collector.attempts) == 1:
            box.put_spans(["late"])

    box.collector.takes = takes
    box.put_spans(list(range(MAX_KEPT)))
    box.run(100)
    assert (box.dropped, box.is_failing) == (1, True)


def test_rejected_spans_are_lost_and_not_sent_again(box: Box, warned: Warned) -> None:
    box.collector.takes = lambda data: 2
    box.put_spans([1, 2, 3])
    box.run(1000)
    assert (len(box.collector.attempts), box.lost) == (1, 2)
    [message] = warned()
    assert "http://collector:4317 rejected 2 spans" in message


@pytest.mark.parametrize(("rejected", "lost"), [(99, 3), (-5, 0)])
def test_impossible_number_of_rejected_spans_is_clamped(box: Box, rejected: int, lost: int) -> None:
    """To at most the number sent, and at least none."""
    box.collector.takes = lambda data: rejected
    box.put_spans([1, 2, 3])
    box.run(1)
    assert box.lost == lost


def test_outage_is_logged_when_it_begins_and_ends(box: Box, warned: Warned) -> None:
    for _ in range(2):
        box.collector.takes = refuse
        box.put_spans([1, 2])
        box.run(300)
        box.accept()
        box.run(300)
    begins, ends, *again = warned()
    assert "http://collector:4317 did not accept an export of spans; up to 16384" in begins
    assert "http://collector:4317 accepts exports again" in ends
    assert again == [begins, ends]


def test_two_signals_with_one_outage_log_it_once(warned: Warned) -> None:
    progress = Progress(Clock())
    boxes = [Box(name, progress=progress) for name in ("spans", "metrics")]
    for box in boxes:
        box.put([1])
        box.collector.takes = refuse
        box.run(1)
    for box in boxes:
        box.accept()
        box.run(60)
    assert ["accepts exports again" in message for message in warned()] == [False, True]


def test_batch_is_sent_in_the_context_of_its_hand_over(box: Box) -> None:
    """In this context, the SDK suppresses the instrumentation of HTTP and gRPC."""
    token = context.attach(context.set_value("suppressed", True))
    box.put_spans([1])
    context.detach(token)
    box.run(1)
    assert box.collector.contexts[0]["suppressed"]


def test_only_the_newest_totals_are_kept(metrics: Box) -> None:
    metrics.collector.takes = refuse
    for totals in ("1st", "2nd", "3rd"):
        metrics.put(totals, supersedes=True)
        metrics.work()
    metrics.accept()
    metrics.run(59)
    assert metrics.collector.attempts == ["3rd"]
    assert metrics.lost == 0


def test_failed_totals_are_replaced_by_newer_ones(metrics: Box) -> None:
    def takes(data: Any) -> int | None:
        if len(metrics.collector.attempts) > 1:
            return 0
        metrics.put("2nd", supersedes=True)
        return None

    metrics.collector.takes = takes
    metrics.put("1st", supersedes=True)
    metrics.run(59)
    assert metrics.collector.attempts == ["1st", "2nd"]


def test_totals_are_sent_when_newer_ones_are(metrics: Box) -> None:
    """A flush that waits for the first totals is done when the second are sent."""
    metrics.collector.takes = refuse
    metrics.put("1st", supersedes=True)
    request = metrics.request_hand_over()
    metrics.work()
    metrics.put("2nd", supersedes=True)
    assert not metrics.has_sent(request)
    metrics.accept()
    metrics.run(5)
    assert metrics.has_sent(request)


def test_deltas_are_all_kept(metrics: Box) -> None:
    metrics.collector.takes = refuse
    metrics.put("1st")
    metrics.put("2nd")
    metrics.run(20)
    assert metrics.lost == 0
    metrics.accept()
    metrics.run(30)
    assert sorted(metrics.collector.attempts) == ["1st", "2nd"]


def test_source_is_asked_once_an_interval(metrics: Box) -> None:
    metrics.run(200)
    assert metrics.hand_overs == 3
