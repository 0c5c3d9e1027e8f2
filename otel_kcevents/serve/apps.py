"""WSGI and ASGI applications that serve a source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.report_form import REPORT_PATH
from otel_kcevents.serve.page import check_trace_url
from otel_kcevents.serve.respond import PATHS, Response, refusal, report_of, respond
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.source import Source

__all__ = ["make_asgi_app", "make_wsgi_app"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_QUERY = "!$&'()*+,-./:;=?@_~%"  # what a query may contain as it is


def make_wsgi_app(
    log: Source = default_log, *, report: bool = False, trace_url: str | None = None
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return a WSGI application that serves a source.

    Args:
        log: The source to serve. Mounted at `/model/etl/log`, the application serves the log alone; at a path
            above it, such as `/model` or `/tools`, every path that `respond()` answers. The page is at the mount point,
            with a slash at its end, to which the application redirects.
        report: Whether to answer with the bug report, `/model/etl/report`, to every client.
        trace_url: The template of a trace's URL that the page links to, such as
            `http://localhost:16686/trace/{trace_id}`; None for no links.

    Raises:
        TypeError: *trace_url* is not a string.
        ValueError: *trace_url* is not an http or https URL with `{trace_id}`.
    """
    answer = _answers(log, report, trace_url)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Each character of a string in a WSGI environment stands for a byte.
        root, rest = (
            environ.get(name, "").encode("latin-1").decode(errors="replace") for name in ("SCRIPT_NAME", "PATH_INFO")
        )
        response = answer(environ["REQUEST_METHOD"], root, root + rest, environ.get("QUERY_STRING", ""))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", list(response.headers))
        return [response.body]

    return app


def make_asgi_app(
    log: Source = default_log, *, report: bool = False, trace_url: str | None = None
) -> Callable[[_Message, _Receive, _Send], Awaitable[None]]:
    """Return an ASGI application that serves a source.

    Args:
        log: The source to serve. A log in memory is read in the event loop; every other source, such as a journal, does
            I/O and is read in a thread. The application can be mounted like that of `make_wsgi_app()`.
        report: Whether to answer with the bug report, `/model/etl/report`, to every client.
        trace_url: The template of a trace's URL, as for `make_wsgi_app()`.

    Raises:
        TypeError: *trace_url* is not a string.
        ValueError: *trace_url* is not an http or https URL with `{trace_id}`.
    """
    answer = _answers(log, report, trace_url)

    async def app(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            return await send({"type": "lifespan.shutdown.complete"})
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1000, "reason": ""})
        path, query = scope["path"], scope.get("query_string", b"").decode("latin-1")
        asked = partial(answer, scope["method"], scope.get("root_path", ""), path, query)
        is_in_memory = isinstance(log, EventLog) and log.source is log and not path.rstrip("/").endswith(REPORT_PATH)
        response = asked() if is_in_memory else await _in_thread(asked)
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


async def _in_thread(answer: Callable[[], Response]) -> Response:
    """Return the answer of a function that does I/O, without blocking an event loop of asyncio."""
    import asyncio  # takes a third of the time that importing this package does; an asyncio server has it

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another framework's loop, such as trio's
        return answer()
    return await asyncio.to_thread(answer)


def _answers(log: Source, report: bool, trace_url: str | None) -> Callable[[str, str, str, str], Response]:
    """Return a function that answers a method, a mount point, the path that may begin with it, and a query."""
    reply = partial(respond, log=log, report=report_of(log) if report else None, trace_url=check_trace_url(trace_url))

    def answer(method: str, root: str, path: str, query: str) -> Response:
        below = _path_below(root, path)
        if below or not root or method not in ("GET", "HEAD"):
            return reply(method, below, query)
        # The page's own URLs are relative. So is this one, because a proxy may have changed the path.
        location = f"./{quote(root.rpartition('/')[2], safe='')}/" + (f"?{quote(query, _QUERY)}" if query else "")
        return refusal(method, 307, f"the page is at {short_repr(root + '/')}", ("Location", location))

    return answer


def _path_below(root: str, path: str) -> str:
    """Return the path to pass to `respond()` if the application is mounted at *root*; empty for *root* itself.

    The mount point may be part of the path that is served, as in `/etl-tools/model` with `/etl/log` below it.
    """
    full = path if path.startswith(root) else root + path  # older ASGI servers omit the mount point
    rest = full[len(root) :]
    served = (known for known in PATHS if known.endswith(rest.rstrip("/")) and full.rstrip("/").endswith(known))
    return next(served, rest)
