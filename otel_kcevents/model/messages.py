"""Strings, shortened for error messages and for a log of bounded size."""

from __future__ import annotations

__all__ = ["MAX_MESSAGE", "error_message", "short_repr", "to_utf8", "truncate"]

MAX_MESSAGE = 4096
"""The maximum length of an error's message in an event, in characters; it bounds the memory of a log."""


def short_repr(value: object, max_length: int = 80) -> str:
    """Return `repr(value)`, cut to *max_length* characters, for an error message."""
    text = repr(value[: max_length + 1] if isinstance(value, str) else value)
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def truncate(text: str) -> str:
    """Return *text*, cut to `MAX_MESSAGE` characters."""
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def to_utf8(text: str) -> str:
    """Return *text* with lone surrogates, which UTF-8 cannot encode, replaced by `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def error_message(error: BaseException) -> str:
    """Return the message of *error* as valid UTF-8, cut to `MAX_MESSAGE` characters."""
    try:
        text = str(error)
    except Exception:
        text = "(the message cannot be read)"
    return to_utf8(truncate(text))
