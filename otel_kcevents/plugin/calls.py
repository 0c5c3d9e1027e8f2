"""The call counts of functions that a mapping names."""

from __future__ import annotations

from types import FunctionType

from otel_kcevents.plugin.mapping import Entry
from otel_kcevents.plugin.options import SizeOptions
from otel_kcevents.store.calls import CallCounts, counts_of
from otel_kcevents.store.run_end import write_run_soon

__all__ = ["function_counts", "function_name"]


def function_name(function: FunctionType) -> str:
    """Return the name by which a function is counted: that of a target, such as `costs.etl:Loader.load`.

    Processes that multiprocessing has spawned call the main module `__mp_main__`; its functions count as those of
    `__main__`.

    Args:
        function: The function.
    """
    module = function.__module__ or "?"
    return f"{'__main__' if module == '__mp_main__' else module}:{function.__qualname__}"


def function_counts(entry: Entry, function: FunctionType) -> CallCounts:
    """Return what counts the calls of a function for an entry.

    Args:
        entry: The entry.
        function: The function.
    """
    has_size = entry.options.size != SizeOptions()
    return counts_of(entry.place, function_name(function), has_size, write_run_soon)
