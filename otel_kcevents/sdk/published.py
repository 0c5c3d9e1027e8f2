"""What a process publishes to the processes that it starts, in environment variables with its process id."""

from __future__ import annotations

import os

__all__ = [
    "publish_config_file",
    "publish_configuration",
    "publish_durations",
    "publish_log_file",
    "publish_mapping",
    "publish_scrub",
    "published_configuration",
    "published_log_file",
    "published_scrub",
]

_CONFIGURED_BY = "OTEL_PYTHON_KCEVENTS_CHILDREN"
_LOG_FILE = "OTEL_PYTHON_KCEVENTS_LOG_FILE"  # also a setting
_MAPPING = "OTEL_PYTHON_KCEVENTS_MAPPING"  # also a setting
_DURATIONS = "OTEL_PYTHON_KCEVENTS_DURATIONS"  # also a setting
_CONFIG_FILE = "OTEL_CONFIG_FILE"  # a setting of OpenTelemetry
_KEPT_BY = "OTEL_PYTHON_KCEVENTS_LOG_FILE_BY"
_SCRUBBED_BY = "OTEL_PYTHON_KCEVENTS_SCRUB"


def publish_configuration(service_name: str | None) -> None:
    """Publish to child processes, in the environment, that this process is configured, and its service name.

    Args:
        service_name: The argument of `configure()`.
    """
    os.environ[_CONFIGURED_BY] = f"{os.getpid()} {service_name or ''}"


def published_configuration() -> tuple[int, str | None] | None:
    """Return the process id and the service name of the process that published its configuration; None if none did.

    It may be any ancestor, because programs pass their environment on.
    """
    pid, _, service_name = os.environ.get(_CONFIGURED_BY, "").partition(" ")
    return (int(pid), service_name or None) if pid.isdecimal() else None


def publish_log_file(path: str | None) -> None:
    """Publish the file of the journal to the processes that this one starts, in the environment, with the process id.

    Args:
        path: The absolute path of the file; None for no journal.
    """
    if path is None:
        os.environ.pop(_LOG_FILE, None)
        os.environ.pop(_KEPT_BY, None)
    else:
        os.environ[_LOG_FILE] = path
        os.environ[_KEPT_BY] = str(os.getpid())


def published_log_file() -> int | None:
    """Return the process id of the process that published the file of its journal; None if none did.

    It may be any ancestor, because programs pass their environment on.
    """
    pid = os.environ.get(_KEPT_BY, "")
    return int(pid) if pid.isdecimal() else None


def publish_mapping(path: str | None) -> str | None:
    """Publish the file of the mapping to the processes that this one starts: they may have another working directory.

    Args:
        path: The absolute path of the file; None for no mapping.

    Returns:
        What was published before, by this process or by who started it; None if nothing was.
    """
    before = os.environ.pop(_MAPPING, None)
    if path is not None:
        os.environ[_MAPPING] = path
    return before


def publish_config_file() -> None:
    """Publish the absolute path of OpenTelemetry's configuration file, if there is one, for the same reason."""
    path = os.environ.get(_CONFIG_FILE)
    if path and os.path.exists(path):
        os.environ[_CONFIG_FILE] = os.path.abspath(path)


def publish_durations(enabled: bool) -> None:
    """Publish to the processes that this one starts, in the environment, whether they measure durations.

    Args:
        enabled: The argument of `configure()`.
    """
    os.environ[_DURATIONS] = str(enabled).lower()


def publish_scrub(choice: str | None) -> None:
    """Publish the scrub function of this process to child processes, in the environment.

    Args:
        choice: The name of a function, or `off`; None for the default.
    """
    if choice is None:
        os.environ.pop(_SCRUBBED_BY, None)
    else:
        os.environ[_SCRUBBED_BY] = f"{os.getpid()} {choice}"


def published_scrub() -> tuple[int, str] | None:
    """Return the process id and the choice that an ancestor has published; None if there are none.

    The ancestor need not be the parent, because programs pass their environment on.
    """
    pid, _, choice = os.environ.get(_SCRUBBED_BY, "").partition(" ")
    return (int(pid), choice) if pid.isdecimal() else None
