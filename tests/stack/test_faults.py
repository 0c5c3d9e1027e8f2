"""Faults of the back ends: no accepted span is lost, and the counters stay exact.

The table at the end of the run shows how long the ETL took, relative to the same ETL without a collector. That is not
asserted, because the machine may be busy with other work.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from stack.backends import COUNTER, Run
from stack.conftest import Backends, Fault, Stack, open_stack
from stack.programs import free_address, wait_until

RUNS = 200
EVENTS = RUNS * 10
SPANS = RUNS * 11
WORK = (f"--runs={RUNS}", "--pause=0.02")
SMALL_QUEUE = {"KCEVENTS_QUEUE_BYTES": "350000", "KCEVENTS_BATCH_BYTES": "50000"}  # more than one export of 512 spans
SHORT_TIMEOUT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "2"}  # seconds that an export waits for a full queue
EVER = f"sum by (etl, event) (max_over_time({COUNTER}[1h]))"

Record = Callable[..., Fault]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The same ETL without a collector: the faster of two runs."""
    with open_stack(tmp_path_factory.mktemp("alone")) as stack:
        runs = [stack.etl(f"alone{number}", *WORK, endpoint="").finish() for number in range(2)]
        yield min(runs, key=lambda run: run.whole)


@pytest.fixture
def record(alone: Run, record_fault: Callable[[Fault], None]) -> Record:
    """A function that compares a finished run with the back ends, and adds the result to the table of faults."""

    def record(fault: str, etl: Run, backends: Backends | None, wait_for: int = EVENTS) -> Fault:
        emitted = etl.events
        assert emitted.total() == sum(etl.counts.values()) == EVENTS  # the log is complete
        stored = backends.jaeger.wait_for_events(etl.service, wait_for) if backends else Counter()
        counted = backends.prometheus.wait_for_counts(etl.service, etl.counts, EVER) if backends else {}
        row = Fault(
            fault,
            emitted=EVENTS,
            in_jaeger=stored.total(),
            in_prometheus=sum(counted.values()),
            lost=(emitted - stored).total(),
            duplicated=(stored - emitted).total(),
            work=etl.work / alone.work,
            whole=etl.whole / alone.whole,
        )
        record_fault(row)
        return row

    return record


def _reported_losses(etl: Run) -> int:
    """Return how many spans the ETL reports as not exported."""
    found = re.search(r"failed to export (\d+) span", etl.stderr)
    return int(found[1]) if found else 0


def test_nothing_is_lost_or_duplicated_without_a_fault(stack: Stack, record: Record) -> None:
    backends = stack.backends()
    etl = stack.etl("etl", *WORK, endpoint=backends.collector.grpc).finish()
    row = record("none", etl, backends)
    assert (row.lost, row.duplicated, row.in_prometheus) == (0, 0, EVENTS)
    assert etl.stderr == ""


def test_large_spans_are_delivered(stack: Stack) -> None:
    """9.6 MB, which Jaeger would reject in batches of a fixed number of spans."""
    jaeger = stack.jaeger(start=False)
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    _, errors = stack.foreign(collector, "1200", "1", "8000").communicate(timeout=120)
    assert errors == ""
    jaeger.program.start()
    wait_until(lambda: len(jaeger.spans("foreign")) == 1200, "1200 large spans in Jaeger")


def test_nothing_is_lost_if_the_collector_is_killed(stack: Stack, record: Record) -> None:
    backends = stack.backends()
    etl = stack.etl("etl", *WORK, endpoint=backends.collector.grpc)
    etl.wait_for_quarter(1)
    backends.collector.program.kill()
    etl.wait_for_quarter(2)
    backends.collector.program.start()
    row = record("collector killed, started again", etl.finish(), backends)
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_nothing_is_lost_if_jaeger_is_down_for_the_run(stack: Stack, record: Record) -> None:
    backends = stack.backends(jaeger_up=False)
    etl = stack.etl("etl", *WORK, endpoint=backends.collector.grpc).finish()
    assert etl.stderr == ""
    backends.jaeger.program.start()
    row = record("Jaeger down for the whole run", etl, backends)
    assert (row.lost, row.duplicated, row.in_prometheus) == (0, 0, EVENTS)


def test_nothing_is_lost_if_both_are_down_in_turn(stack: Stack, record: Record) -> None:
    backends = stack.backends(jaeger_up=False)
    etl = stack.etl("etl", *WORK, endpoint=backends.collector.grpc).finish()
    backends.prometheus.wait_for_counts(etl.service, etl.counts)
    backends.collector.program.kill()
    backends.collector.program.start()
    backends.jaeger.program.start()
    row = record("Jaeger down, collector killed after", etl, backends)
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_nothing_is_lost_if_a_full_queue_drains_in_time(stack: Stack, record: Record) -> None:
    backends = stack.backends(jaeger_up=False, **SMALL_QUEUE)
    etl = stack.etl("etl", *WORK, endpoint=backends.collector.grpc, **SHORT_TIMEOUT)
    etl.wait_for_quarter(3)
    backends.jaeger.program.start()
    row = record("queue full, Jaeger back in the run", etl.finish(), backends)
    assert "did not accept an export" in etl.stderr  # the queue was full
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_nothing_is_lost_if_the_collector_lacks_memory(stack: Stack, record: Record) -> None:
    backends = stack.backends(KCEVENTS_MEMORY_MIB="2", KCEVENTS_MEMORY_SPIKE_MIB="1")
    program = backends.collector.program
    wait_until(lambda: "Refusing data" in program.tail(), "the first check of the memory limiter")
    etl = stack.etl("etl", *WORK, endpoint=backends.collector.grpc)
    etl.wait_for_quarter(2)
    assert backends.jaeger.spans("etl") == []
    program.stop()
    program.environment = {**program.environment, "KCEVENTS_MEMORY_MIB": "500"}
    program.start()
    row = record("collector short of memory for half", etl.finish(), backends)
    assert (row.lost, row.in_prometheus) == (0, EVENTS)


def test_etl_reports_what_is_lost_if_the_queue_stays_full(stack: Stack, record: Record) -> None:
    backends = stack.backends(jaeger_up=False, **SMALL_QUEUE)
    etl = stack.etl("etl", *WORK, endpoint=backends.collector.grpc, **SHORT_TIMEOUT).finish()
    reported = _reported_losses(etl)
    assert 0 < reported < SPANS
    backends.jaeger.program.start()
    backends.collector.wait_for_empty_queue()
    row = record("queue full until the end", etl, backends, wait_for=0)
    assert row.in_prometheus == EVENTS
    assert len(backends.jaeger.spans(etl.service)) >= SPANS - reported  # more, if a response came too late
    assert 0 < row.lost <= reported


def test_etl_without_a_collector_reports_its_spans_as_lost(stack: Stack, record: Record) -> None:
    etl = stack.etl("etl", *WORK, endpoint=f"http://{free_address()}").finish()
    assert _reported_losses(etl) == SPANS
    assert record("no collector at the endpoint", etl, None).lost == EVENTS


def test_prometheus_keeps_counters_of_a_killed_collector(stack: Stack) -> None:
    collector = stack.collector("collector.yaml")
    prometheus = stack.prometheus(collector.exposed, collector.own)
    etl = stack.etl("etl", "--runs=20", endpoint=collector.grpc).finish()
    assert prometheus.wait_for_counts(etl.service, etl.counts) == etl.counts
    collector.program.kill()
    collector.program.start()
    wait_until(lambda: not prometheus.counts(etl.service), "the series of the ended process to disappear")
    assert prometheus.counts(etl.service, EVER) == etl.counts


def test_badger_keeps_traces_if_jaeger_is_killed(stack: Stack) -> None:
    jaeger = stack.jaeger("jaeger-badger.yaml")
    collector = stack.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    etl = stack.etl("etl", "--runs=20", endpoint=collector.grpc).finish()
    assert jaeger.wait_for_events(etl.service, 200) == etl.events
    jaeger.program.kill()
    jaeger.program.start()
    assert jaeger.wait_for_events(etl.service, 200) == etl.events
