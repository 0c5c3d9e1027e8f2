"""The path language, which names a value of a call, compiled to readers when a function is decorated.

    path := root step*
    root := an argument | return (alias result) | yield | kept.NAME | env.NAME
    step := .name | [0], [-1] | [key] | [*]

An argument takes precedence over a root of the same name. `return` is the result of the call, `yield` each item that a
generator yields, `kept.NAME` a value that an earlier call of the same context kept (see `keep`), `env.NAME` an
environment variable at the time of the call (None if unset or empty). In brackets, digits with an optional minus are
an integer, anything else is a string key. `[*]` applies the following steps to each item of a sized collection, or to
each value of a mapping, and the path reads a list without the Nones; a second `[*]` flattens it. A step from None
reads None.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextvars import ContextVar
from itertools import chain
from keyword import iskeyword
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from otel_kcevents.model.messages import short_repr
from otel_kcevents.record.callables import is_async_generator, is_generator, name_of
from otel_kcevents.record.set_types import role_of
from otel_kcevents.record.signatures import Args, Extractor, Kwargs, Signature, signature_of

__all__ = ["Path", "Root", "argument_reader", "compile_path", "keep", "root_of"]

Root: TypeAlias = Literal["argument", "return", "yield", "kept", "env"]
"""What a path starts from."""

_Step: TypeAlias = tuple[str, Any]  # "name", "index", "key" or "each", and its value

_ROOTS: dict[str, Root] = {"return": "return", "result": "return", "yield": "yield", "kept": "kept", "env": "env"}
_NAME = r"(?P<name>(?!\d)(?:\w|[^\x00-\x7f])+)"  # \w does not match combining characters
_STEP = rf"\.{_NAME}|\[(?:(?P<index>-?[0-9]+)|(?P<each>\*)|(?P<key>(?!['\"])[^\[\]]+))\]"

_NOT_COLLECTIONS = (str, bytes, bytearray, Iterator)

_kept: ContextVar[Mapping[str, Any]] = ContextVar("otel_kcevents_kept", default=MappingProxyType({}))


class Path(NamedTuple):
    """A path, compiled for one function.

    Attributes:
        root: What it starts from.
        name: The first name in it: for the root `argument`, the argument's.
        read: Reads the value from a call. For the root `yield`, call it for each item, with the item as the result.
        fans_out: Whether the value is a list, because the path has a `[*]`.
    """

    root: Root
    name: str
    read: Extractor
    fans_out: bool


def keep(name: str, value: Any) -> None:
    """Keep a value as `kept.NAME` for later calls in the same context: this thread, asyncio task or `Context`.

    Args:
        name: The name in the path.
        value: The value.
    """
    _kept.set({**_kept.get(), name: value})  # a copy: other tasks may have inherited the old mapping


def argument_reader(name: str, function: Callable[..., Any]) -> Extractor | None:
    """Return a reader of one argument, or None if the function has no argument of that name.

    A required argument that a call does not pass is read as None, because the call itself fails. One of `**kwargs` that
    a call does not pass raises KeyError. An argument whose position a decorator hides raises TypeError, see
    `Signature.check_positions`.

    Args:
        name: The name of the argument.
        function: The function, not a partial of one.
    """
    signature = signature_of(function)
    parameters = signature.parameters
    if name not in parameters:
        return (lambda args, kwargs, result: kwargs[name]) if signature.takes_any else None
    parameter, position = parameters[name], list(parameters).index(name)
    if parameter.kind is parameter.VAR_KEYWORD:
        return lambda args, kwargs, result: {key: kwargs[key] for key in kwargs if key not in parameters}
    if signature.positions != "known":
        return _checked_reader(name, position if signature.is_positional(name) else sys.maxsize, signature)
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda args, kwargs, result: args[position:]
    if parameter.kind is parameter.KEYWORD_ONLY:
        position = sys.maxsize  # beyond the positional arguments of every call
    default = parameter.default
    if default is parameter.empty:
        return lambda args, kwargs, result: args[position] if position < len(args) else kwargs.get(name)
    return lambda args, kwargs, result: args[position] if position < len(args) else kwargs.get(name, default)


def _checked_reader(name: str, position: int, signature: Signature) -> Extractor:
    def read(args: Args, kwargs: Kwargs, result: Any) -> Any:
        if name in kwargs:
            return kwargs[name]
        signature.check_positions(args, kwargs)
        if position >= len(args):
            raise TypeError(f"the call does not pass {name}, and a decorator in between may add it; pass it by keyword")
        return args[position]

    return read


def compile_path(source: str, function: Callable[..., Any]) -> Path:
    """Compile a path for calls of a function.

    Args:
        source: The path, such as `config[params][0].rows`.
        function: The function, not a partial of one.

    Raises:
        TypeError: *source* is not a path, or starts from something that calls of the function do not have: an unknown
            argument, the items of a plain function, or the result of an async generator.
    """
    name, steps = _parse(source, lambda: f", for {_alternatives(function)}")
    argument = argument_reader(name, function)
    root: Root = _ROOTS.get(name, "argument")
    is_unnamed = root in ("kept", "env") and (not steps or steps[0][0] != "name")
    if name in signature_of(function).parameters or (is_unnamed and argument is not None):
        root = "argument"
    if root == "argument":
        if argument is None:
            raise TypeError(f"{name!r} in {source!r} is not an argument of {_alternatives(function, name)}")
        read = _after(argument, steps)
    elif root == "yield" and not is_generator(function):
        raise TypeError(f"{source!r} reads a generator's items, but {name_of(function)} is not a generator; use return")
    elif root == "return" and is_async_generator(function):
        raise TypeError(f"{source!r} reads a result, but {name_of(function)} is an async generator; use yield")
    elif root in ("return", "yield"):
        read = _after(_result, steps)
    elif is_unnamed:
        raise TypeError(f"{source!r} is not a path: {name} needs a name; write {name}.NAME")
    else:
        read = _after(_variable(root, steps[0][1]), steps[1:])
    if argument is not None and root != "argument" and not iskeyword(name):
        read = _keyword_first(name, _after(argument, steps), read)
    return Path(root, name, read, any(kind == "each" for kind, _ in steps))


def root_of(source: str) -> tuple[Root, str]:
    """Return what a path starts from, unless the function has an argument of that name, and the first name in it.

    Args:
        source: The path, such as `config[params][0].rows`.

    Raises:
        TypeError: *source* is not a path.
    """
    name, steps = _parse(source)
    root = _ROOTS.get(name, "argument")
    is_unnamed = root in ("kept", "env") and (not steps or steps[0][0] != "name")
    return "argument" if is_unnamed else root, name


def _parse(source: str, remedy: Callable[[], str] = str) -> tuple[str, list[_Step]]:
    """Return the first name of a path and its steps. *remedy* returns the end of the message of an error."""
    steps: list[_Step] = []
    position = 0
    while position < len(source) or not steps:
        match = re.compile(_STEP if steps else _NAME).match(source, position)
        if match is None or match.lastgroup is None:
            raise TypeError(
                f"{short_repr(source)} is not a path: cannot read {short_repr(source[position:])} "
                f"at position {position}; write it like 'config[params][0].rows'{remedy()}"
            )
        steps.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return steps[0][1], steps[1:]


def _alternatives(function: Callable[..., Any], name: str = "") -> str:
    """Return what a path for a function can start from, with a suggestion if *name* looks like a typo."""
    import difflib  # only for an error message: it takes 2 ms

    starts = list(signature_of(function).parameters)
    starts += ["return"] * (not is_async_generator(function)) + ["yield"] * is_generator(function)
    near = difflib.get_close_matches(name, [*starts, *_ROOTS], 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{name_of(function)}; {hint}a path starts from {', '.join(starts)}, kept.NAME or env.NAME"


def _result(args: Args, kwargs: Kwargs, result: Any) -> Any:
    return result


def _variable(root: Root, name: str) -> Extractor:
    if root == "kept":
        return lambda args, kwargs, result: _kept.get().get(name)
    return lambda args, kwargs, result: os.environ.get(name) or None


def _keyword_first(name: str, keyword: Extractor, otherwise: Extractor) -> Extractor:
    """Return a reader for a function with **kwargs, whose calls may pass an argument named like another root."""
    return lambda args, kwargs, result: (keyword if name in kwargs else otherwise)(args, kwargs, result)


def _after(root: Extractor, steps: Sequence[_Step]) -> Extractor:
    """Return a reader that applies the steps to what *root* reads."""
    if not steps:
        return root
    follow = _follow(steps)
    if root is _result:
        return lambda args, kwargs, result: follow(result)
    return lambda args, kwargs, result: follow(root(args, kwargs, result))


def _follow(steps: Sequence[_Step]) -> Callable[[Any], Any]:
    """Return a function that applies the steps to a value."""
    kinds = [kind for kind, _ in steps]
    if "each" in kinds:
        each = kinds.index("each")
        return _fan_out(_follow(steps[:each]), _follow(steps[each + 1 :]), "each" in kinds[each + 1 :])
    getters = [
        attrgetter(key) if kind == "name" else itemgetter(int(key) if kind == "index" else key) for kind, key in steps
    ]

    def follow(value: Any) -> Any:
        for getter in getters:
            if value is None:
                return None
            try:
                value = getter(value)
            except AttributeError as error:
                if not isinstance(value, dict):
                    raise
                key = error.name  # of the step, unless a subclass of dict has properties that raise
                raise AttributeError(
                    f"a {type(value).__qualname__} has no attribute {key!r}; write [{key}] for a key of it"
                ) from None
        return value

    return follow


def _fan_out(before: Callable[[Any], Any], after: Callable[[Any], Any], flatten: bool) -> Callable[[Any], Any]:
    def follow(value: Any) -> list[Any] | None:
        items = before(value)
        if items is None:
            return None
        role = role_of(type(items))
        if role == "lazy":
            problem = f"[*] cannot read a lazy collection or an iterator, got {type(items).__qualname__}"
            raise TypeError(f"{problem}; use a function of the call instead")
        if isinstance(items, Mapping):
            items = items.values()
        if not isinstance(items, Sized) or not isinstance(items, Iterable) or isinstance(items, _NOT_COLLECTIONS):
            raise TypeError(f"[*] reads the items of a list or another collection, got {type(items).__qualname__}")
        found = [value for value in map(after, items) if value is not None]
        return list(chain.from_iterable(found)) if flatten else found

    return follow
