"""`Ending`: exports what is queued when a process ends, also in the providers that others have set."""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from opentelemetry import metrics, trace

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk.delivery import Delivery

__all__ = ["Ending", "other_providers"]


def other_providers(own: Sequence[object]) -> list[Any]:
    """Return the global providers that have something to flush, except those of a list.

    Args:
        own: The providers that `configure()` has set.
    """
    both = (trace.get_tracer_provider(), metrics.get_meter_provider())
    return [provider for provider in both if provider not in own and hasattr(provider, "force_flush")]


class Ending:
    """Exports what is queued when this process, or a child that it forks, ends without running exit handlers.

    Args:
        timeout: The maximum time to wait for the providers of others, in seconds.

    Attributes:
        delivery: What the providers of this package export.
        own: These providers.
    """

    delivery: Delivery
    own: list[Any]

    def __init__(self, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self.delivery = Delivery()
        self.own = []
        self._running: list[int] = []  # the process of each call: a forked child has a copy

    @property
    def is_running(self) -> bool:
        """Whether a call is in progress."""
        return os.getpid() in self._running or self.delivery.is_ending

    def __call__(self) -> None:
        """Export everything, within the time limits of `Delivery.end`, and that for the providers of others."""
        process = os.getpid()
        self._running.append(process)  # set first, so that a signal handler sees that the final export has started
        try:
            begun = monotonic()
            flushes = []
            for provider in other_providers(self.own):
                with suppress(RuntimeError):  # no thread can be started
                    flushes.append((provider, self._start_flush(provider)))
            self.delivery.end()
            for provider, done in flushes:
                if not done.acquire(timeout=max(0.0, begun + self._timeout - monotonic())):
                    name = type(provider).__qualname__
                    _logger.warning("the %s of the program did not export everything in %g s", name, self._timeout)
        finally:
            self._running.remove(process)

    def _start_flush(self, provider: Any) -> Any:
        """Flush a provider in a thread, because that may exceed any timeout; return a lock that is held meanwhile."""
        done = allocate_lock()
        done.acquire()

        def flush() -> None:  # pragma: no cover - coverage does not see threads that `threading` has not started
            try:
                provider.force_flush(int(self._timeout * 1000))
            except Exception as error:
                name = type(provider).__qualname__
                _logger.warning("the %s of the program cannot be flushed: %s", name, error_message(error))
            finally:
                done.release()

        start_new_thread(flush, ())  # unlike Thread, takes no lock of code that a signal may have interrupted
        return done
