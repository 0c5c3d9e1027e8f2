"""`Target`: which functions an entry of a mapping names, by module or file and by qualified name; both may be globs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import FunctionType, ModuleType
from typing import Any

from otel_kcevents.model.messages import short_repr

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """Names the `def` statements of functions.

    Attributes:
        text: The target as in the mapping.
        module: The module's name, or the path of its file, which ends in `.py`; may be a glob.
        name: The function's qualified name; may be a glob.
    """

    text: str
    module: str
    name: str

    @classmethod
    def parse(cls, text: Any) -> Target:
        """Return the target of a string such as `costs.allocator:CostAllocator.allocate` or `dags/cost.py:main`.

        Args:
            text: The string.

        Raises:
            ValueError: It is not a target.
        """
        module, _, name = text.rpartition(":") if isinstance(text, str) else ("", "", "")
        if not module or not name:
            raise ValueError(f"{short_repr(text)} is not a target; expected module:function, such as costs.etl:save")
        return cls(text, module, name)

    @property
    def is_file(self) -> bool:
        """Whether it names the file of a module."""
        return self.module.endswith(".py")

    def matches(self, name: str, file: str | None) -> bool:
        """Return whether it may name functions of a module.

        Args:
            name: The name of the module; for `__main__` also that of its `__spec__`, in a second call.
            file: The path of its file; None if it has none.
        """
        if self.is_file:
            return file is not None and (fnmatchcase(file, self.module) or fnmatchcase(file, f"*/{self.module}"))
        return fnmatchcase(name, self.module)

    def functions(self, module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
        """Yield the qualified names and the functions of a module that it names.

        Args:
            module: A module that it matches.
        """
        for name, value in _members(module, ""):
            if fnmatchcase(name, self.name):
                yield name, value


def _members(holder: Any, prefix: str) -> Iterator[tuple[str, FunctionType]]:
    for name, value in list(vars(holder).items()):
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        value = inspect.unwrap(value) if callable(value) else value
        if isinstance(value, FunctionType):
            yield prefix + name, value
        elif isinstance(value, type) and value.__module__ == (
            holder.__module__ if isinstance(holder, type) else holder.__name__
        ):
            yield from _members(value, f"{prefix}{name}.")
