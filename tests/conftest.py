"""What several test modules share: the log's document, quiet hypothesis settings, a pipeline, a program's run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import Tracer

from otel_kcevents.model.event import Event
from otel_kcevents.record.record_set import RecordSet
from otel_kcevents.store.log import EventLog

# A shell that starts the tests in the background has them ignore SIGINT, and the programs they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

TESTS = Path(__file__).parent
SPEC = TESTS.parents[1] / "shared" / "spec" / "events-api.md"


@pytest.fixture(scope="session")
def spec() -> str:
    """The text of the document that the project implements."""
    if not SPEC.exists():
        pytest.skip("the Events API document is not beside this checkout")
    return SPEC.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def documented(spec: str) -> str:
    """The document's own example of a log, with the `...` that stand for further events taken out."""
    example = spec.partition("``` json\n")[2].partition("\n```")[0]
    return re.sub(r",\n *\.\.\.(?=\n)", "", example)


@dataclass
class Telemetry:
    """One pipeline of a test's own: its log, its spans, its metrics, and the two sets bound to them."""

    log: EventLog
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    allocation: RecordSet
    asset: RecordSet

    @property
    def tracer(self) -> Tracer:
        """A tracer of the program under test, for spans that are not ours."""
        return self.tracer_provider.get_tracer("program")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that ended, in the order they did."""
        return list(self.exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        """The one span that ended."""
        (span,) = self.spans
        return span

    @property
    def events(self) -> list[Event]:
        """What the log retains, oldest first."""
        listed = [event for events in self.log.document().lists.values() for event in events]
        return sorted(listed, key=lambda event: event.time)

    @property
    def event(self) -> Event:
        """The one event that the log retains."""
        (event,) = self.events
        return event

    @property
    def kinds(self) -> list[str]:
        """The kinds of what happened, oldest first."""
        return [event.kind for event in self.events]

    @property
    def counters(self) -> dict[tuple[str, str], int]:
        """The counter's values by etl and event, as a metric reader collects them."""
        data = self.reader.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]
        return {(str(p.attributes["etl"]), str(p.attributes["event"])): p.value for p in points}  # type: ignore


def telemetry(sampler: Sampler = ALWAYS_ON) -> Telemetry:
    """A pipeline of its own; shut down by whoever makes it."""
    log, exporter, reader = EventLog(), InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider = TracerProvider(sampler, shutdown_on_exit=False)
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    meter_provider = MeterProvider([reader], shutdown_on_exit=False)
    allocation, asset = (
        RecordSet(etl, name, log=log, tracer_provider=tracer_provider, meter_provider=meter_provider)
        for etl, name in (("allocation", "AllocationSet"), ("asset", "AssetSet"))
    )
    return Telemetry(log, exporter, reader, tracer_provider, meter_provider, allocation, asset)


@pytest.fixture
def pipeline() -> Iterator[Telemetry]:
    """A pipeline with every span sampled."""
    made = telemetry()
    yield made
    made.tracer_provider.shutdown()
    made.meter_provider.shutdown()


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the package warned of so far, and nobody else did."""
    caplog.set_level("WARNING")

    def messages() -> list[str]:
        assert {record.name for record in caplog.records} <= {"otel_kcevents"}
        return [record.getMessage() for record in caplog.records]

    return messages


def run_program(name: str, *args: str, code: int = 0, **environment: str) -> tuple[str, str]:
    """Run `programs/NAME.py` in a process of its own, with warnings as errors.

    Args:
        name: the file's name without `.py`. It may import from `tests`.
        args: the command line.
        code: the expected exit code.
        environment: variables to add to this process's environment, from which `OTEL_*` is removed.

    Returns:
        What the program wrote to stdout and to stderr.
    """
    return _run_python([str(TESTS / "programs" / f"{name}.py"), *args], code, environment)


def run_script(script: str, *, code: int = 0, **environment: str) -> tuple[str, str]:
    """The same for a program in a string."""
    return _run_python(["-c", textwrap.dedent(script)], code, environment)


def _run_python(args: list[str], code: int, environment: dict[str, str]) -> tuple[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    paths = [str(TESTS.parent), str(TESTS), *filter(None, [inherited.get("PYTHONPATH")])]
    finished = subprocess.run(
        [sys.executable, "-W", "error", *args],
        env={**inherited, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == code, finished.stderr
    return finished.stdout, finished.stderr
