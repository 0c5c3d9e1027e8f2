"""Shims: functions with the parameters of another function, which pass on their calls.

Python binds the arguments of a generator function or a coroutine function when it is called, and runs its body later.
A wrapper that takes `*args, **kwargs` would detect wrong arguments only when the body runs. It would also show its own
parameters to code that reads a function's code object, such as `inspect.getfullargspec`.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from functools import lru_cache
from keyword import iskeyword
from types import CellType, CodeType, FunctionType
from typing import Any

from otel_kcevents.record.callables import Shape, body_of

__all__ = ["inner_of", "is_decorated", "is_shim", "make_shim", "shim_code"]

_PREFIX = "_kcevents_"  # of the names in a shim that are not the function's

# Generators are not driven by `yield from`, which calls close() if GeneratorExit is thrown in, and drops the result.
# Each step runs outside the `except` clause, so that its errors do not get the thrown error as their context. A yielded
# item is popped, so that only the consumer keeps it alive while the generator waits.
_BODIES: dict[Shape, str] = {
    "plain": """return {0}inner({arguments})""",
    "coroutine": """return await {0}inner({arguments})""",
    "generator": """{0}run = {0}inner({arguments})
        {0}step, {0}value = {0}run.send, None
        while True:
            try:
                {0}items = [{0}step({0}value)]
            except StopIteration as {0}stop:
                return {0}stop.value
            finally:
                {0}step = {0}value = None
            try:
                {0}value = yield {0}items.pop()
                {0}step = {0}run.send
            except BaseException as {0}error:
                {0}step, {0}value = {0}run.throw, {0}error
""",
    "async generator": """{0}run = {0}inner({arguments})
        {0}step, {0}value = {0}run.asend, None
        while True:
            try:
                {0}items = [await {0}step({0}value)]
            except StopAsyncIteration:
                return
            finally:
                {0}step = {0}value = None
            try:
                {0}value = yield {0}items.pop()
                {0}step = {0}run.asend
            except BaseException as {0}error:
                {0}step, {0}value = {0}run.athrow, {0}error
""",
}

_CONSTANT = "the function that the shim calls"


def make_shim(function: Callable[..., Any] | None, shape: Shape, inner: Callable[..., Any]) -> FunctionType:
    """Return a function of the given shape that takes the arguments of *function* and calls *inner* with them.

    Its parameters, defaults, globals and source location are those of the code of *function*. `__signature__` and
    `__wrapped__` are ignored, because they need not match what the code accepts. The shim of a callable without Python
    code takes `*args, **kwargs`. Arguments with defaults are always passed on.

    Args:
        function: The function, method or callable object; None for any arguments.
        shape: The kind of result that a call of *function* returns.
        inner: The function that gets the arguments. For a generator it returns an object with `send` and `throw`, for
            an async generator an object with `asend` and `athrow`; they end with StopIteration or StopAsyncIteration.
    """
    body, bound = (None, 0) if function is None else body_of(function)
    if type(body) is not FunctionType:  # a proxy may claim to be one, and accept other arguments
        code = _compile(shape, "*args, **kwargs", "*args, **kwargs", _PREFIX)
        return FunctionType(code, {"__builtins__": __builtins__}, code.co_name, None, (CellType(inner),))
    parameters, arguments, prefix, count = _parameters(body.__code__, bound)
    code = _compile(shape, parameters, arguments, prefix).replace(
        co_name=f"record_{body.__name__}",  # distinguishes it from the function in a profile
        co_filename=body.__code__.co_filename,
        co_firstlineno=body.__code__.co_firstlineno,
    )
    defaults = (body.__defaults__ or ())[-count:] if count else ()
    shim = FunctionType(code, body.__globals__, body.__name__, defaults or None, (CellType(inner),))
    shim.__kwdefaults__ = body.__kwdefaults__
    return shim


def shim_code(function: FunctionType, shape: Shape, inner: Callable[..., Any]) -> CodeType:
    """Return code that can replace the code of a function: it calls *inner* with the same arguments.

    It has the parameters, the free variables, the name and the source location of the function's own code.

    Args:
        function: The function.
        shape: The kind of result that a call of *function* returns.
        inner: The function that gets the arguments, as for `make_shim`.

    Raises:
        ValueError: No other code can have the same parameters, because their names are not identifiers.
    """
    own = function.__code__
    parameters, arguments, prefix, count = _parameters(own, 0)
    if count != own.co_argcount:
        raise ValueError(f"the parameters of {function.__qualname__} are not identifiers: {own.co_varnames}")
    code = _compile(shape, parameters, arguments, prefix, len(own.co_freevars))
    if sys.version_info >= (3, 11):  # pragma: no branch - Python 3.10 has no qualified names
        code = code.replace(co_qualname=own.co_qualname)
    return code.replace(
        co_name=own.co_name,
        co_filename=own.co_filename,
        co_firstlineno=own.co_firstlineno,
        co_freevars=own.co_freevars,
        co_consts=tuple(inner if held == _CONSTANT else held for held in code.co_consts),
    )


def is_shim(code: CodeType) -> bool:
    """Return whether code is that of a shim.

    Args:
        code: The code.
    """
    names = (*code.co_varnames[code.co_argcount :], *code.co_freevars[:1])
    return any(name.startswith(_PREFIX) for name in names)


def inner_of(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the function that a shim calls; None for any other callable.

    It is found through the shim's code, because `functools.wraps` copies attributes to other functions.

    Args:
        function: The callable; also a method, a partial, or an object whose `__call__` is the shim.
    """
    body, _ = body_of(function)
    if type(body) is not FunctionType:
        return None
    code = body.__code__
    if body.__closure__ and is_decorated(body):
        inner: Callable[..., Any] = body.__closure__[0].cell_contents
        return inner
    if any(name.startswith(_PREFIX) for name in code.co_varnames[code.co_argcount :]):  # of `shim_code`
        return next(filter(callable, code.co_consts), None)
    return None


def is_decorated(function: FunctionType) -> bool:
    """Return whether a function is a shim of `make_shim`; false if its code is that of `shim_code`.

    Args:
        function: The function.
    """
    return any(name.startswith(_PREFIX) for name in function.__code__.co_freevars[:1])


def _parameters(code: CodeType, bound: int) -> tuple[str, str, str, int]:
    """Return the parameters and the arguments that pass them on as source, an unused prefix, and the number of
    positional parameters.
    """
    at = code.co_argcount
    positional, keyword_only = code.co_varnames[:at], code.co_varnames[at : at + code.co_kwonlyargcount]
    rest = list(code.co_varnames[at + code.co_kwonlyargcount :])
    positional_only = code.co_posonlyargcount
    positional, positional_only = positional[bound:], max(positional_only - bound, 0)
    variable = f"*{rest.pop(0)}" if code.co_flags & inspect.CO_VARARGS else ""
    keywords = f"**{rest[0]}" if code.co_flags & inspect.CO_VARKEYWORDS else ""
    names = [*positional, *keyword_only]
    if any(not name.isidentifier() or iskeyword(name) for name in names):
        return "*args, **kwargs", "*args, **kwargs", _PREFIX, 0
    parameters = [*positional[:positional_only], "/"] if positional_only else []
    parameters += [*positional[positional_only:], variable or ("*" if keyword_only else ""), *keyword_only, keywords]
    arguments = [*positional, variable, *(f"{name}={name}" for name in keyword_only), keywords]
    prefix = _PREFIX
    while any(name.startswith(prefix) for name in code.co_varnames):  # such as those of another shim
        prefix += "_"
    return ", ".join(filter(None, parameters)), ", ".join(filter(None, arguments)), prefix, len(positional)


@lru_cache(maxsize=1024)
def _compile(shape: Shape, parameters: str, arguments: str, prefix: str, variables: int | None = None) -> CodeType:
    """Return the code of a shim, all of it on its first line.

    Its only free variable is the function that it calls. If *variables* is given, it has that many free variables,
    which it does not use, and the function that it calls is a local variable with a constant.
    """
    outer, prologue = f"{prefix}inner", ""
    if variables is not None:
        outer = ", ".join(f"{prefix}{number}" for number in range(variables))
        prologue = f"{prefix}inner = {_CONSTANT!r}\n        "
        if outer:  # code that is never reached makes them free variables
            prologue = f"if 0: {outer}\n        {prologue}"
    header = "async def" if shape in ("coroutine", "async generator") else "def"
    body = _BODIES[shape].format(prefix, arguments=arguments)
    text = f"def make({outer}):\n    {header} {prefix}function({parameters}): "
    node: Any
    tree: Any
    if prologue or "\n" in body:
        tree = ast.parse(f"{text}\n        {prologue}{body}")
        for node in ast.walk(tree):
            if "lineno" in node._attributes:
                node.lineno = node.end_lineno = 1
    else:
        tree = text + body
    (make,) = (held for held in compile(tree, "<otel_kcevents>", "exec").co_consts if isinstance(held, CodeType))
    (code,) = (held for held in make.co_consts if isinstance(held, CodeType))
    return code
