"""`Facts`: what only the SDK of a running program knows and passes in: providers, exporters, endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Facts", "current_facts", "set_facts"]


class Facts(NamedTuple):
    """What a report says about the program that writes it.

    Attributes:
        writer: What writes the report, such as `the program nightly.py, process 4711`.
        providers: The providers and exporters in use, as pairs of a label and a value.
        endpoints: The endpoints to which the program exports, as `scheme://host:port`, with the names of their signals.
        problems: Settings that could not be used, as messages that hold no secrets.
    """

    writer: str
    providers: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()


_find: Callable[[], Facts] | None = None


def set_facts(find: Callable[[], Facts]) -> None:
    """Set the function that returns the facts of this process, for reports that other modules write.

    Args:
        find: The function. It is called for each report.
    """
    global _find
    _find = find


def current_facts() -> Facts:
    """Return the facts of this process; without `configure()`, only that it was not called."""
    if _find is not None:
        return _find()
    return Facts("a program that does not call configure()", (("configure()", "not called in this process"),))
