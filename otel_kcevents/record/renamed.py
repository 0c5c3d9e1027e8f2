"""`RenamedFunction`: a decorated function that has the name of the undecorated one.

`pickle` finds a function by its name. After `tracked = allocation.load(load)`, the name `load` leads to the undecorated
function, so `pickle` would reject `tracked` if it were a function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

from otel_kcevents.record.late import Remade

__all__ = ["RenamedFunction", "is_found_as", "is_renamed"]

_OWN = frozenset(
    (
        *("__call__", "__copy__", "__deepcopy__", "__get__", "__reduce__", "__reduce_ex__"),
        *("_kcevents_function", "_kcevents_remade"),
    )
)


def is_found_as(value: Any, named: Any) -> bool:
    """Return whether the module and the qualified name of one object lead to another one.

    Args:
        value: The object to find.
        named: The object whose name is used.
    """
    found: Any = sys.modules.get(getattr(named, "__module__", None) or "")
    name = getattr(named, "__qualname__", None)
    for part in name.split(".") if isinstance(name, str) else ():
        found = getattr(found, part, None)
    return found is value


def is_renamed(function: Any) -> bool:
    """Return whether a decorated function has to be a `RenamedFunction`, because its name is already taken.

    Functions of a class are excluded, because methods are pickled by their object and their name.

    Args:
        function: The undecorated function.
    """
    is_global = "." not in function.__qualname__ and is_found_as(function, function)
    return is_global or issubclass(type(function), RenamedFunction)


class RenamedFunction:
    """Behaves like the decorated function, but is pickled as the undecorated function and the operation.

    If its name leads to it when it is pickled, as after `load = allocation.load(load)`, it is pickled by that name. For
    `inspect.isfunction` and `cloudpickle` it is a function.

    Args:
        function: The function that records.
        remade: The content of its pickle.
    """

    __slots__ = ("__weakref__", "_kcevents_function", "_kcevents_remade")

    _kcevents_function: Any
    _kcevents_remade: Remade

    def __init__(self, function: Callable[..., Any], remade: Remade) -> None:
        object.__setattr__(self, "_kcevents_function", function)
        object.__setattr__(self, "_kcevents_remade", remade)

    @property
    def __call__(self) -> Any:
        """The function that records a call."""
        return self._kcevents_function

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__
        return own(self, name) if name in _OWN else getattr(own(self, "_kcevents_function"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._kcevents_function, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._kcevents_function, name)

    def __dir__(self) -> list[str]:
        return dir(self._kcevents_function)

    def __repr__(self) -> str:
        return repr(self._kcevents_function)

    def __reduce__(self) -> str | Remade:
        name: str = self._kcevents_function.__qualname__
        return name if is_found_as(self, self._kcevents_function) else self._kcevents_remade

    def __copy__(self) -> RenamedFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RenamedFunction:
        return self
