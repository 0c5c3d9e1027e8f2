"""Real OTLP receivers, for gRPC and HTTP, that keep what programs export to them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import sleep
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

COUNTER = "kubecost.etl.events"
_MAX_BODY = 4 * 2**20  # bytes, gRPC's own default
_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 413,
    grpc.StatusCode.UNAVAILABLE: 503,
}


@dataclass
class Received:
    """What a receiver got, the environment that makes a program export to it, and the faults to simulate."""

    environment: dict[str, str] = field(default_factory=dict)
    traces: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)
    slow: float = 0.0
    """Seconds after which the first request with spans is refused."""
    busy: bool = False
    """Whether the first request with spans is refused."""
    slow_metrics: float = 0.0
    """Seconds that each request with metrics waits."""
    refused_metrics: int = 0
    """How many requests with metrics are refused."""
    metrics_arrived: Event = field(default_factory=Event)
    """Set when a request with metrics has arrived."""

    def take_traces(self, request: Any) -> grpc.StatusCode:
        """Keep or refuse a request, and return the status to answer with."""
        if not (self.slow or self.busy):
            self.traces.append(request)
            return grpc.StatusCode.OK
        pause, self.slow, self.busy = self.slow, 0.0, False
        sleep(pause)
        return grpc.StatusCode.UNAVAILABLE

    def take_metrics(self, request: Any) -> grpc.StatusCode:
        """Keep or refuse a request, and return the status to answer with."""
        self.metrics_arrived.set()
        sleep(self.slow_metrics)
        if self.refused_metrics:
            self.refused_metrics -= 1
            return grpc.StatusCode.UNAVAILABLE
        self.metrics.append(request)
        return grpc.StatusCode.OK

    @property
    def spans(self) -> list[Any]:
        """Every span, in the order received."""
        return [
            span
            for request in self.traces
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    @property
    def events(self) -> list[Any]:
        """Every event of this package."""
        return [event for span in self.spans for event in span.events if "kcevents.kind" in attributes(event)]

    @property
    def counted_points(self) -> list[int]:
        """The counter's values in all exports, in the order received."""
        return [count for metric in self._counted() for count in _points(metric[1]).values()]

    @property
    def counters(self) -> dict[str, dict[tuple[str, str], int]]:
        """The counter's last value by process (`service.instance.id`), then by etl and event."""
        found: dict[str, dict[tuple[str, str], int]] = {}
        for process, metric in self._counted():
            found.setdefault(process, {}).update(_points(metric))
        return found

    def _counted(self) -> Iterator[tuple[str, Any]]:
        for request in self.metrics:
            for of_resource in request.resource_metrics:
                process = str(attributes(of_resource.resource)["service.instance.id"])
                for of_scope in of_resource.scope_metrics:
                    yield from ((process, metric) for metric in of_scope.metrics if metric.name == COUNTER)

    @property
    def total(self) -> dict[tuple[str, str], int]:
        """The counter's last values, summed over the processes."""
        total: dict[tuple[str, str], int] = {}
        for counts in self.counters.values():
            for key, count in counts.items():
                total[key] = total.get(key, 0) + count
        return total


def _points(metric: Any) -> dict[tuple[str, str], int]:
    pairs = ((attributes(point), point.as_int) for point in metric.sum.data_points)
    return {(found["etl"], found["event"]): count for found, count in pairs}


def attributes(message: Any) -> dict[str, Any]:
    """The attributes of a protobuf message as plain values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in message.attributes}


@contextmanager
def grpc_receiver(port: int = 0) -> Iterator[Received]:
    """A gRPC receiver on loopback."""
    received = Received()

    class Traces(trace_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            context.set_code(received.take_traces(request))
            return trace_pb2.ExportTraceServiceResponse()

    class Metrics(metrics_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            context.set_code(received.take_metrics(request))
            return metrics_pb2.ExportMetricsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call,unused-ignore]
    metrics_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)  # type: ignore[no-untyped-call,unused-ignore]
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    received.environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    try:
        yield received
    finally:
        server.stop(None).wait()


@contextmanager
def http_receiver(port: int = 0) -> Iterator[Received]:
    """An HTTP/protobuf receiver on loopback."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if len(body) > _MAX_BODY:
                answer = grpc.StatusCode.RESOURCE_EXHAUSTED
            elif self.path == "/v1/traces":
                answer = received.take_traces(trace_pb2.ExportTraceServiceRequest.FromString(body))
            else:
                answer = received.take_metrics(metrics_pb2.ExportMetricsServiceRequest.FromString(body))
            self.send_response(_STATUS[answer])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    received.environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
