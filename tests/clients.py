"""Logs, servers and clients for the tests of serving and of reading over HTTP, including misbehaving ones."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.client import HTTPConnection
from socketserver import StreamRequestHandler, TCPServer
from threading import Event as Flag
from threading import Thread
from typing import Any, NamedTuple

from otel_kcevents.model.document import LOG_PATH, Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog

GENEROUS = 60.0  # seconds after which a test that waits has failed


class Stage:
    """A source that stands for another, so that one server serves the logs of many tests."""

    log: Any = EventLog()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)  # the optional methods of a source

    def counts(self) -> Any:
        return self.log.counts()

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Any:
        return self.log.document(kinds, window, limit)


class Broken:
    """A source that cannot be read."""

    def counts(self) -> dict[str, int]:
        raise RuntimeError("the inner reason")

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        raise RuntimeError("the inner reason")


class Slow(EventLog):
    """A log whose documents wait until the test sets `go_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Flag()
        self.go_on = Flag()
        self.documents = 0

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        self.asked.set()
        self.go_on.wait(GENEROUS)
        self.documents += 1
        return super().document(kinds, window, limit)


def shown_time(ns: int) -> str:
    """A time as the tables show it, in milliseconds."""
    return f"{(datetime(1970, 1, 1) + timedelta(microseconds=ns // 1000)).isoformat(timespec='milliseconds')}Z"


def log_of(*events: Event, retention: int = 256) -> EventLog:
    log = EventLog(retention)
    for event in events:
        log.append(event)
    return log


DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
HOUR = Window("2022-06-03T10:00:00Z", "2022-06-03T11:00:00Z")
TOTALED = Event("AllocationSetTotaled", parse_time("2022-06-03T16:58:41.285759258Z"), None, DAY)
SAVED = Event("AllocationSetSaved", parse_time("2022-06-03T17:07:54.092619416Z"), 97, HOUR)
ASSETS = Event("AssetSetSaved", parse_time("2022-06-03T17:07:54.3346484Z"), 29, HOUR)
FAILED = Event(
    "AssetSetComputeError",
    parse_time("2022-06-04T00:00:00Z"),
    failure=Failure("ValueError", "größe 円 🙂 \x1b", "total"),
)


def filled() -> EventLog:
    return log_of(TOTALED, SAVED, ASSETS, FAILED)


class Answer(NamedTuple):
    """A response; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The message of a refusal."""
        refusal = json.loads(self.body)
        assert list(refusal) == ["code", "message"]
        assert refusal["code"] == self.status
        return str(refusal["message"])


def low(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    pairs = [(name.lower(), value) for name, value in headers]
    assert len(dict(pairs)) == len(pairs), "a header comes twice"
    return dict(pairs)


def ask_port(port: int, method: str = "GET", target: str = LOG_PATH, host: str = "127.0.0.1", **options: Any) -> Answer:
    connection = HTTPConnection(host, port, timeout=GENEROUS)
    try:
        connection.request(method, target, **options)
        response = connection.getresponse()
        return Answer(response.status, low(response.getheaders()), response.read())
    finally:
        connection.close()


@contextmanager
def connected(port: int, *sent: bytes, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connected client that has sent these bytes."""
    with socket.create_connection(("127.0.0.1", port), GENEROUS, (source, 0)) as client:
        for data in sent:
            client.sendall(data)
        yield client


def ask_raw(port: int, sent: bytes) -> Answer:
    with connected(port, sent) as client:
        return parsed(read_all(client))


def read_all(client: socket.socket) -> bytes:
    """Read until the other side closes or resets the connection."""
    received = []
    try:
        while data := client.recv(1 << 16):
            received.append(data)
    except ConnectionError:
        pass
    return b"".join(received)


def parsed(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    assert first.startswith("HTTP/1.0 ")
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return Answer(int(first.split()[1]), low(pairs), body)


def reset(client: socket.socket) -> None:
    """Reset a connection instead of closing it."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@contextmanager
def closed_port(port: int = 0) -> Iterator[int]:
    """A port that refuses connections. Meanwhile, only a server that a test starts can use it."""
    with socket.socket() as held:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            held.setsockopt(socket.SOL_SOCKET, option, 1)
        held.bind(("127.0.0.1", port))
        yield int(held.getsockname()[1])


def raw_response(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


@contextmanager
def canned(response: bytes, *, drip: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of a server that answers every request with the same bytes, and the requests' lines so far.

    With *drip*, a space follows every 10 ms until the client disconnects.
    """
    received: list[str] = []
    closing = Flag()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline().strip():
                received.append(line.decode())
            try:
                self.wfile.write(response)
                while drip and not closing.wait(0.01):
                    self.wfile.write(b" ")
            except ConnectionError:
                pass

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            closing.set()
            server.shutdown()
            thread.join()
