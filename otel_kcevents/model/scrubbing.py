"""`set_scrub`: the function that scrubs messages in this process and in those that `multiprocessing` starts from it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from otel_kcevents.model.scrub import scrub

__all__ = ["scrubbed", "scrubbed_frame", "set_scrub"]

_logger = logging.getLogger("otel_kcevents")

_PUBLISHED = "OTEL_PYTHON_KCEVENTS_SCRUB"  # the id of the process that set a function, and its name
_OFF = "off"
_function: Callable[[str], str] | None = None  # None: not looked up yet
_inherited: str | None = None  # the name of the parent's function, in a process that multiprocessing spawned
_has_warned = False
_running = threading.local()


def set_scrub(function: Callable[[str], str] | bool | None = True) -> None:
    """Choose how the messages of exceptions are scrubbed before they reach a log, a span or a warning.

    The choice holds for the whole process and for the processes that `multiprocessing` starts from it. Spawned ones
    import the function by its module and name; if it has none that can be imported, such as a lambda, a warning is
    logged and spawned processes use the default.

    Args:
        function: Takes a message, or a part of a stack trace, and returns it without secrets. If it raises an exception
            or does not return a string, the default is used, with one warning. True or None for the default, `scrub`;
            False for no scrubbing.

    Raises:
        TypeError: *function* is neither callable nor a bool nor None.
    """
    global _function, _has_warned
    if not callable(function) and not isinstance(function, (bool, type(None))):
        kind = type(function).__qualname__
        raise TypeError(f"scrub must be a function of a message that returns a string, or False, got a value of {kind}")
    _function = function if callable(function) else _unchanged if function is False else scrub
    _has_warned = False
    scrubbed_frame.cache_clear()
    if callable(function) and function is not scrub and _name_of(function) is None:
        message = "the scrub function %s cannot be imported by name: spawned processes use the default rules"
        _logger.warning(message, getattr(function, "__qualname__", type(function).__qualname__))
    _publish()


def _unchanged(text: str) -> str:
    return text


def _publish() -> None:
    """Publish the choice to spawned processes, in the environment; a forked one does it again, with its own id."""
    if _function is None:
        name = _inherited
    else:
        name = None if _function is scrub else _OFF if _function is _unchanged else _name_of(_function)
    if name is None:
        os.environ.pop(_PUBLISHED, None)
    else:
        os.environ[_PUBLISHED] = f"{os.getpid()} {name}"


def _inherit() -> None:
    """Take over what the parent of a spawned process has published. Another program only inherits the environment."""
    global _inherited
    pid, _, name = os.environ.get(_PUBLISHED, "").partition(" ")
    if not name or _inherited is not None:
        return
    from multiprocessing import parent_process

    parent = parent_process()
    is_spawning = parent is None and "--multiprocessing-fork" in sys.orig_argv  # it still imports the main module
    if pid == str(parent.pid if parent else os.getppid() if is_spawning else None):
        _inherited = name
        _publish()


def _name_of(function: object) -> str | None:
    """Return `module:qualified name` of a function that can be imported by it."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found: object = sys.modules.get(module) if isinstance(module, str) else None
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is function else None


def _look_up() -> Callable[[str], str]:
    """Return the function that this process has inherited; the default if there is none."""
    _inherit()
    if _inherited is None or _inherited == _OFF:
        return scrub if _inherited is None else _unchanged
    from importlib import import_module

    module, _, name = _inherited.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        _warn(_inherited, f"it cannot be imported ({type(error).__qualname__})")
        return scrub
    return cast("Callable[[str], str]", found)


def _warn(name: object, problem: str) -> None:
    global _has_warned
    if not _has_warned:
        _has_warned = True
        _logger.warning("the scrub function %s is replaced by the default rules (logged once): %s", name, problem)


def scrubbed(text: str) -> str:
    """Return a message without secrets, as `set_scrub` says; never raises because of the program's function.

    Args:
        text: The message, or a part of a stack trace.
    """
    global _function
    function = _function
    if function is None:
        function = _function = _look_up()
    if function is scrub or function is _unchanged:
        return function(text)
    if getattr(_running, "is_running", False):  # the function calls a decorated one that fails
        return scrub(text)
    _running.is_running = True
    try:
        found = function(text)
        if isinstance(found, str):
            return found
        problem = f"it returned a value of {type(found).__qualname__}"
    except Exception as error:
        problem = f"it raised {type(error).__qualname__}"  # the message may hold what should be scrubbed
    finally:
        _running.is_running = False
    _warn(getattr(function, "__qualname__", type(function).__qualname__), problem)
    return scrub(text)


@lru_cache(maxsize=512)
def scrubbed_frame(frame: str) -> str:
    """Return `scrubbed(frame)`, quickly for a frame of an earlier stack trace: those of a function hardly differ."""
    return scrubbed(frame)


_inherit()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_publish)
