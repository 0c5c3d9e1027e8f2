"""`Instrumentation`: the functions that a mapping instruments in this process."""

from __future__ import annotations

import sys
from types import CodeType
from typing import TYPE_CHECKING

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.plugin.entry_state import EntryState
from otel_kcevents.plugin.import_hook import ImportHook
from otel_kcevents.plugin.main_module import MainModuleWatch, module_names
from otel_kcevents.plugin.mapping import Entry, Mapping
from otel_kcevents.plugin.module_filter import ModuleFilter
from otel_kcevents.plugin.namespaces import namespace_of
from otel_kcevents.store.calls import retire_counts
from otel_kcevents.store.run_end import end_run, write_run

if TYPE_CHECKING:
    from otel_kcevents.plugin.changes import Changes
    from otel_kcevents.plugin.entry_functions import EntryFunctions

__all__ = ["Instrumentation"]

_MAX_WARNINGS = 20  # about a mapping, in each process
_OWN = f"{__name__.partition('.')[0]}."


class Instrumentation:
    """The functions that a mapping instruments in this process.

    The modules that find and change functions are imported when an entry first names a loaded module.

    Args:
        mapping: The mapping.
    """

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._changes: Changes | None = None
        self._started: dict[int, EntryFunctions] = {}  # by the number of the entry
        targets = [entry.target for entry in mapping.entries]
        self._filter = ModuleFilter(targets)
        self._main = MainModuleWatch(targets, self._instrument_main)
        self._has_begun = False
        self._hook = ImportHook(self.instrument_module, self._main.pause, self._main.resume)

    def begin(self) -> None:
        """Instrument the modules that are loaded now, and others when they are loaded."""
        problems = self._mapping.problems
        for problem in problems[:_MAX_WARNINGS]:
            _logger.warning("%s", problem)
        if more := len(problems[_MAX_WARNINGS:]):
            _logger.warning("%s: more mistakes: %d; otel-kcevents mapping check lists all", self._mapping.origin, more)
        if not self._mapping.entries:
            return write_run()
        self._hook.install()
        for name, module in list(sys.modules.items()):
            self.instrument_module(module, _has_run(module), name=name)
        self._main.start()
        self._has_begun = True
        write_run()  # the process may be killed before its first event, which would write this

    def end(self) -> None:
        """Restore everything, the last change first, and omit the counts so far from what is written later."""
        has_changes = self._changes is not None
        self.restore()
        if has_changes:
            end_run(is_final=False)  # writes the counts; the next event shows that the run continues
            retire_counts()

    def restore(self) -> None:
        """Restore everything, the last change first; the counts are kept."""
        self._main.stop()
        if self._mapping.entries:
            self._hook.remove()
        if self._changes is not None:
            self._changes.undo()
        self._changes = None
        self._started.clear()

    def states(self) -> tuple[EntryState, ...]:
        """Return what each entry has matched so far, in the order of the mapping."""
        started = self._started
        return tuple(
            started[entry.number].state() if entry.number in started else EntryState(entry)
            for entry in self._mapping.entries
        )

    def instrument_module(
        self, module: object, is_complete: bool = True, code: CodeType | None = None, name: str | None = None
    ) -> None:
        """Instrument the functions of a module that entries name and that are not instrumented yet. Never raises.

        Args:
            module: The module.
            is_complete: Whether all its code has run; otherwise functions that it lacks may still be defined.
            code: The code of the module; default: what its loader returns.
            name: Its name in `sys.modules`, if that may differ from its `__name__`.
        """
        known = _logger.last
        try:
            namespace = namespace_of(module)
            if namespace is None:
                return
            own_name = namespace.get("__name__")
            if name is None and str(own_name).startswith(_OWN):
                return  # such as the modules that `_functions_of` imports
            names, file = {*module_names(namespace), *filter(None, [name])}, namespace.get("__file__")
            file = file if isinstance(file, str) else None
            if not self._filter.may_name(names, file):
                return
            for entry in self._mapping.entries:
                if any(entry.target.matches(candidate, file) for candidate in names):
                    # An entry for __main__ is also read in the Python programs that this one starts.
                    may_lack = "__main__" in names and entry.target.matches("__main__", None)
                    # A file name such as utils.py also ends the paths of other programs' files.
                    is_other = entry.target.is_file and "__main__" not in names and not entry.target.is_path_of(file)
                    self._functions_of(entry).instrument(module, namespace, is_complete, code, may_lack or is_other)
            if self._changes is not None:
                self._changes.forget_dead()
        except Exception as error:
            _logger.warning("the functions of %r are not instrumented: %s", name or module, error_message(error))
        if self._has_begun and _logger.last != known:
            write_run()  # an event that would write the warning may never follow

    def _instrument_main(self, module: object, code: CodeType, is_complete: bool) -> None:
        self.instrument_module(module, is_complete, code)  # pragma: no cover - coverage does not see trace functions

    def _functions_of(self, entry: Entry) -> EntryFunctions:
        from otel_kcevents.plugin.changes import Changes
        from otel_kcevents.plugin.entry_functions import EntryFunctions

        self._changes = self._changes or Changes()
        return self._started.setdefault(entry.number, EntryFunctions(entry, self._changes))


def _has_run(module: object) -> bool:
    """Return whether the code of a module in `sys.modules` has run: it is not lazy, main, or being imported."""
    namespace = namespace_of(module) or {}
    spec = namespace.get("__spec__")
    return (
        namespace.get("__name__") not in ("__main__", "__mp_main__")
        and type(module).__module__ != "importlib.util"
        and not getattr(spec, "_initializing", False)
    )
