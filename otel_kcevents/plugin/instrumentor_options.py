"""`InstrumentorOptions`: the mapping and the journal of a process, from arguments, the environment or a config file."""

from __future__ import annotations

import os
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from otel_kcevents.model.messages import describe
from otel_kcevents.plugin.problem import Problem, Report, check_keys
from otel_kcevents.sdk import published, settings

if TYPE_CHECKING:
    from otel_kcevents.plugin.mapping import Mapping

__all__ = ["InstrumentorOptions", "read_instrumentor_options"]

_NAMES = ("mapping", "sets", "functions", "log_file", "enabled")


class InstrumentorOptions(NamedTuple):
    """What `KcEventsInstrumentor` is to do.

    Attributes:
        mapping: The mapping; None if there is none.
        mapping_file: The absolute path of its file; None if it is inline, or if there is none.
        log_file: The file of the journal; False for none, None for the file that the environment names, if any.
        is_enabled: Whether to do anything.
        problems: The mistakes in the options. Those of the mapping are in the mapping.
    """

    mapping: Mapping | None = None
    mapping_file: str | None = None
    log_file: str | Literal[False] | None = None
    is_enabled: bool = True
    problems: Sequence[Problem] = ()


def read_instrumentor_options(given: MappingType[str, Any]) -> InstrumentorOptions:
    """Return the options of `KcEventsInstrumentor`, checked.

    Args:
        given: The arguments of `instrument()`. If there are none, the section of kcevents in the file that
            `OTEL_CONFIG_FILE` names is read. If neither has a mapping, `OTEL_PYTHON_KCEVENTS_MAPPING` names it. An
            option that is None or an empty string counts as omitted.
    """
    problems: list[Problem] = []
    origin, file = "the options of kcevents", settings.config_file()
    if file is not None:
        origin = f"kcevents in {file}"
        if not given:
            from otel_kcevents.plugin.config_file import read_section

            section = read_section(file)
            given = section.options
            problems += [Problem(origin, message) for message in section.problems]

    def report(key: str, message: str) -> None:
        problems.append(Problem(f"{origin}: {key}", message))

    options = {name: value for name, value in given.items() if not _is_omitted(value)}
    check_keys(options, _NAMES, report)
    is_enabled = options.get("enabled", True)
    if not isinstance(is_enabled, bool):
        report("enabled", f"expected true or false, got {describe(is_enabled)}")
        is_enabled = True
    log_file = _read_log_file(options.get("log_file"), report)
    mapping, path = _read_mapping(options, origin, report)
    return InstrumentorOptions(mapping, path, log_file, is_enabled, tuple(problems))


def _read_log_file(value: Any, report: Report) -> str | Literal[False] | None:
    if value is None or value is False:
        return value
    path = _path_of(value)
    if path is None:
        report("log_file", f"expected a path such as 'kcevents.db', or false, got {describe(value)}")
    elif published.published_log_file() is not None:
        return _of_parent(path, settings.log_file())
    return path


def _read_mapping(options: MappingType[str, Any], origin: str, report: Report) -> tuple[Mapping | None, str | None]:
    """Return the mapping, and the absolute path of its file."""
    inline = {name: options[name] for name in ("sets", "functions") if name in options}
    value = options.get("mapping")
    path = settings.mapping_file() if value is None else _path_of(value)
    if not inline and path is None and not isinstance(value, dict):
        if value is not None:
            report(
                "mapping", f"expected a path such as 'kcevents.toml', or a table with functions, got {describe(value)}"
            )
        return None, None  # a program without a mapping does not pay for the import below
    if not inline and path is not None and _is_blank(path):
        return None, os.path.abspath(path)
    from otel_kcevents.plugin.mapping import mapping_of, read_mapping

    if inline:
        if value is not None:
            report("mapping", f"it is not used, because {' and '.join(inline)} are given too; remove either")
        return mapping_of(inline, origin), None
    if path is not None:
        if not os.path.exists(path):
            path = _of_parent(path, settings.mapping_file())
        return read_mapping(path), os.path.abspath(path) if os.path.exists(path) else None
    return mapping_of(value, f"{origin}: mapping"), None


def _of_parent(path: str, of_parent: str | None) -> str:
    """Return the path that the parent has published for the same relative path: working directories may differ.

    A configuration file gives the same relative path to all processes.
    """
    if of_parent is None or os.path.isabs(path) or os.path.basename(path) != os.path.basename(of_parent):
        return path
    return of_parent


def _is_blank(path: str) -> bool:
    """Return whether a file has only comments: then nothing that reads mappings is imported, which takes 6 ms."""
    if os.path.isfile(path):
        with suppress(OSError), open(path, "rb") as file:
            return all(not line.strip() or line.lstrip().startswith(b"#") for line in file)
    return False  # reading the mapping reports why


def _is_omitted(value: Any) -> bool:
    """Return whether an option has no value, as one with an unset variable in a configuration file."""
    return value is None or (isinstance(value, str) and not value)


def _path_of(value: Any) -> str | None:
    """Return the path of a file; None if *value* is not one."""
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    return path if isinstance(path, str) and "\0" not in path else None
