"""Decorated callables that are not functions: partials, bound methods, builtins and callable objects.

They are not replaced by functions, which would pickle differently and lack their attributes and state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy, deepcopy
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from otel_kcevents.model.messages import short_repr
from otel_kcevents.record.callables import ROUTINES
from otel_kcevents.record.late import Remade
from otel_kcevents.record.renamed import is_found_as

__all__ = ["INDIRECT", "RecordedCallable", "RecordedPartial", "reject_indirect", "special_methods"]

_Decorate = Callable[[Any], Any]


class RecordedPartial(partial[Any]):
    """A partial of a decorated function, which pickles as the partial that was decorated."""

    __wrapped__: partial[Any]
    _kcevents_remade: Remade

    @classmethod
    def of(cls, undecorated: partial[Any], function: Callable[..., Any], remade: Remade) -> RecordedPartial:
        """Return the partial.

        Args:
            undecorated: The undecorated partial.
            function: The decorated function of the partial.
            remade: The content of the partial's pickle.
        """
        self = cls(function, *undecorated.args, **undecorated.keywords)
        self.__dict__.update(undecorated.__dict__, __wrapped__=undecorated, _kcevents_remade=remade)
        return self

    def __reduce__(self) -> Remade:
        return self._kcevents_remade


_OWN = frozenset(
    (
        *("__class__", "__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__", "__signature__"),
        *("__wrapped__", "__call__", "_kcevents_decorate", "_kcevents_remade"),
    )
)
_SPECIAL = (
    *("__len__", "__iter__", "__contains__", "__getitem__", "__setitem__", "__delitem__", "__bool__"),
    *("__next__", "__aiter__", "__anext__", "__await__", "__set_name__"),
    *("__enter__", "__exit__", "__aenter__", "__aexit__", "__get__"),
)


class RecordedCallable:
    """A decorated callable object: calls are recorded, and everything else is passed to the object.

    It is pickled by its global name if that leads to it, otherwise as the object and the operation.

    Args:
        wrapped: The object.
        decorate: Decorates a copy of it, or a method that it binds.
        call: The function that records a call of it.
        special: Its special methods, as `special_methods` returns them.
        remade: The content of the proxy's pickle.
    """

    __slots__ = ("__call__", "__weakref__", "__wrapped__", "_kcevents_decorate", "_kcevents_remade")

    __wrapped__: Any
    __call__: FunctionType
    _kcevents_decorate: _Decorate
    _kcevents_remade: Remade

    def __new__(
        cls, wrapped: Any, decorate: _Decorate, call: FunctionType, special: tuple[str, ...], remade: Remade
    ) -> RecordedCallable:
        """Return a proxy with the special methods of *wrapped*, which Python looks up in the type."""
        methods = {name: _get if name == "__get__" else _forward(name) for name in special}
        return object.__new__(type(cls.__name__, (cls,), {"__slots__": (), **methods}) if methods else cls)

    def __init__(
        self, wrapped: Any, decorate: _Decorate, call: FunctionType, special: tuple[str, ...], remade: Remade
    ) -> None:
        object.__setattr__(self, "__wrapped__", wrapped)
        object.__setattr__(self, "_kcevents_decorate", decorate)
        object.__setattr__(self, "__call__", call)
        object.__setattr__(self, "_kcevents_remade", remade)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the object, for `isinstance`; but not for a method, because its `__func__` would not record."""
        kind = type(self.__wrapped__)
        return RecordedCallable if kind in ROUTINES else kind

    @property
    def __signature__(self) -> inspect.Signature:
        try:
            return inspect.signature(self.__wrapped__)
        except (TypeError, ValueError) as error:  # a function in C may have none
            raise AttributeError(str(error)) from None

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__
        return own(self, name) if name in _OWN else getattr(own(self, "__wrapped__"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __dir__(self) -> list[str]:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return f"<recorded {self.__wrapped__!r}>"

    def __reduce__(self) -> str | Remade:
        name: str = getattr(self.__wrapped__, "__qualname__", "")
        return name if is_found_as(self, self.__wrapped__) else self._kcevents_remade

    def __copy__(self) -> Any:
        return self._kcevents_decorate(copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._kcevents_decorate(deepcopy(self.__wrapped__, memo))


def special_methods(wrapped: Any) -> tuple[str, ...]:
    """Return the names of the special methods of an object that a proxy of it needs.

    Args:
        wrapped: The object.
    """
    return tuple(name for name in _SPECIAL if hasattr(type(wrapped), name))


def _forward(name: str) -> Callable[..., Any]:
    def method(self: RecordedCallable, *args: Any) -> Any:
        result = getattr(self.__wrapped__, name)(*args)
        return self if result is self.__wrapped__ else result  # such as the result of `__enter__`

    return method


def _get(self: RecordedCallable, instance: Any, owner: type | None = None) -> Any:
    """Bind the proxy like the object that it wraps."""
    bound = self.__wrapped__.__get__(instance, owner)
    if bound is self.__wrapped__:
        return self
    if isinstance(bound, MethodType) and bound.__func__ is self.__wrapped__:
        return MethodType(self, bound.__self__)
    return self._kcevents_decorate(bound)


INDIRECT = (
    *("apply_async", "delay", "send", "send_with_options", "submit", "remote", "enqueue", "aenqueue", "kiq", "defer"),
    *("defer_async", "call_local", "schedule", "expand", "execute_in_process", "invoke", "with_hooks"),
    *("dagster_internal_init", "dispatch_execute", "run_no_wait", "__dask_graph__"),
)
"""Methods of objects that run the function elsewhere or later: tasks of Celery, dramatiq, Prefect, Ray, Dask, huey,
taskiq, procrastinate, Airflow, Dagster and Flyte, commands of click, and others.
"""


def reject_indirect(function: Any, decorator: str) -> None:
    """Reject an object that runs its function through other methods, because those calls would not be recorded.

    Args:
        function: The callable to decorate.
        decorator: How the decorator is written, such as `allocation.load`.

    Raises:
        TypeError: The object has such a method.
    """
    kind = function.__class__  # attributes of functions are ignored; a proxy has the class of its object
    for name in INDIRECT:
        if callable(getattr(kind, name, None)):
            raise TypeError(
                f"{short_repr(function)} has .{name}(), which runs its function without a call that {decorator} could "
                f"record; write @{decorator} below the decorator that creates the object"
            )
