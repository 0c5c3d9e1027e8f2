"""Clients of the stock exporters: what they send, and the results that they return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.grpc", reason="pip install opentelemetry-exporter-otlp to run these"
)
pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)

from conftest import SetVariable
from faults import Endpoint, raw_endpoint
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from receivers import grpc_receiver

from otel_kcevents.sdk.otlp import OtlpClient, otlp_client
from otel_kcevents.sdk.settings import Signal, otlp_settings


def client(signal: Signal = "traces") -> OtlpClient:
    return otlp_client(otlp_settings(signal, print))


def send(client: OtlpClient) -> int | None:
    """Send one span, and close the client."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("span").end()
    spans: list[ReadableSpan] = list(exporter.get_finished_spans())
    try:
        return client.send(spans, context.get_current())
    finally:
        client.close()


@pytest.fixture
def requests() -> Iterator[tuple[Endpoint, list[str]]]:
    """An HTTP endpoint that accepts everything, and the heads of its requests in lower case."""
    heads: list[str] = []

    def behave(endpoint: Endpoint, connection: Any) -> None:
        stream = connection.makefile("rb")
        head = b"".join(iter(stream.readline, b"\r\n")).decode().lower()
        stream.read(int(head.partition("content-length:")[2].split()[0]))
        heads.append(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with raw_endpoint(behave) as endpoint:
        yield endpoint, heads


@pytest.mark.parametrize(("compression", "encoding"), [("none", None), ("gzip", "gzip"), ("Deflate", "deflate")])
def test_http_request_follows_the_settings(
    otlp: SetVariable, requests: tuple[Endpoint, list[str]], compression: str, encoding: str | None
) -> None:
    endpoint, heads = requests
    otlp("ENDPOINT", endpoint.url.replace("//", "//me:pass@"))
    otlp("COMPRESSION", compression)
    assert send(client()) == 0
    [head] = heads
    assert head.startswith("post /v1/traces ")
    assert "authorization: basic bwu6cgfzcw==" in head
    assert ("content-encoding" in head) == bool(encoding)
    assert not encoding or f"content-encoding: {encoding}" in head


@pytest.mark.parametrize("compression", ["none", "GZIP"])
def test_grpc_compression_follows_the_settings(otlp: SetVariable, compression: str) -> None:
    """The stock exporter itself does not accept `none`."""
    otlp("PROTOCOL", "grpc")
    otlp("COMPRESSION", compression)
    with grpc_receiver() as received:
        otlp("ENDPOINT", received.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
        assert send(client()) == 0
    assert len(received.spans) == 1


def test_header_takes_precedence_over_user_info(otlp: SetVariable, requests: tuple[Endpoint, list[str]]) -> None:
    endpoint, heads = requests
    otlp("ENDPOINT", endpoint.url.replace("//", "//me:pass@"))
    otlp("HEADERS", "authorization=Bearer%20token")
    assert send(client()) == 0
    assert "authorization: bearer token" in heads[0]
    assert "basic" not in heads[0]


def test_credential_provider_is_loaded_by_the_exporter(otlp: SetVariable, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is missing here, which the stock exporter reports."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER", "missing_provider")
    with pytest.raises(RuntimeError, match="missing_provider"):
        client()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_data_that_cannot_be_encoded_warns_once(
    otlp: SetVariable, protocol: str, signal: Signal, caplog: pytest.LogCaptureFixture
) -> None:
    otlp("PROTOCOL", protocol)
    made = client(signal)
    for _ in range(2):
        assert made.send(["neither a span nor metrics"], context.get_current()) is None
    made.close()
    ours = [record.getMessage() for record in caplog.records if record.name == "otel_kcevents"]
    # The exporter over HTTP of 1.45 logs the error itself.
    assert ours in ([], ["the OTLP exporter raised AttributeError; the data stays buffered"])
