"""Where a command reads a log from: a running program, a saved document, or standard input."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cached_property

from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import KINDS, OUTCOMES
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.window import Window
from otel_kcevents.store.remote import RemoteLog
from otel_kcevents.store.source import Source, check_selection, select

__all__ = [
    "FINDINGS",
    "NO_ANSWER",
    "CommandError",
    "SavedLog",
    "find_source",
    "is_address",
    "read_file",
    "read_source",
]

NO_ANSWER = 1
"""The exit code of a command whose source cannot be read or refuses the selection."""

FINDINGS = 3
"""The exit code of a command that found a problem: a listed failure, or an invalid document."""

# Any other argument without :// is a file's name, so that a missing file never becomes a host to look up.
_HOST_AND_PORT = re.compile(r"([^/]*@)?([^/:@\s]+|\[[^]/@\s]*\]):[0-9]+(/.*)?", re.DOTALL)
_FORMATS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}


class CommandError(Exception):
    """Raised to end the command with a message.

    Args:
        message: The message.
        status: The exit code of the command.
    """

    status: int

    def __init__(self, message: str, status: int = NO_ANSWER) -> None:
        super().__init__(message)
        self.status = status


def is_address(text: str) -> bool:
    """Return whether *text* is the address of a running program: a URL, or `host:port` if there is no such file."""
    return "://" in text or bool(_HOST_AND_PORT.fullmatch(text) and not os.path.exists(text))


def find_source(text: str) -> Source:
    """Return the source that an argument names. Nothing is read yet.

    Args:
        text: What contains `://` is a URL; `-` is standard input; an existing file is that file; `host:port` is a
            running program. Anything else is the name of a file that does not exist.

    Raises:
        ValueError: *text* is a malformed URL or address.
    """
    return RemoteLog(text) if is_address(text) else SavedLog(text)


class SavedLog:
    """A source that reads a saved document once, at the first call of a method.

    Args:
        name: The file's name, or `-` for standard input.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name

    @cached_property
    def _document(self) -> Document:
        content = read_file(self._name, ", host:port, a URL")
        try:
            return read_document(content)
        except ValueError as error:
            raise OSError(f"{self._name} is not a log document: {error}") from None

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind, in alphabetical order, without zeros.

        Raises:
            OSError: The file cannot be read, or is not a log document.
        """
        return dict(sorted(self._document.counters.items()))

    def document(self, kinds: Iterable[str] = (), window: Window | None = None, limit: int = 256) -> Document:
        """Return the saved document, in its own order.

        Args:
            kinds: The kinds to list, or prefixes of them; all kinds if empty.
            window: The window that an event's own time must be in to be listed; None for any time.
            limit: The maximum number of events to list of each kind, the first ones of each list.

        Raises:
            OSError: The file cannot be read, or is not a log document.
            TypeError: *window* is not a Window.
            ValueError: One of *kinds* is neither a documented kind, nor one of the document, nor a prefix of one; or
                *limit* is not an integer of at least 1.
        """
        check_selection(window, limit)
        prefixes = [kinds] if isinstance(kinds, str) else list(kinds)
        document = self._document
        known = _known_kinds(document)
        for prefix in prefixes:
            if not any(f"{kind}Event".startswith(prefix) for kind in known):
                raise ValueError(
                    f"{short_repr(prefix)} is not a kind or a prefix of one; expected one of {', '.join(known)}"
                )
        return select(document, prefixes, window, limit)


def _known_kinds(document: Document) -> list[str]:
    """Return the documented kinds, the kinds of a document, and the other kinds of their sets."""
    found = {*document.counters, *(event.kind for events in document.lists.values() for event in events)}
    suffixes = [outcome.suffix for outcome in OUTCOMES.values()]
    sets = {kind.removesuffix(suffix) for kind in found for suffix in suffixes if kind.endswith(suffix)}
    siblings = [f"{name}{suffix}" for name in sorted(sets) for suffix in suffixes]
    return list(dict.fromkeys([*KINDS, *sorted(found), *siblings]))


def read_file(name: str, others: str = "") -> bytes:
    """Return the content of a file.

    Args:
        name: The file's name, or `-` for standard input.
        others: The other forms of the argument, for the error message.

    Raises:
        OSError: The file cannot be read, or is compressed.
    """
    from_stdin = name == "-"
    try:
        with open(0 if from_stdin else name, "rb", closefd=not from_stdin) as stream:
            content = stream.read()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        shown = re.sub(r"\S+@", "", name)  # a misplaced URL may contain a password
        raise OSError(
            f"cannot read {shown}: {reason}; expected a file's name{others}, or - for standard input"
        ) from None
    for magic, form in _FORMATS.items():
        if content.startswith(magic):
            raise OSError(f"{name} is compressed ({form}); decompress it first")
    return content


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
