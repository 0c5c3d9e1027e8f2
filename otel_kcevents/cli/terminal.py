"""What a terminal can show: its width, colours, and characters other than ASCII; and styled lines for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO, TypeAlias

from otel_kcevents.cli.output import is_utf8, printable

__all__ = ["Span", "Terminal", "print_spans", "terminal_of"]

Span: TypeAlias = tuple[str, str]
"""A string, and its style: the parameters of the escape sequence SGR, such as `1;31`; empty for none."""


class Terminal(NamedTuple):
    """What a stream can show.

    Attributes:
        columns: The width of a line; None if the stream is not a terminal.
        colours: Whether to use colours.
        unicode: Whether characters other than ASCII can be displayed.
    """

    columns: int | None
    colours: bool
    unicode: bool


def terminal_of(stream: TextIO) -> Terminal:
    """Return what a stream can show.

    Only a terminal gets colours, unless it is `dumb`. `NO_COLOR` turns them off everywhere; otherwise `FORCE_COLOR` or
    `CLICOLOR_FORCE` turns them on everywhere, and `CLICOLOR=0` turns them off. An empty variable is not set.

    Args:
        stream: The stream.
    """
    is_terminal = stream.isatty()
    columns = shutil.get_terminal_size().columns if is_terminal else None
    return Terminal(columns, _has_colours(is_terminal), is_utf8(stream))


def _has_colours(is_terminal: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_terminal and os.environ.get("TERM") != "dumb" and os.environ.get("CLICOLOR") != "0"


def print_spans(stream: TextIO, lines: Iterable[Sequence[Span]], terminal: Terminal) -> None:
    """Print styled lines in one write, with escapes for characters that the stream cannot show.

    Args:
        stream: The stream.
        lines: The lines, without their ends.
        terminal: What the stream can show.
    """

    def shown(text: str, style: str) -> str:
        safe = printable(text, terminal.unicode)
        return f"\x1b[{style}m{safe}\x1b[m" if style and safe and terminal.colours else safe

    text = "".join(f"{''.join(shown(*span) for span in line)}\n" for line in lines)
    print(text, end="", file=stream, flush=True)
