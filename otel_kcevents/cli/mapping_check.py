"""`otel-kcevents mapping check`: what each entry of a mapping matches, before the program runs."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from types import FunctionType
from typing import Any

from otel_kcevents.cli.mapping_file import read_mapping_file
from otel_kcevents.cli.output import plural, print_lines, table
from otel_kcevents.cli.sources import FINDINGS, CommandError
from otel_kcevents.model.messages import error_message
from otel_kcevents.plugin.entry_state import EntryState, Matched
from otel_kcevents.plugin.instrumentation import Instrumentation
from otel_kcevents.plugin.mapping import Entry, Mapping
from otel_kcevents.plugin.named_function import find_function
from otel_kcevents.plugin.problem import hint
from otel_kcevents.plugin.source_module import SourceModule, read_source_module
from otel_kcevents.plugin.target_modules import find_files, import_modules

__all__ = ["check_mapping"]

_MATCHED = "matched"
_IS_SKIPPED = " is skipped: "  # in the notes of entries
_MAX_NAMES = 3


@dataclass(frozen=True)
class _Checked:
    """What was found about one entry.

    Attributes:
        entry: The entry.
        result: The result in one or two words.
        functions: The functions that it matches.
        problems: Why it does not match, or not all that it names.
        notes: What else is worth knowing.
    """

    entry: Entry
    result: str
    functions: Sequence[Matched]
    problems: Sequence[str]
    notes: Sequence[str]


def check_mapping(name: str, programs: Sequence[str], as_json: bool) -> int:
    """Print which functions each entry of a mapping matches, and why others match none.

    Args:
        name: The file of the mapping.
        programs: The scripts, or modules after `python -m`, that the mapping is for.
        as_json: Print JSON instead of a table.

    Returns:
        The exit code.

    Raises:
        CommandError: The mapping or a program cannot be read.
    """
    mapping = read_mapping_file(name)
    with _as_in_the_program(programs):
        mains = [_main_module(program) for program in programs]
        checked = _check(mapping, mains)
    if as_json:
        data = {"code": 200, "data": _json(name, mapping, checked)}
        print_lines(json.dumps(data, indent=2, ensure_ascii=False).split("\n"))
    else:
        print_lines(_text(name, mapping, checked))
    is_good = checked and not mapping.problems and all(one.result == _MATCHED for one in checked)
    return 0 if is_good else FINDINGS


@contextmanager
def _as_in_the_program(programs: Sequence[str]) -> Iterator[None]:
    """Find modules as `python` in this folder and as the programs do; let modules print to standard error only."""
    before, logger = list(sys.path), logging.getLogger("otel_kcevents")
    folders = [os.path.dirname(os.path.abspath(program)) for program in programs if program.endswith(".py")]
    sys.path[:0] = [*folders, os.getcwd()]
    was_disabled, logger.disabled = logger.disabled, True  # what it would log is in the report
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.disabled = was_disabled
        sys.path[:] = before


def _main_module(program: str) -> SourceModule:
    path, name = os.path.abspath(program), "__main__"
    try:
        if not program.endswith(".py"):
            spec = find_spec(program)
            if spec is not None and spec.submodule_search_locations is not None:  # a package
                spec = find_spec(f"{program}.__main__")
            if spec is None or spec.origin is None:
                raise OSError("there is no such module; give a script such as etl.py, or the name after python -m")
            path, name = spec.origin, spec.name
        return read_source_module(path, "__main__", name)
    except (OSError, SyntaxError, ValueError, ImportError) as error:
        reason = getattr(error, "strerror", None) or error_message(error)
        raise CommandError(f"cannot read the program {program}: {reason}") from None


def _check(mapping: Mapping, mains: Sequence[SourceModule]) -> list[_Checked]:
    instrumentation = Instrumentation(mapping)
    instrumentation.begin()
    try:
        main_names = {"__main__", "__mp_main__", *(main.full_name for main in mains)}
        unread: dict[int, list[str]] = {}
        read = {str(main.__file__): main for main in mains}
        for main in mains:
            instrumentation.instrument_module(main, True, main.code)
        for entry in mapping.entries:
            if entry.target.is_file:
                unread[entry.number] = _read_files(entry, instrumentation, read)
            elif entry.target.module not in main_names:
                unread[entry.number] = import_modules(entry.target)
        return [_checked(state, unread.get(state.entry.number, []), mains, read) for state in instrumentation.states()]
    finally:
        instrumentation.end()


def _read_files(entry: Entry, instrumentation: Instrumentation, read: dict[str, SourceModule]) -> list[str]:
    """Find the functions in the files that an entry names, without running their code; return why that failed."""
    problems: list[str] = []
    for path in find_files(entry.target):
        if path in read:
            continue
        try:
            read[path] = module = read_source_module(path, os.path.splitext(os.path.basename(path))[0])
        except (OSError, SyntaxError, ValueError) as error:
            problems.append(f"{_short(path)}: {error_message(error)}")
        else:
            instrumentation.instrument_module(module, True, module.code)
    return problems


def _checked(
    state: EntryState, unread: Sequence[str], mains: Sequence[SourceModule], read: dict[str, SourceModule]
) -> _Checked:
    entry, target = state.entry, state.entry.target
    problems, notes = [*state.problems, *_missing_functions(entry)], list(state.notes)
    if any(target.module == _stem(main) for main in mains):
        notes.append(f"{target.module} is also the program, which runs as __main__: name __main__:{target.name} for it")
    owner = target.name.rpartition(".")[0]
    may_inherit = any(module.__name__ in state.modules and owner in module.subclasses for module in read.values())
    if may_inherit:
        problems = [problem for problem in problems if f" has no function {target.name}" not in problem]
    if state.functions:
        if not target.names_one_module:
            notes += unread
        return _Checked(entry, "partly matched" if problems else _MATCHED, state.functions, problems, notes)
    if unread:
        return _Checked(entry, "not importable", (), [*problems, *unread], notes)
    if target.module == "__main__" and not mains:
        problems.append("the functions of __main__ are those of a program; name it with --main etl.py")
        return _Checked(entry, "not checked", (), problems, notes)
    if may_inherit:
        reason = f"{owner} may inherit it; files are not imported, so their base classes are not known"
        return _Checked(entry, "not checked", (), [*problems, reason], notes)
    if not problems and not notes:
        problems.append(_why_unmatched(entry, state, mains))
    return _Checked(entry, "not matched", (), problems, notes)


def _stem(main: SourceModule) -> str:
    return os.path.splitext(os.path.basename(str(main.__file__)))[0]


def _why_unmatched(entry: Entry, state: EntryState, mains: Sequence[SourceModule]) -> str:
    target = entry.target
    if not state.modules:
        what = "file here or on sys.path" if target.is_file else "module"
        return f"no {what} matches {target.module}"
    names = [name for main in mains for name, value in vars(main).items() if isinstance(value, (FunctionType, type))]
    near = hint(target.name, names) if names and "__main__" in state.modules else ""
    return f"{', '.join(state.modules)} has no function {target.name}{near and f'; {near}'}"


def _missing_functions(entry: Entry) -> list[str]:
    """Return why functions that options name as `module:function` cannot be called."""
    problems = []
    for key in ("window", "size", "fails_when"):
        option = getattr(entry.options, key)
        if option is not None and option.function is not None:
            try:
                find_function(option.function)
            except TypeError as error:
                problems.append(f"{key}: {error_message(error)}")
    return problems


def _short(path: str) -> str:
    """Return a path relative to the current folder, if it is in it."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _place(function: Matched) -> str:
    place = "" if function.file is None else f" {_short(function.file)}:{function.line}"
    return f"{function.name}{place}{'' if function.is_in_place else ' (only calls by this name)'}"


def _grouped(notes: Sequence[str]) -> list[str]:
    """Return notes with one for all functions that are skipped for the same reason: a glob may match hundreds."""
    groups: dict[str, list[str]] = {}
    for note in notes:
        groups.setdefault(note.partition(_IS_SKIPPED)[2] or note, []).append(note)
    lines = []
    for reason, group in groups.items():
        if len(group) == 1:
            lines += group
            continue
        names = ", ".join(note.partition(_IS_SKIPPED)[0] for note in group[:_MAX_NAMES])
        rest = len(group) - _MAX_NAMES
        lines.append(f"{len(group)} functions are skipped: {reason}: {names}{f' and {rest} more' if rest > 0 else ''}")
    return lines


def _text(name: str, mapping: Mapping, checked: Sequence[_Checked]) -> list[str]:
    rows = [("ENTRY", "TARGET", "RESULT", "DETAILS")]
    for one in checked:
        head = (f"functions[{one.entry.number}]", one.entry.target.text, one.result)
        for details in [*one.problems, *map(_place, one.functions), *_grouped(one.notes)]:
            rows.append((*head, details))
            head = ("", "", "")
    lines = table(rows, "<<<<", [0] * 4) if checked else []
    lines += [f"mistake: {problem}" for problem in mapping.problems]
    good = sum(one.result == _MATCHED for one in checked)
    total = plural(len(checked), "valid entry", "valid entries")
    return [*lines, f"{name}: {good} of {total} matched, {plural(len(mapping.problems), 'mistake')}"]


def _json(name: str, mapping: Mapping, checked: Sequence[_Checked]) -> dict[str, Any]:
    return {
        "mapping": name,
        "entries": [
            {
                "entry": f"functions[{one.entry.number}]",
                "target": one.entry.target.text,
                "result": one.result,
                "functions": [
                    {
                        "function": function.name,
                        "file": function.file,
                        "line": function.line,
                        "inPlace": function.is_in_place,
                    }
                    for function in one.functions
                ],
                "problems": list(one.problems),
                "notes": list(one.notes),
            }
            for one in checked
        ],
        "mistakes": [str(problem) for problem in mapping.problems],
    }
