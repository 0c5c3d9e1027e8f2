"""`Changes`: what the plugin has changed in the program, for which entry, and how to undo it."""

from __future__ import annotations

from types import FunctionType
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.record.proxy import RecordedCallable

__all__ = ["Change", "Changes"]


class Change(Protocol):
    """A change to the program."""

    @property
    def is_alive(self) -> bool:
        """Whether there is something to undo."""

    def undo(self) -> None:
        """Undo it."""


class Changes:
    """What the plugin has changed in the program. It does not keep the functions of unloaded modules alive."""

    def __init__(self) -> None:
        self._changes: dict[Change, None] = {}  # in their order
        self._claims: WeakKeyDictionary[Any, dict[tuple[int, str], object]] = WeakKeyDictionary()
        self._recorded: WeakKeyDictionary[FunctionType, dict[object, int]] = WeakKeyDictionary()
        self._made: WeakKeyDictionary[FunctionType, None] = WeakKeyDictionary()

    def add(self, change: Change) -> None:
        """Remember a change.

        Args:
            change: The change.
        """
        self._changes[change] = None

    def add_made(self, function: FunctionType) -> None:
        """Remember a function that the plugin has made: a copy, or one in the place of an attribute.

        Args:
            function: The function.
        """
        self._made[function] = None

    def claim(self, entry: int, holder: Any, attribute: str = "") -> bool:
        """Claim a function or an attribute for an entry. Return True the first time, to one thread only.

        Args:
            entry: The number of the entry.
            holder: The function, or the module or the class of the attribute.
            attribute: The name of the attribute.
        """
        token = object()
        return self._claims.setdefault(holder, {}).setdefault((entry, attribute), token) is token

    def first_to_record(self, entry: int, calls: object, function: FunctionType) -> int:
        """Return the number of the first entry that records the same calls of a function, which may be the entry.

        Args:
            entry: The number of the entry.
            calls: A key for the calls and for what they are recorded as, as `Entry.calls` returns it.
            function: The function.
        """
        return self._recorded.setdefault(function, {}).setdefault(calls, entry)

    def has_made(self, value: Any) -> bool:
        """Return whether the plugin has made a function, or an object that calls it.

        Args:
            value: The value.
        """
        function = value.__call__ if issubclass(type(value), RecordedCallable) else value
        return type(function) is FunctionType and function in self._made

    def forget_dead(self) -> None:
        """Forget the changes of functions that no longer exist."""
        for change in [change for change in list(self._changes) if not change.is_alive]:
            self._changes.pop(change, None)

    def undo(self) -> None:
        """Undo all changes, the last one first. Never raises."""
        while self._changes:
            change, _ = self._changes.popitem()
            try:
                change.undo()
            except Exception as error:
                _logger.warning("a change to the program cannot be undone: %s", error_message(error))
