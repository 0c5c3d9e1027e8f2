"""Promises of the embedded server: it serves the log, and no client hurts the program."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from time import sleep, thread_time
from typing import Any
from urllib.request import urlopen

import pytest
from clients import (
    GENEROUS,
    Answer,
    Broken,
    Stage,
    ask_port,
    ask_raw,
    connected,
    filled,
    parsed,
    read_all,
    reset,
    wait_for,
)

from otel_kcevents import LogServer, start_http_server
from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.serve.respond import LOG_PATH, respond
from otel_kcevents.store.log import EventLog

REQUEST = b"GET /model/etl/log HTTP/1.1\r\n\r\n"
SAVED = Event("AssetSetSaved", 1, 5)


def document_of(log: EventLog) -> bytes:
    return respond("GET", LOG_PATH, log=log).body


@pytest.fixture
def log() -> EventLog:
    return filled()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[LogServer, Stage]]:
    """A server whose load and cache are not what is tested."""
    stage = Stage()
    with start_http_server(0, log=stage, cache_seconds=0, max_load=1, timeout=3 * GENEROUS) as server:
        yield server, stage


@pytest.fixture
def port(served: tuple[LogServer, Stage], log: EventLog) -> int:
    """The port of a running server of `log`."""
    server, stage = served
    stage.log = log
    return server.port


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "otel_kcevents")
    return caplog


# Its life


def test_port_0_takes_a_free_port(log: EventLog) -> None:
    """The port taken can be read from the server, and its `url` leads to the log."""
    with start_http_server(0, log=log) as server:
        assert server.url == f"http://127.0.0.1:{server.port}/model/etl/log"
        with urlopen(server.url, timeout=GENEROUS) as answer:
            assert answer.read() == document_of(log)


def test_leaving_the_with_frees_the_port(log: EventLog) -> None:
    """After it nothing listens there, and another server can, even though a client is still connected to the first."""
    with start_http_server(0, log=log) as server, connected(server.port):
        ask_port(server.port)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            ask_port(server.port)
        with start_http_server(server.port, log=log) as second:
            assert ask_port(second.port).status == 200


def test_close_ends_clients_that_say_nothing(log: EventLog) -> None:
    """A client that has a connection but has not asked is not waited for."""
    with start_http_server(0, log=log, timeout=3_600) as server, connected(server.port) as client:
        assert ask_port(server.port, "HEAD").status == 200  # so the connection before it was accepted
        server.close()
        assert read_all(client) == b""


def test_closing_twice_does_nothing(log: EventLog) -> None:
    """The second close returns, and leaves the port to whoever has it by then."""
    server = start_http_server(0, log=log)
    server.close()
    with start_http_server(server.port, log=log) as second:
        server.close()
        assert ask_port(second.port).status == 200


def test_port_in_use_is_named(port: int) -> None:
    """The error is an OSError that names the address and a way out."""
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}: .*; port 0 takes a free one"):
        start_http_server(port)


@pytest.mark.parametrize(("port", "addr"), [(70_000, "127.0.0.1"), (-1, "127.0.0.1"), (0, "256.0.0.1")])
def test_impossible_address_is_named(port: int, addr: str) -> None:
    """A port or an address that cannot exist is an OSError too, in the same form and with a number."""
    with pytest.raises(OSError, match=rf"\[Errno -?\d+\] .*{re.escape(addr)}:{port}: .*; port 0 takes a free one"):
        start_http_server(port, addr)


WRONG_ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"port": True}, TypeError, "port must be an integer such as 9003, or 0 for a free port, got True"),
    ({"addr": ""}, ValueError, "addr must be an address such as '127.0.0.1', or '0.0.0.0' for every one, got ''"),
    ({"addr": 5}, TypeError, "addr must be an address such as '127.0.0.1', or '0.0.0.0' for every one, got 5"),
    ({"port": "9003"}, TypeError, "port must be an integer such as 9003, or 0 for a free port, got '9003'"),
    ({"max_connections": 0}, ValueError, "max_connections must be an integer from 1 to 1024, got 0"),
    ({"max_connections": 2.5}, TypeError, "max_connections must be an integer from 1 to 1024, got 2.5"),
    ({"max_connections_per_client": True}, TypeError, "an integer from 1 to 1024, got True"),
    ({"max_header_bytes": 100}, ValueError, "max_header_bytes must be an integer from 256 to 65536, got 100"),
    ({"timeout": None}, TypeError, "timeout must be a number from 0.1 to 3600, got None"),
    ({"timeout": float("nan")}, ValueError, "timeout must be a number from 0.1 to 3600, got nan"),
    ({"cache_seconds": -1}, ValueError, "cache_seconds must be a number from 0 to 60, got -1"),
    ({"max_load": 0}, ValueError, "max_load must be a number from 0.001 to 1, got 0"),
    ({"allowed_hosts": "etl.example"}, TypeError, "allowed_hosts='etl.example' is a string; give a list"),
    ({"allowed_hosts": [9003]}, TypeError, "allowed_hosts has 9003; give strings such as 'etl.example'"),
    ({"allowed_hosts": ["http://etl"]}, ValueError, "'http://etl', which is not a host; give a name"),
    ({"allowed_hosts": ["*.example"]}, ValueError, "'*.example', which is not a host; give a name"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG_ARGUMENTS)
def test_wrong_argument_is_told_with_its_range(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """The error shows the value and what to give instead."""
    with pytest.raises(error, match=re.escape(message)):
        start_http_server(**{"port": 0, **arguments})


def test_ipv6_is_served(log: EventLog) -> None:
    """An IPv6 address can be given, and stands in brackets in the `url`."""
    try:
        server = start_http_server(0, "::1", log)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        assert server.url == f"http://[::1]:{server.port}/model/etl/log"
        with urlopen(server.url, timeout=GENEROUS) as answer:
            assert answer.status == 200


FORK = """
import os, socket, sys
from http.client import HTTPConnection
from otel_kcevents import EventLog, start_http_server

server, closed = (start_http_server(0, log=EventLog()) for _ in range(2))
closed.close()
client = socket.create_connection(("127.0.0.1", server.port))
second = HTTPConnection("127.0.0.1", server.port)
second.request("GET", "/")  # accepted after the first, which therefore is open now
second.getresponse().read()
from_child, to_parent = os.pipe()
from_parent, to_child = os.pipe()
if not (child := os.fork()):
    server.close()
    client.close()
    second.close()
    os.write(to_parent, b"closed")
    os.read(from_parent, 1)
    sys.exit()
assert os.read(from_child, 6) == b"closed"
server.close()
start_http_server(server.port, log=EventLog()).close()
assert client.recv(1) == b""
client.close()
second.close()
os.write(to_child, b".")
assert os.waitpid(child, 0)[1] == 0
print("free")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_child_does_not_hold_the_port() -> None:
    """In a child `close()` returns, and while the child lives its parent can take the port anew."""
    forking = "ignore:This process:DeprecationWarning"  # Python 3.12 warns of threads, which is what is tested
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", forking, "-c", FORK], capture_output=True, text=True, timeout=GENEROUS
    )
    assert (done.stdout, done.stderr, done.returncode) == ("free\n", "", 0)


# Requests that are none, and clients that take their time

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


@pytest.mark.parametrize(("sent", "status", "told"), WRONG, ids=[f"{status} {raw[:9]!r}" for raw, status, _ in WRONG])
def test_wrong_request_is_refused_in_json(port: int, sent: bytes, status: int, told: str) -> None:
    """What is not an HTTP request, or is too long, gets a short refusal in the form of all others, and at once."""
    answer = ask_raw(port, sent)
    assert answer.status == status
    assert told in answer.message
    assert answer.headers["content-length"] == str(len(answer.body))
    assert len(answer.body) < 400


def test_headers_end_exactly_at_the_limit(log: EventLog) -> None:
    """A request of as many bytes as are allowed is answered; one byte more is too long."""
    with start_http_server(0, log=log, max_header_bytes=256) as server:
        request = REQUEST.replace(b"\r\n\r\n", b"\r\nX: %b\r\n\r\n")
        longest = request % (b"x" * (256 - len(request % b"")))
        assert ask_raw(server.port, longest).status == 200
        assert ask_raw(server.port, longest.replace(b"xx", b"xxx", 1)).status == 431


def test_request_without_version_is_answered(port: int, log: EventLog) -> None:
    """HTTP/0.9, as someone may type it into `nc`, gets the log, with a head as any other."""
    assert ask_raw(port, b"GET /model/etl/log\r\n\r\n").body == document_of(log)


def test_connection_closed_without_request_is_ignored(port: int) -> None:
    """A connection that is closed unused, as health checks do, is not a request."""
    with connected(port) as client:
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    assert ask_port(port).status == 200


def large() -> EventLog:
    """A log whose document is more than a connection takes before somebody reads."""
    log = EventLog()
    for time in range(16):
        log.append(Event("AssetSetComputeError", time, failure=Failure("E", "x" * (1 << 20))))
    return log


@pytest.mark.parametrize(
    ("log", "first", "rest"),
    [(filled(), b"", REQUEST), (filled(), REQUEST[:9], REQUEST[9:]), (large(), REQUEST, b"")],
    ids=["says nothing", "stops midway", "does not read"],
)
def test_slow_client_keeps_nobody_waiting(port: int, log: EventLog, first: bytes, rest: bytes) -> None:
    """While a client takes its time, another gets its answer; and the slow one gets its own, whole, in the end."""
    with connected(port, first) as client:
        assert ask_port(port, "HEAD").status == 200
        client.sendall(rest)
        assert parsed(read_all(client)).body == document_of(log)


def test_silent_client_is_let_go(log: EventLog) -> None:
    """A client that connects and says nothing is let go when its time is up."""
    with start_http_server(0, log=log, timeout=0.2) as server, connected(server.port) as client:
        assert read_all(client) == b""


def test_client_that_drips_is_let_go(log: EventLog) -> None:
    """However regularly the bytes of a request come, its time ends."""
    with start_http_server(0, log=log, timeout=0.2) as server, connected(server.port) as client:
        client.settimeout(0.01)
        wait_for(lambda: dripped(client))


def dripped(client: socket.socket) -> bool:
    """Send one byte of an endless request; True where the other side has ended the connection."""
    try:
        client.sendall(b"G")
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_client_that_never_reads_is_let_go(debug: pytest.LogCaptureFixture) -> None:
    """A client that does not take its answer is let go when its time is up, with a part of it."""
    with start_http_server(0, log=large(), timeout=0.2) as server, connected(server.port, REQUEST) as client:
        wait_for(lambda: "broke" in debug.text)
        answer = parsed(read_all(client))
    assert len(answer.body) < int(answer.headers["content-length"])


class Slow(EventLog):
    """A log whose documents wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Flag()
        self.go_on = Flag()
        self.documents = 0

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        self.documents += 1
        self.asked.set()
        self.go_on.wait(GENEROUS)
        return super().document(kinds, window, limit)


def test_client_that_left_early_upsets_nobody() -> None:
    """A connection that is reset while its answer is made does not disturb the look at whose time is up."""
    log = Slow()
    with start_http_server(0, log=log, timeout=0.1) as server:
        with connected(server.port, REQUEST) as client:
            assert log.asked.wait(GENEROUS)
            reset(client)
        sleep(0.2)
        assert [ask_port(server.port, target="/").status for _ in range(3)] == [404, 404, 404]
        log.go_on.set()


# More than is good for the program


def test_surplus_connection_gets_a_503(log: EventLog) -> None:
    """One connection too many is refused at once, and has its chance again when another has ended."""
    with start_http_server(0, log=log, max_connections=2) as server:
        with connected(server.port) as first, connected(server.port), connected(server.port) as third:
            answer = parsed(read_all(third))
            assert answer.status == 503
            assert answer.message == "the limit of connections is 2; try again, or raise max_connections"
            assert answer.headers["retry-after"] == "1"
            first.sendall(REQUEST)
            assert parsed(read_all(first)).status == 200
        wait_for(lambda: ask_port(server.port).status == 200)


def test_surplus_request_gets_a_503(log: EventLog) -> None:
    """A client that has sent its request sees the refusal, not a reset connection."""
    with start_http_server(0, log=log, max_connections=1) as server, connected(server.port):
        assert [ask_port(server.port).status for _ in range(10)] == [503] * 10


def test_one_client_holds_few_connections(log: EventLog) -> None:
    """A client with as many connections as one may have is refused; another client is answered."""
    with start_http_server(0, log=log, max_connections_per_client=1) as server, connected(server.port):
        answer = ask_port(server.port)
        assert answer.status == 503
        assert "127.0.0.1 is 1; close one, or raise max_connections_per_client" in answer.message
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


def test_much_work_makes_the_next_client_wait() -> None:
    """After more CPU time than is free, connections are not answered until enough time has passed."""
    with start_http_server(0, log=Busy(), max_load=0.001) as server:  # 100 ms too many, made good in 100 s
        assert ask_raw(server.port, REQUEST).status == 200
        with connected(server.port, REQUEST) as client:
            client.settimeout(1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            server.close()  # does not wait for that time
            assert read_all(client) == b""


def test_client_that_waited_is_answered() -> None:
    """A connection that had to wait is served when the time has passed."""
    with start_http_server(0, log=Busy(), max_load=0.5) as server:
        assert [ask_raw(server.port, REQUEST).status for _ in range(3)] == [200, 200, 200]


MEGABYTE = b"x" * (1 << 20)


@pytest.mark.parametrize("body", [MEGABYTE, [MEGABYTE[:4096]] * 256], ids=["with a length", "in chunks"])
def test_refusal_survives_an_unwanted_body(port: int, body: bytes | list[bytes]) -> None:
    """A POST of a megabyte is read off, so that its sender gets to see the 405, whole."""
    for _ in range(10):
        answer = ask_port(port, "POST", LOG_PATH, body=body)
        assert answer.status == 405
        assert "'POST' is not allowed" in answer.message


def test_endless_body_is_not_read_to_its_end(port: int) -> None:
    """A body of a gigabyte is cut off after a small part of it."""
    sent = 0
    with connected(port, b"POST /model/etl/log HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n") as client:
        try:
            while sent < 1 << 30:
                sent += client.send(MEGABYTE)
        except ConnectionError:
            pass
    assert sent < 64 << 20


# The age of a document


def sizes(answer: Answer) -> list[int | None]:
    return [event.size for event in read_document(answer.body).lists["asset"]]


def test_full_document_is_kept_for_a_while() -> None:
    """Within `cache_seconds`, GET and HEAD of the full log are answered from one document."""
    log = EventLog()
    with start_http_server(0, log=log, cache_seconds=60) as server:
        first = ask_port(server.port, "HEAD")
        log.append(SAVED)
        assert ask_port(server.port, "HEAD").headers["content-length"] == first.headers["content-length"]
        answer = ask_port(server.port, target=f"{LOG_PATH}/?")
        assert sizes(answer) == []
        assert answer.headers["content-length"] == first.headers["content-length"]
        assert document_of(log) != answer.body  # `respond()` keeps nothing


def test_selected_document_is_new_each_time() -> None:
    """What a query selects is not kept."""
    log = EventLog()
    with start_http_server(0, log=log, cache_seconds=60) as server:
        assert sizes(ask_port(server.port, target=f"{LOG_PATH}?kind=Asset")) == []
        log.append(SAVED)
        assert sizes(ask_port(server.port, target=f"{LOG_PATH}?kind=Asset")) == [5]


def test_kept_document_grows_old() -> None:
    """By default, an event is shown soon."""
    log = EventLog()
    with start_http_server(0, log=log) as server:
        assert sizes(ask_port(server.port)) == []
        log.append(SAVED)
        wait_for(lambda: sizes(ask_port(server.port)) == [5])


def test_clients_at_once_share_one_document() -> None:
    """The log is asked once for the clients that come while a document is made."""
    log = Slow()
    with start_http_server(0, log=log, cache_seconds=60) as server, ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask_port, server.port) for _ in range(4)]
        assert log.asked.wait(GENEROUS)
        log.go_on.set()
        assert len({answer.result().body for answer in answers}) == 1
        assert log.documents == 1


# The host


def ask_host(port: int, *hosts: str, target: str = LOG_PATH) -> Answer:
    headers = "".join(f"Host: {host}\r\n" for host in hosts)
    return ask_raw(port, f"GET {target} HTTP/1.1\r\n{headers}\r\n".encode())


@pytest.fixture(scope="module")
def hosts_port() -> Iterator[int]:
    allowed = ["ETL.example.:9003", "192.0.2.7", "2001:db8::7", "[2001:db8::8]:80"]
    with start_http_server(0, log=EventLog(), allowed_hosts=allowed, max_load=1) as server:
        yield server.port


KNOWN_HOSTS = [
    *["127.0.0.1", "127.0.0.1:9003", "127.8.9.10", "[::1]", "[::1]:9003", "[0:0::1]", "[::ffff:127.0.0.1]"],
    *["localhost", "LOCALHOST.", "localhost:1", "localhost:", "etl.localhost"],
    *["etl.example", "Etl.Example:80", "192.0.2.7", "[2001:db8::7]", "[2001:DB8::8]", "[2001:db8::8%25eth0]"],
]
FOREIGN_HOSTS = [
    *["evil.example", "evil.example:9003", "localhost.evil.example", "127.evil.example", "xlocalhost"],
    *["192.0.2.1", "[2001:db8::1]", "0.0.0.0", "127.1", "example", "sub.etl.example"],
]
WRONG_HOSTS = [
    *["", "[::1", "::1", "[::g]", "[1.2.3.4]", "localhost:99999", "localhost:port", "localhost:-1"],
    *["user@localhost", "localhost,evil.example", "local host", "größe", "http://localhost"],
]


@pytest.mark.parametrize("host", KNOWN_HOSTS)
def test_known_host_is_answered(hosts_port: int, host: str) -> None:
    """Loopback in any spelling and what is in `allowed_hosts`, with any port."""
    assert ask_host(hosts_port, host).status == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_foreign_host_is_a_421(hosts_port: int, host: str) -> None:
    """The refusal shows the host and how to allow it."""
    answer = ask_host(hosts_port, host)
    assert answer.status == 421
    assert f"{host!r} is not a host of this server" in answer.message
    assert f"allowed_hosts=[{host!r}]" in answer.message


@pytest.mark.parametrize("host", WRONG_HOSTS)
def test_wrong_host_is_a_400(hosts_port: int, host: str) -> None:
    """What cannot be a host is shown with what was expected."""
    answer = ask_host(hosts_port, host)
    assert answer.status == 400
    assert "is not a host; expected a name or an IP address" in answer.message


def test_request_without_host_is_answered(hosts_port: int) -> None:
    """Tools that speak HTTP/1.0 send none; browsers always do."""
    assert ask_host(hosts_port).status == 200


def test_two_hosts_are_a_400(hosts_port: int) -> None:
    """One of them could be for somebody else's eyes."""
    answer = ask_host(hosts_port, "localhost", "localhost")
    assert answer.status == 400
    assert "2 Host headers; send one" in answer.message


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost:9003/model/etl/log?kind=AssetSetSaved", 200),
        ("HTTPS://etl.example/model/etl/log", 200),
        ("http://localhost/metrics", 404),
        ("http://localhost?kind=AssetSetSaved", 404),
        ("http://evil.example/model/etl/log", 421),
        ("http:///model/etl/log", 400),
    ],
)
def test_host_in_the_target_counts_too(hosts_port: int, target: str, status: int) -> None:
    """A target as a proxy sends it leads to the log, if its host is known as well."""
    assert ask_host(hosts_port, "localhost", target=target).status == status


def own_address() -> str:
    """The address that this machine would reach others from; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


def test_server_on_every_address_knows_its_names() -> None:
    """With `addr="0.0.0.0"` the machine's own names and addresses are known, and others are not."""
    name, own = socket.gethostname(), own_address()
    with start_http_server(0, "0.0.0.0", EventLog(), max_load=1) as server:
        for host in (name, name.partition(".")[0].upper(), socket.getfqdn(), f"{name}.:80", "0.0.0.0", "localhost"):
            assert ask_host(server.port, host).status == 200
        assert ask_host(server.port, f"{name}.evil.example").status == 421
        assert ask_port(server.port, host=own).status == 200


def test_server_on_one_address_does_not_know_the_name(hosts_port: int) -> None:
    """The machine's name is foreign where only loopback is served."""
    assert ask_host(hosts_port, f"{socket.gethostname()}.invalid").status == 421


def test_star_allows_every_host() -> None:
    with start_http_server(0, log=EventLog(), allowed_hosts=("*",)) as server:
        assert ask_host(server.port, "evil.example").status == 200


# What is told where


def test_broken_client_leaves_no_trace_on_stderr(
    port: int, debug: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection that breaks is told in the program's log at level DEBUG, and nowhere else."""
    with connected(port, b"GET /model/etl/log HTTP/1.1\r\n") as client:
        reset(client)
    wait_for(lambda: "broke" in debug.text)
    assert ask_port(port).status == 200
    assert capfd.readouterr() == ("", "")
    assert {record.levelname for record in debug.records} == {"DEBUG"}


def test_request_is_logged_short_and_printable(port: int, debug: pytest.LogCaptureFixture) -> None:
    """A request cannot write lines, colours or pages into the program's log."""
    ask_raw(port, b"GET /\x1b[31m" + b"x" * 4_000 + b" HTTP/1.1\r\n\r\n")
    [message] = [record.getMessage() for record in debug.records if "31mxxx" in record.getMessage()]
    assert r"/\x1b[31mxxx" in message
    assert len(message) < 250


class Unwritable(EventLog):
    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        return Document({"asset": (Event("AssetSetSaved", 10**30),)}, {})


@pytest.mark.parametrize("log", [Broken(), Unwritable()], ids=["cannot be read", "cannot be written"])
def test_error_inside_is_the_programs_own(port: int, debug: pytest.LogCaptureFixture) -> None:
    """A client sees a 500 without the reason, which the program's log has with its traceback."""
    answer = ask_port(port)
    assert answer.status == 500
    assert answer.message == "the log cannot be shown; the reason is in the program's own log"
    [error] = [record for record in debug.records if record.levelname == "ERROR"]
    assert error.getMessage() == "GET '/model/etl/log' could not be answered"
    assert error.exc_info
    assert ask_port(port, "HEAD").body == b""


def test_readers_and_writers_do_not_disturb_each_other() -> None:
    """While four threads append, each of 400 answers is a valid log that counts no less than the one before."""
    log, done = EventLog(retention=16), Flag()

    def write(kind: str) -> int:
        written = 0
        while not done.is_set():
            log.append(Event(kind, written, 1))
            written += 1
            sleep(0)
        return written

    def read(port: int) -> list[int]:
        documents = [read_document(ask_port(port).body) for _ in range(50)]
        return [sum(document.counters.values()) for document in documents]

    options: dict[str, Any] = {"max_connections_per_client": 32, "max_load": 1}
    with start_http_server(0, log=log, **options) as server, ThreadPoolExecutor(12) as pool:
        writers = [pool.submit(write, kind) for kind in ("AssetSetSaved", "AssetSetLoaded") * 2]
        readers = [pool.submit(read, server.port) for _ in range(8)]
        try:
            for counts in [reader.result() for reader in readers]:
                assert counts == sorted(counts)
        finally:
            done.set()
    counters = log.document().counters
    assert counters["AssetSetSaved"] + counters["AssetSetLoaded"] == sum(writer.result() for writer in writers)
