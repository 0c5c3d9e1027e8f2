"""The command `otel-kcevents`: its arguments and its exit codes."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from otel_kcevents.cli.check import check_file
from otel_kcevents.cli.log import show_log
from otel_kcevents.cli.output import print_error, print_lines
from otel_kcevents.cli.sources import FINDINGS, NO_ANSWER, CommandError, find_source, is_address
from otel_kcevents.cli.tail import follow
from otel_kcevents.model.messages import short_repr
from otel_kcevents.store.source import Source
from otel_kcevents.version import __version__

__all__ = ["main"]

_URL = "http://127.0.0.1:9003"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments; default: those of the process.

    Returns:
        0 on success, 1 if the source cannot be read or refuses the selection, 3 if a document is invalid or, with
        `--exit-code`, an error is listed, 130 if interrupted.

    Raises:
        SystemExit: With status 2 for wrong usage, 0 after `--help` and `--version`.
    """
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    run = arguments.pop("run", None)
    try:
        if run is None:
            print_lines(parser.format_help().splitlines())
            return 0
        return int(run(**arguments) or 0)
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(re.sub(r"\S+@", "", message))  # a misplaced URL may contain a password


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="otel-kcevents", description="Show and check the recent-events log of a cost-ETL program.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")

    log = commands.add_parser("log", help="show a log, newest first")
    log.set_defaults(run=_show_log)
    log.add_argument("--json", dest="as_json", action="store_true", help="print the document itself, indented")
    log.add_argument(
        "--kind",
        dest="kinds",
        action="append",
        default=[],
        metavar="KIND",
        help="list only this kind, or kinds with this prefix; repeatable",
    )
    window_help = "list only events in this window: 24h, today, or two times separated by a comma"
    log.add_argument("--window", dest="window_text", metavar="WINDOW", help=window_help)
    log.add_argument("--errors", dest="only_errors", action="store_true", help="list only events that report a failure")
    log.add_argument("--exit-code", action="store_true", help=f"exit with {FINDINGS} if a failure is listed")
    source_help = f"host:port or the URL of a running program, a file, or - for standard input (default: {_URL})"
    log.add_argument("source", nargs="?", type=_source, default=_URL, metavar="SOURCE", help=source_help)

    tail = commands.add_parser("tail", help="show the last events, then new ones as they arrive, until Ctrl-C")
    tail.set_defaults(run=follow)
    past_help = "number of past events to show from each process (default: 10)"
    count, seconds = partial(_number, 0, 10**9, int), partial(_number, 0.01, 86_400, float)
    tail.add_argument("-n", dest="count", type=count, default=10, metavar="N", help=past_help)
    tail.add_argument(
        "--interval", type=seconds, default=1, metavar="SECONDS", help="time between two reads (default: 1)"
    )

    url_help = f"host:port or the URL of a running program (default: {_URL})"
    tail.add_argument("source", nargs="?", type=_program, default=_URL, metavar="URL", help=url_help)

    check = commands.add_parser("check", help="validate a log document in a file")
    check.set_defaults(run=check_file)
    check.add_argument("--strict", action="store_true", help="reject unknown kinds and metadata fields")
    check.add_argument("name", metavar="FILE", help="a file's name, or - for standard input")
    return parser


def _number(least: float, most: float, read: Callable[[str], float], text: str) -> float:
    try:
        if least <= read(text) <= most:
            return read(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, got {short_repr(text)}")


def _show_log(exit_code: bool, **arguments: Any) -> int:
    document = show_log(**arguments)
    has_error = any(event.is_error for events in document.lists.values() for event in events)
    return FINDINGS if exit_code and has_error else 0


def _source(text: str) -> Source:
    try:
        return find_source(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _program(text: str) -> Source:
    if not is_address(text):
        what = "standard input" if text == "-" else short_repr(text.rpartition("@")[2])
        raise argparse.ArgumentTypeError(
            f"tail follows a running program, at host:port or a URL, not {what}; show a file with otel-kcevents log"
        )
    return _source(text)
