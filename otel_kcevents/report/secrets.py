"""`Secrets`: the secrets of an environment, found in every form in which a string might contain them."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

from otel_kcevents.model.scrub import REDACTED, scrub
from otel_kcevents.report.decoding import decode, decode_with_places

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
    r"|ubuntu|verify-full|wayland|xsession"
    r"|(?:\d{4}-\d\d(?:-\d\d)?)?[t ]?(?:\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:z|[+\-]\d\d:?\d\d)?)?"  # a day, a time
)

_PAIR = re.compile(r"""(?<![\w.\-])([\w.\-]{1,100})["']?\s*[=:]\s*("[^"\n]+"|'[^'\n]+'|[^\s,;&"'{}]+)""")
_SEGMENT = re.compile(r"/((?=[\w\-]*\d)[\w\-]{12,})(?![\w.\-])")  # of the path of a webhook: a random name
_SCHEME = re.compile(r"(?i)(?:basic|bearer|token|apikey|digest)\s+(\S+)")
_HALF_ESCAPE = re.compile(r"(?:%[0-9A-Fa-f]{0,9}|(?<!\\)\\+(?:[xu][0-9A-Fa-f]{0,3})?|&[#\w;]{0,12})\Z")
_CUT = r"([\[(]?(?:…|\.{3,})[\])]?)"  # in a string of which a part was omitted


class ReportRefusedError(ValueError):
    """Raised if a finished report still holds a secret; the message names the variable, never its value."""


class Secrets:
    """The secrets of an environment: values of variables whose names suggest it, and logins in URLs of other variables.

    Args:
        environ: The environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._exact: dict[str, str] = {}  # variables by the values as they are, and in the most frequent notations
        self._names: dict[str, str] = {}  # variables by decoded forms
        for name, value in environ.items():
            for part in set(_parts(name, value[:_MAX_VALUE])):
                for form in (part, quote(part, safe="", errors="replace"), json.dumps(part)[1:-1]):
                    self._exact.setdefault(form, name)
                for form in filter(_is_worth_hiding, map(decode, _forms(part))):
                    self._names.setdefault(form, name)
        self._exact = dict(sorted(self._exact.items(), key=lambda item: -len(item[0])))  # one may contain another
        self._longest = max(map(len, self._names), default=0)
        self._by_start: dict[str, list[str]] = {}
        self._by_end: dict[str, list[str]] = {}
        for form in self._names:
            self._by_start.setdefault(form[:MIN_LENGTH], []).append(form)
            self._by_end.setdefault(form[-MIN_LENGTH:], []).append(form)

    def mask(self, text: str) -> str:
        """Return a string with `[redacted]` in place of each secret, even one of which `…` or `...` replaces a part.

        Args:
            text: The string.
        """
        for form in self._exact:
            if form in text:
                text = text.replace(form, REDACTED)
        decoded = decode(text)
        if forms := [form for form in self._names if form in decoded]:
            text = _mask_forms(text, forms)
        pieces = re.split(_CUT, text)  # the cuts have the odd places
        for place in range(0, len(pieces), 2):
            if place > 0:
                pieces[place] = self._mask_start(pieces[place])
            if place < len(pieces) - 1:
                pieces[place] = self._mask_end(pieces[place])
        return "".join(pieces)

    def _mask_end(self, text: str) -> str:
        """Return a string with `[redacted]` in place of the beginning of a secret at its end."""
        for decoded in dict.fromkeys((decode(text), decode(_HALF_ESCAPE.sub("", text)))):
            for place in range(max(len(decoded) - self._longest, 0), len(decoded) - MIN_LENGTH + 1):
                forms = self._by_start.get(decoded[place : place + MIN_LENGTH], ())
                if any(form.startswith(decoded[place:]) for form in forms):
                    _, places = decode_with_places(text)
                    return text[: places[place][0]] + REDACTED
        return text

    def _mask_start(self, text: str) -> str:
        """Return a string with `[redacted]` in place of the end of a secret at its beginning."""
        decoded = decode(text)
        for place in range(min(len(decoded), self._longest), MIN_LENGTH - 1, -1):
            forms = self._by_end.get(decoded[place - MIN_LENGTH : place], ())
            if any(form.endswith(decoded[:place]) for form in forms):
                _, places = decode_with_places(text)
                return REDACTED + text[places[place - 1][1] :]
        return text

    def check(self, text: str, fixed: str = "") -> None:
        """Refuse a report that contains a secret.

        Args:
            text: The finished report.
            fixed: What is part of every report. A value that it contains, such as a word, is not a secret.

        Raises:
            ReportRefusedError: The report contains a secret.
        """
        for names, where, expected in ((self._exact, text, fixed), (self._names, decode(text), decode(fixed))):
            for form, name in names.items():
                if form in where and form not in expected:
                    raise ReportRefusedError(
                        f"the report still holds the value of the variable {name}, or a part of it, so it is not "
                        "written; if the value is not a secret, run the command without it: "
                        f"env -u {name} otel-kcevents report"
                    )


def _mask_forms(text: str, forms: Iterable[str]) -> str:
    """Return a string with `[redacted]` in place of decoded forms."""
    decoded, places = decode_with_places(text)
    pattern = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    for match in reversed(list(re.finditer(pattern, decoded))):
        text = text[: places[match.start()][0]] + REDACTED + text[places[match.end() - 1][1] :]
    return text


def _parts(name: str, value: str) -> Iterator[str]:
    """Return the parts of a variable's value that are secret."""
    upper = name.upper()
    is_secret = bool(_NAME.search(upper) and not _OTHER_NAME.search(upper))
    if is_secret:
        yield from _worth_hiding(value)
    for part in _scrubbed_parts(value):
        yield from _worth_hiding(part)
        yield from _login_parts(part)
    for text in dict.fromkeys((value, unquote(value))):
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


def _scrubbed_parts(value: str) -> Iterator[str]:
    """Return what the scrubber removes from a value, such as the password of a command line."""
    start, *others = scrub(value).split(REDACTED)
    position = len(start)
    for kept in others:
        end = value.find(kept, position) if kept else len(value)
        if end < 0:  # the scrubber has changed more than secrets
            end = len(value)
        yield value[position:end].strip("\"'")
        position = end + len(kept)


def _worth_hiding(value: str) -> Iterator[str]:
    """Return a value, if it may be a secret, and the lines of a long one."""
    text = value.strip()
    if _is_worth_hiding(text):
        yield text
        lines = text.replace("\\n", "\n").split("\n")
        if len(lines) > 1:
            yield from (line.strip() for line in lines if len(line) >= _MIN_LINE and not line.startswith("-----"))


def _is_worth_hiding(text: str) -> bool:
    """Return whether a value is long enough, and neither an ordinary word nor a time."""
    is_number = text.replace(".", "").isdecimal()
    return len(text) >= (10 if is_number else MIN_LENGTH) and not _ORDINARY.fullmatch(text.lower())


def _login(credentials: str) -> Iterator[str]:
    """Return the password of the credentials of basic authentication."""
    with suppress(ValueError):
        yield from _login_parts(b64decode(credentials, validate=True).decode())


def _login_parts(text: str) -> Iterator[str]:
    """Return the password of `user:password`."""
    user, colon, password = text.partition(":")
    is_login = colon and re.fullmatch(r"[\w.@+\-]*", user) and not password.startswith("//")
    if is_login and _is_worth_hiding(text):
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


def _forms(value: str) -> Iterator[str]:
    """Return a secret as it is, with `+` for spaces, and as base64, hexadecimal digits and numbers represent it."""
    data = value.encode(errors="surrogatepass")
    yield from (value, ascii(value), value.replace(" ", "+"), data.hex(), data.hex(":"), ",".join(map(str, data)))
    for encoding in ("utf-8", "utf-16-le"):
        data = value.encode(encoding, "surrogatepass")
        for before in range(3):  # the value may begin at any of the three bytes that four characters of base64 encode
            start, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
            padded = bytes(before) + data
            yield from (encode(padded).decode()[start:end] for encode in (b64encode, urlsafe_b64encode))
