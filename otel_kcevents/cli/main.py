"""The command `otel-kcevents`: its arguments and its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from otel_kcevents.cli.arguments import Parser
from otel_kcevents.cli.check import add_check
from otel_kcevents.cli.coverage import add_coverage
from otel_kcevents.cli.log import add_log
from otel_kcevents.cli.mapping import add_mapping
from otel_kcevents.cli.output import print_error, print_lines
from otel_kcevents.cli.report import add_report
from otel_kcevents.cli.runs import add_runs
from otel_kcevents.cli.serve import add_serve
from otel_kcevents.cli.sources import NO_ANSWER, CommandError, default_source
from otel_kcevents.cli.tail import add_tail
from otel_kcevents.version import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments; default: those of the process.

    Returns:
        0 on success, 1 if the source cannot be read or refuses the selection, 3 if a document is invalid or, with
        `--exit-code`, an error or a run that did not end well is listed, 130 if interrupted.

    Raises:
        SystemExit: With status 2 for wrong usage, 0 after `--help` and `--version`.
    """
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    command = arguments.pop("command", None)
    try:
        if command is None:
            print_lines(parser.format_help().splitlines())
            return 0
        if arguments.get("sources") == []:
            arguments["sources"] = [default_source()]
        return int(command(**arguments) or 0)
    except CommandError as error:
        print_error(str(error))
        return error.status
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # The interpreter flushes standard output when it ends, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # a reader such as `head` may close the pipe early
            print_error(f"cannot write: {error}")
            return NO_ANSWER
    return 0


_COMMANDS = (add_log, add_tail, add_runs, add_coverage, add_serve, add_report, add_check, add_mapping)


def _parser() -> Parser:
    parser = Parser(prog="otel-kcevents", description="Show, serve and check the log of cost-ETL programs.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    return parser
