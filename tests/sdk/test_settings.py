"""What `configure()` reads from the environment, and the values that it refuses."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import SetVariable

import otel_kcevents
from otel_kcevents.sdk import published, settings
from otel_kcevents.sdk.settings import BatchSettings, OtlpSettings, otlp_settings

PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])


def traces() -> OtlpSettings:
    return otlp_settings("traces", print)


def test_only_settings_and_paths_read_the_environment() -> None:
    package = Path(otel_kcevents.__file__).parent
    reading = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"os\.environ|getenv|import environ", path.read_text(encoding="utf-8"))
    }
    published = {"sdk/published.py", "store/run.py"}  # by a process for those that it starts
    others = {"record/paths.py", "model/scrubbing.py", "report/build.py", "cli/launch.py"}
    others |= {"cli/terminal.py", "testing.py"}  # the user's terminal; what a capture hides
    assert reading - others - published == {
        "__init__.py",
        "sdk/settings.py",
    }


def test_nothing_is_exported_without_an_endpoint() -> None:
    assert settings.exporters("traces", pytest.fail) == settings.exporters("metrics", pytest.fail) == set()


def test_defaults_are_those_of_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    found = traces()
    assert (found.protocol, found.timeout, found.compression) == ("grpc", 10, "none")
    assert settings.metric_export_interval() == 60


@pytest.mark.parametrize("empty", ["", " "])
def test_empty_variable_counts_as_unset(otlp: SetVariable, monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    expected = traces()
    for name in ("TIMEOUT", "HEADERS", "ENDPOINT", "PROTOCOL", "COMPRESSION"):
        otlp(f"TRACES_{name}", empty)
    for name in ("TIMEOUT", "HEADERS", "COMPRESSION"):
        otlp(name, empty)
    for name in ("TRACES_EXPORTER", "SDK_DISABLED", "METRIC_EXPORT_INTERVAL", "METRIC_EXPORT_TIMEOUT", "SERVICE_NAME"):
        monkeypatch.setenv(f"OTEL_{name}", empty)
    for name in ("MAX_QUEUE_SIZE", "SCHEDULE_DELAY", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT"):
        monkeypatch.setenv(f"OTEL_BSP_{name}", empty)
    assert traces() == expected
    assert (settings.batch_settings(), settings.metric_export_interval()) == (BatchSettings(16_384, 5000, 512), 60)
    assert not settings.service_is_named()
    assert settings.exporters("traces", pytest.fail) == {"otlp"}
    otlp("ENDPOINT", empty)
    assert settings.exporters("traces", pytest.fail) == set()


def test_empty_variables_of_opentelemetry_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own components read other variables, and some fail if one is empty."""
    for name, value in (("OTEL_BSP_SCHEDULE_DELAY", " "), ("OTEL_TRACES_SAMPLER", "always_on"), ("OTHER", "")):
        monkeypatch.setenv(name, value)
    settings.remove_empty_variables()
    assert "OTEL_BSP_SCHEDULE_DELAY" not in os.environ
    assert (os.environ["OTEL_TRACES_SAMPLER"], os.environ["OTHER"]) == ("always_on", "")


@pytest.mark.parametrize(
    ("name", "own", "general", "attribute", "expected"),
    [
        ("ENDPOINT", "http://own:1/path?x=1", "http://127.0.0.1:1", "url", "http://own:1/path?x=1"),
        ("PROTOCOL", "grpc", "http/protobuf", "protocol", "grpc"),
        ("TIMEOUT", "2.5", "3", "timeout", 2.5),
        ("COMPRESSION", "GZIP", "deflate", "compression", "gzip"),
    ],
)
def test_variable_of_the_signal_takes_precedence(
    otlp: SetVariable, name: str, own: str, general: str, attribute: str, expected: object
) -> None:
    otlp(name, general)
    otlp(f"TRACES_{name}", own)
    otlp(f"METRICS_{name}", "other")
    assert getattr(traces(), attribute) == expected


@pytest.mark.parametrize(
    ("endpoint", "signal", "url"),
    [
        ("http://host:4318", "traces", "http://host:4318/v1/traces"),
        ("http://host:4318/", "metrics", "http://host:4318/v1/metrics"),
        ("http://host:4318/base", "traces", "http://host:4318/base/v1/traces"),
    ],
)
def test_general_endpoint_gets_the_signals_path(
    otlp: SetVariable, endpoint: str, signal: settings.Signal, url: str
) -> None:
    otlp("ENDPOINT", endpoint)
    assert otlp_settings(signal, print).url == url


@pytest.mark.parametrize("name", ["TIMEOUT", "TRACES_TIMEOUT"])
def test_long_timeout_is_limited_to_a_minute(otlp: SetVariable, name: str) -> None:
    """The value is probably in milliseconds, as in the specification."""
    warnings: list[str] = []
    otlp(name, "10000")
    assert otlp_settings("traces", warnings.append).timeout == 60
    [message] = warnings
    assert f"OTEL_EXPORTER_OTLP_{name}='10000' is in seconds" in message


@pytest.mark.parametrize(
    ("name", "value", "signals"),
    [
        ("OTEL_SERVICE_NAME", "costs", "TRACES METRICS LOGS"),
        ("OTEL_METRICS_EXPORTER", "console", "TRACES LOGS"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1", "METRICS LOGS"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", ""),
    ],
)
def test_signals_without_exporter_and_endpoint_are_undecided(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, signals: str
) -> None:
    monkeypatch.setenv(name, value)
    assert settings.undecided_exporters() == [f"OTEL_{signal}_EXPORTER" for signal in signals.split()]


@pytest.mark.parametrize(
    ("user_info", "decoded"), [("me:p%40ss", b"me:p@ss"), ("me:p\udcff", b"me:p\xff"), ("me", b"me")]
)
def test_user_info_becomes_an_authorization_header(otlp: SetVariable, user_info: str, decoded: bytes) -> None:
    otlp("ENDPOINT", f"http://{user_info}@127.0.0.1:1")
    found = traces()
    assert (found.url, found.display_url) == ("http://127.0.0.1:1/v1/traces", "http://127.0.0.1:1")
    assert found.authorization == f"Basic {b64encode(decoded).decode()}"


def test_repr_of_settings_has_no_credentials(otlp: SetVariable) -> None:
    otlp("ENDPOINT", "http://me:s3cret@127.0.0.1:1/?token=hunter2")
    found = traces()
    assert str(found.authorization) not in repr(found)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("without", ["grpc", "provider"])
def test_user_info_that_is_not_sent_is_reported(
    otlp: SetVariable, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    if without == "grpc":
        otlp("PROTOCOL", "grpc")
    else:
        monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER", "provider")
    otlp("ENDPOINT", "http://me:s3cret@127.0.0.1:1")
    warnings: list[str] = []
    otlp_settings("traces", warnings.append)
    [message] = warnings
    assert "OTEL_EXPORTER_OTLP_HEADERS" in message
    assert "s3cret" not in message


@pytest.mark.parametrize("name", ["HTTP", "HTTP_TRACES"])
def test_credential_provider_is_detected(otlp: SetVariable, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert not traces().has_credential_provider
    monkeypatch.setenv(f"OTEL_PYTHON_EXPORTER_OTLP_{name}_CREDENTIAL_PROVIDER", "provider")
    assert traces().has_credential_provider


@pytest.mark.parametrize("name", ["PROTOCOL", "TRACES_PROTOCOL"])
def test_unknown_protocol_error_shows_variable_and_value(otlp: SetVariable, name: str) -> None:
    otlp(name, "http/json")
    with pytest.raises(ValueError, match=f"OTEL_EXPORTER_OTLP_{name}='http/json' .* expected grpc or http/protobuf"):
        traces()


@pytest.mark.parametrize("text", ["10s", "0", "-1", "nan", "ten"])
@pytest.mark.parametrize("name", ["TIMEOUT", "TRACES_TIMEOUT"])
def test_wrong_timeout_error_shows_variable_and_value(otlp: SetVariable, name: str, text: str) -> None:
    otlp(name, text)
    with pytest.raises(ValueError, match=rf"OTEL_EXPORTER_OTLP_{name}='{text}': .* seconds, such as 10"):
        traces()


@pytest.mark.parametrize(
    ("protocol", "text", "expected"),
    [("grpc", "zip", "gzip or none"), ("grpc", "deflate", "gzip or none"), ("http/protobuf", "br", "deflate or none")],
)
def test_wrong_compression_error_shows_variable_and_value(
    otlp: SetVariable, protocol: str, text: str, expected: str
) -> None:
    otlp("PROTOCOL", protocol)
    otlp("TRACES_COMPRESSION", text)
    with pytest.raises(ValueError, match=f"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION='{text}' .* {expected}"):
        traces()


@pytest.mark.parametrize(
    "text",
    [
        "s3cret",
        "=s3cret",
        "na me=s3cret",
        "a=s3\ncret",
        "a=s3\x1bcret",
        "a=s3%0Acret",
        "a=s3cret%C3%A9",
        "a=s3;cret",
        "%20=s3cret",
        "a%20b=s3cret",
        "é=1",
    ],
)
@pytest.mark.parametrize("name", ["HEADERS", "TRACES_HEADERS"])
@PROTOCOLS
def test_malformed_headers_error_hides_the_value(otlp: SetVariable, protocol: str, name: str, text: str) -> None:
    otlp("PROTOCOL", protocol)
    otlp(name, f"x-tenant=cret-tenant,{text}")
    with pytest.raises(ValueError, match=f"OTEL_EXPORTER_OTLP_{name} .* expected name=value") as raised:
        traces()
    assert "cret" not in str(raised.value).replace("secret", "")


@pytest.mark.parametrize("text", ["x!y=s3cret", "x-bin=s3cret"])
def test_headers_that_grpc_cannot_send_are_refused(otlp: SetVariable, text: str) -> None:
    otlp("HEADERS", text)
    traces()
    otlp("PROTOCOL", "grpc")
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        traces()


@pytest.mark.parametrize("text", ["a=b", "A-b=c%20d, x = y z ,", "api-key=a==", "a="])
def test_headers_in_opentelemetry_format_are_accepted(otlp: SetVariable, text: str) -> None:
    otlp("HEADERS", text)
    traces()


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        ("http/protobuf", "localhost:4318"),
        ("http/protobuf", "ftp://localhost"),
        ("http/protobuf", "http://"),
        ("http/protobuf", "http://me:s3cret/x@host"),
        ("grpc", "http://me:s3cret/x@host"),
        ("grpc", "http://[::1"),
        ("grpc", "http://"),
        ("grpc", "//me:s3cret@host:4317"),
        ("grpc", "dns:///me:s3cret@host:4317"),
        ("grpc", "http://host:99999"),
    ],
)
@pytest.mark.parametrize("name", ["ENDPOINT", "TRACES_ENDPOINT"])
def test_malformed_endpoint_error_hides_the_value(otlp: SetVariable, protocol: str, name: str, text: str) -> None:
    otlp("PROTOCOL", protocol)
    otlp(name, text)
    with pytest.raises(ValueError, match=f"OTEL_EXPORTER_OTLP_{name} .* such as http://localhost:431") as raised:
        traces()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://[::1]:4317/x?token=s3cret", "http://::1:4317"),
        ("localhost:4317", "grpc://localhost:4317"),
        ("me:pass@localhost:4317", "grpc://localhost:4317"),
        ("http://ho\x1bst", "http://ho?st"),
    ],
)
def test_messages_show_only_scheme_host_and_port(otlp: SetVariable, text: str, shown: str) -> None:
    otlp("PROTOCOL", "grpc")
    otlp("ENDPOINT", text)
    assert traces().display_url == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", set()),
        ("none, otlp", {"otlp"}),
        ("console", {"console"}),
        ("OTLP,Console", {"otlp", "console"}),
        (",", {"otlp"}),
    ],
)
def test_variable_chooses_the_exporters(
    otlp: SetVariable, monkeypatch: pytest.MonkeyPatch, text: str, expected: set[str]
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", text)
    assert settings.exporters("metrics", pytest.fail) == expected
    monkeypatch.setenv("OTEL_SDK_DISABLED", " True")
    assert settings.exporters("metrics", pytest.fail) == set()


@pytest.mark.parametrize("name", ["oltp", "prometheus", "otlp_proto_http"])
def test_unknown_exporter_is_reported(otlp: SetVariable, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", f"console,{name}")
    warnings: list[str] = []
    assert settings.exporters("traces", warnings.append) == {"console"}
    [message] = warnings
    assert f"OTEL_TRACES_EXPORTER='console,{name}': configure() does not support '{name}'" in message
    assert "expected otlp, console, both or none" in message


def test_otlp_without_an_endpoint_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    warnings: list[str] = []
    assert settings.exporters("traces", warnings.append) == set()
    [message] = warnings
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is not set" in message


def test_configuration_file_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_CONFIG_FILE", "otel.yaml")
    warnings: list[str] = []
    settings.exporters("traces", warnings.append)
    [message] = warnings
    assert "does not read OTEL_CONFIG_FILE" in message


def test_metric_interval_is_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", " 2500 ")
    assert settings.metric_export_interval() == 2.5


@pytest.mark.parametrize("name", ["INTERVAL", "TIMEOUT"])
def test_wrong_metric_interval_error_shows_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"OTEL_METRIC_EXPORT_{name}", "60s")
    with pytest.raises(ValueError, match=f"OTEL_METRIC_EXPORT_{name}='60s': .* milliseconds"):
        settings.metric_export_interval()


@pytest.mark.parametrize("text", ["100.5", "0", "-1", "many", "inf"])
@pytest.mark.parametrize("name", ["MAX_QUEUE_SIZE", "SCHEDULE_DELAY", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT"])
def test_wrong_batch_setting_error_shows_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"OTEL_BSP_{name}", text)
    with pytest.raises(ValueError, match=f"OTEL_BSP_{name}='{text}': .* positive integer"):
        settings.batch_settings()


def test_batch_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MAX_QUEUE_SIZE", "100"), ("SCHEDULE_DELAY", " 50 "), ("MAX_EXPORT_BATCH_SIZE", "20")):
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    assert settings.batch_settings() == BatchSettings(100, 50, 20)


@pytest.mark.parametrize(
    ("name", "value", "is_named"),
    [
        ("OTEL_SERVICE_NAME", "nightly", True),
        ("OTEL_RESOURCE_ATTRIBUTES", "host=a, service.name = nightly", True),
        ("OTEL_RESOURCE_ATTRIBUTES", "foo.service.name=x,service.name.x=y", False),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=", False),
        ("OTEL_RESOURCE_ATTRIBUTES", "host=service.name=x", False),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.service.name=b,service.name=x", True),
        ("OTEL_RESOURCE_ATTRIBUTES", "service%2Ename=x,service.name", False),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=%20", False),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,service.name=", False),
    ],
)
def test_service_name_is_read_as_the_sdk_reads_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, is_named: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert settings.service_is_named() == is_named


@pytest.mark.parametrize("service_name", ["nightly etl", None])
def test_published_configuration_can_be_read(monkeypatch: pytest.MonkeyPatch, service_name: str | None) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_CHILDREN", "not published by a process")
    assert published.published_configuration() is None
    published.publish_configuration(service_name)
    assert published.published_configuration() == (os.getpid(), service_name)


def test_published_scrub_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_SCRUB", "not published by a process")
    assert published.published_scrub() is None
    published.publish_scrub("etl:hide")
    assert published.published_scrub() == (os.getpid(), "etl:hide")
    published.publish_scrub(None)
    assert published.published_scrub() is None


@pytest.mark.parametrize("empty", ["", " "])
def test_log_file_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", empty)
    assert settings.log_file() is None
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", " /var/log/kcevents.db ")
    assert settings.log_file() == "/var/log/kcevents.db"


@pytest.mark.parametrize(
    ("text", "retention", "max_age"),
    [
        ("", 100_000, None),
        (" ", 100_000, None),
        ("1", 1, None),
        ("0005000", 5000, None),
        ("90d", None, timedelta(days=90)),
        (" 12h ", None, timedelta(hours=12)),
        ("100000d", None, timedelta(days=100_000)),
    ],
)
def test_log_file_retention_is_a_count_or_an_age(
    monkeypatch: pytest.MonkeyPatch, text: str, retention: int | None, max_age: timedelta | None
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION", text)
    assert settings.log_file_retention() == (retention, max_age)


@pytest.mark.parametrize(
    "text", ["0", "-1", "0d", "1.5", "90 d", "90days", "2w", "d", "1e5", "100001d", "٣", "forever"]
)
def test_wrong_retention_error_shows_variable_and_value(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION", text)
    expected = f"OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION={re.escape(repr(text))}: .* such as 90d or 12h"
    with pytest.raises(ValueError, match=expected):
        settings.log_file_retention()


def test_published_log_file_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", "log.db")
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE_BY", "not published by a process")
    assert published.published_log_file() is None
    published.publish_log_file("/var/log/kcevents.db")
    assert (published.published_log_file(), settings.log_file()) == (os.getpid(), "/var/log/kcevents.db")
    published.publish_log_file(None)
    assert (published.published_log_file(), settings.log_file()) == (None, None)


@pytest.mark.parametrize(
    ("text", "measured"), [("true", True), ("True", True), ("FALSE", False), ("", None), (" ", None)]
)
def test_durations_are_measured_if_the_variable_says_so(
    monkeypatch: pytest.MonkeyPatch, text: str, measured: bool | None
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_DURATIONS", text)
    assert settings.durations() is measured


def test_wrong_durations_error_shows_variable_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_DURATIONS", "1")
    with pytest.raises(ValueError, match=r"OTEL_PYTHON_KCEVENTS_DURATIONS='1'.*true or false"):
        settings.durations()


@pytest.mark.parametrize("measured", [True, False])
def test_published_durations_can_be_read(monkeypatch: pytest.MonkeyPatch, measured: bool) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_DURATIONS", "")
    published.publish_durations(measured)
    assert settings.durations() is measured
