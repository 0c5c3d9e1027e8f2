"""Instruments the functions of the main module after their definition, before the module calls them.

The code of `script.py`, `-m` and `-c` runs in one go, and its last statement often calls `main()`. In a process that
multiprocessing has spawned, the main module is imported as `__mp_main__`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

__all__ = ["MainModuleWatch"]


class MainModuleWatch:
    """Calls a function with the main module while its code runs: after each definition that it may be about.

    Args:
        on_defined: The function; it is called again for the same module, and never raises.
    """

    def __init__(self, on_defined: Callable[[ModuleType], None]) -> None:
        self._on_defined = on_defined

    def start(self) -> None:
        """Begin; it ends by itself at the last definition of the module."""

    def stop(self) -> None:
        """End, if it has not ended."""
