"""Instruments functions in place: their code is exchanged, so calls through every reference are recorded.

Attributes are replaced only for callables without Python code, and for methods that a class inherits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from types import CodeType, FunctionType
from typing import Any
from weakref import ref

from otel_kcevents.plugin.namespaces import namespace_of
from otel_kcevents.record.callables import shape_of
from otel_kcevents.record.late import Recording
from otel_kcevents.record.proxy import RecordedCallable, special_methods
from otel_kcevents.record.shim import make_shim, shim_code

__all__ = ["Replacement", "Swap", "recorded_callable", "refusal"]

# Packages whose functions run while a call is recorded, so recording their calls would not end.
_NEVER: frozenset[str] = frozenset(
    (
        *("otel_kcevents", "opentelemetry", "sqlite3", "threading", "logging", "contextvars", "weakref", "_weakrefset"),
        *("abc", "ast", "codecs", "collections", "_collections_abc", "contextlib", "copy", "datetime", "_pydatetime"),
        *(
            "encodings",
            "enum",
            "functools",
            "genericpath",
            "importlib",
            "inspect",
            "io",
            "linecache",
            "locale",
            "ntpath",
        ),
        *("operator", "os", "posixpath", "queue", "random", "re", "reprlib", "selectors", "sre_compile", "sre_parse"),
        *("string", "sys", "textwrap", "time", "tokenize", "traceback", "types", "typing", "typing_extensions"),
        *("warnings", "zoneinfo"),
    )
)
_FUNCTION = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS

_lock = Lock()  # held while a function's code is compared and exchanged; no other code runs meanwhile


def refusal(function: FunctionType) -> str | None:
    """Return why the code of a function must not be exchanged; None if it may be.

    Args:
        function: The function.
    """
    code, module = function.__code__, str(function.__globals__.get("__name__"))
    if module.partition(".")[0] in _NEVER or module == "multiprocessing.process":
        return f"functions of {module} are not instrumented, because recording a call may call them"
    if code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        return "it is a generator that types.coroutine made awaitable; name a function that awaits it"
    if code.co_flags & _FUNCTION != _FUNCTION:
        return "its code is not that of a `def` statement"
    return None


class Swap:
    """The exchanged code of one function.

    The function can be freed when its module replaces it, as a reload does. A module that is dropped stays in memory:
    the shim keeps its globals alive, and Python does not search code objects for cycles.

    Args:
        function: The function.
        record: Returns what the shim calls, for a function with the original code.

    Raises:
        ValueError: The code of the function cannot be replaced.
        Exception: *record* raised it; the function is unchanged.
    """

    def __init__(self, function: FunctionType, record: Callable[[FunctionType], Recording]) -> None:
        is_done = False
        while not is_done:  # another thread may exchange it meanwhile
            original = _copy(function)
            recording = record(original)
            shim = shim_code(function, shape_of(original), recording)
            is_done = _exchange(function, original.__code__, shim)
        # Weak references: only the shim keeps the others alive, and with them the globals of the function.
        self._function = ref(function)
        self._original = ref(original)
        self._recording = ref(recording)
        self._shim = ref(shim)

    @property
    def is_alive(self) -> bool:
        """Whether the function still exists."""
        return self._function() is not None

    def undo(self) -> None:
        """Restore the code of the function.

        If another tool has exchanged it since, that tool may have kept the shim, which then only calls the original.
        The same holds for calls that have not begun yet, such as those of generators.
        """
        function, original, recording = self._function(), self._original(), self._recording()
        if original is not None and recording is not None:
            if function is not None:
                _exchange(function, self._shim(), original.__code__)
            recording.stop(original)


def _exchange(function: FunctionType, old: CodeType | None, new: CodeType) -> bool:
    """Exchange the code of a function if it is still *old*, and return whether it was."""
    with _lock:
        is_same = function.__code__ is old
        if is_same:
            function.__code__ = new
    return is_same


class Replacement:
    """A replaced attribute of a module or a class.

    Args:
        holder: The module or the class.
        name: The attribute's name.
        value: The new value.

    Raises:
        AttributeError, TypeError: The attribute cannot be set.
    """

    def __init__(self, holder: Any, name: str, value: Any) -> None:
        self._holder = holder
        self._name = name
        self._is_own: bool = name in self._attributes
        self._old = self._attributes.get(name)
        setattr(holder, name, value)
        self._value = self._attributes.get(name)

    @property
    def is_alive(self) -> bool:
        """Whether there is something to undo."""
        return True

    def undo(self) -> None:
        """Restore the attribute, unless it has been replaced again since."""
        if self._attributes.get(self._name) is self._value:
            if self._is_own:
                setattr(self._holder, self._name, self._old)
            else:
                delattr(self._holder, self._name)

    @property
    def _attributes(self) -> Mapping[str, Any]:
        return vars(self._holder) if isinstance(self._holder, type) else namespace_of(self._holder) or {}


def _copy(function: FunctionType) -> FunctionType:
    """Return a function with the same code, which shares the attributes of the function."""
    copied = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__qualname__ = function.__qualname__
    copied.__module__ = function.__module__
    copied.__dict__ = function.__dict__
    return copied


def recorded_callable(function: Any, record: Callable[[Any], Recording]) -> RecordedCallable:
    """Return an object that replaces a callable without a `def` statement of its own, such as a function written in C.

    Args:
        function: The callable.
        record: Returns what records a call of it.
    """
    recording = record(function)
    call = make_shim(function, shape_of(function), recording)
    special = special_methods(function)
    return RecordedCallable(function, partial(recorded_callable, record=record), call, special, (_itself, (function,)))


def _itself(function: Any) -> Any:
    """Return a callable from a pickle; it is recorded only in processes with the mapping."""
    return function
