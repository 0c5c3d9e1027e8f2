"""Where a call's window and size come from: paths, functions of the call, and the defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import index
from typing import Any, Literal

from otel_kcevents.model.event import MAX_SIZE
from otel_kcevents.model.messages import short_repr
from otel_kcevents.record.callables import name_of
from otel_kcevents.record.paths import Args, Extractor, Kwargs, Path, compile_path, parameters_of

__all__ = [
    "Call",
    "Extractor",
    "FieldReader",
    "add_size",
    "first_size",
    "result_size",
    "size_reader",
    "source_reader",
    "to_size",
]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a decorated function; a function given as `window=` or `size=` is called with it.

    Attributes:
        function: The function that was called.
        arguments: The arguments by name, with the defaults filled in.
        result: What the call returned (for a generator, its return value); None if it has not returned.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    result: Any = None


@dataclass(frozen=True, slots=True)
class FieldReader:
    """Reads the window or the size of a call.

    Attributes:
        read: Reads the field: an integer for a size, anything that `Window.of` converts for a window, or None.
        when: `before` the call begins, `after` it has returned, or for each `item` of a generator, with the item as the
            result; `add_size` and `windows.cover` combine the values of the items.
        argument: The name of the argument that the field is read from; None if it is read from something else.
        again: Whether a field that is missing before the call is read again after it.
    """

    read: Extractor
    when: Literal["before", "after", "item"] = "after"
    argument: str | None = None
    again: bool = False


_NOT_SETS = (str, bytes, bytearray)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def to_size(value: Any) -> int:
    """Return the number of records that a value means.

    Args:
        value: An integer, or a set, whose `len()` is taken.

    Raises:
        TypeError: The value is neither.
        ValueError: The integer is negative or more than `MAX_SIZE`.
    """
    if hasattr(value, "__len__") and not isinstance(value, _NOT_SETS):
        return len(value)
    if isinstance(value, (bool, *_NOT_SETS)):
        raise TypeError(f"{short_repr(value)} is not a size; expected an integer or something with len()")
    size = index(value)
    if not 0 <= size <= MAX_SIZE:
        raise ValueError(f"{short_repr(size)} is not a size; expected an integer from 0 to {MAX_SIZE}")
    return size


def add_size(total: int, value: Any) -> int:
    """Return a total with another size added.

    Args:
        total: The sum of the sizes so far.
        value: Anything that `to_size` converts; None adds nothing.

    Raises:
        TypeError: The value is not a size.
        ValueError: The value or the sum is negative or more than `MAX_SIZE`.
    """
    return total if value is None else to_size(total + to_size(value))


def size_reader(source: str | Callable[[Call], Any], function: Callable[..., Any]) -> FieldReader:
    """Return a reader of a call's size; if a path has several (`[*]`), it reads their sum.

    Args:
        source: A path or a function of the call.
        function: The function that is called, not a partial of one.

    Raises:
        TypeError: *source* is not a path or a function, or names something that a call of *function* does not have.
    """
    read, path = source_reader(source, function, lambda sizes: reduce(add_size, sizes, 0))

    def read_size(args: Args, kwargs: Kwargs, result: Any) -> int | None:
        value = read(args, kwargs, result)
        return None if value is None and path is not None else to_size(value)

    argument = path.name if path is not None and path.root == "argument" else None
    return FieldReader(read_size, "item" if path is not None and path.root == "yield" else "after", argument)


def source_reader(
    source: Any, function: Callable[..., Any], combine: Callable[[list[Any]], Any]
) -> tuple[Extractor, Path | None]:
    """Return a reader of what `window=` or `size=` names, and the path, or None if it is a function of the call.

    Args:
        source: A path or a function of the call.
        function: The function that is called, not a partial of one.
        combine: Combines the values of a path that has several (`[*]`).

    Raises:
        TypeError: *source* is not a path or a function, or names something that a call of *function* does not have.
    """
    if callable(source):
        return _from_call(source, function), None
    if not isinstance(source, str):
        raise TypeError(
            f"{short_repr(source)} is not a path or a function of the call; write a path like 'result.rows'"
        )
    path = compile_path(source, function)

    def read_all(args: Args, kwargs: Kwargs, result: Any) -> Any:
        values = path.read(args, kwargs, result)
        return None if values is None else combine(values)

    return read_all if path.fans_out else path.read, path


def _from_call(source: Callable[[Call], Any], function: Callable[..., Any]) -> Extractor:
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function in C may have no signature
        raise TypeError(f"{name_of(function)} has no signature; use a path instead of {source!r}") from None

    def read(args: Args, kwargs: Kwargs, result: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return source(Call(function, bound.arguments, result))

    return read


def result_size(args: Args, kwargs: Kwargs, result: Any) -> Any:
    """Return the number of records in what a call returned.

    Raises:
        TypeError: The result has no `len()`, or is a string.
    """
    return to_size(result) if isinstance(result, _NOT_SETS) else len(result)


def first_size(function: Callable[..., Any], window: str) -> Extractor:
    """Return a reader of the size of a call's first argument that is a set.

    It is used before the call, because a save may empty what it saves. A set is anything with a `len()` except a
    string, a pair of datetimes or dates, `self` or `cls`, and the window.

    Args:
        function: The function that is called, not a partial of one.
        window: The name of the argument that holds the window.
    """
    parameters, _ = parameters_of(function)
    names = list(parameters)
    own = bool(names) and names[0] in ("self", "cls")
    skipped = names.index(window) if window in names and parameters[window].kind in _POSITIONAL else -1
    defaults = [(at, name) for at, name in enumerate(names) if name != window and _is_set(parameters[name].default)]

    def read(args: Args, kwargs: Kwargs, result: Any) -> int:
        for position in range(own, len(args)):
            if position != skipped and _is_set(args[position]):
                return len(args[position])
        for name in (*names, *kwargs):
            if name in kwargs and name != window and _is_set(kwargs[name]):
                return len(kwargs[name])
        for at, name in defaults:
            if at >= len(args) and name not in kwargs:
                return len(parameters[name].default)
        raise TypeError("no argument has a len(); name one with size=")

    return read


def _is_set(value: Any) -> bool:
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(end, date) for end in value):
        return False
    return hasattr(value, "__len__") and not isinstance(value, (*_NOT_SETS, type))
