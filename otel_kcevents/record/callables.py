"""Properties of a callable, behind partials and in callable objects: its name, its code, and what a call returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any, Literal, TypeAlias, TypeGuard

__all__ = [
    "ROUTINES",
    "Shape",
    "body_of",
    "is_async_generator",
    "is_coroutine",
    "is_generator",
    "is_partial",
    "name_of",
    "shape_of",
    "unwrap_partial",
]

ROUTINES = (
    *(FunctionType, MethodType, BuiltinFunctionType, MethodWrapperType),
    *(MethodDescriptorType, ClassMethodDescriptorType, WrapperDescriptorType),
)
"""The types of functions and methods; `inspect.isroutine` also accepts proxies, and objects that bind."""

Shape: TypeAlias = Literal["plain", "coroutine", "generator", "async generator"]
"""The kind of result that a call of a function returns."""


def is_partial(function: object) -> TypeGuard[partial[Any]]:
    """Return whether an object is a partial, not a proxy that claims to be one."""
    return issubclass(type(function), partial)


def unwrap_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a partial, or a partial of one, calls."""
    while is_partial(function):
        function = function.func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function, of a partial's function, or of a callable object's class."""
    function = unwrap_partial(function)
    return getattr(function, "__qualname__", type(function).__qualname__)


def body_of(function: Callable[..., Any]) -> tuple[Callable[..., Any], int]:
    """Return the function with the code that a callable runs, and the number of its arguments that are already bound.

    Args:
        function: A function, a method, a partial, or an object with `__call__`.
    """
    function = unwrap_partial(function)
    if type(function) is MethodType:
        body, bound = body_of(function.__func__)
        return body, bound + 1
    if type(function) in ROUTINES:
        return function, 0
    call = inspect.getattr_static(type(function), "__call__")
    if type(call) is WrapperDescriptorType:  # it is written in C
        return function, 0
    return body_of(call.__get__(function, type(function)) if hasattr(call, "__get__") else call)


def shape_of(function: Callable[..., Any]) -> Shape:
    """Return the kind of result that a call of a callable returns.

    Args:
        function: The function, method, partial or callable object.
    """
    if is_async_generator(function):
        return "async generator"
    return "coroutine" if is_coroutine(function) else "generator" if is_generator(function) else "plain"


def is_coroutine(function: Callable[..., Any]) -> bool:
    """Return whether a callable is a coroutine function, or a generator that `types.coroutine` marked as one."""
    return bool(_flags_of(function) & (inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE))


def is_async_generator(function: Callable[..., Any]) -> bool:
    """Return whether a call returns an async generator, which has no result."""
    return bool(_flags_of(function) & inspect.CO_ASYNC_GENERATOR)


def is_generator(function: Callable[..., Any]) -> bool:
    """Return whether a call returns a generator or an async generator."""
    return is_async_generator(function) or (
        bool(_flags_of(function) & inspect.CO_GENERATOR) and not is_coroutine(function)
    )


def _flags_of(function: Callable[..., Any]) -> int:
    """Return the flags of a callable's code. The `__code__` of an object is ignored: it may be that of any function."""
    body, _ = body_of(function)
    return body.__code__.co_flags if type(body) is FunctionType else 0
