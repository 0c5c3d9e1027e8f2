"""`Definitions`: which names of a running module have been defined since the last check, and when none can follow."""

from __future__ import annotations

import dis
from collections.abc import Callable
from types import CodeType
from typing import Any

__all__ = ["Definitions", "may_define"]

_MISSING = object()
_STORES = ("STORE_NAME", "STORE_GLOBAL")


class Definitions:
    """The definitions at the top level of a module while its code runs.

    The values of names are compared by identity, so decorators and redefinitions are noticed, whatever they return.

    Args:
        code: The code of the module.
        namespace: The globals of the module.
        is_relevant: Returns whether a name is relevant. It also gets whether the name is that of a `def` or `class`;
            otherwise imports or assignments bind it.

    Attributes:
        names: The relevant names that the code binds.
    """

    def __init__(self, code: CodeType, namespace: dict[str, Any], is_relevant: Callable[[str, bool], bool]) -> None:
        defined = {_name_of(constant) for constant in code.co_consts if isinstance(constant, CodeType)}
        candidates = {name for name in code.co_names if is_relevant(name, name in defined)}
        self.names: frozenset[str] = frozenset()
        self._namespace = namespace
        self._last = self._last_return = -1
        self._loops: list[tuple[int, int]] = []
        if candidates:
            self._read_code(code, candidates)
        self._bound = {name: namespace.get(name, _MISSING) for name in self.names}

    def have_changed(self) -> bool:
        """Return whether relevant names have been bound since the last call, or since the start."""
        changed = False
        for name, value in self._bound.items():
            current = self._namespace.get(name, _MISSING)
            if current is not value:
                self._bound[name] = current
                changed = True
        return changed

    def are_over(self, offset: int) -> bool:
        """Return whether no relevant definition can follow.

        Args:
            offset: The offset in the code of the module of the instruction that runs next.
        """
        return self._last < offset <= self._last_return

    def may_repeat(self, offset: int) -> bool:
        """Return whether relevant definitions can run between two runs of an instruction: both are in one loop.

        Args:
            offset: The offset of the instruction.
        """
        return any(start <= offset <= end for start, end in self._loops)

    def _read_code(self, code: CodeType, candidates: set[str]) -> None:
        """Find the names, the offset after which nothing binds them, and where the main part of the code ends.

        Since Python 3.12, exception handlers follow the last `return`, and jump back into the main part.
        """
        steps = list(dis.get_instructions(code))
        stores = [step for step in steps if step.opname in _STORES and step.argval in candidates]
        self.names = frozenset(step.argval for step in stores)
        returns = [step.offset for step in steps if step.opname.startswith("RETURN_")]
        self._last_return = max(returns, default=steps[-1].offset)  # the code may have none, if it always raises
        jumps = [(step.argval, step.offset) for step in steps if "JUMP" in step.opname]
        loops = [(start, end) for start, end in jumps if any(start <= store.offset < end for store in stores)]
        in_handlers = [(0, self._last_return) for store in stores if store.offset > self._last_return]
        ends = [end for _, end in loops if end < self._last_return]  # a handler may jump back without a loop
        self._last = max([*(min(step.offset, self._last_return) for step in stores), *ends], default=-1)
        self._loops = loops + in_handlers  # it is not known to which loops handlers belong


def _name_of(code: CodeType) -> str:
    """Return the name of a function or class. Since Python 3.12, one with type parameters is inside other code."""
    return code.co_name.removeprefix("<generic parameters of ").removesuffix(">")


def may_define(pattern: str, name: str) -> bool:
    """Return whether the definition of a top-level name can be, or contain, what a qualified name matches.

    Args:
        pattern: The qualified name, which may be a glob.
        name: The name at the top level of a module.
    """
    wildcards = [pattern.index(sign) for sign in "*?[" if sign in pattern]
    literal, dot, _ = pattern[: min(wildcards, default=None)].partition(".")
    return name == literal if dot or not wildcards else name.startswith(literal)
