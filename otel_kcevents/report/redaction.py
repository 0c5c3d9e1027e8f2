"""`Redactor`: removes secrets, home folders, user names and e-mail addresses from every value of a report."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from getpass import getuser

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event
from otel_kcevents.model.scrub import REDACTED, scrub
from otel_kcevents.model.scrubbing import scrubbed
from otel_kcevents.report.secrets import Secrets

__all__ = ["EMAIL", "Redactor", "printable"]

EMAIL = "[email]"
"""The replacement for an e-mail address."""

# Home folders of any user, also in URLs, in JSON, and in Windows paths with doubled backslashes and names with spaces.
_SEPARATOR = r"(?:/|\\{1,8}/?|%(?:25){0,3}(?:2[Ff]|5[Cc]))"
_HOMES = (
    rf"(?:\b[A-Za-z](?::|%(?:25){{0,3}}3[Aa]))?{_SEPARATOR}(?:export{_SEPARATOR})?(?:home|[Uu]sers){_SEPARATOR}/?"
    r"""[^/\\\s%'"`:;,<>()\[\]]+(?:(?: [^/\\\s%'"`:;,<>()\[\]]+){1,3}(?=\\))?"""
)
_AT = r"(?:@|%(?:25){0,3}40|&(?:amp;)?#(?:64|x40);|\\{1,4}u0040)"
_EMAIL = rf"[\w.+\-]{{1,64}}{_AT}(?:[\w\-]{{1,63}}\.){{1,8}}[^\W\d_]{{2,24}}\b"
_VARIABLES = ("USER", "LOGNAME", "USERNAME", "SUDO_USER")
_MIN_USER = 3  # characters; a shorter name would be replaced in the middle of ordinary text
# Accounts of services and systems: their names are not personal, and occur in ordinary messages.
_SHARED_USERS = re.compile(
    "root|admin|administrator|users?|apps?|web|nobody|daemon|www|www-data|ubuntu|debian|centos|ec2-user|azureuser|vagrant"
    "|docker|jenkins|(?:gitlab-)?runner|github|ci|build|airflow|celery|dagster|spark|hadoop|dask|ray|postgres|mysql|redis"
    "|python|etl|data|service|system|default|otel|opentelemetry|collector|allocation|asset|cost|kubecost|finops|jovyan"
)


class Redactor:
    """Removes what a report must not hold from its values.

    Args:
        secrets: The secrets of the environment.
        environ: The environment, which names the user and the home folder.

    Attributes:
        secrets: The secrets of the environment.
    """

    secrets: Secrets

    def __init__(self, secrets: Secrets, environ: Mapping[str, str]) -> None:
        self.secrets = secrets
        homes = {environ.get("HOME", ""), environ.get("USERPROFILE", ""), os.path.expanduser("~")}
        homes |= {os.path.realpath(home) for home in homes if home}
        usable = sorted((home.rstrip("/\\") for home in homes if len(home.rstrip("/\\")) > 1), key=len, reverse=True)
        folders = [_SEPARATOR.join(map(re.escape, re.split(r"[/\\]", home))) for home in usable]
        self._homes = re.compile("|".join([rf"(?:{folder})(?![\w\-])" for folder in folders] + [_HOMES]))
        users = {environ.get(name, "") for name in _VARIABLES}
        users |= {os.path.basename(home) for home in usable if re.fullmatch(_HOMES, home)}
        with suppress(KeyError, OSError, ImportError):  # a container's user may have no name
            users.add(getuser())
        personal = [user for user in users if len(user) >= _MIN_USER and not _SHARED_USERS.fullmatch(user.lower())]
        names = "|".join(map(re.escape, personal)) or "(?!)"
        # `_` separates words too, and so do the two digits of an encoded separator.
        self._users = re.compile(rf"(?:(?<![A-Za-z0-9])|(?<=2[Ff])|(?<=5[Cc]))(?:{names})(?![A-Za-z0-9])")
        self._redacted = lru_cache(maxsize=4096)(self._redact)

    def __call__(self, text: str) -> str:
        """Return a value without secrets, home folders, user names and e-mail addresses.

        Args:
            text: The value. It must be one value: rules for secrets may span lines.
        """
        return self._redacted(text)

    def _redact(self, text: str) -> str:
        text = self.secrets.mask(text)
        text = scrub(scrubbed(text))  # the default rules too: a report is published, a log may not be
        text = self._homes.sub("~", text)
        text = re.sub(_EMAIL, EMAIL, text)
        return self._users.sub("~", text)

    def lines(self, text: str) -> str:
        """Return several lines, such as a stack trace, without secrets that span lines, or whose name is on another.

        Each line has to be redacted afterwards.

        Args:
            text: The lines.
        """
        return scrub(self.secrets.mask(text))

    def document(self, document: Document) -> Document:
        """Return a log document whose messages are redacted. Kinds, times, sizes and windows do not change.

        Args:
            document: The document.
        """
        lists = {etl: tuple(map(self._event, events)) for etl, events in document.lists.items()}
        return Document(lists, document.counters)

    def _event(self, event: Event) -> Event:
        failure, extra = event.failure, event.extra
        if failure is not None:
            type_, message, operation = failure
            failure = failure._replace(
                type=self(type_), message=self(message), operation=None if operation is None else self(operation)
            )
        if extra is not None:
            extra = json.dumps(self._strings(json.loads(extra)), separators=(",", ":"))
        return event._replace(failure=failure, extra=extra)

    def _strings(self, value: object, key: str = "") -> object:
        """Return a value of JSON with its strings redacted; the key of a value may say that it is a secret."""
        if isinstance(value, dict):
            return {
                self(name): self._strings(member, key if _is_secret(key) else name) for name, member in value.items()
            }
        if isinstance(value, list):
            return [self._strings(member, key) for member in value]
        if _is_secret(key, "0123456789" if isinstance(value, str) else value):
            return REDACTED
        return self(value) if isinstance(value, str) else value


def _is_secret(key: str, value: object = "0123456789") -> bool:
    return REDACTED in scrub(json.dumps({key: value}))


def printable(line: str) -> str:
    """Return a line with JSON escapes for characters that control a terminal, break a line or reorder text.

    Args:
        line: The line.
    """
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
