"""Properties of a callable, behind partials and in callable objects: its name, its code, and what a call returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["body_of", "is_async_generator", "is_coroutine", "is_generator", "name_of", "unwrap_partial"]


def unwrap_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a partial, or a partial of one, calls."""
    while isinstance(function, partial):
        function = function.func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function, of a partial's function, or of a callable object's class."""
    function = unwrap_partial(function)
    return getattr(function, "__qualname__", type(function).__qualname__)


def body_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that holds the code of a callable: behind partials, and in the `__call__` of an object."""
    function = unwrap_partial(function)
    if inspect.isroutine(function) or inspect.iscoroutinefunction(function):
        return function
    return body_of(type(function).__call__)


def is_coroutine(function: Callable[..., Any]) -> bool:
    """Return whether a callable is a coroutine function, or a generator that `types.coroutine` marked as one."""
    body = body_of(function)
    flags = getattr(getattr(body, "__code__", None), "co_flags", 0)
    # types.coroutine sets a flag of the code, which `inspect` ignores.
    return inspect.iscoroutinefunction(body) or bool(flags & inspect.CO_ITERABLE_COROUTINE)


def is_async_generator(function: Callable[..., Any]) -> bool:
    """Return whether a call returns an async generator, which has no result."""
    return inspect.isasyncgenfunction(body_of(function))


def is_generator(function: Callable[..., Any]) -> bool:
    """Return whether a call returns a generator or an async generator."""
    return is_async_generator(function) or (
        inspect.isgeneratorfunction(body_of(function)) and not is_coroutine(function)
    )
