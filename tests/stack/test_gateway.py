"""Two gateways (gateway.yaml) in front of two samplers (sampling.yaml)."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stack.backends import Counts, Jaeger, Span
from stack.conftest import Stack, open_stack
from stack.programs import wait_until

RUNS, FAILING, SHARE = 250, 25, 20
DECISION = 15  # seconds; the two processes may start at slightly different times
SPANS = 22  # of a trace: two processes with eleven each, each through its own gateway

Traces = dict[str, list[Span]]


@dataclass
class Tier:
    """What two processes with shared traces sent through the tier, and what came out."""

    failed: Traces
    others: Traces
    emitted: Counts
    counted: Counts


@pytest.fixture(scope="module", params=["samplers are up", "samplers start after the run"])
def tier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tier]:
    with open_stack(tmp_path_factory.mktemp("tier")) as stack:
        yield _run_through(stack, samplers_up=request.param == "samplers are up")


def _run_through(stack: Stack, samplers_up: bool) -> Tier:
    jaeger = stack.jaeger()
    counters = stack.collector("collector.yaml")
    prometheus = stack.prometheus(counters.exposed)
    settings: dict[str, Any] = {
        "KCEVENTS_JAEGER": jaeger.otlp,
        "KCEVENTS_DECISION_WAIT": f"{DECISION}s",
        "KCEVENTS_SHARE_PERCENT": str(SHARE),
    }
    samplers = [stack.collector("sampling.yaml", start=samplers_up, **settings) for _ in range(2)]
    settings = {
        "KCEVENTS_SAMPLERS": f"[{', '.join(sampler.grpc.removeprefix('http://') for sampler in samplers)}]",
        "KCEVENTS_COUNTERS": counters.grpc.removeprefix("http://"),
    }
    gateways = [stack.collector("gateway.yaml", **settings) for _ in range(2)]
    etls = [
        stack.etl(f"etl{number}", f"--runs={RUNS}", f"--failing={failing}", "--seed=7", endpoint=gateway.grpc)
        for number, (gateway, failing) in enumerate(zip(gateways, (FAILING, 0), strict=True))
    ]
    emitted = dict(sum((Counter(etl.finish().counts) for etl in etls), Counter()))
    if not samplers_up:
        for sampler in samplers:
            sampler.program.start()
    for gateway in gateways:
        gateway.wait_for_empty_queue()
    time.sleep(DECISION + 2)
    for sampler in samplers:
        sampler.wait_for_empty_queue()
    failed, others = _traces(jaeger, etls[0].service)
    wait_until(lambda: prometheus.by_kind() == emitted, f"the counters of both processes, {emitted}")
    return Tier(failed, others, emitted, prometheus.by_kind())


def _traces(jaeger: Jaeger, service: str) -> tuple[Traces, Traces]:
    """Return the traces with and without an error event, including the spans of the other process."""

    def all_spans() -> list[Span]:
        before = len(jaeger.spans(service))
        time.sleep(1)
        spans = jaeger.spans(service)
        return spans if len(spans) == before else []

    traces = defaultdict(list)
    for span in wait_until(all_spans, "the number of spans in Jaeger to stop growing"):
        traces[span.trace_id].append(span)
    failed: Traces = {}
    others: Traces = {}
    for trace_id, spans in traces.items():
        has_error = any(event.failure for span in spans for event in span.etl_events())
        (failed if has_error else others)[trace_id] = spans
    return failed, others


def _sizes(traces: Traces) -> set[int]:
    """Return the numbers of different spans in a trace that occur."""
    return {len({span.span_id for span in spans}) for spans in traces.values()}


def test_every_trace_with_an_error_event_is_kept_whole(tier: Tier) -> None:
    assert len(tier.failed) == RUNS // FAILING
    assert _sizes(tier.failed) == {SPANS}


def test_share_of_the_other_traces_is_kept_whole(tier: Tier) -> None:
    share = len(tier.others) / (RUNS - RUNS // FAILING)
    assert 0.5 * SHARE < share * 100 < 1.5 * SHARE
    assert _sizes(tier.others) == {SPANS}


def test_no_span_is_stored_twice(tier: Tier) -> None:
    spans = [span.span_id for traces in (tier.failed, tier.others) for one in traces.values() for span in one]
    assert len(spans) == len(set(spans))


def test_counters_are_not_sampled(tier: Tier) -> None:
    assert tier.counted == tier.emitted
    assert sum(tier.counted.values()) == 2 * RUNS * 10
