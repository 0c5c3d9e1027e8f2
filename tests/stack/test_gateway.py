"""Past one machine: two gateways (gateway.yaml) in front of two samplers (sampling.yaml)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from stack.backends import Collector, Counts, Jaeger, Prometheus, Run, Span, start_etl
from stack.conftest import Stack, opened
from stack.programs import until

RUNS, FAILING, SHARE = 250, 25, 20
DECISION = 15  # seconds; the two processes may start some apart
SPANS = 22  # of a trace: two processes, eleven each, through a gateway each


@dataclass
class Tier:
    """What two processes that share their traces sent through the tier, and what came out of it."""

    etls: list[Run]
    traces: dict[str, list[Span]]
    counts: Counts

    @cached_property
    def failed(self) -> dict[str, list[Span]]:
        """The traces with an error event."""
        return {
            trace: spans
            for trace, spans in self.traces.items()
            if any(event.failure for span in spans for event in span.etl_events())
        }


@pytest.fixture(scope="module", params=["samplers up", "samplers come after the run"])
def tier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tier]:
    folder: Path = tmp_path_factory.mktemp("tier")
    late = request.param != "samplers up"
    with opened(folder) as stack:
        yield _through(stack, folder, late)


def _through(stack: Stack, folder: Path, late: bool) -> Tier:
    jaeger = stack.jaeger()
    counters = stack.collector("collector.yaml")
    prometheus = stack.prometheus(counters.exposed)
    settings = {
        "KCEVENTS_JAEGER": jaeger.otlp,
        "KCEVENTS_DECISION_WAIT": f"{DECISION}s",
        "KCEVENTS_SHARE_PERCENT": str(SHARE),
    }
    samplers = [stack.collector_to_start("sampling.yaml", **settings) for _ in range(2)]
    if not late:
        _start(samplers)
    addresses = [sampler.grpc.removeprefix("http://") for sampler in samplers]
    settings = {
        "KCEVENTS_SAMPLERS": f"[{', '.join(addresses)}]",
        "KCEVENTS_COUNTERS": counters.grpc.removeprefix("http://"),
    }
    gateways = [stack.collector("gateway.yaml", **settings) for _ in range(2)]
    etls = [
        start_etl(folder, f"etl{number}", f"--runs={RUNS}", f"--failing={failing}", "--seed=7", endpoint=gateway.grpc)
        for number, (gateway, failing) in enumerate(zip(gateways, (FAILING, 0), strict=True))
    ]
    for etl in etls:
        etl.finish()
    if late:
        _start(samplers)
    _settle(gateways, samplers)
    traces = defaultdict(list)
    for span in _all_spans(jaeger, etls[0].service):  # whole traces: the other process's spans among them
        traces[span.trace_id].append(span)
    return Tier(etls, traces, _counted(prometheus, etls))


def _all_spans(jaeger: Jaeger, service: str) -> list[Span]:
    """What is stored when no more comes."""

    def settled() -> list[Span]:
        before = len(jaeger.spans(service))
        time.sleep(1)
        spans = jaeger.spans(service)
        return spans if len(spans) == before else []

    return until(settled, "the spans in Jaeger to be all there")


def _start(collectors: list[Collector]) -> None:
    for collector in collectors:
        collector.program.start()


def _settle(gateways: list[Collector], samplers: list[Collector]) -> None:
    """Until both tiers are empty."""
    for gateway in gateways:
        gateway.drained()
    time.sleep(DECISION + 2)
    for sampler in samplers:
        sampler.drained()
    time.sleep(1)


def _counted(prometheus: Prometheus, etls: list[Run]) -> Counts:
    expected = _sum(etls)
    until(lambda: prometheus.by_kind() == expected, f"the counters of both processes, {expected}")
    return prometheus.by_kind()


def _sum(etls: list[Run]) -> Counts:
    kinds = {kind for etl in etls for kind in etl.counts}
    return {kind: sum(etl.counts.get(kind, 0) for etl in etls) for kind in kinds}


def test_every_trace_with_an_error_event_is_kept_whole(tier: Tier) -> None:
    assert len(tier.failed) == RUNS // FAILING
    assert {len({span.span_id for span in spans}) for spans in tier.failed.values()} == {SPANS}


def test_of_the_other_traces_about_the_configured_share_is_kept_and_those_whole(tier: Tier) -> None:
    others = {trace: spans for trace, spans in tier.traces.items() if trace not in tier.failed}
    share = len(others) / (RUNS - RUNS // FAILING)
    assert 0.5 * SHARE < share * 100 < 1.5 * SHARE
    assert {len({span.span_id for span in spans}) for spans in others.values()} == {SPANS}


def test_no_span_is_stored_twice(tier: Tier) -> None:
    spans = [span.span_id for spans in tier.traces.values() for span in spans]
    assert len(spans) == len(set(spans))


def test_the_counters_are_not_sampled(tier: Tier) -> None:
    assert tier.counts == _sum(tier.etls)
    assert sum(tier.counts.values()) == 2 * RUNS * 10
