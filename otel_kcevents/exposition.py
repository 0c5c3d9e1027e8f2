"""The log over HTTP: one pure `respond()`, and the WSGI, ASGI and embedded servers that translate to it."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote
from weakref import WeakSet

from otel_kcevents.log import EventLog, default_log
from otel_kcevents.window import Window, shown

__all__ = ["LOG_PATH", "LogServer", "Response", "make_asgi_app", "make_wsgi_app", "respond", "start_http_server"]

LOG_PATH = "/model/etl/log"

_MOST_CLIENTS = 64  # connections at once
_PATIENCE = 10.0  # seconds for a connection, from its first byte to its last

_logger = logging.getLogger("otel_kcevents")


class Response(NamedTuple):
    """An HTTP answer: the status code, the headers, and the body (empty for HEAD)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def respond(
    method: str, path: str, query: str = "", *, log: EventLog = default_log, now: datetime | None = None
) -> Response:
    """Answer one request for the log. `path` is decoded, `query` is the part behind `?`, still encoded.

    `GET /model/etl/log` gives the log; `kind` (repeated, or with commas between) and `window` select from
    its lists, seen from `now`; other parameters change nothing. Refusals: 400 for a wrong parameter, 404
    for another path, 405 for another method, each `{"code", "message"}` as JSON.
    """
    if path.rstrip("/") != LOG_PATH:
        return _refusal(method, 404, f"{shown(path)} is not here; the log is at GET {LOG_PATH}")
    if method not in ("GET", "HEAD"):
        return _refusal(method, 405, f"{shown(method)} is not for the log; use GET", ("Allow", "GET, HEAD"))
    try:
        document = log.document(*_filters(query, now))
    except ValueError as error:
        return _refusal(method, 400, str(error))
    return _response(method, 200, document.to_json())


def _filters(query: str, now: datetime | None) -> tuple[list[str], Window | None]:
    parameters = parse_qs(query, keep_blank_values=True, max_num_fields=100)
    kinds = [kind for text in parameters.get("kind", []) for kind in text.split(",") if kind]
    windows = parameters.get("window", [])
    if len(windows) > 1:
        raise ValueError(f"window stands {len(windows)} times in the query; give one")
    return kinds, Window.parse(windows[0], now) if windows else None


def _refusal(method: str, status: int, message: str, *headers: tuple[str, str]) -> Response:
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


def _path_in(root: str, path: str) -> str:
    """The path as `respond()` knows it, for an app mounted at `root`: under the log's path or above it."""
    full = path if path.startswith(root) else root + path
    rest = full[len(root) :]
    return LOG_PATH if LOG_PATH.endswith(rest.rstrip("/")) and full.rstrip("/").endswith(LOG_PATH) else rest


def make_wsgi_app(
    log: EventLog = default_log,
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """A WSGI application that serves `log`; mount it anywhere above `/model/etl/log`, or right there."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        root, rest = (_decoded(environ.get(name, "")) for name in ("SCRIPT_NAME", "PATH_INFO"))
        path = _path_in(root, root + rest)
        response = respond(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), log=log)
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", list(response.headers))
        return [response.body]

    return app


def _decoded(text: str) -> str:
    """A text of a WSGI environment, in which each character stands for a byte."""
    return text.encode("latin-1").decode(errors="replace")


_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


def make_asgi_app(log: EventLog = default_log) -> Callable[[_Message, _Receive, _Send], Awaitable[None]]:
    """An ASGI application that serves `log`; mount it anywhere above `/model/etl/log`, or right there."""

    async def app(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            return await _live(receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1000, "reason": ""})
        path = _path_in(scope.get("root_path", ""), scope["path"])
        response = respond(scope["method"], path, scope.get("query_string", b"").decode("latin-1"), log=log)
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


async def _live(receive: _Receive, send: _Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class _Handler(BaseHTTPRequestHandler):
    """One connection of the embedded server, with one request."""

    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "otel-kcevents", ""
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # what names no version gets a status line all the same

    def _answer(self) -> None:
        target = re.sub(r"^https?://[^/?]*", "", self.path)  # a proxy's form names the host too
        path, _, query = target.partition("?")
        try:
            response = respond(self.command, unquote(path), query, log=self.server.log)
        except Exception:
            _logger.exception("%s %r could not be answered", self.command, self.path)
            response = _refusal(self.command, 500, "the log can not be shown; the program's own log tells why")
        self._send(response)
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self._read_off()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, in the form of every refusal; a method without a name of its own is a 405."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            return self._answer()
        self._send(_refusal(self.command or "", code, message or HTTPStatus(code).phrase))
        self._read_off()

    def _send(self, response: Response) -> None:
        self.close_connection = True
        self.send_response(response.status)
        for name, value in (*response.headers, ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def _read_off(self) -> None:
        """Take what is still sent: a connection closed with bytes unread is reset, and the answer with it."""
        self.connection.shutdown(socket.SHUT_WR)
        while self.rfile.read(1 << 16):
            pass

    def log_message(self, format: str, *args: Any) -> None:
        _logger.debug(format, *args)


class _Server(ThreadingHTTPServer):
    """A thread for each connection, so many at most, and each for so long at most."""

    address_family: int
    server_name: str
    server_port: int
    log: EventLog
    handle: LogServer

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], log: EventLog) -> None:
        self.address_family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        self.log = log
        self._ends: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # what HTTPServer adds is a look-up of our own name, which may take seconds
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._ends) >= _MOST_CLIENTS:
            return super().shutdown_request(request)
        self._ends[request] = monotonic() + _PATIENCE
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._ends.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second: end the connections whose time is up, however busily they drip."""
        for request, end in self._ends.copy().items():
            if monotonic() > end:
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:  # it went by itself
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        _logger.debug("a connection from %s broke", client_address, exc_info=True)


class LogServer:
    """A running server of a log: `port`, `url`, and `close()`, which leaving a `with` does too."""

    port: int
    url: str

    def __init__(self, server: _Server) -> None:
        server.handle = self  # known as long as it runs, kept by the caller or not
        self._server: _Server | None = server
        self.port = int(server.server_address[1])
        host = str(server.server_address[0])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}{LOG_PATH}"
        self._thread = Thread(target=server.serve_forever, name="kcevents-log-server", daemon=True)
        self._thread.start()
        _servers.add(self)

    def close(self) -> None:
        """Stop answering and free the port. A second time does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def _forget(self) -> None:
        """In a forked child: let the port go; the thread that serves it is the parent's."""
        server, self._server = self._server, None
        if server is not None:
            server.socket.close()

    def __enter__(self) -> LogServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def start_http_server(port: int = 9003, addr: str = "127.0.0.1", log: EventLog = default_log) -> LogServer:
    """Serve `log` at `http://ADDR:PORT/model/etl/log` in a thread of its own, until closed.

    Port 0 takes a free one, to be read from the returned server's `port`. `addr` is loopback unless told
    otherwise: the log has no password. The thread ends with the program. Raises OSError where the address
    can't be had, TypeError for a port that is no whole number.
    """
    if not isinstance(port, int):
        raise TypeError(f"port={shown(port)} is no whole number; give one such as 9003, or 0 for a free one")
    try:
        return LogServer(_Server((addr, port), log))
    except (OSError, OverflowError) as error:
        raise OSError(
            getattr(error, "errno", errno.EINVAL), f"can not listen on {addr}:{port}: {error}; port 0 takes a free one"
        ) from error


_servers: WeakSet[LogServer] = WeakSet()


def _after_fork_in_child() -> None:
    for server in list(_servers):
        server._forget()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
