"""`otel-kcevents serve`: a standalone server over journals and other sources."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from threading import Event as Flag
from urllib.parse import urlsplit

from otel_kcevents.cli.arguments import Commands, add_sources, number_type
from otel_kcevents.cli.output import print_error, print_lines
from otel_kcevents.cli.sources import USAGE, CommandError, is_missing, one_source, read_source
from otel_kcevents.model.document import LOG_PATH
from otel_kcevents.sdk.settings import trace_url
from otel_kcevents.serve.server import start_http_server
from otel_kcevents.store.remote import RemoteLog
from otel_kcevents.store.source import Source

__all__ = ["add_serve", "serve"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MAX_LOAD = 0.5  # of a core: unlike a server inside a program, it slows no program down


def add_serve(commands: Commands) -> None:
    """Add the command `serve`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("serve", help="serve a journal over HTTP until SIGTERM or Ctrl-C")
    parser.set_defaults(command=serve)
    port_help = "the port to listen on; 0 selects a free one (default: 9003)"
    parser.add_argument("--port", type=number_type(0, 65_535, int), default=9003, metavar="PORT", help=port_help)
    addr_help = "the address to listen on; 0.0.0.0 is every address of this machine (default: 127.0.0.1)"
    parser.add_argument("--addr", default="127.0.0.1", metavar="ADDRESS", help=addr_help)
    parser.add_argument(
        "--allowed-host",
        dest="allowed_hosts",
        action="append",
        default=[],
        metavar="HOST",
        help="also answer requests for this name or IP address, or * for any; repeatable",
    )
    add_sources(parser, waits=True)


def serve(sources: Sequence[Source], port: int, addr: str, allowed_hosts: Sequence[str]) -> None:
    """Serve sources over HTTP until SIGTERM or Ctrl-C.

    Args:
        sources: What to serve.
        port: The port to listen on; 0 selects a free one.
        addr: The address to listen on.
        allowed_hosts: Further hosts to answer for, `*` for all.

    Raises:
        CommandError: The server cannot listen or would serve itself; or a source cannot be read, and waiting will not
            help.
    """
    for source in sources:
        _check(source, port, addr)
    stop = Flag()
    handlers = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        source = one_source(sources)
        with start_http_server(
            port, addr, source, allowed_hosts=allowed_hosts, max_load=_MAX_LOAD, trace_url=trace_url(), metrics=True
        ) as server:
            page = f"{server.url.removesuffix(LOG_PATH)}/"
            print_lines([f"serving {source} at {page}, its log at {server.url}"])
            stop.wait()
    except OSError as error:
        raise CommandError(error.strerror or str(error)) from None
    except ValueError as error:
        raise CommandError(str(error), USAGE) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _check(source: Source, port: int, addr: str) -> None:
    """Report a source that cannot be read yet.

    Raises:
        CommandError: It would be this server itself, or waiting will not help.
    """
    if isinstance(source, RemoteLog):
        parts = urlsplit(source.url)
        if port and parts.port == port and parts.hostname in (*_LOOPBACK, addr):
            remedy = "give a journal, or set OTEL_PYTHON_KCEVENTS_LOG_FILE"
            raise CommandError(f"{source} would be this server itself; {remedy}", USAGE)
    try:
        read_source(source)
    except CommandError as error:
        if not isinstance(source, RemoteLog) and not is_missing(source):
            raise
        print_error(f"{error}; it is served as soon as it can be read")
