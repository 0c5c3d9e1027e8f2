"""`Secrets`: the secrets of an environment, in every form in which a string might contain them."""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from otel_kcevents.model.scrub import REDACTED, scrub

__all__ = ["MIN_LENGTH", "ReportRefusedError", "Secrets"]

MIN_LENGTH = 6
"""The minimum length of a value that counts as a secret, in characters. A number needs ten digits."""

_MAX_VALUE = 16_384  # characters of a variable that are looked at
_MAX_PARTS = 64  # of one variable
_MIN_LINE = 16  # characters of a line of a key

_NAME = re.compile(
    r"KEY(?!BOARD|MAP)|TOKEN|SECRET|PASSW|PASSPHRASE|PASS(?:$|_)|PWD|CREDENTIAL|AUTH|COOKIE|SESSION|DSN|PRIVATE"
    r"|HEADERS?(?:$|_)|CONN(?:ECTION)?_?STR|WEBHOOK|SIGNATURE|SALT(?:$|_)|(?:^|_)(?:PAT|PIN|SAS|SIG)(?:$|_)"
)
# Names of what is not secret itself: a file that holds a secret, a kind of secret, a directory.
_OTHER_NAME = re.compile(r"_(?:FILE|PATH|DIR|SOCK|SOCKET|TYPE|NAME|PROVIDER|BACKEND|TTL|TIMEOUT)$|^(?:OLD)?PWD$|^XDG_")
_ORDINARY = re.compile(
    "always|approle|basic|bearer|default|denied|digest|disabled?|enabled?|external|google|internal|kerberos|kubernetes"
    "|localhost|negotiate|oauth2?|optional|password|postgres|postgresql|prefer|required?|secret|session|standard|strict"
    "|ubuntu|verify-full|wayland|xsession"
)

_USER_INFO = re.compile(r"://([^/@:\s]*)(?::([^@\s]+))?@")
_PASSWORD_WITH_AT = re.compile(r"://[^/@:\s]*:(\S{1,200}@\S{1,200})@")
_PAIR = re.compile(r"""(?<![\w.\-])([\w.\-]{1,100})["']?\s*[=:]\s*("[^"\n]+"|'[^'\n]+'|[^\s,;&"'{}]+)""")
_SEGMENT = re.compile(r"/((?=[\w\-]*\d)[\w\-]{12,})(?![\w.\-])")  # of the path of a webhook: a random name
_SCHEME = re.compile(r"(?i)(?:basic|bearer|token|apikey|digest)\s+(\S+)")
_CUT = "…"  # after a string that was cut


class ReportRefusedError(ValueError):
    """Raised if a finished report still holds a secret; the message names the variable, never its value."""


class Secrets:
    """The secrets of an environment: values of variables whose names suggest it, and logins in URLs of other variables.

    Args:
        environ: The environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        names: dict[str, str] = {}  # by form
        for name, value in environ.items():
            for part in set(_parts(name, value[:_MAX_VALUE])):
                for form in _forms(part):
                    names.setdefault(form, name)
        self._names = dict(sorted(names.items(), key=lambda item: -len(item[0])))  # a secret may contain another

    def mask(self, text: str) -> str:
        """Return a string with `[redacted]` in place of each secret, even one whose end was replaced by `…`.

        Args:
            text: The string.
        """
        for form in self._names:
            if form in text:
                text = text.replace(form, REDACTED)
        *starts, end = text.split(_CUT)
        return "".join(f"{self._mask_end(start)}{_CUT}" for start in starts) + end

    def _mask_end(self, text: str) -> str:
        """Return a string with `[redacted]` in place of the beginning of a secret at its end."""
        for form in self._names:
            place = text.find(form[:MIN_LENGTH])
            while place >= 0:
                if form.startswith(text[place:]):
                    return text[:place] + REDACTED
                place = text.find(form[:MIN_LENGTH], place + 1)
        return text

    def check(self, text: str, fixed: str = "") -> None:
        """Refuse a report that contains a secret.

        Args:
            text: The finished report.
            fixed: What is part of every report. A value that it contains, such as a word, is not a secret.

        Raises:
            ReportRefusedError: The report contains a secret.
        """
        decoded = unquote(text)
        for form, name in self._names.items():
            if (form in text or form in decoded) and form not in fixed:
                raise ReportRefusedError(
                    f"the report still holds the value of the variable {name}, or a part of it, so it is not written; "
                    f"if the value is not a secret, run the command without it: env -u {name} otel-kcevents report"
                )


def _parts(name: str, value: str) -> Iterator[str]:
    """Return the parts of a variable's value that are secret."""
    upper = name.upper()
    is_secret = bool(_NAME.search(upper) and not _OTHER_NAME.search(upper))
    # A known format of a token, whatever the name; of a URL with a login, only the login is secret.
    if is_secret or REDACTED in scrub(_USER_INFO.sub("://", value)):
        yield from _worth_hiding(value)
    for text in dict.fromkeys((value, unquote(value))):
        for user, password in _USER_INFO.findall(text)[:_MAX_PARTS]:
            yield from _worth_hiding(password or user)
        for password in _PASSWORD_WITH_AT.findall(text):
            yield from _worth_hiding(password)
        pairs = _PAIR.findall(text)[:_MAX_PARTS]
        for key, given in pairs:
            if "HEADER" in upper or _NAME.search(key.upper()):
                yield from _worth_hiding(given.strip("\"'"))
        if is_secret:
            for given in [text, *(given for _, given in pairs)]:
                for credentials in _SCHEME.findall(given):
                    yield from _worth_hiding(credentials)
            for credentials in _SCHEME.findall(text):
                yield from _login(credentials)
            yield from _members(text)
            yield from _login_parts(text)
            if "://" in text:
                yield from _SEGMENT.findall(text.partition("://")[2])


def _worth_hiding(value: str) -> Iterator[str]:
    """Return a value, decoded too, if it is long enough and not an ordinary word; and the lines of a long one."""
    for text in dict.fromkeys((value.strip(), unquote(value).strip())):
        is_number = text.replace(".", "").isdecimal()
        if len(text) < (10 if is_number else MIN_LENGTH) or _ORDINARY.fullmatch(text.lower()):
            continue
        yield text
        lines = text.replace("\\n", "\n").split("\n")
        if len(lines) > 1:
            yield from (line.strip() for line in lines if len(line) >= _MIN_LINE and not line.startswith("-----"))


def _login(credentials: str) -> Iterator[str]:
    """Return the password of the credentials of basic authentication."""
    with suppress(ValueError):
        yield from _login_parts(b64decode(credentials, validate=True).decode())


def _login_parts(text: str) -> Iterator[str]:
    """Return the password of `user:password`."""
    user, colon, password = text.partition(":")
    if colon and re.fullmatch(r"[\w.@+\-]+", user) and not password.startswith("//"):
        yield from _worth_hiding(password)


def _members(text: str) -> Iterator[str]:
    """Return the strings in a JSON object whose keys suggest a secret."""
    found: list[str] = []

    def keep(members: list[tuple[str, Any]]) -> None:
        found.extend(value for key, value in members if isinstance(value, str) and _NAME.search(key.upper()))

    if text.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            json.loads(text, object_pairs_hook=keep)
    for value in found[:_MAX_PARTS]:
        yield from _worth_hiding(value)


def _percent_encoded(character: str) -> str:
    """Return a character as the most careful programs write it in a URL: they also encode `-`, `.`, `_` and `~`."""
    return character if character.isalnum() else "".join(f"%{byte:02X}" for byte in character.encode(errors="replace"))


def _forms(value: str) -> set[str]:
    """Return a secret as it is, and as URLs, JSON, Python, HTML, base64 and hexadecimal digits represent it."""
    data = value.encode(errors="surrogatepass")
    quoted = {quote(data, safe=""), quote(data), quote_plus(data), "".join(map(_percent_encoded, value))}
    quoted |= {quote(text, safe="") for text in quoted}  # a URL in a URL
    in_json = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    forms = {value, repr(value)[1:-1], ascii(value)[1:-1], repr(data)[2:-1], html.escape(value), *quoted, *in_json}
    forms.add(value.replace("'", "''"))  # SQL
    forms |= {re.sub("%..", lambda match: match[0].lower(), text) for text in quoted}
    forms |= {json.dumps(text)[1:-1] for text in in_json}  # JSON in a message of the log document
    encoded = {data.hex(), data.hex().upper()}
    for before in range(3):  # the value may begin at any of the three bytes that four characters of base64 encode
        start, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        padded = bytes(before) + data
        encoded |= {encode(padded).decode()[start:end] for encode in (b64encode, urlsafe_b64encode)}
    return forms | encoded
