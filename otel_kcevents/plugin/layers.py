"""Unwraps values without running any of their code: what an attribute holds, what that wraps, and so on."""

from __future__ import annotations

import sys
from functools import cached_property, partial, partialmethod, singledispatchmethod
from inspect import getattr_static
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

from otel_kcevents.record.renamed import RenamedFunction

__all__ = ["layers_of", "qualified_name"]

_MAX_LAYERS = 100


def qualified_name(function: FunctionType) -> str | None:
    """Return the qualified name in the `def` statement of a function; None if it is unknown, on Python 3.10.

    `functools.wraps` gives wrappers the name of the function that they wrap, but not its code.

    Args:
        function: The function.
    """
    code = function.__code__
    if sys.version_info >= (3, 11):
        return code.co_qualname
    name = function.__qualname__  # pragma: no cover - on Python 3.10
    return name if name.rpartition(".")[2] == code.co_name else None  # pragma: no cover - on Python 3.10


def layers_of(value: Any) -> list[Any]:
    """Return a value, what it wraps, what that wraps, and so on.

    A method, a property and a partial wrap their function; other objects wrap what is in `__wrapped__`.

    Args:
        value: The value of an attribute, as a module or a class holds it.
    """
    layers: list[Any] = []
    while value is not None and len(layers) < _MAX_LAYERS:
        layers.append(value)
        value = _wrapped_by(value)
    return layers


def _wrapped_by(value: Any) -> Any:
    kind = type(value)
    if kind is FunctionType:
        return value.__dict__.get("__wrapped__")
    if kind is RenamedFunction:
        return value._kcevents_function
    if issubclass(kind, (staticmethod, classmethod, MethodType)):
        return value.__func__
    if issubclass(kind, property):
        return value.fget
    if issubclass(kind, (partial, partialmethod, cached_property, singledispatchmethod)):
        return value.func
    if issubclass(kind, (type, ModuleType)):
        return None
    try:
        wrapped = getattr_static(value, "__wrapped__", None)
        if isinstance(wrapped, (MemberDescriptorType, GetSetDescriptorType)):  # of a class with slots, or in C
            return wrapped.__get__(value, kind)
    except Exception:  # a slot may be empty
        return None
    return None if isinstance(wrapped, property) else wrapped
