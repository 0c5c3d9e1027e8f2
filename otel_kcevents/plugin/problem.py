"""`Problem`: a mistake in a mapping, with its place and the nearest valid name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingType
from typing import Any, NamedTuple, TypeAlias

from otel_kcevents.model.messages import short_repr

__all__ = ["OptionError", "Problem", "Report", "check_keys", "hint"]

Report: TypeAlias = Callable[[str, str], None]
"""Takes a mistake: the key that it is about, such as `window.format`, and the message."""


class Problem(NamedTuple):
    """A mistake in a mapping.

    Attributes:
        place: The file and the place in it, such as `kcevents.toml: functions[2].window (costs.etl:save)`.
        message: What was expected, the value and the remedy.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class OptionError(TypeError):
    """An option of an entry does not suit a function.

    Args:
        key: The key of the option, such as `window`.
        message: What was expected, the value and the remedy.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key: str = key


def hint(value: object, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known name, or all known names.

    Args:
        value: The unknown name, or another value in its place.
        known: The known names.
    """
    import difflib  # only for a message: it takes 2 ms

    names = list(known)
    near = difflib.get_close_matches(value, names, 1) if isinstance(value, str) and len(value) < 200 else []
    if near:
        return f"did you mean {near[0]!r}?"
    return f"expected {names[0]}" if len(names) == 1 else f"expected one of {', '.join(names)}"


def check_keys(table: MappingType[Any, Any], known: Iterable[str], report: Report, prefix: str = "") -> None:
    """Report the keys of a table that are not known.

    Args:
        table: The table.
        known: The known keys.
        report: Takes each mistake.
        prefix: What precedes the key in its place, such as `window.`.
    """
    for key in table:
        if key not in known:
            report(
                f"{prefix}{key if isinstance(key, str) else 'a key'}",
                f"{short_repr(key)} is not a key; {hint(key, known)}",
            )
