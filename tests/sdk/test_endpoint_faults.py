"""What the export promises, held against each fault that an endpoint can have, with the stock exporters."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="pip install 'otel-kcevents[otlp]' to run these")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'otel-kcevents[otlp]' to run these")

from faults import GRPC_FAULTS, HTTP_FAULTS
from opentelemetry.sdk.trace import TracerProvider

from otel_kcevents.sdk import delivery as delivery_module
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.sdk.otlp import otlp_client
from otel_kcevents.sdk.settings import otlp_settings
from otel_kcevents.sdk.signals import SpanProcessor

FAULTS = [("http/protobuf", name) for name in HTTP_FAULTS] + [("grpc", name) for name in GRPC_FAULTS]
SECRETS = ("s3cret", "hunter2", "p%40ss", "p@ss")
EMITTED = 20
WHOLE = ("none", "202 without a body", "OTLP in JSON")
PARTIAL = ("partial success", "partial success in JSON")


@pytest.mark.parametrize(("protocol", "fault"), FAULTS, ids=[f"{protocol}: {name}" for protocol, name in FAULTS])
def test_an_endpoint_with_a_fault(
    protocol: str, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Emitted - reported lost <= taken <= emitted, a bounded end, and no secret in a line of ours."""
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", 1.0)
    monkeypatch.setattr(delivery_module, "SHUTDOWN_TIMEOUT", 3.0)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret,x-tenant=hunter2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    open_endpoint: Callable[[], Any] = (GRPC_FAULTS if protocol == "grpc" else HTTP_FAULTS)[fault]
    with open_endpoint() as endpoint:
        scheme, rest = endpoint.url.split("://")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{scheme}://user:p%40ss@{rest}")
        delivery = Delivery()
        settings = otlp_settings("traces")
        assert settings is not None
        processor = SpanProcessor(delivery, delivery.outbox("spans", otlp_client(settings)))
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        delivery.start()
        for half in range(2):
            for number in range(EMITTED // 2):
                provider.get_tracer("test").start_span(f"{half}.{number}").end()
            provider.force_flush(200)
        begun = monotonic()
        delivery.end()
        lasted = monotonic() - begun
        provider.shutdown()
        delivery.close()
        taken = len(endpoint.taken)
    ours = [record.getMessage() for record in caplog.records if record.name == "otel_kcevents"]
    said = [re.match(r"(\d+) spans were not exported", line) for line in ours]
    lost = sum(int(found[1]) for found in said if found)
    assert EMITTED - lost <= taken <= EMITTED
    assert lost == (0 if fault in WHOLE else 4 if fault in PARTIAL else EMITTED)
    assert lasted < 3.0 + 2.0
    assert not [line for line in ours if any(secret in line for secret in SECRETS) or not line.isprintable()]
    assert all(urlsplit(endpoint.url).netloc in line for line in ours if "endpoint" in line)
