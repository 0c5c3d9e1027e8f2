"""Where a call's window and size come from: paths, functions of the call, and the defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, NamedTuple

from otel_kcevents.model.messages import short_repr
from otel_kcevents.record.callables import name_of
from otel_kcevents.record.paths import Path, compile_path
from otel_kcevents.record.signatures import Args, Extractor, Kwargs, signature_of
from otel_kcevents.record.sizes import add_size, to_size

__all__ = ["Call", "FieldReader", "size_reader", "source_reader"]


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


class FieldReader(NamedTuple):
    """Reads the window or the size of a call.

    Attributes:
        read: Reads the field: an integer for a size, anything that `Window.of` converts for a window, or None.
        when: `before` the call begins, `after` it has returned, before and after it for the `growth` of a size, or for
            each `item` of a generator, with the item as the result; `sizes.add_size` and `windows.cover` combine the
            values of the items.
        argument: The name of the argument that the field is read from; None if it is read from something else.
        again: Whether a field that is missing before the call is read again after the call.
        is_part: Whether it is read from an attribute of the argument.
    """

    read: Extractor
    when: Literal["before", "after", "growth", "item"] = "after"
    argument: str | None = None
    again: bool = False
    is_part: bool = False


def size_reader(source: str | Callable[[Call], Any] | Literal[False], function: Callable[..., Any]) -> FieldReader:
    """Return a reader of a call's size; if a path has several (`[*]`), it reads their sum.

    Args:
        source: A path, a function of the call, or False for no size. With a `+` before a path, the size is how much the
            value grows during the call.
        function: The function that is called, not a partial of one.

    Raises:
        TypeError: *source* is not a path or a function, or names something that a call of *function* does not have.
    """
    if source is False:
        return FieldReader(lambda args, kwargs, result: None, "before")
    grows = isinstance(source, str) and source.startswith("+")
    source = source[1:] if isinstance(source, str) and grows else source
    read, path = source_reader(source, function, lambda sizes: reduce(add_size, sizes, 0))
    if grows and path is not None and path.root in ("return", "yield"):
        raise TypeError(f"{short_repr(f'+{source}')} cannot be read before the call; use a path from an argument")

    def read_size(args: Args, kwargs: Kwargs, result: Any) -> int | None:
        value = read(args, kwargs, result)
        return None if value is None else to_size(value)

    argument = path.name if path is not None and path.root == "argument" else None
    is_item = path is not None and path.root == "yield"
    return FieldReader(read_size, "growth" if grows else "item" if is_item else "after", argument)


def source_reader(
    source: Any, function: Callable[..., Any], combine: Callable[[list[Any]], Any]
) -> tuple[Extractor, Path | None]:
    """Return a reader of the value that `window=` or `size=` names, and its path; None if it is a function of the call.

    Args:
        source: A path or a function of the call.
        function: The function that is called, not a partial of one.
        combine: Combines the values if a path has several (`[*]`).

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

    known = signature_of(function)

    def read(args: Args, kwargs: Kwargs, result: Any) -> Any:
        if known.positions != "known" and not args:  # a wrapper may pass other values than the defaults
            return source(Call(function, dict(kwargs), result))
        known.check_positions(args, kwargs)
        if known.positions == "passed":
            return source(Call(function, signature.bind_partial(*args, **kwargs).arguments, result))
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return source(Call(function, bound.arguments, result))

    return read
