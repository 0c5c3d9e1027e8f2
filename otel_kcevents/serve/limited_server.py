"""An HTTP server that protects the program it runs in: connections, headers, time and CPU time are limited."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler
from io import BufferedReader
from socketserver import ThreadingTCPServer
from threading import Lock
from time import monotonic, sleep, thread_time
from typing import Any, NamedTuple
from urllib.parse import unquote

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.serve.hosts import HostCheck
from otel_kcevents.serve.respond import Response, refusal

__all__ = ["LimitedServer", "Limits"]

_CPU_BURST = 0.05  # seconds of CPU time available after an idle period: about ten full documents
_MAX_PAUSE = 0.1  # seconds; during a pause the server checks neither its connections nor whether it has been closed
_MAX_BODY = 4 << 20  # bytes of a request's body that are read, so that the client receives the refusal
_MAX_REASON = 200  # characters of a request that a message shows
_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_NAME = "otel-kcevents"  # in the header `Server`


class Limits(NamedTuple):
    """The limits of a server; see `start_http_server()`."""

    max_connections: int
    max_connections_per_client: int
    max_header_bytes: int
    timeout: float
    max_load: float


class LimitedServer(ThreadingTCPServer):
    """An HTTP server with a thread for each connection, within limits.

    Args:
        address: The address and port to listen on.
        limits: The limits.
        hosts: The hosts that the server answers for.
        answer: Returns the response to a method, a decoded path, a query, the client's address, which is empty if the
            request comes through a proxy, and the media types that it accepts; it must not raise.
    """

    address_family: int

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        limits: Limits,
        hosts: HostCheck,
        answer: Callable[[str, str, str, str, str], Response],
    ) -> None:
        host, port = address
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self.limits = limits
        self.hosts = hosts
        self.answer = answer
        self.connections: dict[socket.socket, tuple[str, float]] = {}  # the client's address and its deadline
        self._budget = _Budget(limits.max_load)
        self._loop_seconds = 0.0
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. If too much CPU time was used, connections wait in the operating system's queue."""
        if delay := self._budget.delay():
            sleep(min(delay, _MAX_PAUSE))
            raise BlockingIOError(errno.EAGAIN, "no CPU time left")  # `serve_forever` ignores an OSError here
        return super().get_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse a connection above the limits, without a thread and without waiting for its client."""
        limits, client = self.limits, client_address[0]
        clients = [address for address, _ in self.connections.copy().values()]
        if len(clients) >= limits.max_connections:
            message = f"the limit on connections is {limits.max_connections}; try again, or raise max_connections"
        elif clients.count(client) >= limits.max_connections_per_client:
            limit = f"the limit on connections from {client} is {limits.max_connections_per_client}"
            message = f"{limit}; close one, or raise max_connections_per_client"
        else:
            return True
        _logger.debug("refused a connection: %s", message)
        response = refusal("GET", 503, message, ("Retry-After", "1"))
        headers = "".join(f"{name}: {value}\r\n" for name, value in (("Server", _NAME), *response.headers))
        request.setblocking(False)
        with suppress(OSError):  # the client may have disconnected, or have sent nothing yet
            request.send(f"HTTP/1.0 503 Service Unavailable\r\n{headers}\r\n".encode() + response.body)
            request.shutdown(socket.SHUT_WR)
            request.recv(1 << 16)  # closing with unread bytes resets the connection and loses the response
        return False

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections[request] = (client_address[0], monotonic() + self.limits.timeout)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            super().finish_request(request, client_address)
        finally:
            self._budget.spend(thread_time())  # the thread began with this connection and ends with it

    def shutdown_request(self, request: Any) -> None:
        self.connections.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End the connections past their deadline; called after each connection and twice a second."""
        for request, (_, end) in self.connections.copy().items():
            if monotonic() > end:
                _shut_down(request, socket.SHUT_RDWR)
        before, self._loop_seconds = self._loop_seconds, thread_time()
        self._budget.spend(self._loop_seconds - before)

    def server_close(self) -> None:
        """Free the port. Responses in progress are completed, but no further requests are read."""
        super().server_close()
        for request in self.connections.copy():
            _shut_down(request, socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _logger.debug("a connection from %s failed", client_address, exc_info=True)


def _shut_down(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # the client may have closed it
        connection.shutdown(how)


class _Budget:
    """The available CPU time: it grows by `load` seconds per second, up to `_CPU_BURST`."""

    def __init__(self, load: float) -> None:
        self._load = load
        self._left = _CPU_BURST
        self._last = monotonic()
        self._lock = Lock()

    def spend(self, seconds: float) -> None:
        with self._lock:
            now = monotonic()
            self._left = min(_CPU_BURST, self._left + (now - self._last) * self._load) - seconds
            self._last = now

    def delay(self) -> float:
        """Return the seconds until CPU time is available again; 0 if it is available now."""
        self.spend(0)
        return max(0.0, -self._left / self._load)


class _Handler(BaseHTTPRequestHandler):
    """One connection, with one request."""

    server: LimitedServer
    rfile: _HeadReader
    default_request_version = "HTTP/1.0"  # a request without a version gets a status line too
    disable_nagle_algorithm = True  # head and body are sent separately, and the body must not wait

    def setup(self) -> None:
        self.timeout = self.server.limits.timeout  # type: ignore[misc]
        super().setup()
        self.rfile = _HeadReader(self.rfile.detach(), self.server.limits.max_header_bytes)

    def handle(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline()
        except LineTooLong:
            self.requestline = self.request_version = self.command = ""
            return self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        if not self.parse_request():
            return
        self._send(self._response())
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self._discard_body()

    def _response(self) -> Response:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) > 1:
            return refusal(self.command, 400, f"the request has {len(hosts)} Host headers; send one")
        if match := re.match("https?://([^/?]*)", self.path, re.IGNORECASE):  # the form of a request to a proxy
            hosts.append(match[1])
            self.path = self.path[match.end() :]
        if problem := self.server.hosts.problem(hosts, self.connection.getsockname()[0]):
            return refusal(self.command, *problem)
        path, _, query = self.path.partition("?")
        client = "" if any(name in self.headers for name in _PROXY_HEADERS) else self.client_address[0]
        accept = ",".join(self.headers.get_all("Accept", []))
        return self.server.answer(self.command, unquote(path), query, client, accept)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a malformed HTTP request, with a response like that of every refusal."""
        if code in (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE):
            limit = f"{self.server.limits.max_header_bytes:,} bytes"
            message = f"the request line and headers have more than {limit}, or there are over 100 headers; send less"
        self._send(refusal(self.command or "", code, (message or HTTPStatus(code).phrase)[:_MAX_REASON]))
        self._discard_body()

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def _discard_body(self) -> None:
        """Read the rest of the request: closing with unread bytes resets the connection and loses the response."""
        self.connection.shutdown(socket.SHUT_WR)
        left = _MAX_BODY
        while left > 0 and (data := self.rfile.read1(1 << 16)):
            left -= len(data)

    def version_string(self) -> str:
        return _NAME

    def log_message(self, format: str, *args: Any) -> None:
        _logger.debug("%s", short_repr(format % args, _MAX_REASON))


class _HeadReader(BufferedReader):
    """Reads a connection, whose lines may have `max_bytes` in total."""

    def __init__(self, raw: Any, max_bytes: int) -> None:
        super().__init__(raw)
        self._left = max_bytes

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line, whatever `size` is.

        Raises:
            LineTooLong: The lines so far have more than `max_bytes`.
        """
        line = super().readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise LineTooLong("head")
        return line
