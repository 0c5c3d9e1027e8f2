"""Promises of `otel_kcevents.serve.respond`: one answer whichever way a request came."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from io import BytesIO
from typing import Any
from urllib.parse import unquote, unquote_to_bytes
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import WSGIWarning, validator

import httpx
import pytest
from clients import Answer, Broken, Stage, ask_port, filled, low
from starlette.applications import Starlette
from starlette.routing import Mount

from otel_kcevents import LogServer, start_http_server
from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.serve.apps import make_asgi_app, make_wsgi_app
from otel_kcevents.serve.respond import LOG_PATH, respond
from otel_kcevents.store.log import EventLog, default_log

Ask = Callable[[EventLog, str, str], Answer]


@pytest.fixture
def log() -> EventLog:
    return filled()


# The four ways in


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


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[LogServer, Stage]]:
    stage = Stage()
    with start_http_server(0, log=stage, cache_seconds=0, max_load=1) as server:
        yield server, stage


@pytest.fixture(params=["respond", "WSGI", "ASGI", "socket"])
def ask(request: pytest.FixtureRequest, served: tuple[LogServer, Stage]) -> Ask:
    server, stage = served

    def ask_live(log: EventLog, method: str, target: str) -> Answer:
        stage.log = log
        answer = ask_port(server.port, method, target)
        (first, _), (second, name) = answer.headers.pop(0), answer.headers.pop(0)
        assert (first, second, name) == ("date", "server", "otel-kcevents")
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
    ("?kind=" + "AssetSetSaved," * 580, ("AssetSetSaved",)),
]

REFUSED = [
    ("GET", "/model/etl/log?kind=Nope", 400, ("'Nope' does not begin a kind", *ALL)),
    ("GET", "/model/etl/log?kind=AssetSet,Nope", 400, ("'Nope' does not begin a kind",)),
    ("GET", "/model/etl/log?kind=n%C3%B6%0A", 400, (r"'nö\n' does not begin a kind",)),
    ("GET", "/model/etl/log?kind=%FF", 400, ("'\ufffd' does not begin a kind",)),
    ("GET", "/model/etl/log?window=soon", 400, ("'soon'", *FORMS)),
    ("GET", "/model/etl/log?window=", 400, ("''", *FORMS)),
    ("GET", "/model/etl/log?window=0d", 400, ("'0d'", *FORMS)),
    ("GET", "/model/etl/log?window=2022-06-31T00:00:00Z,2022-07-01T00:00:00Z", 400, ("day is out of range", *FORMS)),
    ("GET", "/model/etl/log?window=today&window=week", 400, ("the query has 2 windows", "give one")),
    ("GET", "/model/etl/log?" + "&".join(["kind=AssetSet"] * 101), 400, ("fields",)),
    ("GET", "/model/etl/log?kind=" + "x" * 5_000, 400, ("xxx…",)),
    ("GET", "/model/etl/log?kind=" + "A," * 4_096, 414, ("8,197 characters", "limit is 8,192", "each kind once")),
    ("GET", "/model/etl/log?" + "x" * 8_193, 414, ("8,193 characters", "limit is 8,192")),
    ("GET", "/", 404, ("'/' is not here", "GET /model/etl/log")),
    ("GET", "/model/etl", 404, ("'/model/etl' is not here", "GET /model/etl/log")),
    ("GET", "/model/etl/log/x", 404, ("'/model/etl/log/x' is not here",)),
    ("GET", "/model/etl/logs", 404, ("'/model/etl/logs' is not here",)),
    ("GET", "/caf%C3%A9/", 404, ("'/café/' is not here",)),
    ("GET", "/%1b%5b31m", 404, (r"'/\x1b[31m' is not here",)),
    ("POST", "/metrics", 404, ("'/metrics' is not here",)),
    *[
        (method, "/model/etl/log", 405, (f"'{method}' is not allowed", "use GET"))
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


def test_repeated_kind_is_looked_up_once(log: EventLog) -> None:
    """However often a kind is in the query, the log is asked for it once."""
    asked: list[str] = []

    class Asked(EventLog):
        def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
            asked.extend(kinds)
            return super().document(kinds, window, limit)

    assert respond("GET", LOG_PATH, "kind=Asset,Asset&kind=Asset,Allocation", log=Asked()).status == 200
    assert asked == ["Asset", "Allocation"]


def test_too_long_query_does_not_reach_the_log() -> None:
    """It is refused for its length alone."""
    assert respond("GET", LOG_PATH, "kind=" + "A," * 32_000, log=Broken()).status == 414


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
