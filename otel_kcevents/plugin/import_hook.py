"""`ImportHook`: calls a function with each module after its code has run, however the module is imported."""

from __future__ import annotations

from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

from otel_kcevents.record.shim import shim_code

__all__ = ["ImportHook"]


class ImportHook:
    """Calls a function with each module whose code has run, from `install()` until `remove()`.

    It instruments the method `exec_module` of Python's loaders in place. Finders on `sys.meta_path` would miss the
    modules that are loaded by path, such as the DAG files of Airflow. A wrapper around the method would be lost when a
    tool that wrapped the method earlier removes its own wrapper.

    Args:
        on_loaded: The function. It never raises. While it runs, other threads wait for this module.
        pause: Called before the code of a module runs; returns whether to call *resume* afterwards.
        resume: Called after the code of a module has run or failed.
    """

    def __init__(
        self,
        on_loaded: Callable[[ModuleType], object],
        pause: Callable[[], bool] = lambda: False,
        resume: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_loaded = on_loaded
        self._pause = pause
        self._resume = resume
        self._exchanged: list[tuple[FunctionType, CodeType, CodeType]] = []  # methods, their code, our code
        self._is_active = False

    def install(self) -> None:
        """Start calling the function."""
        if self._is_active:
            return
        self._is_active = True
        for method in _methods():
            code = method.__code__
            original = FunctionType(code, method.__globals__, method.__name__, None, method.__closure__)
            shim = shim_code(method, "plain", self._wrapper(original))
            method.__code__ = shim
            self._exchanged.append((method, code, shim))

    def remove(self) -> None:
        """Stop calling the function. If another tool has exchanged the code since, ours only forwards calls."""
        self._is_active = False
        for method, code, shim in self._exchanged:
            if method.__code__ is shim:
                method.__code__ = code
        self._exchanged.clear()

    def _wrapper(self, original: Callable[[Any, ModuleType], Any]) -> Callable[[Any, ModuleType], Any]:
        def exec_module(loader: Any, module: ModuleType) -> Any:  # pragma: no cover  # because of its file name
            paused = pause()
            try:
                result = original(loader, module)
            finally:
                if paused:
                    resume()
            loaded(module)
            return result

        pause, resume, loaded = self._pause, self._resume, self._loaded
        # Python removes the frames of importlib from tracebacks, and skips them for the stack level of warnings. It
        # knows them by the file name, and would stop at a frame of another file between them.
        exec_module.__code__ = exec_module.__code__.replace(co_filename=original.__code__.co_filename)
        return exec_module

    def _loaded(self, module: ModuleType) -> None:
        if self._is_active:
            self._on_loaded(module)


def _methods() -> list[FunctionType]:
    """Return the functions that run the code of source files, `.pyc` files, archives and extension modules."""
    # The first three kinds of loaders inherit one method. Other tools may have put their own in a subclass.
    base = next(owner for owner in reversed(SourceFileLoader.__mro__) if "exec_module" in vars(owner))
    methods = [vars(owner).get("exec_module") for owner in (base, ExtensionFileLoader)]
    return [method for method in methods if isinstance(method, FunctionType)]
