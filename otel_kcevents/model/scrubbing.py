"""The function that scrubs the messages of this process: the default rules, or the one that the program chose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache

from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.scrub import scrub

__all__ = ["replace_scrub", "scrubbed", "scrubbed_frame"]


_function: Callable[[str], str] | None = scrub  # None: messages are kept as they are
_has_warned = False
_running = threading.local()


def replace_scrub(function: Callable[[str], str] | None) -> None:
    """Scrub the messages of this process by another function from now on.

    Args:
        function: Takes a message, or a part of a stack trace, and returns it without secrets; None to keep messages as
            they are.
    """
    global _function, _has_warned
    _function, _has_warned = function, False
    scrubbed_frame.cache_clear()


def scrubbed(text: str) -> str:
    """Return a message without secrets.

    Never raises: if the program's function raises an exception or does not return a string, the default rules are used,
    and one warning is logged.

    Args:
        text: The message, or a part of a stack trace.
    """
    global _has_warned
    function = _function
    if function is None:
        return text
    if function is scrub or getattr(_running, "is_running", False):  # the function itself records a failure
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
    if not _has_warned:
        _has_warned = True
        name = getattr(function, "__qualname__", type(function).__qualname__)
        _logger.warning("the scrub function %s is replaced by the default rules (logged once): %s", name, problem)
    return scrub(text)


@lru_cache(maxsize=512)
def scrubbed_frame(frame: str) -> str:
    """Return `scrubbed(frame)`, from a cache if it is known: the stack traces of a function share most frames."""
    return scrubbed(frame)
