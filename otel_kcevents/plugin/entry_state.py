"""`EntryState`: what an entry of a mapping has matched so far, and why it has not matched more."""

from __future__ import annotations

from typing import NamedTuple

from otel_kcevents.plugin.mapping import Entry

__all__ = ["EntryState", "Matched"]


class Matched(NamedTuple):
    """A function that an entry has instrumented.

    Attributes:
        name: Its module and its qualified name, such as `costs.etl:save`.
        file: The path of the file with its code; None if it has no Python code.
        line: The first line of its code.
        is_in_place: Whether its code was exchanged, so that calls through every reference are recorded; otherwise an
            attribute was replaced, and only calls through that attribute are recorded.
    """

    name: str
    file: str | None = None
    line: int | None = None
    is_in_place: bool = True


class EntryState(NamedTuple):
    """What an entry has matched so far.

    Attributes:
        entry: The entry.
        modules: The names of the loaded modules that its target names.
        functions: The functions that it has instrumented.
        problems: Why it has not instrumented functions that it names, such as "costs.etl has no function svae; did you
            mean 'save'?" A warning was logged for each.
        notes: Why functions that it names were skipped on purpose, such as those that are already decorated.
    """

    entry: Entry
    modules: tuple[str, ...] = ()
    functions: tuple[Matched, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
