"""The environment of a program, for a report: versions, platform, and those settings that are known to be harmless."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from urllib.parse import urlsplit

from otel_kcevents.version import __version__

__all__ = ["Fact", "display_url", "platform_facts", "setting_facts", "version_facts"]

Fact = tuple[str, str]
"""A label, which is fixed, and a value, which has to be redacted."""

_PACKAGES = re.compile(
    r"(?:opentelemetry[\w.\-]*|grpcio|protobuf|googleapis-common-protos|requests|urllib3|wrapt)", re.I
)
_MAX_PACKAGES = 80
_MAX_SETTINGS = 200

_SIGNAL = r"(?:_(?:TRACES|METRICS|LOGS))?"
# Of these, the value is shown if it has the form on the right.
_SHOWN = {
    r"OTEL_(?:SDK_DISABLED|PROPAGATORS|TRACES_SAMPLER(?:_ARG)?)": r"[\w.,=;\- ]+",
    r"OTEL_(?:TRACES|METRICS|LOGS)_EXPORTER": r"[\w, \-]+",
    r"OTEL_(?:BSP|BLRP|METRIC_EXPORT|SPAN|EVENT|LINK|ATTRIBUTE|LOGRECORD)_[A-Z_]+": r"[\d.]+",
    rf"OTEL_EXPORTER_OTLP{_SIGNAL}_(?:PROTOCOL|TIMEOUT|COMPRESSION|INSECURE)": r"[\w./]+",
    r"OTEL_EXPORTER_OTLP_METRICS_(?:TEMPORALITY_PREFERENCE|DEFAULT_HISTOGRAM_AGGREGATION)": r"\w+",
    r"OTEL_METRICS_EXEMPLAR_FILTER|OTEL_LOG_LEVEL|OTEL_SEMCONV_STABILITY_OPT_IN|OTEL_SERVICE_NAME": r"[\w./,: \-]+",
    r"OTEL_PYTHON_(?:(?:TRACER|METER|LOGGER)_PROVIDER|CONTEXT|ID_GENERATOR|DISABLED_INSTRUMENTATIONS)": r"[\w.,\- ]+",
    r"OTEL_PYTHON_KCEVENTS_(?:LOG_FILE_RETENTION|RUN|DURATIONS)": r"\w+",
    r"OTEL_PYTHON_KCEVENTS_(?:LOG_FILE|REPORT_ON_CRASH|MAPPING)|OTEL_CONFIG_FILE": r"[^\x00-\x1f]+",  # paths
    r"GRPC_(?:VERBOSITY|TRACE|ENABLE_FORK_SUPPORT|DNS_RESOLVER)": r"[\w,]+",
}
_ENDPOINTS = rf"OTEL_EXPORTER_OTLP{_SIGNAL}_ENDPOINT|OTEL_PYTHON_KCEVENTS_TRACE_URL"
_PRESENT = "(?:HTTPS?|NO|ALL|GRPC)_PROXY|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_MAX_SHOWN = 200  # characters


def version_facts() -> list[Fact]:
    """Return the versions of this package, Python, SQLite, and the packages that exporting uses."""
    facts = [
        ("otel-kcevents", __version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("SQLite", _sqlite_version()),
    ]
    found = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"] or ""  # a broken installation may have none
        if _PACKAGES.fullmatch(name):
            found[name.lower()] = distribution.version
    return [*facts, *sorted(found.items())[:_MAX_PACKAGES]]


def _sqlite_version() -> str:
    try:
        import sqlite3
    except ImportError:  # pragma: no cover - a Python that was built without it
        return "not available"
    return sqlite3.sqlite_version


def platform_facts() -> list[Fact]:
    """Return the operating system and the machine, without the name of the host, and options of Python."""
    return [
        ("system", f"{platform.system()} {platform.release()}"),
        ("machine", f"{platform.machine()}, {os.cpu_count()} CPUs"),
        ("C library", " ".join(platform.libc_ver()).strip() or "unknown"),
        ("file system encoding", sys.getfilesystemencoding()),
        ("development mode", str(sys.flags.dev_mode)),
    ]


def setting_facts(environ: Mapping[str, str]) -> list[Fact]:
    """Return the settings of OpenTelemetry and of this package, by name.

    A value is shown only if its variable is in the list of harmless ones and it has the expected form. Endpoints are
    shown as scheme, host and port, of resource attributes only the names, and of everything else only that it is set.

    Args:
        environ: The environment.
    """
    names = (name for name in environ if re.fullmatch(rf"OTEL_\w+|GRPC_\w+|{_PRESENT}", name, re.I) and environ[name])
    return [(name, _shown(name, environ[name])) for name in sorted(names)[:_MAX_SETTINGS]]


def _shown(name: str, value: str) -> str:
    if re.fullmatch(_ENDPOINTS, name):
        return display_url(value) or "set, but not a URL"
    if name == "OTEL_RESOURCE_ATTRIBUTES":
        keys = (pair.partition("=")[0].strip() for pair in value.split(","))
        return f"set: {', '.join(filter(re.compile(r'[a-z][a-z0-9_.]{0,60}').fullmatch, keys))}"
    for names, form in _SHOWN.items():
        if re.fullmatch(names, name) and re.fullmatch(form, value) and len(value) <= _MAX_SHOWN:
            return value
    return "set"


def display_url(url: str) -> str | None:
    """Return scheme, host and port of an endpoint; None if it is not a URL.

    Args:
        url: The endpoint; without a scheme, as gRPC accepts it, `host:port`.
    """
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    # An @ that is left may follow a password.
    if not host or "@" in url.partition(parts.netloc)[2] or not re.fullmatch(r"[\w.:\-]+", host):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme or 'grpc'}://{host}{f':{port}' if port else ''}"
