"""From an entry of a mapping to what records the calls of one function."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from otel_kcevents.plugin.calls import function_counts
from otel_kcevents.plugin.mapping import Entry
from otel_kcevents.record.fields import fields_of
from otel_kcevents.record.late import Recording
from otel_kcevents.record.recorder import CallRecorder, Recorder
from otel_kcevents.record.target import default_target
from otel_kcevents.record.wrappers import recording_of

__all__ = ["record_calls"]


def record_calls(entry: Entry, function: FunctionType, original: Callable[..., Any]) -> Recording:
    """Return the function that a shim of *function* calls: it calls *original*, and records the call.

    Args:
        entry: The entry that names the function.
        function: The function, whose signature the paths of the entry are compiled for.
        original: A function with the original code.

    Raises:
        TypeError: A path or an option does not suit the function.
    """
    assert entry.etl is not None
    assert entry.set_name is not None
    assert entry.operation is not None
    target = default_target(entry.etl, entry.set_name)
    options = entry.options
    recorder = Recorder(target, entry.operation)
    window, size = fields_of(
        recorder, original, options.window and options.window.path, options.size and options.size.path
    )
    name = f"{function.__module__}.{function.__qualname__}"
    counts = function_counts(entry, function)
    calls = CallRecorder(target, entry.operation, name, window, size, counts=counts)
    return recording_of(original, calls, ((target.log, target.etl, entry.operation),), (_again, (entry, original)))


def _again(entry: Entry, original: Any) -> Any:
    return record_calls(entry, original, original)
