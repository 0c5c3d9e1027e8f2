"""The embedded server: a source over HTTP in a thread of the program, within limits that protect the program."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from functools import partial
from threading import Lock, Thread
from time import monotonic
from typing import Any
from weakref import WeakSet

from otel_kcevents.model.document import LOG_PATH
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.serve.hosts import HostCheck, is_loopback
from otel_kcevents.serve.limited_server import LimitedServer, Limits
from otel_kcevents.serve.metrics import expose
from otel_kcevents.serve.page import check_trace_url
from otel_kcevents.serve.respond import SOURCE_PATHS, Response, refusal, report_of, respond
from otel_kcevents.store.log import default_log
from otel_kcevents.store.source import Source

__all__ = ["LogServer", "start_http_server"]


def start_http_server(
    port: int = 9003,
    addr: str = "127.0.0.1",
    log: Source = default_log,
    *,
    allowed_hosts: Iterable[str] = (),
    max_connections: int = 32,
    max_connections_per_client: int = 8,
    max_header_bytes: int = 16_384,
    timeout: float = 10.0,
    cache_seconds: float = 0.1,
    max_load: float = 0.05,
    report: bool | None = None,
    trace_url: str | None = None,
    metrics: bool = False,
) -> LogServer:
    """Serve a source in a daemon thread until it is closed.

    The log is at `http://ADDR:PORT/model/etl/log`, a page for people at `http://ADDR:PORT/`.

    The server asks for no password, so `addr` is loopback by default. A request whose `Host` is not this machine's gets
    a 421, so that a web page cannot read the log through its own domain name that resolves here (DNS rebinding).

    Args:
        port: The port to listen on; 0 selects a free one, which is the returned server's `port`.
        addr: The address to listen on; `"0.0.0.0"` means every IPv4 address of the machine.
        log: The source to serve, such as an `EventLog`.
        allowed_hosts: Names or IP addresses to accept in `Host`, besides loopback, `addr`, the address that the
            connection arrived at and, if `addr` is every address, the machine's own names. `"*"` accepts all.
        max_connections: The maximum number of connections at once, 1 to 1,024; further ones get a 503.
        max_connections_per_client: The same for each client address; behind a proxy, all clients share one.
        max_header_bytes: The maximum size of request line and headers in bytes, 256 to 65,536; longer ones get a
            414 or a 431.
        timeout: The maximum duration of a connection in seconds, 0.1 to 3,600.
        cache_seconds: Seconds for which the full document is cached, 0 to 60; with 0 it is rebuilt for each request.
        max_load: The share of one CPU core that serving may take on average, 0.001 to 1. Above it, new
            connections wait. After an idle period, 0.05 seconds of CPU time are available at once.
        report: Who gets the bug report, `/model/etl/report`: True for every client, False for none, None for clients on
            this machine whose requests do not come through a proxy.
        trace_url: The template of a trace's URL that the page links to, such as
            `http://localhost:16686/trace/{trace_id}`; None for no links.
        metrics: Whether to answer `GET /metrics` with the totals of the source, for Prometheus, which needs
            `otel-kcevents[metrics]`. It is meant for a journal: the metrics of one program are exported over OTLP.

    Returns:
        The running server, which `close()` or leaving a `with` block stops. It ends with the program. A forked
        child does not inherit it.

    Raises:
        OSError: The server cannot listen on this address and port.
        TypeError: An argument has the wrong type.
        ValueError: A number is outside its range, an entry of `allowed_hosts` is not a host, or *trace_url* is not an
            http or https URL with `{trace_id}`.
    """
    if not isinstance(addr, str) or not addr:
        message = f"addr must be an address such as '127.0.0.1', or '0.0.0.0' for every one, got {short_repr(addr)}"
        raise ValueError(message) if addr == "" else TypeError(message)
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"port must be an integer such as 9003, or 0 for a free port, got {short_repr(port)}")
    limits = Limits(
        _number_in_range("max_connections", max_connections, 1, 1_024, int),
        _number_in_range("max_connections_per_client", max_connections_per_client, 1, 1_024, int),
        _number_in_range("max_header_bytes", max_header_bytes, 256, 65_536, int),
        _number_in_range("timeout", timeout, 0.1, 3_600, (int, float)),
        _number_in_range("max_load", max_load, 0.001, 1, (int, float)),
    )
    cache_seconds = _number_in_range("cache_seconds", cache_seconds, 0, 60, (int, float))
    responses = _CachedResponses(log, cache_seconds, report, check_trace_url(trace_url), metrics)
    hosts = HostCheck(addr, allowed_hosts)
    try:
        server = LimitedServer((addr, port), limits, hosts, responses)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", errno.EINVAL)
        raise OSError(number, f"cannot listen on {addr}:{port}: {error}; port 0 selects a free one") from error
    return LogServer(server)


def _number_in_range(name: str, value: Any, least: float, most: float, types: Any) -> Any:
    expected = f"{'an integer' if types is int else 'a number'} from {least} to {most}"
    if not isinstance(value, types) or isinstance(value, bool):
        raise TypeError(f"{name} must be {expected}, got {short_repr(value)}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be {expected}, got {short_repr(value)}")
    return value


class LogServer:
    """A running server, as `start_http_server()` returns it; leaving a `with` block closes it."""

    port: int
    """The port that the server listens on."""

    url: str
    """The full URL of the log."""

    def __init__(self, server: LimitedServer) -> None:
        self._server: LimitedServer | None = server
        self.port = int(server.server_address[1])
        host = str(server.server_address[0])
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}{LOG_PATH}"
        self._thread = Thread(target=self._serve, args=(server,), name="kcevents-log-server", daemon=True)
        self._thread.start()
        _servers.add(self)

    def __repr__(self) -> str:
        return f"<LogServer {self.url}{' (closed)' if self._server is None else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("cannot copy or pickle a LogServer, which listens on a port; start one in each process")

    def _serve(self, server: LimitedServer) -> None:
        # A method, so that the thread keeps this object alive: a fork must find the server even if the caller
        # kept no reference.
        server.serve_forever()

    def close(self) -> None:
        """Stop serving and free the port. Calling it again does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._thread.join()

    def _close_in_child(self) -> None:
        """Close the sockets in a forked child; the threads that serve them exist only in the parent."""
        server, self._server = self._server, None
        if server is not None:
            for held in (server.socket, *server.connections):
                os.close(held.detach())  # socket.close() would wait until its makefile() objects are closed

    def __enter__(self) -> LogServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _CachedResponses:
    """Answers requests from a source, one at a time, and caches the full document for a while."""

    def __init__(
        self, log: Source, cache_seconds: float, report: bool | None, trace_url: str | None, metrics: bool
    ) -> None:
        self._respond = partial(respond, log=log, trace_url=trace_url)
        self._report = report
        self._has_metrics = metrics
        self._build_report = report_of(log)
        self._cache_seconds = cache_seconds
        self._cached: Response | None = None
        self._cached_until = 0.0
        self._lock = Lock()

    def __call__(self, method: str, path: str, query: str, client: str, accept: str) -> Response:
        route = path.rstrip("/")
        try:
            if method not in ("GET", "HEAD") or route not in SOURCE_PATHS:
                may_report = is_loopback(client) if self._report is None else self._report
                return self._respond(method, path, query, report=self._build_report if may_report else None)
            metrics = partial(expose, accept=accept) if self._has_metrics else None
            with self._lock:  # threads that read the source at the same time would each slow the program down
                if query or route != LOG_PATH:
                    return self._respond(method, path, query, metrics=metrics)
                now = monotonic()
                if self._cached is None or now >= self._cached_until:
                    self._cached = self._respond("GET", LOG_PATH)
                    self._cached_until = now + self._cache_seconds
                return self._cached if method == "GET" else self._cached._replace(body=b"")
        except Exception:
            _logger.exception("cannot answer %s %s", method, short_repr(path))
            return refusal(method, 500, "the log cannot be read; the program's logging output has the reason")


_servers: WeakSet[LogServer] = WeakSet()


def _close_servers_in_child() -> None:
    for server in list(_servers):
        server._close_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_close_servers_in_child)
