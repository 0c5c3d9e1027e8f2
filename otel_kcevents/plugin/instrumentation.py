"""`Instrumentation`: the functions that a mapping instruments in this process."""

from __future__ import annotations

import sys
from functools import partial
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.plugin.entry_state import EntryState, Matched
from otel_kcevents.plugin.import_hook import ImportHook
from otel_kcevents.plugin.main_module import MainModuleWatch, module_names
from otel_kcevents.plugin.mapping import Entry, Mapping

if TYPE_CHECKING:
    from otel_kcevents.plugin.patching import Swap

__all__ = ["Instrumentation"]


class Instrumentation:
    """The functions that a mapping instruments in this process.

    Args:
        mapping: The mapping.
    """

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._swaps: list[Swap] = []
        self._done: set[tuple[int, str]] = set()  # functions by id, and the places of entries
        self._matched: list[tuple[str, str]] = []
        self._main = MainModuleWatch([entry.target for entry in mapping.entries], self._instrument_main)
        self._hook = ImportHook(self.instrument_module, self._main.pause, self._main.resume)

    def begin(self) -> None:
        """Instrument the modules that are loaded, and the others when they are."""
        for problem in self._mapping.problems:
            _logger.warning("%s", problem)
        if not self._mapping.entries:
            return
        self._hook.install()
        for module in list(sys.modules.values()):
            if isinstance(module, ModuleType):
                self.instrument_module(module)
        self._main.start()

    def end(self) -> None:
        """Restore everything."""
        self._main.stop()
        if self._mapping.entries:
            self._hook.remove()
        for swap in reversed(self._swaps):
            swap.undo()
        self._swaps.clear()
        self._done.clear()

    def states(self) -> tuple[EntryState, ...]:
        """Return what each entry has matched so far, in the order of the mapping."""
        return tuple(
            EntryState(entry, functions=tuple(Matched(name) for place, name in self._matched if place == entry.place))
            for entry in self._mapping.entries
        )

    def instrument_module(self, module: ModuleType, is_complete: bool = True) -> None:
        """Instrument the functions of a module that entries name and that are not instrumented yet. Never raises.

        Args:
            module: The module.
            is_complete: Whether all its code has run; otherwise functions that it lacks may still be defined.
        """
        # Attributes of a lazy module, and those that a module lacks, would run code of the program.
        namespace = ModuleType.__getattribute__(module, "__dict__")
        names, file = module_names(namespace), namespace.get("__file__")
        for entry in self._mapping.entries:
            try:
                if any(entry.target.matches(name, file) for name in names):
                    for _, function in list(entry.target.functions(module)):
                        self._instrument(entry, function)
            except Exception as error:
                _logger.warning("%s: %s", entry.place, error_message(error))

    def _instrument_main(self, module: ModuleType) -> None:
        self.instrument_module(module, is_complete=False)

    def _instrument(self, entry: Entry, function: FunctionType) -> None:
        from otel_kcevents.plugin.patching import Swap  # here, so that a program pays for it only if it is used
        from otel_kcevents.plugin.recording import record_calls

        key = (id(function), entry.place)
        if key not in self._done:
            self._swaps.append(Swap(function, partial(record_calls, entry, function)))
            self._done.add(key)
            self._matched.append((entry.place, f"{function.__module__}:{function.__qualname__}"))
