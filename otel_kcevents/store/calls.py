"""`CallCounts`: how often each function of a mapping was called in this process, and what its events lack.

A count is exact without a lock: CPython switches threads and runs signal handlers only at calls and jumps, never inside
`x.y += 1`. A forked child starts at zero.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["CallCounts", "Calls", "all_calls", "all_counts", "counts_of", "retire_counts"]


class Calls(NamedTuple):
    """The calls of one function that one entry of a mapping names.

    Attributes:
        entry: The place of the entry, such as `kcevents.toml: functions[2] (costs.etl:save)`.
        function: The module and the qualified name of the function.
        calls: How many calls began.
        events: How many events they recorded. An ignored call has none, and neither has a computation that succeeds.
        errors: How many of the events report a failure.
        sizes_missing: How many of the events should have a size and have none.
        windows_missing: How many of the events have no window. Those of failures count only if the window is read when
            the call begins.
    """

    entry: str
    function: str
    calls: int
    events: int
    errors: int
    sizes_missing: int
    windows_missing: int


class CallCounts:
    """Counts the calls of one function that one entry of a mapping names; get it from `counts_of()`.

    Attributes:
        entry: The place of the entry, such as `kcevents.toml: functions[2] (costs.etl:save)`.
        function: The module and the qualified name of the function.
        has_size: Whether its events should have a size, if their kind has one.
        is_active: Whether the function is instrumented; otherwise the counts are not listed.
        calls: How many calls began.
        events: How many events they recorded.
        errors: How many of the events report a failure.
        sizes_missing: How many of the events should have a size and have none.
        windows_missing: How many of the events should have a window and have none.
        write_soon: Writes the counts to the journal soon; called after a call without an event.
    """

    __slots__ = (
        *("calls", "entry", "errors", "events", "function", "has_size", "is_active", "sizes_missing"),
        *("windows_missing", "write_soon"),
    )

    calls: int
    entry: str
    errors: int
    events: int
    function: str
    has_size: bool
    is_active: bool
    sizes_missing: int
    windows_missing: int
    write_soon: Callable[[], object]

    def __init__(self, entry: str, function: str, has_size: bool, write_soon: Callable[[], object]) -> None:
        self.entry = entry
        self.function = function
        self.has_size = has_size
        self.is_active = False
        self.write_soon = write_soon
        self.start_anew()

    def start_anew(self) -> None:
        """Set all counts to zero."""
        self.calls = 0
        self.events = 0
        self.errors = 0
        self.sizes_missing = 0
        self.windows_missing = 0

    def read(self) -> Calls:
        """Return the current counts; there are never more events than calls."""
        windows_missing, sizes_missing, errors = self.windows_missing, self.sizes_missing, self.errors
        events = self.events  # after the counts of some of them, and before the calls, which are counted first
        return Calls(self.entry, self.function, self.calls, events, errors, sizes_missing, windows_missing)


_counts: dict[tuple[str, str], CallCounts] = {}


def counts_of(
    entry: str, function: str, has_size: bool = True, write_soon: Callable[[], object] = lambda: None
) -> CallCounts:
    """Return the counts of a function for an entry of a mapping; the object is the same until the process ends.

    They are not listed before `is_active` is set.

    Args:
        entry: The place of the entry.
        function: The module and the qualified name of the function.
        has_size: Whether its events should have a size, if their kind has one.
        write_soon: Writes the counts to the journal soon; called after a call without an event.
    """
    key = entry, function
    counts = _counts.get(key) or _counts.setdefault(key, CallCounts(entry, function, has_size, write_soon))
    counts.has_size = has_size
    return counts


def all_counts() -> list[CallCounts]:
    """Return the counts of all instrumented functions of this process, including those that were not called."""
    return [counts for counts in list(_counts.values()) if counts.is_active]


def retire_counts() -> None:
    """Omit the current counts from lists and journals, because the functions are no longer instrumented.

    If a function is instrumented again, its counts continue: a journal may have the earlier ones.
    """
    for counts in all_counts():
        counts.is_active = False


def all_calls() -> list[Calls]:
    """Return the calls of all instrumented functions of this process, by entry and function."""
    return [counts.read() for counts in all_counts()]


def _after_fork_in_child() -> None:
    for counts in list(_counts.values()):
        counts.start_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
