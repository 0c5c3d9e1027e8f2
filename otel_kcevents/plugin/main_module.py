"""Instruments the functions of the main module after their definition, before the module calls them.

The code of `script.py`, `-m` and `-c` runs in one go, and its last statement often calls `main()`. In a process that
multiprocessing has spawned, the main module runs again as `__mp_main__`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import CodeType, FrameType
from typing import Any, Protocol, TypeAlias

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.plugin.definitions import Definitions, may_define
from otel_kcevents.plugin.monitoring_events import MonitoringEvents
from otel_kcevents.plugin.namespaces import namespace_of
from otel_kcevents.plugin.target import Target
from otel_kcevents.plugin.trace_events import TraceEvents

__all__ = ["FrameEvents", "MainModuleWatch", "OnDefined", "module_names"]

OnDefined: TypeAlias = Callable[[object, CodeType, bool], object]
"""Called with the main module, its code, and whether everything that targets may name is defined."""

_MAIN = ("__main__", "__mp_main__")
_CODE_NAMES = ("<module>", "_bootstrap")
_RUNNERS = ("cProfile", "coverage", "debugpy", "joblib", "loky", "pdb", "profile", "pyinstrument", "trace", "viztracer")


class FrameEvents(Protocol):
    """Calls functions when frames start, and before each line of one of them: `MonitoringEvents` or `TraceEvents`."""

    def start(
        self, code_names: tuple[str, ...], on_frame: Callable[[FrameType], None], on_lost: Callable[[], None]
    ) -> bool:
        """Start, and return whether that was possible."""

    def follow(self, frame: FrameType, on_line: Callable[[int | None], bool]) -> None:
        """Call a function with the offset of each line of a frame before it runs, and with None when the frame ends.

        It returns whether to call it when the line runs again.
        """

    def pause(self) -> bool:
        """Pause until `resume`, and return whether that is necessary."""

    def resume(self) -> None:
        """Continue."""

    def stop(self) -> None:
        """Stop."""


class MainModuleWatch:
    """Calls a function while the code of the main module runs, after each definition that targets may name.

    It is started while Python starts, or by the main module itself, and ends at the last definition that matters.

    Args:
        targets: What the entries of the mapping name.
        on_defined: The function. It never raises.
        events: Follows the main module; default: what suits this version of Python.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        on_defined: OnDefined,
        events: FrameEvents | None = None,
    ) -> None:
        self._targets = targets
        self._on_defined = on_defined
        self._events = events or (MonitoringEvents() if hasattr(sys, "monitoring") else TraceEvents())
        self._definitions: Definitions | None = None
        self._is_runner = False

    def start(self) -> None:
        """Follow the main module if it runs, or wait for its start. Does nothing if no target can name it."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not _is_before_main(frame) and _main_module_of(frame) is None:
            frame = frame.f_back
        if frame is None or _is_worker_start(frame):
            return
        if not _is_before_main(frame):
            definitions = self._definitions_of(frame)
            if definitions.names and self._start_events():
                self._follow(frame, _main_module_of(frame), definitions)
        elif any(_may_be_main(target) for target in self._targets):
            self._start_events()

    def pause(self) -> bool:
        """Pause while an import runs, if that makes it faster. Returns whether to call `resume`."""
        return self._events.pause()

    def resume(self) -> None:
        """Continue after an import."""
        self._events.resume()

    def stop(self) -> None:
        """Stop."""
        self._definitions = None
        self._events.stop()

    def _start_events(self) -> bool:
        started = self._events.start(_CODE_NAMES, self._on_frame, self._warn)
        if not started:
            self._warn()
        return started

    def _warn(self) -> None:
        _logger.warning(
            "functions of the main module are not instrumented: coverage, a debugger or another tool traces it. Name"
            " functions of modules that the program imports, or run it without the tool or on Python 3.12 or later"
        )

    def _on_frame(self, frame: FrameType) -> None:
        """Start to follow the main module, or stop if there is nothing to wait for."""
        try:
            module = _main_module_of(frame, anywhere=self._is_runner)
            if _is_worker_start(frame):
                self.stop()
            elif module is None or self._definitions is not None:
                return
            elif _runs_another(frame):
                self._is_runner = True
            else:
                definitions = self._definitions_of(frame)
                if definitions.names:
                    self._follow(frame, module, definitions)
                elif not self._is_runner:
                    self.stop()
                    self._on_defined(module, frame.f_code, True)
        except Exception as error:
            self.stop()
            _logger.warning("functions of the main module are not instrumented: %s", error_message(error))

    def _definitions_of(self, frame: FrameType) -> Definitions:
        names, file = module_names(frame.f_globals), frame.f_globals.get("__file__")
        targets = [target for target in self._targets if any(target.matches(name, file) for name in names)]

        def is_relevant(name: str, is_defined: bool) -> bool:  # a glob names what the module itself defines
            return any(may_define(target.name, name) for target in targets if is_defined or target.names_one_function)

        return Definitions(frame.f_code, frame.f_globals, is_relevant)

    def _follow(self, frame: FrameType, module: object, definitions: Definitions) -> None:
        code = frame.f_code

        def on_line(offset: int | None) -> bool:
            is_over = offset is None or definitions.are_over(offset)
            if is_over:
                self.stop()
            if definitions.have_changed() or is_over:
                self._on_defined(module, code, is_over)
            return offset is not None and definitions.may_repeat(offset)

        self._definitions = definitions
        self._events.follow(frame, on_line)


class _Globals:
    """Stands in for the module of globals that belong to no module."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.__dict__ = namespace


def module_names(namespace: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names by which targets may name a module; the main module also has the name after `python -m`.

    Args:
        namespace: The globals of the module.
    """
    name, spec = namespace.get("__name__"), namespace.get("__spec__")
    if name in _MAIN:
        return tuple({"__main__", name, getattr(spec, "name", name)})
    return (name,) if isinstance(name, str) else ()


def _main_module_of(frame: FrameType, anywhere: bool = False) -> object:
    """Return the main module if a frame runs its code; None otherwise.

    Args:
        frame: The frame.
        anywhere: Whether its globals may belong to no module, as under a profiler.
    """
    name = frame.f_globals.get("__name__")
    if frame.f_code.co_name != "<module>" or not isinstance(name, str) or name not in _MAIN:
        return None
    module = sys.modules.get(name)
    if module is not None and namespace_of(module) is frame.f_globals:
        return module
    return _Globals(frame.f_globals) if anywhere else None


def _is_before_main(frame: FrameType) -> bool:
    """Return whether a frame shows that the main module has not started, or in a worker that it will not."""
    return frame.f_globals.get("__name__") in ("site", "multiprocessing.spawn") or _is_worker_start(frame)


def _is_worker_start(frame: FrameType) -> bool:
    """Return whether a frame is the start of a worker of multiprocessing: its main module has run, if it has one."""
    return frame.f_code.co_name == "_bootstrap" and frame.f_globals.get("__name__") == "multiprocessing.process"


def _runs_another(frame: FrameType) -> bool:
    """Return whether a main module only runs another one: that of a profiler, or the start of a worker."""
    spec = getattr(frame.f_globals.get("__spec__"), "name", None)
    file = os.path.basename(str(frame.f_globals.get("__file__") or ""))
    is_worker = not spec and not file and _is_started_for("spawn", "forkserver")
    return str(spec or file).partition(".")[0] in _RUNNERS or is_worker


def _is_started_for(*modules: str) -> bool:
    """Return whether this process was started for one of these modules of multiprocessing."""
    prefixes = tuple(f"from multiprocessing.{module} " for module in modules)
    return any(argument.startswith(prefixes) for argument in sys.orig_argv)


def _may_be_main(target: Target) -> bool:
    """Return whether a target may name the main module, which has not started, according to the command line."""
    program, arguments = "".join(sys.argv[:1]), [argument.removeprefix("-m") for argument in sys.orig_argv[1:]]
    if not sys.orig_argv or _is_started_for("resource_tracker"):  # empty if Python is embedded in a server
        return False
    if any(target.matches(name, None) for name in _MAIN) or _is_started_for("spawn", "forkserver"):
        return True
    if program != "-m":
        path = os.path.abspath(program)
        files = (path, os.path.join(path, "__main__.py"))
        return os.path.basename(program) in _RUNNERS or any(target.matches("", file) for file in files)
    if any(argument.partition(".")[0] in _RUNNERS for argument in arguments):
        return True
    if target.is_file:
        name = os.path.basename(target.module)
        return any(fnmatchcase(f"{argument.rpartition('.')[2]}.py", name) for argument in (*arguments, "__main__"))
    return any(target.matches(name, None) for argument in arguments for name in (argument, f"{argument}.__main__"))
