"""`otel-kcevents mapping run`: run a program with a mapping, and report what it recorded."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from otel_kcevents.cli.launch import describe_end, find_program, run_instrumented
from otel_kcevents.cli.mapping_file import read_mapping_file
from otel_kcevents.cli.output import plural, print_to, table
from otel_kcevents.cli.sources import FINDINGS, USAGE, CommandError
from otel_kcevents.model.messages import to_utf8
from otel_kcevents.plugin.instrumentor_options import read_instrumentor_options
from otel_kcevents.plugin.mapping import Entry
from otel_kcevents.plugin.variables import OTEL_PYTHON_KCEVENTS_LOG_FILE, OTEL_PYTHON_KCEVENTS_MAPPING
from otel_kcevents.sdk.settings import log_file, undecided_exporters
from otel_kcevents.store.calls import Calls
from otel_kcevents.store.journal_calls import ProgramCalls, read_program
from otel_kcevents.store.journal_reader import JournalNotFoundError, read_journal
from otel_kcevents.store.lock_file import lock_file
from otel_kcevents.store.run import PARENT_VARIABLE

__all__ = ["run_with_mapping"]

_HEADS = ("ENTRY", "FUNCTION", "CALLS", "EVENTS", "ERRORS", "NO SIZE", "NO WINDOW")
_NOTHING = ProgramCalls((), 0, 0, (), (), 0)


@dataclass(frozen=True)
class _EntryCalls:
    """The calls of one entry.

    Attributes:
        entry: The entry.
        calls: Its functions and their calls, those without calls last.
        findings: Why it is not recorded, or which fields that it names are missing.
    """

    entry: Entry
    calls: Sequence[Calls]
    findings: Sequence[str]


def run_with_mapping(name: str, program: Sequence[str], output: str, as_json: bool, exit_code: bool) -> int:
    """Run a program under `opentelemetry-instrument` with a mapping, and report what each entry recorded.

    Args:
        name: The file of the mapping.
        program: The program and its arguments.
        output: The file for the report; `-` for standard error.
        as_json: Write JSON instead of text.
        exit_code: Return `FINDINGS` if the program succeeds, but not everything is recorded.

    Returns:
        The exit code of the program; 128 plus the number of the signal that killed it, if one did.

    Raises:
        CommandError: The program cannot be run with this mapping.
    """
    mapping = read_mapping_file(name)
    path = mapping.origin
    if not mapping.entries:
        mistakes = " ".join(map(str, mapping.problems))
        raise CommandError(mistakes or f"{name} has no functions; write [[functions]]", FINDINGS)
    command = find_program(program)
    parent = os.urandom(8).hex()
    with _report_file(output) as report, _journal() as journal:
        variables = {OTEL_PYTHON_KCEVENTS_MAPPING: path, OTEL_PYTHON_KCEVENTS_LOG_FILE: journal}
        variables |= dict.fromkeys(undecided_exporters(), "none")  # a trial run needs no collector
        status = run_instrumented(command, {**variables, PARENT_VARIABLE: parent})
        exit_status = status if status >= 0 else 128 - status  # as shells do
        found = _read(journal, parent)
        entries = [_calls_of(entry, found) for entry in mapping.entries]
        problems = list(dict.fromkeys([*map(str, mapping.problems), *found.problems]))
        findings = _findings(entries, found, len(mapping.problems), command[0])
        if as_json:
            data = _json(name, exit_status, entries, found, problems, findings)
            print_to(report, json.dumps(data, indent=2, ensure_ascii=False).split("\n"))
        else:
            print_to(report, _text(name, status, entries, found, problems, findings))
    return FINDINGS if exit_code and not status and findings else exit_status


@contextmanager
def _report_file(output: str) -> Iterator[TextIO]:
    """Open the file for the report before the program runs: a mistake in its name must not cost a long run."""
    if output == "-":
        yield sys.stderr
        return
    try:
        stream = open(output, "w", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror or error}") from None
    with stream:
        yield stream


@contextmanager
def _journal() -> Iterator[str]:
    """Return the journal of the program: the user's, or a temporary one."""
    options = read_instrumentor_options({})
    if options.mapping is not None and options.mapping_file is None:
        raise CommandError("OTEL_CONFIG_FILE has a mapping of its own, which the program would use; unset it", USAGE)
    if options.log_file is False:
        raise CommandError("OTEL_CONFIG_FILE sets log_file: false, but a journal has to count the calls", USAGE)
    named = options.log_file or log_file()
    if named:
        yield os.path.abspath(named)
        return
    folder = tempfile.mkdtemp(prefix="kcevents-")
    try:
        yield os.path.join(folder, "kcevents.db")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(journal: str, parent: str) -> ProgramCalls:
    locks = lock_file(f"{os.path.realpath(journal)}-lock")
    try:
        return read_journal(
            os.path.realpath(journal), lambda connection: read_program(connection, parent, locks.is_held)
        )
    except JournalNotFoundError:
        return _NOTHING
    except OSError as error:
        return _NOTHING._replace(problems=(str(error),))


def _calls_of(entry: Entry, found: ProgramCalls) -> _EntryCalls:
    place, prefix = to_utf8(entry.place), to_utf8(f"{entry.origin}: functions[{entry.number}]")
    own = sorted((one for one in found.calls if one.entry == place), key=lambda one: (not one.calls, one.function))
    findings: list[str] = []
    if not own and found.unended and not found.calls:  # functions are written with the first event, or at the end
        findings.append("it is not known which functions are matched")
    elif not own:
        findings.append("no function is matched")
    elif not any(one.calls for one in own):
        findings.append("no function was called")
    elif entry.operation not in (None, "compute") and not any(one.events for one in own):
        findings.append("no call recorded an event")
    size, window = entry.options.size, entry.options.window
    if size is not None and (missing := sum(one.sizes_missing for one in own)):
        findings.append(f"{plural(missing, 'event')} without a size")
    if window is not None and (missing := sum(one.windows_missing for one in own)):
        findings.append(f"{plural(missing, 'event')} without a window")
    # Warnings about calls are logged once; the columns show how often they apply.
    warnings = [one for one in found.problems if one.startswith(prefix) and " (logged once): " not in one]
    if warnings:
        findings.append(f"{plural(len(warnings), 'warning')} about its functions")
    return _EntryCalls(entry, own, findings)


def _findings(entries: Sequence[_EntryCalls], found: ProgramCalls, mistakes: int, executable: str) -> list[str]:
    """Return what is not recorded, and why."""
    if not found.runs and found.problems:
        return ["the journal cannot be read"]
    if not found.runs:
        return [
            f"no process of the program has loaded the mapping; is otel-kcevents[plugin] installed for {executable}?"
        ]
    findings = [f"{_label(one.entry)}: {', '.join(one.findings)}" for one in entries if one.findings]
    if mistakes:
        findings.append(f"{plural(mistakes, 'mistake')} in the mapping")
    if found.running:
        findings.append(f"{_processes(found.running)} still running")
    return findings


def _processes(count: int) -> str:
    return plural(count, "process", "processes")


def _label(entry: Entry) -> str:
    return f"functions[{entry.number}] ({entry.target.text})"


def _text(
    name: str,
    status: int,
    entries: Sequence[_EntryCalls],
    found: ProgramCalls,
    problems: Sequence[str],
    findings: Sequence[str],
) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEADS]
    for one in entries:
        label = f"functions[{one.entry.number}]"
        for calls in one.calls or [Calls("", one.entry.target.text, 0, 0, 0, 0, 0)]:
            rows.append((label, calls.function, *map(str, calls[2:])))
    lines = [f"{name}: {_processes(len(found.runs))}", *table(rows, "<<>>>>>", [0] * len(_HEADS))]
    if found.uncounted:
        lines.append(f"not counted: {plural(found.uncounted, 'event')} of processes that were killed")
    if problems:
        lines += ["warnings:", *(f"  {problem}" for problem in problems)]
    if status:
        lines.append(f"the program {describe_end(status)}")
    if findings:
        return [*lines, "not everything is recorded:", *(f"  {finding}" for finding in findings)]
    return [*lines, "every entry is recorded, and no size or window that the mapping names is missing"]


def _json(
    name: str,
    status: int,
    entries: Sequence[_EntryCalls],
    found: ProgramCalls,
    problems: Sequence[str],
    findings: Sequence[str],
) -> Mapping[str, Any]:
    return {
        "code": 200,
        "data": {
            "mapping": name,
            "exitCode": status,
            "runs": list(found.runs),
            "running": found.running,
            "uncounted": found.uncounted,
            "entries": [
                {
                    "entry": f"functions[{one.entry.number}]",
                    "target": one.entry.target.text,
                    "functions": [
                        {
                            "function": calls.function,
                            "calls": calls.calls,
                            "events": calls.events,
                            "errors": calls.errors,
                            "sizesMissing": calls.sizes_missing,
                            "windowsMissing": calls.windows_missing,
                        }
                        for calls in one.calls
                    ],
                    "findings": list(one.findings),
                }
                for one in entries
            ],
            "warnings": list(problems),
            "findings": list(findings),
        },
    }
