"""Where a decorated call's window and size come from: paths, functions and defaults, made ready at decoration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from operator import attrgetter, index, itemgetter
from string import Formatter
from typing import Any, TypeAlias

from otel_kcevents.model.event import MAX_SIZE
from otel_kcevents.model.messages import short_repr

__all__ = [
    "Call",
    "Extractor",
    "Source",
    "argument_window",
    "bind_partial",
    "first_size",
    "name_of",
    "reader",
    "result_size",
    "size_reader",
    "to_size",
    "unwrap_partial",
]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a decorated function, as a function given for `window=` or `size=` sees it.

    `arguments` are by name, defaults filled in; `result` is what the call returned (a generator's return
    value), None while it has not returned.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    result: Any = None


Source: TypeAlias = str | Callable[[Call], Any] | None
"""Where a value comes from: a path in format-field syntax, a function of the call, None for the default."""

Extractor: TypeAlias = Callable[[tuple[Any, ...], Mapping[str, Any], Any], Any]
"""Reads a value from a call's positional arguments, keyword arguments and result."""

_NOT_SETS = (str, bytes, bytearray)


def to_size(value: Any) -> int:
    """A number of records: of a set its `len()`, a whole number as it is. Raises TypeError or ValueError."""
    if hasattr(value, "__len__") and not isinstance(value, _NOT_SETS):
        return len(value)
    if isinstance(value, (bool, *_NOT_SETS)):
        raise TypeError(f"{value!r} is no size; give a whole number or something with len()")
    size = index(value)
    if not 0 <= size <= MAX_SIZE:
        raise ValueError(f"{short_repr(size)} is no size; give a whole number from 0 to {MAX_SIZE}")
    return size


def reader(source: str | Callable[[Call], Any], function: Callable[..., Any]) -> Extractor:
    """What reads the value that `source` names from a call of `function`.

    Raises TypeError for what is neither text nor callable, a path that is none, or a name in it that is
    neither `result` nor an argument of the function.
    """
    if callable(source):
        return _from_call(source, function)
    if not isinstance(source, str):
        raise TypeError(
            f"{short_repr(source)} names no value; give a path such as 'result.rows' or a function of the call"
        )
    first, follow = _path(source)
    if first == "result":
        return lambda args, kwargs, result: follow(result)
    argument = _argument(first, function)
    if argument is None:
        names = ", ".join([*_parameters(function), "result"])
        raise TypeError(f"{first!r} in {source!r} is no argument of {name_of(function)}; it has {names}")
    return lambda args, kwargs, result: follow(argument(args, kwargs, result))


def _from_call(source: Callable[[Call], Any], function: Callable[..., Any]) -> Extractor:
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function in C may have no signature to read
        raise TypeError(f"{name_of(function)} tells no arguments; give a path instead of {source!r}") from None

    def read(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return source(Call(function, bound.arguments, result))

    return read


class _Steps:
    """Records what a path does to the value it starts from: the field syntax is read by Python itself."""

    def __init__(self) -> None:
        object.__setattr__(self, "taken", [])

    def __getattribute__(self, name: str) -> Any:
        object.__getattribute__(self, "taken").append(attrgetter(name))
        return self

    def __getitem__(self, key: int | str) -> Any:
        object.__getattribute__(self, "taken").append(itemgetter(key))
        return self


class _Names(dict[str, Any]):
    """A mapping that has every name, and remembers the one asked for."""

    def __missing__(self, name: str) -> _Steps:
        self[name] = steps = _Steps()
        return steps


def _path(path: str) -> tuple[str, Callable[[Any], Any]]:
    names = _Names()
    try:
        _, first = Formatter().get_field(path, (), names)
    except (ValueError, IndexError) as error:
        raise TypeError(f"{path!r} is no path: {error}; write it as in 'config[params][0].rows'") from None
    if not isinstance(first, str) or not first.isidentifier():
        raise TypeError(f"{path!r} is no path: it begins with no name; write it as in 'config[params][0].rows'")
    taken = object.__getattribute__(names[first], "taken")
    return first, partial(_follow, tuple(taken)) if taken else _same


def _follow(steps: tuple[Callable[[Any], Any], ...], value: Any) -> Any:
    for step in steps:
        value = step(value)
    return value


def _same(value: Any) -> Any:
    return value


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, of a partial's function, or of a callable object's class."""
    function = unwrap_partial(function)
    return getattr(function, "__qualname__", type(function).__qualname__)


def unwrap_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function behind partials."""
    while isinstance(function, partial):
        function = function.func
    return function


def bind_partial(function: Callable[..., Any], read: Extractor | None) -> Extractor | None:
    """A reader of the unwrap_partial function's arguments, for calls through partials that hold some of them."""
    if read is None or not isinstance(function, partial):
        return read
    held, keywords, inner = function.args, function.keywords, bind_partial(function.func, read)
    assert inner is not None
    return lambda args, kwargs, result: inner((*held, *args), {**keywords, **kwargs}, result)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (ValueError, TypeError):  # a function in C may have no signature to read, and may take anything
        return {"arguments": _ANYTHING}


def _argument(name: str, function: Callable[..., Any]) -> Extractor | None:
    """What reads one argument by its name; None where the function takes none of that name."""
    parameters = _parameters(function)
    parameter = parameters.get(name)
    if parameter is None:
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return (lambda args, kwargs, result: kwargs[name]) if takes_any else None
    position = list(parameters).index(name)
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda args, kwargs, result: args[position:]
    if parameter.kind is parameter.VAR_KEYWORD:
        return lambda args, kwargs, result: {key: kwargs[key] for key in kwargs if key not in parameters}
    if parameter.kind is parameter.KEYWORD_ONLY:
        position = _NOWHERE
    if parameter.default is parameter.empty:
        return lambda args, kwargs, result: args[position] if position < len(args) else kwargs[name]
    default = parameter.default
    return lambda args, kwargs, result: args[position] if position < len(args) else kwargs.get(name, default)


_ANYTHING = inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)
_NOWHERE = 1 << 30  # a position that no call fills


def argument_window(function: Callable[..., Any]) -> Extractor | None:
    """What reads the argument named `window`, None where a function has none; without one in a call, None."""
    read = _argument("window", function)
    parameter = _parameters(function).get("window")
    if read is None or parameter is not None:
        return read
    return lambda args, kwargs, result: kwargs.get("window")


def size_reader(source: str | Callable[[Call], Any], function: Callable[..., Any]) -> Extractor:
    """What reads the value that `source` names and makes it a size. Raises TypeError as `reader` does."""
    read = reader(source, function)
    return lambda args, kwargs, result: to_size(read(args, kwargs, result))


def result_size(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Any:
    """The size of what a call returned."""
    return to_size(result) if isinstance(result, _NOT_SETS) else len(result)


def first_size(function: Callable[..., Any], window: str) -> Extractor:
    """What reads the size of a call's first sized argument, before the call: a save may empty what it saves.

    A text is no set, nor is a pair of times, the method's own object, or the argument that the path `window`
    begins with.
    """
    parameters = _parameters(function)
    names, but = list(parameters), _path(window)[0]
    own = bool(names) and names[0] in ("self", "cls")
    skipped = names.index(but) if but in names and parameters[but].kind in _POSITIONAL else -1
    defaults = [(at, name) for at, name in enumerate(names) if name != but and _is_set(parameters[name].default)]

    def read(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> int:
        for position in range(own, len(args)):
            if position != skipped and _is_set(args[position]):
                return len(args[position])
        for name in (*names, *kwargs):
            if name in kwargs and name != but and _is_set(kwargs[name]):
                return len(kwargs[name])
        for at, name in defaults:
            if at >= len(args) and name not in kwargs:
                return len(parameters[name].default)
        raise TypeError("no argument has a len(); name one with size=")

    return read


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _is_set(value: Any) -> bool:
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(end, date) for end in value):
        return False
    return hasattr(value, "__len__") and not isinstance(value, (*_NOT_SETS, type))
