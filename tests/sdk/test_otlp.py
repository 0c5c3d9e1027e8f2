"""How the environment's settings become clients of the stock exporters, and what is refused."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="pip install 'otel-kcevents[otlp]' to run these")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'otel-kcevents[otlp]' to run these")

from faults import Endpoint, raw_endpoint
from opentelemetry import context
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_kcevents.sdk.otlp import OtlpClient, otlp_client, positive_setting

Warned = Callable[[], list[str]]
PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Sets `OTEL_EXPORTER_OTLP_…`; by default HTTP to a port where nobody listens."""

    def set_variable(name: str, value: str) -> None:
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)

    set_variable("ENDPOINT", "http://127.0.0.1:1")
    set_variable("PROTOCOL", "http/protobuf")
    return set_variable


def traces() -> OtlpClient:
    client = otlp_client("trace", SpanExportResult.SUCCESS)
    assert client is not None
    return client


def finished(name: str = "span") -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span(name).end()
    return list(exporter.get_finished_spans())


@pytest.fixture
def received() -> Iterator[tuple[Endpoint, list[str]]]:
    """An HTTP endpoint that takes everything, and the heads of the requests that came."""
    heads: list[str] = []

    def behave(endpoint: Endpoint, connection: Any) -> None:
        stream = connection.makefile("rb")
        lines = list(iter(stream.readline, b"\r\n"))
        heads.append(b"".join(lines).decode())
        length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
        stream.read(length)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with raw_endpoint(behave) as endpoint:
        yield endpoint, heads


def send(client: OtlpClient, data: Any = None) -> int | None:
    try:
        return client.send(finished() if data is None else data, context.get_current())
    finally:
        client.close()


def test_the_general_endpoint_gets_the_signals_path(
    setting: Callable[[str, str], None], received: tuple[Endpoint, list[str]]
) -> None:
    for ending in ("", "/", "/base"):
        setting("ENDPOINT", received[0].url + ending)
        assert send(traces()) == 0
    paths = [head.split()[1] for head in received[1]]
    assert paths == ["/v1/traces", "/v1/traces", "/base/v1/traces"]


def test_the_signals_own_endpoint_stays_as_it_is(
    setting: Callable[[str, str], None], received: tuple[Endpoint, list[str]]
) -> None:
    setting("TRACES_ENDPOINT", f"{received[0].url}/own?x=1")
    assert send(traces()) == 0
    assert received[1][0].split()[1] == "/own?x=1"


def test_user_info_becomes_basic_authentication(
    setting: Callable[[str, str], None], received: tuple[Endpoint, list[str]]
) -> None:
    setting("ENDPOINT", received[0].url.replace("//", "//me:p%40ss@"))
    client = traces()
    assert client.endpoint == received[0].url
    assert send(client) == 0
    assert f"authorization: basic {b64encode(b'me:p@ss').decode()}".lower() in received[1][0].lower()


def test_any_byte_may_be_in_a_password(
    setting: Callable[[str, str], None], received: tuple[Endpoint, list[str]]
) -> None:
    setting("ENDPOINT", received[0].url.replace("//", "//me:p\udcff@"))
    assert send(traces()) == 0
    assert b64encode(b"me:p\xff").decode().lower() in received[1][0].lower()


def test_a_header_goes_before_user_info(
    setting: Callable[[str, str], None], received: tuple[Endpoint, list[str]]
) -> None:
    setting("ENDPOINT", received[0].url.replace("//", "//me:pass@"))
    setting("HEADERS", "authorization=Bearer%20token")
    assert send(traces()) == 0
    assert "authorization: bearer token" in received[1][0].lower()
    assert "basic" not in received[1][0].lower()


def test_user_info_over_grpc_is_not_sent_and_said(setting: Callable[[str, str], None], warned: Warned) -> None:
    setting("PROTOCOL", "grpc")
    setting("ENDPOINT", "me:pass@127.0.0.1:1")
    client = traces()
    client.close()
    assert client.endpoint == "grpc://127.0.0.1:1"
    [message] = warned()
    assert "OTEL_EXPORTER_OTLP_HEADERS" in message
    assert "pass@" not in message


@pytest.mark.parametrize("name", ["HTTP", "HTTP_TRACES"])
def test_a_credential_provider_makes_its_own_session(
    setting: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The stock exporter loads it, so that it is missed here."""
    monkeypatch.setenv(f"OTEL_PYTHON_EXPORTER_OTLP_{name}_CREDENTIAL_PROVIDER", "missing_provider")
    setting("ENDPOINT", "http://me:pass@127.0.0.1:1")
    with pytest.raises(RuntimeError, match="missing_provider"):
        traces()


@pytest.mark.parametrize("signal", ["trace", "metric"])
@PROTOCOLS
def test_an_empty_setting_is_an_unset_one(setting: Callable[[str, str], None], protocol: str, signal: str) -> None:
    setting("PROTOCOL", protocol)
    for name in (
        "TIMEOUT",
        "TRACES_TIMEOUT",
        "METRICS_TIMEOUT",
        "HEADERS",
        "TRACES_ENDPOINT",
        "METRICS_ENDPOINT",
        "COMPRESSION",
    ):
        setting(name, "")
    success = SpanExportResult.SUCCESS if signal == "trace" else MetricExportResult.SUCCESS
    client = otlp_client(signal, success)
    assert client is not None
    client.close()
    setting("ENDPOINT", " ")
    assert otlp_client(signal, success) is None


@pytest.mark.parametrize("text", ["10s", "0", "-1", "nan", "ten"])
@pytest.mark.parametrize("name", ["TIMEOUT", "TRACES_TIMEOUT"])
def test_a_wrong_timeout_is_named_and_shown(setting: Callable[[str, str], None], name: str, text: str) -> None:
    setting(name, text)
    with pytest.raises(ValueError, match=rf"OTEL_EXPORTER_OTLP_{name}='{text}' is not .* seconds .*; set one"):
        traces()


def test_a_number_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERVAL", " 2.5 ")
    assert positive_setting("INTERVAL", 60, "seconds") == 2.5


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
def test_malformed_headers_are_named_and_not_shown(
    setting: Callable[[str, str], None], protocol: str, name: str, text: str
) -> None:
    setting("PROTOCOL", protocol)
    setting(name, f"x-tenant=cret-tenant,{text}")
    with pytest.raises(ValueError, match=f"OTEL_EXPORTER_OTLP_{name} is malformed; expected name=value") as raised:
        traces()
    assert "cret" not in str(raised.value).replace("secret", "")


@pytest.mark.parametrize("text", ["x!y=s3cret", "x-bin=s3cret"])
def test_headers_that_grpc_cannot_send_are_refused(setting: Callable[[str, str], None], text: str) -> None:
    setting("HEADERS", text)
    traces().close()
    setting("PROTOCOL", "grpc")
    with pytest.raises(ValueError, match="HEADERS is malformed"):
        traces()


@pytest.mark.parametrize("text", ["a=b", "A-b=c%20d, x = y z ,", "api-key=a==", "a="])
def test_headers_as_opentelemetry_reads_them_pass(setting: Callable[[str, str], None], text: str) -> None:
    setting("HEADERS", text)
    traces().close()


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
def test_a_malformed_endpoint_is_refused_and_not_shown(
    setting: Callable[[str, str], None], protocol: str, text: str
) -> None:
    setting("PROTOCOL", protocol)
    setting("ENDPOINT", text)
    with pytest.raises(ValueError, match=r"ENDPOINT is not a URL .* such as http://localhost:431") as raised:
        traces()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://[::1]:4317/x?token=s3cret", "http://::1:4317"),
        ("localhost:4317", "grpc://localhost:4317"),
        ("http://ho\x1bst", "http://ho?st"),
    ],
)
def test_messages_show_scheme_host_and_port_alone(setting: Callable[[str, str], None], text: str, shown: str) -> None:
    setting("PROTOCOL", "grpc")
    setting("ENDPOINT", text)
    client = traces()
    client.close()
    assert client.endpoint == shown


def test_a_metric_is_exported_too(setting: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    setting("ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    assert otlp_client("metric", MetricExportResult.SUCCESS) is None
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none, otlp")
    client = otlp_client("metric", MetricExportResult.SUCCESS)
    assert client is not None
    client.close()


def test_an_unknown_exporter_is_named(
    setting: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "oltp")
    assert otlp_client("trace", SpanExportResult.SUCCESS) is None
    [message] = warned()
    assert "OTEL_TRACES_EXPORTER='oltp'" in message
    assert "expected otlp or none" in message


@PROTOCOLS
def test_data_that_cannot_be_encoded_is_kept_and_said_once(
    setting: Callable[[str, str], None], protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    setting("PROTOCOL", protocol)
    client = traces()
    for _ in range(2):
        assert client.send(["not a span"], context.get_current()) is None
    client.close()
    ours = [record.getMessage() for record in caplog.records if record.name == "otel_kcevents"]
    assert ours in ([], ["the OTLP exporter raised AttributeError; the data is kept"])  # 1.45 logs it itself over HTTP


def test_a_missing_exporter_says_what_to_install(
    setting: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'otel-kcevents\\[otlp\\]'"):
        traces()
