"""`run()`: one root span, which names the run of the process."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from conftest import run_program
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from telemetry import Telemetry, Warned, in_threads

from otel_kcevents import EventLogProcessor, Journal, default_log, run
from otel_kcevents.record.run import RunBlock, end_killed_block
from otel_kcevents.store.run import current_run

Block = Callable[[str], RunBlock]


@pytest.fixture
def block(telemetry: Telemetry) -> Block:
    """`run()` with the test's spans."""
    return lambda name: run(name, tracer_provider=telemetry.tracer_provider)


def test_span_has_the_name_of_the_run(telemetry: Telemetry, block: Block) -> None:
    with block("nightly"):
        pass
    span = telemetry.span
    assert (span.name, span.kind, span.parent) == ("nightly", SpanKind.INTERNAL, None)
    assert span.attributes == {"kcevents.run.name": "nightly", "kcevents.run.id": current_run().id}
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "otel_kcevents"
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())


def test_block_is_one_trace(telemetry: Telemetry, block: Block) -> None:
    """The span is current inside the block only."""
    with block("nightly"):
        telemetry.asset.emit("saved", size=1)
        telemetry.allocation.emit("loaded", size=1)
    telemetry.asset.emit("totaled")
    assert [span.name for span in telemetry.spans] == [
        "save AssetSet",
        "load AllocationSet",
        "nightly",
        "total AssetSet",
    ]
    *inside, root, after = telemetry.spans
    assert {span.parent and span.parent.span_id for span in inside} == {root.context.span_id}
    assert after.parent is None


def test_span_continues_the_current_trace(telemetry: Telemetry, block: Block) -> None:
    """For example, the span of a task queue."""
    with telemetry.tracer.start_as_current_span("task"), block("nightly"):
        pass
    root, task = telemetry.spans
    assert root.parent == task.context


def test_failure_is_recorded_without_secrets(telemetry: Telemetry, block: Block) -> None:
    with pytest.raises(ValueError, match="hunter2"), block("nightly"):
        raise ValueError("cannot open postgres://etl:hunter2@db/costs")
    span = telemetry.span
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert span.status.status_code is StatusCode.ERROR
    (recorded,) = span.events
    assert recorded.name == "exception"
    assert "hunter2" not in f"{span.to_json()}{recorded.attributes}"


class CleanExit(Exception):
    """Like the Exit of click and typer."""

    exit_code = 0


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(None), GeneratorExit(), CleanExit()])
def test_clean_exit_is_not_a_failure(telemetry: Telemetry, block: Block, error: BaseException) -> None:
    with pytest.raises(type(error)), block("nightly"):
        raise error
    assert telemetry.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("error", [SystemExit(3), SystemExit("no bill"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_other_exit_is_a_failure(telemetry: Telemetry, block: Block, error: BaseException) -> None:
    with pytest.raises(type(error)), block("nightly"):
        raise error
    assert telemetry.span.status.status_code is StatusCode.ERROR


def test_first_of_nested_blocks_names_the_run(telemetry: Telemetry, block: Block) -> None:
    with block("nightly"):
        with block("bills"):
            assert current_run().name == "nightly"
        inner = telemetry.span
        assert current_run().trace_id == f"{inner.context.trace_id:032x}"
    assert inner.parent == telemetry.spans[-1].context
    with block("hourly"):
        assert current_run().name == "hourly"


def test_one_of_simultaneous_blocks_names_the_run(telemetry: Telemetry, block: Block) -> None:
    def work(number: int) -> None:
        with block(f"part {number}"):
            pass

    with block("nightly"):
        in_threads(work)
        assert current_run().name == "nightly"
    assert len(telemetry.spans) == 9


def test_decorated_function_is_a_block_for_each_call(telemetry: Telemetry, block: Block) -> None:
    @block("nightly")
    def etl(day: str, *, strict: bool = False) -> str:
        """Load and save."""
        return day

    assert [etl("2022-06-03"), etl("2022-06-04", strict=True)] == ["2022-06-03", "2022-06-04"]
    assert [span.name for span in telemetry.spans] == ["nightly", "nightly"]
    assert (etl.__name__, etl.__doc__, list(inspect.signature(etl).parameters)) == (
        "etl",
        "Load and save.",
        ["day", "strict"],
    )


def test_decorated_coroutine_function_is_a_block(telemetry: Telemetry, block: Block) -> None:
    @block("nightly")
    async def etl() -> int:
        await asyncio.sleep(0)
        telemetry.asset.emit("saved", size=1)
        return 1

    assert asyncio.run(etl()) == 1
    save, root = telemetry.spans
    assert save.parent == root.context


def rows() -> Generator[int, None, None]:
    yield 1


async def rows_later() -> Any:
    yield 1


@pytest.mark.parametrize("value", [rows, rows_later, int, "etl"])
def test_only_functions_that_return_can_be_decorated(value: Any) -> None:
    with pytest.raises(TypeError, match=r"run\('nightly'\) cannot decorate"):
        run("nightly")(value)


@pytest.mark.parametrize(("name", "error"), [(rows, TypeError), (None, TypeError), ("", ValueError), (" ", ValueError)])
def test_name_must_be_a_string_with_characters(name: Any, error: type[Exception]) -> None:
    """Also if the parentheses are missing: `@run`."""
    with pytest.raises(error, match="'nightly'"):
        run(name)


def test_block_is_entered_once(block: Block) -> None:
    nightly = block("nightly")
    with nightly:
        pass
    with pytest.raises(RuntimeError, match=r"call run\(\) for each block"), nightly:
        pass


def test_suppressed_block_names_the_run_without_a_span(telemetry: Telemetry, block: Block) -> None:
    with suppress_instrumentation(), block("weekly"):
        assert (current_run().name, current_run().trace_id) == ("weekly", None)
    assert telemetry.spans == []


def test_trace_that_is_not_sampled_is_not_named() -> None:
    """It cannot be found in Jaeger."""
    with run("nightly", tracer_provider=Telemetry(ALWAYS_OFF).tracer_provider):
        assert (current_run().name, current_run().trace_id) == ("nightly", None)


def test_span_ends_if_the_process_is_killed(telemetry: Telemetry, block: Block) -> None:
    """It ends once, even if the block ends afterwards; without a block, nothing happens."""
    end_killed_block("SIGTERM")
    with block("nightly"):
        end_killed_block("SIGTERM")
    assert telemetry.span.status.description == "killed by SIGTERM"


def test_span_is_not_an_event_of_the_log(telemetry: Telemetry) -> None:
    """Even if the run has the name of a kind."""
    provider: Any = telemetry.tracer_provider
    provider.add_span_processor(EventLogProcessor(telemetry.log))
    with run("AssetSetSaved", tracer_provider=provider):
        trace.get_current_span().add_event("AssetSetLoaded", {"kcevents.size": 2})
    assert telemetry.log.counts() == {"AssetSetLoaded": 1}


class BrokenProvider(trace.NoOpTracerProvider):
    """A provider without tracers."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        raise OSError("no tracer")


class BrokenSpan(trace.NonRecordingSpan):
    """A span that cannot be ended."""

    def end(self, end_time: int | None = None) -> None:
        raise OSError("no end")


class BrokenTracer(trace.NoOpTracer):
    """A tracer of broken spans."""

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        return BrokenSpan(trace.INVALID_SPAN_CONTEXT)


class ProviderOfBroken(trace.NoOpTracerProvider):
    """A provider of broken tracers."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return BrokenTracer()


@pytest.mark.parametrize(
    ("provider", "problem"),
    [
        (BrokenProvider(), "run('nightly') has no span: no tracer"),
        (ProviderOfBroken(), "the span of run('nightly') is incomplete: no end"),
    ],
)
def test_broken_provider_does_not_reach_the_program(
    warned: Warned, provider: trace.TracerProvider, problem: str
) -> None:
    with run("nightly", tracer_provider=provider):
        done = True
    assert done
    assert warned() == [problem]


def test_journal_shows_the_block_at_once(telemetry: Telemetry, block: Block, tmp_path: Path) -> None:
    """Before the first event."""
    journal = Journal(tmp_path / "log.db")
    detach = default_log.attach(journal)
    with block("nightly"):
        (shown,) = journal.runs()
    detach()
    root = telemetry.span
    assert (shown["name"], shown["outcome"]) == ("nightly", "running")
    assert shown["traceId"] == f"{root.context.trace_id:032x}"


def test_trace_continues_in_forked_children_only() -> None:
    """A child that is forked inside the block inherits the context; a spawned one begins traces of its own."""
    out, _ = run_program("run_traces")
    name_trace_parent = [line.split() for line in out.splitlines()]
    spans = {who: (trace_id, parent) for who, trace_id, parent in name_trace_parent}
    assert sorted(who for who, *_ in name_trace_parent) == ["fork", "nightly", "spawn"]
    assert spans["fork"][0] == spans["nightly"][0] != spans["spawn"][0]
    assert (spans["spawn"][1], spans["nightly"][1]) == ("None", "None")


def test_block_has_no_span_if_the_provider_is_set_inside_it() -> None:
    """Later spans are recorded, but the block's own span began without the provider."""
    out, _ = run_program("run_traces", "late")
    assert [line.split()[0] for line in out.splitlines()] == ["save"]
