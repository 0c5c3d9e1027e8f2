"""`fields_of`: the readers of the window and the size of a function's calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_kcevents.record.callables import is_generator
from otel_kcevents.record.extract import FieldReader, size_reader
from otel_kcevents.record.paths import argument_reader
from otel_kcevents.record.recorder import Recorder
from otel_kcevents.record.sizes import first_size, result_size
from otel_kcevents.record.windows import window_reader

__all__ = ["fields_of"]


def fields_of(
    recorder: Recorder, function: Callable[..., Any], window: Any = None, size: Any = None
) -> tuple[FieldReader | None, FieldReader | None]:
    """Return the readers of the window and the size of a function's calls; None for a field that it does not have.

    Args:
        recorder: The recorder of the operation.
        function: The function, whose signature must be complete; not a partial of one.
        window: A path, a function of the `Call`, a reader, or None for the default.
        size: A path, a function of the `Call`, False for no size, or None for the default.

    Raises:
        TypeError: A path or a function does not suit *function*.
    """
    window_field = window if isinstance(window, FieldReader) else window_reader(window, function)
    if size is not None:
        size_field = size_reader(size, function)
        if recorder.operation == "save" and size_field.argument and size_field.when == "after":
            size_field = size_field._replace(when="before")  # a save may empty what it saves, a load fills it
        return window_field, size_field
    if not recorder.is_sized or is_generator(function):
        return window_field, None
    if recorder.operation != "save":
        return window_field, FieldReader(result_size)
    holder = (window_field and window_field.argument) or "window"
    whole = argument_reader(holder, function) if window_field and window_field.is_part else None
    return window_field, FieldReader(first_size(function, holder, whole), "before")
