"""`OTEL_TRACES_EXPORTER=console` and `OTEL_METRICS_EXPORTER=console`, in programs of their own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.grpc", reason="pip install opentelemetry-exporter-otlp to run these"
)

from conftest import clean_environment, run_program
from opentelemetry import context
from receivers import grpc_receiver
from telemetry import Telemetry, Warned

from otel_kcevents.sdk.console import console_client

SCRIPT = Path(__file__).parents[1] / "programs" / "script.py"
CONSOLE = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console"}


def printed(out: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the spans and the metrics in an output, without the program's own lines."""
    spans: list[dict[str, Any]] = []
    metrics: list[dict[str, Any]] = []
    decoder = json.JSONDecoder()
    place = out.find("{\n")
    while place >= 0:
        value, end = decoder.raw_decode(out, place)
        (metrics if "resource_metrics" in value else spans).append(value)
        place = out.find("{\n", end)
    return spans, metrics


def counted(metrics: list[dict[str, Any]]) -> list[int]:
    """Return the values of the counter."""
    return [
        point["value"]
        for data in metrics
        for resource in data["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
        if metric["name"] == "kubecost.etl.events"
        for point in metric["data"]["data_points"]
    ]


@pytest.mark.parametrize(("ending", "code"), [("end", 0), ("crash", 1), ("terminate", -15)])
def test_console_shows_spans_and_metrics(ending: str, code: int) -> None:
    """At the end of the program, after an exception, and on SIGTERM."""
    out, _ = run_program("script", ending, code=code, **CONSOLE)
    [span], metrics = printed(out)
    assert span["name"] == "save AllocationSet"
    assert span["resource"]["attributes"]["service.name"] == "script"
    assert span["events"][0]["attributes"]["kcevents.size"] == 1
    assert counted(metrics) == [1]


def test_console_prints_after_what_the_program_printed() -> None:
    out, _ = run_program("script", "print_and_flush", code=0, PYTHONUNBUFFERED="", **CONSOLE)
    assert out.startswith("before\n{")


def test_console_and_collector_both_get_everything() -> None:
    both = dict.fromkeys(CONSOLE, "console,otlp")
    with grpc_receiver() as received:
        out, err = run_program("script", "end", code=0, **received.environment, **both)
    spans, metrics = printed(out)
    assert (len(spans), counted(metrics), err) == (1, [1], "")
    assert (len(received.events), sum(received.total.values())) == (1, 1)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (("script", "fork_and_exit"), 3),
        (("script", "child_without_events"), 2),
        (("single_child", "spawn", "--configure"), 1),
    ],
)
def test_children_print_their_own_events(program: tuple[str, ...], expected: int) -> None:
    out, err = run_program(*program, code=0, **CONSOLE)
    ids = [span["context"]["span_id"] for span in printed(out)[0]]
    assert (len(ids), len({*ids}), err) == (expected, expected, "")


def started(name: str, stdout: Any, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), name],
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_closed_pipe_does_not_change_the_exit_code() -> None:
    """The interpreter would exit with 120 if it could not flush standard output."""
    reading, writing = os.pipe()
    os.close(reading)
    with started("end", writing, **CONSOLE) as program:
        os.close(writing)
        _, err = program.communicate(timeout=300)
    [message] = err.splitlines()
    assert "console cannot write to standard output: BrokenPipeError" in message
    assert program.returncode == 0


def test_unread_pipe_delays_the_exit_for_a_limited_time() -> None:
    with started("save_500", subprocess.PIPE, OTEL_TRACES_EXPORTER="console", TEST_IDLE_TIMEOUT="0.5") as program:
        assert program.wait(300) == 0
        assert program.stderr is not None
        assert "failed to export 500 spans to standard output" in program.stderr.read()


@pytest.mark.parametrize(("stream", "problem"), [(None, "has none"), (io.StringIO(), "closed file")])
def test_missing_standard_output_is_reported(
    telemetry: Telemetry, warned: Warned, monkeypatch: pytest.MonkeyPatch, stream: Any, problem: str
) -> None:
    telemetry.asset.emit("saved")
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    for _ in range(2):
        assert console_client("traces").send(telemetry.spans, context.get_current()) == 0
    [message] = warned()
    assert problem in message


def test_redirected_standard_output_is_used(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a notebook does."""
    monkeypatch.setattr(sys, "stdout", redirected := io.StringIO())
    telemetry.asset.emit("saved", size=5)
    console_client("traces").send(telemetry.spans, context.get_current())
    [span], _ = printed(redirected.getvalue())
    assert span["events"][0]["attributes"]["kcevents.size"] == 5
