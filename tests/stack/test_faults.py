"""What becomes of the events when a back end fails: counted in the log, in Jaeger and in Prometheus.

The file collector.yaml promises that nothing is lost once it was accepted. How long the ETL took is printed
as a ratio to the same ETL without a collector, and not asserted: the machine is not ours alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.backends import COUNTER, Collector, Jaeger, Prometheus, Run, start_etl
from stack.conftest import Fault, Stack
from stack.programs import address, free_port, python, until

FOREIGN = Path(__file__).with_name("foreign.py")
RUNS = 200
EVENTS = RUNS * 10
WORK = (f"--runs={RUNS}", "--pause=0.02")
SMALL_QUEUE = {
    "KCEVENTS_QUEUE_SPANS": "700",
    "KCEVENTS_BATCH_BYTES": "50000",
}  # an export may be 512 spans: it must fit
IMPATIENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "2"}  # seconds that an export waits for a full queue
EVER = f"sum by (etl, event) (max_over_time({COUNTER}[1h]))"

Record = Callable[..., Fault]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same ETL without a collector: the better of two runs."""
    runs = [start_etl(tmp_path_factory.mktemp("alone"), "alone", *WORK).finish() for _ in range(2)]
    return min(runs, key=lambda run: run.whole)


@pytest.fixture
def record(alone: Run, record_fault: Callable[[Fault], None]) -> Record:
    """Count what became of a run's events, for the table and for the test."""

    def record(
        fault: str, etl: Run, jaeger: Jaeger | None, prometheus: Prometheus | None, expected: int = EVENTS
    ) -> Fault:
        emitted = etl.events
        assert emitted.total() == sum(etl.counts.values()) == EVENTS  # its log is whole
        stored = jaeger.settled(etl.service, expected) if jaeger else type(emitted)()
        counted = prometheus.settled(etl.service, etl.counts, EVER) if prometheus else {}
        row = Fault(
            fault,
            EVENTS,
            stored.total(),
            sum(counted.values()),
            (emitted - stored).total(),
            (stored - emitted).total(),
            etl.work / alone.work,
            etl.whole / alone.whole,
        )
        record_fault(row)
        return row

    return record


def _lost_spans(etl: Run) -> int:
    """How many spans the ETL says that it could not export."""
    said = re.search(r"(\d+) spans were not exported", etl.stderr)
    return int(said[1]) if said else 0


def _scraped(stack: Stack, collector: Collector) -> Prometheus:
    return stack.prometheus(collector.exposed, collector.own)


def test_nothing_is_lost_or_doubled_when_nothing_fails(stack: Stack, tmp_path: Path, record: Record) -> None:
    jaeger = stack.jaeger()
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    prometheus = _scraped(stack, collector)
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=collector.grpc).finish()
    row = record("none", etl, jaeger, prometheus)
    assert (row.lost, row.duplicated, row.in_prometheus) == (0, 0, EVENTS)
    assert etl.stderr == ""


def test_spans_that_are_large_are_not_refused_for_good(stack: Stack) -> None:
    jaeger = stack.jaeger(start=False)
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc, "OTEL_SERVICE_NAME": "large"}
    _, said = python(FOREIGN, ["1200", "1", "8000"], settings).communicate(
        timeout=120
    )  # 9.6 MB, one batch by their number
    assert said == ""
    jaeger.program.start()
    until(lambda: len(jaeger.spans("large")) == 1200, "1200 large spans in Jaeger")


def test_nothing_is_lost_when_the_collector_is_killed_in_the_middle_of_a_run_and_started_again(
    stack: Stack, tmp_path: Path, record: Record
) -> None:
    jaeger = stack.jaeger()
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    prometheus = _scraped(stack, collector)
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=collector.grpc)
    etl.reach(1)
    collector.program.kill()
    etl.reach(2)
    collector.program.start()
    row = record("collector killed, started again", etl.finish(), jaeger, prometheus)
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_nothing_is_lost_when_jaeger_is_down_for_the_whole_run_and_comes_later(
    stack: Stack, tmp_path: Path, record: Record
) -> None:
    jaeger = stack.jaeger(start=False)
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    prometheus = _scraped(stack, collector)
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=collector.grpc).finish()
    assert etl.stderr == ""
    jaeger.program.start()
    row = record("Jaeger down for the whole run", etl, jaeger, prometheus)
    assert (row.lost, row.duplicated, row.in_prometheus) == (0, 0, EVENTS)


def test_nothing_is_lost_when_the_collector_is_killed_while_jaeger_is_down(
    stack: Stack, tmp_path: Path, record: Record
) -> None:
    jaeger = stack.jaeger(start=False)
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    prometheus = _scraped(stack, collector)
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=collector.grpc).finish()
    prometheus.settled(etl.service, etl.counts)
    collector.program.kill()
    collector.program.start()
    jaeger.program.start()
    row = record("Jaeger down, collector killed after", etl, jaeger, prometheus)
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_nothing_is_lost_when_the_queue_is_full_and_jaeger_comes_back_during_the_run(
    stack: Stack, tmp_path: Path, record: Record
) -> None:
    jaeger = stack.jaeger(start=False)
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp, **SMALL_QUEUE)
    prometheus = _scraped(stack, collector)
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=collector.grpc, **IMPATIENT)
    etl.reach(3)
    jaeger.program.start()
    row = record("queue full, Jaeger back in the run", etl.finish(), jaeger, prometheus)
    assert "did not accept an export" in etl.stderr  # it was full
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_nothing_is_lost_when_the_collector_refuses_for_want_of_memory_until_it_has_more(
    stack: Stack, tmp_path: Path, record: Record
) -> None:
    jaeger = stack.jaeger()
    short = {"KCEVENTS_MEMORY_MIB": "2", "KCEVENTS_MEMORY_SPIKE_MIB": "1"}
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp, **short)
    prometheus = _scraped(stack, collector)
    until(
        lambda: "Refusing data" in collector.program.tail(), "the memory limiter's first look"
    )  # a second after it starts
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=collector.grpc)
    etl.reach(2)
    assert jaeger.spans("etl") == []
    collector.program.stop()
    collector.program.environment = {**collector.program.environment, "KCEVENTS_MEMORY_MIB": "500"}
    collector.program.start()
    row = record("collector short of memory for half", etl.finish(), jaeger, prometheus)
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_what_is_lost_when_the_queue_stays_full_is_what_the_etl_says(
    stack: Stack, tmp_path: Path, record: Record
) -> None:
    jaeger = stack.jaeger(start=False)
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp, **SMALL_QUEUE)
    prometheus = _scraped(stack, collector)
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=collector.grpc, **IMPATIENT).finish()
    said = _lost_spans(etl)
    assert 0 < said < RUNS * 11
    jaeger.program.start()
    collector.drained()
    row = record("queue full until the end", etl, jaeger, prometheus, expected=0)
    assert row.in_prometheus == EVENTS
    assert len(jaeger.spans(etl.service)) >= RUNS * 11 - said  # one may be taken whose answer came too late
    assert 0 < row.lost <= said


def test_an_etl_without_a_collector_at_its_endpoint_runs_and_logs_as_ever(tmp_path: Path, record: Record) -> None:
    etl = start_etl(tmp_path, "etl", *WORK, endpoint=f"http://{address(free_port())}").finish()
    assert _lost_spans(etl) == RUNS * 11
    assert record("no collector at the endpoint", etl, None, None).lost == EVENTS


def test_counters_of_an_etl_that_ended_before_the_collector_was_killed_are_found_over_time(
    stack: Stack, tmp_path: Path
) -> None:
    collector = stack.collector("collector.yaml")
    prometheus = _scraped(stack, collector)
    etl = start_etl(tmp_path, "etl", "--runs=20", endpoint=collector.grpc).finish()
    assert prometheus.settled(etl.service, etl.counts) == etl.counts
    collector.program.kill()
    collector.program.start()
    until(lambda: not prometheus.counts(etl.service), "the ended process to be gone from the collector")
    assert prometheus.counts(etl.service, EVER) == etl.counts


def test_badger_keeps_the_traces_over_a_restart_of_jaeger(stack: Stack, tmp_path: Path) -> None:
    jaeger = stack.jaeger("jaeger-badger.yaml")
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    etl = start_etl(tmp_path, "etl", "--runs=20", endpoint=collector.grpc).finish()
    assert jaeger.settled(etl.service, 200) == etl.events
    jaeger.program.kill()
    jaeger.program.start()
    assert jaeger.settled(etl.service, 200) == etl.events
