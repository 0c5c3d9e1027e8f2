"""Methods of subclasses: those that override a named method, and those that a named class inherits.

An override that calls `super()` is recorded as one call: the call of the inherited method inside it, on the same
object, is not recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from types import FunctionType
from typing import Any

from otel_kcevents.plugin.patching import Replacement
from otel_kcevents.record.callables import shape_of
from otel_kcevents.record.late import LateCallable, Recording
from otel_kcevents.record.shim import make_shim

__all__ = ["SubclassWatch", "count_once", "inherited_method", "subclasses_of"]

_Calls = tuple[tuple[Any, tuple[str, FunctionType]], ...]

_active: ContextVar[_Calls] = ContextVar("otel_kcevents_active", default=())
"""The counted calls that are running in this context: the object, and the group and the method of each."""


def subclasses_of(owner: type) -> list[type]:
    """Return all classes below a class, the highest first.

    Args:
        owner: The class.
    """
    found: dict[type, None] = {}
    waiting = [owner]
    while waiting:
        below: list[type] = type.__subclasses__(waiting.pop(0))
        for subclass in below:
            if subclass not in found:
                found[subclass] = None
                waiting.append(subclass)
    return list(found)


class SubclassWatch:
    """Calls a function with each subclass of a class that is defined from now on, even inside a function.

    It extends `__init_subclass__`, which Python calls with each new class. A subclass may define that method without
    calling `super()`: pass such a class to `extend`.

    Args:
        owner: The class.
        on_defined: The function; it never raises.
    """

    def __init__(self, owner: type, on_defined: Callable[[type], None]) -> None:
        self._notify = _Notify(on_defined)
        self._replaced: list[tuple[type, Replacement]] = []
        self.extend(owner)

    def extend(self, owner: type) -> None:
        """Watch the subclasses of a class, too.

        Args:
            owner: The class.
        """
        if any(owner is watched for watched, _ in self._replaced):
            return
        own, notify = vars(owner).get("__init_subclass__"), self._notify

        def __init_subclass__(cls: Any, /, **options: Any) -> None:
            if own is None:
                super(owner, cls).__init_subclass__(**options)  # type: ignore[arg-type]  # it is a class
            else:
                own.__get__(None, cls)(**options)
            notify(cls)

        self._replaced.append((owner, Replacement(owner, "__init_subclass__", classmethod(__init_subclass__))))

    @property
    def is_alive(self) -> bool:
        """Whether there is something to undo."""
        return True

    def undo(self) -> None:
        """Stop watching."""
        for _, replaced in reversed(self._replaced):
            replaced.undo()
        self._notify.on_defined = None  # another tool may have kept the method


class _Notify:
    """Calls a function with a new class; in a class that is unpickled in another process it does nothing."""

    def __init__(self, on_defined: Callable[[type], None] | None = None) -> None:
        self.on_defined = on_defined

    def __call__(self, owner: type) -> None:
        if self.on_defined is not None:
            self.on_defined(owner)

    def __reduce__(self) -> tuple[type[_Notify], tuple[()]]:
        return _Notify, ()


def inherited_method(owner: type, attribute: str, value: Any, record: Callable[[FunctionType], Recording]) -> Any:
    """Return a method that calls the one that a class inherits, as `super()` does, and records the call.

    Args:
        owner: The class.
        attribute: The name of the method.
        value: What the class inherits: a function, a classmethod or a staticmethod.
        record: Returns what the method calls, for a function that calls the inherited method.
    """
    kind = type(value) if isinstance(value, (classmethod, staticmethod)) else None
    inherited = value if kind is None else value.__func__
    call = functools.partial(_call_inherited, owner, attribute, kind is staticmethod)
    shape = shape_of(inherited)
    through = make_shim(inherited, shape, call)
    method = make_shim(inherited, shape, record(_named_like(inherited, through)))
    return _named_like(inherited, method) if kind is None else kind(_named_like(inherited, method))


def _named_like(inherited: Any, made: FunctionType) -> FunctionType:
    functools.update_wrapper(made, inherited)
    del made.__wrapped__  # type: ignore[attr-defined]  # it is not a wrapper: `super()` decides what it calls
    return made


def _call_inherited(owner: type, attribute: str, is_static: bool, /, *args: Any, **kwargs: Any) -> Any:
    if is_static:
        return getattr(super(owner, owner), attribute)(*args, **kwargs)
    return getattr(super(owner, args[0]), attribute)(*args[1:], **kwargs)


def count_once(group: str, recording: Recording, original: FunctionType) -> Recording:
    """Wrap a recording so that a call inside a recorded call of an override, on the same object, is not recorded.

    Args:
        group: Identifies the methods that override each other.
        recording: Records the calls of the method.
        original: The method, which is then called directly.
    """
    counted_method, shape = (group, original), shape_of(original)

    def is_inside(args: tuple[Any, ...]) -> bool:
        """Return whether an override has called the method on the same object; recursive calls are counted."""
        return bool(args) and any(
            instance is args[0] and of == group and method is not original for instance, (of, method) in _active.get()
        )

    def plain(*args: Any, **kwargs: Any) -> Any:
        if is_inside(args):
            return original(*args, **kwargs)
        with _Active(args, counted_method):
            return recording(*args, **kwargs)

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        if is_inside(args):
            return await original(*args, **kwargs)
        with _Active(args, counted_method):
            return await recording(*args, **kwargs)

    def steps(*args: Any, **kwargs: Any) -> Any:
        if is_inside(args):
            return original(*args, **kwargs)
        return _Steps(recording(*args, **kwargs), _Active(args, counted_method))

    counted = Recording({"plain": plain, "coroutine": coroutine}.get(shape, steps))
    counted.marks = recording.marks
    counted.remade = (_count_again, (group, *recording.remade, original))
    return counted


def _count_again(
    group: str, remake: Callable[..., LateCallable], remade: tuple[Any, ...], original: Any
) -> LateCallable:
    """Return what the shim of an unpickled method calls."""

    def decorate() -> Callable[..., Any]:
        recording = remake(*remade).decorated
        return count_once(group, recording, original) if isinstance(recording, Recording) else recording

    return LateCallable(decorate, (_count_again, (group, remake, remade, original)))


class _Active:
    """Adds a call to those that are running in this context, for a `with` block.

    Args:
        args: The arguments of the call, whose first one is the object.
        method: The group and the method.
    """

    def __init__(self, args: tuple[Any, ...], method: tuple[str, FunctionType]) -> None:
        self._call = (args[0] if args else None, method)
        self._outside: _Calls = ()
        self._inside: _Calls = ()

    def __enter__(self) -> None:
        self._outside = _active.get()
        self._inside = (*self._outside, self._call)
        _active.set(self._inside)

    def __exit__(self, *error: object) -> None:
        if _active.get() is self._inside:  # the garbage collector may close a coroutine in any context
            _active.set(self._outside)


class _Steps:
    """The steps of a generator or an async generator, during which its call is one of the running calls.

    Args:
        run: Makes the steps.
        active: The call.
    """

    def __init__(self, run: Any, active: _Active) -> None:
        self._run = run
        self._active = active

    def send(self, value: Any) -> Any:
        with self._active:
            return self._run.send(value)

    def throw(self, error: BaseException) -> Any:
        with self._active:
            return self._run.throw(error)

    async def asend(self, value: Any) -> Any:
        with self._active:
            return await self._run.asend(value)

    async def athrow(self, error: BaseException) -> Any:
        with self._active:
            return await self._run.athrow(error)
