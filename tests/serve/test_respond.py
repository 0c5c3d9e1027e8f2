"""`respond()`: every request gets the same response through WSGI, ASGI and the embedded server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, MutableMapping
from datetime import datetime, timezone
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urljoin
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import WSGIWarning, validator

import httpx
import pytest
from clients import Answer, Broken, Stage, ask_port, filled, low
from fastapi import FastAPI
from flask import Flask
from journals import write_nights
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from otel_kcevents import Journal, LogServer, start_http_server
from otel_kcevents.cli.sources import SavedLog
from otel_kcevents.model.document import LOG_PATH, Document, read_document
from otel_kcevents.model.timestamps import SECOND, to_ns
from otel_kcevents.model.window import Window
from otel_kcevents.serve.apps import make_asgi_app, make_wsgi_app
from otel_kcevents.serve.respond import respond
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.merged_source import merge
from otel_kcevents.store.remote import RemoteLog
from otel_kcevents.store.source import Source
from otel_kcevents.version import __version__

RUNS: list[dict[str, Any]] = [{"id": "a", "parent": None, "program": "größe"}, {"id": "b", "parent": "a"}]


class LogWithRuns(Stage):
    """A source that has `runs()`, but not `events()`."""

    def __init__(self) -> None:
        self.log = filled()

    def runs(self) -> list[dict[str, Any]]:
        return RUNS


@pytest.fixture
def log() -> LogWithRuns:
    return LogWithRuns()


# The four interfaces


def ask_respond(log: Source, method: str, target: str) -> Answer:
    path, _, query = target.partition("?")
    status, headers, body = respond(method, unquote(path), query, log=log)
    return Answer(status, low(headers), body)


def ask_wsgi(log: Source, method: str, target: str, script: str = "") -> Answer:
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "QUERY_STRING": query, "SCRIPT_NAME": script}
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
    setup_testing_defaults(environ)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers))
        return BytesIO().write

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WSGIWarning)  # the validator does not know the method BREW
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


@pytest.fixture(params=["WSGI", "ASGI", "socket"])
def ask(request: pytest.FixtureRequest, served: tuple[LogServer, Stage]) -> Callable[[Source, str, str], Answer]:
    server, stage = served

    def ask_live(log: Source, method: str, target: str) -> Answer:
        stage.log = log
        if isinstance(log, EventLog):  # the stage does not stand for it: the server looks for its journal
            with start_http_server(0, log=log) as own:
                answer = ask_port(own.port, method, target)
        else:
            answer = ask_port(server.port, method, target)
        assert answer.headers.pop("date")
        assert answer.headers.pop("server") == "otel-kcevents"
        return answer

    def ask_asgi(log: Source, method: str, target: str) -> Answer:
        return ask_app(make_asgi_app(log), method, target)

    return {"WSGI": ask_wsgi, "ASGI": ask_asgi, "socket": ask_live}[str(request.param)]


# One table of requests

ALL = ("AllocationSetTotaled", "AllocationSetSaved", "AssetSetSaved", "AssetSetComputeError")
FORMS = ("15m, 24h, 7d or 2w", "lastmonth", "1586822400,1586908800", "45m offset 15m")

SHOWN = [
    ("", ALL),
    ("?", ALL),
    ("?kind=AssetSetSaved", ("AssetSetSaved",)),
    ("?kind=AssetSet", ("AssetSetSaved", "AssetSetComputeError")),
    ("?kind=%41ssetSet", ("AssetSetSaved", "AssetSetComputeError")),
    ("?kind=AssetSetSaved&kind=AllocationSetT", ("AllocationSetTotaled", "AssetSetSaved")),
    ("?kind=AssetSetSaved,AllocationSetT", ("AllocationSetTotaled", "AssetSetSaved")),
    ("?kind=AssetSetSaved,", ("AssetSetSaved",)),
    ("?kind=", ALL),
    ("?window=2022-06-03T17:00:00Z%2C2022-06-04T00:00:00Z", ("AllocationSetSaved", "AssetSetSaved")),
    ("?window=45m+offset+15m", ()),
    ("?window=45m%20offset%2015m", ()),
    ("?kind=Asset&window=2022-06-03T17:00:00Z,2022-06-04T00:00:00Z", ("AssetSetSaved",)),
    ("?pretty=1", ALL),
    ("?kind=" + "AssetSetSaved," * 580, ("AssetSetSaved",)),
]

REFUSED = [
    ("GET", "/model/etl/log?kind=Nope", 400, ("'Nope'", *ALL)),
    ("GET", "/model/etl/log?kind=n%C3%B6%0A", 400, (r"'nö\n'",)),
    ("GET", "/model/etl/log?kind=%FF", 400, ("'\ufffd'",)),
    ("GET", "/model/etl/log?window=soon", 400, ("'soon'", *FORMS)),
    ("GET", "/model/etl/log?window=", 400, ("''", *FORMS)),
    ("GET", "/model/etl/log?window=2022-06-31T00:00:00Z,2022-07-01T00:00:00Z", 400, ("day is out of range", *FORMS)),
    ("GET", "/model/etl/log?window=today&window=week", 400, ("the query has 2 values of 'window'", "give one")),
    ("GET", "/model/etl/log?" + "&".join(["kind=AssetSet"] * 101), 400, ("fields",)),
    ("GET", "/model/etl/log?kind=" + "x" * 5_000, 400, ("xxx…",)),
    ("GET", "/model/etl/log?kind=" + "A," * 4_096, 414, ("8,197 characters", "limit is 8,192", "each kind once")),
    ("GET", "/model/etl/log?" + "x" * 8_193, 414, ("8,193 characters", "limit is 8,192")),
    ("GET", "/static", 404, ("'/static' does not exist", "GET /model/etl/log")),
    ("GET", "/static/page.py", 404, ("'/static/page.py' does not exist",)),
    ("GET", "/index.html", 404, ("'/index.html' does not exist",)),
    ("GET", "/model/etl/log/x", 404, ("'/model/etl/log/x' does not exist",)),
    ("GET", "/model/etl/logs", 404, ("'/model/etl/logs' does not exist",)),
    ("GET", "/caf%C3%A9/", 404, ("'/café' does not exist",)),
    ("GET", "/%1b%5b31m", 404, (r"'/\x1b[31m' does not exist",)),
    ("POST", "/metrics", 404, ("only by `otel-kcevents serve`", "start_http_server(metrics=True)")),
    ("GET", "/model/etl/events", 404, ("this source, only from a journal, which", "GET /model/etl/log")),
    ("POST", "/model/etl/events", 404, ("is not available from this source",)),
    ("GET", "/model/etl/runs?limit=0", 400, ("from 1 to 1,000, got '0'",)),
    ("GET", "/model/etl/coverage?window=soon", 400, ("'soon'", "a month, an interval", "2024-09-02T10:00Z/1h or 7d")),
    ("GET", "/model/etl/coverage?grace=soon", 400, ("a duration such as 90m, 2h or 1d, got 'soon'",)),
    ("GET", "/model/etl/coverage?grace=P1M", 400, ("a duration such as 90m, 2h or 1d, got 'P1M'",)),
    ("GET", "/model/etl/coverage?grace=1h&grace=2h", 400, ("2 values of 'grace'", "give one")),
    *[
        ("POST", path, 405, ("'POST' is not allowed", "use GET"))
        for path in ("/", "/static/page.js", "/model/etl/page", "/model/etl/coverage", "/model/etl/runs")
    ],
    *[
        (method, "/model/etl/log", 405, (f"'{method}' is not allowed", "use GET"))
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
    ],
]

SPELLINGS = ["/model/etl/log/", "/model/etl/lo%67", "/model%2Fetl/log"]

REQUESTS = [
    *[("GET", f"{LOG_PATH}{query}") for query, _ in SHOWN],
    *[(method, target) for method, target, *_ in REFUSED],
    *[("GET", target) for target in (*SPELLINGS, "/model/etl/runs", "/model/etl/runs/?limit=1")],
    *[("HEAD", target) for target in (LOG_PATH, f"{LOG_PATH}?kind=AssetSet", f"{LOG_PATH}?kind=Nope", "/static")],
]
PAGE = [
    ("/", "text/html"),
    ("/?window=30d&errors=1", "text/html"),
    ("/static/page.css", "text/css"),
    ("/static/page.js", "text/javascript"),
]
PAGE_REQUESTS = [(method, target) for method in ("GET", "HEAD") for target, _ in PAGE]


@pytest.mark.parametrize(("method", "target"), [*REQUESTS, *PAGE_REQUESTS])
def test_every_interface_gives_the_same_response(ask: Any, log: Source, method: str, target: str) -> None:
    """Status, headers and body are those of `respond()`."""
    assert ask(log, method, target) == ask_respond(log, method, target)


@pytest.mark.parametrize(("method", "target"), REQUESTS)
def test_every_response_is_uncached_json(log: Source, method: str, target: str) -> None:
    answer = ask_respond(log, method, target)
    body = ask_respond(log, "GET", target).body if method == "HEAD" else answer.body
    assert answer.headers == {
        "content-type": "application/json; charset=utf-8",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        **({"allow": "GET, HEAD"} if answer.status == 405 else {}),
    }
    assert (answer.body == b"") == (method == "HEAD")


@pytest.mark.parametrize(("query", "kinds"), SHOWN)
def test_query_selects_from_the_lists(log: Source, query: str, kinds: tuple[str, ...]) -> None:
    """`kind` and `window` select events; the counters are never filtered."""
    answer = ask_respond(log, "GET", f"{LOG_PATH}{query}")
    assert answer.status == 200
    document = read_document(answer.body)
    assert sorted(event.kind for events in document.lists.values() for event in events) == sorted(kinds)
    assert document.counters == dict.fromkeys(sorted(ALL), 1)


@pytest.mark.parametrize(("method", "target", "status", "parts"), REFUSED)
def test_refusal_has_value_and_remedy(
    log: Source, method: str, target: str, status: int, parts: tuple[str, ...]
) -> None:
    answer = ask_respond(log, method, target)
    assert answer.status == status
    for part in parts:
        assert part in answer.message
    assert len(answer.body) < 1_000


@pytest.mark.parametrize("target", SPELLINGS)
def test_other_spelling_of_the_path_is_the_same_log(log: Source, target: str) -> None:
    assert ask_respond(log, "GET", target) == ask_respond(log, "GET", LOG_PATH)


def test_head_has_the_status_of_get(log: Source) -> None:
    targets = (LOG_PATH, f"{LOG_PATH}?kind=No", "/", "/x")
    assert [ask_respond(log, "HEAD", target).status for target in targets] == [200, 400, 200, 404]


def test_optional_method_of_a_source_has_its_own_path(log: Source) -> None:
    """The response has what the source returns from `runs()`."""
    answer = ask_respond(log, "GET", "/model/etl/runs")
    assert (answer.status, json.loads(answer.body)) == (200, {"code": 200, "data": RUNS})


@pytest.mark.parametrize("path", ["log", "log?kind=AssetSet", "runs", "events?limit=2", "events?run=x"])
def test_every_interface_serves_the_journal_of_a_log(ask: Any, tmp_path: Path, path: str) -> None:
    """It has the events of all processes."""
    journal, log = Journal(write_nights(tmp_path / "log.db")), EventLog()
    log.attach(journal)
    expected = ask_respond(journal, "GET", f"/model/etl/{path}")
    assert ask(log, "GET", f"/model/etl/{path}") == expected
    assert expected.status == (400 if "run=x" in path else 200)


def test_sources_without_runs_are_a_404_with_the_reason(ask: Any) -> None:
    """Whether a program has a journal is only known when it is asked."""
    answer = ask(merge(filled(), filled()), "GET", "/model/etl/runs")
    assert answer.status == 404
    assert (
        "'/model/etl/runs' is not available from this source: EventLog(retention=256) cannot list runs"
        in answer.message
    )


def test_journal_can_be_attached_while_it_is_served(ask: Any, tmp_path: Path) -> None:
    log = EventLog()
    assert ask(log, "GET", "/model/etl/runs").status == 404
    detach = log.attach(Journal(write_nights(tmp_path / "log.db")))
    assert read_document(ask(log, "GET", LOG_PATH).body).counters["AssetSetSaved"] == 5
    detach()
    assert read_document(ask(log, "GET", LOG_PATH).body).counters == {}


def test_unreachable_source_is_a_503_with_the_reason(ask: Any) -> None:
    """A server may serve another program's log, which may not run."""
    answer = ask(RemoteLog("127.0.0.1:1"), "GET", f"{LOG_PATH}?kind=AssetSet")
    assert answer.status == 503
    assert "cannot be read: http://127.0.0.1:1/model/etl/log does not answer" in answer.message


def test_body_is_the_document_in_utf_8(log: Source) -> None:
    assert ask_respond(log, "GET", LOG_PATH).body == log.document().to_json().encode()


def test_window_counts_back_from_now(log: Source) -> None:
    noon = Window("2022-06-03T12:00:00Z").start
    body = respond("GET", LOG_PATH, "window=1d", log=log, now=noon).body
    assert [event.kind for event in read_document(body).lists["asset"]] == ["AssetSetSaved"]


def test_repeated_kind_is_looked_up_once() -> None:
    asked: list[str] = []

    class Asked(EventLog):
        def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
            asked.extend(kinds)
            return super().document(kinds, window, limit)

    assert respond("GET", LOG_PATH, "kind=Asset,Asset&kind=Asset,Allocation", log=Asked()).status == 200
    assert asked == ["Asset", "Allocation"]


def test_overlong_query_does_not_reach_the_log() -> None:
    assert respond("GET", LOG_PATH, "kind=" + "A," * 32_000, log=Broken()).status == 414


# The page


@pytest.mark.parametrize(("target", "media_type"), PAGE)
def test_file_of_the_page_has_its_headers(log: Source, target: str, media_type: str) -> None:
    """Nothing is loaded from elsewhere, no string becomes HTML, and a browser asks for each file again."""
    answer = ask_respond(log, "GET", target)
    assert answer.status == 200
    policy = dict(directive.split(" ", 1) for directive in answer.headers.pop("content-security-policy").split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert answer.headers == {
        "content-type": f"{media_type}; charset=utf-8",
        "content-length": str(len(answer.body)),
        "cache-control": "no-cache",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
    }


def test_page_is_there_if_the_source_cannot_be_read() -> None:
    answers = [ask_respond(Broken(), "GET", target) for target, _ in PAGE]
    assert [answer.status for answer in answers] == [200] * len(PAGE)


def facts(log: Source, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(respond("GET", "/model/etl/page", log=log, **options).body)["data"]
    return found


def test_facts_for_the_page_describe_the_server(tmp_path: Path) -> None:
    journal, template = Journal(tmp_path / "log.db"), "https://jaeger/trace/{trace_id}"
    assert facts(journal, trace_url=template, report=str) == {
        "source": str(tmp_path / "log.db"),
        "version": __version__,
        "traceUrl": template,
        "report": True,
    }
    assert facts(journal) == {"source": str(journal), "version": __version__, "traceUrl": None, "report": False}


def test_facts_for_the_page_name_the_process() -> None:
    assert facts(EventLog())["source"].endswith(f", process {os.getpid()}, in memory")


@pytest.mark.parametrize("take", [make_wsgi_app, make_asgi_app, partial(start_http_server, 0), facts])
@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("http://jaeger/trace/", ValueError),
        ("jaeger/{trace_id}", ValueError),
        ("javascript:alert('{trace_id}')", ValueError),
        ("http:///{trace_id}", ValueError),
        ("http://[/{trace_id}", ValueError),
        ("", ValueError),
        (7, TypeError),
    ],
)
def test_template_that_is_not_a_web_page_is_an_error(take: Any, template: Any, error: type[Exception]) -> None:
    """It shows the value and an example."""
    with pytest.raises(
        error, match=re.escape(f"got {template!r}; expected a URL such as 'http://localhost:16686/trace/")
    ):
        take(log=EventLog(), trace_url=template)


def test_runs_are_limited_to_the_newest_roots(tmp_path: Path) -> None:
    """A run is listed with the processes that it started."""
    journal = Journal(write_nights(tmp_path / "log.db"))
    listed = [json.loads(respond("GET", "/model/etl/runs", f"limit={n}", log=journal).body)["data"] for n in (1, 2, 3)]
    assert ["".join(run["id"][0] for run in runs) for runs in listed] == ["edc", "edcba", "edcba"]


def test_coverage_is_what_the_query_selects(tmp_path: Path) -> None:
    journal, now = Journal(write_nights(tmp_path / "log.db")), datetime(2022, 6, 6, tzinfo=timezone.utc)
    body = respond("GET", "/model/etl/coverage", "window=3d&resolution=daily&grace=90m", log=journal, now=now).body
    query = CoverageQuery(Window.parse("3d", now), "daily", 90 * 60 * SECOND, to_ns(now))
    assert json.loads(body) == {"code": 200, "data": coverage(journal, query).to_dict()}
    assert {row.grace for row in coverage(journal, query).rows} == {90 * 60 * SECOND}


def test_range_of_a_snapshot_ends_when_it_was_saved(tmp_path: Path) -> None:
    """Unless the caller gives the time."""
    file, saved_at = tmp_path / "log.json", to_ns("2022-06-06T10:00:00Z")
    file.write_text(filled().document().to_json(), encoding="utf-8")
    os.utime(file, ns=(saved_at, saved_at))
    for now, end, as_of in ((None, "06T10", "2022-06-06T10:00:00Z"), (datetime(2022, 6, 7), "07T00", None)):
        body = respond("GET", "/model/etl/coverage", "window=24h", log=SavedLog(str(file)), now=now).body
        data = json.loads(body)["data"]
        assert (data["window"]["end"], data["asOf"]) == (f"2022-06-{end}:00:00Z", as_of)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2022-06-02/2022-06-04", 2, 4),
        ("2022-06-03", 3, 4),
        ("2022-06", 1, 6),
        ("2022-06-03T00:00Z/1d", 3, 4),
        ("2022-06-04/..", 4, 6),
        ("1654128000,1654300800", 2, 4),
    ],
)
def test_range_of_a_coverage_has_the_forms_of_the_command(log: Source, text: str, start: int, end: int) -> None:
    now = datetime(2022, 6, 6, tzinfo=timezone.utc)
    body = respond("GET", "/model/etl/coverage", f"window={text}", log=log, now=now).body
    window = json.loads(body)["data"]["window"]
    assert window == {"start": f"2022-06-0{start}T00:00:00Z", "end": f"2022-06-0{end}T00:00:00Z"}


def test_default_log_is_shown() -> None:
    assert respond("GET", LOG_PATH).body == default_log.document().to_json().encode()


# Mounted elsewhere


def in_starlette(log: Source, target: str) -> Answer:
    return ask_app(mounted(log, "/tools"), "GET", target, follow_redirects=True)


def in_fastapi(log: Source, target: str) -> Answer:
    app = FastAPI()
    app.mount("/tools", make_asgi_app(log))
    return ask_app(app, "GET", target, follow_redirects=True)


def in_flask(log: Source, target: str) -> Answer:
    """As Flask's documentation combines applications."""
    app = DispatcherMiddleware(Flask(__name__), {"/tools": make_wsgi_app(log)})
    client = Client(app)
    response = client.get(target)
    if response.status_code == 307:  # the client resolves no relative URL
        response = client.get(urljoin(target, response.headers["Location"]))
    return Answer(response.status_code, low(response.headers.items()), response.data)


FRAMEWORKS = {
    "Starlette": in_starlette,
    "FastAPI": in_fastapi,
    "Flask": in_flask,
}

MOUNTS = [
    ("/x", "/model/etl/log"),
    ("/a/b", "/model/etl/log/"),
    ("/caf%C3%A9", "/model/etl/log"),
    ("/model", "/etl/log"),
    ("/model/etl", "/log"),
    ("/model/etl/log", "/"),
    ("/x/model", "/etl/log"),
    ("/x/model/etl/log", "/"),
    ("/x", "/model/etl/runs"),
    ("/model/etl", "/runs/"),
    ("/x/model/etl", "/runs"),
]
OTHER_PATHS = [
    ("/x", "/log"),
    ("/model", "/log"),
    ("/model/etl/log", "/x"),
    ("/model/etl/log", "/runs"),
]


def mounted(log: Source, mount: str) -> Starlette:
    return Starlette(routes=[Mount(unquote(mount), app=make_asgi_app(log))])


@pytest.mark.parametrize(("mount", "path"), MOUNTS)
def test_mounted_app_finds_the_path(log: Source, mount: str, path: str) -> None:
    """The mount point may be above the served path, on it, or anywhere else."""
    expected = ask_respond(log, "GET", f"/model/etl/{'runs' if 'runs' in path else 'log'}")
    assert ask_app(mounted(log, mount), "GET", mount + path) == expected
    assert ask_wsgi(log, "GET", path, unquote_to_bytes(mount).decode("latin-1")) == expected


@pytest.mark.parametrize("mount", ["/tools", "/a/b", "/caf%C3%A9", "/model", "/model/etl"])
@pytest.mark.parametrize("path", ["/", "/static/page.css", "/static/page.js", "/model/etl/log", "/model/etl/page"])
def test_mounted_page_finds_what_it_needs(log: Source, mount: str, path: str) -> None:
    """Its URLs are relative to the mount point, also to one that is part of the log's path."""
    expected = ask_respond(log, "GET", path)
    assert expected.status == 200
    assert ask_app(mounted(log, mount), "GET", mount + path) == expected
    assert ask_wsgi(log, "GET", path, unquote_to_bytes(mount).decode("latin-1")) == expected


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("mount", "target", "location"),
    [
        ("/tools", "", "./tools/"),
        ("/a/b", "?window=30d&etl=a+b%26c", "./b/?window=30d&etl=a+b%26c"),
        ("/café", "", "./caf%C3%A9/"),
        ("/http:x", "", "./http%3Ax/"),
        ("/model", "", "./model/"),
    ],
)
def test_mount_point_without_a_slash_is_redirected(
    log: Source, method: str, mount: str, target: str, location: str
) -> None:
    """By a relative URL, which is right behind a proxy that changes the path."""
    wsgi = ask_wsgi(log, method, target, mount.encode().decode("latin-1"))
    scope = {"type": "http", "method": method, "root_path": mount, "path": mount}
    start, body = drive(make_asgi_app(log), {**scope, "query_string": target[1:].encode()})
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert (wsgi.status, wsgi.headers["location"]) == (307, location)
    assert Answer(start["status"], headers, body["body"]) == wsgi
    assert (wsgi.body == b"") == (method == "HEAD")


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("target", ["/tools", "/tools?window=30d", "/tools/", "/tools/static/page.js"])
def test_page_can_be_mounted_in_a_framework(log: Source, framework: str, target: str) -> None:
    """With the query, and also if the mount point is asked for without its slash."""
    answer = FRAMEWORKS[framework](log, target)
    expected = ask_respond(log, "GET", "/static/page.js" if target.endswith(".js") else "/")
    assert answer.status == 200
    assert (answer.body, answer.headers["content-type"]) == (expected.body, expected.headers["content-type"])


@pytest.mark.parametrize("mount", ["/model/etl/log", "/x/model/etl/log"])
def test_wsgi_app_answers_its_mount_point(log: Source, mount: str) -> None:
    assert ask_wsgi(log, "GET", "", mount) == ask_respond(log, "GET", LOG_PATH)


@pytest.mark.parametrize(("mount", "path"), OTHER_PATHS)
def test_mounted_app_refuses_other_paths(log: Source, mount: str, path: str) -> None:
    """The message shows the path as the application sees it."""
    expected = ask_respond(log, "GET", path)
    assert expected.status == 404
    assert ask_app(mounted(log, mount), "GET", mount + path) == expected
    assert ask_wsgi(log, "GET", path, mount) == expected


def test_redirect_to_the_mount_point_leads_to_the_log(log: Source) -> None:
    """Starlette redirects the mount point to the same path with a slash."""
    answer = ask_app(mounted(log, LOG_PATH), "GET", f"{LOG_PATH}?kind=AssetSet", follow_redirects=True)
    assert answer == ask_respond(log, "GET", f"{LOG_PATH}?kind=AssetSet")


def drive(app: Any, scope: dict[str, Any], *received: dict[str, Any]) -> list[MutableMapping[str, Any]]:
    """Return what an ASGI app sends."""
    coming, sent = iter(received), []

    async def receive() -> dict[str, Any]:
        return next(coming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def test_asgi_app_accepts_a_path_without_its_root(log: Source) -> None:
    """Older servers omit the mount point from `path`."""
    scope = {"type": "http", "method": "GET", "root_path": "/model", "path": "/etl/log"}
    start, body = drive(make_asgi_app(log), scope)
    assert start["status"] == 200
    assert body["body"] == ask_respond(log, "GET", LOG_PATH).body


def test_asgi_app_needs_no_event_loop_of_asyncio(tmp_path: Path) -> None:
    """With another framework's loop, such as trio's, a journal is read in the loop."""
    journal, sent = Journal(write_nights(tmp_path / "log.db")), list[MutableMapping[str, Any]]()

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": LOG_PATH}
    with pytest.raises(StopIteration):
        make_asgi_app(journal)(scope, receive, send).send(None)  # type: ignore[attr-defined]
    assert sent[1]["body"] == ask_respond(journal, "GET", LOG_PATH).body


def test_asgi_app_starts_up_and_shuts_down(log: Source) -> None:
    """It answers both messages of the lifespan protocol, and returns after the second."""
    received = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = drive(make_asgi_app(log), {"type": "lifespan"}, *received)
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


def test_asgi_app_closes_a_websocket(log: Source) -> None:
    [message] = drive(make_asgi_app(log), {"type": "websocket", "path": LOG_PATH}, {"type": "websocket.connect"})
    assert message["type"] == "websocket.close"
