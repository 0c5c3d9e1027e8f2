"""`logger`: logs the warnings of this package, and keeps the newest of them for bug reports and journals.

Programs often silence loggers that they do not know. A bug report needs the warnings anyway.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from itertools import count
from time import time_ns
from typing import NamedTuple

__all__ = ["MAX_PROBLEMS", "Problem", "ProblemLogger", "logger"]

MAX_PROBLEMS = 100
"""The maximum number of warnings that are kept."""

_MAX_LENGTH = 4096  # characters of a message


class Problem(NamedTuple):
    """A warning that this package has logged.

    Attributes:
        number: Its number in this process, from 1.
        time: When it was logged, in nanoseconds since 1970.
        message: The message.
    """

    number: int
    time: int
    message: str


class ProblemLogger:
    """Passes messages to the logger `otel_kcevents` and keeps the newest warnings. It takes no lock of its own."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("otel_kcevents")
        self._numbers = count(1)
        self._kept: deque[Problem] = deque(maxlen=MAX_PROBLEMS)

    @property
    def last(self) -> int:
        """The number of the newest warning; 0 if there is none."""
        return self._kept[-1].number if self._kept else 0

    def since(self, number: int = 0) -> list[Problem]:
        """Return the kept warnings after the one with this number, the oldest first.

        Args:
            number: The number of a warning; 0 for all.
        """
        return [problem for problem in list(self._kept) if problem.number > number]

    def warning(self, message: str, *args: object) -> None:
        """Log and keep a warning.

        Args:
            message: The message, with `%` formats for the arguments.
            args: The arguments.
        """
        self._keep(message, args)
        self._logger.warning(message, *args, stacklevel=2)

    def exception(self, message: str, *args: object) -> None:
        """Log an error with the current exception, and keep it as a warning.

        Args:
            message: The message, with `%` formats for the arguments.
            args: The arguments.
        """
        kind = type(sys.exc_info()[1]).__qualname__  # its own message may hold a secret
        self._keep(f"{message}: %s", (*args, kind))
        self._logger.exception(message, *args, stacklevel=2)

    def debug(self, message: str, *args: object, exc_info: bool = False) -> None:
        """Log a detail, which is not kept.

        Args:
            message: The message, with `%` formats for the arguments.
            args: The arguments.
            exc_info: Whether to log the current exception too.
        """
        self._logger.debug(message, *args, exc_info=exc_info, stacklevel=2)

    def _keep(self, message: str, args: tuple[object, ...]) -> None:
        text = message % args if args else message
        text = text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}…"
        self._kept.append(Problem(next(self._numbers), time_ns(), text))


logger: ProblemLogger = ProblemLogger()
"""The logger of this package."""
