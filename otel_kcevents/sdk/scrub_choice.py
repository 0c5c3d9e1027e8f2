"""`set_scrub`: choose the function that scrubs messages in this process and in its child processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache, cached_property
from importlib import import_module
from typing import Any

from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.scrub import scrub
from otel_kcevents.model.scrubbing import replace_scrub
from otel_kcevents.sdk import published

__all__ = ["inherit_scrub", "set_scrub"]


_OFF = "off"
_chosen: str | None = None  # published to spawned processes: the name of a function, or `off`; None for the default


def set_scrub(function: Callable[[str], str] | bool | None = True) -> None:
    """Set the function that removes secrets from messages of exceptions before a log, a span or a warning shows them.

    The function is used in this process and in the processes that `multiprocessing` starts from it. Spawned processes
    import it by its module and name. If it cannot be imported, such as a lambda, spawned processes use the default, and
    a warning is logged.

    Args:
        function: A function that takes a message, or a part of a stack trace, and returns it without secrets. If it
            raises an exception or does not return a string, the default is used, and one warning is logged. True or
            None for the default, `scrub`; False for no scrubbing.

    Raises:
        TypeError: *function* is neither callable nor a bool nor None.
    """
    if not callable(function):
        if not isinstance(function, (bool, type(None))):
            kind = type(function).__qualname__
            raise TypeError(
                f"scrub must be a function of a message that returns a string, or False, got a value of {kind}"
            )
        replace_scrub(None if function is False else scrub)
        return _publish(_OFF if function is False else None)
    replace_scrub(function)
    name = None if function is scrub else _name_of(function)
    if name is None and function is not scrub:
        message = "the scrub function %s cannot be imported by name: spawned processes use the default rules"
        _logger.warning(message, getattr(function, "__qualname__", type(function).__qualname__))
    _publish(name)


def inherit_scrub(choice: str) -> None:
    """Scrub messages like the parent of this spawned process.

    Args:
        choice: The string that the parent has published.
    """
    replace_scrub(None if choice == _OFF else _ImportedFunction(choice))
    _publish(choice)


class _ImportedFunction:
    """A function that is imported when it is first called: the main module of a spawned process is imported late.

    Args:
        name: Its module and its qualified name, separated by `:`.
    """

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    @cached_property
    def _function(self) -> Any:
        module, _, name = self.__qualname__.partition(":")
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def __call__(self, text: str) -> str:
        found: str = self._function(text)
        return found


def _name_of(function: object) -> str | None:
    """Return `module:qualified name` of a function; None if it cannot be imported by them."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found: object = sys.modules.get(module) if isinstance(module, str) else None
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is function else None


def _publish(choice: str | None) -> None:
    global _chosen
    _chosen = choice
    published.publish_scrub(choice)
    _publish_in_forked_children()


@cache
def _publish_in_forked_children() -> None:
    """Publish the choice again in each forked child, with the child's process id, for the child's own children."""
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=lambda: published.publish_scrub(_chosen))
