"""Where a command reads a log from: a running program, a journal, a saved document, or standard input."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from stat import S_ISREG
from typing import Any

from otel_kcevents.model.document import Document, read_document
from otel_kcevents.model.event import KINDS, OUTCOMES
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.report_form import log_in_report, report_time
from otel_kcevents.model.window import Window
from otel_kcevents.sdk.settings import log_file
from otel_kcevents.store.journal import Journal
from otel_kcevents.store.merged_source import merge
from otel_kcevents.store.query import NotAvailableError
from otel_kcevents.store.remote import RemoteLog
from otel_kcevents.store.source import Source, check_selection, select

__all__ = [
    "DEFAULT_URL",
    "FINDINGS",
    "NO_ANSWER",
    "USAGE",
    "CommandError",
    "SavedLog",
    "default_source",
    "different_sources",
    "find_source",
    "is_missing",
    "method_of",
    "one_source",
    "read_file",
    "read_source",
]

DEFAULT_URL = "http://127.0.0.1:9003"
"""Where programs on this machine serve their log by default."""

NO_ANSWER = 1
"""The exit code of a command whose source cannot be read or refuses the selection."""

USAGE = 2
"""The exit code of a command whose arguments are wrong."""

FINDINGS = 3
"""The exit code of a command that found a problem: a listed failure, or an invalid document."""

# Any other argument without :// is a file's name, so that a missing file never becomes a host to look up.
_HOST_AND_PORT = re.compile(r"([^/]*@)?([^/:@\s]+|\[[^]/@\s]*\]):[0-9]+(/.*)?", re.DOTALL)
_JOURNAL = b"SQLite format 3\0"
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


def find_source(text: str, *, waits: bool = False) -> Source:
    """Return the source that an argument names. Of a file, only the first bytes are read.

    Args:
        text: What contains `://` is a URL; `-` is standard input; an existing file is that file: an SQLite file is a
            journal, another one a saved document; `host:port` is a running program. Anything else is the name of a file
            that does not exist.
        waits: Whether a file that does not exist is a journal that a program will create.

    Raises:
        ValueError: *text* is a malformed URL or address.
    """
    if "://" in text or (_HOST_AND_PORT.fullmatch(text) and not os.path.exists(text)):
        return RemoteLog(text)
    will_exist = waits and "@" not in text and not os.path.exists(text)  # an @ may follow a misplaced password
    if text != "-" and (will_exist or _is_database(text)):
        return Journal(text)
    return SavedLog(text)


def _is_database(name: str) -> bool:
    """Return whether a file is an SQLite file; reading the beginning of a pipe would remove it."""
    with suppress(OSError):  # which is reported when it is read as a document
        if os.path.isfile(name):
            with open(name, "rb") as stream:
                return stream.read(len(_JOURNAL)) == _JOURNAL
    return False


def is_missing(source: Source) -> bool:
    """Return whether a source is a journal whose file does not exist.

    Args:
        source: The source.
    """
    return isinstance(source, Journal) and not os.path.exists(source.path)


def default_source() -> Source:
    """Return the journal that the environment names, or else the log of a program on this machine."""
    path = log_file()
    return RemoteLog(DEFAULT_URL) if path is None else Journal(path)


def different_sources(sources: Iterable[Source]) -> list[Source]:
    """Return the sources, each once, even if its file is given by several paths.

    Args:
        sources: The sources.
    """
    return list({_identity(str(source)): source for source in sources}.values())


def _identity(name: str) -> str:
    return os.path.realpath(name) if os.path.exists(name) else name


def one_source(sources: Iterable[Source]) -> Source:
    """Return one source for several; a source that is given twice is read once.

    Args:
        sources: The sources, at least one.
    """
    different = different_sources(sources)
    return different[0] if len(different) == 1 else merge(*different)


def method_of(source: Source, name: str, what: str) -> Callable[..., Any]:
    """Return an optional method of a source.

    Args:
        source: The source.
        name: The name of the method.
        what: What a source without the method does not have, for the error message.

    Raises:
        NotAvailableError: The source does not have the method.
        OSError: The source does not have the method, and its log cannot be read.
    """
    method: Callable[..., Any] | None = getattr(source, name, None)
    if method is None:
        source.counts()  # it may also be unreadable
        why = ": of a saved document or report, only the log is read" if isinstance(source, SavedLog) else ""
        raise NotAvailableError(f"{source} has no {what}{why}; give a journal, or the URL of a program that writes one")
    return method


class SavedLog:
    """A source that reads a saved document or report once, at the first call of a method.

    Args:
        name: The file's name, or `-` for standard input.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name

    @cached_property
    def _saved(self) -> tuple[Document, int | None]:
        """The document, and when it was saved."""
        modified = _modification_time(self._name)
        content = read_file(self._name, ", host:port, a URL")
        try:
            document = read_document(log_in_report(content))
        except ValueError as error:
            raise OSError(f"{self._name} is not a log document: {error}") from None
        written = report_time(content)
        return document, modified if written is None else written

    def as_of(self) -> int | None:
        """Return when the log was saved: the time in a report, for a document the modification time of its file.

        Returns:
            The time in nanoseconds since 1970; None for a document from a pipe, which may have been written just now.

        Raises:
            OSError: The file cannot be read, or is not a log document.
        """
        return self._saved[1]

    def counts(self) -> dict[str, int]:
        """Return the number of events of each kind, in alphabetical order, without zeros.

        Raises:
            OSError: The file cannot be read, or is not a log document.
        """
        return dict(sorted(self._saved[0].counters.items()))

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
        document = self._saved[0]
        known = _known_kinds(document)
        for prefix in prefixes:
            if not any(f"{kind}Event".startswith(prefix) for kind in known):
                raise ValueError(
                    f"{short_repr(prefix)} is not a kind or a prefix of one; expected one of {', '.join(known)}"
                )
        return select(document, prefixes, window, limit)


def _modification_time(name: str) -> int | None:
    """Return when a file was modified, in nanoseconds since 1970; None if this is not a regular file, or unreadable."""
    with suppress(OSError, ValueError):  # which is reported when it is read
        status = os.stat(0 if name == "-" else name)
        if S_ISREG(status.st_mode):
            return status.st_mtime_ns
    return None


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
        OSError: The file cannot be read, is compressed, or is an SQLite file.
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
    if content.startswith(_JOURNAL):
        raise OSError(f"{name} is an SQLite file, not a log document; to show a journal, use otel-kcevents log")
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
