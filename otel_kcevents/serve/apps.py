"""WSGI and ASGI applications of the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

from otel_kcevents.serve.respond import LOG_PATH, respond
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["make_asgi_app", "make_wsgi_app"]


def _path_in(root: str, path: str) -> str:
    """The path as `respond()` knows it, for an app mounted at `root`: under the log's path or above it."""
    full = path if path.startswith(root) else root + path
    rest = full[len(root) :]
    return LOG_PATH if LOG_PATH.endswith(rest.rstrip("/")) and full.rstrip("/").endswith(LOG_PATH) else rest


def make_wsgi_app(
    log: EventLog = default_log,
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Return a WSGI application that serves `log`; mount it at `/model/etl/log` or any path above it."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        root, rest = (_decoded(environ.get(name, "")) for name in ("SCRIPT_NAME", "PATH_INFO"))
        path = _path_in(root, root + rest)
        response = respond(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), log=log)
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", list(response.headers))
        return [response.body]

    return app


def _decoded(text: str) -> str:
    """A string of a WSGI environment, where each character stands for a byte, as UTF-8."""
    return text.encode("latin-1").decode(errors="replace")


_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


def make_asgi_app(log: EventLog = default_log) -> Callable[[_Message, _Receive, _Send], Awaitable[None]]:
    """Return an ASGI application that serves `log`; mount it at `/model/etl/log` or any path above it."""

    async def app(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1000, "reason": ""})
        path = _path_in(scope.get("root_path", ""), scope["path"])
        response = respond(scope["method"], path, scope.get("query_string", b"").decode("latin-1"), log=log)
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
