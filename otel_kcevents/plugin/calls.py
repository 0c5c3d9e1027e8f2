"""The call counts of functions that a mapping names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_kcevents.plugin.mapping import Entry
from otel_kcevents.plugin.options import SizeOptions
from otel_kcevents.record.callables import name_of
from otel_kcevents.store.calls import CallCounts, counts_of
from otel_kcevents.store.run_end import write_run_soon

__all__ = ["function_counts", "function_name", "module_of"]


def function_name(function: Callable[..., Any]) -> str:
    """Return the name under which calls of a function are counted, in the form of a target: `costs.etl:Loader.load`.

    In processes that multiprocessing has spawned, the main module is named `__mp_main__`; its functions count as those
    of `__main__`.

    Args:
        function: The function.
    """
    module = module_of(function)
    return f"{'__main__' if module == '__mp_main__' else module}:{name_of(function)}"


def module_of(function: Callable[..., Any]) -> str:
    """Return the name of the module of a function, or of the class of a callable object.

    Args:
        function: The function.
    """
    return getattr(function, "__module__", None) or "?"


def function_counts(entry: Entry, function: Callable[..., Any]) -> CallCounts:
    """Return the counts of a function's calls for an entry.

    Args:
        entry: The entry.
        function: The function.
    """
    has_size = entry.options.size != SizeOptions()
    return counts_of(entry.place, function_name(function), has_size, write_run_soon)
