"""The log over HTTP as one pure function: a request in, a response out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from otel_kcevents.model.document import LOG_PATH
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.report_form import REPORT_PATH
from otel_kcevents.model.window import Window
from otel_kcevents.serve.page import PAGE_FILES, PAGE_HEADERS, read_page_file
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.query import EventQuery, NotAvailableError
from otel_kcevents.store.source import Source

__all__ = ["PATHS", "Response", "refusal", "report_of", "respond"]

_EVENTS_PATH = "/model/etl/events"
_COVERAGE_PATH = "/model/etl/coverage"
_METHODS = {f"/model/etl/{name}": name for name in ("runs", "events")}
"""The paths that only some sources can answer, with the name of the source's method."""

PATHS = (LOG_PATH, _COVERAGE_PATH, *_METHODS, REPORT_PATH, *PAGE_FILES)
"""Every path that `respond()` may answer."""

_MAX_QUERY = 8_192  # characters; a query that names every kind in full has about 400
_MAX_PARAMETERS = 100
_MAX_EVENTS = 1_000  # of a page
_LIST_PARAMETERS = ("kind", "run")
_ERROR = {"true": True, "false": False}
_JSON = "application/json"


class Response(NamedTuple):
    """An HTTP response: the status code, the headers, and the body (empty for HEAD)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def respond(
    method: str,
    path: str,
    query: str = "",
    *,
    log: Source = default_log,
    now: datetime | None = None,
    report: Callable[[], str] | None = None,
) -> Response:
    """Answer one request from a source, without side effects.

    Args:
        method: The HTTP method, in upper case.
        path: The decoded path. `/model/etl/log` is the log; `/model/etl/runs`, `/model/etl/events` and
            `/model/etl/coverage` are available from sources that have a method of that name; `/model/etl/report` is
            the bug report.
        query: The part after `?`, still encoded, at most 8,192 characters. `kind` (repeated, or separated by commas)
            and `window` select from the lists of the log. Events are also selected by `run`, `setWindow`, `error`,
            `limit` and `before`, as in an `EventQuery`. Other parameters are ignored.
        log: The source to answer from; an `EventLog` stands for its `source`, an attached journal if there is one.
        now: The time that relative forms of windows are relative to; default: the current time.
        report: Returns the bug report; None to refuse it.

    Returns:
        The response with status 200, or a refusal `{"code", "message"}` with 400 for an invalid parameter, 404 for
        another path, 405 for another method, 414 for a longer query, 503 if the source cannot be read.
    """
    path = path.rstrip("/") or "/"
    source: Any = log.source if isinstance(log, EventLog) else log
    if problem := _path_problem(path, source, report):
        return refusal(method, 404, f"{short_repr(path)} {problem}; the log is at GET {LOG_PATH}")
    if method not in ("GET", "HEAD"):
        return refusal(method, 405, f"{short_repr(method)} is not allowed; use GET", ("Allow", "GET, HEAD"))
    if len(query) > _MAX_QUERY:
        message = f"the query has {len(query):,} characters, the limit is {_MAX_QUERY:,}; name each kind once"
        return refusal(method, 414, message)
    if path in PAGE_FILES:
        name, media_type = PAGE_FILES[path]
        return _response(method, 200, read_page_file(name), media_type, *PAGE_HEADERS)
    try:
        if path == REPORT_PATH and report:
            try:
                return _response(method, 200, report(), "text/plain")
            except ValueError as error:  # it still holds a secret; the message names only the variable
                return refusal(method, 503, str(error))
        if path not in (LOG_PATH, _COVERAGE_PATH, _EVENTS_PATH):
            return _response(method, 200, _to_json(getattr(source, _METHODS[path])()))
        try:
            selected = _selected(source, path, query, now)
        except ValueError as error:
            return refusal(method, 400, str(error))
        return _response(method, 200, selected.to_json() if path == LOG_PATH else _to_json(selected.to_dict()))
    except NotAvailableError as error:
        return refusal(method, 404, f"{short_repr(path)} is not available from this source: {error}")
    except OSError as error:
        return refusal(method, 503, f"the log cannot be read: {error}")


def _path_problem(path: str, source: object, report: object) -> str | None:
    """Return why a path cannot be answered; None if it can."""
    if path in (LOG_PATH, _COVERAGE_PATH, *PAGE_FILES) or (path == REPORT_PATH and report):
        return None
    if path == REPORT_PATH:
        return "is served only to clients on this machine, by start_http_server(), unless report=True allows others"
    if path not in _METHODS:
        return "does not exist"
    if hasattr(source, _METHODS[path]):
        return None
    return "is not available from this source, only from a journal, which configure(log_file=...) writes"


def _selected(source: Any, path: str, query: str, now: datetime | None) -> Any:
    """Return the log document, or a page of events, that a query selects.

    Raises:
        ValueError: A parameter is invalid, or the source refuses it.
    """
    parameters = parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    # A source compares each kind with every kind that it knows, so duplicates are removed first.
    kinds, runs = (
        tuple(dict.fromkeys(part for text in parameters.get(name, []) for part in text.split(",") if part))
        for name in _LIST_PARAMETERS
    )
    window = _window(parameters, "window", now)
    if path == LOG_PATH:
        return source.document(list(kinds), window)
    if path == _COVERAGE_PATH:
        resolution = _only(parameters, "resolution") or None
        return coverage(source, CoverageQuery(window, resolution))
    selection = EventQuery(
        kinds,
        window,
        _window(parameters, "setWindow", now),
        runs,
        _error(_only(parameters, "error")),
        _limit(_only(parameters, "limit")),
        _only(parameters, "before") or None,
    )
    return source.events(selection)


def _only(parameters: Mapping[str, list[str]], name: str) -> str | None:
    """Return the value of a parameter that may be given once; None if it is not given.

    Raises:
        ValueError: It is given several times.
    """
    values = parameters.get(name, [])
    if len(values) > 1:
        raise ValueError(f"the query has {len(values)} values of {name!r}; give one")
    return values[0] if values else None


def _window(parameters: Mapping[str, list[str]], name: str, now: datetime | None) -> Window | None:
    text = _only(parameters, name)
    return None if text is None else Window.parse(text, now)


def _error(text: str | None) -> bool | None:
    if text and text not in _ERROR:
        raise ValueError(f"error must be 'true' or 'false', got {short_repr(text)}")
    return _ERROR[text] if text else None


def _limit(text: str | None) -> int:
    if not text:
        return EventQuery().limit
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= _MAX_EVENTS):
        raise ValueError(f"limit must be an integer from 1 to {_MAX_EVENTS:,}, got {short_repr(text)}")
    return int(text)


def report_of(log: Source, timeout: float = 5.0) -> Callable[[], str]:
    """Return a function that returns the bug report of this process about a source, for `respond()`.

    It builds one report at a time, which takes seconds if a collector does not answer, and raises ValueError if it has
    to wait too long for another one.

    Args:
        log: The source.
        timeout: The maximum time to wait for another report, in seconds.
    """
    lock = Lock()

    def report() -> str:
        from otel_kcevents.report.build import build_report  # few programs ever need it

        if not lock.acquire(timeout=timeout):
            raise ValueError("another report is being written; try again in a minute")
        try:
            return build_report(log)
        finally:
            lock.release()

    return report


def refusal(method: str, status: int, message: str, *headers: tuple[str, str]) -> Response:
    """Return the response that refuses a request: `{"code", "message"}` as JSON.

    Args:
        method: The HTTP method of the request.
        status: The status code, which is also the `code`.
        message: The reason and the remedy.
        headers: Further headers, as pairs of name and value.
    """
    return _response(method, status, json.dumps({"code": status, "message": message}), _JSON, *headers)


def _to_json(data: object) -> str:
    return json.dumps({"code": 200, "data": data}, separators=(",", ":"))


def _response(method: str, status: int, text: str, media_type: str = _JSON, *headers: tuple[str, str]) -> Response:
    body = text.encode(errors="replace")
    common = (
        ("Content-Type", f"{media_type}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Response(status, (*common, *headers), b"" if method == "HEAD" else body)
