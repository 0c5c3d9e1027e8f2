"""The log over HTTP as one pure function: a request in, a response out."""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qs

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["LOG_PATH", "Response", "refusal", "respond"]

LOG_PATH = "/model/etl/log"

_MAX_QUERY = 8_192  # characters; a query that names every kind in full has about 400
_MAX_PARAMETERS = 100


class Response(NamedTuple):
    """An HTTP response: the status code, the headers, and the body (empty for HEAD)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def respond(
    method: str, path: str, query: str = "", *, log: EventLog = default_log, now: datetime | None = None
) -> Response:
    """Answer one request for the log. It reads the log and changes nothing.

    Args:
        method: the HTTP method, in capitals.
        path: the decoded path; the log is at `/model/etl/log`.
        query: the part after `?`, still encoded, at most 8,192 characters. `kind` (repeated, or separated
            by commas) and `window` select from the lists; other parameters change nothing.
        log: the log to show.
        now: the time from which a window such as `24h` counts back; the current time by default.

    Returns:
        The document with status 200, or a refusal `{"code", "message"}`: 400 for a wrong parameter, 404 for
        another path, 405 for another method, 414 for a longer query.
    """
    if path.rstrip("/") != LOG_PATH:
        return refusal(method, 404, f"{short_repr(path)} is not here; the log is at GET {LOG_PATH}")
    if method not in ("GET", "HEAD"):
        return refusal(method, 405, f"{short_repr(method)} is not allowed; use GET", ("Allow", "GET, HEAD"))
    if len(query) > _MAX_QUERY:
        message = f"the query has {len(query):,} characters, the limit is {_MAX_QUERY:,}; name each kind once"
        return refusal(method, 414, message)
    try:
        document = log.document(*_filters(query, now))
    except ValueError as error:
        return refusal(method, 400, str(error))
    return _response(method, 200, document.to_json())


def _filters(query: str, now: datetime | None) -> tuple[list[str], Window | None]:
    parameters = parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    kinds = [kind for text in parameters.get("kind", []) for kind in text.split(",") if kind]
    windows = parameters.get("window", [])
    if len(windows) > 1:
        raise ValueError(f"the query has {len(windows)} windows; give one")
    # The log looks each kind up among all the kinds it knows, so a repeated one must not cost that again.
    return list(dict.fromkeys(kinds)), Window.parse(windows[0], now) if windows else None


def refusal(method: str, status: int, message: str, *headers: tuple[str, str]) -> Response:
    """The response that refuses a request: `{"code", "message"}` as JSON, in the form of every refusal."""
    return _response(method, status, json.dumps({"code": status, "message": message}), *headers)


def _response(method: str, status: int, text: str, *headers: tuple[str, str]) -> Response:
    body = text.encode()
    common = (
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Response(status, (*common, *headers), b"" if method == "HEAD" else body)
