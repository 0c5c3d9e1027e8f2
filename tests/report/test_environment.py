"""Versions, platform and settings: only what is known to be harmless."""

from __future__ import annotations

import platform
import socket
from importlib import metadata

import pytest

import otel_kcevents
from otel_kcevents.report.environment import display_url, platform_facts, setting_facts, version_facts


def test_versions_are_those_of_what_is_installed() -> None:
    versions = dict(version_facts())
    assert versions["otel-kcevents"] == otel_kcevents.__version__
    assert versions["Python"].startswith(platform.python_version())
    assert versions["opentelemetry-sdk"] == metadata.version("opentelemetry-sdk")
    assert versions["grpcio"] == metadata.version("grpcio")
    assert "pandas" not in versions


def test_platform_does_not_name_the_host() -> None:
    facts = dict(platform_facts())
    assert platform.system() in facts["system"]
    assert [value for value in facts.values() if socket.gethostname() in value.split()] == []


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("OTEL_SDK_DISABLED", "true", "true"),
        ("OTEL_TRACES_EXPORTER", "otlp, console", "otlp, console"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5", "0.5"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2048", "2048"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "sesame", "set"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2048 sesame", "set"),
        ("OTEL_SDK_DISABLED_TOKEN", "true", "set"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "10", "10"),
        ("OTEL_SERVICE_NAME", "nightly costs", "nightly costs"),
        ("OTEL_SERVICE_NAME", "x" * 201, "set"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://etl:sesame@collector:4317/x?key=sesame", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://[::1]:4317", "http://[::1]:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://etl:ses/ame@collector", "set, but not a URL"),
        ("OTEL_PYTHON_KCEVENTS_TRACE_URL", "http://jaeger:16686/trace/{trace_id}", "http://jaeger:16686"),
        ("OTEL_PYTHON_KCEVENTS_LOG_FILE", "/data/k.db", "/data/k.db"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=sesame", "set"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem", "set"),
        ("OTEL_ANYTHING_NEW", "harmless", "set"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,x=sesame,=y,Q q=z", "set: service.name, x"),
        ("HTTPS_PROXY", "http://etl:sesame@proxy:3128", "set"),
        ("https_proxy", "http://etl:sesame@proxy:3128", "set"),
        ("GRPC_VERBOSITY", "debug", "debug"),
        ("SSL_CERT_FILE", "/etc/ca.pem", "set"),
    ],
)
def test_setting_is_shown_if_it_is_harmless(name: str, value: str, shown: str) -> None:
    assert setting_facts({name: value}) == [(name, shown)]


def test_settings_are_sorted() -> None:
    assert setting_facts({"OTEL_B": "b", "OTEL_A": "a"}) == [("OTEL_A", "set"), ("OTEL_B", "set")]


@pytest.mark.parametrize("name", ["DB_PASSWORD", "PATH", "OTEL_LOG_LEVEL"])
def test_other_and_empty_variables_are_not_listed(name: str) -> None:
    assert setting_facts({name: "" if name.startswith("OTEL") else "x"}) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("collector:4317", "grpc://collector:4317"),
        ("https://collector", "https://collector"),
        ("http://u:1/pass@collector:4317", None),
        ("http://collector:port", None),
        ("http://", None),
        ("http://a b", None),
    ],
)
def test_endpoint_is_shown_without_credentials(url: str, shown: str | None) -> None:
    assert display_url(url) == shown
