"""WSGI and ASGI applications that serve a source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any

from otel_kcevents.model.report_form import REPORT_PATH
from otel_kcevents.serve.respond import PATHS, Response, report_of, respond
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.store.source import Source

__all__ = ["make_asgi_app", "make_wsgi_app"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


def make_wsgi_app(
    log: Source = default_log, *, report: bool = False
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return a WSGI application that serves a source.

    Args:
        log: The source to serve. Mounted at `/model/etl/log`, the application serves the log alone; at a path
            above it, such as `/model` or `/tools`, every path that `respond()` answers.
        report: Whether to answer with the bug report, `/model/etl/report`, to every client.
    """
    build_report = report_of(log) if report else None

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Each character of a string in a WSGI environment stands for a byte.
        root, rest = (
            environ.get(name, "").encode("latin-1").decode(errors="replace") for name in ("SCRIPT_NAME", "PATH_INFO")
        )
        path = _path_below(root, root + rest)
        query = environ.get("QUERY_STRING", "")
        response = respond(environ["REQUEST_METHOD"], path, query, log=log, report=build_report)
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", list(response.headers))
        return [response.body]

    return app


def make_asgi_app(
    log: Source = default_log, *, report: bool = False
) -> Callable[[_Message, _Receive, _Send], Awaitable[None]]:
    """Return an ASGI application that serves a source.

    Args:
        log: The source to serve. A log in memory is read in the event loop; every other source, such as a journal, does
            I/O and is read in a thread. The application can be mounted like that of `make_wsgi_app()`.
        report: Whether to answer with the bug report, `/model/etl/report`, to every client.
    """
    build_report = report_of(log) if report else None

    async def app(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            return await send({"type": "lifespan.shutdown.complete"})
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1000, "reason": ""})
        path = _path_below(scope.get("root_path", ""), scope["path"])
        query = scope.get("query_string", b"").decode("latin-1")
        answer = partial(respond, scope["method"], path, query, log=log, report=build_report)
        is_in_memory = isinstance(log, EventLog) and log.source is log and path.rstrip("/") != REPORT_PATH
        response = answer() if is_in_memory else await _in_thread(answer)
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


def _path_below(root: str, path: str) -> str:
    """Return the path to pass to `respond()` if the application is mounted at *root*.

    The mount point may be part of the path that is served, as in `/etl-tools/model` with `/etl/log` below it.
    """
    full = path if path.startswith(root) else root + path  # older ASGI servers omit the mount point
    rest = full[len(root) :]
    served = (known for known in PATHS if known.endswith(rest.rstrip("/")) and full.rstrip("/").endswith(known))
    return next(served, rest)
