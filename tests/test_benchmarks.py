"""The benchmarks run and tell a ratio for each line, and what they hold ours against is the same telemetry."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import Telemetry

from benchmarks import hand
from benchmarks.pipeline import WINDOW

RUN = Path(__file__).parents[1] / "benchmarks" / "run.py"
PARTS = ["price", "document", "growth", "imports", "peers", "export", "serving"]
RATIO = re.compile(r"\d\.\d\d \(\d+\.\d\d-\d+\.\d\d\)")


@pytest.mark.parametrize(
    ("part", "least"),
    [("price", 12), ("document", 2), ("growth", 6), ("imports", 1), ("peers", 2), ("export", 0), ("serving", 3)],
)
def test_each_part_prints_a_ratio_for_each_line(part: str, least: int) -> None:
    command = [sys.executable, str(RUN), "--quick", "--only", part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    machine, _, _, title, *lines = done.stdout.splitlines()
    assert machine.startswith("Python ")
    assert title.startswith(f"{part}: ")
    told = [line for line in lines if not re.search(r"not installed|does not run here|not built", line)]
    assert len(told) >= least
    assert [line for line in told if not RATIO.search(line)] == []


def test_a_part_that_is_none_is_refused() -> None:
    done = subprocess.run([sys.executable, str(RUN), "--only", "luck"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        re.findall(r"price|document|growth|imports|peers|export|serving", done.stderr.partition("choose from")[2])
        == PARTS
    )


def test_the_code_by_hand_makes_the_telemetry_that_the_decorator_makes(pipeline: Telemetry) -> None:
    @pipeline.allocation.load
    def load(window: hand.Period) -> list[int]:
        return hand.ROWS

    counter = pipeline.meter_provider.get_meter("by hand").create_counter("by.hand")
    for texts in (None, hand.formatted(WINDOW)):
        hand.loading(pipeline.tracer, counter, texts)(WINDOW)
    load(WINDOW)
    formatting, by_hand, ours = map(_told, pipeline.spans)
    assert formatting == by_hand == ours


def test_the_code_by_hand_tells_of_a_failure_as_the_decorator_does(pipeline: Telemetry) -> None:
    @pipeline.allocation.load
    def load(window: hand.Period) -> None:
        raise hand.FAILURE

    counter = pipeline.meter_provider.get_meter("by hand").create_counter("by.hand")
    for function in (hand.failing(pipeline.tracer, counter, hand.formatted(WINDOW)), load):
        with pytest.raises(ValueError, match="no prices"):
            function(WINDOW)
    by_hand, ours = map(_told, pipeline.spans)
    assert by_hand == ours


def _told(span: ReadableSpan) -> Any:
    """What a span tells, but for what differs from one function to the next."""
    attributes = _plain(span.attributes or {}, "code.function.name")
    events = sorted((event.name, _plain(event.attributes or {}, "exception.stacktrace")) for event in span.events)
    return span.name, span.kind, span.status.status_code, span.status.description, attributes, events


def _plain(attributes: Any, but: str) -> Iterable[tuple[str, str]]:
    return sorted((key, str(value)) for key, value in attributes.items() if key != but)
