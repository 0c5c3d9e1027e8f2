"""Export to endpoints with every kind of fault, through the stock exporters."""

from __future__ import annotations

import re
import threading
from urllib.parse import urlsplit

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.grpc", reason="pip install opentelemetry-exporter-otlp to run these"
)
pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)

from conftest import wait_until
from faults import GRPC_FAULTS, HTTP_FAULTS
from opentelemetry.sdk.trace import TracerProvider
from waits import waited

from otel_kcevents.sdk import delivery as delivery_module
from otel_kcevents.sdk.delivery import Delivery
from otel_kcevents.sdk.otlp import otlp_client
from otel_kcevents.sdk.settings import BatchSettings, otlp_settings
from otel_kcevents.sdk.signals import SpanProcessor

FAULTS = [("http/protobuf", name) for name in HTTP_FAULTS] + [("grpc", name) for name in GRPC_FAULTS]
SECRETS = ("s3cret", "hunter2", "p%40ss", "p@ss")
EMITTED = 20
EXPORT = "kcevents-export-spans"
LOST = {"none": 0, "202 without a body": 0, "OTLP in JSON": 0, "partial success": 4, "partial success in JSON": 4}
"""How many spans each of these faults loses; the others lose all of them."""


@pytest.mark.parametrize(("protocol", "fault"), FAULTS, ids=[f"{protocol}: {name}" for protocol, name in FAULTS])
def test_losses_are_reported_for_every_endpoint_fault(
    protocol: str, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Emitted - reported <= accepted <= emitted; the end takes a limited time; no logged line has a secret."""
    # A busy machine has the time to export; without a success there is nothing to wait for.
    patience = 5.0 if fault in LOST else 0.15
    monkeypatch.setattr(delivery_module, "IDLE_TIMEOUT", patience)
    monkeypatch.setattr(delivery_module, "SHUTDOWN_TIMEOUT", 3 * patience)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret,x-tenant=hunter2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", str(patience))
    before = threading.enumerate()
    with (GRPC_FAULTS if protocol == "grpc" else HTTP_FAULTS)[fault]() as endpoint:
        address = urlsplit(endpoint.url).netloc
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url.replace("://", "://user:p%40ss@"))
        settings = otlp_settings("traces", print)
        delivery = Delivery()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(
            SpanProcessor(delivery, delivery.outbox("spans", otlp_client(settings)), BatchSettings())
        )
        delivery.start()
        for half in range(2):
            for number in range(EMITTED // 2):
                provider.get_tracer("test").start_span(f"{half}.{number}").end()
            provider.force_flush(int(patience * 500))
        begun = waited()
        delivery.end()
        lasted = waited() - begun
        provider.shutdown()
        delivery.close()
        taken = len(endpoint.taken)
    # An attempt that was abandoned must not log in the next test.
    wait_until(lambda: not [one for one in threading.enumerate() if one.name == EXPORT and one not in before])
    ours = [record.getMessage() for record in caplog.records if record.name == "otel_kcevents"]
    reports = [re.match(r"failed to export (\d+) span", line) for line in ours]
    lost = sum(int(report[1]) for report in reports if report)
    assert EMITTED - lost <= taken <= EMITTED
    assert lost == LOST.get(fault, EMITTED)
    assert lasted < 3 * patience + 2.0
    assert not [line for line in ours if any(secret in line for secret in SECRETS) or not line.isprintable()]
    assert all(address in line for line in ours if "endpoint" in line)
