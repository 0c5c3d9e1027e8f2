"""`ImportHook`: sees each module when its code has run, however it is imported."""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

__all__ = ["ImportHook"]


class ImportHook:
    """Calls a function with each module whose code has run, from `install()` until `remove()`.

    It wraps `SourceFileLoader.exec_module`, which also runs modules that are loaded by path.

    Args:
        on_loaded: The function; it never raises.
    """

    def __init__(self, on_loaded: Callable[[ModuleType], None]) -> None:
        self._on_loaded = on_loaded

    def install(self) -> None:
        """Begin."""
        run, on_loaded = SourceFileLoader.exec_module, self._on_loaded

        def exec_module(loader: SourceFileLoader, module: ModuleType) -> Any:
            run(loader, module)
            on_loaded(module)

        SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        """End."""
        del SourceFileLoader.exec_module
