"""The benchmarks: each part runs and prints its figures, and the handwritten code records the same telemetry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from telemetry import Telemetry, metric_values

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.hand import ROWS, Load, Period, format_ends, load_by_hand, load_with_span_only
from benchmarks.measure import ROOT
from benchmarks.pipeline import WINDOW

PARTS = {
    "price": 3,
    "mapped": 17,
    "imports": 1,
    "growth": 2,
    "document": 1,
    "journal": 7,
    "coverage": 4,
    "serving": 3,
    "page": 4,
    "peers": 1,
    "logs": 1,
}
FIGURE = re.compile(r"(\d+\.\d\d|[+-]\d+ ms|[\d.,]+( ms| /s)?) \(\S+ to \S+\)")


def run_part(part: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", "--only", part]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(("part", "number"), PARTS.items())
def test_each_part_prints_markdown_rows_with_figures(part: str, number: int) -> None:
    done = run_part(part)
    assert done.returncode == 0, done.stderr
    machine, _, *lines = done.stdout.splitlines()
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert machine.startswith("Python ")
    assert head == ["what", "relative to", "measured", "goal", "limit", "sides"]
    measured = [row[2] for row in rows if not row[2].startswith(("not installed", "fails"))]
    assert len(measured) >= number
    assert [figure for figure in measured if not FIGURE.fullmatch(figure)] == []


def test_unknown_part_is_refused_with_the_known_ones() -> None:
    done = run_part("luck")
    assert done.returncode == 2
    assert "'luck'" in done.stderr
    assert re.findall("|".join(PARTS), done.stderr.partition("choose from")[2]) == [*PARTS]


@pytest.mark.parametrize("ends", [format_ends(WINDOW), None], ids=["formatted once", "formatted in each call"])
def test_handwritten_code_makes_the_same_telemetry(telemetry: Telemetry, ends: tuple[str, str] | None) -> None:
    counter = telemetry.meter_provider.get_meter("by hand").create_counter("by.hand")
    _assert_same_span(telemetry, load_by_hand(telemetry.tracer, counter, ends))
    assert metric_values(telemetry.reader, "by.hand") == telemetry.counters
    assert telemetry.counters == {("allocation", "AllocationSetLoaded"): 1}


def test_limit_makes_the_same_span(telemetry: Telemetry) -> None:
    _assert_same_span(telemetry, load_with_span_only(telemetry.tracer, format_ends(WINDOW)))


def _assert_same_span(telemetry: Telemetry, handwritten: Load) -> None:
    @telemetry.allocation.load
    def decorated(window: Period) -> list[int]:
        return ROWS

    assert handwritten(WINDOW) == decorated(WINDOW) == ROWS
    by_hand, ours = map(_content, telemetry.spans)
    assert by_hand == ours


def _content(span: ReadableSpan) -> Any:
    """Return what a span records, except for the name of the function."""
    attributes = {key: value for key, value in (span.attributes or {}).items() if key != "code.function.name"}
    events = [(event.name, dict(event.attributes or {})) for event in span.events]
    return span.name, span.kind, span.status.status_code, attributes, events


def test_stressed_journal_has_each_event_once() -> None:
    """The whole run takes minutes: `python benchmarks/journal_stress.py`."""
    command = [sys.executable, str(ROOT / "benchmarks" / "journal_stress.py")]
    command += ["--events", "4000", "--kills", "2", "--forks", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["events", "kills", "forks"]
