"""`start_http_server()`: starting and closing, its arguments, and the documents that it caches."""

from __future__ import annotations

import copy
import os
import pickle
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from time import sleep
from typing import Any
from urllib.request import urlopen

import pytest
from clients import ASSETS, GENEROUS, Answer, Broken, Slow, ask_port, connected, read_all
from conftest import run_program, wait_until

from otel_kcevents import start_http_server
from otel_kcevents.model.document import LOG_PATH, Document, read_document
from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.serve.respond import respond
from otel_kcevents.store.log import EventLog


@pytest.mark.parametrize(("addr", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")], ids=["IPv4", "IPv6"])
def test_port_0_takes_a_free_port(log: EventLog, addr: str, host: str) -> None:
    """The server's `url` leads to the log."""
    try:
        server = start_http_server(0, addr, log)
    except OSError:
        pytest.skip(f"this machine does not have {addr}")
    with server:
        assert server.url == f"http://{host}:{server.port}/model/etl/log"
        with urlopen(server.url, timeout=GENEROUS) as answer:
            assert answer.read() == respond("GET", LOG_PATH, log=log).body


def test_repr_of_a_server_has_its_url(log: EventLog) -> None:
    """A notebook shows where the log is, and whether it is still there."""
    with start_http_server(0, log=log) as server:
        assert repr(server) == f"<LogServer http://127.0.0.1:{server.port}/model/etl/log>"
    assert repr(server) == f"<LogServer http://127.0.0.1:{server.port}/model/etl/log (closed)>"


def test_server_cannot_be_copied_or_pickled(log: EventLog) -> None:
    with start_http_server(0, log=log) as server:
        for again in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="start one in each process"):
                again(server)


def test_close_frees_the_port(log: EventLog) -> None:
    """Another server can take it, even though a client is still connected to the first."""
    with start_http_server(0, log=log) as server, connected(server.port):
        ask_port(server.port)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            ask_port(server.port)
        with start_http_server(server.port, log=log) as second:
            assert ask_port(second.port).status == 200


def test_close_does_not_wait_for_silent_clients(log: EventLog) -> None:
    with start_http_server(0, log=log, timeout=3_600) as server, connected(server.port) as client:
        assert ask_port(server.port, "HEAD").status == 200  # so the earlier connection has been accepted
        server.close()
        assert read_all(client) == b""


def test_closing_twice_does_nothing(log: EventLog) -> None:
    """A server that has taken the port since then keeps it."""
    server = start_http_server(0, log=log)
    server.close()
    with start_http_server(server.port, log=log) as second:
        server.close()
        assert ask_port(second.port).status == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_child_does_not_hold_the_port() -> None:
    """`close()` returns in a child, and the parent can take the port again while the child lives."""
    assert run_program("fork_with_server") == ("free\n", "")


def test_error_shows_the_port_in_use(port: int) -> None:
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}: .*; port 0 selects a free one"):
        start_http_server(port)


@pytest.mark.parametrize(("port", "addr"), [(70_000, "127.0.0.1"), (-1, "127.0.0.1"), (0, "256.0.0.1")])
def test_error_shows_the_impossible_address(port: int, addr: str) -> None:
    """An OSError with a number, as for a port in use."""
    with pytest.raises(OSError, match=rf"\[Errno -?\d+\] .*{re.escape(addr)}:{port}: .*; port 0 selects a free one"):
        start_http_server(port, addr)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"port": True}, TypeError, "port must be an integer such as 9003, or 0 for a free port, got True"),
        ({"port": "9003"}, TypeError, "or 0 for a free port, got '9003'"),
        ({"addr": ""}, ValueError, "addr must be an address such as '127.0.0.1', or '0.0.0.0' for every one, got ''"),
        ({"addr": 5}, TypeError, "or '0.0.0.0' for every one, got 5"),
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
    ],
)
def test_wrong_argument_is_an_error(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """It shows the value and what was expected."""
    with pytest.raises(error, match=re.escape(message)):
        start_http_server(**{"port": 0, **arguments})


# The age of a document


def sizes(answer: Answer) -> list[int | None]:
    return [event.size for event in read_document(answer.body).lists["asset"]]


def test_full_document_is_cached() -> None:
    """GET and HEAD of the full log are answered from one document within `cache_seconds`."""
    log = EventLog()
    with start_http_server(0, log=log, cache_seconds=60) as server:
        first = ask_port(server.port, "HEAD")
        log.append(ASSETS)
        second, third = ask_port(server.port, "HEAD"), ask_port(server.port, target=f"{LOG_PATH}/?")
        assert sizes(third) == []
        assert first.body == second.body == b""
        assert len({answer.headers["content-length"] for answer in (first, second, third)}) == 1


@pytest.mark.parametrize("target", [f"{LOG_PATH}?kind=Asset", "/model/etl/runs"])
def test_other_responses_are_not_cached(target: str) -> None:
    class LogWithRuns(EventLog):
        def runs(self) -> dict[str, int]:
            return self.counts()

    log = LogWithRuns()
    with start_http_server(0, log=log, cache_seconds=60) as server:
        before = ask_port(server.port, target=target)
        log.append(ASSETS)
        assert before.body != ask_port(server.port, target=target).body


def test_cached_document_is_replaced() -> None:

    log = EventLog()
    with start_http_server(0, log=log) as server:
        assert sizes(ask_port(server.port)) == []
        log.append(ASSETS)
        wait_until(lambda: sizes(ask_port(server.port)) == [29])


def test_simultaneous_clients_share_one_document() -> None:
    log = Slow()
    with start_http_server(0, log=log, cache_seconds=60) as server, ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask_port, server.port) for _ in range(4)]
        assert log.asked.wait(GENEROUS)
        log.go_on.set()
        assert len({answer.result().body for answer in answers}) == 1
    assert log.documents == 1


# Errors of the source, and load


class Unwritable(EventLog):
    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        return Document({"asset": (Event("AssetSetSaved", 10**30),)}, {})


@pytest.mark.parametrize("log", [Broken(), Unwritable()], ids=["cannot be read", "cannot be written"])
def test_error_of_the_source_is_hidden_from_the_client(port: int, debug: pytest.LogCaptureFixture) -> None:
    """The client gets a 500 without the reason, which is in the program's log with its traceback."""
    answer = ask_port(port)
    assert answer.status == 500
    assert "the program's logging output has the reason" in answer.message
    [error] = [record for record in debug.records if record.levelname == "ERROR"]
    assert error.getMessage() == "cannot answer GET '/model/etl/log'"
    assert error.exc_info
    assert ask_port(port, "HEAD").body == b""


def test_responses_while_threads_append_are_consistent() -> None:
    """While four threads append, each of 400 responses is a valid log whose counters never decrease."""
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
