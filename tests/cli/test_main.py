"""Promises of the command `otel-kcevents`, called in this process and run in one of its own."""

from __future__ import annotations

import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from socketserver import StreamRequestHandler, TCPServer
from threading import Event as Flag
from threading import Thread
from typing import IO, Any, NamedTuple

import pytest
from clients import Stage

from otel_kcevents import LogServer, start_http_server
from otel_kcevents.cli import main as command
from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.model.window import Window
from otel_kcevents.serve.respond import LOG_PATH
from otel_kcevents.store.log import EventLog
from otel_kcevents.version import __version__

GENEROUS = 20.0  # seconds after which a test that waits has failed
ROOT = Path(__file__).parents[2]
HEAD = "TIME                            KIND                             SIZE  WINDOW                ERROR\n"

DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
HOUR = Window("2022-06-03T10:00:00Z", "2022-06-03T11:00:00Z")
TOTALED = Event("AllocationSetTotaled", parse_time("2022-06-03T16:58:41.285759258Z"), None, DAY)
SAVED = Event("AllocationSetSaved", parse_time("2022-06-03T17:07:54.092619416Z"), 97, HOUR)
ASSETS = Event("AssetSetSaved", parse_time("2022-06-03T17:07:54.3346484Z"), 29, HOUR)
FAILED = Event("AssetSetComputeError", parse_time("2022-06-03T17:09:00Z"), None, None, Failure("E", "größe", "load"))


class Broken(EventLog):
    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        raise RuntimeError


def log_of(*events: Event, retention: int = 256) -> EventLog:
    log = EventLog(retention)
    for event in events:
        log.append(event)
    return log


STAGE = Stage()


@pytest.fixture(scope="module")
def server() -> Iterator[LogServer]:
    with start_http_server(0, log=STAGE, cache_seconds=0, max_load=1) as server:
        yield server


@pytest.fixture
def url(server: LogServer) -> str:
    """The address of a program whose log has four events."""
    STAGE.log = log_of(TOTALED, SAVED, ASSETS, FAILED)
    return f"http://127.0.0.1:{server.port}"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""

    def run(*argv: str) -> Ran:
        try:
            code: Any = command.main(argv)
        except SystemExit as exit:
            code = exit.code
        return Ran(code, *capsys.readouterr())

    return run


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def canned(answer: bytes) -> Iterator[str]:
    """The address of a server that answers with these bytes whatever it is asked."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def answer(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


# otel-kcevents log


def test_log_shows_the_events_and_the_counters(run: Run, url: str) -> None:
    """The events of both lists come newest first in columns, then the counters."""
    assert run("log", url) == (
        0,
        """\
TIME                            KIND                  SIZE  WINDOW                ERROR
2022-06-03T17:09:00Z            AssetSetComputeError     -  -                     load: E: größe
2022-06-03T17:07:54.3346484Z    AssetSetSaved           29  2022-06-03T10:00Z/1h
2022-06-03T17:07:54.092619416Z  AllocationSetSaved      97  2022-06-03T10:00Z/1h
2022-06-03T16:58:41.285759258Z  AllocationSetTotaled     -  2022-06-03/1d

KIND                  COUNT
AllocationSetSaved        1
AllocationSetTotaled      1
AssetSetComputeError      1
AssetSetSaved             1
""",
        "",
    )


def test_log_of_a_program_that_did_nothing_yet(run: Run, url: str) -> None:
    """An empty log is said to be one."""
    STAGE.log = EventLog()
    assert run("log", url) == (0, "no events\n", "")


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z", "2022-06-03/1d"),
        ("2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z", "2022-01-01/365d"),
        ("2022-06-03T10:00:00Z", "2022-06-03T11:00:00Z", "2022-06-03T10:00Z/1h"),
        ("2022-06-03T10:00:00Z", "2022-06-04T11:00:00Z", "2022-06-03T10:00Z/25h"),
        ("2022-06-03T10:45:00Z", "2022-06-03T11:00:00Z", "2022-06-03T10:45Z/15m"),
        ("2022-06-03T10:45:10Z", "2022-06-03T10:46:10Z", "2022-06-03T10:45:10Z/1m"),
        ("2022-06-03T10:00:00.5Z", "2022-06-03T11:00:00.5Z", "2022-06-03T10:00:00.5Z/1h"),
        ("2022-06-03T00:00:00Z", "2022-06-03T23:59:59Z", "2022-06-03/2022-06-03T23:59:59Z"),
        ("2022-06-03T00:00:00Z", "2022-06-05T00:01:00Z", "2022-06-03/2022-06-05T00:01Z"),
        ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00.000000001Z", "2022-06-03/2022-06-04T00:00:00.000000001Z"),
        ("2022-06-03T10:00:00Z", "2022-06-03T10:00:00Z", "2022-06-03T10:00Z/0d"),
        ("2022-06-03T00:00:00Z", None, "2022-06-03/.."),
        (None, "2022-06-03T10:00:00Z", "../2022-06-03T10:00Z"),
        (None, None, "../.."),
    ],
)
def test_log_shows_a_window_short_but_exact(run: Run, url: str, start: str, end: str, shown: str) -> None:
    """A window is its start and its length, or its end where the length is no small round one or an end is open."""
    STAGE.log = log_of(Event("AssetSetTotaled", 1, window=Window(start, end)))
    assert run("log", url).out.splitlines()[1] == f"1970-01-01T00:00:00.000000001Z  AssetSetTotaled     -  {shown}"


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (Failure("builtins.KeyError", "'cpu'", "save"), "save: builtins.KeyError: 'cpu'"),
        (Failure("KeyError", "'cpu'"), "KeyError: 'cpu'"),
        (Failure("TimeoutError", ""), "TimeoutError"),
        (
            Failure("E", "two\nlines\r\x1b[2J\x7f\x9b\u2028\u202e end"),
            r"E: two\nlines\r\u001b[2J\u007f\u009b\u2028\u202e end",
        ),
        (Failure("E", "half \ud83d"), r"E: half \ud83d"),
        (Failure("E", "日本 🙂"), "E: 日本 🙂"),
    ],
)
def test_log_shows_an_error_on_one_line(run: Run, url: str, failure: Failure, shown: str) -> None:
    """What could steer the terminal or break the line is shown as an escape, everything else as it is."""
    STAGE.log = log_of(Event("AssetSetComputeError", 1, failure=failure))
    row = run("log", url).out.split("\n")[1]
    assert row == f"1970-01-01T00:00:00.000000001Z  AssetSetComputeError     -  -       {shown}"


def test_log_selects_by_kind_and_window(run: Run, url: str) -> None:
    """`--kind`, several times, and `--window` are handed to the program."""
    options = (
        "--kind",
        "AssetSet",
        "--kind",
        "AllocationSetT",
        "--window",
        "2022-06-03T16:00:00Z,2022-06-03T17:08:00Z",
    )
    rows = run("log", *options, url).out.split("\n\n")[0].splitlines()
    assert [row.split()[1] for row in rows] == ["KIND", "AssetSetSaved", "AllocationSetTotaled"]


@pytest.mark.parametrize("option", ["--kind=Nope", "--window=soon", "--kind=Nope\udcff"])
def test_log_tells_the_programs_refusal(run: Run, url: str, option: str) -> None:
    """A wrong `--kind` or `--window` is refused by the program, in its words."""
    ran = run("log", option, url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("otel-kcevents: ")
    assert "'Nope" in ran.err or "'soon'" in ran.err
    assert ran.err.count("\n") == 1


def test_log_json_is_the_document(run: Run, url: str) -> None:
    """`--json` prints the program's own document, indented, and what is not ASCII as it is."""
    whole = STAGE.log.document().to_dict()
    assert run("log", "--json", url) == (0, json.dumps(whole, indent=2, ensure_ascii=False) + "\n", "")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_log_json_is_the_document_on_any_terminal(url: str, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """`--json` is the same document where the terminal has not all characters, and never steers it."""
    message = "größe 日本 🙂 \x00\n\r\x1b[2J\x7f\x9b\u2028 half \ud83d"
    STAGE.log = log_of(Event("AssetSetComputeError", 1, failure=Failure("E", message)))
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding=encoding, newline="\n"))
    assert command.main(["log", "--json", url]) == 0
    printed = terminal.getvalue().decode("utf-8")
    assert all(char.isprintable() for char in printed.replace("\n", ""))
    assert json.loads(printed) == STAGE.log.document().to_dict()


def test_log_is_shown_on_any_terminal(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the terminal has no character for is shown as an escape."""
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii"))
    assert command.main(["log", url]) == 0
    assert rb"load: E: gr\u00f6\u00dfe" in terminal.getvalue()


def test_log_without_a_terminal_ends_well(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose standard output is closed from the start is no error."""
    monkeypatch.setattr(sys, "stdout", None)
    assert command.main(["log", url]) == 0


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
def test_an_address_is_taken_in_any_form(run: Run, url: str, server: LogServer, form: str) -> None:
    """Host and port, a base URL or the log's own URL lead to the log."""
    assert run("log", form.format(port=server.port)) == run("log", url)


def test_the_address_may_have_a_path(run: Run) -> None:
    """Where the log is mounted below a path, that path is the base URL's."""
    with canned(answer("404 Not Found", b"")) as url:
        assert f"{url}/etl-tools/model/etl/log answers 404" in run("log", f"{url}/etl-tools/").err


def test_the_usual_address_needs_no_word(run: Run) -> None:
    """Without an address it is port 9003 of this machine."""
    try:
        usual = start_http_server(9003, log=log_of(SAVED))
    except OSError:
        pytest.skip("port 9003 is in use here")
    with usual:
        assert "AllocationSetSaved" in run("log").out


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
@pytest.mark.parametrize("name", ["log", "tail"])
def test_what_is_no_address_is_wrong_usage(run: Run, name: str, text: str) -> None:
    """An address that can't be one is told with the form of one."""
    ran = run(name, text)
    assert (ran.code, ran.out) == (2, "")
    assert f"{text!r} is not an address; give one such as http://127.0.0.1:9003" in ran.err


@pytest.mark.parametrize("name", ["log", "tail"])
def test_nobody_there_is_told(run: Run, name: str) -> None:
    """Where nothing listens, the message has the address, the reason and the remedy."""
    port = free_port()
    code, out, err = run(name, f"127.0.0.1:{port}")
    assert (code, out) == (1, "")
    assert err.startswith(f"otel-kcevents: http://127.0.0.1:{port}/model/etl/log does not answer: ")
    assert err.endswith("; start the program, or give the address where it serves its log\n")


def test_who_does_not_answer_in_time_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that takes the connection and then says nothing is waited for five seconds, here less."""
    assert command._TIMEOUT == 5
    monkeypatch.setattr(command, "_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, _, err = run("log", f"127.0.0.1:{silent.getsockname()[1]}")
    assert (code, "does not answer: timed out; start the program" in err) == (1, True)


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """The address of a server that sends these bytes, then a space every 10 ms for as long as its client listens."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            try:
                self.wfile.write(head)
                while not left.wait(0.01):
                    self.wfile.write(b" ")
            except ConnectionError:
                pass

    left = Flag()
    with TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            left.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Endless:"], ids=["body", "head"])
def test_endless_answer_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """A server that never stops sending a little is given up after ten seconds in all, here less."""
    assert command._TOTAL_TIMEOUT == 10
    monkeypatch.setattr(command, "_TOTAL_TIMEOUT", 0.3)
    with dripping(head) as url:
        code, out, err = run("log", url)
    assert (code, out) == (1, "")
    assert err.startswith(f"otel-kcevents: {url}/model/etl/log took more than 0.3 seconds to answer; try again, or ")


def test_too_large_answer_is_refused(run: Run) -> None:
    """An answer of 16 MB is read, though it is not a log; one of more is not."""
    most = 16 * 2**20
    with canned(answer("200 OK", b" " * most)) as url:
        assert "is not a log document" in run("log", url).err
    with canned(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (most + 1)) as url:
        code, out, err = run("log", url)
    assert (code, out) == (1, "")
    assert f"{url}/model/etl/log sends more than 16 MB" in err
    assert err.endswith("; start the program, or give the address where it serves its log\n")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (
            answer("200 OK", b"<html>"),
            "is not a log document: it is not JSON: Expecting value: line 1 column 1 (char 0);",
        ),
        (answer("200 OK", b"\xff"), "is not a log document: not a log document: it is not UTF-8"),
        (
            answer("200 OK", b'{"code":200,"data":[]}'),
            "is not a log document: data: expected an object, found []; start",
        ),
        (answer("200 OK", b"[" * 100_000), "is not a log document: "),
        (answer("404 Not Found", b"<html>"), "answers 404: start the program, or give the address"),
        (answer("404 Not Found", b'{"code":404,"message":"not here"}'), "answers 404: not here\n"),
        (answer("502 Bad Gateway", b'"gone"'), "answers 502: start the program"),
        (answer("503 Busy", b"[]"), "answers 503: start the program"),
        (answer("503 Busy", b"[" * 100_000), "answers 503: start the program"),
        (answer("400 Bad Request", b'{"message":"two\\n\\u001b[2Jlines"}'), r"two\n\u001b[2Jlines"),
        (answer("204 No Content", b""), "answers 204: start the program"),
        (answer("302 Found", b"", "Location: /model/etl/log"), "does not answer: "),
        (answer("302 Found", b"", "Location: file:///etc/hosts"), "does not answer: "),
        (answer("302 Found", b"", "Location: http://[::1"), "does not answer: Invalid IPv6 URL"),
        (b"SSH-2.0-OpenSSH_9.2\x1b[2J\r\n", r"does not answer: SSH-2.0-OpenSSH_9.2\u001b[2J"),
        (b"", "does not answer: Remote end closed connection without response; start"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "; start the program, or give the address"),
    ],
)
def test_what_is_no_log_is_told(run: Run, sent: bytes, told: str) -> None:
    """An answer of something else ends in one line that says what came, never in a traceback."""
    with canned(sent) as url:
        code, out, err = run("log", url)
    assert (code, out) == (1, "")
    assert err.startswith("otel-kcevents: ")
    assert told in err
    assert err.count("\n") == 1


def test_a_redirection_is_followed(run: Run, url: str) -> None:
    """Frameworks that send a mounted app's path on to the one with a slash lead to the log."""
    with canned(answer("307 Temporary Redirect", b"", f"Location: {url}{LOG_PATH}/")) as moved:
        assert run("log", moved) == run("log", url)


@pytest.fixture
def fresh_openers() -> Iterator[None]:
    command._opener.cache_clear()
    yield
    command._opener.cache_clear()


@pytest.mark.usefixtures("fresh_openers")
def test_a_proxy_is_not_asked_for_this_machines_programs(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `http_proxy` says, a program on loopback is reached."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert run("log", url).code == 0


@pytest.mark.usefixtures("fresh_openers")
def test_a_proxy_is_asked_for_other_machines_programs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`http_proxy` holds for every other host."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with canned(answer("200 OK", log_of(SAVED).document().to_json().encode())) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert "AllocationSetSaved" in run("log", "http://etl.invalid").out


# otel-kcevents tail


Tail = Callable[..., Ran]


@pytest.fixture
def tail(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> Tail:
    """Run `tail`; each step is done while it waits for its next look, and after the last comes Ctrl-C."""

    def tail(*steps: Callable[[], object], argv: tuple[str, ...] = (), address: str = url) -> Ran:
        coming = iter(steps)

        def sleep(seconds: float) -> None:
            step = next(coming, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(command, "sleep", sleep)
        ran = run("tail", *argv, address)
        assert ran.code == 130
        return ran

    return tail


def append(*events: Event) -> Callable[[], None]:
    def step() -> None:
        for event in events:
            STAGE.log.append(event)  # type: ignore

    return step


def swap(log: EventLog) -> Callable[[], None]:
    return lambda: setattr(STAGE, "log", log)


def nothing() -> None:
    """A step in which nothing happens."""


def row(event: Event) -> str:
    """What `tail` prints for an event without an error."""
    time, kind, size, window, _ = command._cells(event)
    return f"{time:<30}  {kind:<27}  {size:>8}  {window}\n"


def loaded(time: int) -> Event:
    return Event("AssetSetLoaded", time, time, HOUR)


def test_tail_shows_the_past_and_follows(tail: Tail) -> None:
    """The past comes oldest first, then each new event once, in columns that line up from the first row on."""
    late = Event(
        "AllocationSetReconcileError", parse_time("2030-01-01T00:00:00.123456789Z"), None, HOUR, Failure("E", "")
    )
    assert tail(nothing, append(loaded(1), late), nothing, append(loaded(2))) == (
        130,
        """\
TIME                            KIND                             SIZE  WINDOW                ERROR
2022-06-03T16:58:41.285759258Z  AllocationSetTotaled                -  2022-06-03/1d
2022-06-03T17:07:54.092619416Z  AllocationSetSaved                 97  2022-06-03T10:00Z/1h
2022-06-03T17:07:54.3346484Z    AssetSetSaved                      29  2022-06-03T10:00Z/1h
2022-06-03T17:09:00Z            AssetSetComputeError                -  -                     load: E: größe
1970-01-01T00:00:00.000000001Z  AssetSetLoaded                      1  2022-06-03T10:00Z/1h
2030-01-01T00:00:00.123456789Z  AllocationSetReconcileError         -  2022-06-03T10:00Z/1h  E
1970-01-01T00:00:00.000000002Z  AssetSetLoaded                      2  2022-06-03T10:00Z/1h
""",
        "",
    )


@pytest.mark.parametrize(("number", "times"), [("0", []), ("2", [19, 20]), ("99", [*range(1, 21)])])
def test_tail_begins_with_as_many_as_told(tail: Tail, number: str, times: list[int]) -> None:
    """`-n` gives the number of past events, of all lists together."""
    STAGE.log = log_of(*map(loaded, range(1, 21)))
    assert tail(argv=("-n", number)).out == HEAD + "".join(row(loaded(time)) for time in times)


def test_tail_begins_with_ten(tail: Tail) -> None:
    """Without `-n` it is the last ten, as of `tail -f`."""
    STAGE.log = log_of(*map(loaded, range(1, 21)))
    assert tail().out == HEAD + "".join(row(loaded(time)) for time in range(11, 21))


def test_tail_of_an_empty_log_waits_for_the_first_event(tail: Tail) -> None:
    """A program that did nothing yet is followed as any other."""
    STAGE.log = EventLog()
    assert tail(nothing, append(SAVED)) == (130, HEAD + row(SAVED), "")


def test_tail_shows_equal_events_as_often_as_they_come(tail: Tail) -> None:
    """Two events with nothing to tell them apart are two rows."""
    STAGE.log = EventLog()
    assert tail(append(SAVED, SAVED), append(SAVED)).out == HEAD + row(SAVED) * 3


def test_tail_keeps_the_order_of_events_of_one_time(tail: Tail) -> None:
    """Events of one kind and time stay in the order in which they came."""
    STAGE.log = EventLog()
    came = [SAVED._replace(size=size) for size in (3, 1, 2)]
    assert tail(append(*came)).out == HEAD + "".join(map(row, came))


def test_tail_tells_of_events_that_it_missed(tail: Tail) -> None:
    """What the log let go of between two looks is counted, by kind, before what it still holds."""
    STAGE.log = log_of(loaded(1), SAVED, retention=2)
    ran = tail(append(*map(loaded, range(2, 8)), SAVED._replace(time=99)), append(loaded(8)))
    assert ran.err == (
        "otel-kcevents: 4 AssetSetLoaded went by that the log no longer holds; a shorter --interval misses fewer\n"
    )
    new = (loaded(6), loaded(7), SAVED._replace(time=99), loaded(8))
    assert ran.out == HEAD + row(loaded(1)) + row(SAVED) + "".join(map(row, new))


@pytest.mark.parametrize(
    "second",
    [log_of(), log_of(ASSETS), log_of(SAVED._replace(time=99)), log_of(*map(loaded, range(1, 10)))],
    ids=["nothing yet", "another kind", "as many of the kind", "more"],
)
def test_tail_tells_of_a_restart(tail: Tail, server: LogServer, second: EventLog) -> None:
    """Where the counters can't have come from those before, the program restarted; its new log is shown whole."""
    STAGE.log = log_of(SAVED)
    lists = second.document().lists
    new = [*sorted(lists["allocation"] + lists["asset"], key=lambda event: event.time), loaded(50)]
    out, err = tail(swap(second), append(loaded(50)))[1:]
    assert err == f"otel-kcevents: the program at {server.url} restarted: its counters began anew\n"
    assert out == HEAD + row(SAVED) + "".join(map(row, new))


def test_tail_goes_on_through_a_time_without_answers(tail: Tail, server: LogServer) -> None:
    """A program that can't answer for a while is said so once, and what it did meanwhile is shown."""
    STAGE.log = log = log_of(SAVED)
    broken = Broken()
    out, err = tail(swap(broken), nothing, swap(log), append(ASSETS), swap(broken))[1:]
    away = f"otel-kcevents: {server.url} answers 500: the log cannot be shown; the reason is in the program's own log"
    assert err.splitlines() == [
        f"{away}; still trying",
        f"otel-kcevents: {server.url} answers again",
        f"{away}; still trying",
    ]
    assert out == HEAD + row(SAVED) + row(ASSETS)


@pytest.mark.parametrize(("argv", "seconds"), [((), 1), (("--interval", "0.25"), 0.25)])
def test_tail_looks_every_interval(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch, argv: Any, seconds: float
) -> None:
    """The time between two looks is a second, or what `--interval` says."""
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "sleep", sleep)
    assert run("tail", *argv, url).code == 130
    assert slept == [seconds] * 3


@pytest.mark.parametrize(
    "option",
    ["-n=-1", "-n=x", "-n=1.5", "--interval=0", "--interval=-1", "--interval=nan", "--interval=inf", "--interval=soon"],
)
def test_a_number_that_can_not_be_is_wrong_usage(run: Run, url: str, option: str) -> None:
    """A number out of range, or none, is told with the range."""
    code, out, err = run("tail", option, url)
    assert (code, out) == (2, "")
    assert f"{option.partition('=')[2]!r} does not fit; give " in err


# otel-kcevents check


def test_check_of_the_documents_example(run: Run, documented: str, tmp_path: Path) -> None:
    """The log in the product's own documentation is valid."""
    path = tmp_path / "documented.json"
    path.write_text(documented, encoding="utf-8")
    told = f"{path}: a valid log document: allocation 3, asset 3; 50004 events of 8 kinds counted\n"
    assert run("check", str(path)) == (0, told, "")


def test_check_of_what_log_printed(run: Run, url: str, tmp_path: Path) -> None:
    """What `log --json` prints is a valid document, with the lists that a program added."""
    STAGE.log.add_set("cloud", "CloudCostSet")  # type: ignore
    STAGE.log.append(Event("CloudCostSetSaved", 1, 5))  # type: ignore
    path = tmp_path / "saved.json"
    path.write_text(run("log", "--json", url).out, encoding="utf-8")
    told = f"{path}: a valid log document: allocation 2, asset 2, cloud 1; 5 events of 5 kinds counted\n"
    assert run("check", str(path)) == (0, told, "")
    assert read_document(path.read_bytes()) == STAGE.log.document()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"code": 200,}', "it is not JSON: "),
        ('{"code": 400, "message": "no"}', "document: the key 'data' is missing"),
        (
            '{"code": 200, "data": {"allocation": [], "asset": [{}], "counters": {}}}',
            "data.asset[0]: the key 'kind' is",
        ),
        (
            '{"code": 200, "data": {"allocation": [], "asset": [], "counters": {"AssetSetSaved": -1}}}',
            "data.counters.AssetSetSaved: expected an integer from 1 to 9223372036854775807, found -1",
        ),
    ],
)
def test_check_tells_what_is_wrong(run: Run, tmp_path: Path, text: str, told: str) -> None:
    """A file that is no valid document is told with the place and what belongs there."""
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")
    code, out, err = run("check", str(path))
    assert (code, out) == (1, "")
    assert err.startswith(f"otel-kcevents: {path} is not a log document: {told}")
    assert err.count("\n") == 1


def test_check_of_a_file_that_can_not_be_read(run: Run, tmp_path: Path) -> None:
    """A file that is not there, or is none, is told with the remedy."""
    for name, shown in (("missing", "missing"), ("\x1b[2J", r"\u001b[2J"), ("", "")):
        code, out, err = run("check", f"{tmp_path}/{name}")
        assert (code, out) == (1, "")
        assert err.startswith(f"otel-kcevents: cannot read {tmp_path}/{shown}: ")
        assert err.endswith("; give a file's name, or - for standard input\n")


# The command as a whole


def test_the_version_is_told(run: Run) -> None:
    """`--version` prints the name and the version."""
    assert run("--version") == (0, f"otel-kcevents {__version__}\n", "")


@pytest.mark.parametrize("argv", [(), ("logs",), ("check",), ("log", "--what"), ("log", "a:1", "b:2")])
def test_wrong_usage_is_told(run: Run, argv: tuple[str, ...]) -> None:
    """A command that is none, or that lacks something, shows the usage."""
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("usage: otel-kcevents ")


def test_python_m_is_the_command(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m otel_kcevents` does what `otel-kcevents` does."""
    monkeypatch.setattr(sys, "argv", ["otel_kcevents", "log", url])
    monkeypatch.delitem(sys.modules, "otel_kcevents.__main__", raising=False)
    with pytest.raises(SystemExit) as exit:
        runpy.run_module("otel_kcevents", run_name="__main__")
    assert exit.value.code == 0
    assert "AllocationSetSaved" in capsys.readouterr().out


def test_a_reader_that_left_ends_it_quietly(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the pipe's other end is closed, the command ends without a word, and so does its last flush."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert command.main(["log", url]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_told(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the output can't be written, the command says so."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert command.main(["log", url]) == 1
    assert capsys.readouterr().err == "otel-kcevents: cannot write: [Errno 28] No space left on device\n"


# In a process of its own


class Process:
    """The command, running: its next line of output or of messages can be waited for."""

    def __init__(self, *argv: str, **options: Any) -> None:
        arguments = [sys.executable, "-W", "error", "-m", "otel_kcevents", *argv]
        pipe = subprocess.PIPE
        options = {"stdout": pipe, "stderr": pipe, "cwd": ROOT, **options}
        self.popen = subprocess.Popen(arguments, text=True, encoding="utf-8", **options)
        self.readers: list[Thread] = []
        self.out, self.err = (self._read(stream) for stream in (self.popen.stdout, self.popen.stderr))

    def _read(self, stream: IO[str] | None) -> Callable[[], str]:
        lines: Queue[str] = Queue()

        def read() -> None:
            for line in stream or ():
                lines.put(line)
            lines.put("")

        self.readers.append(Thread(target=read))
        self.readers[-1].start()
        return lambda: lines.get(timeout=GENEROUS)

    def end(self, number: int | None = None) -> Ran:
        """The exit code and what is left of both streams, after a signal where one is given."""
        if number is not None:
            self.popen.send_signal(number)
        code = self.popen.wait(GENEROUS)
        return Ran(code, "".join(iter(self.out, "")), "".join(iter(self.err, "")))

    def kill(self) -> None:
        self.popen.kill()
        for reader in self.readers:
            reader.join()
        with self.popen:  # closes the pipes
            pass


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    # A shell's background job ignores SIGINT, and its children would too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started: list[Process] = []

    def start(*argv: str, **options: Any) -> Process:
        started.append(Process(*argv, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
    signal.signal(signal.SIGINT, before)


Start = Callable[..., Process]


def test_a_process_ends_with_the_exit_code(start: Start, run: Run, url: str) -> None:
    """The process prints what the call prints, and ends with what the call returns."""
    assert start("log", url).end() == run("log", url)
    assert start("log", "--kind=Nope", url).end() == run("log", "--kind=Nope", url)


def test_a_document_may_come_through_a_pipe(start: Start, url: str) -> None:
    """`log --json | check -` is a valid document."""
    first = subprocess.Popen(
        [sys.executable, "-m", "otel_kcevents", "log", "--json", url], stdout=subprocess.PIPE, cwd=ROOT
    )
    with first:
        told = "-: a valid log document: allocation 2, asset 2; 4 events of 4 kinds counted\n"
        assert start("check", "-", stdin=first.stdout).end() == (0, told, "")


posix = pytest.mark.skipif(os.name != "posix", reason="pipes and signals are POSIX's")


@posix
def test_head_ends_it_quietly(start: Start, url: str) -> None:
    """`log | head -1` gets its line, and the command ends without a word though most of it went nowhere."""
    STAGE.log = log_of(*(Event("AssetSetComputeError", 1, failure=Failure("E", "x" * 10_000)) for _ in range(200)))
    reading, writing = os.pipe()
    process = start("log", url, stdout=writing)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        assert pipe.readline().startswith("TIME ")
    assert process.popen.wait(GENEROUS) == 0
    assert process.err() == ""


@posix
def test_ctrl_c_ends_tail_quietly(start: Start, url: str) -> None:
    """SIGINT ends `tail` with 130 and no word."""
    process = start("tail", url)
    assert process.out() == HEAD
    code, _, err = process.end(signal.SIGINT)
    assert (code, err) == (130, "")


@posix
def test_ctrl_c_ends_the_wait_for_an_answer(start: Start) -> None:
    """SIGINT ends `log` with 130 while a program keeps it waiting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start("log", f"127.0.0.1:{silent.getsockname()[1]}")
        with silent.accept()[0]:
            assert process.end(signal.SIGINT) == (130, "", "")


@posix
def test_tail_outlives_the_program(start: Start) -> None:
    """`tail` says that the program went, that it is back, that it restarted, and shows what it does then."""
    with start_http_server(0, log=log_of(SAVED, ASSETS)) as first:
        process = start("tail", "--interval", "0.05", f"127.0.0.1:{first.port}")
        assert [process.out() for _ in range(3)] == [HEAD, row(SAVED), row(ASSETS)]
    place = f"otel-kcevents: {first.url}"
    assert process.err().startswith(f"{place} does not answer: ")
    log = log_of(loaded(1))
    with start_http_server(first.port, log=log, cache_seconds=0):
        assert process.err() == f"{place} answers again\n"
        assert process.err() == f"otel-kcevents: the program at {first.url} restarted: its counters began anew\n"
        assert process.out() == row(loaded(1))
        log.append(loaded(2))
        assert process.out() == row(loaded(2))
        assert process.end(signal.SIGINT) == (130, "", "")
