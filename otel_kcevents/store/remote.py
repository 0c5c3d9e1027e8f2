"""`RemoteLog`: the log of a running program, read over HTTP."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import BaseHandler, HTTPDefaultErrorHandler, ProxyHandler, Request, build_opener

from otel_kcevents.model.document import LOG_PATH, Document, read_document
from otel_kcevents.model.messages import short_repr, truncate
from otel_kcevents.model.report_form import FIRST_LINE, REPORT_PATH
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS
from otel_kcevents.model.window import Window
from otel_kcevents.store.query import EventPage, EventQuery, NotAvailableError
from otel_kcevents.store.remote_coverage import read_coverage
from otel_kcevents.store.remote_pages import read_page, read_runs
from otel_kcevents.store.source import check_selection, select
from otel_kcevents.store.window_results import WindowResults, results_of

__all__ = ["RemoteLog", "RemoteLogError"]

_T = TypeVar("_T")

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REMEDY = "start the program, give the address at which it serves its log, or read its journal"
_MAX_EVENTS = 1_000  # that a program sends at once
_EVERYTHING = 2**31
_CHUNK = 1 << 16  # bytes read at once


class RemoteLogError(ConnectionError):
    """Raised if the log of a running program cannot be read; the message has the address, the reason and the remedy."""


class _NoJournalError(RemoteLogError, NotAvailableError):
    """Raised if a program serves its log, but has no journal."""


class RemoteLog:
    """A source that reads the log of a running program over HTTP.

    A program on this machine is contacted directly; for other hosts the proxy settings of the environment apply.

    Args:
        url: Where the program serves its log: `host:port`, a base URL or the log's own URL. A user and a password
            in it are sent as Basic authentication and appear in no message.
        timeout: Seconds to wait for the connection and for each read.
        total_timeout: Seconds to wait for the whole response.
        max_bytes: The maximum size of the response body, in bytes; a full log has about 500,000.

    Raises:
        ValueError: *url* is not an address, or has a query.
    """

    url: str
    """The log's full URL, without user and password."""

    def __init__(
        self, url: str, *, timeout: float = 5.0, total_timeout: float = 10.0, max_bytes: int = 16 * 2**20
    ) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            if not valid or parts.query or not url.isascii():
                raise ValueError
        except ValueError:
            shown = short_repr(url.rpartition("@")[2])
            raise ValueError(
                f"{shown} is not an address; expected one such as 'http://127.0.0.1:9003', without a query"
            ) from None
        path = parts.path.rstrip("/").removesuffix(LOG_PATH) + LOG_PATH
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=path, fragment="").geturl()
        self._timeout = timeout
        self._total_timeout = total_timeout
        self._max_bytes = max_bytes
        handlers: list[BaseHandler] = [_KeepErrorResponse()]
        if parts.username is not None:
            handlers.append(_BasicAuthentication(parts))
        if parts.hostname in _LOOPBACK:
            handlers.append(ProxyHandler({}))  # a proxy's loopback is not this machine's
        self._opener = build_opener(*handlers)

    def __str__(self) -> str:
        return self.url

    def _repr_html_(self) -> str:
        from otel_kcevents.model.notebook import MAX_EVENTS, log_html  # only notebooks need it

        return log_html(self.url, lambda: self.document(limit=MAX_EVENTS))

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind, in alphabetical order, without zeros.

        Raises:
            RemoteLogError: The log cannot be read.
        """
        return dict(sorted(self.document().counters.items()))

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return a snapshot of the program's log; kinds and metadata that are not documented are kept.

        Args:
            kinds: The kinds to list, or prefixes of them; all kinds if empty.
            window: The window that an event's own time must be in to be listed; None for any time.
            limit: The maximum number of events to list of each kind, the newest; the program may send fewer.

        Raises:
            RemoteLogError: No program answers, or the response is an error, too slow, too large or not a log document.
            TypeError: *window* is not a Window.
            ValueError: The program refuses *kinds* or *window* (the message is the program's), or *limit* is not an
                integer of at least 1.
        """
        check_selection(window, limit)
        texts = [kinds] if isinstance(kinds, str) else kinds
        prefixes = [kind for text in texts for kind in text.split(",") if kind]  # as the server reads a query
        selection = [("kind", kind) for kind in prefixes]
        if window is not None:
            selection.append(("window", _closed(window)))
        query = urlencode(selection, errors="surrogateescape")
        status, body = self._get(f"{self.url}?{query}" if query else self.url)
        if status != 200:
            message = _refusal_message(body) or _REMEDY
            if status == 400 and selection:
                raise ValueError(message)
            raise RemoteLogError(f"{self.url} answers {status}: {message}")
        try:
            document = read_document(body)
        except ValueError as error:
            raise RemoteLogError(f"{self.url} does not serve a log document: {error}; {_REMEDY}") from None
        return select(document, prefixes, window, limit)  # other programs may ignore the query

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs of the program's journal, the newest first, in the form of `GET /model/etl/runs`.

        Raises:
            RemoteLogError: The program does not answer, or sends something else. It is also a `NotAvailableError` if
                the program has no journal.
        """
        return self._read("runs", (), read_runs)

    def events(self, query: EventQuery = EventQuery()) -> EventPage:  # noqa: B008 - immutable
        """Return a page of events of the program's journal, with their traces, spans and runs.

        Args:
            query: Which events to list; a page has 1,000 events at most.

        Raises:
            RemoteLogError: The program does not answer, or sends something else. It is also a `NotAvailableError` if
                the program has no journal.
            ValueError: The program refuses the query; the message is the program's.
        """
        selection = [("kind", kind) for kind in query.kinds] + [("run", run) for run in query.runs]
        for name, window in (("window", query.window), ("setWindow", query.set_window)):
            if window is not None:
                selection.append((name, _closed(window)))
        if query.errors is not None:
            selection.append(("error", "true" if query.errors else "false"))
        if query.before is not None:
            selection.append(("before", query.before))
        selection.append(("limit", str(min(query.limit, _MAX_EVENTS))))
        page = self._read("events", selection, read_page)
        if page.next is not None and page.next == query.before:
            raise RemoteLogError(f"{self.url} serves the same page of events again and again; {_REMEDY}")
        return page

    def window_results(self, start: int, end: int) -> WindowResults:
        """Return what the program knows about the windows of a range; of another program, what its log lists.

        Args:
            start: The start of the range, in nanoseconds since 1970 (UTC).
            end: The end of the range.

        Raises:
            RemoteLogError: The program does not answer, or sends something else.
            ValueError: The program refuses the range; the message is the program's.
        """
        try:
            return self._read("coverage", [("window", _closed(Window.from_ns(start, end)))], read_coverage)
        except NotAvailableError:
            return results_of(self.document(limit=_EVERYTHING), start, end)

    def _read(self, name: str, selection: Sequence[tuple[str, str]], read: Callable[[bytes], _T]) -> _T:
        """Return what a function reads from the response to `GET /model/etl/NAME`."""
        url = f"{self.url.removesuffix(LOG_PATH)}/model/etl/{name}"
        status, body = self._get(f"{url}?{urlencode(selection, errors='surrogateescape')}" if selection else url)
        if status != 200:
            message = _refusal_message(body) or _REMEDY
            if status == 400 and selection:
                raise ValueError(message)
            error = _NoJournalError if status == 404 else RemoteLogError
            raise error(f"{url} answers {status}: {message}")
        try:
            return read(body)
        except ValueError as error:
            raise RemoteLogError(f"{url} does not serve {name}: {error}; {_REMEDY}") from None

    def report(self) -> str:
        """Return the bug report that the program writes about itself.

        Raises:
            RemoteLogError: The program does not answer, or does not serve a report to this client.
        """
        status, body = self._get(f"{self.url.removesuffix(LOG_PATH)}{REPORT_PATH}")
        if status != 200 or not body.startswith(FIRST_LINE.encode()):
            raise RemoteLogError(f"{self.url} serves no report: {_refusal_message(body) or f'it answers {status}'}")
        return body.decode(errors="replace")

    def _get(self, url: str) -> tuple[int, bytes]:
        """Return the status and the body of the response to a GET request."""
        results: SimpleQueue[tuple[int, bytes] | str] = SimpleQueue()
        deadline = monotonic() + self._total_timeout

        def get() -> None:
            try:
                with self._opener.open(url, timeout=self._timeout) as response:
                    body = bytearray()
                    while len(body) <= self._max_bytes and monotonic() < deadline and (data := response.read1(_CHUNK)):
                        body += data
                    results.put((response.status, bytes(body)))
            except Exception as error:
                # The reason alone: the error's traceback would keep the connection open.
                results.put(truncate(str(getattr(error, "reason", error))))

        # A socket's timeout starts again with each byte, so a limit for the whole response needs a thread. While
        # headers trickle in, it outlives this call; a daemon thread does not keep the program from ending.
        Thread(target=get, name="kcevents-remote-log", daemon=True).start()
        try:
            result = results.get(timeout=self._total_timeout)
        except Empty:
            result = None
        if result is None or monotonic() >= deadline:
            seconds = f"{self._total_timeout:g} seconds"
            raise RemoteLogError(f"{self.url} took more than {seconds} to answer; try again, or {_REMEDY}")
        if isinstance(result, str):
            raise RemoteLogError(f"{self.url} does not answer: {result}; {_REMEDY}")
        if len(result[1]) > self._max_bytes:
            limit = f"{self._max_bytes / 2**20:g} MB"
            if urlsplit(url).path.endswith("/coverage"):
                raise RemoteLogError(f"{self.url} sends a coverage of more than {limit}; ask for a shorter range")
            raise RemoteLogError(f"{self.url} sends more than {limit}, too much for a log document; {_REMEDY}")
        return result


class _KeepErrorResponse(HTTPDefaultErrorHandler):
    """Returns an error response like any other instead of raising HTTPError."""

    def http_error_default(self, req: Any, fp: Any, code: Any, msg: Any, hdrs: Any) -> Any:
        return fp


class _BasicAuthentication(BaseHandler):
    """Sends the user and password of a URL to its server, and not to another server that it redirects to."""

    def __init__(self, parts: SplitResult) -> None:
        self._server = (parts.scheme, parts.netloc.rpartition("@")[2])
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        self._value = f"Basic {b64encode(credentials.encode()).decode()}"

    def http_request(self, request: Request) -> Request:
        if (request.type, request.host) == self._server:
            request.add_unredirected_header("Authorization", self._value)
        return request

    https_request = http_request


def _closed(window: Window) -> str:
    """Return a window as the Events API writes it, with the first and the last possible time for open ends."""
    start = MIN_NS if window.start_ns is None else window.start_ns
    end = MAX_NS if window.end_ns is None else window.end_ns
    return str(Window.from_ns(start, end))


def _refusal_message(body: bytes) -> str | None:
    """Return the message of a refusal `{"code", "message"}`, None if *body* is something else."""
    try:
        return truncate(str(json.loads(body)["message"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
