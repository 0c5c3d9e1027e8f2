"""What a report says about the SDK of a program, and about the environment of the command."""

from __future__ import annotations

import pytest
from conftest import SetVariable, run_program

from otel_kcevents.sdk.facts import command_facts


def test_providers_and_exporters_of_configure_are_named() -> None:
    out, _ = run_program(
        "print_facts",
        "configured",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://etl:sesame@127.0.0.1:1",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_TRACES_EXPORTER="otlp,console",
        OTEL_SERVICE_NAME="nightly",
    )
    *_, writer, providers, endpoints, problems = out.splitlines()
    assert writer.startswith("the program print_facts.py, process ")
    assert providers == (
        "tracer provider: opentelemetry.sdk.trace.TracerProvider, set by configure() | "
        "meter provider: otel_kcevents.sdk.signals.FlushingMeterProvider, set by configure() | service: nightly | "
        "exporter of spans: opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter to "
        "http://127.0.0.1:1; 1 spans ended, 1 of them not accepted so far | "
        "exporter of console-spans: opentelemetry.sdk.trace.export.ConsoleSpanExporter to standard output; "
        "1 spans ended, 1 of them not accepted so far | "
        "exporter of metrics: opentelemetry.exporter.otlp.proto.http.metric_exporter.OTLPMetricExporter to "
        "http://127.0.0.1:1"
    )
    assert endpoints == "spans: http://127.0.0.1:1 | metrics: http://127.0.0.1:1"
    assert problems == ""


def test_own_providers_of_the_program_are_named() -> None:
    out, _ = run_program("print_facts", "own_providers", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    _, providers, endpoints, _ = out.splitlines()
    assert providers == (
        "tracer provider: opentelemetry.sdk.trace.TracerProvider, set by the program | "
        "meter provider: opentelemetry.sdk.metrics._internal.MeterProvider, set by the program | "
        "service: own | exporters: none set by configure()"
    )
    assert endpoints == "traces: http://127.0.0.1:1 | metrics: http://127.0.0.1:1"


def test_providers_without_an_exporter_of_metrics_are_named() -> None:
    out, _ = run_program("print_facts", "configured", OTEL_SERVICE_NAME="nightly")
    _, providers, *_ = out.splitlines()
    assert providers == (
        "tracer provider: opentelemetry.sdk.trace.TracerProvider, set by configure() | "
        "meter provider: none | service: nightly | exporters: none set by configure()"
    )


def test_command_knows_the_endpoints_of_its_environment(otlp: SetVariable) -> None:
    facts = command_facts()
    assert facts.writer == "the command otel-kcevents"
    assert facts.endpoints == (("traces", "http://127.0.0.1:1"), ("metrics", "http://127.0.0.1:1"))
    assert facts.problems == ()


def test_malformed_settings_are_problems(otlp: SetVariable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, without its value if that may be a secret."""
    otlp("HEADERS", "sesame")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "zipkin,otlp")
    facts = command_facts()
    headers, exporter = facts.problems
    assert "OTEL_EXPORTER_OTLP_HEADERS is malformed" in headers
    assert "sesame" not in headers
    assert "does not support 'zipkin'" in exporter
    assert facts.endpoints == ()
