"""count.yaml, keep.yaml and replay.yaml do what they say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from stack.backends import Counts, start_etl
from stack.conftest import Stack
from stack.programs import CONFIG, python

FOREIGN = Path(__file__).with_name("foreign.py")


def _derived(printed: list[str]) -> Counts:
    """What the counters should be of the events that the foreign programs say they made."""
    counts: Counter[tuple[str, str]] = Counter()
    for text in printed:
        for name, count in json.loads(text).items():
            if "Set" in name:
                etl = "allocation" if name.startswith("Allocation") else "asset"
                counts[etl, name.removesuffix("Event")] += count
    return dict(counts)


def test_events_put_on_spans_by_hand_are_counted_once_each_over_several_programs_at_once(stack: Stack) -> None:
    collector = stack.collector("count.yaml", KCEVENTS_JAEGER="127.0.0.1:9")
    prometheus = stack.prometheus(collector.exposed)
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc, "OTEL_SERVICE_NAME": "foreign"}
    programs = [python(FOREIGN, ["400", str(seed)], settings) for seed in range(3)]
    expected = _derived([program.communicate(timeout=60)[0] for program in programs])
    assert sum(expected.values()) > 800
    assert prometheus.settled("foreign", expected) == expected


def test_the_packages_own_events_are_not_counted_a_second_time(stack: Stack, tmp_path: Path) -> None:
    collector = stack.collector("count.yaml", KCEVENTS_JAEGER="127.0.0.1:9")
    prometheus = stack.prometheus(collector.exposed)
    etl = start_etl(tmp_path, "etl", "--runs=30", endpoint=collector.grpc).finish()
    assert prometheus.settled("etl", etl.counts) == etl.counts
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc, "OTEL_SERVICE_NAME": "foreign"}
    last = _derived([python(FOREIGN, ["20", "1"], settings).communicate(timeout=60)[0]])
    assert prometheus.settled("foreign", last) == last  # what came after the ETL's spans has been counted
    assert prometheus.counts("etl") == etl.counts


def test_counted_traces_reach_jaeger_as_they_came(stack: Stack, tmp_path: Path) -> None:
    jaeger = stack.jaeger()
    collector = stack.collector("count.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    etl = start_etl(tmp_path, "etl", "--runs=30", endpoint=collector.grpc).finish()
    assert jaeger.settled("etl", 300) == etl.events
    attributes = [names for span in jaeger.spans("etl") for _, _, names in span.events]
    assert not any("event" in names or "etl" in names for names in attributes)


def test_spans_kept_in_a_file_are_replayed_into_jaeger_once(stack: Stack, tmp_path: Path) -> None:
    spans = tmp_path / "spans"
    keep = stack.collector("keep.yaml", KCEVENTS_SPANS_DIR=str(spans))
    one_line = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5000", "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    metrics_off = {"OTEL_METRICS_EXPORTER": "none"}
    first = start_etl(tmp_path, "first", "--runs=200", endpoint=keep.grpc, **one_line, **metrics_off).finish()
    keep.program.kill()
    keep.program.start()
    second = start_etl(tmp_path, "second", "--runs=20", endpoint=keep.grpc, **metrics_off).finish()
    keep.program.kill()
    assert max(map(len, (spans / "spans.jsonl").read_text().splitlines())) > 2**20  # a line beyond the default limit

    jaeger = stack.jaeger(start=False)
    replay = stack.collector("replay.yaml", KCEVENTS_SPANS_DIR=str(spans), KCEVENTS_JAEGER=jaeger.otlp)
    jaeger.program.start()
    assert jaeger.settled("first", 2000) == first.events
    assert jaeger.settled("second", 200) == second.events
    replay.program.stop()
    replay.program.start()
    assert jaeger.settled("first", 2001, patience=3) == first.events
    assert jaeger.events("second") == second.events


def test_a_collector_that_keeps_spans_names_its_folder_as_the_one_that_replays_them() -> None:
    folder = "${env:KCEVENTS_SPANS_DIR:-./kcevents-spans}"
    for name in ("keep.yaml", "replay.yaml"):
        assert folder in (CONFIG / name).read_text(encoding="utf-8")
