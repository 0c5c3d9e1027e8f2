"""The embedded server: the log over HTTP in a thread of the program, within limits that keep the program unharmed."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable
from threading import Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Any, TypeAlias
from weakref import WeakSet

from otel_kcevents.model.messages import short_repr
from otel_kcevents.serve.apps import make_wsgi_app
from otel_kcevents.serve.hosts import HostCheck
from otel_kcevents.serve.limited_server import LimitedServer, Limits
from otel_kcevents.serve.respond import LOG_PATH, refusal
from otel_kcevents.store.log import EventLog, default_log

__all__ = ["LogServer", "start_http_server"]

_Answer: TypeAlias = tuple[str, list[tuple[str, str]], bytes]
"""The status line, the headers and the body."""

_logger = logging.getLogger("otel_kcevents")


def start_http_server(
    port: int = 9003,
    addr: str = "127.0.0.1",
    log: EventLog = default_log,
    *,
    allowed_hosts: Iterable[str] = (),
    max_connections: int = 32,
    max_connections_per_client: int = 8,
    max_header_bytes: int = 16_384,
    timeout: float = 10.0,
    cache_seconds: float = 0.1,
    max_load: float = 0.05,
) -> LogServer:
    """Serve `log` at `http://ADDR:PORT/model/etl/log` in a daemon thread until it is closed.

    There is no password, so `addr` is loopback by default. A request whose `Host` is not this machine's gets
    a 421, so that a web page cannot read the log through a DNS name of its own that leads here (DNS rebinding).

    Args:
        port: the port to listen on; 0 takes a free one, which the returned server's `port` tells.
        addr: the address to listen on; `"0.0.0.0"` is every IPv4 address of the machine.
        log: the log to serve.
        allowed_hosts: names or IP addresses to accept in `Host`, besides loopback, `addr`, the address that a
            request came in at and, if `addr` is every address, the machine's own names. `"*"` accepts all.
        max_connections: connections at once, 1 to 1,024; one more gets a 503.
        max_connections_per_client: the same for each client address. Behind a proxy, all clients are one.
        max_header_bytes: the most bytes of a request line and headers, 256 to 65,536; longer ones get a 414
            or a 431.
        timeout: seconds for a connection from its first byte to its last, 0.1 to 3,600.
        cache_seconds: how old the full document may be, 0 to 60 seconds; 0 makes one for each request.
        max_load: the share of one CPU core that serving may take on average, 0.001 to 1. Above it, new
            connections wait; 0.05 seconds of CPU time are free after a quiet time.

    Returns:
        The running server, to be closed by `close()` or `with`. It ends with the program, and a forked
        child does not have it.

    Raises:
        OSError: the address cannot be listened on.
        TypeError: a value of another type, with the remedy.
        ValueError: a number outside its range, or an entry of `allowed_hosts` that is not a host.
    """
    if not isinstance(addr, str) or not addr:
        wrong = TypeError if addr != "" else ValueError
        raise wrong(f"addr must be an address such as '127.0.0.1', or '0.0.0.0' for every one, got {short_repr(addr)}")
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"port must be an integer such as 9003, or 0 for a free port, got {short_repr(port)}")
    limits = Limits(
        _checked("max_connections", max_connections, 1, 1_024, int),
        _checked("max_connections_per_client", max_connections_per_client, 1, 1_024, int),
        _checked("max_header_bytes", max_header_bytes, 256, 65_536, int),
        _checked("timeout", timeout, 0.1, 3_600, (int, float)),
        _checked("max_load", max_load, 0.001, 1, (int, float)),
    )
    app = _LogApp(log, _checked("cache_seconds", cache_seconds, 0, 60, (int, float)))
    hosts = HostCheck(addr, allowed_hosts)
    try:
        server = LimitedServer((addr, port), limits, hosts)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", errno.EINVAL)
        raise OSError(number, f"cannot listen on {addr}:{port}: {error}; port 0 takes a free one") from error
    server.set_app(app)
    return LogServer(server)


def _checked(name: str, value: Any, least: float, most: float, types: Any) -> Any:
    expected = f"{'an integer' if types is int else 'a number'} from {least} to {most}"
    if not isinstance(value, types) or isinstance(value, bool):
        raise TypeError(f"{name} must be {expected}, got {short_repr(value)}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be {expected}, got {short_repr(value)}")
    return value


class LogServer:
    """A running server of a log: `port`, `url`, and `close()`, which leaving a `with` block does too."""

    port: int
    url: str

    def __init__(self, server: LimitedServer) -> None:
        self._server: LimitedServer | None = server
        self.port = int(server.server_address[1])
        host = str(server.server_address[0])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}{LOG_PATH}"
        self._thread = Thread(target=self._serve, args=(server,), name="kcevents-log-server", daemon=True)
        self._thread.start()
        _servers.add(self)

    def _serve(self, server: LimitedServer) -> None:
        server.serve_forever()  # in a method, so that a forked child knows of a server whose caller kept nothing

    def close(self) -> None:
        """Stop answering and free the port. Calling it again does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def _forget(self) -> None:
        """In a forked child: let the sockets go; the threads that serve them are the parent's."""
        server, self._server = self._server, None
        if server is not None:
            for held in (server.socket, *server.connections):
                os.close(held.detach())  # socket.close() would wait until its makefile() objects are closed

    def __enter__(self) -> LogServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _LogApp:
    """The WSGI application that is served: one document is made at a time, and the full one is kept for a while."""

    def __init__(self, log: EventLog, cache_seconds: float) -> None:
        self._app = make_wsgi_app(log)
        self._cache_seconds = cache_seconds
        self._full: _Answer | None = None  # the last full document
        self._full_end = 0.0  # until when it may be sent
        self._lock = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        try:
            status, headers, body = self._answer(environ)
        except Exception:
            _logger.exception("%s %s could not be answered", method, short_repr(environ["PATH_INFO"]))
            response = refusal(method, 500, "the log cannot be shown; the program's own log has the reason")
            status, headers, body = "500 Internal Server Error", [*response.headers], response.body
        start_response(status, list(headers))  # the list of a kept document must stay as it is
        return [b"" if method == "HEAD" else body]

    def _answer(self, environ: dict[str, Any]) -> _Answer:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or environ["PATH_INFO"].rstrip("/") != LOG_PATH:
            return self._call(environ)
        with self._lock:  # threads that make documents at the same time would each slow the program down
            if environ["QUERY_STRING"]:
                return self._call(environ)
            now = monotonic()
            if self._full is None or now >= self._full_end:
                self._full = self._call({**environ, "REQUEST_METHOD": "GET"})
                self._full_end = now + self._cache_seconds
            return self._full

    def _call(self, environ: dict[str, Any]) -> _Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(self._app(environ, lambda status, headers: started.append((status, headers))))
        return (*started[0], body)


_servers: WeakSet[LogServer] = WeakSet()


def _after_fork_in_child() -> None:
    for server in list(_servers):
        server._forget()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
