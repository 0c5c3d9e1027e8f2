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

__all__ = ["OTHERS_TIMEOUT", "Ending", "other_providers"]

OTHERS_TIMEOUT = 5.0
"""The maximum time that the end of a process waits for the providers of others, in seconds."""


def other_providers(own: Sequence[object]) -> list[Any]:
    """Return the global providers that have something to flush, except those of a list.

    Args:
        own: The providers that `configure()` has set.
    """
    both = (trace.get_tracer_provider(), metrics.get_meter_provider())
    return [provider for provider in both if provider not in own and hasattr(provider, "force_flush")]


class Ending:
    """Exports what is queued when this process, or a child that it forks, ends without running exit handlers.

    Attributes:
        delivery: What the providers of this package export.
        own: These providers.
    """

    delivery: Delivery
    own: list[Any]

    def __init__(self) -> None:
        self.delivery = Delivery()
        self.own = []
        self._running: list[int] = []  # the process of each call: a forked child has a copy

    @property
    def is_running(self) -> bool:
        """Whether a call is in progress."""
        return os.getpid() in self._running or self.delivery.is_ending

    def __call__(self) -> None:
        """Export everything, within the time limits of `Delivery.end`, and of 5 s for the providers of others."""
        process = os.getpid()
        self._running.append(process)  # set first, so that a signal handler sees that the final export has started
        try:
            begun = monotonic()
            flushes = [(provider, _start_flush(provider)) for provider in other_providers(self.own)]
            self.delivery.end()
            for provider, done in flushes:
                if not done.acquire(timeout=max(0.0, begun + OTHERS_TIMEOUT - monotonic())):
                    name = type(provider).__qualname__
                    _logger.warning("the %s did not export everything within %g s", name, OTHERS_TIMEOUT)
        finally:
            self._running.remove(process)


def _start_flush(provider: Any) -> Any:
    """Flush a provider in a thread, because its `force_flush` may exceed any timeout; return a lock for its end."""
    done = allocate_lock()

    def flush() -> None:
        try:
            provider.force_flush(int(OTHERS_TIMEOUT * 1000))
        except Exception as error:
            _logger.warning("the %s cannot be flushed: %s", type(provider).__qualname__, error_message(error))
        finally:
            done.release()

    with suppress(RuntimeError):  # at interpreter exit no thread can be started, and exit handlers flush it
        done.acquire()
        start_new_thread(flush, ())  # unlike Thread, takes no lock of code that a signal may have interrupted
        return done
    done.release()
    return done
