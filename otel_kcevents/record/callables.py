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
from typing import Any

__all__ = ["ROUTINES", "body_of", "is_async_generator", "is_coroutine", "is_generator", "name_of", "unwrap_partial"]

ROUTINES = (
    *(FunctionType, MethodType, BuiltinFunctionType, MethodWrapperType),
    *(MethodDescriptorType, ClassMethodDescriptorType, WrapperDescriptorType),
)
"""The types of functions and methods; `inspect.isroutine` also accepts objects that bind, such as caches."""


def unwrap_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a partial, or a partial of one, calls."""
    while isinstance(function, partial):
        function = function.func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function, of a partial's function, or of a callable object's class."""
    function = unwrap_partial(function)
    return getattr(function, "__qualname__", type(function).__qualname__)


def body_of(function: Callable[..., Any]) -> tuple[Callable[..., Any], int]:
    """Return the function that holds the code of a callable, and how many of its arguments are bound already.

    Args:
        function: A function or a method, which holds its own code; a partial, whose function holds it; or an object,
            whose `__call__` holds it.
    """
    function = unwrap_partial(function)
    if inspect.ismethod(function):
        body, bound = body_of(function.__func__)
        return body, bound + 1
    call = None if isinstance(function, ROUTINES) else inspect.getattr_static(type(function), "__call__")
    if isinstance(call, property):
        return body_of(call.__get__(function))
    if call is None or isinstance(call, WrapperDescriptorType) or inspect.iscoroutinefunction(function):
        return function, 0  # it is written in C, or marked as a coroutine function
    return body_of(call.__get__(function, type(function)) if hasattr(call, "__get__") else call)


def is_coroutine(function: Callable[..., Any]) -> bool:
    """Return whether a callable is a coroutine function, or a generator that `types.coroutine` marked as one."""
    body, _ = body_of(function)
    flags = getattr(getattr(body, "__code__", None), "co_flags", 0)
    # types.coroutine sets a flag of the code, which `inspect` ignores.
    return inspect.iscoroutinefunction(body) or bool(flags & inspect.CO_ITERABLE_COROUTINE)


def is_async_generator(function: Callable[..., Any]) -> bool:
    """Return whether a call returns an async generator, which has no result."""
    return inspect.isasyncgenfunction(body_of(function)[0])


def is_generator(function: Callable[..., Any]) -> bool:
    """Return whether a call returns a generator or an async generator."""
    return is_async_generator(function) or (
        inspect.isgeneratorfunction(body_of(function)[0]) and not is_coroutine(function)
    )
