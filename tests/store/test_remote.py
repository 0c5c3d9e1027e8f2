"""`RemoteLog`: a running program's log over HTTP, and clear errors for everything else."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from typing import Any

import pytest
from clients import DAY, Stage, canned, closed_port, filled, log_of, raw_response

from otel_kcevents.model.document import LOG_PATH
from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.remote import RemoteLog, RemoteLogError

REMEDY = "start the program, give the address at which it serves its log, or read its journal"
EMPTY = b'{"code":200,"data":{"allocation":[],"asset":[],"counters":{}}}'


@pytest.fixture
def remote(url: str) -> RemoteLog:
    """The log of a program with four events."""
    return RemoteLog(url)


def test_remote_log_is_the_programs_log(remote: RemoteLog, log: EventLog) -> None:
    assert remote.document() == log.document()
    assert remote.counts() == log.counts()


@pytest.mark.parametrize(
    ("kinds", "window"),
    [
        (["AssetSet", "AllocationSetT"], None),
        ("AllocationSet", None),
        ((), Window("2022-06-03T17:00:00Z", "2022-06-03T17:07:54.2Z")),
        ((), Window("2022-06-03T17:00:00Z")),
        ((), Window(None, "2022-06-03T17:00:00Z")),
        (["AssetSet"], DAY),
    ],
)
def test_kinds_and_window_are_applied_by_the_program(
    remote: RemoteLog, log: EventLog, kinds: Any, window: Window | None
) -> None:
    assert remote.document(kinds, window) == log.document(kinds, window)


def test_kinds_may_be_separated_by_commas(remote: RemoteLog, log: EventLog) -> None:
    """As in a query."""
    assert remote.document("AssetSet,AllocationSetT") == log.document(["AssetSet", "AllocationSetT"])


def test_limit_trims_the_received_lists(remote: RemoteLog, stage: Stage) -> None:
    """The newest events of each kind remain; the counters are not changed."""
    stage.log = log_of(*(Event(kind, time) for time in range(5) for kind in ("AssetSetSaved", "AssetSetTotaled")))
    document = remote.document(limit=2)
    assert [(event.kind, event.time) for event in document.lists["asset"]] == [
        (kind, time) for time in (4, 3) for kind in ("AssetSetSaved", "AssetSetTotaled")
    ]
    assert document.counters == {"AssetSetSaved": 5, "AssetSetTotaled": 5}


@pytest.mark.parametrize("limit", [0, 1.5, True])
def test_wrong_limit_is_a_value_error(remote: RemoteLog, limit: Any) -> None:
    with pytest.raises(ValueError, match=f"limit must be an integer of at least 1, got {limit}"):
        remote.document(limit=limit)


@pytest.mark.parametrize("kind", ["Nope", "Nope\udcff"])
def test_refused_kind_is_a_value_error(remote: RemoteLog, kind: str) -> None:
    """The message is the program's own."""
    with pytest.raises(ValueError, match=r"'Nope.*AllocationSetTotaled"):
        remote.document([kind])


def test_unknown_kinds_and_metadata_are_kept() -> None:
    """Other products that serve this document have kinds of their own."""
    event = {"kind": "AssetSetDeletedEvent", "metadata": {"reason": "old"}, "time": "2022-06-03T17:07:54Z"}
    data = {"allocation": [], "asset": [event], "counters": {"AssetSetDeletedEvent": 3}}
    with canned(raw_response("200 OK", json.dumps({"code": 200, "data": data}).encode())) as (url, _):
        document = RemoteLog(url).document()
    assert document.to_dict()["data"] == data


# Addresses


@pytest.mark.parametrize(
    "form",
    [
        "127.0.0.1:{port}",
        "localhost:{port}",
        "http://127.0.0.1:{port}",
        "http://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/model/etl/log",
        "http://127.0.0.1:{port}/model/etl/log/",
        "http://127.0.0.1:{port}/model/etl/log#asset",
        "HTTP://127.0.0.1:{port}",
    ],
)
def test_address_is_accepted_in_any_form(remote: RemoteLog, port: int, form: str) -> None:
    """Host and port, a base URL or the log's own URL lead to the log."""
    other = RemoteLog(form.format(port=port))
    assert other.document() == remote.document()
    assert (
        str(other) == other.url == remote.url.replace("127.0.0.1", "localhost" if "localhost" in form else "127.0.0.1")
    )


def test_address_may_have_a_path() -> None:
    """If the log is mounted below a path, that path is part of the base URL."""
    with canned(raw_response("200 OK", EMPTY)) as (url, received):
        RemoteLog(f"{url}/etl-tools/").document()
    assert received[0] == "GET /etl-tools/model/etl/log HTTP/1.1"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://127.0.0.1",
        "file:///etc/hosts",
        "127.0.0.1:port",
        "127.0.0.1:70000",
        "127.0.0.1:0",
        "http://",
        "http://[::1",
        "http://127.0.0.1:9003/größe",
        "",
        "http://127.0.0.1:9003/model/etl/log?kind=AssetSet",
    ],
)
def test_wrong_address_is_a_value_error(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not an address; expected one such as 'http://127\.0\.0\.1:9003'"
    ) as error:
        RemoteLog(text)
    assert str(error.value).startswith(f"{text!r} is not an address")


# User and password


def test_user_and_password_are_sent_as_basic_auth() -> None:
    with canned(raw_response("200 OK", EMPTY)) as (url, received):
        remote = RemoteLog(url.replace("//", "//us%65r:p%40ss@"))
        remote.document()
    assert f"Authorization: Basic {b64encode(b'user:p@ss').decode()}" in received
    assert remote.url == f"{url}{LOG_PATH}"


def test_redirect_to_another_server_drops_the_password() -> None:
    with canned(raw_response("200 OK", EMPTY)) as (other, received):
        moved = raw_response("307 Temporary Redirect", b"", f"Location: {other}{LOG_PATH}/")
        with canned(moved) as (url, _):
            RemoteLog(url.replace("//", "//user:secret@")).document()
    assert received[0] == f"GET {LOG_PATH}/ HTTP/1.1"
    assert not any(line.startswith("Authorization") for line in received)


def test_redirect_on_the_same_server_keeps_the_password() -> None:
    with canned(raw_response("307 Temporary Redirect", b"", f"Location: {LOG_PATH}/")) as (url, received):
        remote = RemoteLog(url.replace("//", "//user:secret@"))
        with pytest.raises(RemoteLogError, match="does not answer: "):  # it redirects endlessly
            remote.document()
    requests = sum(line.startswith("GET ") for line in received)
    assert requests == sum(line.startswith("Authorization: Basic ") for line in received) > 1


@pytest.mark.parametrize(
    "wrong", ["http://user:secret@[::1", "ftp://user:secret@etl", "user:secret/@etl:port", "u:secret@"]
)
def test_wrong_address_does_not_show_the_password(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not an address") as error:
        RemoteLog(wrong)
    assert "secret" not in str(error.value)


def test_error_does_not_show_the_password() -> None:
    with closed_port() as port, pytest.raises(RemoteLogError, match="does not answer") as error:
        RemoteLog(f"user:secret@127.0.0.1:{port}").document()
    assert "secret" not in str(error.value)


# Proxies and redirects


def test_loopback_is_asked_without_the_proxy(url: str, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert RemoteLog(url).document() == log.document()


def test_other_host_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with canned(raw_response("200 OK", filled().document().to_json().encode())) as (proxy, _):
        monkeypatch.setenv("http_proxy", proxy)
        assert RemoteLog("http://etl.invalid").document() == filled().document()


def test_redirect_is_followed(remote: RemoteLog) -> None:
    """Frameworks redirect the path of a mounted app to the same path with a slash."""
    with canned(raw_response("307 Temporary Redirect", b"", f"Location: {remote.url}/")) as (url, _):
        assert RemoteLog(url).document() == remote.document()


# Errors


def test_unreachable_program_is_an_error_with_a_remedy() -> None:
    with closed_port() as port, pytest.raises(RemoteLogError) as error:
        RemoteLog(f"127.0.0.1:{port}").document()
    assert str(error.value).startswith(f"http://127.0.0.1:{port}/model/etl/log does not answer: ")
    assert str(error.value).endswith(f"; {REMEDY}")


def test_silent_program_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = RemoteLog(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        with pytest.raises(RemoteLogError, match=f"does not answer: timed out; {REMEDY}"):
            remote.document()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Endless:"], ids=["body", "head"])
def test_endless_response_is_aborted(head: bytes) -> None:
    """The total time is limited even if bytes arrive regularly."""
    expected = "/model/etl/log took more than 0.3 seconds to answer; try again"
    with canned(head, drip=True) as (url, _), pytest.raises(RemoteLogError, match=f"{url}{expected}"):
        RemoteLog(url, total_timeout=0.3).document()


@pytest.mark.parametrize(
    ("size", "problem"), [(16 << 20, "does not serve a log document"), ((16 << 20) + 1, "sends more than 16 MB")]
)
def test_response_over_16_mb_is_refused(size: int, problem: str) -> None:
    """A response of exactly 16 MB is read."""
    with canned(raw_response("200 OK", b" " * size)) as (url, _), pytest.raises(RemoteLogError) as error:
        RemoteLog(url).document()
    assert str(error.value).startswith(f"{url}{LOG_PATH} {problem}")
    assert str(error.value).endswith(REMEDY)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (raw_response("200 OK", b"<html>"), "log document: it is not JSON: Expecting value: line 1 column 1 (char 0);"),
        (raw_response("200 OK", b"\xff"), "it is not UTF-8"),
        (raw_response("200 OK", b'{"code":200,"data":[]}'), "log document: data: expected an object, "),
        (raw_response("200 OK", b"[" * 100_000), "does not serve a log document: "),
        (raw_response("404 Not Found", b"<html>"), f"answers 404: {REMEDY}"),
        (raw_response("404 Not Found", b'{"code":404,"message":"not here"}'), "answers 404: not here"),
        (raw_response("400 Bad Request", b'{"message":"no"}'), "answers 400: no"),
        (raw_response("502 Bad Gateway", b'"gone"'), f"answers 502: {REMEDY}"),
        (raw_response("503 Busy", b"[]"), f"answers 503: {REMEDY}"),
        (raw_response("503 Busy", b"[" * 100_000), f"answers 503: {REMEDY}"),
        (raw_response("204 No Content", b""), f"answers 204: {REMEDY}"),
        (raw_response("302 Found", b"", "Location: /model/etl/log"), "does not answer: "),
        (raw_response("302 Found", b"", "Location: file:///etc/hosts"), "does not answer: "),
        (raw_response("302 Found", b"", "Location: http://[::1"), "does not answer: Invalid IPv6 URL"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer: SSH-2.0-OpenSSH_9.2"),
        (b"", "does not answer: Remote end closed connection without response; start"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", f"; {REMEDY}"),
    ],
)
def test_other_response_is_an_error(sent: bytes, message: str) -> None:
    """The error shows the address and what was received instead of a log."""
    with canned(sent) as (url, _), pytest.raises(RemoteLogError) as error:
        RemoteLog(url).document()
    assert str(error.value).startswith(f"{url}{LOG_PATH} ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "sent", [raw_response("500 Oops", b'{"message":"%s"}' % (b"x" * 10**6)), b"x" * 60_000 + b"\r\n"]
)
def test_error_quotes_only_the_start_of_a_long_message(sent: bytes) -> None:
    with canned(sent) as (url, _), pytest.raises(RemoteLogError, match=r"x{100}") as error:
        RemoteLog(url).document()
    assert len(str(error.value)) < 5_000
