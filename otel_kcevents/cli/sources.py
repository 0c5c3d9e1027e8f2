"""Where a command reads a log from."""

from __future__ import annotations

from collections.abc import Iterable

from otel_kcevents.model.document import Document
from otel_kcevents.model.window import Window
from otel_kcevents.store.remote import RemoteLog
from otel_kcevents.store.source import Source

__all__ = ["CommandError", "open_source", "read_source"]


class CommandError(Exception):
    """Ends the command with a message."""


def open_source(text: str) -> Source:
    """Return the source that an argument of the command names: a program's URL.

    Raises:
        ValueError: *text* is not an address.
    """
    return RemoteLog(text)


def read_source(source: Source, kinds: Iterable[str] = (), window: Window | None = None) -> Document:
    """Return the source's document.

    Raises:
        CommandError: The source cannot be read, or refuses *kinds* or *window*.
    """
    try:
        return source.document(kinds, window)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
