"""The log over HTTP as one pure function: a request in, a response out."""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qs

from otel_kcevents.model.document import LOG_PATH
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import default_log
from otel_kcevents.store.source import Source

__all__ = ["PATHS", "Response", "refusal", "respond"]

_METHODS = {f"/model/etl/{name}": name for name in ("runs", "events", "coverage")}
"""The paths that only some sources can answer, with the name of the source's method."""

PATHS = (LOG_PATH, *_METHODS)
"""Every path that `respond()` may answer."""

_MAX_QUERY = 8_192  # characters; a query that names every kind in full has about 400
_MAX_PARAMETERS = 100


class Response(NamedTuple):
    """An HTTP response: the status code, the headers, and the body (empty for HEAD)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def respond(
    method: str, path: str, query: str = "", *, log: Source = default_log, now: datetime | None = None
) -> Response:
    """Answer one request from a source, without side effects.

    Args:
        method: The HTTP method, in upper case.
        path: The decoded path. `/model/etl/log` is the log; `/model/etl/runs`, `/model/etl/events` and
            `/model/etl/coverage` are available from sources that have a method of that name.
        query: The part after `?`, still encoded, at most 8,192 characters. `kind` (repeated, or separated
            by commas) and `window` select from the log's lists; other parameters are ignored.
        log: The source to answer from.
        now: The time that relative forms of `window` are relative to; default: the current time.

    Returns:
        The document with status 200, or a refusal `{"code", "message"}` with 400 for an invalid parameter, 404 for
        another path, 405 for another method, 414 for a longer query, 503 if the source cannot be read.
    """
    path = path.rstrip("/") or "/"
    name = _METHODS.get(path)
    read = getattr(log, name, None) if name else None
    if path != LOG_PATH and read is None:
        problem = "is not available from this source" if name else "does not exist"
        return refusal(method, 404, f"{short_repr(path)} {problem}; the log is at GET {LOG_PATH}")
    if method not in ("GET", "HEAD"):
        return refusal(method, 405, f"{short_repr(method)} is not allowed; use GET", ("Allow", "GET, HEAD"))
    if len(query) > _MAX_QUERY:
        message = f"the query has {len(query):,} characters, the limit is {_MAX_QUERY:,}; name each kind once"
        return refusal(method, 414, message)
    try:
        if read is not None:
            return _response(method, 200, json.dumps({"code": 200, "data": read()}))
        try:
            document = log.document(*_selection(query, now))
        except ValueError as error:
            return refusal(method, 400, str(error))
    except OSError as error:
        return refusal(method, 503, f"the log cannot be read: {error}")
    return _response(method, 200, document.to_json())


def refusal(method: str, status: int, message: str, *headers: tuple[str, str]) -> Response:
    """Return the response that refuses a request: `{"code", "message"}` as JSON.

    Args:
        method: The HTTP method of the request.
        status: The status code, which is also the `code`.
        message: The reason and the remedy.
        headers: Further headers, as pairs of name and value.
    """
    return _response(method, status, json.dumps({"code": status, "message": message}), *headers)


def _selection(query: str, now: datetime | None) -> tuple[list[str], Window | None]:
    """Return the kinds and the window that a query selects.

    Raises:
        ValueError: The query has too many parameters, or its window is invalid.
    """
    parameters = parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    kinds = [kind for text in parameters.get("kind", []) for kind in text.split(",") if kind]
    windows = parameters.get("window", [])
    if len(windows) > 1:
        raise ValueError(f"the query has {len(windows)} windows; give one")
    # A source compares each kind with every kind that it knows, so duplicates are removed first.
    return list(dict.fromkeys(kinds)), Window.parse(windows[0], now) if windows else None


def _response(method: str, status: int, text: str, *headers: tuple[str, str]) -> Response:
    body = text.encode()
    common = (
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Response(status, (*common, *headers), b"" if method == "HEAD" else body)
