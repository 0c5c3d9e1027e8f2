"""OTLP endpoints on loopback, each with one fault, that count the spans they accept nevertheless."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

HTML = b"<!doctype html><title>Sign in</title><p>Please sign in." + b" " * 5000
REJECTED = trace_pb2.ExportTraceServiceResponse()
REJECTED.partial_success.rejected_spans = 2
REJECTED.partial_success.error_message = "no room for Bearer s3cret\r\n"


@dataclass
class Endpoint:
    """An endpoint's URL, and the ids of the spans that it accepted."""

    url: str
    taken: set[bytes] = field(default_factory=set)
    closing: threading.Event = field(default_factory=threading.Event)

    def take(self, request: Any, reject: int = 0) -> None:
        """Accept the spans of a request, except for the first *reject*."""
        ids = [
            span.span_id
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]
        self.taken.update(ids[min(reject, len(ids)) :])

    def drip(self, connection: socket.socket, data: bytes) -> None:
        """Send 20 bytes a second until the client disconnects."""
        for byte in data:
            if self.closing.wait(0.05):
                return
            connection.sendall(bytes([byte]))


Behaviour = Callable[[Endpoint, socket.socket], None]


@contextmanager
def raw_endpoint(behave: Behaviour, scheme: str = "http") -> Iterator[Endpoint]:
    """A TCP server that calls *behave* for each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = Endpoint(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            behave(endpoint, connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()


def read_request(connection: socket.socket) -> Any:
    """Read one HTTP request, and return the OTLP request in its body."""
    stream = connection.makefile("rb")
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return trace_pb2.ExportTraceServiceRequest.FromString(stream.read(length))


def http(
    status: str, *headers: str, body: bytes = b"", take: bool = False, reject: int = 0, framing: str = "length"
) -> Behaviour:
    """Answer each request with this response."""

    def behave(endpoint: Endpoint, connection: socket.socket) -> None:
        request = read_request(connection)
        if take:
            endpoint.take(request, reject)
        length = [f"Content-Length: {len(body)}"] if framing == "length" else []
        head = "\r\n".join([f"HTTP/1.1 {status}", *headers, *length, "Connection: close", "", ""])
        connection.sendall(head.encode("latin-1") + body)

    return behave


def drips(before: bytes, dripping: bytes) -> Behaviour:
    """Answer each request with bytes that are sent at once, and others that are sent one by one."""

    def behave(endpoint: Endpoint, connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(before)
        endpoint.drip(connection, dripping)

    return behave


def black_hole(endpoint: Endpoint, connection: socket.socket) -> None:
    """Never answer."""
    endpoint.closing.wait()


def garbage(endpoint: Endpoint, connection: socket.socket) -> None:
    """Answer with bytes that are not HTTP or gRPC, including a secret and control characters."""
    connection.recv(1 << 16)
    connection.sendall(b"\x00\xff\x1b[31m s3cret \r\n\r\n" * 50)


def reset(endpoint: Endpoint, connection: socket.socket) -> None:
    """Reset the connection after the first byte."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drip_frames(endpoint: Endpoint, connection: socket.socket) -> None:
    """Send the settings of HTTP/2, and then pings byte by byte."""
    connection.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    endpoint.drip(connection, b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" * 1000)


def _url(*parts: str) -> Callable[[], Any]:
    @contextmanager
    def endpoint() -> Iterator[Endpoint]:
        yield Endpoint("".join(parts))

    return endpoint


def _raw(behave: Behaviour, scheme: str = "http") -> Callable[[], Any]:
    return lambda: raw_endpoint(behave, scheme)


LONG_NAME = "n" * 64 + ".example"  # no resolver is asked for a label of more than 63 characters

HTTP_FAULTS: dict[str, Callable[[], Any]] = {
    "none": _raw(http("200 OK", take=True)),
    "202 without a body": _raw(http("202 Accepted", take=True, framing="end")),
    "OTLP in JSON": _raw(http("200 OK", "Content-Type: application/json", body=b'{"partialSuccess":{}}', take=True)),
    **{
        status: _raw(http(f"{status} Reason"))
        for status in ("400", "401", "403", "404", "408", "413", "429", "500", "502", "503", "504")
    },
    **{
        f"{status}, Retry-After {seconds}": _raw(http(f"{status} Reason", f"Retry-After: {seconds}"))
        for status, seconds in (("429", 0), ("503", 1), ("503", 3600), ("503", "soon"))
    },
    **{
        status: _raw(http(f"{status} Moved", "Location: http://user:hunter2@127.0.0.1:1/v1/traces"))
        for status in ("301", "302", "303", "307", "308")
    },
    "304": _raw(http("304 Not Modified", framing="end")),
    "199": _raw(http("199 Odd", framing="end")),
    "HTML": _raw(http("200 OK", "Content-Type: text/html", body=HTML)),
    "HTML that says it is protobuf": _raw(http("200 OK", "Content-Type: application/x-protobuf", body=HTML)),
    "a JSON list": _raw(http("200 OK", "Content-Type: application/json", body=b"[1]")),
    "bytes that are not UTF-8 as JSON": _raw(http("200 OK", "Content-Type: application/json", body=b"\xff\xfe{")),
    "partial success": _raw(
        http("200 OK", "Content-Type: application/x-protobuf", body=REJECTED.SerializeToString(), take=True, reject=2)
    ),
    "partial success in JSON": _raw(
        http(
            "200 OK",
            "Content-Type: application/json; charset=utf-8",
            body=json.dumps({"partialSuccess": {"rejectedSpans": "2", "new": 1}}).encode(),
            take=True,
            reject=2,
        )
    ),
    "a body of 2 MiB": _raw(http("200 OK", "Content-Type: application/x-protobuf", body=bytes(1 << 21))),
    "a gzip bomb": _raw(http("200 OK", "Content-Encoding: gzip", body=gzip.compress(bytes(1 << 26)))),
    "an endless body": _raw(http("200 OK", framing="end", body=bytes(1 << 23))),
    "a body that breaks off": _raw(http("200 OK", "Content-Length: 99", body=b"\x0a", framing="end")),
    "a black hole": _raw(black_hole),
    "a dripping body": _raw(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", bytes(9999))),
    "a body that drips late": _raw(
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + bytes(5000), bytes(4999))
    ),
    "dripping headers": _raw(drips(b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n" * 1000)),
    "garbage": _raw(garbage),
    "a reset": _raw(reset),
    "TLS to plain HTTP": _raw(http("200 OK"), "https"),
    "nobody": _url("http://127.0.0.1:1"),
    "an unknown host": _url("http://", LONG_NAME, ":4318"),
}


@contextmanager
def grpc_endpoint(code: grpc.StatusCode, *trailing: tuple[str, bytes]) -> Iterator[Endpoint]:
    """A gRPC server that ends each call with this status."""

    class Traces(trace_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            if code is grpc.StatusCode.OK:
                endpoint.take(request)
                return trace_pb2.ExportTraceServiceResponse()
            context.set_trailing_metadata(trailing)
            context.abort(code, "not taken: s3cret \x1b[31m")

    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_grpc.add_TraceServiceServicer_to_server(Traces(), server)  # type: ignore[no-untyped-call,unused-ignore]
    endpoint = Endpoint(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    try:
        yield endpoint
    finally:
        server.stop(None).wait()


def _grpc(code: grpc.StatusCode, *trailing: tuple[str, bytes]) -> Callable[[], Any]:
    return lambda: grpc_endpoint(code, *trailing)


RETRY_IN_AN_HOUR = ("google.rpc.retryinfo-bin", b"\x0a\x03\x08\x90\x1c")

GRPC_FAULTS: dict[str, Callable[[], Any]] = {
    "none": _grpc(grpc.StatusCode.OK),
    **{code.name: _grpc(code) for code in grpc.StatusCode if code is not grpc.StatusCode.OK},
    "UNAVAILABLE, retry in an hour": _grpc(grpc.StatusCode.UNAVAILABLE, RETRY_IN_AN_HOUR),
    "a black hole": _raw(black_hole),
    "dripping frames": _raw(drip_frames),
    "garbage": _raw(garbage),
    "a reset": _raw(reset),
    "HTTP/1.1": _raw(http("400 Bad Request")),
    "TLS to plain gRPC": _raw(black_hole, "https"),
    "nobody": _url("http://127.0.0.1:1"),
    "an unknown host": _url("http://", LONG_NAME, ":4317"),
}
