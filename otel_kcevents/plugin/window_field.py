"""`window_field`: reads the window of a call from what the `window` key of an entry names."""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import lru_cache, reduce
from typing import Any, Literal

from otel_kcevents.model.window import Window
from otel_kcevents.plugin.named_function import NamedFunction
from otel_kcevents.plugin.options import WindowOptions
from otel_kcevents.plugin.window_values import to_moment, to_window
from otel_kcevents.record.extract import FieldReader
from otel_kcevents.record.paths import Path, compile_path
from otel_kcevents.record.signatures import Args, Kwargs
from otel_kcevents.record.windows import cover, window_reader

__all__ = ["window_field"]


def window_field(options: WindowOptions, function: Callable[..., Any]) -> FieldReader:
    """Return a reader of a call's window.

    Args:
        options: Where the window comes from.
        function: The function that is called.

    Raises:
        TypeError: A path starts from something that calls of the function do not have.
    """
    if options.function is not None:
        field = window_reader(NamedFunction(options.function), function)
        assert field is not None
        return field
    if options.path is None:
        return _between(options, function)
    field = window_reader(options.path, function)
    assert field is not None
    if options != WindowOptions(path=options.path, read=options.read):
        path, convert = compile_path(options.path, function), _converter(options)

        def read(args: Args, kwargs: Kwargs, result: Any) -> Window | None:
            value = path.read(args, kwargs, result)
            return reduce(cover, map(convert, value or ()), None) if path.fans_out else convert(value)

        field = field._replace(read=read)
    if options.read is None or field.when == "item":
        return field
    _check_read(options, {"return"} if field.when == "after" else set())
    return field._replace(when=options.read, again=False)


def _check_read(options: WindowOptions, roots: Set[str]) -> None:
    if options.read == "before" and "return" in roots:
        raise TypeError("the result does not exist before the call; remove read")


def _converter(options: WindowOptions) -> Callable[[Any], Window | None]:
    """Return a function that converts the values of a path to windows."""
    if options.format is None and options.length is None:  # not cached: the meaning of `today` changes
        return lambda value: to_window(value, options)
    convert_text = lru_cache(maxsize=1024)(lambda text: to_window(text, options))
    return lambda value: convert_text(value) if type(value) is str else to_window(value, options)


def _between(options: WindowOptions, function: Callable[..., Any]) -> FieldReader:
    """Return a reader of a window from the paths to its start and its end; an end without a path is open."""
    start, end = [source and compile_path(source, function) for source in (options.start, options.end)]
    paths = [path for path in (start, end) if path]
    roots = {path.root for path in paths}
    if {"return", "yield"} <= roots:
        raise TypeError("the start and the end cannot come from an item and from the result; use yield for both")
    _check_read(options, roots)

    def read(args: Args, kwargs: Kwargs, result: Any) -> Window | None:
        first = _end_of(start, min, args, kwargs, result) if start else None
        last = _end_of(end, max, args, kwargs, result) if end else None
        return None if first is None and last is None else to_window((first, last), options)

    def _end_of(path: Path, choose: Any, args: Args, kwargs: Kwargs, result: Any) -> Any:
        value = path.read(args, kwargs, result)
        if not path.fans_out:
            return value
        return choose(value or (), key=lambda one: to_moment(one, options).ns, default=None)

    when: Literal["before", "after", "item"] = "after" if "return" in roots else options.read or "before"
    again = when == "before" and options.read is None
    argument = next((path.name for path in paths if path.root == "argument"), None)
    return FieldReader(read, "item" if "yield" in roots else when, argument, again)
