"""`Mapping`: which functions to instrument, and how; read from TOML, YAML or a dict, and checked.

A mistake in an entry disables that entry only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from typing import Any, NamedTuple

from otel_kcevents.model.event import DOCUMENTED, OPERATIONS, is_name
from otel_kcevents.model.messages import describe, error_message, short_repr
from otel_kcevents.plugin.mapping_file import load_file
from otel_kcevents.plugin.options import OPTIONS, Options, read_options
from otel_kcevents.plugin.problem import Problem, Report, check_keys, hint
from otel_kcevents.plugin.target import Target

__all__ = ["Entry", "Mapping", "mapping_of", "read_mapping"]

_SECTIONS = ("sets", "functions")
_KEYS = ("target", "record", *OPTIONS, "subclasses")


class Entry(NamedTuple):
    """The functions that one target names, and how their calls are recorded.

    Attributes:
        origin: Where the mapping comes from, such as `kcevents.toml`.
        number: The position of the entry in `functions`, from 0.
        target: The functions that it names.
        etl: The etl of the events; None if the entry only keeps values.
        operation: The operation, such as `save`; None if the entry only keeps values.
        set_name: The name of the set; None if the entry only keeps values.
        options: How the calls are recorded.
        subclasses: Whether the methods of subclasses that override the target count too.
        kept: The names that the entries of the mapping keep.
    """

    origin: str
    number: int
    target: Target
    etl: str | None = None
    operation: str | None = None
    set_name: str | None = None
    options: Options = Options()
    subclasses: bool = False
    kept: frozenset[str] = frozenset()

    @property
    def place(self) -> str:
        """The file and the place in it, such as `kcevents.toml: functions[2] (costs.etl:save)`."""
        return self.place_of()

    @property
    def calls(self) -> object:
        """A key that is equal for entries that record the same calls as the same events; None if it records none."""
        options = self.options
        return (self.etl, self.operation, options.where, options.within) if self.operation else None

    def place_of(self, key: str = "") -> str:
        """Return the place of one of its keys, such as `kcevents.toml: functions[2].window (costs.etl:save)`.

        Args:
            key: The key, such as `window` or `window.format`; empty for the entry.
        """
        return _place(self.origin, self.number, self.target.text, key)


class Mapping(NamedTuple):
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
    """Return the mapping of a file: YAML if its name ends in `.yaml` or `.yml`, otherwise TOML. Never raises.

    Args:
        path: The path of the file.
    """
    origin = os.fspath(path)
    try:
        content = load_file(origin)
    except Exception as error:
        return Mapping(origin, (), (Problem(origin, error_message(error)),))
    return mapping_of(content, origin)


def mapping_of(content: Any, origin: str) -> Mapping:
    """Return the mapping of a parsed file, or of options. Never raises.

    Args:
        content: The content: a dict with `sets` and `functions`; None for an empty file.
        origin: Where it comes from, for messages.
    """
    problems: list[Problem] = []

    def report(key: str, message: str) -> None:
        problems.append(Problem(f"{origin}: {_shown(key)}" if key else origin, message))

    if not isinstance(content, dict):
        if content is not None:
            report("", f"expected the sections {' and '.join(_SECTIONS)}, got {describe(content)}")
        return Mapping(origin, (), tuple(problems))
    check_keys(content, _SECTIONS, report)
    sets = _read_sets(content.get("sets"), report)
    functions = content.get("functions")
    if functions is not None and not isinstance(functions, (list, tuple)):
        remedy = "write [[functions]] in TOML, - target: … in YAML" if isinstance(functions, dict) else ""
        report("functions", f"expected a list of tables, got {describe(functions)}{remedy and f'; {remedy}'}")
        functions = None
    entries: dict[object, Entry] = {}  # by what they record
    for number, item in enumerate(functions or ()):
        entry = _read_entry(item, origin, number, sets, problems)
        if entry is None:
            continue
        twin = entries.setdefault(_calls_of(entry), entry)
        if twin is not entry:
            remedy = "remove one of them, or distinguish them by where or within"
            problems.append(Problem(entry.place, f"functions[{twin.number}] records the same calls; {remedy}"))
    kept = _kept_names(functions)
    return Mapping(origin, tuple(entry._replace(kept=kept) for entry in entries.values()), tuple(problems))


def _kept_names(functions: Sequence[Any] | None) -> frozenset[str]:
    """Return the names that entries keep, also those with a mistake, which is reported already."""
    tables = [item.get("keep") for item in functions or () if isinstance(item, dict)]
    return frozenset(name for table in tables if isinstance(table, dict) for name in table if isinstance(name, str))


def _place(origin: str, number: int, target: object, key: str = "") -> str:
    text = f" ({target[:200]})" if isinstance(target, str) and target.isprintable() and target else ""
    return f"{origin}: functions[{number}]{key and f'.{_shown(key)}'}{text}"


def _shown(key: str) -> str:
    return key[:200] if key.isprintable() else "a key"


def _read_sets(content: Any, report: Report) -> dict[str, str | None]:
    """Return the names of the sets by etl, with the documented ones; None for the name of a set with a mistake."""
    sets: dict[str, str | None] = {**DOCUMENTED}
    if content is None:
        return sets
    if not isinstance(content, dict):
        report("sets", f"expected a table such as cloudCost = 'CloudCostSet', got {describe(content)}")
        return sets
    for etl, set_name in content.items():
        message = _set_mistake(etl, set_name, sets)
        if message:
            report(f"sets.{etl}" if isinstance(etl, str) else "sets", message)
        if isinstance(etl, str) and etl not in DOCUMENTED:
            sets[etl] = None if message else set_name
    return sets


def _set_mistake(etl: Any, set_name: Any, sets: MappingType[str, str | None]) -> str:
    """Return what is wrong with a row of `sets`; empty if nothing is."""
    for name, what in ((etl, "an etl"), (set_name, "a set")):
        if not isinstance(name, str) or not is_name(name) or name == "counters":
            shown = short_repr(name) if isinstance(name, str) else describe(name)
            return f"{shown} cannot be the name of {what}; use letters, digits and _, but not 'counters'"
    if etl in DOCUMENTED and set_name != DOCUMENTED[etl]:
        return f"the set of {etl!r} is {DOCUMENTED[etl]!r}, got {set_name!r}; use another name for the etl"
    if etl not in DOCUMENTED and set_name in sets.values():
        return f"{set_name!r} is already the set of another etl; use another name"
    return ""


def _read_entry(
    item: Any, origin: str, number: int, sets: MappingType[str, str | None], problems: list[Problem]
) -> Entry | None:
    """Return an entry; None if it has a mistake, which is added to *problems*."""
    known = len(problems)
    text = item.get("target") if isinstance(item, dict) else None

    def report(key: str, message: str) -> None:
        problems.append(Problem(_place(origin, number, text, key), message))

    if not isinstance(item, dict):
        report("", f"expected a table with target and record, got {describe(item)}")
        return None
    check_keys(item, _KEYS, report)
    keys_are_known = len(problems) == known  # otherwise, a missing key may be misspelled
    target = None
    if text is None and keys_are_known:
        report("", "target is missing; add one such as target = 'costs.etl:save'")
    elif text is not None:
        try:
            target = Target.parse(text)
        except (TypeError, ValueError) as error:
            report("target", error_message(error))
    etl, operation = _read_record(item.get("record"), sets, report)
    if item.get("record") is None and item.get("keep") is None and keys_are_known:
        report("", "record is missing; add one such as record = 'allocation.save', or keep")
    subclasses = item.get("subclasses", False)
    if not isinstance(subclasses, bool):
        report("subclasses", f"expected true or false, got {describe(subclasses)}")
    options = read_options(item, report)
    if target is None or len(problems) > known:
        return None
    return Entry(origin, number, target, etl, operation, sets[etl] if etl else None, options, subclasses)


def _read_record(
    record: Any, sets: MappingType[str, str | None], report: Report
) -> tuple[str, str] | tuple[None, None]:
    """Return the etl and the operation that an entry records; None for both if it records none or has a mistake."""
    if record is None:
        return None, None
    if not isinstance(record, str):
        report("record", f"expected an etl and an operation such as 'allocation.save', got {describe(record)}")
        return None, None
    etl, dot, operation = record.partition(".")
    if not dot:
        report("record", f"expected an etl and an operation such as 'allocation.save', got {short_repr(record)}")
    elif etl not in sets:
        report("record", f"{short_repr(etl)} is not an etl; {hint(etl, sets)}; add others to the section sets")
    elif sets[etl] is None:
        report("record", f"the etl {etl!r} is not available, because sets.{etl} has a mistake")
    elif operation not in OPERATIONS:
        report("record", f"{short_repr(operation)} is not an operation; {hint(operation, OPERATIONS)}")
    else:
        return etl, operation
    return None, None


def _calls_of(entry: Entry) -> object:
    """Return a key that is equal for two entries with the same target that would record or keep the same."""
    return entry.target, entry.calls or entry.options
