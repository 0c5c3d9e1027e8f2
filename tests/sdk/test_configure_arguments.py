"""Arguments and variables that `configure()` ignores, with one warning each, in separate programs."""

from __future__ import annotations

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.grpc", reason="pip install opentelemetry-exporter-otlp to run these"
)

from conftest import run_program
from opentelemetry import environment_variables
from opentelemetry.sdk import environment_variables as sdk_variables


def run(name: str, **environment: str) -> tuple[str, list[str]]:
    """Run a function of `programs/configured.py`; return what it printed, and the lines that it logged."""
    out, err = run_program("configured", name, code=0, **environment)
    return out, err.splitlines()


@pytest.mark.parametrize(
    ("name", "whose"), [("own_providers", "tracer and meter"), ("own_meter_provider", "the meter")]
)
def test_service_name_with_own_providers_is_reported(name: str, whose: str) -> None:
    _, [message] = run(name)
    assert "service_name='nightly'" in message
    assert f"{whose} provider" in message
    assert "OTEL_SERVICE_NAME" in message


def test_service_name_of_the_provider_logs_no_warning() -> None:
    assert run("own_providers_of_the_same_name") == ("", [])


def test_service_name_of_the_environment_logs_no_warning() -> None:
    """As documented, it takes precedence."""
    assert run("own_providers", OTEL_SERVICE_NAME="nightly") == ("", [])
    assert run("again_with_other_names", OTEL_SERVICE_NAME="nightly") == ("", [])


def test_second_call_with_the_same_arguments_logs_no_warning() -> None:
    assert run("again") == ("", [])


def test_second_service_name_is_reported_once() -> None:
    _, [message] = run("again_with_other_names")
    assert "service_name='nightly' is not used" in message
    assert "in the first call" in message


def test_second_log_receives_events_too() -> None:
    assert run("again_with_a_log") == ("{'AssetSetSaved': 2} {'AssetSetSaved': 1}\n", [])


def test_second_call_without_a_log_adds_none() -> None:
    assert run("again_without_a_log") == ("{} {'AssetSetSaved': 1}\n", [])


def test_log_that_no_processor_can_fill_is_reported() -> None:
    _, [message] = run("noop_provider")
    assert "log=EventLog(retention=256) does not receive" in message
    assert "NoOpTracerProvider" in message


@pytest.mark.parametrize("value", ["", "  "])
def test_every_empty_variable_is_unset(value: str) -> None:
    modules = (environment_variables, sdk_variables)
    names = {name for module in modules for name in dir(module) if name.startswith("OTEL_")}
    names.remove("OTEL_PYTHON_CONTEXT")  # read when the API is imported
    assert run("settings", **dict.fromkeys(names, value)) == ("nightly\n", [])


@pytest.mark.parametrize("name", ["OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER"])
def test_empty_provider_name_breaks_no_decorator(name: str) -> None:
    assert run("unconfigured", **{name: " "}) == ("{'AssetSetSaved': 1}\n", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k8s.service.name=billing,team=a", "nightly"),
        ("service.name=,team=a", "nightly"),
        ("service.name=a,service.name=", "nightly"),
        ("service%2Ename=a", "nightly"),
        ("note=service.name=a", "nightly"),
        ("k8s.service.name=b, service.name =a%20b", "a b"),
    ],
)
def test_service_name_is_read_from_the_parsed_attributes(text: str, expected: str) -> None:
    """The attributes are those of `OTEL_RESOURCE_ATTRIBUTES`."""
    assert run("settings", OTEL_RESOURCE_ATTRIBUTES=text) == (f"{expected}\n", [])


def test_settings_of_both_signals_are_reported_once() -> None:
    variables = {"ENDPOINT": "http://me:s3cret@127.0.0.1:1", "TIMEOUT": "10000"}
    environment = {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in variables.items()}
    _, messages = run("settings", **environment, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="all")
    ours = [message for message in messages if "OTEL_" in message]
    assert len(ours) == 2
    assert any("OTEL_EXPORTER_OTLP_TIMEOUT='10000' is in seconds" in message for message in ours)
    assert any("OTEL_EXPORTER_OTLP_HEADERS" in message for message in ours)


def test_disabled_sdk_exports_nothing() -> None:
    """`configure()` neither validates variables nor waits."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}
    assert run("settings", **environment, OTEL_SDK_DISABLED="true") == ("nightly\n", [])
