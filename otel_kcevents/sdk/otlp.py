"""Build the stock OTLP exporters from the environment, each wrapped in a client that reports each send's result."""

from __future__ import annotations

import logging
import os
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from opentelemetry import context
from opentelemetry.context import Context

from otel_kcevents.model.messages import short_repr

__all__ = ["OtlpClient", "otlp_client", "positive_setting"]

_PROTOCOLS = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}
_EXPORTERS = {"trace": "OTLPSpanExporter", "metric": "OTLPMetricExporter"}
_ANSWERS = {
    "trace": ("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "ExportTraceServiceResponse"),
    "metric": ("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", "ExportMetricsServiceResponse"),
}
_DEFAULT_TIMEOUT = 10.0  # seconds, as OpenTelemetry's specification has it
_MAX_TIMEOUT = 60.0  # seconds; what waits behind an attempt must be sent again within minutes
# By default gRPC waits up to two minutes before it reconnects: the final flush would miss a collector that is back.
_CHANNEL_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 1000))
# One header as OpenTelemetry accepts it: a name, and a value that is URL-encoded or has no character that needs it.
_HEADER = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+[ \t]*=[ !#-+\--:<-\[\]-~]*")
_HTTP_NAME = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+")  # a token of RFC 9110
_GRPC_NAME = re.compile(r"[a-z0-9_.-]+(?<!-bin)")  # a key of gRPC's metadata; those that end in -bin hold bytes

_logger = logging.getLogger("otel_kcevents")


class _Connection(NamedTuple):
    """A stock exporter, and how many records its last successful answer reports as rejected."""

    exporter: Any
    rejected: Callable[[], int]


class OtlpClient:
    """Sends one signal's data with a stock exporter, and goes by the exporter's result alone.

    After a failure the exporter is built anew: its connection may lead nowhere.

    Args:
        build: Builds the exporter.
        success: The exporter's result for data that was taken.
        endpoint: Where it sends to, for messages: no user info, no query, no control characters.
    """

    endpoint: str

    def __init__(self, build: Callable[[], _Connection], success: Any, endpoint: str) -> None:
        self.endpoint = endpoint
        self._build = build
        self._success = success
        self._connection: _Connection | None = build()
        self._inherited: list[_Connection | None] = []
        self._warned = False

    @property
    def exporter(self) -> Any:
        """The stock exporter, which the SDK asks for its preferences; None after `close` and before the next send."""
        return self._connection and self._connection.exporter

    def send(self, data: Any, current: Context) -> int | None:
        """Export *data* once and return how many of its records were rejected for good, None if it was not taken.

        Args:
            data: What the stock exporter's `export` takes.
            current: The context of the SDK's hand-over, in which the instrumentation of HTTP and gRPC is suppressed.
        """
        token = context.attach(current)
        try:
            connection = self._connection = self._connection or self._build()
            if connection.exporter.export(data) == self._success:
                return connection.rejected()
        except Exception as error:  # its message is not logged: it may quote a header
            if not self._warned:
                self._warned = True
                _logger.warning("the OTLP exporter raised %s; the data is kept", type(error).__name__)
        finally:
            context.detach(token)
        self.close()
        return None

    def close(self) -> None:
        """Close the connection; the next send opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # there is nothing more to do with it
                connection.exporter.shutdown()

    def after_fork_in_child(self) -> None:
        """Leave the connection to the parent. It is not closed: closing may wait for a thread of the parent."""
        self._inherited.append(self._connection)
        self._connection = None


def otlp_client(signal: str, success: Any) -> OtlpClient | None:
    """Build the client that the environment asks for; None if it asks for none.

    Reads `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL` (`grpc` by default), `_TIMEOUT` and `_HEADERS`, each also with the
    signal's name (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`), and `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER`; an
    empty variable is an unset one. The stock exporter reads the others.

    Args:
        signal: `trace` or `metric`.
        success: The result of the signal's exporter for data that was taken.

    Raises:
        ValueError: If a setting is malformed; the message names it, and shows no header.
        ModuleNotFoundError: If the exporters are not installed.
    """
    _unset_empty_settings()
    signals = f"{signal.upper()}S"
    asked = os.environ.get(f"OTEL_{signals}_EXPORTER") or "otlp"
    names = [name.strip() for name in asked.split(",")]
    if unknown := [name for name in names if name not in ("otlp", "none")]:
        _logger.warning(
            "OTEL_%s_EXPORTER=%s: configure() does not know %s; expected otlp or none",
            signals,
            short_repr(asked),
            ", ".join(map(short_repr, unknown)),
        )
    endpoint = _setting(signals, "ENDPOINT")
    if "otlp" not in names or not endpoint:
        return None
    protocol = _setting(signals, "PROTOCOL") or "grpc"
    if protocol not in _PROTOCOLS:
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={short_repr(protocol)} is unknown; expected {' or '.join(_PROTOCOLS)}"
        )
    _check_headers(signals)
    timeout = min(positive_setting(_name(signals, "TIMEOUT"), _DEFAULT_TIMEOUT, "seconds"), _MAX_TIMEOUT)
    url, authorization = _without_user_info(endpoint)
    shown_endpoint = _checked_endpoint(url, protocol)
    sessions = _sessions(signal, authorization) if protocol != "grpc" else None
    if authorization and sessions is None:
        _logger.warning(
            "the user name and password in OTEL_EXPORTER_OTLP_ENDPOINT are not sent over gRPC or with a credential "
            "provider; put them into OTEL_EXPORTER_OTLP_HEADERS"
        )
    try:
        exporter = getattr(import_module(f"{_PROTOCOLS[protocol]}.{signal}_exporter"), _EXPORTERS[signal])
        if protocol == "grpc":
            build = partial(_grpc_connection, exporter, url, timeout)
        else:
            build = partial(_http_connection, exporter, _signal_url(signals, url), timeout, sessions)
        return OtlpClient(build, success, shown_endpoint)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name!r} is not installed; "
            "run pip install 'otel-kcevents[otlp]'",
            name=error.name,
        ) from error


def _unset_empty_settings() -> None:
    """Remove empty OpenTelemetry variables: the specification says they are unset, but some exporters fail on them."""
    for name in [name for name, value in os.environ.items() if name.startswith("OTEL_") and not value.strip()]:
        del os.environ[name]


def positive_setting(name: str, default: float, unit: str) -> float:
    """Read a positive number from an environment variable; *default* if it is unset or empty.

    Raises:
        ValueError: If it is not a positive number.
    """
    text = os.environ.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = 0.0
    if not number > 0:  # nan too
        raise ValueError(f"{name}={short_repr(text)} is not a number of {unit} above 0; set one, such as {default:g}")
    return number


def _name(signals: str, name: str) -> str:
    """The variable that holds a setting: the signal's own one, or the one for all signals."""
    own = f"OTEL_EXPORTER_OTLP_{signals}_{name}"
    return own if os.environ.get(own, "").strip() else f"OTEL_EXPORTER_OTLP_{name}"


def _setting(signals: str, name: str) -> str:
    return os.environ.get(_name(signals, name), "").strip()


def _check_headers(signals: str) -> None:
    """Refuse headers that the stock exporter would log with their values, drop, or fail with at each export."""
    names = _GRPC_NAME if (_setting(signals, "PROTOCOL") or "grpc") == "grpc" else _HTTP_NAME
    for header in filter(None, (part.strip() for part in _setting(signals, "HEADERS").split(","))):
        name, value = (unquote(part).strip() for part in header.partition("=")[::2])
        usable = names.fullmatch(name.lower()) and value.isascii() and (not value or value.isprintable())
        if not (_HEADER.fullmatch(header) and usable):
            raise ValueError(
                f"{_name(signals, 'HEADERS')} is malformed; expected name=value, more of them with commas between, "
                "values URL-encoded (its content is not shown: it may hold a secret)"
            )


def _without_user_info(endpoint: str) -> tuple[str, str | None]:
    """The endpoint without `user:password@`, and these as the value of an `Authorization` header."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        scheme, rest = "", endpoint
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user_info, at, host = authority.rpartition("@")
    if not at:
        return endpoint, None
    token = b64encode(unquote(user_info).encode("utf-8", "surrogateescape")).decode()
    return f"{scheme}{separator}{host}{rest[len(authority) :]}", f"Basic {token}"


def _checked_endpoint(url: str, protocol: str) -> str:
    """The endpoint as messages show it: scheme, host and port.

    Raises:
        ValueError: If it cannot be one. It is not shown: what is malformed may be a password.
    """
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port
        if protocol == "grpc":  # an @ that is left may be behind a password
            usable = (
                "@" not in url and not url.startswith("//") and (bool(parts.hostname) or "http" not in parts.scheme)
            )
        else:
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        example = "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is not a URL for {protocol}; expected one such as {example}, "
            "a user name and password URL-encoded (it is not shown: it may hold a secret)"
        )
    host = f"{parts.scheme or protocol}://{parts.hostname or ''}{f':{port}' if port else ''}"
    return "".join(character if character.isprintable() else "?" for character in host)


def _signal_url(signals: str, url: str) -> str:
    """The URL for one signal over HTTP: the signal's own endpoint as it is, the general one with the path added."""
    if os.environ.get(f"OTEL_EXPORTER_OTLP_{signals}_ENDPOINT", "").strip():
        return url
    return f"{url.rstrip('/')}/v1/{signals.lower()}"


def _sessions(signal: str, authorization: str | None) -> Callable[[], Any] | None:
    """Makes the sessions for HTTP; None if a credential provider of OpenTelemetry's makes them."""
    names = ("HTTP", f"HTTP_{signal.upper()}S")
    if any(os.environ.get(f"OTEL_PYTHON_EXPORTER_OTLP_{name}_CREDENTIAL_PROVIDER") for name in names):
        return None
    from otel_kcevents.sdk.http_session import BasicAuth, OtlpSession

    service = import_module(_ANSWERS[signal][0])
    answer = getattr(service, _ANSWERS[signal][1])
    return lambda: OtlpSession(answer, BasicAuth(authorization) if authorization else None)


def _grpc_connection(exporter: Any, url: str, timeout: float) -> _Connection:
    return _Connection(exporter(endpoint=url, timeout=timeout, channel_options=_CHANNEL_OPTIONS), int)


def _http_connection(exporter: Any, url: str, timeout: float, new_session: Callable[[], Any] | None) -> _Connection:
    if new_session is None:
        return _Connection(exporter(endpoint=url, timeout=timeout), int)
    session = new_session()
    return _Connection(exporter(endpoint=url, timeout=timeout, session=session), lambda: int(session.rejected))
