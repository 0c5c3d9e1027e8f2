"""`GET /model/etl/report`: for clients on this machine, unless a program says otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from clients import Answer, Slow, ask_port, filled

from otel_kcevents import make_asgi_app, make_wsgi_app, respond, start_http_server
from otel_kcevents.model.document import read_document
from otel_kcevents.model.report_form import FIRST_LINE, log_in_report
from otel_kcevents.report.secrets import ReportRefusedError
from otel_kcevents.serve.hosts import is_loopback
from otel_kcevents.serve.respond import report_of

REPORT = "/model/etl/report"
LONG = 60.0  # seconds: a report checks whether its endpoints answer


def ask_wsgi(**options: Any) -> Answer:
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": REPORT}
    setup_testing_defaults(environ)
    statuses: list[int] = []
    body: Iterable[bytes] = make_wsgi_app(filled(), **options)(
        environ, lambda status, headers: statuses.append(int(status[:3]))
    )
    return Answer(statuses[0], {}, b"".join(body))


def ask_asgi(**options: Any) -> Answer:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(make_asgi_app(filled(), **options))
        async with httpx.AsyncClient(transport=transport, base_url="http://etl", timeout=LONG) as client:
            return await client.get(REPORT)

    response = asyncio.run(ask())
    return Answer(response.status_code, {}, response.content)


def ask_server(headers: dict[str, str] | None = None, **options: Any) -> Answer:
    with start_http_server(0, log=filled(), **options) as server:
        answer = ask_port(server.port, target=REPORT, headers=headers or {})
    return Answer(answer.status, {}, answer.body)


@pytest.mark.parametrize("answer", [lambda: ask_wsgi(report=True), lambda: ask_asgi(report=True), ask_server])
def test_report_has_the_log_at_its_end(answer: Any) -> None:
    status, _, body = answer()
    assert status == 200
    assert body.startswith(FIRST_LINE.encode())
    assert read_document(log_in_report(body)).counters == filled().counts()


@pytest.mark.parametrize("answer", [ask_wsgi, ask_asgi, lambda: ask_server(report=False)])
def test_report_is_refused_with_the_reason(answer: Any) -> None:
    """Applications are often public."""
    status, _, body = answer()
    assert status == 404
    assert b"only to clients on this machine" in body


def test_reports_are_written_one_at_a_time() -> None:
    """Clients that ask again and again must not make a program busy for long."""
    log = Slow()
    report = report_of(log, timeout=0)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(report)
        assert log.asked.wait(LONG)
        status, _, body = respond("GET", REPORT, report=report)
        log.go_on.set()
    assert status == 503
    assert b"another report is being written" in body
    assert first.result().startswith(FIRST_LINE)


def test_request_through_a_proxy_gets_no_report() -> None:
    """The proxy is on this machine; its client may be anywhere."""
    with start_http_server(0, log=filled(), max_load=1) as server:
        for header in ("Forwarded", "X-Forwarded-For", "x-real-ip", "Via"):
            assert ask_port(server.port, target=REPORT, headers={header: "127.0.0.1"}).status == 404
    assert ask_server({"Via": "127.0.0.1"}, report=True).status == 200


@pytest.mark.parametrize(
    ("options", "headers", "expected"),
    [({}, {}, True), ({"report": False}, {}, False), ({}, {"Via": "1.1 proxy"}, False), ({"report": True}, {}, True)],
)
def test_facts_for_the_page_say_who_gets_a_report(
    options: dict[str, Any], headers: dict[str, str], expected: bool
) -> None:
    with start_http_server(0, log=filled(), **options) as server:
        answer = ask_port(server.port, target="/model/etl/page", headers=headers)
    assert json.loads(answer.body)["data"]["report"] is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%lo", False),
        ("", False),
    ],
)
def test_loopback_addresses_are_recognized(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_report_that_still_holds_a_secret_is_refused() -> None:
    def report() -> str:
        raise ReportRefusedError("the report still holds the value of the variable API_KEY")

    status, _, body = respond("GET", REPORT, log=filled(), report=report)
    assert status == 503
    assert b"the variable API_KEY" in body
