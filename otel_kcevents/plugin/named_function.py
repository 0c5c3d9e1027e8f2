"""`NamedFunction`: a function that a mapping names as `module:function`, imported when it is first called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any

from otel_kcevents.model.messages import error_message, short_repr, type_name
from otel_kcevents.plugin.problem import hint

__all__ = ["NamedFunction", "find_function"]


@dataclass(frozen=True)
class NamedFunction:
    """A function that is imported at its first call, because its module may import the one that is being instrumented.

    Attributes:
        name: `module:function`; the function may be an attribute of a class.
    """

    name: str

    def __call__(self, value: Any) -> Any:
        """Return what the function returns.

        Raises:
            TypeError: There is no such function.
        """
        return find_function(self.name)(value)


def find_function(name: str) -> Callable[..., Any]:
    """Return a function by its name, and import its module.

    Args:
        name: `module:function`.

    Raises:
        TypeError: There is no such module or function, or the module cannot be imported; with the nearest name.
    """
    module_name, _, path = name.partition(":")
    found: Any = sys.modules.get(module_name) or _imported(module_name)
    if isinstance(found, str):
        raise TypeError(found)
    for part in path.split("."):
        holder, found = found, getattr(found, part, None)
        if found is None:
            raise TypeError(f"{short_repr(name)} does not exist: {part!r} is missing; {hint(part, dir(holder))}")
    if not callable(found):
        raise TypeError(f"{short_repr(name)} is not a function; name one that takes the call or the result")
    if iscoroutinefunction(found):
        raise TypeError(f"{short_repr(name)} is a coroutine function; name a function that returns the value itself")
    function: Callable[..., Any] = found
    return function


@cache  # also if the import fails: another attempt at each call would slow the program down
def _imported(name: str) -> ModuleType | str:
    """Import a module; if that fails, return why, because the program must not see the error."""
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        near = hint(name, sys.modules) if isinstance(error, ModuleNotFoundError) and error.name == name else ""
        remedy = f"; {near}" if near.startswith("did") else ""
        return f"{short_repr(name)} cannot be imported: {type_name(error)}: {error_message(error)}{remedy}"
