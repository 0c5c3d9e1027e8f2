"""The guarantees of count.yaml, keep.yaml and replay.yaml."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

from stack.backends import Counts
from stack.conftest import Stack
from stack.programs import CONFIG


def _expected(programs: list[subprocess.Popen[str]]) -> Counts:
    """Return the counts of the events that the foreign programs report."""
    counts: Counter[tuple[str, str]] = Counter()
    for program in programs:
        for name, count in json.loads(program.communicate(timeout=60)[0]).items():
            if "Set" in name:
                etl = "allocation" if name.startswith("Allocation") else "asset"
                counts[etl, name.removesuffix("Event")] += count
    return dict(counts)


def test_handwritten_events_of_several_programs_count_once(stack: Stack) -> None:
    collector = stack.collector("count.yaml")
    prometheus = stack.prometheus(collector.exposed)
    expected = _expected([stack.foreign(collector, "400", str(seed)) for seed in range(3)])
    assert sum(expected.values()) > 800
    assert prometheus.wait_for_counts("foreign", expected) == expected


def test_events_of_the_package_are_not_counted_again(stack: Stack) -> None:
    collector = stack.collector("count.yaml")
    prometheus = stack.prometheus(collector.exposed)
    etl = stack.etl("etl", "--runs=30", endpoint=collector.grpc).finish()
    assert prometheus.wait_for_counts("etl", etl.counts) == etl.counts
    last = _expected([stack.foreign(collector, "20", "1")])
    assert prometheus.wait_for_counts("foreign", last) == last  # so everything before that has been counted
    assert prometheus.counts("etl") == etl.counts


def test_counting_leaves_traces_unchanged(stack: Stack) -> None:
    jaeger = stack.jaeger()
    collector = stack.collector("count.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    etl = stack.etl("etl", "--runs=30", endpoint=collector.grpc).finish()
    assert jaeger.wait_for_events("etl", 300) == etl.events
    attributes = [names for span in jaeger.spans("etl") for _, _, names in span.events]
    assert not any("event" in names or "etl" in names for names in attributes)


def test_kept_spans_are_replayed_into_jaeger_once(stack: Stack, tmp_path: Path) -> None:
    spans = tmp_path / "spans"
    keep = stack.collector("keep.yaml", KCEVENTS_SPANS_DIR=str(spans))
    one_line = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5000", "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    no_metrics = {"OTEL_METRICS_EXPORTER": "none"}
    first = stack.etl("first", "--runs=200", endpoint=keep.grpc, **one_line, **no_metrics).finish()
    keep.program.kill()
    keep.program.start()
    second = stack.etl("second", "--runs=20", endpoint=keep.grpc, **no_metrics).finish()
    keep.program.kill()
    lines = (spans / "spans.jsonl").read_text().splitlines()
    assert max(map(len, lines)) > 2**20  # longer than the receiver's default limit

    jaeger = stack.jaeger(start=False)
    replay = stack.collector("replay.yaml", KCEVENTS_SPANS_DIR=str(spans), KCEVENTS_JAEGER=jaeger.otlp)
    jaeger.program.start()
    assert jaeger.wait_for_events("first", 2000) == first.events
    assert jaeger.wait_for_events("second", 200) == second.events
    replay.program.stop()
    replay.program.start()
    assert jaeger.wait_for_events("first", 2001, timeout=3) == first.events
    assert jaeger.events("second") == second.events


def test_keep_and_replay_use_the_same_folder() -> None:
    for name in ("keep.yaml", "replay.yaml"):
        assert "${env:KCEVENTS_SPANS_DIR:-./kcevents-spans}" in (CONFIG / name).read_text(encoding="utf-8")
