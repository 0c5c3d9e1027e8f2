"""`passed_on`: whether a wrapper passes on its arguments to the function that it wraps.

Most wrappers in programs take `*args, **kwargs`, log or time the call, and call the function with the same arguments,
which their code shows. Otherwise the arguments of the function are unknown.
"""

from __future__ import annotations

import inspect
import re
from dis import get_instructions
from functools import cache
from types import CellType, FunctionType
from typing import Any, Literal

from otel_kcevents.record.callables import body_of, is_partial

__all__ = ["passed_on"]

# Packages whose wrappers pass on their arguments unchanged
_PACKAGES = "backoff cachetools contextlib functools joblib opentelemetry otel_kcevents stamina tenacity"
_trusted = frozenset(_PACKAGES.split())

# Patterns for a listing of instructions: a use of the wrapped function's name, such as in a message, and an assignment
# to a parameter.
_NAMED = r" wrapped\nLOAD_ATTR __(?:name|qualname|module|doc)__\n"
_STORED = r"\n(?:STORE|DELETE)_.* (?:self|args)\b"


def passed_on(wrapper: Any, wrapped: Any) -> Literal["known", "passed"] | None:
    """Return whether a wrapped function gets the arguments of its wrapper.

    Args:
        wrapper: The function, method or callable object that wraps it.
        wrapped: The wrapped function.

    Returns:
        `known` if it gets the same arguments, `passed` if the wrapper may add keyword arguments, None if it is unknown.
    """
    if is_partial(wrapper):
        return None
    outer, inner = body_of(wrapper)[0], body_of(wrapped)[0]
    module = outer.__globals__.get("__name__", "") if type(outer) is FunctionType else type(wrapper).__module__
    if module.partition(".")[0] in _trusted:
        return "known"
    if type(outer) is not FunctionType:
        return None
    if type(inner) is FunctionType and _layout(outer) == _layout(inner):
        return "known"
    return _passed_by_code(outer, wrapped)


def _layout(function: FunctionType) -> tuple[Any, ...]:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return names, code.co_argcount, code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)


def _passed_by_code(function: FunctionType, wrapped: Any) -> Literal["known", "passed"] | None:
    """Compare the calls of *wrapped* in a function with a call that passes everything on, compiled by this Python."""
    code = function.__code__
    if code.co_argcount > 1 or code.co_kwonlyargcount or not code.co_flags & inspect.CO_VARARGS:
        return None
    listing, call = _listing(function, wrapped), _example_call(code.co_argcount)
    uses = listing.count(" wrapped\n") - len(re.findall(_NAMED, listing))
    if not uses or re.search(_STORED, listing):
        return None
    if listing.count(call) == listing.count(" kwargs") == uses:
        return "known"
    positional = re.escape(call.partition("BUILD_MAP")[0])
    return "passed" if len(re.findall(rf"{positional}(?:BUILD_MAP 0|LOAD_CONST str)\n", listing)) == uses else None


@cache
def _example_call(bound: int) -> str:
    def wrapped(*args: Any, **kwargs: Any) -> None: ...

    examples: tuple[Any, Any] = (
        lambda *args, **kwargs: wrapped(*args, **kwargs),
        lambda self, *args, **kwargs: wrapped(self, *args, **kwargs),
    )
    listing = _listing(examples[bound], wrapped)
    return listing[listing.index("LOAD_DEREF wrapped") : listing.index("RETURN_VALUE")]


def _listing(function: FunctionType, wrapped: Any) -> str:
    """Return the instructions of a function, one per line, with roles in place of the names of variables."""
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount + 2]
    roles = dict(zip(parameters, ("self", "args", "kwargs")[1 - code.co_argcount :], strict=False))
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    roles.update({name: "wrapped" for name, cell in cells if _content(cell) is wrapped})
    lines = []
    for instruction in get_instructions(code):
        name, value = instruction.opname.removesuffix("_BORROW"), instruction.argval
        if name == "LOAD_CONST":
            value = type(value).__name__
        elif any(word in name for word in ("FAST", "DEREF", "CELL", "CLOSURE")):  # some instructions have two variables
            value = " ".join(roles.get(variable, "other") for variable in ((value,) if type(value) is str else value))
        lines.append(f"{name} {value}\n")
    return "".join(lines)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None
