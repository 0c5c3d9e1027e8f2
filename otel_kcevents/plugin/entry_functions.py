"""`EntryFunctions`: instruments the functions that one entry of a mapping names, and remembers which they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.plugin.changes import Changes
from otel_kcevents.plugin.entry_state import EntryState, Matched
from otel_kcevents.plugin.functions import Found, Search, override_of
from otel_kcevents.plugin.mapping import Entry
from otel_kcevents.plugin.namespaces import Namespace
from otel_kcevents.plugin.patching import Replacement, Swap, recorded_callable, refusal
from otel_kcevents.plugin.problem import OptionError, hint
from otel_kcevents.plugin.recording import record_calls
from otel_kcevents.plugin.subclasses import SubclassWatch, count_once, inherited_method, subclasses_of
from otel_kcevents.record.late import Recording
from otel_kcevents.record.signatures import signature_of

__all__ = ["EntryFunctions"]


class EntryFunctions:
    """Instruments the functions that one entry names. Never raises: each problem is logged once.

    Args:
        entry: The entry.
        changes: What the plugin has changed in the program.
    """

    def __init__(self, entry: Entry, changes: Changes) -> None:
        self._entry = entry
        self._changes = changes
        self._modules: dict[str, None] = {}
        self._functions: dict[Matched, None] = {}
        self._problems: dict[str, None] = {}
        self._notes: dict[str, None] = {}
        self._searched: dict[str, set[str]] = {}  # by module
        self._watches: dict[tuple[int, str], SubclassWatch] = {}  # by class and attribute

    def state(self) -> EntryState:
        """Return what the entry has matched so far."""
        return EntryState(
            self._entry,
            modules=tuple(self._modules),
            functions=tuple(self._functions),
            problems=tuple(self._problems),
            notes=tuple(self._notes),
        )

    def instrument(
        self, module: object, namespace: Namespace, is_complete: bool, code: CodeType | None, may_lack: bool = False
    ) -> None:
        """Instrument the functions of a module that the entry names.

        Args:
            module: The module, which the target matches.
            namespace: Its global names.
            is_complete: Whether all its code has run; otherwise functions that it lacks may still be defined.
            code: The code of the module; default: what its loader returns.
            may_lack: Whether the module may lack the functions without a warning.
        """
        target, name = self._entry.target, str(namespace.get("__name__"))
        self._modules[name] = None
        try:
            names_one = target.names_one_module and target.names_one_function and not target.is_file
            if code is None and is_complete and not names_one:  # most modules lack it, as their code shows
                code = _code_of(namespace)
            search = Search(target, name, namespace, self._changes.has_made, self._searched.setdefault(name, set()))
            search.run(is_complete, code)
        except Exception as error:
            self._report(error_message(error))
            return
        self._notes.update(dict.fromkeys(search.notes))
        for found in search.found:
            self._instrument_found(found, name, module)
        for problem in search.problems if target.names_one_module and not may_lack else ():
            self._report(problem)

    def _report(self, problem: str, key: str = "target") -> None:
        if problem not in self._problems:
            self._problems[problem] = None
            _logger.warning("%s: %s", self._entry.place_of(key), problem)

    def _instrument_found(self, found: Found, module_name: str, module: object) -> None:
        try:
            if found.attribute is None:
                self._exchange(found)
            else:
                self._replace(found, found.attribute, module_name, found.owner or module)
            if self._entry.subclasses and found.owner is not None:
                self._watch_subclasses(found, found.owner)
        except Exception as error:
            function = f"{module_name}:{found.name}"
            self._report(f"{function} is not instrumented: {error_message(error)}", getattr(error, "key", "target"))

    def _exchange(self, found: Found) -> None:
        function: FunctionType = found.function
        if not self._changes.claim(self._entry.number, function):
            return
        name, code = f"{function.__globals__.get('__name__')}:{found.name}", function.__code__
        problem = refusal(function)
        if problem is not None and not self._entry.target.names_one_function:  # the glob was not meant for it
            self._notes[f"{name} is skipped: {problem}"] = None
            return
        if problem is not None:
            self._report(f"{name} is not instrumented: {problem}")
            return
        if self._is_recorded(name, function):
            return
        self._changes.add(Swap(function, partial(self._record, found)))
        self._functions[Matched(name, code.co_filename, code.co_firstlineno)] = None

    def _replace(self, found: Found, attribute: str, module_name: str, holder: Any) -> None:
        if not self._changes.claim(self._entry.number, holder, attribute):
            return
        record = partial(self._record, found)
        if found.owner is not None:
            value = inherited_method(found.owner, attribute, found.value, record)
            made: Any = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        else:
            value = recorded_callable(found.function, record)
            made = value.__call__
        self._changes.claim(self._entry.number, made)
        self._is_recorded(f"{module_name}:{found.name}", made)
        self._changes.add_made(made)
        self._changes.add(Replacement(holder, attribute, value))
        self._functions[Matched(f"{module_name}:{found.name}", is_in_place=False)] = None

    def _is_recorded(self, name: str, function: FunctionType) -> bool:
        """Return whether an earlier entry records the same calls of a function; a glob leaves such functions to it."""
        entry, calls = self._entry, self._entry.calls
        first = entry.number if calls is None else self._changes.first_to_record(entry.number, calls, function)
        if first == entry.number:
            return False
        reason = f"functions[{first}] records the same calls"
        if entry.target.names_one_function:
            self._report(f"{name} is not instrumented: {reason}; distinguish them by where or within")
        else:
            self._notes[f"{name} is skipped: {reason}"] = None
        return True

    def _record(self, found: Found, original: Any) -> Recording:
        if type(original) is FunctionType:
            self._changes.add_made(original)
        _check_kept(self._entry, original)
        recording = record_calls(self._entry, found.function, original)
        is_method = found.owner is not None and not isinstance(found.value, staticmethod)
        return count_once(self._entry.place, recording, original) if self._entry.subclasses and is_method else recording

    # Subclasses

    def _watch_subclasses(self, found: Found, owner: type) -> None:
        attribute = found.attribute or next(name for name, value in vars(owner).items() if value is found.value)
        key = (id(owner), attribute)  # the watch keeps the class alive, and its id unique
        if key in self._watches:
            return
        name = found.name.rpartition(".")[2]
        watch = SubclassWatch(owner, lambda subclass: self._instrument_override(key, name, subclass))
        self._watches[key] = watch
        self._changes.add(watch)
        for subclass in subclasses_of(owner):
            self._instrument_override(key, name, subclass)

    def _instrument_override(self, key: tuple[int, str], name: str, subclass: type) -> None:
        try:
            if "__init_subclass__" in vars(subclass):
                self._watches[key].extend(subclass)
            found = override_of(subclass, key[1], f"{subclass.__qualname__}.{name}")
            if found is not None:
                self._exchange(found)
        except Exception as error:
            function = f"{subclass.__module__}:{subclass.__qualname__}.{name}"
            self._report(f"{function} is not instrumented: {error_message(error)}", getattr(error, "key", "target"))


def _check_kept(entry: Entry, function: Callable[..., Any]) -> None:
    """Check that each kept value that a path reads is kept by an entry.

    Raises:
        OptionError: No entry keeps it.
    """
    for key, source in entry.options.paths:
        found = re.match(r"kept\.(\w+)", source)
        if found is None or found[1] in entry.kept or "kept" in signature_of(function).parameters:
            continue
        remedy = hint(found[1], entry.kept) if entry.kept else "add keep to the entry of a function that knows it"
        raise OptionError(key, f"no entry keeps {found[1]!r}; {remedy}")


def _code_of(namespace: Namespace) -> CodeType | None:
    """Return the code of a module as its loader returns it; None if it has none."""
    loader = namespace.get("__loader__")
    try:
        code = loader.get_code(namespace["__name__"])  # type: ignore[union-attr]
    except Exception:  # a loader of another kind, or a module that was not loaded from a file
        return None
    return code if isinstance(code, CodeType) else None
