"""Where a command reads a log from."""

from __future__ import annotations

from collections.abc import Iterable

from otel_kcevents.model.document import Document
from otel_kcevents.model.window import Window
from otel_kcevents.store.source import Source

__all__ = ["CommandError", "read_source"]


class CommandError(Exception):
    """Raised to end the command with a message and exit code 1."""


def read_source(source: Source, kinds: Iterable[str] = (), window: Window | None = None) -> Document:
    """Return the document of a source.

    Args:
        source: Where to read from.
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window: The window that an event's own time must be in to be listed; None for any time.

    Raises:
        CommandError: The source cannot be read, or refuses *kinds* or *window*.
    """
    try:
        return source.document(kinds, window)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
