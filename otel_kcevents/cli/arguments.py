"""The arguments that several commands take: sources, and numbers within bounds."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeAlias

from otel_kcevents.cli.sources import DEFAULT_URL, SavedLog, find_source
from otel_kcevents.model.messages import short_repr
from otel_kcevents.store.source import Source

__all__ = ["Commands", "Parser", "add_sources", "number_type"]


class Parser(argparse.ArgumentParser):
    """A parser whose error messages show no password."""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2 after a message.

        Args:
            message: The message.
        """
        super().error(re.sub(r"\S+@", "", message))  # a misplaced URL may contain a password


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What `add_parser` adds a command to."""


def add_sources(parser: Parser, *, waits: bool = False, saved: bool = True, listed: bool = True) -> None:
    """Add the argument SOURCE, which may be repeated; the command gets a list `sources`, which is never empty.

    Args:
        parser: The parser of the command.
        waits: Whether a file that does not exist is a journal that a program will create.
        saved: Whether saved documents, which get no new events, are accepted.
        listed: Whether the help lists saved documents; a command that finds nothing in them does not list them.
    """
    documents = ", a saved document or report, or - for standard input" if saved and listed else ""
    parser.add_argument(
        "sources",
        nargs="*",
        type=partial(_source, waits=waits, saved=saved),
        metavar="SOURCE",
        help=f"a journal, host:port or the URL of a running program{documents}; several are merged (default: the file "
        f"that OTEL_PYTHON_KCEVENTS_LOG_FILE names, else {DEFAULT_URL})",
    )


def _source(text: str, waits: bool, saved: bool) -> Source:
    try:
        source = find_source(text, waits=waits)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if isinstance(source, SavedLog) and not saved:
        what = "standard input" if text == "-" else short_repr(text.rpartition("@")[2])
        raise argparse.ArgumentTypeError(
            f"expected a journal, host:port or a URL, not {what}; to show a document, use otel-kcevents log"
        )
    return source


def number_type(least: float, most: float, read: Callable[[str], float]) -> Callable[[str], Any]:
    """Return a function that converts an argument to a number within bounds.

    Args:
        least: The smallest number that is accepted.
        most: The largest number that is accepted.
        read: Converts a string: `int` or `float`.
    """

    def convert(text: str) -> float:
        try:
            if least <= read(text) <= most:
                return read(text)
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, got {short_repr(text)}")

    return convert
