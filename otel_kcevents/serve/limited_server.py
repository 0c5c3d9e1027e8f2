"""A WSGI server that cannot hurt the program it runs in: connections, headers, time and CPU time are limited."""

from __future__ import annotations

import errno
import logging
import re
import socket
from contextlib import suppress
from http import HTTPStatus
from http.client import LineTooLong
from io import BufferedReader, BytesIO, StringIO
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock
from time import monotonic, sleep, thread_time
from typing import Any, NamedTuple
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from otel_kcevents.model.messages import short_repr
from otel_kcevents.serve.hosts import HostCheck
from otel_kcevents.serve.respond import Response, refusal

__all__ = ["LimitedServer", "Limits"]

_CPU_BURST = 0.05  # seconds of CPU time that are free after a quiet time: some ten full documents
_MAX_PAUSE = 0.1  # seconds; during a pause the server checks neither its connections nor whether it was closed
_MAX_BODY = 4 << 20  # bytes of a request's body that are read so that its sender sees the refusal
_MAX_REASON = 200  # characters of a request in a message
_NAME = "otel-kcevents"  # in the header `Server`

_logger = logging.getLogger("otel_kcevents")


class Limits(NamedTuple):
    """What a server may cost its program; see `start_http_server()`."""

    max_connections: int
    max_connections_per_client: int
    max_header_bytes: int
    timeout: float
    max_load: float


class LimitedServer(ThreadingMixIn, WSGIServer):
    """Serves a WSGI application with a thread for each connection, within limits."""

    address_family: int
    server_name: str
    server_port: int

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], limits: Limits, hosts: HostCheck) -> None:
        host, port = address
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self.limits = limits
        self.hosts = hosts
        self.connections: dict[socket.socket, tuple[str, float]] = {}  # each with its client's address and its end
        self._budget = _Budget(limits.max_load)
        self._loop_seconds = 0.0
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's also looks up the name of this machine, which may take seconds
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. If too much CPU time was used, connections wait with the system, at no cost."""
        if delay := self._budget.delay():
            sleep(min(delay, _MAX_PAUSE))
            raise BlockingIOError(errno.EAGAIN, "no CPU time left")  # `serve_forever` ignores an OSError here
        return super().get_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Turn away a connection above the limits, without a thread and without waiting for its client."""
        limits, client = self.limits, client_address[0]
        clients = [address for address, _ in self.connections.copy().values()]
        if len(clients) >= limits.max_connections:
            message = f"the server has {len(clients)} connections; try again, or raise max_connections"
        elif clients.count(client) >= limits.max_connections_per_client:
            used = f"{client} has {clients.count(client)} connections"
            message = f"{used}; close one, or raise max_connections_per_client"
        else:
            return True
        _logger.debug("refused a connection: %s", message)
        response = refusal("GET", 503, message, ("Retry-After", "1"))
        headers = "".join(f"{name}: {value}\r\n" for name, value in (("Server", _NAME), *response.headers))
        request.setblocking(False)
        with suppress(OSError):  # the client may have left, or have sent nothing yet
            request.send(f"HTTP/1.0 503 Service Unavailable\r\n{headers}\r\n".encode() + response.body)
            request.shutdown(socket.SHUT_WR)
            request.recv(1 << 16)  # a connection closed with bytes unread is reset, and the response lost
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
        """After each connection, and twice a second: end the connections whose time is up, however busy they are."""
        for request, (_, end) in self.connections.copy().items():
            if monotonic() > end:
                _shut(request, socket.SHUT_RDWR)
        before, self._loop_seconds = self._loop_seconds, thread_time()
        self._budget.spend(self._loop_seconds - before)

    def server_close(self) -> None:
        """Free the port. Responses that are being sent may end; no client is waited for any longer."""
        super().server_close()
        for request in self.connections.copy():
            _shut(request, socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _logger.debug("a connection from %s broke", client_address, exc_info=True)


def _shut(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # its client may have ended it
        connection.shutdown(how)


class _Budget:
    """CPU time that may be used: `load` seconds each second, of which up to `_CPU_BURST` are saved up."""

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
        """Seconds until there is CPU time to use again, 0 if there is some now."""
        self.spend(0)
        return max(0.0, -self._left / self._load)


class _Handler(WSGIRequestHandler):
    """One connection, with one request."""

    server: LimitedServer
    rfile: _HeadReader
    default_request_version = "HTTP/1.0"  # a request that names no version gets a status line too
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
        if problem := self._host_problem():
            self._send(refusal(self.command, *problem))
        else:
            stdin: Any = self.rfile
            stdout: Any = self.wfile
            stderr = StringIO()  # for what an application prints; this one writes to the program's log
            gateway: Any = _Gateway(stdin, stdout, stderr, self.get_environ(), multithread=True)
            gateway.request_handler = self
            gateway.run(self.server.get_app())
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self._read_off()

    def _host_problem(self) -> tuple[int, str] | None:
        """Why the request's host is refused, or None. Strips scheme and host from an absolute-form target."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) > 1:
            return 400, f"the request has {len(hosts)} Host headers; send one"
        if match := re.match("https?://([^/?]*)", self.path, re.IGNORECASE):
            hosts.append(match[1])
            self.path = self.path[match.end() :]
        return self.server.hosts.problem(hosts, self.connection.getsockname()[0])

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not an HTTP request, in the form of every refusal."""
        if code in (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE):
            limit = f"{self.server.limits.max_header_bytes:,} bytes"
            message = f"the request line and headers have more than {limit}, or there are over 100 headers; send less"
        self._send(refusal(self.command or "", code, (message or HTTPStatus(code).phrase)[:_MAX_REASON]))
        self._read_off()

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def _read_off(self) -> None:
        """Discard the rest of the request: closing with unread bytes resets the connection and loses the response."""
        self.connection.shutdown(socket.SHUT_WR)
        left = _MAX_BODY
        while left > 0 and (data := self.rfile.read1(1 << 16)):
            left -= len(data)

    def version_string(self) -> str:
        return _NAME

    def log_message(self, format: str, *args: Any) -> None:
        _logger.debug("%s", short_repr(format % args, _MAX_REASON))


class _HeadReader(BufferedReader):
    """The bytes of a connection, whose lines may have `max_bytes` in all."""

    def __init__(self, raw: Any, max_bytes: int) -> None:
        super().__init__(raw)
        self._left = max_bytes

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line. Raises LineTooLong if it is longer than what is left, whatever `size` is."""
        line = super().readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise LineTooLong("head")
        return line


class _Gateway(ServerHandler):
    """From a connection to the WSGI application and back."""

    server_software = _NAME
    os_environ: dict[str, str] = {}  # noqa: RUF012 - never changed; requests do not need the program's environment

    def send_headers(self) -> None:
        """Send the head in one piece: at each send another thread may take the interpreter for 5 ms."""
        connection, self.stdout = self.stdout, BytesIO()
        super().send_headers()
        head, self.stdout = self.stdout.getvalue(), connection
        self.stdout.write(head)

    def handle_error(self) -> None:
        raise  # the application handles its own errors, so the one in hand is the connection's
