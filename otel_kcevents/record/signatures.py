"""`signature_of`: the parameters of a function, and whether a decorator in between hides their positions.

`functools.wraps` makes `inspect.signature` report the parameters of the wrapped function, but a wrapper may pass that
function other arguments than it gets, such as a connection that it opens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from itertools import takewhile
from types import FunctionType
from typing import Any, Literal, NamedTuple, TypeAlias

from otel_kcevents.record.callables import ROUTINES, body_of, is_partial
from otel_kcevents.record.pass_through import passed_on

__all__ = ["Args", "Extractor", "Kwargs", "Positions", "Signature", "signature_of"]

Args: TypeAlias = tuple[Any, ...]
"""The positional arguments of a call."""

Kwargs: TypeAlias = Mapping[str, Any]
"""The keyword arguments of a call."""

Extractor: TypeAlias = Callable[[Args, Kwargs, Any], Any]
"""Reads a value from a call's positional arguments, its keyword arguments and its result, in this order."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

Positions: TypeAlias = Literal["known", "passed", "hidden", "unknown"]
"""Whether the positional arguments of a call match the positions of the parameters.

`known`: they match. `passed`: they match, but the wrapper may add keyword arguments. `hidden`: they match only if all
are passed. `unknown`: they may not match.
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
        """Check that the positional arguments of a call match the positions of the parameters.

        If a decorator hides the signature, this is certain only if all positional parameters are passed: if the
        decorator added another argument, there would be too many.

        Args:
            args: The positional arguments.
            kwargs: The keyword arguments.

        Raises:
            TypeError: The positional arguments may belong to other parameters.
        """
        if self.positions in ("hidden", "unknown") and not self._is_complete(args, kwargs):
            raise TypeError(
                "a decorator in between may change the positional arguments; put this decorator below it, or pass the "
                "argument by keyword"
            )

    def _is_complete(self, args: Args, kwargs: Kwargs) -> bool:
        positional = [name for name in self.parameters if self.is_positional(name)]
        passed = len(args) + sum(name in kwargs for name in positional[len(args) :])
        takes_more = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in self.parameters.values())
        return self.positions == "hidden" and not takes_more and passed == len(positional)


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return the signature of a function; a function written in C without one takes any arguments.

    Args:
        function: The function, not a partial of one.
    """
    layer: Any = function
    positions: Positions = "known"
    while (wrapped := _wrapped(layer)) is not None:
        known = passed_on(layer, wrapped)
        if known is None:
            break
        positions = "passed" if known == "passed" else positions
        layer = wrapped
    try:
        parameters = dict(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        if type(function) in ROUTINES or type(body_of(function)[0]) is not FunctionType:
            return Signature({}, True)
        # `inspect` treats an object with `__get__` like a function written in C
        layer, parameters = function, _own_parameters(function)
    reports_own = _wrapped(layer) is None and getattr(layer, "__signature__", None) is None
    own = None if reports_own else _own_parameters(layer)
    if own is not None and [*own] != [*parameters]:
        named = list(takewhile(lambda name: own[name].kind in _POSITIONAL, own))
        if not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in own.values()):
            parameters = own
        else:
            positions = "hidden" if named == [*parameters][: len(named)] else "unknown"
    return Signature(parameters, any(p.kind is p.VAR_KEYWORD for p in parameters.values()), positions)


def _wrapped(layer: Any) -> Any:
    """Return the function that a wrapper wraps; None for a function that is not a wrapper."""
    inner = getattr(layer, "__wrapped__", None)
    return getattr(body_of(layer)[0], "__wrapped__", None) if inner is None and not is_partial(layer) else inner


def _own_parameters(layer: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a callable's own code, which may differ from those that it reports."""
    body, bound = body_of(layer)
    if type(body) is not FunctionType or is_partial(layer):
        return {"args": inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)}
    bare = FunctionType(body.__code__, body.__globals__, argdefs=body.__defaults__, closure=body.__closure__)
    bare.__kwdefaults__ = body.__kwdefaults__
    own = dict(inspect.signature(bare).parameters)
    first = next(iter(own), "")
    if bound and own[first].kind in _POSITIONAL:
        del own[first]
    return own
