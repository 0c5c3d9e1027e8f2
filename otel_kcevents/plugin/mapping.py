"""`Mapping`: which functions to instrument, and how; read from TOML, YAML or a dict, and checked.

A mistake in an entry is a problem of that entry only: the others are used.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_kcevents.model.event import OPERATIONS
from otel_kcevents.model.messages import error_message, short_repr
from otel_kcevents.plugin.target import Target

__all__ = ["Entry", "Mapping", "Problem", "mapping_of", "read_mapping"]

_SETS = {"allocation": "AllocationSet", "asset": "AssetSet"}
_KEYS = (
    *("target", "record", "window", "size", "fails_when"),
    *("keep", "ignore", "where", "within", "subclasses", "error"),
)


@dataclass(frozen=True)
class Problem:
    """A mistake in a mapping.

    Attributes:
        place: The file and the place in it, such as `kcevents.toml: functions[2].window`.
        message: What was expected, the value and the remedy.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True)
class Entry:
    """The functions that one target names, and how their calls are recorded. The values are as in the mapping, checked.

    Attributes:
        place: The file and the place in it, such as `kcevents.toml: functions[2]`.
        target: Which functions.
        etl: The etl of the events; None if the entry only keeps values.
        operation: The operation, such as `save`; None if the entry only keeps values.
        set_name: The name of the set; None if the entry only keeps values.
        options: The other keys: `window`, `size`, `fails_when`, `keep`, `ignore`, `where`, `within`, `error`.
        subclasses: Whether the methods of subclasses that override the target count too.
    """

    place: str
    target: Target
    etl: str | None = None
    operation: str | None = None
    set_name: str | None = None
    options: MappingType[str, Any] = field(default_factory=dict)
    subclasses: bool = False


@dataclass(frozen=True)
class Mapping:
    """The valid entries of a mapping, and the mistakes in the others.

    Attributes:
        origin: Where it comes from: the path of a file, or `the options of kcevents`.
        entries: The valid entries.
        problems: The mistakes.
    """

    origin: str
    entries: Sequence[Entry] = ()
    problems: Sequence[Problem] = ()


def read_mapping(path: str | os.PathLike[str]) -> Mapping:
    """Return the mapping of a file: TOML, or YAML if its name ends in `.yaml` or `.yml`. Never raises.

    Args:
        path: The path of the file.
    """
    origin = os.fspath(path)
    try:
        return mapping_of(_load(Path(path)), origin)
    except Exception as error:
        return Mapping(origin, (), (Problem(origin, error_message(error)),))


def mapping_of(content: Any, origin: str) -> Mapping:
    """Return the mapping of a parsed file, or of options. Never raises.

    Args:
        content: The content: a dict with `sets` and `functions`.
        origin: Where it comes from, for messages.
    """
    problems: list[Problem] = []
    entries: list[Entry] = []
    if not isinstance(content, dict):
        return Mapping(origin, (), (Problem(origin, f"expected a table, got {short_repr(content)}"),))
    _check_keys(content, ("sets", "functions"), origin, problems.append)
    sets = {**_SETS, **content.get("sets", {})}
    for number, item in enumerate(content.get("functions", [])):
        place = f"{origin}: functions[{number}]"
        found: list[Problem] = []
        entry = _entry(item, place, sets, found.append)
        problems += found
        if entry is not None and not found:
            entries.append(entry)
    return Mapping(origin, tuple(entries), tuple(problems))


def _load(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".yaml", ".yml"):
        import yaml

        return yaml.safe_load(text)
    try:
        import tomllib
    except ModuleNotFoundError:
        import tomli as tomllib  # type: ignore[no-redef,import-not-found,unused-ignore]
    return tomllib.loads(text)


def _check_keys(item: dict[str, Any], known: Sequence[str], place: str, report: Callable[[Problem], None]) -> None:
    for key in item:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
            report(Problem(place, f"{short_repr(key)} is not a key; {hint}"))


def _entry(item: Any, place: str, sets: dict[str, str], report: Callable[[Problem], None]) -> Entry | None:
    if not isinstance(item, dict):
        report(Problem(place, f"expected a table, got {short_repr(item)}"))
        return None
    _check_keys(item, _KEYS, place, report)
    options = {key: item[key] for key in item if key not in ("target", "record", "subclasses")}
    try:
        target = Target.parse(item.get("target"))
    except (TypeError, ValueError) as error:
        report(Problem(f"{place}.target", error_message(error)))
        return None
    if "record" not in item:
        return Entry(place, target, options=options, subclasses=item.get("subclasses", False))
    etl, _, operation = str(item["record"]).rpartition(".")
    if etl not in sets or operation not in OPERATIONS:
        report(Problem(f"{place}.record", f"{short_repr(item['record'])} is not an etl and an operation"))
        return None
    return Entry(place, target, etl, operation, sets[etl], options, item.get("subclasses", False))
