"""Strings for messages: descriptions of values without their content, and messages of exceptions without secrets."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sized
from datetime import date, datetime, timezone
from textwrap import indent
from typing import cast

from otel_kcevents.model.scrubbing import scrubbed, scrubbed_frame

__all__ = [
    "MAX_MESSAGE",
    "describe",
    "describe_time",
    "error_message",
    "scrub_message",
    "short_repr",
    "stack_trace",
    "to_utf8",
    "truncate",
    "type_name",
]

MAX_MESSAGE = 4096
"""The maximum length of an error's message in an event, in characters; it bounds the memory of a log."""

# `len` of these types is cheap. `len` of others may run code of the program: a lazy frame computes, a proxy connects.
_UNITS: dict[type, str] = {
    str: "character",
    bytes: "byte",
    bytearray: "byte",
    **dict.fromkeys((list, tuple, dict, set, frozenset), "item"),
}
_SHORT_INT = 2**128  # `str` is slow for larger integers, or raises
_TIME = re.compile(r"[0-9TtZzPWDHMYSwdhmsUCG:+\-.,/ ]{1,80}", re.ASCII)
_OVERLAP = 1024  # characters that are scrubbed beyond those that are kept
_MAX_EXCEPTIONS = 32  # in a stack trace
_MAX_NOTES = 16
_MAX_NESTED = 16  # exceptions as arguments of exceptions
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_RENDERING = {kind.__str__ for kind in (BaseException, KeyError, OSError, ImportError)}
_ZONES = (type(None), timezone)  # of the standard library; the `repr` of other zones may run code of the program


def describe(value: object) -> str:
    """Return the type and the length of a value, such as `a list of 3 items`, without its content.

    None, bools, floats, dates, integers of at most 128 bits and empty values are shown. No code of the program runs,
    because the `repr`, the `len` or the `__class__` of an object could be expensive or have side effects.
    """
    kind: type = type(value)
    if value is None or kind in (bool, float):
        return repr(value)
    if kind in (date, datetime) and isinstance(value, date):
        return repr(value) if type(getattr(value, "tzinfo", None)) in _ZONES else "a datetime"
    name = kind.__qualname__[:80]
    named = f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
    if kind is int and isinstance(value, int):
        return str(value) if abs(value) < _SHORT_INT else f"{named} of {value.bit_length()} bits"
    if kind not in _UNITS or not isinstance(value, Sized):
        return named
    count = len(value)
    return f"{named} of {count} {_UNITS[kind]}{'s' if count > 1 else ''}" if count else repr(value)


def describe_time(value: object) -> str:
    """Describe a value that should be a time or a window; a string is shown only if it looks like a time."""
    is_time = issubclass(type(value), str) and _TIME.fullmatch(cast("str", value))
    return short_repr(value) if is_time else describe(value)


def short_repr(value: object, max_length: int = 80) -> str:
    """Return the `repr` of a string that is a name, a path or a setting, truncated to *max_length* characters.

    Use it for strings in the code of the program, and `describe` for values that may be data. A value of another type
    is described.
    """
    if not issubclass(type(value), str):  # `isinstance` asks the `__class__` of the value, which may be a property
        return describe(value)
    text = repr(str.__getitem__(cast("str", value), slice(max_length + 1)))
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def truncate(text: str) -> str:
    """Return *text*, cut to `MAX_MESSAGE` characters."""
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def to_utf8(text: str) -> str:
    """Return *text* with lone surrogates, which UTF-8 cannot encode, replaced by `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def scrub_message(text: str) -> str:
    """Return a message without secrets, as valid UTF-8, truncated to `MAX_MESSAGE` characters.

    Only the first 5,120 characters are scrubbed, which bounds the time.
    """
    start = text[: MAX_MESSAGE + _OVERLAP]
    if is_cut := len(start) < len(text):
        words = start.rpartition(" ")[0]  # half of a secret might not be recognized
        start = words if len(words) >= MAX_MESSAGE else start
    found = scrubbed(start)
    return to_utf8(truncate(f"{found}…" if is_cut and len(found) <= MAX_MESSAGE else found))


def error_message(error: BaseException) -> str:
    """Return the message of *error* without secrets, as valid UTF-8, truncated to `MAX_MESSAGE` characters."""
    try:
        return scrub_message(_text_of(error))
    except Exception:
        return "(the message cannot be read)"


def _text_of(error: BaseException, depth: int = 0) -> str:
    """Return `str(error)`, with descriptions in place of arguments that may be data of the program.

    Many exceptions hold values, such as `ValueError(rows)`, and the built-in `__str__` would render them.
    """
    args = error.args
    names = (error.filename, error.filename2) if isinstance(error, OSError) else ()
    if type(error).__str__ not in _RENDERING or all(map(_is_short, (*args, *names))):
        return str(error)
    is_key = type(error).__str__ is KeyError.__str__
    shown = [_argument(arg, error, depth, quoted=is_key or len(args) > 1) for arg in args]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def _is_short(arg: object) -> bool:
    kind = type(arg)
    if kind is str:
        return len(cast("str", arg)) <= MAX_MESSAGE
    return arg is None or kind in (bool, float) or (kind is int and abs(cast("int", arg)) < _SHORT_INT)


def _argument(arg: object, error: BaseException, depth: int, quoted: bool) -> str:
    """Return an argument of an exception as part of its message."""
    kind = type(arg)
    if issubclass(kind, str):
        text = str.__getitem__(cast("str", arg), slice(MAX_MESSAGE + _OVERLAP + 1))
        return repr(text) if quoted else text
    if issubclass(kind, BaseException) and depth < _MAX_NESTED:
        text = _text_of(cast("BaseException", arg), depth + 1)
        return f"{kind.__qualname__}({text})" if quoted else text
    module, own = kind.__module__.partition(".")[0], type(error).__module__.partition(".")[0]
    is_description = module == own and kind.__str__ is not object.__str__ and not hasattr(kind, "__iter__")
    return str(arg) if module == "pathlib" or is_description else describe(arg)


def stack_trace(error: BaseException, message: str | None = None) -> str:
    """Return the stack trace of *error* and of the exceptions that led to it, as Python prints it, but scrubbed.

    Messages are those of `error_message`. Up to 32 exceptions are listed, with up to 16 notes each.

    Args:
        error: The exception.
        message: The result of `error_message(error)`, if it is known.
    """
    return to_utf8(_stack_trace(error, message, set()))


def _stack_trace(error: BaseException, message: str | None, seen: set[int]) -> str:
    blocks: list[str] = []
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _MAX_EXCEPTIONS:
        seen.add(id(current))  # also those of groups: their number could grow exponentially
        frames = traceback.format_tb(current.__traceback__)
        lines = ["Traceback (most recent call last):\n"] if frames else []
        for frame in frames:  # generated code has long lines
            lines.append(f"{scrubbed_frame(truncate(frame.rstrip()))}\n")
        message = error_message(current) if message is None or blocks else message
        lines.append(f"{type_name(current)}: {message}\n" if message else f"{type_name(current)}\n")
        notes = getattr(current, "__notes__", None)
        if isinstance(notes, list):
            lines += [f"{error_message(Exception(note))}\n" for note in notes[:_MAX_NOTES]]
        members = getattr(current, "exceptions", None)  # of an exception group
        if isinstance(members, tuple):
            traces = [_stack_trace(one, None, seen) for one in members if issubclass(type(one), BaseException)]
            lines += [indent(trace, "  | ") for trace in traces]
        blocks.append("".join(lines))
        if current.__cause__ is not None:
            current, link = current.__cause__, _CAUSE
        else:
            current, link = None if current.__suppress_context__ else current.__context__, _CONTEXT
        if current is not None:
            blocks.append(link)
    return "".join(reversed(blocks))


def type_name(error: BaseException | type[BaseException]) -> str:
    """Return the name of an exception class or of an exception's type, with its module unless that is `builtins`."""
    kind = error if isinstance(error, type) else type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
