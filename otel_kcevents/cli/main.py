"""The command `otel-kcevents`: shows a running program's log, follows it, and checks a log in a file."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from http.client import HTTPException
from itertools import chain
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPDefaultErrorHandler, OpenerDirector, ProxyHandler, build_opener

from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import KINDS, Event
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import format_time
from otel_kcevents.model.window import Window
from otel_kcevents.serve.respond import LOG_PATH
from otel_kcevents.version import __version__

__all__ = ["main"]

_URL = "http://127.0.0.1:9003"
_REMEDY = "start the program, or give the address where it serves its log"
_TIMEOUT = 5.0  # seconds without a byte of the answer
_TOTAL_TIMEOUT = 10.0  # seconds for the whole answer
_MAX_ANSWER = 16 * 2**20  # bytes; a full log has about half a million
_CHUNK = 1 << 16  # bytes to read at once
_HEAD = ("TIME", "KIND", "SIZE", "WINDOW", "ERROR")
_ROOM = (30, max(map(len, KINDS)), 8, 20, 0)  # for what is still to come: a full time, an hour's window
_UNITS = {"d": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9}


class _Problem(Exception):
    """What ends the command with a message; `tail` prints it and goes on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's arguments) and return its exit code.

    0: done; 1: no answer, a refusal, or not a log document; 130: interrupted. Raises SystemExit(2) for wrong usage.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except _Problem as problem:
        _print_error(str(problem))
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # The interpreter writes what is left when it ends, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # a reader who left, as `head` does, had enough
            _print_error(f"cannot write: {error}")
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="otel-kcevents", description="The recent-events log of a cost-ETL program.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    log = commands.add_parser("log", help="show a running program's log, newest first")
    log.add_argument("--json", action="store_true", help="the document itself, indented")
    log.add_argument("--kind", action="append", default=[], help="only kinds that begin so; may be repeated")
    log.add_argument("--window", help="only events of this time, such as 24h, today or two times with a comma")
    tail = commands.add_parser("tail", help="show the last events, and new ones as they come, until Ctrl-C")
    count, seconds = partial(_within, 0, 10**9, int), partial(_within, 0.01, 86_400, float)
    tail.add_argument("-n", type=count, default=10, help="past events to begin with (default: 10)")
    tail.add_argument("--interval", type=seconds, default=1, help="seconds between two looks (default: 1)")
    check = commands.add_parser("check", help="tell whether a file holds a valid log document")
    check.add_argument("file", metavar="FILE", help="a file's name, or - for standard input")
    for command, run in ((log, _log), (tail, _tail), (check, _check)):
        command.set_defaults(run=run)
    for command in (log, tail):
        command.add_argument("url", nargs="?", type=_address, default=_URL, metavar="URL", help=f"default: {_URL}")
    return parser


def _within(least: float, most: float, read: Callable[[str], float], text: str) -> float:
    try:
        if least <= read(text) <= most:
            return read(text)
        raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{short_repr(text)} does not fit; give {least} to {most}") from None


def _address(text: str) -> str:
    """The log's full address, from `host:port`, a base URL or the full one."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if not known or parts.query or not text.isascii():
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{short_repr(text)} is not an address; give one such as {_URL}, without a query"
        ) from None
    return parts._replace(path=parts.path.rstrip("/").removesuffix(LOG_PATH) + LOG_PATH, fragment="").geturl()


def _log(arguments: argparse.Namespace) -> None:
    window = [] if arguments.window is None else [("window", arguments.window)]
    query = urlencode([*(("kind", kind) for kind in arguments.kind), *window], errors="surrogateescape")
    document = _fetch(arguments.url, f"?{query}")
    _print(document.to_json(indent=2).split("\n") if arguments.json else _report(document))


def _report(document: Document) -> Iterator[str]:
    """The log as lines for people: the events, newest first, then the counters."""
    events = _newest_first(document)
    yield from _table([_HEAD, *map(_cells, events)]) if events else ["no events"]
    counters = [(kind, str(count)) for kind, count in document.counters.items()]
    yield from ["", *_table([("KIND", "COUNT"), *counters], "<>")] if counters else []


def _tail(arguments: argparse.Namespace) -> None:
    held, away = _fetch(arguments.url), False
    _print(_table([_HEAD, *map(_cells, _newest_first(held)[: arguments.n][::-1])], room=_ROOM))
    while True:
        sleep(arguments.interval)
        try:
            now = _fetch(arguments.url)
            if away:
                _print_error(f"{arguments.url} answers again")
            _tell_news(arguments.url, held, now)
            held, away = now, False
        except _Problem as problem:
            if not away:
                _print_error(f"{problem}; still trying")
            away = True


def _tell_news(url: str, held: Document, now: Document) -> None:
    """Print what came between two looks at a log. Fewer counted than seen means that the counters began anew."""
    new = list((Counter(_newest_first(now)[::-1]) - Counter(_newest_first(held))).elements())
    missed = Counter(now.counters)
    missed.subtract(held.counters)
    missed.subtract(event.kind for event in new)
    if min(missed.values(), default=0) < 0:
        _print_error(f"the program at {url} restarted: its counters began anew")
        return _tell_news(url, Document({}, {}), now)
    for kind, count in (+missed).items():
        _print_error(f"{count} {kind} went by that the log no longer holds; a shorter --interval misses fewer")
    _print(_table(map(_cells, new), room=_ROOM))


def _check(arguments: argparse.Namespace) -> None:
    name, standard = arguments.file, arguments.file == "-"
    try:
        with open(0 if standard else name, "rb", closefd=not standard) as stream:
            content = stream.read()
    except OSError as error:
        raise _Problem(f"cannot read {name}: {error.strerror}; give a file's name, or - for standard input") from None
    document = _read(name, content, strict=True)
    lists = ", ".join(f"{etl} {len(events)}" for etl, events in document.lists.items())
    counted = f"{sum(document.counters.values())} events of {len(document.counters)} kinds counted"
    _print([f"{name}: a valid log document: {lists}; {counted}"])


def _read(place: str, content: bytes, remedy: str = "", strict: bool = False) -> Document:
    try:
        return read_document(content, strict=strict)
    except ValueError as error:
        reason = f"it is not JSON: {error}" if isinstance(error, json.JSONDecodeError) else error
        raise _Problem(f"{place} is not a log document: {reason}{remedy}") from None


def _fetch(url: str, query: str = "") -> Document:
    """The log at an address. Raises _Problem if there is none, or if it is too large or too slow."""
    answers: SimpleQueue[tuple[int, bytes] | str | None] = SimpleQueue()
    end = monotonic() + _TOTAL_TIMEOUT
    # A socket's timeout begins anew with each byte, so a limit for all of them needs a thread. It may be left
    # behind while headers trickle in; a daemon thread does not keep the command from ending.
    Thread(target=lambda: answers.put(_ask(url + query, end)), daemon=True).start()
    try:
        answer = answers.get(timeout=_TOTAL_TIMEOUT)
    except Empty:
        answer = None
    if answer is None:
        raise _Problem(f"{url} took more than {_TOTAL_TIMEOUT:g} seconds to answer; try again, or {_REMEDY}")
    if isinstance(answer, str):
        raise _Problem(f"{url} does not answer: {answer}; {_REMEDY}")
    status, body = answer
    if len(body) > _MAX_ANSWER:
        raise _Problem(f"{url} sends more than {_MAX_ANSWER // 2**20} MB, too much for a log document; {_REMEDY}")
    if status != 200:
        raise _Problem(_refusal(url, status, body))
    return _read(url, body, f"; {_REMEDY}")


def _ask(url: str, end: float) -> tuple[int, bytes] | str | None:
    """The status and the body, cut off if too large; why there is none; None if it takes too long."""
    try:
        with _opener(urlsplit(url).hostname).open(url, timeout=_TIMEOUT) as answer:
            body = bytearray()
            while len(body) <= _MAX_ANSWER and monotonic() < end and (data := answer.read1(_CHUNK)):
                body += data
            return (answer.status, bytes(body)) if monotonic() < end else None
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error))


class _Answers(HTTPDefaultErrorHandler):
    def http_error_default(self, req: Any, fp: Any, code: Any, msg: Any, hdrs: Any) -> Any:
        return fp


@cache
def _opener(host: str | None) -> OpenerDirector:
    near = host in ("127.0.0.1", "::1", "localhost")
    return build_opener(_Answers, *[ProxyHandler({})] * near)  # a proxy's loopback is not ours


def _refusal(url: str, status: int, body: bytes) -> str:
    """What a refusal means, in the program's own words where it has some."""
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        message = _REMEDY
    return message if status == 400 else f"{url} answers {status}: {message}"


def _newest_first(document: Document) -> list[Event]:
    return sorted(chain.from_iterable(document.lists.values()), key=lambda event: event.time, reverse=True)


def _cells(event: Event) -> tuple[str, ...]:
    size = "-" if event.size is None else str(event.size)
    type_, message, operation = event.failure or ("", "", None)
    error = ": ".join(filter(None, (operation, type_, message)))
    return format_time(event.time), event.kind, size, _period(event.window), error


def _period(window: Window | None) -> str:
    """A window as ISO 8601 writes an interval, without what goes without saying: `2022-06-03/1d`."""
    if window is None:
        return "-"
    start, end = (re.sub(":00Z$", "Z", (text or "..").removesuffix("T00:00:00Z")) for text in str(window).split(","))
    length = -1 if window.start_ns is None or window.end_ns is None else window.end_ns - window.start_ns
    lengths = (f"{length // unit}{name}" for name, unit in _UNITS.items() if length in range(0, 1000 * unit, unit))
    return f"{start}/{next(lengths, end)}"


def _table(rows: Iterable[Sequence[str]], sides: str = "<<><<", room: Sequence[int] = (0,) * 5) -> list[str]:
    rows = list(rows)
    widths = [max(least, *map(len, column)) for least, column in zip(room, zip(*rows, strict=True), strict=False)]
    forms = [f"{side}{width}" for side, width in zip(sides, widths, strict=False)]
    return ["  ".join(map(format, row, forms)).rstrip() for row in rows]


def _print(lines: Iterable[str]) -> None:
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower() in ("utf-8", "utf8")
    print("".join(f"{_visible(line, unicode)}\n" for line in lines), end="", flush=True)


def _print_error(message: str) -> None:
    print(f"otel-kcevents: {_visible(message)}", file=sys.stderr, flush=True)


def _visible(text: str, unicode: bool = True) -> str:
    """The text with JSON's escapes for what could steer a terminal, break a line, or not be shown."""
    return "".join(
        char if char.isprintable() and (unicode or char.isascii()) else json.dumps(char)[1:-1] for char in text
    )
