"""Promises of `otel_kcevents.exposition`: one answer whichever way a request came, and a server hard to upset."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from io import BytesIO
from threading import Event as Flag
from time import monotonic, sleep
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes
from urllib.request import urlopen
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import WSGIWarning, validator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from otel_kcevents import exposition
from otel_kcevents.events import Document, Event, Failure, read_document
from otel_kcevents.exposition import LOG_PATH, LogServer, make_asgi_app, make_wsgi_app, respond, start_http_server
from otel_kcevents.log import EventLog, default_log
from otel_kcevents.window import Window, parse_time

GENEROUS = 20.0  # seconds after which a test that waits has failed


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


Ask = Callable[[EventLog, str, str], Answer]


class Stage(EventLog):
    """A log that stands for another, so that one server serves the logs of many tests."""

    log: EventLog

    def document(self, kinds: Iterable[str] = (), window: Window | None = None) -> Document:
        return self.log.document(kinds, window)


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


@pytest.fixture
def log() -> EventLog:
    return filled()


# The four ways in


def low(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]


def ask_respond(log: EventLog, method: str, target: str) -> Answer:
    path, _, query = target.partition("?")
    status, headers, body = respond(method, unquote(path), query, log=log)
    return Answer(status, low(headers), body)


def ask_wsgi(log: EventLog, method: str, target: str, script: str = "") -> Answer:
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "QUERY_STRING": query, "SCRIPT_NAME": script}
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
    setup_testing_defaults(environ)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers))
        return BytesIO().write

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WSGIWarning)  # of the validator, at a method that it never heard of
        result: Any = validator(make_wsgi_app(log))(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        result.close()
    [(status, headers)] = started
    return Answer(int(status[:3]), low(headers), body)


def ask_app(app: Any, method: str, target: str, **options: Any) -> Answer:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://etl", **options) as client:
            return await client.request(method, target)

    response = asyncio.run(ask())
    return Answer(response.status_code, low(response.headers.multi_items()), response.content)


def ask_asgi(log: EventLog, method: str, target: str) -> Answer:
    return ask_app(make_asgi_app(log), method, target)


def ask_port(port: int, method: str = "GET", target: str = LOG_PATH, **options: Any) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=GENEROUS)
    try:
        connection.request(method, target, **options)
        response = connection.getresponse()
        return Answer(response.status, low(response.getheaders()), response.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[LogServer, Stage]]:
    stage = Stage()
    with start_http_server(0, log=stage) as server:
        yield server, stage


@pytest.fixture
def port(served: tuple[LogServer, Stage], log: EventLog) -> int:
    """The port of a running server of `log`."""
    server, stage = served
    stage.log = log
    return server.port


@pytest.fixture(params=["respond", "WSGI", "ASGI", "socket"])
def ask(request: pytest.FixtureRequest, served: tuple[LogServer, Stage]) -> Ask:
    server, stage = served

    def ask_live(log: EventLog, method: str, target: str) -> Answer:
        stage.log = log
        answer = ask_port(server.port, method, target)
        added = {name: answer.headers.pop(0)[1] for name in ("server", "date")}
        assert added["server"].strip() == "otel-kcevents"
        assert answer.headers.pop() == ("connection", "close")
        return answer

    ways: dict[str, Ask] = {"respond": ask_respond, "WSGI": ask_wsgi, "ASGI": ask_asgi, "socket": ask_live}
    return ways[request.param]


# One table of requests

ALL = ("AllocationSetTotaled", "AllocationSetSaved", "AssetSetSaved", "AssetSetComputeError")
FORMS = ("15m, 24h, 7d or 2w", "lastmonth", "1586822400,1586908800", "45m offset 15m")

SHOWN = [
    ("", ALL),
    ("?", ALL),
    ("?kind=AssetSetSaved", ("AssetSetSaved",)),
    ("?kind=AssetSetSavedEvent", ("AssetSetSaved",)),
    ("?kind=AssetSet", ("AssetSetSaved", "AssetSetComputeError")),
    ("?kind=%41ssetSet", ("AssetSetSaved", "AssetSetComputeError")),
    ("?kind=AssetSetSaved&kind=AllocationSetT", ("AllocationSetTotaled", "AssetSetSaved")),
    ("?kind=AssetSetSaved,AllocationSetT", ("AllocationSetTotaled", "AssetSetSaved")),
    ("?kind=AssetSetSaved,", ("AssetSetSaved",)),
    ("?kind=", ALL),
    ("?window=2022-06-03T17:00:00Z,2022-06-04T00:00:00Z", ("AllocationSetSaved", "AssetSetSaved")),
    ("?window=2022-06-03T17:00:00Z%2C2022-06-04T00:00:00Z", ("AllocationSetSaved", "AssetSetSaved")),
    ("?window=1654275521-1654275522", ("AllocationSetTotaled",)),
    ("?window=lastmonth", ()),
    ("?window=45m+offset+15m", ()),
    ("?window=45m%20offset%2015m", ()),
    ("?kind=Asset&window=2022-06-03T17:00:00Z,2022-06-04T00:00:00Z", ("AssetSetSaved",)),
    ("?pretty=1", ALL),
]

REFUSED = [
    ("GET", "/model/etl/log?kind=Nope", 400, ("'Nope' begins no kind", *ALL)),
    ("GET", "/model/etl/log?kind=AssetSet,Nope", 400, ("'Nope' begins no kind",)),
    ("GET", "/model/etl/log?kind=n%C3%B6%0A", 400, (r"'nö\n' begins no kind",)),
    ("GET", "/model/etl/log?kind=%FF", 400, ("'\ufffd' begins no kind",)),
    ("GET", "/model/etl/log?window=soon", 400, ("'soon' is no window", *FORMS)),
    ("GET", "/model/etl/log?window=", 400, ("'' is no window", *FORMS)),
    ("GET", "/model/etl/log?window=0d", 400, ("'0d' is no window", *FORMS)),
    ("GET", "/model/etl/log?window=2022-06-31T00:00:00Z,2022-07-01T00:00:00Z", 400, ("day is out of range", *FORMS)),
    ("GET", "/model/etl/log?window=today&window=week", 400, ("window stands 2 times", "give one")),
    ("GET", "/model/etl/log?" + "&".join(["kind=AssetSet"] * 101), 400, ("fields",)),
    ("GET", "/model/etl/log?kind=" + "x" * 5_000, 400, ("xxx…",)),
    ("GET", "/", 404, ("'/' is not here", "GET /model/etl/log")),
    ("GET", "/model/etl", 404, ("'/model/etl' is not here", "GET /model/etl/log")),
    ("GET", "/model/etl/log/x", 404, ("'/model/etl/log/x' is not here",)),
    ("GET", "/model/etl/logs", 404, ("'/model/etl/logs' is not here",)),
    ("GET", "/caf%C3%A9/", 404, ("'/café/' is not here",)),
    ("GET", "/%1b%5b31m", 404, (r"'/\x1b[31m' is not here",)),
    ("POST", "/metrics", 404, ("'/metrics' is not here",)),
    *[
        (method, "/model/etl/log", 405, (f"'{method}' is not for the log", "use GET"))
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
    ],
]


def common(answer: Answer) -> list[tuple[str, str]]:
    """The headers of every answer."""
    return [
        ("content-type", "application/json; charset=utf-8"),
        ("content-length", str(len(answer.body))),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ]


@pytest.mark.parametrize(("query", "kinds"), SHOWN)
def test_the_log_is_shown_as_the_query_selects(ask: Ask, log: EventLog, query: str, kinds: tuple[str, ...]) -> None:
    """The lists hold what `kind` and `window` select, the counters hold all, and any way in gives the same bytes."""
    answer = ask(log, "GET", f"/model/etl/log{query}")
    assert answer.status == 200
    document = read_document(answer.body)
    assert sorted(event.kind for events in document.lists.values() for event in events) == sorted(kinds)
    assert document.counters == dict.fromkeys(sorted(ALL), 1)
    assert answer == ask_respond(log, "GET", f"/model/etl/log{query}")


@pytest.mark.parametrize("target", ["/model/etl/log/", "/model/etl/lo%67", "/model%2Fetl/log"])
def test_other_spellings_of_the_path_are_the_same_log(ask: Ask, log: EventLog, target: str) -> None:
    """A slash at the end and characters in escapes change nothing, whichever way in."""
    assert ask(log, "GET", target) == ask(log, "GET", "/model/etl/log")


@pytest.mark.parametrize(("method", "target", "status", "holds"), REFUSED)
def test_what_is_refused_is_told_why(
    ask: Ask, log: EventLog, method: str, target: str, status: int, holds: tuple[str, ...]
) -> None:
    """A refusal has its status, the value refused and the remedy; any way in gives the same bytes."""
    answer = ask(log, method, target)
    assert answer.status == status
    for text in holds:
        assert text in answer.message
    assert len(answer.body) < 1_000
    assert answer == ask_respond(log, method, target)


@pytest.mark.parametrize("target", ["/model/etl/log", "/model/etl/log?window=soon", "/"])
def test_every_answer_is_fresh_json(ask: Ask, log: EventLog, target: str) -> None:
    """Each answer says that it is JSON in UTF-8, how long it is, and that no cache may keep it."""
    answer = ask(log, "GET", target)
    assert answer.headers == common(answer)


def test_a_wrong_method_is_told_the_right_ones(ask: Ask, log: EventLog) -> None:
    """A 405 has the header `Allow`."""
    answer = ask(log, "DELETE", "/model/etl/log")
    assert answer.headers == [*common(answer), ("allow", "GET, HEAD")]


@pytest.mark.parametrize("target", ["/model/etl/log", "/model/etl/log?kind=AssetSet", "/model/etl/log?kind=Nope", "/"])
def test_head_gives_what_get_gives_without_the_body(ask: Ask, log: EventLog, target: str) -> None:
    """HEAD has the status and the headers of GET, the length of its body too, and no body."""
    status, headers, _ = ask(log, "GET", target)
    assert ask(log, "HEAD", target) == Answer(status, headers, b"")


def test_the_body_is_utf_8(ask: Ask, log: EventLog) -> None:
    """What is not ASCII comes as UTF-8, and control characters in escapes."""
    assert r"größe 円 🙂 \u001b" in ask(log, "GET", "/model/etl/log").body.decode()


def test_a_text_that_utf_8_can_not_hold_is_shown_all_the_same(ask: Ask, log: EventLog) -> None:
    """Half of a surrogate pair in an error's message comes as an escape."""
    log.append(Event("AssetSetComputeError", 1, failure=Failure("E", "half: \ud83d")))
    assert rb"half: \ud83d" in ask(log, "GET", "/model/etl/log").body


def test_an_empty_log_is_shown(ask: Ask) -> None:
    """An empty log has both lists and the counters, empty."""
    answer = ask(EventLog(), "GET", "/model/etl/log")
    assert answer.body == b'{"code":200,"data":{"allocation":[],"asset":[],"counters":{}}}'


def test_a_set_of_ones_own_is_shown(ask: Ask, log: EventLog) -> None:
    """The list and the kinds of an added set are there and can be selected."""
    log.add_set("cloud", "CloudCostSet")
    log.append(Event("CloudCostSetSaved", 1, 5))
    document = read_document(ask(log, "GET", "/model/etl/log?kind=CloudCost").body)
    assert document.lists == {"allocation": (), "asset": (), "cloud": (Event("CloudCostSetSaved", 1, 5),)}


def test_a_window_is_seen_from_now(log: EventLog) -> None:
    """`respond()` reads a window such as `1d` from the moment that it is given."""
    noon = Window("2022-06-03T12:00:00Z").start
    body = respond("GET", LOG_PATH, "window=1d", log=log, now=noon).body
    assert [event.kind for event in read_document(body).lists["asset"]] == ["AssetSetSaved"]


def test_the_log_shown_is_the_default_one() -> None:
    """Where no log is given, the answer is that of the process's own."""
    assert respond("GET", LOG_PATH).body == default_log.document().to_json().encode()


# Mounted elsewhere

MOUNTS = [
    ("/x", "/model/etl/log"),
    ("/a/b", "/model/etl/log/"),
    ("/caf%C3%A9", "/model/etl/log"),
    ("/model", "/etl/log"),
    ("/model/etl", "/log"),
    ("/model/etl/log", "/"),
    ("/x/model", "/etl/log"),
    ("/x/model/etl/log", "/"),
]
ASTRAY = [("/x", "/"), ("/x", "/log"), ("/model", "/"), ("/model", "/log"), ("/model/etl/log", "/x")]


def mounted(log: EventLog, mount: str) -> Starlette:
    return Starlette(routes=[Mount(unquote(mount), app=make_asgi_app(log))])


@pytest.mark.parametrize(("mount", "path"), MOUNTS)
def test_an_asgi_app_serves_wherever_it_is_mounted(log: EventLog, mount: str, path: str) -> None:
    """The log is found at a mount point above its path, on it, and anywhere else."""
    assert ask_app(mounted(log, mount), "GET", mount + path) == ask_respond(log, "GET", LOG_PATH)


@pytest.mark.parametrize(("mount", "path"), [*MOUNTS, ("/model/etl/log", ""), ("/x/model/etl/log", "")])
def test_a_wsgi_app_serves_wherever_it_is_mounted(log: EventLog, mount: str, path: str) -> None:
    """The log is found at a mount point above its path, on it, and anywhere else."""
    script = unquote_to_bytes(mount).decode("latin-1")
    assert ask_wsgi(log, "GET", path, script) == ask_respond(log, "GET", LOG_PATH)


@pytest.mark.parametrize(("mount", "path"), ASTRAY)
def test_a_mounted_app_refuses_other_paths(log: EventLog, mount: str, path: str) -> None:
    """Beside the log there is nothing, below a mount point either, and the message has the path as the app sees it."""
    wanted = ask_respond(log, "GET", path)
    assert wanted.status == 404
    assert ask_app(mounted(log, mount), "GET", mount + path) == wanted
    assert ask_wsgi(log, "GET", path, mount) == wanted


def test_a_framework_may_send_the_bare_path_on(log: EventLog) -> None:
    """The redirect to the slash, with which Starlette answers the mount point itself, leads to the log."""
    answer = ask_app(mounted(log, LOG_PATH), "GET", f"{LOG_PATH}?kind=AssetSet", follow_redirects=True)
    assert answer == ask_respond(log, "GET", f"{LOG_PATH}?kind=AssetSet")


def drive(app: Any, scope: dict[str, Any], *received: dict[str, Any]) -> list[MutableMapping[str, Any]]:
    """What an ASGI app sends."""
    coming, sent = iter(received), []

    async def receive() -> dict[str, Any]:
        return next(coming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_an_asgi_app_understands_a_path_without_its_root(log: EventLog) -> None:
    """Servers that leave the mount point out of `path`, as older ones do, are understood."""
    scope = {"type": "http", "method": "GET", "root_path": "/model", "path": "/etl/log"}
    start, body = drive(make_asgi_app(log), scope)
    assert start["status"] == 200
    assert body["body"] == ask_respond(log, "GET", LOG_PATH).body


def test_an_asgi_app_starts_up_and_shuts_down(log: EventLog) -> None:
    """Both messages of the lifespan protocol are answered, and the app ends with the second."""
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = drive(make_asgi_app(log), {"type": "lifespan"}, *received)
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


def test_an_asgi_app_closes_a_websocket(log: EventLog) -> None:
    """A websocket is refused, not left waiting."""
    [message] = drive(make_asgi_app(log), {"type": "websocket", "path": LOG_PATH}, {"type": "websocket.connect"})
    assert message["type"] == "websocket.close"


# The embedded server: its life


def test_port_0_takes_a_free_port(log: EventLog) -> None:
    """The port taken is to be read from the server, and its `url` leads to the log."""
    with start_http_server(0, log=log) as server:
        assert server.url == f"http://127.0.0.1:{server.port}/model/etl/log"
        with urlopen(server.url, timeout=GENEROUS) as answer:
            assert answer.read() == log.document().to_json().encode()


def test_leaving_the_with_frees_the_port(log: EventLog) -> None:
    """After it nothing listens there, and another server can, even though a client is still connected to the first."""
    with start_http_server(0, log=log) as server, connected(server.port):
        ask_port(server.port)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            ask_port(server.port)
        with start_http_server(server.port, log=log) as second:
            assert ask_port(second.port).status == 200


def test_closing_twice_does_nothing(log: EventLog) -> None:
    """The second close returns, and leaves the port to whoever has it by then."""
    server = start_http_server(0, log=log)
    server.close()
    with start_http_server(server.port, log=log) as second:
        server.close()
        assert ask_port(second.port).status == 200


def test_a_port_in_use_is_told(port: int) -> None:
    """The error is an OSError that names the address and a way out."""
    with pytest.raises(OSError, match=rf"can not listen on 127\.0\.0\.1:{port}: .*; port 0 takes a free one"):
        start_http_server(port)


@pytest.mark.parametrize(("port", "addr"), [(70_000, "127.0.0.1"), (-1, "127.0.0.1"), (0, "256.0.0.1")])
def test_an_address_that_does_not_exist_is_told(port: int, addr: str) -> None:
    """A port or an address that there can't be is an OSError too, with the same words and a number."""
    with pytest.raises(OSError, match=rf"\[Errno -?\d+\] can not listen on {re.escape(addr)}:{port}: "):
        start_http_server(port, addr)


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
import os, sys
from otel_kcevents import EventLog, start_http_server

server, closed = (start_http_server(0, log=EventLog()) for _ in range(2))
closed.close()
from_child, to_parent = os.pipe()
from_parent, to_child = os.pipe()
if not (child := os.fork()):
    server.close()
    os.write(to_parent, b"closed")
    os.read(from_parent, 1)
    sys.exit()
assert os.read(from_child, 6) == b"closed"
server.close()
start_http_server(server.port, log=EventLog()).close()
os.write(to_child, b".")
assert os.waitpid(child, 0)[1] == 0
print("free")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_hold_the_port() -> None:
    """In a child `close()` returns, and while the child lives its parent can take the port anew."""
    forking = "ignore:This process:DeprecationWarning"  # Python 3.12 warns of threads, which is what is tested
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", forking, "-c", FORK], capture_output=True, text=True, timeout=GENEROUS
    )
    assert (done.stdout, done.stderr, done.returncode) == ("free\n", "", 0)


# The embedded server: clients that are none


@contextmanager
def connected(port: int, *sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=GENEROUS) as client:
        for data in sent:
            client.sendall(data)
        yield client


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
    assert first.startswith("HTTP/1.1 ")
    return Answer(
        int(first.split()[1]), low([(name, value) for name, _, value in (n.partition(": ") for n in lines)]), body
    )


def reset(client: socket.socket) -> None:
    """End a connection in the rudest way."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def wait_for(condition: Callable[[], object]) -> None:
    end = monotonic() + GENEROUS
    while not condition():
        assert monotonic() < end, "what was waited for did not happen"
        sleep(0.01)


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "otel_kcevents")
    return caplog


REQUEST = b"GET /model/etl/log HTTP/1.1\r\nHost: etl\r\n\r\n"

WRONG = [
    (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: etl\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nCookie: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    (b"\x00\x01\x02\xff\xfe\r\n\r\n", 400),
    (b"GET /model/etl/log with spaces HTTP/1.1\r\n\r\n", 400),
    (b"GET /model/etl/log HTTP/x\r\n\r\n", 400),
    (b"POST /model/etl/log\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
]


@pytest.mark.parametrize(("request_bytes", "status"), WRONG, ids=[f"{status}-{raw[:12]!r}" for raw, status in WRONG])
def test_what_is_no_request_is_refused_in_json(
    port: int, monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, status: int
) -> None:
    """What is no HTTP request, or one too long, gets a refusal in the form of all others, whole and at once."""
    monkeypatch.setattr(exposition, "_PATIENCE", 3 * GENEROUS)
    monkeypatch.setattr(exposition._Handler, "timeout", 3 * GENEROUS)
    with connected(port, request_bytes) as client:
        answer = parsed(read_all(client))
    assert answer.status == status
    assert answer.message
    assert dict(answer.headers)["content-length"] == str(len(answer.body))


def test_a_request_without_a_version_is_answered(port: int, log: EventLog) -> None:
    """HTTP/0.9, as someone may type it into `nc`, gets the log, with a head as any other."""
    with connected(port, b"GET /model/etl/log\r\n\r\n") as client:
        assert parsed(read_all(client)).body == ask_respond(log, "GET", LOG_PATH).body


def test_a_client_that_leaves_without_a_word_is_none(port: int) -> None:
    """A connection that is closed unused, as health checks do, is no request."""
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
def test_a_slow_client_keeps_nobody_waiting(port: int, log: EventLog, first: bytes, rest: bytes) -> None:
    """While a client takes its time, another gets its answer; and the slow one gets its own, whole, in the end."""
    with connected(port, first) as client:
        assert ask_port(port, "HEAD").status == 200
        client.sendall(rest)
        assert parsed(read_all(client)).body == ask_respond(log, "GET", LOG_PATH).body


def test_a_silent_client_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that connects and says nothing is let go after a while: ten seconds, here less."""
    assert exposition._Handler.timeout == exposition._PATIENCE == 10
    monkeypatch.setattr(exposition._Handler, "timeout", 0.2)
    with connected(port) as client:
        assert read_all(client) == b""


def test_a_client_that_drips_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However regularly the bytes of a request come, its time ends."""
    monkeypatch.setattr(exposition, "_PATIENCE", 0.2)
    with connected(port) as client:
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


@pytest.mark.parametrize("log", [large()], ids=[""])
def test_a_client_that_never_reads_is_let_go(
    port: int, monkeypatch: pytest.MonkeyPatch, debug: pytest.LogCaptureFixture
) -> None:
    """A client that does not take its answer is let go after a while, with a part of it."""
    monkeypatch.setattr(exposition._Handler, "timeout", 0.2)
    with connected(port, REQUEST) as client:
        wait_for(lambda: "Request timed out" in debug.text)
        answer = parsed(read_all(client))
    assert len(answer.body) < int(dict(answer.headers)["content-length"])


def times_of(server: LogServer) -> dict[socket.socket, float]:
    """The connections of a server, and when the time of each is up."""
    assert server._server
    return server._server._ends


def test_a_client_that_left_while_its_answer_was_made_upsets_nobody(
    served: tuple[LogServer, Stage], log: EventLog
) -> None:
    """The server's look at whose time is up survives a connection that is gone already."""
    server, stage = served
    asked, go_on = Flag(), Flag()

    class Slow(EventLog):
        def document(self, kinds: Iterable[str] = (), window: Window | None = None) -> Document:
            asked.set()
            go_on.wait(GENEROUS)
            return super().document(kinds, window)

    stage.log = Slow()
    with connected(server.port, REQUEST) as client:
        assert asked.wait(GENEROUS)
        reset(client)
    times_of(server).update(dict.fromkeys(times_of(server).copy(), 0.0))
    stage.log = log
    statuses = [ask_port(server.port).status for _ in range(3)]
    go_on.set()
    assert statuses == [200, 200, 200]


def test_more_clients_than_the_most_are_turned_away(
    served: tuple[LogServer, Stage], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One client too many is turned away at once, and has its chance again when another has left."""
    wait_for(lambda: not times_of(served[0]))
    monkeypatch.setattr(exposition, "_MOST_CLIENTS", 2)
    with connected(port) as first, connected(port) as second, connected(port) as third:
        assert read_all(third) == b""
        second.sendall(REQUEST)
        assert parsed(read_all(second)).status == 200
        second.close()
        first.close()
        wait_for(lambda: is_answered(port))


def is_answered(port: int) -> bool:
    try:
        return ask_port(port).status == 200
    except ConnectionError:
        return False


MEGABYTE = b"x" * (1 << 20)


@pytest.mark.parametrize("body", [MEGABYTE, [MEGABYTE[:4096]] * 256], ids=["with a length", "in chunks"])
def test_a_refusal_survives_the_body_that_is_not_wanted(port: int, body: bytes | list[bytes]) -> None:
    """A POST of a megabyte is read off, so that its sender gets to see the 405, whole."""
    for _ in range(10):
        answer = ask_port(port, "POST", LOG_PATH, body=body)
        assert answer.status == 405
        assert "'POST' is not for the log" in answer.message


def test_broken_clients_leave_no_trace_on_stderr(
    port: int, debug: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection that breaks is told in the program's log at level DEBUG, and nowhere else."""
    with connected(port, b"GET /model/etl/log HTTP/1.1\r\n") as client:
        reset(client)
    wait_for(lambda: "broke" in debug.text)
    assert ask_port(port).status == 200
    assert capfd.readouterr() == ("", "")
    assert {record.levelname for record in debug.records} == {"DEBUG"}


# The embedded server: what goes wrong inside


class Broken(EventLog):
    def document(self, kinds: Iterable[str] = (), window: Window | None = None) -> Document:
        raise RuntimeError("the inner reason")


class Unwritable(EventLog):
    def document(self, kinds: Iterable[str] = (), window: Window | None = None) -> Document:
        return Document({"asset": (Event("AssetSetSaved", 10**30),)}, {})


@pytest.mark.parametrize("log", [Broken(), Unwritable()], ids=["can't be read", "can't be written"])
def test_an_error_inside_is_the_programs_own(port: int, debug: pytest.LogCaptureFixture) -> None:
    """A client sees a 500 without the reason, which the program's log has with its traceback."""
    answer = ask_port(port)
    assert answer.status == 500
    assert re.fullmatch("the log can not be shown; the program's own log tells why", answer.message)
    [error] = [record for record in debug.records if record.levelname == "ERROR"]
    assert error.getMessage() == "GET '/model/etl/log' could not be answered"
    assert error.exc_info
    assert ask_port(port, "HEAD").body == b""


@pytest.mark.parametrize("log", [EventLog(retention=16)], ids=[""])
def test_readers_and_writers_do_not_disturb_each_other(port: int, log: EventLog) -> None:
    """While four threads append, each of 400 answers is a valid log that counts no less than the one before."""
    done = Flag()

    def write(kind: str) -> int:
        written = 0
        while not done.is_set():
            log.append(Event(kind, written, 1))
            written += 1
            sleep(0)
        return written

    def read() -> list[int]:
        documents = [read_document(ask_port(port).body) for _ in range(50)]
        return [sum(document.counters.values()) for document in documents]

    with ThreadPoolExecutor(12) as pool:
        writers = [pool.submit(write, kind) for kind in ("AssetSetSaved", "AssetSetLoaded") * 2]
        readers = [pool.submit(read) for _ in range(8)]
        try:
            for counts in [reader.result() for reader in readers]:
                assert counts == sorted(counts)
        finally:
            done.set()
    counters = read_document(ask_port(port).body).counters
    assert counters["AssetSetSaved"] + counters["AssetSetLoaded"] == sum(writer.result() for writer in writers)


def test_a_port_that_is_no_number_is_refused() -> None:
    """The error shows the value and the remedy."""
    with pytest.raises(TypeError, match="port='9003' is no whole number"):
        start_http_server("9003")  # type: ignore[arg-type]


def test_a_target_that_names_the_host_too_is_answered(served: tuple[LogServer, Stage], log: EventLog) -> None:
    """As a proxy sends it."""
    server, stage = served
    stage.log = log
    assert ask_port(server.port, target=f"http://etl.internal:9003{LOG_PATH}?kind=AssetSetSaved").status == 200
