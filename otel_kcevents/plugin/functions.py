"""Finds the functions that a target names in a module, even if other objects have taken their names.

A target names a `def` statement. A name in a module usually leads to the function with its code, directly or through
wrappers. If it leads to another object, such as a command of click, the functions of the module are searched for the
one with that qualified name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from inspect import getattr_static
from types import CodeType, FunctionType, ModuleType
from typing import Any

from otel_kcevents.plugin.layers import layers_of, qualified_name
from otel_kcevents.plugin.namespaces import Namespace, attributes_of, functions_with, members_of
from otel_kcevents.plugin.problem import hint
from otel_kcevents.plugin.target import Target
from otel_kcevents.record.callables import ROUTINES
from otel_kcevents.record.proxy import INDIRECT, RecordedCallable, RecordedPartial
from otel_kcevents.record.renamed import RenamedFunction
from otel_kcevents.record.shim import is_decorated

__all__ = ["Found", "Search", "override_of"]

IsOurs = Callable[[Any], bool]

_MAX_NAMES = 10  # in a message


@dataclass(frozen=True)
class Found:
    """A function that a target names.

    Attributes:
        name: Its qualified name.
        function: The function whose code is to be exchanged, or the value of an attribute to be replaced.
        owner: The class through which it was named; None if it was not named as the attribute of a class.
        attribute: The name of the attribute to be replaced; None for a function whose code is to be exchanged.
        value: What the class or the module holds under the name, such as a classmethod.
    """

    name: str
    function: Any
    owner: type | None = None
    attribute: str | None = None
    value: Any = None


@dataclass
class Search:
    """The search for the functions that a target names in one module.

    Args:
        target: The target.
        module: The module's name.
        namespace: The module's global names.
        is_ours: Returns whether the plugin has made a function or an object.
        searched: The names that a glob matches and that were already searched for while the code of the module ran.

    Attributes:
        found: The functions.
        problems: Why there are none.
        notes: Why some were skipped on purpose.
    """

    target: Target
    module: str
    namespace: Namespace
    is_ours: IsOurs
    searched: set[str]
    found: list[Found] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self, is_complete: bool, code: CodeType | None) -> None:
        """Search.

        Args:
            is_complete: Whether the code of the module has run; otherwise a missing function is not a problem.
            code: The code of the module, if it is known.
        """
        if self.target.names_one_function:
            self._find_one(is_complete, code)
        else:
            self._find_all(is_complete, code)

    # One name

    def _find_one(self, is_complete: bool, code: CodeType | None) -> None:
        name = self.target.name
        value, owner, is_inherited, attribute = self._look_up(name)
        if issubclass(type(value), RecordedCallable) and self.is_ours(value):
            value = value.__call__
        layers = layers_of(value)
        if self._is_decorated(name, layers):
            return
        function = _function_of(layers, name)
        if function is not None and not is_inherited:
            self.found.append(Found(name, function, owner, value=value))
        elif owner is not None and is_inherited:
            self._add_inherited(name, owner, attribute, value)
        elif (value is not None or (is_complete and _may_define(code, name))) and self._search_all(
            {name}, pick_last=True
        ):
            return
        elif callable(value) and not issubclass(type(value), type):
            self._add_callable(name, owner, attribute, value)
        elif is_complete:
            self.problems.append(self._why_missing(name, value))

    def _look_up(self, name: str) -> tuple[Any, type | None, bool, str]:
        """Return what a qualified name leads to, its class, whether the class inherits it, and the attribute."""
        holder: Any = self.namespace
        owner: type | None = None
        *outer, last = name.split(".")
        for part in outer:
            value, _ = _member(holder, owner, part)
            if not issubclass(type(value), type):
                return None, None, False, last
            holder, owner = attributes_of(value), value
        value, is_inherited = _member(holder, owner, last)
        return value, owner, is_inherited, _mangled(owner, last) if owner is not None else last

    def _add_inherited(self, name: str, owner: type, attribute: str, value: Any) -> None:
        plain = value.__func__ if issubclass(type(value), (staticmethod, classmethod)) else value
        if type(plain) is FunctionType or (type(plain) in ROUTINES and not attribute.startswith("__")):
            self.found.append(Found(name, plain, owner, attribute, value))
            return
        base = next((base for base in owner.__mro__ if attribute in attributes_of(base)), owner)
        self.problems.append(
            f"{name} is inherited, and cannot be replaced; name it on {base.__module__}:{base.__name__}"
        )

    def _add_callable(self, name: str, owner: type | None, attribute: str, value: Any) -> None:
        kind = type(value)
        computes = type(getattr_static(kind, "__getattribute__")) is FunctionType or hasattr(kind, "__getattr__")
        if owner is not None:
            self.problems.append(f"{name} is a method without Python code, which cannot be replaced; name its caller")
        elif computes or any(hasattr(kind, method) for method in INDIRECT):
            self.problems.append(f"{name} is an instance of {kind.__qualname__}; name the function that it calls")
        else:
            self.found.append(Found(name, value, None, attribute, value))

    def _why_missing(self, name: str, value: Any) -> str:
        if issubclass(type(value), type):
            return f"{name} is a class; name a method of it, such as {name}.__init__"
        if issubclass(type(value), ModuleType):
            return f"{name} is a module; write {value.__name__}:FUNCTION"
        if value is not None:
            return f"{name} is an instance of {type(value).__qualname__}, not a function"
        members = members_of(self.namespace, self.module)
        names = [path for path, value, _ in members if "__" not in path and _function_of(layers_of(value), path)]
        near = hint(name, names) if names else ""
        if not near.startswith("did"):
            near = f"expected one of {', '.join([*names[:_MAX_NAMES], '…'])}" if len(names) > _MAX_NAMES else near
        return f"{self.module} has no function {name}" + (f"; {near}" if near else "")

    # All names of a glob

    def _find_all(self, is_complete: bool, code: CodeType | None) -> None:
        names: set[str] = set()
        has_opaque = False
        for name, value, owner in members_of(self.namespace, self.module):
            if not self.target.matches_name(name):
                continue
            layers = layers_of(value)
            function = _function_of(layers, name)
            has_opaque = has_opaque or (function is None and callable(value) and not issubclass(type(value), type))
            if function is not None and function.__globals__.get("__name__") == self.module:
                names.add(name)
                if not self._is_decorated(name, layers):
                    self.found.append(Found(name, function, owner, value=value))
        missing = None if code is None else {name for name in _defined(code) if self.target.matches_name(name)} - names
        if missing is not None and not is_complete:
            missing = {name for name in missing - self.searched if name.partition(".")[0] in self.namespace}
            self.searched |= missing
        if has_opaque if missing is None else missing:
            self._search_all(missing)

    def _search_all(self, names: set[str] | None, pick_last: bool = False) -> bool:
        """Search all functions of the module for the given names, or for all that match; return whether there are any.

        Args:
            names: The names; None for all that the target names.
            pick_last: Whether to take only the last of several `def` statements with the same name.
        """
        functions = [function for function in functions_with(self.namespace) if not self.is_ours(function)]
        below = {id(layer) for function in functions if self._is_foreign(function) for layer in layers_of(function)}
        named = [(qualified_name(function) or "", function) for function in functions if id(function) not in below]
        if below and any(qualified_name(function) in (names or ()) for function in functions if id(function) in below):
            self.notes.append(f"{self.target.name} is already decorated by otel_kcevents")
        hits = [
            (name, function)
            for name, function in named
            if (name in names if names is not None else "<" not in name and self.target.matches_name(name))
        ]
        if pick_last and hits:
            last = max(function.__code__.co_firstlineno for _, function in hits)
            hits = [(name, function) for name, function in hits if function.__code__.co_firstlineno == last]
        self.found += [Found(name, function) for name, function in hits]
        return bool(hits or self.notes)

    # Decorated functions

    def _is_decorated(self, name: str, layers: Iterable[Any]) -> bool:
        """Return whether a function, or one that wraps it here, is decorated by this package; add a note if so."""
        layers = list(layers)
        is_decorated = any(map(self._is_foreign, layers)) or (bool(layers) and id(layers[-1]) in self._decorated)
        if is_decorated:
            self.notes.append(f"{name} is already decorated by otel_kcevents")
        return is_decorated

    @cached_property
    def _decorated(self) -> frozenset[int]:
        """The ids of the functions that decorated ones in the module wrap."""
        candidates = [value for value in self.namespace.values() if type(value) in (FunctionType, RenamedFunction)]
        layers = [layer for value in candidates if self._is_foreign(value) for layer in layers_of(value)]
        return frozenset(id(layer) for layer in layers if type(layer) is FunctionType)

    def _is_foreign(self, layer: Any) -> bool:
        """Return whether a layer is a decorated callable of this package that the plugin has not made."""
        kind = type(layer)
        if kind is FunctionType:
            return is_decorated(layer) and not self.is_ours(layer)
        return issubclass(kind, (RenamedFunction, RecordedCallable, RecordedPartial)) and not self.is_ours(layer)


def override_of(owner: type, attribute: str, name: str) -> Found | None:
    """Return the method of a class that overrides another one; None if it inherits the method.

    Args:
        owner: The class.
        attribute: The name of the attribute.
        name: The qualified name to give it.
    """
    value = attributes_of(owner).get(attribute)
    function = _function_of(layers_of(value), name)
    return None if function is None else Found(name, function, owner, value=value)


def _function_of(layers: Iterable[Any], name: str) -> FunctionType | None:
    """Return the function of a `def` statement among layers: the one with that qualified name, or the innermost one."""
    functions = [layer for layer in layers if type(layer) is FunctionType]
    for layer in functions:
        own = qualified_name(layer)
        if own == name or (own is None and layer.__code__.co_name == name.rpartition(".")[2]):
            return layer
    return functions[-1] if functions else None


def _mangled(owner: type, name: str) -> str:
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{owner.__name__.lstrip('_')}{name}" if is_private else name


def _member(holder: Any, owner: type | None, name: str) -> tuple[Any, bool]:
    """Return the value of an attribute of a module or a class, and whether the class inherits it."""
    if owner is None:
        return holder.get(name), False
    name = _mangled(owner, name)
    for base in owner.__mro__:
        if name in attributes_of(base):
            return attributes_of(base)[name], base is not owner
    return None, False


def _may_define(code: CodeType | None, name: str) -> bool:
    return code is None or name in _defined(code)


def _defined(code: CodeType, prefix: str = "") -> Iterator[str]:
    """Yield the qualified names of the `def` statements of a module's code that are not nested in functions."""
    for inner in code.co_consts:
        if not isinstance(inner, CodeType):
            continue
        if inner.co_name.startswith("<generic parameters of "):
            yield from _defined(inner, prefix)  # pragma: no cover - from Python 3.12 on
        elif inner.co_flags & 0x2:  # CO_NEWLOCALS: the code of a function
            if not inner.co_name.startswith("<"):
                yield prefix + inner.co_name
        else:
            yield from _defined(inner, f"{prefix}{inner.co_name}.")
