"""`signature_of`: the parameters of a function, and whether a decorator in between hides their positions.

`functools.wraps` makes `inspect.signature` report the parameters of the function inside, but a wrapper may pass it
other arguments than it gets: a connection that it opens, or fewer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dis import Instruction, get_instructions
from functools import partial
from itertools import takewhile
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    WrapperDescriptorType,
)
from typing import Any, Literal, NamedTuple, TypeAlias

__all__ = ["Args", "Extractor", "Kwargs", "Positions", "Signature", "signature_of"]

Args: TypeAlias = tuple[Any, ...]
"""The positional arguments of a call."""

Kwargs: TypeAlias = Mapping[str, Any]
"""The keyword arguments of a call."""

Extractor: TypeAlias = Callable[[Args, Kwargs, Any], Any]
"""Reads a value from a call's positional arguments, its keyword arguments and its result, in this order."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# Packages whose wrappers pass on the arguments that they get
_NO_STEPS = ("CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL")
_PASSES_ALL = "backoff cachetools contextlib functools joblib opentelemetry otel_kcevents stamina tenacity"
_TRANSPARENT = frozenset(_PASSES_ALL.split())


Positions: TypeAlias = Literal["known", "passed", "hidden", "unknown"]
"""Whether the positional arguments of a call are those of the parameters.

`known`: they are. `passed`: they are, but arguments that are not passed may be added by name. `hidden`: they are if all
are passed. `unknown`: perhaps not.
"""


class Signature(NamedTuple):
    """The parameters of a function.

    Attributes:
        parameters: The parameters by name, in their order.
        takes_any: Whether it takes keyword arguments of any other name.
        positions: Whether their positions are known; a decorator in between may hide them.
    """

    parameters: Mapping[str, inspect.Parameter]
    takes_any: bool
    positions: Positions = "known"

    def is_positional(self, name: str) -> bool:
        """Return whether a parameter takes a positional argument.

        Args:
            name: The name of the parameter.
        """
        return self.parameters[name].kind in _POSITIONAL

    def check_positions(self, args: Args, kwargs: Kwargs) -> None:
        """Check that the positional arguments of a call are those of the parameters.

        If a decorator hides the signature, that is certain only if all positional parameters are passed: with an
        argument that the decorator adds, they would be too many.

        Args:
            args: The positional arguments.
            kwargs: The keyword arguments.

        Raises:
            TypeError: They may be those of other parameters.
        """
        if self.positions in ("hidden", "unknown") and not self._is_complete(args, kwargs):
            raise TypeError(
                "a decorator in between may pass other arguments than it gets, and hides their positions; decorate "
                "below it, or pass the argument by keyword"
            )

    def _is_complete(self, args: Args, kwargs: Kwargs) -> bool:
        positional = [name for name in self.parameters if self.is_positional(name)]
        passed = len(args) + sum(name in kwargs for name in positional[len(args) :])
        takes_more = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in self.parameters.values())
        return self.positions == "hidden" and not takes_more and passed == len(positional)


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return the signature of a function; a function in C may have none, and may take anything.

    Args:
        function: The function, not a partial of one.
    """
    layer: Any = function
    positions: Positions = "known"
    while (wrapped := _wrapped(layer)) is not None:
        if not _passes_all(layer, wrapped):
            handed_over = _handed_over(_code_of(layer)[0], wrapped)
            if handed_over is None:
                break
            positions = "passed" if handed_over == "passed" else positions
        layer = wrapped
    try:
        parameters = dict(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        return Signature({}, True)
    own = _own_parameters(layer)
    if own is not None and [*own] != [*parameters]:
        named = list(takewhile(lambda name: own[name].kind in _POSITIONAL, own))
        if not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in own.values()):
            parameters = own
        else:
            positions = "hidden" if named == [*parameters][: len(named)] else "unknown"
    return Signature(parameters, any(p.kind is p.VAR_KEYWORD for p in parameters.values()), positions)


def _code_of(layer: Any) -> tuple[Any, bool]:
    """Return the function that holds the code of a callable, and whether its first argument is bound."""
    kind = type(layer)  # a proxy has the `__class__` of what it calls
    if kind is MethodType:
        return layer.__func__, True
    if issubclass(kind, (FunctionType, BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)):
        return layer, False
    return kind.__call__, True


def _wrapped(layer: Any) -> Any:
    """Return what a wrapper wraps; None for a function that is not a wrapper."""
    inner = getattr(layer, "__wrapped__", None)
    return getattr(_code_of(layer)[0], "__wrapped__", None) if inner is None else inner


def _passes_all(layer: Any, wrapped: Any) -> bool:
    """Return whether a wrapper passes on all arguments as it gets them, as far as that is known."""
    code, _ = _code_of(layer)
    module = code.__globals__.get("__name__", "") if isinstance(code, FunctionType) else type(layer).__module__
    if module.partition(".")[0] in _TRANSPARENT and not isinstance(layer, partial):
        return True
    inner, _ = _code_of(wrapped)
    return isinstance(code, FunctionType) and isinstance(inner, FunctionType) and _layout(code) == _layout(inner)


def _layout(function: FunctionType) -> tuple[Any, ...]:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names, code.co_argcount, code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)


def _handed_over(function: Any, wrapped: Any) -> Literal["known", "passed"] | None:
    """Return what is known of the arguments of a function, if the code of a wrapper shows that it passes its own on.

    Most wrappers call what they wrap as `wrapped(*args, **kwargs)` or `wrapped(self, *args, **kwargs)`; some add
    arguments by name, and what is not passed is unknown. Of other calls, and of instructions that a later version of
    Python may have, nothing is known.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_argcount > 1 or code.co_kwonlyargcount or not code.co_flags & inspect.CO_VARARGS:
        return None
    *first, args = code.co_varnames[: code.co_argcount + 1]
    kwargs = code.co_varnames[code.co_argcount + 1] if code.co_flags & inspect.CO_VARKEYWORDS else None
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    names = [name for name, cell in cells if _content(cell) is wrapped]
    steps = [_step(instruction) for instruction in get_instructions(code) if instruction.opname not in _NO_STEPS]
    stored = {name for kind, value in steps if kind.startswith(("STORE", "DELETE")) for name in _variables(value)}
    if stored.intersection((*first, args)):
        return None
    positional: list[tuple[str, Any]] = [("LOAD_FAST", args)]
    if first:
        positional = [("LOAD_FAST", first[0]), ("BUILD_LIST", 1), *positional, ("LIST_EXTEND", 1), ("TO_TUPLE", None)]
    by_name = [("BUILD_MAP", 0), ("LOAD_FAST", kwargs), ("DICT_MERGE", 1), ("CALL_FUNCTION_EX", 1)]
    calls, unchanged = [at + 1 for at, step in enumerate(steps) if step[1] in names], 0
    for at in calls:
        rest = steps[at + len(positional) : at + len(positional) + len(by_name)]
        if steps[at : at + len(positional)] != positional:
            return None
        if rest == by_name:
            unchanged += 1
        elif rest[0] != ("BUILD_MAP", 0) and (rest[0][0] != "LOAD_CONST" or type(rest[0][1]) is not str):
            return None
    uses = sum(kwargs in _variables(value) for _, value in steps)  # `kwargs["x"] = y` is one, too
    return None if not calls else "known" if unchanged == len(calls) == uses else "passed"


def _step(instruction: Instruction) -> tuple[str, Any]:
    """Return an instruction by the name and the value that all versions of Python have."""
    name = instruction.opname.removesuffix("_BORROW")
    return ("TO_TUPLE", None) if name in ("LIST_TO_TUPLE", "CALL_INTRINSIC_1") else (name, instruction.argval)


def _variables(value: Any) -> tuple[Any, ...]:
    """Return the variables of an instruction: some have two."""
    return value if isinstance(value, tuple) else (value,)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _own_parameters(layer: Any) -> dict[str, inspect.Parameter] | None:
    """Return the parameters that a wrapper has, whatever it reports; None if it reports its own."""
    code, is_bound = _code_of(layer)
    if _wrapped(layer) is None and getattr(layer, "__signature__", None) is None:
        return None
    if not isinstance(code, FunctionType):  # in C
        return {"args": inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)}
    bare = FunctionType(code.__code__, code.__globals__, argdefs=code.__defaults__, closure=code.__closure__)
    bare.__kwdefaults__ = code.__kwdefaults__
    own = dict(inspect.signature(bare).parameters)
    first = next(iter(own), "")
    if is_bound and own[first].kind in _POSITIONAL:
        del own[first]
    return own
