"""The log over HTTP as one pure function: a request in, a response out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import Any, NamedTuple

from otel_kcevents.model.document import LOG_PATH
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.report_form import REPORT_PATH
from otel_kcevents.serve.metrics import METRICS_PATH
from otel_kcevents.serve.page import FACTS_PATH, PAGE_FILES, PAGE_HEADERS, page_facts, read_page_file
from otel_kcevents.serve.parameters import Parameters
from otel_kcevents.store.coverage import coverage
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.query import NotAvailableError, newest_runs
from otel_kcevents.store.source import Source, snapshot_time

__all__ = ["PATHS", "SOURCE_PATHS", "Response", "refusal", "report_of", "respond"]

_EVENTS_PATH = "/model/etl/events"
_RUNS_PATH = "/model/etl/runs"
_COVERAGE_PATH = "/model/etl/coverage"
_METHODS = {_EVENTS_PATH: "events", _RUNS_PATH: "runs"}
"""The paths that only some sources can answer, with the name of the source's method."""

SOURCE_PATHS = (LOG_PATH, _COVERAGE_PATH, *_METHODS, METRICS_PATH)
"""The paths whose answers are read from the source."""

PATHS = (*SOURCE_PATHS, REPORT_PATH, FACTS_PATH, *PAGE_FILES)
"""Every path that `respond()` may answer."""

_MAX_QUERY = 8_192  # characters; a query that names every kind in full has about 400
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
    trace_url: str | None = None,
    metrics: Callable[[Source], tuple[str, bytes]] | None = None,
) -> Response:
    """Answer one request from a source, without side effects.

    Args:
        method: The HTTP method, in upper case.
        path: The decoded path. `/model/etl/log` is the log; `/model/etl/coverage` has the state of each window;
            `/model/etl/runs` and `/model/etl/events` are available from sources that have a method of that name;
            `/model/etl/report` is the bug report; `/` is the page for people, with its files below `/static/` and
            what it shows about this server at `/model/etl/page`.
        query: The part after `?`, still encoded, at most 8,192 characters. `kind` (repeated, or separated by commas)
            and `window` select from the lists of the log. Events are also selected by `run`, `setWindow`, `error`,
            `limit` and `before`, as in an `EventQuery`; a coverage by `window`, `resolution` and `grace`, as in a
            `CoverageQuery`; runs by `limit`, the number of newest root runs to list with their descendants. Other
            parameters are ignored.
        log: The source to answer from; an `EventLog` stands for its `source`, an attached journal if there is one.
        now: The time that relative forms of windows are relative to; default: the current time or, for the coverage of
            a snapshot, the time when it was saved.
        report: Returns the bug report; None to refuse it.
        trace_url: The template of a trace's URL that the page links to, with `{trace_id}` and perhaps `{span_id}`;
            None for no links.
        metrics: Returns the content type and the body of the metrics of a source; None to refuse them.

    Returns:
        The response with status 200, or a refusal `{"code", "message"}` with 400 for an invalid parameter, 404 for
        another path, 405 for another method, 414 for a longer query, 501 if a package is missing, 503 if the source
        cannot be read.
    """
    path = path.rstrip("/") or "/"
    source: Any = log.source if isinstance(log, EventLog) else log
    if problem := _path_problem(path, source, report, metrics):
        return refusal(method, 404, f"{short_repr(path)} {problem}; the log is at GET {LOG_PATH}")
    if method not in ("GET", "HEAD"):
        return refusal(method, 405, f"{short_repr(method)} is not allowed; use GET", ("Allow", "GET, HEAD"))
    if len(query) > _MAX_QUERY:
        message = f"the query has {len(query):,} characters, the limit is {_MAX_QUERY:,}; name each kind once"
        return refusal(method, 414, message)
    if path in PAGE_FILES:
        name, media_type = PAGE_FILES[path]
        return _response(method, 200, read_page_file(name), media_type, *PAGE_HEADERS, cache="no-cache")
    if path == FACTS_PATH:
        return _response(method, 200, _to_json(page_facts(source, trace_url, report is not None)))
    try:
        if path == REPORT_PATH and report:
            try:
                return _response(method, 200, report(), "text/plain")
            except ValueError as error:  # it still holds a secret; the message names only the variable
                return refusal(method, 503, str(error))
        if path == METRICS_PATH and metrics:
            content_type, text = metrics(source)
            return _response(method, 200, text.decode(), content_type)
        try:
            selected = _selected(source, path, Parameters(query, now))
        except ValueError as error:
            return refusal(method, 400, str(error))
        if path == LOG_PATH:
            return _response(method, 200, selected.to_json())
        return _response(method, 200, _to_json(selected if path == _RUNS_PATH else selected.to_dict()))
    except ModuleNotFoundError as error:
        return refusal(method, 501, f"{error}; install it with `pip install 'otel-kcevents[metrics]'`")
    except NotAvailableError as error:
        return refusal(method, 404, f"{short_repr(path)} is not available from this source: {error}")
    except OSError as error:
        return refusal(method, 503, f"the log cannot be read: {error}")


def _path_problem(path: str, source: object, report: object, metrics: object) -> str | None:
    """Return why a path cannot be answered; None if it can."""
    if path == REPORT_PATH and report is None:
        return "is served only to clients on this machine, by start_http_server(), unless report=True allows others"
    if path == METRICS_PATH and metrics is None:
        return "is served only by `otel-kcevents serve`, or with start_http_server(metrics=True)"
    if path not in PATHS:
        return "does not exist"
    if path in _METHODS and not hasattr(source, _METHODS[path]):
        return "is not available from this source, only from a journal, which configure(log_file=...) writes"
    return None


def _selected(source: Any, path: str, parameters: Parameters) -> Any:
    """Return what the parameters select from a source: a document, a list of runs, a page of events, or a coverage.

    Raises:
        OSError: The source cannot be read. It is a `NotAvailableError` if the source finds out only now that it does
            not have this.
        ValueError: A parameter is invalid, or the source refuses it.
    """
    if path == LOG_PATH:
        return source.document(parameters.kinds(), parameters.window())
    if path == _COVERAGE_PATH:
        return coverage(source, parameters.coverage(snapshot_time(source)))
    if path == _RUNS_PATH:
        limit = parameters.runs()
        return source.runs() if limit is None else newest_runs(source.runs(), limit)
    return source.events(parameters.events())


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


def _response(
    method: str,
    status: int,
    text: str,
    media_type: str = _JSON,
    *headers: tuple[str, str],
    cache: str = "no-store",
) -> Response:
    body = text.encode(errors="replace")
    common = (
        ("Content-Type", media_type if "charset=" in media_type else f"{media_type}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", cache),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),  # no other site can embed what an event says
    )
    return Response(status, (*common, *headers), b"" if method == "HEAD" else body)
