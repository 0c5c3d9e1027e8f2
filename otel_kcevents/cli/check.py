"""`otel-kcevents check`: validate a log document in a file."""

from __future__ import annotations

import json
from itertools import chain

from otel_kcevents.cli.arguments import Commands
from otel_kcevents.cli.output import plural, print_lines
from otel_kcevents.cli.sources import FINDINGS, CommandError, read_file
from otel_kcevents.model.document import Document, read_document, unknown_kinds
from otel_kcevents.model.report_form import log_in_report

__all__ = ["add_check", "check_file"]


def add_check(commands: Commands) -> None:
    """Add the command `check`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("check", help="validate a log document in a file")
    parser.set_defaults(command=check_file)
    parser.add_argument("--strict", action="store_true", help="reject unknown kinds and metadata fields")
    parser.add_argument("name", metavar="FILE", help="a file's name, or - for standard input")


def check_file(name: str, strict: bool) -> None:
    """Print what a log document contains, and which of its kinds and metadata fields are unknown.

    Args:
        name: The file's name, or `-` for standard input.
        strict: Whether to refuse unknown kinds and fields.

    Raises:
        CommandError: The file cannot be read, or is not a valid document.
    """
    try:
        content = read_file(name)
    except OSError as error:
        raise CommandError(str(error)) from None
    try:
        document = read_document(log_in_report(content), strict=strict)
    except ValueError as error:
        raise CommandError(f"{name} is not a log document: {error}", FINDINGS) from None
    lists = ", ".join(f"{etl} {len(events)}" for etl, events in document.lists.items())
    counted = f"{plural(sum(document.counters.values()), 'event')} of {plural(len(document.counters), 'kind')} counted"
    print_lines([f"{name}: a valid log document: {lists}; {counted}", *_unknown(document)])


def _unknown(document: Document) -> list[str]:
    """Return a line that names the unknown kinds, and one that names the unknown metadata fields, if there are any."""
    events = list(chain.from_iterable(document.lists.values()))
    fields = {f"{event.kind}.{field}" for event in events if event.extra for field in json.loads(event.extra)}
    found = (("kinds", unknown_kinds(document)), ("metadata", fields))
    return [f"unknown {what}: {', '.join(sorted(names))}" for what, names in found if names]
