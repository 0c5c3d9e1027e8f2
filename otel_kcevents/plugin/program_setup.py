"""`ProgramSetup`: sets up the export and the log of a program under a launcher, without disturbing the program.

A distribution has set the providers by then, or nobody has. In the latter case the program may still do so, as it does
without the launcher, and the API accepts only the first ones. So ours are set when the program starts its first span;
if it has set its own by then, these get the processor instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

from opentelemetry import trace

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.record.counter import observe
from otel_kcevents.sdk.journaling import choose_log_file, keep_in_file
from otel_kcevents.sdk.process_setup import SETUP, needed_providers
from otel_kcevents.sdk.settings import exporters
from otel_kcevents.store.log import default_log
from otel_kcevents.store.run import is_helper

__all__ = ["ProgramSetup"]


class ProgramSetup:
    """Sets up a program: at once what does not affect it, and providers when it needs them."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []  # not empty while providers may be needed
        self._is_setting_up = False

    def begin(self, log_file: str | os.PathLike[str] | Literal[False] | None, *, is_used: bool) -> None:
        """Set up the log, its journal, and the flush at the end; wait for the need of providers if none are set.

        Args:
            log_file: The file of the journal, as for `configure()`.
            is_used: Whether the program has a mapping. If it has neither a mapping nor a journal, this package may be
                installed for other programs: then only the processor is added.

        Raises:
            ValueError: A setting is malformed.
        """
        file = choose_log_file(log_file)
        is_used = is_used or file.path is not None
        if is_used:
            SETUP.export_at_end()
        if needed_providers()[0]:
            self._wait()
        elif not is_used:
            SETUP.retain_events(default_log)
            observe(default_log, None)
        elif not SETUP.is_complete:  # as it is in a process that multiprocessing has spawned
            SETUP.set_providers(None, default_log, ())
        journal = keep_in_file(default_log, file)
        if journal is not None and not is_helper():
            journal.begin()

    def end(self) -> None:
        """Stop waiting for the need of providers; what is set up stays."""
        while self._undo:
            self._undo.pop()()

    def _wait(self) -> None:
        if not self._undo:
            self._undo = [_call_at_first_span(self._on_first_span), _call_when_set(self._on_tracer_provider)]
            # A program that has set a tracer provider, but no meter provider, still needs one for the counter.
            self._undo.append(default_log.attach(lambda *event: self._set_providers()))

    def _on_first_span(self) -> None:
        if needed_providers()[0]:
            self._set_providers()

    def _on_tracer_provider(self) -> None:
        if self._undo and not (self._is_setting_up or SETUP.is_complete):
            _never_raise(SETUP.retain_events, default_log)

    def _set_providers(self) -> None:
        with FORK_LOCK:
            if self._is_setting_up:
                return  # the set-up itself starts a span
            if self._undo and not SETUP.is_complete:
                self._is_setting_up = True
                exports_metrics = bool(exporters("metrics", lambda message: None))
                _never_raise(
                    SETUP.set_providers, None, default_log, ("traces", "metrics") if exports_metrics else ("traces",)
                )
                _never_raise(SETUP.export_at_end)
                self._is_setting_up = False
            self.end()


def _never_raise(function: Callable[..., object], *args: Any) -> None:
    try:
        function(*args)
    except Exception as error:
        _logger.warning("the export is not set up: %s", error_message(error))


def _call_at_first_span(on_first_span: Callable[[], None]) -> Callable[[], None]:
    """Call a function when a tracer starts a span while no provider is set; return a function that undoes this.

    The class has no public method for this: `start_as_current_span` may decorate a function long before it is called.
    """
    proxy: Any = trace.ProxyTracer
    original = vars(proxy)["_tracer"]

    def _tracer(tracer: Any) -> Any:
        on_first_span()
        return original.fget(tracer)

    proxy._tracer = property(_tracer)
    return lambda: setattr(proxy, "_tracer", original)


def _call_when_set(on_tracer_provider: Callable[[], None]) -> Callable[[], None]:
    """Call a function when the program has set a tracer provider; return a function that undoes this."""
    original = trace.set_tracer_provider

    @wraps(original)
    def set_tracer_provider(tracer_provider: trace.TracerProvider) -> None:
        original(tracer_provider)
        on_tracer_provider()

    def undo() -> None:
        if trace.set_tracer_provider is set_tracer_provider:
            trace.set_tracer_provider = original

    trace.set_tracer_provider = set_tracer_provider
    return undo
