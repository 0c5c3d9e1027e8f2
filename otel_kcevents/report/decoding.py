"""`decode()`: a string without escapes, quotes, white space and case: one search finds a secret in any notation."""

from __future__ import annotations

import re

__all__ = ["decode", "decode_with_places"]

# Percent-encoding, string literals, JSON and HTML, each encoded any number of times; the line breaks of e-mails; and
# characters that are invisible or that UTF-8 cannot encode.
_ESCAPE = re.compile(
    r"%(?:25)*([0-9A-Fa-f]{2})|(?<!\\)\\+(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|[abfnrtv])"
    r"|&(?:amp;)*(?:#[xX]([0-9A-Fa-f]{1,5})|#(\d{1,6})|(amp|lt|gt)|quot|apos);|=\r?\n"
    "|[\xa0\xad\u200b-\u200f\u2028-\u202e\u2060\ufeff\ud800-\udc7f\udd00-\udfff]"
)
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
_DROPPED = dict.fromkeys([*range(33), *map(ord, "\"'`\\"), 127])


def decode(text: str) -> str:
    """Return a string without its encodings, its case, and the characters that programs insert.

    Those are white space, line breaks, quotes, backslashes and control characters. Strings that are encoded
    differently, such as `a%2Bb` and `'A+B'`, have the same result. Each of its characters stands for a byte of UTF-8.

    Args:
        text: The string.
    """
    return _kept(_ESCAPE.sub(_character, text))


def decode_with_places(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the decoded string, and for each of its characters the start and the end of what it stands for.

    Args:
        text: The string.
    """
    decoded: list[str] = []
    places: list[tuple[int, int]] = []

    def add(character: str, start: int, end: int) -> None:
        kept = _kept(character)
        decoded.append(kept)
        places.extend([(start, end)] * len(kept))

    position = 0
    for match in _ESCAPE.finditer(text):
        for place in range(position, match.start()):
            add(text[place], place, place + 1)
        add(_character(match), *match.span())
        position = match.end()
    for place in range(position, len(text)):
        add(text[place], place, place + 1)
    return "".join(decoded), places


def _character(match: re.Match[str]) -> str:
    """Return the character that an escape stands for, or a byte as `surrogateescape` represents it."""
    percent, byte, unit, hexadecimal, decimal, entity = match.groups()
    if entity:
        return _ENTITIES[entity]
    if percent or byte:
        code = int(percent or byte, 16)
        return chr(code if code < 128 else 0xDC00 + code)
    code = int(unit or hexadecimal or "0", 16) or int(decimal or "0")
    return "" if 0xD800 <= code < 0xE000 else chr(code)


def _kept(text: str) -> str:
    return text.casefold().encode("utf-8", "surrogateescape").decode("latin-1").translate(_DROPPED)
