"""References to objects that stay in their process, such as a log, whose copy or pickle refers to the same object."""

from __future__ import annotations

import os
from itertools import count
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

__all__ = ["Reference", "refer", "resolve"]

Reference: TypeAlias = tuple[str, int, int]
"""A random name of the program, the id of the process, and a number in it."""

# It does not change at a fork. A process id alone could also belong to a process of another machine.
_PROGRAM = os.urandom(8).hex()
_numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_objects: WeakValueDictionary[int, Any] = WeakValueDictionary()
_next = count(1)


def refer(value: Any) -> Reference:
    """Return the reference to an object. Further calls with the object return an equal reference.

    Args:
        value: Any object that supports weak references and is hashed by its identity.
    """
    number = _numbers.setdefault(value, next(_next))
    _objects[number] = value
    return _PROGRAM, os.getpid(), number


def resolve(reference: Reference) -> Any:
    """Return the object of a reference; None if it belongs to another process, such as the parent, or was deleted.

    Args:
        reference: A result of `refer()`, in this process or in another one.
    """
    program, process, number = reference
    return _objects.get(number) if (program, process) == (_PROGRAM, os.getpid()) else None
