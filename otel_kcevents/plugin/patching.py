"""Instruments functions in place: their code is exchanged, so every reference to them counts."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from otel_kcevents.record.callables import shape_of
from otel_kcevents.record.shim import shim_code

__all__ = ["Swap"]


class Swap:
    """The exchanged code of one function.

    Args:
        function: The function.
        wrap: Returns what the shim calls, for a function with the original code.
    """

    def __init__(self, function: FunctionType, wrap: Callable[[FunctionType], Callable[..., Any]]) -> None:
        self.function: FunctionType = function
        self._code = function.__code__
        original = FunctionType(
            self._code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        original.__kwdefaults__ = function.__kwdefaults__
        original.__qualname__ = function.__qualname__
        original.__module__ = function.__module__
        original.__dict__.update(function.__dict__)
        self._shim = shim_code(function, shape_of(function), wrap(original))
        function.__code__ = self._shim

    def undo(self) -> None:
        """Restore the code of the function, unless it has been exchanged again since."""
        if self.function.__code__ is self._shim:
            self.function.__code__ = self._code
