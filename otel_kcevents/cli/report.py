"""`otel-kcevents report`: write a bug report about a program and its log."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from otel_kcevents.cli.arguments import Commands, add_sources
from otel_kcevents.cli.output import print_lines
from otel_kcevents.cli.sources import CommandError, one_source
from otel_kcevents.report.build import build_report, check_report
from otel_kcevents.report.file import save_report
from otel_kcevents.report.redaction import printable
from otel_kcevents.report.secrets import ReportRefusedError
from otel_kcevents.sdk.facts import command_facts
from otel_kcevents.store.journal import Journal
from otel_kcevents.store.remote import RemoteLog
from otel_kcevents.store.source import Source

__all__ = ["add_report", "write_report"]


def add_report(commands: Commands) -> None:
    """Add the command `report`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("report", help="write a bug report: versions, settings, checks, runs, errors, the log")
    parser.set_defaults(command=write_report)
    output_help = "the file to write, which must not exist; - for standard output (default)"
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help=output_help)
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    add_sources(parser)


def write_report(sources: Sequence[Source], output: str, force: bool) -> int:
    """Write a report to a file that only its owner can read, or to standard output.

    If the log cannot be read, the report is still written, with the reason.

    Args:
        sources: The logs to report about.
        output: The name of the file, or `-` for standard output.
        force: Whether to replace a file that exists.

    Returns:
        The exit code: 0.

    Raises:
        CommandError: The report cannot be written, still holds a secret, or was written without the log.
    """
    try:
        text, problem = _build(sources)
        if output == "-":
            print_lines(text.split("\n")[:-1])
        else:
            save_report(output, text, overwrite=force)
    except ReportRefusedError as error:
        raise CommandError(str(error)) from None
    except FileExistsError:
        raise CommandError(f"{output} exists; choose another file, or replace it with --force") from None
    except OSError as error:
        if output == "-":
            raise
        raise CommandError(f"cannot write {output}: {error.strerror or error}") from None
    if problem:
        raise CommandError(f"the report was written without a log: {problem}")
    return 0


def _build(sources: Sequence[Source]) -> tuple[str, str | None]:
    """Return the report, and why its log cannot be read, if it cannot.

    A running program that serves a report writes it itself, because it knows more.
    """
    source = one_source(sources)
    if isinstance(source, RemoteLog):
        with suppress(OSError):
            text = source.report()
            check_report(text)
            return "\n".join(map(printable, text.split("\n"))), None
    problem = None
    try:
        source.counts()
    except (OSError, ValueError) as error:
        problem = str(error)
    journals = list(dict.fromkeys(source.path for source in sources if isinstance(source, Journal)))
    return build_report(source, command_facts(), journals=journals), problem
