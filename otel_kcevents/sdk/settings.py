"""The environment variables that `configure()` reads, checked and converted.

An empty or blank variable counts as unset.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from otel_kcevents.model.messages import short_repr

__all__ = [
    "BatchSettings",
    "OtlpSettings",
    "Signal",
    "batch_settings",
    "config_file",
    "crash_folder",
    "durations",
    "exporters",
    "log_file",
    "log_file_retention",
    "mapping_file",
    "metric_export_interval",
    "otlp_settings",
    "remove_empty_variables",
    "service_is_named",
    "trace_url",
    "undecided_exporters",
]

Signal = Literal["traces", "metrics"]
Warn = Callable[[str], object]
"""Takes the message of a warning. The two signals share variables, so the caller logs equal messages once."""

_LOG_FILE = "OTEL_PYTHON_KCEVENTS_LOG_FILE"
_MAX_AGE = 100_000  # days or hours
_COMPRESSIONS = {"grpc": ("gzip", "none"), "http/protobuf": ("gzip", "deflate", "none")}  # by protocol
_MAX_TIMEOUT = 60.0  # seconds; the data behind a slow attempt must be retried within minutes

# One header as OpenTelemetry accepts it: a name, and a value that is URL-encoded or needs no encoding.
_HEADER = r"[!#-'*+\-.0-9A-Z^-z|~]+[ \t]*=[ !#-+\--:<-\[\]-~]*"
_HEADER_NAMES = {
    "grpc": r"[a-z0-9_.-]+(?<!-bin)",  # a key of gRPC's metadata; those that end in -bin hold bytes
    "http/protobuf": r"[!#-'*+\-.0-9A-Z^-z|~]+",  # a token of RFC 9110
}


class BatchSettings(NamedTuple):
    """The settings of the SDK's batch processor.

    Attributes:
        max_queue_size: The maximum number of spans in the queue.
        schedule_delay: The milliseconds between two batches.
        max_batch_size: The maximum number of spans in a batch.
    """

    max_queue_size: int = 16_384
    schedule_delay: int = 5000
    max_batch_size: int = 512


@dataclass(frozen=True)
class OtlpSettings:
    """How one signal is exported.

    Attributes:
        signal: `traces` or `metrics`.
        protocol: `grpc` or `http/protobuf`.
        url: The endpoint without user info; over HTTP, with the path of the signal.
        display_url: Scheme, host and port of the URL, for messages.
        timeout: The timeout of one attempt, in seconds.
        compression: `gzip`, `deflate` or `none`.
        authorization: The `Authorization` header for the user info of the endpoint; None if it has none.
        has_credential_provider: Whether an OpenTelemetry credential provider creates the HTTP session.
    """

    signal: Signal
    protocol: str
    url: str = field(repr=False)
    display_url: str
    timeout: float
    compression: str
    authorization: str | None = field(repr=False)
    has_credential_provider: bool


def _read(name: str) -> str:
    return os.environ.get(name, "").strip()


def _read_otlp(signal: str, name: str) -> tuple[str, str]:
    """Return the name and the value of an OTLP variable: the one of the signal, or the one for all signals."""
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}"
    general = f"OTEL_EXPORTER_OTLP_{name}"
    return (own, _read(own)) if _read(own) else (general, _read(general))


def exporters(signal: Signal, warn: Warn) -> set[str]:
    """Return the exporters of a signal: `otlp`, `console`, both or none.

    Reads `OTEL_SDK_DISABLED`, and `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER`; the default is `otlp` if there is
    an endpoint.

    Args:
        signal: `traces` or `metrics`.
        warn: Takes the message if an exporter is unknown, `otlp` has no endpoint, or `OTEL_CONFIG_FILE` is set.
    """
    if _read("OTEL_SDK_DISABLED").lower() == "true":
        return set()
    if _read("OTEL_CONFIG_FILE"):
        warn("configure() does not read OTEL_CONFIG_FILE; use the other variables, or opentelemetry-instrument")
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    given = _read(variable)
    shown = f"{variable}={short_repr(given)}"
    names = {name.strip().lower() for name in given.split(",")} - {""}
    if unknown := sorted(names - {"otlp", "console", "none"}):
        what = ", ".join(map(short_repr, unknown))
        warn(f"{shown}: configure() does not support {what}; expected otlp, console, both or none")
    has_endpoint = bool(_read_otlp(signal, "ENDPOINT")[1])
    if "otlp" in names and not has_endpoint:
        warn(f"{shown} exports nothing, because OTEL_EXPORTER_OTLP_ENDPOINT is not set")
    return (names or {"otlp"}) & {"console", *(["otlp"] if has_endpoint else [])}


def undecided_exporters() -> list[str]:
    """Return those of `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` and `OTEL_LOGS_EXPORTER` that have no value.

    Signals with an endpoint are omitted. OpenTelemetry's distribution would export the others to a collector on this
    machine, whether there is one or not.
    """
    names = {signal: f"OTEL_{signal.upper()}_EXPORTER" for signal in ("traces", "metrics", "logs")}
    return [name for signal, name in names.items() if not _read(name) and not _read_otlp(signal, "ENDPOINT")[1]]


def otlp_settings(signal: Signal, warn: Warn) -> OtlpSettings:
    """Return how a signal is exported to a collector.

    Reads `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL`, `_TIMEOUT`, `_COMPRESSION` and `_HEADERS`. The signal's own form
    (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) takes precedence. The stock exporters send the headers and read the variables
    for TLS.

    Args:
        signal: `traces` or `metrics`.
        warn: Takes the message if a value cannot be used as it is.

    Raises:
        ValueError: A variable is malformed. The message names it, but never shows an endpoint or a header.
    """
    endpoint_name, endpoint = _read_otlp(signal, "ENDPOINT")
    name, value = _read_otlp(signal, "PROTOCOL")
    protocol = value or "grpc"
    if protocol not in _COMPRESSIONS:
        raise ValueError(f"{name}={short_repr(protocol)} is unknown; expected {' or '.join(_COMPRESSIONS)}")
    _check_headers(*_read_otlp(signal, "HEADERS"), protocol)
    name, value = _read_otlp(signal, "TIMEOUT")
    timeout = _positive(name, value, 10, "number of seconds")
    if timeout > _MAX_TIMEOUT:
        unit = "seconds, as in OpenTelemetry's Python exporters"
        warn(f"{name}={short_repr(value)} is in {unit}; {_MAX_TIMEOUT:g} s are used")
    name, value = _read_otlp(signal, "COMPRESSION")
    compression = value.lower() or "none"
    if compression not in _COMPRESSIONS[protocol]:
        raise ValueError(
            f"{name}={short_repr(value)} is not a compression for {protocol}; "
            f"expected {' or '.join(_COMPRESSIONS[protocol])}"
        )

    url, authorization = _split_user_info(endpoint)
    display_url = _display_url(endpoint_name, url, protocol)
    provider = "OTEL_PYTHON_EXPORTER_OTLP_HTTP{}_CREDENTIAL_PROVIDER"
    has_provider = bool(_read(provider.format(f"_{signal.upper()}")) or _read(provider.format("")))
    if authorization and (protocol == "grpc" or has_provider):
        warn(
            f"the user name and password in {endpoint_name} are not sent over gRPC or with a credential provider; "
            "put them into OTEL_EXPORTER_OTLP_HEADERS"
        )
    if protocol != "grpc" and endpoint_name == "OTEL_EXPORTER_OTLP_ENDPOINT":  # a signal's own endpoint is complete
        url = f"{url.rstrip('/')}/v1/{signal}"
    timeout = min(timeout, _MAX_TIMEOUT)
    return OtlpSettings(signal, protocol, url, display_url, timeout, compression, authorization, has_provider)


def _check_headers(variable: str, headers: str, protocol: str) -> None:
    """Refuse headers that the stock exporter would log with their values, would drop, or could not send.

    Raises:
        ValueError: A header is malformed. The message does not show it.
    """
    for header in filter(None, (part.strip() for part in headers.split(","))):
        name, value = (unquote(part).strip() for part in header.partition("=")[::2])
        can_be_sent = value.isascii() and (not value or value.isprintable())
        is_valid = re.fullmatch(_HEADER, header) and re.fullmatch(_HEADER_NAMES[protocol], name.lower())
        if not (is_valid and can_be_sent):
            raise ValueError(
                f"{variable} is malformed; expected name=value, separated by commas, values URL-encoded "
                "(the value is not shown: it may contain a secret)"
            )


def _split_user_info(endpoint: str) -> tuple[str, str | None]:
    """Return the endpoint without `user:password@`, and the value of the `Authorization` header for them, if any."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        scheme, rest = "", endpoint
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user_info, at, host = authority.rpartition("@")
    if not at:
        return endpoint, None
    token = b64encode(unquote(user_info).encode("utf-8", "surrogateescape")).decode()
    return f"{scheme}{separator}{host}{rest[len(authority) :]}", f"Basic {token}"


def _display_url(variable: str, url: str, protocol: str) -> str:
    """Return scheme, host and port of an endpoint, for messages.

    Raises:
        ValueError: The endpoint is not a URL for the protocol. The message does not show it: it may contain a password.
    """
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port
        if protocol == "grpc":  # an @ that is left may follow a password
            usable = "@" not in url and not url.startswith("//") and bool(parts.hostname or "http" not in parts.scheme)
        else:
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        example = "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"
        raise ValueError(
            f"{variable} is not a URL for {protocol}; expected one such as {example}, "
            "with a user name and password URL-encoded (the value is not shown: it may contain a secret)"
        )
    shown = f"{parts.scheme or protocol}://{parts.hostname or ''}{f':{port}' if port else ''}"
    return "".join(character if character.isprintable() else "?" for character in shown)


def _positive(variable: str, text: str, default: float, what: str) -> float:
    try:
        number = float(text) if text else default
    except ValueError:
        number = 0.0
    if not number > 0 or (what == "integer" and number % 1):  # nan is not above 0 either
        raise ValueError(f"{variable}={short_repr(text)}: expected a positive {what}, such as {default:g}")
    return number


def metric_export_interval() -> float:
    """Return the seconds between two exports of metrics: `OTEL_METRIC_EXPORT_INTERVAL` ms; default: 60.

    Raises:
        ValueError: The variable, or `OTEL_METRIC_EXPORT_TIMEOUT`, is not a positive number.
    """
    name = "OTEL_METRIC_EXPORT_TIMEOUT"  # not used, but the SDK would replace a malformed one without an error
    _positive(name, _read(name), 30_000, "number of milliseconds")
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    return _positive(name, _read(name), 60_000, "number of milliseconds") / 1000


def batch_settings() -> BatchSettings:
    """Return the settings of the batch processor.

    Reads `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_SCHEDULE_DELAY` and `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`. The queue holds
    16,384 spans by default; the other defaults are those of OpenTelemetry.

    Raises:
        ValueError: One of the variables, or `OTEL_BSP_EXPORT_TIMEOUT`, is not a positive integer.
    """

    def read(name: str, default: int) -> int:
        return int(_positive(f"OTEL_BSP_{name}", _read(f"OTEL_BSP_{name}"), default, "integer"))

    read("EXPORT_TIMEOUT", 30_000)  # not used, but the SDK would replace a malformed one without an error
    default = BatchSettings()
    return BatchSettings(
        read("MAX_QUEUE_SIZE", default.max_queue_size),
        read("SCHEDULE_DELAY", default.schedule_delay),
        read("MAX_EXPORT_BATCH_SIZE", default.max_batch_size),
    )


def log_file() -> str | None:
    """Return the file of the journal: `OTEL_PYTHON_KCEVENTS_LOG_FILE`; None if there is none."""
    return _read(_LOG_FILE) or None


def log_file_retention() -> tuple[int | None, timedelta | None]:
    """Return how many events of each kind a journal keeps, and for how long: `OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION`.

    The variable is a count, or an age in days or hours such as `90d`; the default is a count of 100,000. None stands
    for no limit.

    Raises:
        ValueError: The variable is neither.
    """
    name = f"{_LOG_FILE}_RETENTION"
    text = _read(name)
    found = re.fullmatch(r"0*([1-9]\d{0,8})([dh]?)", text or "100000", re.ASCII)
    if found is None or (found[2] and int(found[1]) > _MAX_AGE):
        raise ValueError(
            f"{name}={short_repr(text)}: expected a number of events of each kind such as 100000, "
            "or an age such as 90d or 12h"
        )
    number = int(found[1])
    if not found[2]:
        return number, None
    return None, timedelta(days=number) if found[2] == "d" else timedelta(hours=number)


def mapping_file() -> str | None:
    """Return the file of the mapping: `OTEL_PYTHON_KCEVENTS_MAPPING`; None if there is none."""
    return _read("OTEL_PYTHON_KCEVENTS_MAPPING") or None


def config_file() -> str | None:
    """Return the file of OpenTelemetry's declarative configuration: `OTEL_CONFIG_FILE`; None if there is none."""
    return _read("OTEL_CONFIG_FILE") or None


def crash_folder() -> str | None:
    """Return the folder for reports of uncaught exceptions: `OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH`; None for none."""
    return _read("OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH") or None


def trace_url() -> str | None:
    """Return the template of a trace's URL: `OTEL_PYTHON_KCEVENTS_TRACE_URL`; None if there is none.

    It contains `{trace_id}`, as in `http://localhost:16686/trace/{trace_id}`, and perhaps `{span_id}`; other braces
    have no meaning.

    Raises:
        ValueError: The variable has no `{trace_id}`.
    """
    name = "OTEL_PYTHON_KCEVENTS_TRACE_URL"
    template = _read(name)
    if template and "{trace_id}" not in template:
        raise ValueError(
            f"{name}={short_repr(template)}: expected a URL with {{trace_id}}, "
            "such as http://localhost:16686/trace/{trace_id}"
        )
    return template or None


def durations() -> bool | None:
    """Return whether to measure durations of operations: `OTEL_PYTHON_KCEVENTS_DURATIONS`; None if it is not set.

    Raises:
        ValueError: The variable is neither `true` nor `false`, in any case.
    """
    name = "OTEL_PYTHON_KCEVENTS_DURATIONS"
    text = _read(name)
    if text.lower() not in ("true", "false", ""):
        raise ValueError(f"{name}={short_repr(text)}: expected true or false")
    return text.lower() == "true" if text else None


def service_is_named() -> bool:
    """Return whether `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` names the service."""
    pairs = (pair.partition("=") for pair in _read("OTEL_RESOURCE_ATTRIBUTES").split(","))
    attributes = {name.strip(): unquote(value).strip() for name, _, value in pairs}  # the last value of a name is used
    return bool(_read("OTEL_SERVICE_NAME") or attributes.get("service.name"))


def remove_empty_variables() -> None:
    """Remove empty OpenTelemetry variables from the environment: some parts of the API and the SDK fail on them."""
    for name in [name for name, value in os.environ.items() if name.startswith("OTEL_") and not value.strip()]:
        del os.environ[name]
