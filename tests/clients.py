"""Logs and clients for the tests of what is served: well-behaved clients and others."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from time import monotonic, sleep
from typing import Any, NamedTuple

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.model.window import Window
from otel_kcevents.serve.respond import LOG_PATH
from otel_kcevents.store.log import EventLog

GENEROUS = 20.0  # seconds after which a test that waits has failed


class Stage(EventLog):
    """A log that stands for another, so that one server serves the logs of many tests."""

    log: EventLog

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        return self.log.document(kinds, window, limit)


class Broken(EventLog):
    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        raise RuntimeError("the inner reason")


def filled() -> EventLog:
    log = EventLog()
    day = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
    for kind, time, size, failure in (
        ("AllocationSetTotaled", "2022-06-03T16:58:41.285759258Z", None, None),
        ("AllocationSetSaved", "2022-06-03T17:07:54.092619416Z", 97, None),
        ("AssetSetSaved", "2022-06-03T17:07:54.3346484Z", 29, None),
        ("AssetSetComputeError", "2022-06-04T00:00:00Z", None, Failure("ValueError", "größe 円 🙂 \x1b", "total")),
    ):
        log.append(Event(kind, parse_time(time), size, day, failure))
    return log


class Answer(NamedTuple):
    """An answer, with the names of its headers in small letters."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def message(self) -> str:
        """The message of a refusal, which gives its status a second time."""
        refusal = json.loads(self.body)
        assert list(refusal) == ["code", "message"]
        assert refusal["code"] == self.status
        return str(refusal["message"])


def low(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]


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
    """A client that sends bytes of its own."""
    with socket.create_connection(("127.0.0.1", port), GENEROUS, (source, 0)) as client:
        for data in sent:
            client.sendall(data)
        yield client


def ask_raw(port: int, sent: bytes) -> Answer:
    with connected(port, sent) as client:
        return parsed(read_all(client))


def read_all(client: socket.socket) -> bytes:
    """All until the other side ends the connection, however it does so."""
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
    """End a connection in the rudest way."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def wait_for(condition: Callable[[], object]) -> None:
    end = monotonic() + GENEROUS
    while not condition():
        assert monotonic() < end, "what was waited for did not happen"
        sleep(0.01)
