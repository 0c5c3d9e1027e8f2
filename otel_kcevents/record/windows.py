"""Where the window of a call comes from, and when it is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import reduce
from typing import Any, NamedTuple

from otel_kcevents.model.moments import end_to_ns
from otel_kcevents.model.window import Window
from otel_kcevents.record.extract import Call, FieldReader, source_reader
from otel_kcevents.record.paths import argument_reader
from otel_kcevents.record.signatures import Args, Extractor, Kwargs, signature_of

__all__ = ["PendingWindow", "cover", "window_reader"]

_PAIRS = (
    ("start", "end"),
    ("start_time", "end_time"),
    ("window_start", "window_end"),
    ("data_interval_start", "data_interval_end"),
)

_ABSENT = object()


class PendingWindow(NamedTuple):
    """A window that is read when the call ends.

    Attributes:
        now: The start of the call, in nanoseconds since 1970, which relative forms are relative to.
    """

    now: int


def cover(window: Window | None, value: Any) -> Window | None:
    """Return the smallest window that covers a window and another one; an open end stays open.

    Args:
        window: The window so far; None if there is none.
        value: Anything that `Window.of` converts; None adds nothing.

    Raises:
        TypeError: The value has an unsupported type.
        ValueError: The value is not a valid window.
    """
    if value is None:
        return window
    added = Window.of(value)
    if window is None or window == added:
        return added
    start = None if window.start_ns is None or added.start_ns is None else min(window.start_ns, added.start_ns)
    end = None if window.end_ns is None or added.end_ns is None else max(window.end_ns, added.end_ns)
    return Window.from_ns(start, end)


def window_reader(source: str | Callable[[Call], Any] | None, function: Callable[..., Any]) -> FieldReader | None:
    """Return a reader of a call's window. If a path has several (`[*]`), it reads the smallest window that covers them.

    A path to an argument, `kept` or `env` is read when the call begins, because the value may change during the call.
    If it is missing then, it is read again when the call ends, because the call may set it.

    Args:
        source: A path, a function of the call, or None for the argument named `window` or a pair of arguments such as
            `start` and `end`.
        function: The function that is called, not a partial of one.

    Returns:
        The reader, or None if *source* is None and the function has no such arguments.

    Raises:
        TypeError: *source* is not a path or a function, or names something that a call of *function* does not have.
    """
    if source is None:
        return _default_reader(function)
    read, path = source_reader(source, function, lambda windows: reduce(cover, windows, None))
    if path is None or path.root == "return":
        return FieldReader(read)
    if path.root == "yield":
        return FieldReader(read, "item")
    is_argument = path.root == "argument"
    is_part = is_argument and isinstance(source, str) and source.startswith(f"{path.name}.")
    again = not is_argument or source != path.name
    return FieldReader(read, "before", path.name if is_argument else None, again, is_part)


def _default_reader(function: Callable[..., Any]) -> FieldReader | None:
    signature = signature_of(function)  # read only once, because it takes longer than the rest of the decoration

    def optional_argument(name: str, absent: Any = None) -> Extractor | None:
        if name in signature.parameters:
            return argument_reader(name, function)
        return (lambda args, kwargs, result: kwargs.get(name, absent)) if signature.takes_any else None

    window, pairs = optional_argument("window"), []
    for first, last in _PAIRS:
        start, end = optional_argument(first, _ABSENT), optional_argument(last, _ABSENT)
        if start is not None and end is not None:
            pairs.append((start, end))
    if not pairs:
        return None if window is None else FieldReader(window, "before", "window")

    def read(args: Args, kwargs: Kwargs, result: Any) -> Any:
        value = None if window is None else window(args, kwargs, result)
        for start, end in pairs:
            if value is None:
                value = _between(start(args, kwargs, result), end(args, kwargs, result))
        return value

    return FieldReader(read, "before", "window" if "window" in signature.parameters else None)


def _between(start: Any, end: Any) -> Any:
    """Return the window between two arguments; None if they are not times, because they need not be a window.

    Raises:
        ValueError: The start is after the end.
    """
    if type(start) is type(end) is datetime:  # the usual case, which `Window.of` remembers
        return start, end
    if end is _ABSENT or (start is None and end is None):
        return None
    try:
        start_ns, end_ns = end_to_ns(start), end_to_ns(end)
    except Exception:
        return None
    return Window.from_ns(start_ns, end_ns)
