"""Conditions on the values of a call: `where`, `fails_when`, `error`, `ignore`.

Values are compared by identity, or as strings and numbers of exactly the same type. Objects of the program are never
compared with `==` or tested for truth: the result may be an array or a query, or the comparison may raise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any, Literal, cast

from otel_kcevents.model.messages import describe
from otel_kcevents.plugin.options import FailureOptions
from otel_kcevents.record.set_types import role_of

__all__ = ["is_ignored", "matches", "means_failure", "plain", "reported_errors", "text_of"]

_FREE = ("records", "array", "collection", "mapping", "range")  # the roles of sets whose len() computes nothing


def plain(value: Any) -> Any:
    """Convert an instance of a subclass of str, int or float, or a scalar of numpy or pyarrow, to the built-in type.

    Other values are returned unchanged. No code of the program runs.

    Args:
        value: The value.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str, float):
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    if kind.__module__ == "builtins":
        return value
    for base in kind.__mro__:
        name = (str(base.__module__).partition(".")[0], base.__name__)
        if name == ("numpy", "datetime64"):
            return value
        if name == ("numpy", "generic"):
            return value.item()
        if name == ("numpy", "ndarray") and value.ndim == 0:  # as in xarray
            return plain(value[()])
        if name == ("pyarrow", "Scalar"):
            return value.as_py()
    return float.__float__(value) if issubclass(kind, float) else value


def text_of(value: Any) -> str | None:
    """Return a string, a number, a bool or a path as text for a glob or a regular expression; None for None.

    Args:
        value: The value.

    Raises:
        TypeError: The value is something else.
    """
    value = plain(value)
    kind = type(value)
    if value is None or kind is str:
        return cast("str | None", value)
    if kind is bool:
        return "true" if value else "false"
    if kind in (int, float):
        return str(value)
    if issubclass(kind, PurePath):
        return str(value)
    raise TypeError(f"expected a string, a number or a path, got {describe(value)}; add a step such as .name")


def matches(value: Any, globs: Sequence[str]) -> bool:
    """Return whether a value matches one of several globs; None matches none of them.

    Args:
        value: The value.
        globs: The globs.

    Raises:
        TypeError: The value is not a string, a number, a bool or a path.
    """
    text = text_of(value)
    return text is not None and any(fnmatchcase(text, glob) for glob in globs)


def means_failure(value: Any, options: FailureOptions) -> bool:
    """Return whether a value is one of those that mean a failure.

    Args:
        value: The value.
        options: The values that mean a failure.

    Raises:
        TypeError: `empty` is one of them, and the length of a lazy set would have to be computed.
    """
    value = plain(value)
    for form, expected in options.values:
        if form == "word":
            if _is(value, expected):
                return True
        elif type(value) is type(expected) and value == expected:
            return True
    return False


def _is(value: Any, word: Literal["none", "false", "true", "empty"]) -> bool:
    if word == "none":
        return value is None
    if word != "empty":
        return value is (word == "true")
    kind = type(value)
    if kind is str or issubclass(kind, (bytes, bytearray)):
        return len(value) == 0
    role = role_of(kind)
    if role == "lazy":
        raise TypeError(f"{describe(value)} is lazy, and len() of it may start a computation; name a function instead")
    return role in _FREE and len(value) == 0


def reported_errors(value: Any, fans_out: bool) -> list[BaseException | str]:
    """Return the exceptions and the messages in the value of `error`.

    Args:
        value: The value.
        fans_out: Whether it is a list of values, because the path has a `[*]`.

    Raises:
        TypeError: A value is not an exception, a string or None.
    """
    found: list[BaseException | str] = []
    for one in (value or ()) if fans_out else (value,):
        kind = type(one)
        if issubclass(kind, BaseException):
            found.append(one)
        elif issubclass(kind, str):
            found += filter(None, [str.strip(one)])
        elif one is not None and one is not False:
            raise TypeError(f"expected an exception, a string or None, got {describe(one)}; add a step such as [*]")
    return found


def is_ignored(error: BaseException, names: Sequence[str]) -> bool:
    """Return whether the type of an exception, or one of its base classes, has one of several names.

    A name is `module:Name`, `module.Name` or `Name`. A name under which a loaded module exports the class counts too;
    nothing is imported.

    Args:
        error: The exception.
        names: The names.
    """
    for kind in type(error).__mro__:
        own = {kind.__qualname__, f"{kind.__module__}:{kind.__qualname__}", f"{kind.__module__}.{kind.__qualname__}"}
        if not own.isdisjoint(names) or any(_exported(name) is kind for name in names):
            return True
    return False


def _exported(name: str) -> Any:
    """Return what a loaded module has under a name such as `airflow.exceptions:AirflowSkipException`."""
    module, _, attribute = name.replace(":", ".").rpartition(".")
    return getattr(sys.modules.get(module), "__dict__", {}).get(attribute)
