"""`read_section`: the options of kcevents in the file of OpenTelemetry's declarative configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otel_kcevents.model.messages import error_message
from otel_kcevents.sdk.process_setup import needed_providers

__all__ = ["Section", "read_section"]

_OF_INTEREST = re.compile(r"""kcevents|\bdisabled["']?\s*:(?!\s*false)""")


@dataclass(frozen=True)
class Section:
    """The section `instrumentation/development: python: kcevents:` of a file.

    Attributes:
        options: The options; empty if there is no such section.
        problems: What is wrong with the file, or with its use.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[str] = ()


def read_section(path: str) -> Section:
    """Return the section of kcevents in a file, parsed by the package `opentelemetry-configuration`. Never raises.

    With `opentelemetry-distro`, the launcher sets up OpenTelemetry from the file and passes the section to
    `instrument()`. This function is for processes without such a launcher, and for `enabled: false`.

    Args:
        path: The path of the file, as `OTEL_CONFIG_FILE` has it.
    """
    if not _may_matter(path):
        return Section()
    try:
        from opentelemetry.configuration import load_config_file

        config = load_config_file(path)
    except ModuleNotFoundError:
        return Section(problems=("the file is not read; run pip install opentelemetry-configuration",))
    except Exception as error:
        return Section(problems=(f"the file is not used: {error_message(error)}",))
    if config.disabled:
        return Section({"enabled": False})
    languages = config.instrumentation_development
    options: dict[str, Any] = ((languages and languages.python) or {}).get("kcevents") or {}
    has_sdk = config.tracer_provider is not None or config.meter_provider is not None
    problems = []
    if has_sdk and options.get("enabled", True) is not False and all(needed_providers()):
        problems.append(
            "only this section of the file is used, because nothing has set up OpenTelemetry from the file; "
            "install opentelemetry-distro, or let the program call configure_sdk() of opentelemetry.configuration"
        )
    return Section(options, tuple(problems))


def _may_matter(path: str) -> bool:
    """Return whether a file may have the section or `disabled`: parsing it takes hundreds of milliseconds."""
    try:
        with open(path, encoding="utf-8") as file:
            return _OF_INTEREST.search(file.read()) is not None
    except (OSError, ValueError):
        return True  # its reader reports what is wrong
