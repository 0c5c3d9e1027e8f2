"""The embedded server's limits: no client harms the program or delays another client."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from time import thread_time

import pytest
from clients import Slow, ask_port, ask_raw, connected, filled, log_of, parsed, read_all, reset
from conftest import wait_until

from otel_kcevents import start_http_server
from otel_kcevents.model.document import LOG_PATH, Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.serve.respond import respond
from otel_kcevents.store.log import EventLog

REQUEST = b"GET /model/etl/log HTTP/1.1\r\n\r\n"
MEGABYTE = b"x" * (1 << 20)


def document_of(log: EventLog) -> bytes:
    return respond("GET", LOG_PATH, log=log).body


def large() -> EventLog:
    """A log whose document is larger than the socket buffers."""
    failure = Failure("E", "x" * (1 << 20))
    return log_of(*(Event("AssetSetComputeError", time, failure=failure) for time in range(16)))


# Requests that are not HTTP

WRONG = [
    (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, "16,384 bytes"),
    (b"GET /model/etl/log?kind=" + b"A," * 32_000 + b"A HTTP/1.1\r\n\r\n", 414, "16,384 bytes"),
    (b"GET / HTTP/1.1\r\nCookie: " + b"x" * 70_000 + b"\r\n\r\n", 431, "16,384 bytes"),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, "100 headers"),
    (b"GET / HTTP/1.1\r\n" + (b"A: " + b"x" * 1_000 + b"\r\n") * 3_000, 431, "16,384 bytes"),
    (b"\x00\x01\x02\xff\xfe\r\n\r\n", 400, "Bad request"),
    (b"GET /model/etl/log with spaces HTTP/1.1\r\n\r\n", 400, "with spaces"),
    (b"GET /model/etl/log HTTP/x\r\n\r\n", 400, "HTTP/x"),
    (b"POST /model/etl/log\r\n\r\n", 400, "POST"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "2.0"),
    (b"GET " + b"spaces " * 1_000 + b" HTTP/1.1\r\n\r\n", 400, "Bad request"),
]


@pytest.mark.parametrize(("sent", "status", "part"), WRONG, ids=[f"{status} {raw[:9]!r}" for raw, status, _ in WRONG])
def test_wrong_request_is_refused_in_json(port: int, sent: bytes, status: int, part: str) -> None:
    """The refusal is short, and has the form of all others."""
    answer = ask_raw(port, sent)
    assert answer.status == status
    assert part in answer.message
    assert answer.headers["content-length"] == str(len(answer.body))
    assert len(answer.body) < 400


def test_limit_of_the_headers_is_exact(log: EventLog) -> None:
    """A request that is exactly as long as allowed is answered; one byte more is too long."""
    with start_http_server(0, log=log, max_header_bytes=256) as server:
        request = REQUEST.replace(b"\r\n\r\n", b"\r\nX: %b\r\n\r\n")
        longest = request % (b"x" * (256 - len(request % b"")))
        assert ask_raw(server.port, longest).status == 200
        assert ask_raw(server.port, longest.replace(b"xx", b"xxx", 1)).status == 431


def test_request_without_version_is_answered(port: int, log: EventLog) -> None:
    """A request in HTTP/0.9, for example typed into `nc`, gets headers like any other."""
    assert ask_raw(port, b"GET /model/etl/log\r\n\r\n").body == document_of(log)


def test_connection_closed_without_request_is_ignored(port: int) -> None:
    with connected(port) as client:
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    assert ask_port(port).status == 200


@pytest.mark.parametrize("body", [MEGABYTE, [MEGABYTE[:4096]] * 256], ids=["with a length", "in chunks"])
def test_refusal_arrives_despite_an_unwanted_body(port: int, body: bytes | list[bytes]) -> None:
    """The body is read, so that its sender gets the whole refusal."""
    for _ in range(10):
        answer = ask_port(port, "POST", LOG_PATH, body=body)
        assert answer.status == 405
        assert "'POST' is not allowed" in answer.message


def test_endless_body_is_not_read_to_its_end(port: int) -> None:
    sent = 0
    with connected(port, b"POST /model/etl/log HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n") as client:
        try:
            while sent < 1 << 30:
                sent += client.send(MEGABYTE)
        except ConnectionError:
            pass
    assert sent < 64 << 20


# Slow clients


@pytest.mark.parametrize(
    ("log", "first", "rest"),
    [(filled(), b"", REQUEST), (filled(), REQUEST[:9], REQUEST[9:]), (large(), REQUEST, b"")],
    ids=["sends nothing", "stops midway", "does not read"],
)
def test_slow_client_does_not_delay_others(port: int, log: EventLog, first: bytes, rest: bytes) -> None:
    """Another client is answered meanwhile, and the slow one finally gets its whole response."""
    with connected(port, first) as client:
        assert ask_port(port, "HEAD").status == 200
        client.sendall(rest)
        assert parsed(read_all(client)).body == document_of(log)


def test_silent_client_is_disconnected(log: EventLog) -> None:
    with start_http_server(0, log=log, timeout=0.2) as server, connected(server.port) as client:
        assert read_all(client) == b""


def test_client_that_sends_too_slowly_is_disconnected(log: EventLog) -> None:
    """The time for a request is limited even if its bytes arrive regularly."""

    def is_disconnected() -> bool:
        try:
            client.sendall(b"G")
            return client.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    with start_http_server(0, log=log, timeout=0.2) as server, connected(server.port) as client:
        client.settimeout(0.01)
        wait_until(is_disconnected)


def test_client_that_never_reads_is_disconnected(debug: pytest.LogCaptureFixture) -> None:
    timeout = 2  # seconds, of which a busy machine needs some to write the document
    with start_http_server(0, log=large(), timeout=timeout) as server, connected(server.port, REQUEST) as client:
        wait_until(lambda: "failed" in debug.text)
        answer = parsed(read_all(client))
    assert len(answer.body) < int(answer.headers["content-length"])


def test_client_that_disconnects_early_affects_no_other() -> None:
    """Its connection is reset while its response is being prepared, and its timeout expires after that."""
    log = Slow()
    with start_http_server(0, log=log, timeout=0.1) as server:

        def disconnects_early() -> bool:
            """A busy machine may send the request after the timeout, and then there is no response."""
            with connected(server.port, REQUEST) as client:
                is_asked = log.asked.wait(1)
                reset(client)
            return is_asked

        wait_until(disconnects_early)
        with connected(server.port) as later:
            read_all(later)  # returns at this client's timeout, which is later than the first client's
        assert [ask_port(server.port, target="/x").status for _ in range(3)] == [404, 404, 404]
        log.go_on.set()


# Surplus connections and work


def test_surplus_connection_gets_a_503(log: EventLog) -> None:
    """The next one is served once another has ended."""
    with start_http_server(0, log=log, max_connections=2) as server:
        with connected(server.port) as first, connected(server.port), connected(server.port) as third:
            answer = parsed(read_all(third))
            assert answer.status == 503
            assert "is 2; try again, or raise max_connections" in answer.message
            assert answer.headers["retry-after"] == "1"
            first.sendall(REQUEST)
            assert parsed(read_all(first)).status == 200
        wait_until(lambda: ask_port(server.port).status == 200)


def test_surplus_request_gets_a_503(log: EventLog) -> None:
    """A client that has sent its request gets the refusal, not a reset connection."""
    with start_http_server(0, log=log, max_connections=1) as server, connected(server.port):
        assert [ask_port(server.port).status for _ in range(10)] == [503] * 10


def test_connections_of_one_client_are_limited(log: EventLog) -> None:
    """A client at its limit is refused; another client is answered."""
    with start_http_server(0, log=log, max_connections_per_client=1) as server, connected(server.port):
        answer = ask_port(server.port)
        assert answer.status == 503
        assert "from 127.0.0.1 is 1; close one, or raise max_connections_per_client" in answer.message
        try:
            with connected(server.port, REQUEST, source="127.0.0.2") as other:
                second = parsed(read_all(other))
        except OSError:
            pytest.skip("this machine has one loopback address")
        assert second.status == 200


class Busy(EventLog):
    """A log whose documents take 150 ms of CPU time."""

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        end = thread_time() + 0.15
        while thread_time() < end:
            pass
        return super().document(kinds, window, limit)


def test_cpu_time_over_the_limit_delays_the_next_client() -> None:
    """Connections are not answered until the load since the first request is back under `max_load`."""
    with start_http_server(0, log=Busy(), max_load=0.001) as server:  # 100 ms too many delay the next for 100 s
        assert ask_raw(server.port, REQUEST).status == 200
        with connected(server.port, REQUEST) as client:
            client.settimeout(1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            server.close()  # does not wait for the delay
            assert read_all(client) == b""


def test_delayed_client_is_answered() -> None:
    with start_http_server(0, log=Busy(), max_load=0.5) as server:
        assert [ask_raw(server.port, REQUEST).status for _ in range(3)] == [200, 200, 200]


# The program's log


def test_broken_connection_is_logged_at_debug(
    port: int, debug: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is not reported anywhere else."""
    with connected(port, b"GET /model/etl/log HTTP/1.1\r\n") as client:
        reset(client)
    wait_until(lambda: "failed" in debug.text)
    assert ask_port(port).status == 200
    assert capfd.readouterr() == ("", "")
    assert {record.levelname for record in debug.records} == {"DEBUG"}


def test_request_is_logged_short_and_printable(port: int, debug: pytest.LogCaptureFixture) -> None:
    """A request cannot write lines, colours or long texts into the program's log."""
    ask_raw(port, b"GET /\x1b[31m" + b"x" * 4_000 + b" HTTP/1.1\r\n\r\n")
    [message] = [record.getMessage() for record in debug.records if "31mxxx" in record.getMessage()]
    assert r"/\x1b[31mxxx" in message
    assert len(message) < 250
