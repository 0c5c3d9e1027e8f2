"""Pickles of decorated callables, which are decorated again in the process that unpickles them.

A function that is pickled by value and refers to itself is unpickled in parts: first without its defaults and
attributes. A class is first unpickled without its methods. A callable is therefore decorated again only at its first
call, when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from otel_kcevents.record.shim import inner_of

__all__ = ["LateCallable", "Recording", "Remade"]

Remade: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function that recreates an object, and its arguments, as `__reduce__` returns them."""


class Recording(partial[Any]):
    """The function that the shim of a decorated callable calls. Its pickle omits the code and the state for recording.

    Attributes:
        marks: The operations that it records, the innermost first.
        remade: The content of its pickle.
    """

    marks: tuple[Any, ...]
    remade: Remade

    def __reduce__(self) -> Remade:
        return self.remade

    def stop(self, function: Callable[..., Any]) -> None:
        """Call *function* from now on, and record nothing.

        Args:
            function: The function that it has recorded.
        """
        # A call that is running keeps what it runs in `recorded`.
        state = {"marks": (), "remade": (partial, (function,)), "recorded": self.func}
        self.__setstate__((function, self.args, self.keywords, state))  # type: ignore[attr-defined]


class LateCallable:
    """A callable that is decorated again at its first call.

    Args:
        decorate: Returns the decorated callable.
        remade: The content of its pickle.
    """

    __slots__ = ("_decorate", "_decorated", "_remade")

    def __init__(self, decorate: Callable[[], Callable[..., Any]], remade: Remade) -> None:
        self._decorate = decorate
        self._decorated: Callable[..., Any] | None = None
        self._remade = remade

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the decorated callable."""
        return self.decorated(*args, **kwargs)

    def __reduce__(self) -> Remade:
        return self._remade

    @property
    def decorated(self) -> Callable[..., Any]:
        """The decorated callable."""
        if self._decorated is None:
            self._decorated = self._decorate()
        return self._decorated

    @property
    def marks(self) -> tuple[Any, ...]:
        """The operations that it records, the innermost first."""
        decorated = self.decorated
        marks: tuple[Any, ...] = getattr(inner_of(decorated) or decorated, "marks", ())
        return marks
