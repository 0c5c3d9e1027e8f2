"""`ProgramSetup`: sets up the export and the log of a program under a launcher, without disturbing the program.

A distribution may have set the providers. If none are set, the program may still set its own, as it does without the
launcher, and the API accepts only the first ones. So ours are set when the program starts its first span. If it has set
its own by then, those get the processor instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Literal

from opentelemetry import metrics, trace

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.record.durations import set_durations
from otel_kcevents.record.metrics import observe
from otel_kcevents.sdk.journaling import choose_log_file, keep_in_file
from otel_kcevents.sdk.process_setup import SETUP, needed_providers
from otel_kcevents.sdk.settings import Signal, durations, exporters
from otel_kcevents.sdk.stock_exports import hold_forks_during_exports
from otel_kcevents.store.log import default_log
from otel_kcevents.store.run import is_helper

__all__ = ["ProgramSetup"]

_SIGNALS: tuple[Signal, ...] = ("traces", "metrics")


class ProgramSetup:
    """Sets up a program: at once what does not affect it, and providers when it needs them."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []
        self._undo_waiting: list[Callable[[], object]] = []
        self._is_setting_up = False
        self._has_set_providers = False
        self._has_imported = False

    def begin(self, log_file: str | os.PathLike[str] | Literal[False] | None, *, is_used: bool) -> None:
        """Set up the log, its journal and the flush at the end. If no providers are set, wait until they are needed.

        Args:
            log_file: The file of the journal, as for `configure()`.
            is_used: Whether the program has a mapping. If it has neither a mapping nor a journal, this package may be
                installed for other programs: then only the processor is added.

        Raises:
            ValueError: A setting is malformed.
        """
        file = choose_log_file(log_file)
        is_used = is_used or file.path is not None
        if (is_measured := durations()) is not None:
            set_durations(is_measured)
        if is_used:
            SETUP.export_at_end()
        if needed_providers()[0]:
            self._wait(is_used)
        elif not is_used:
            SETUP.retain_events(default_log)
            observe(default_log, None)
        elif not SETUP.is_complete:  # as it is in a process that multiprocessing has spawned
            SETUP.set_providers(None, default_log, ())
            hold_forks_during_exports()
        journal = keep_in_file(default_log, file)
        if journal is not None and not is_helper():
            journal.begin()

    def end(self) -> None:
        """Stop waiting until providers are needed; what is set up stays."""
        _call_all(self._undo_waiting)
        _call_all(self._undo)

    def _wait(self, is_used: bool) -> None:
        self._undo = [self._replace_setter(trace, "tracer"), self._replace_setter(metrics, "meter")]
        # A program that has set a tracer provider, but no meter provider, still needs one for the counter.
        self._undo_waiting = [default_log.attach(lambda *event: self._set_providers())]
        self._undo_waiting.append(_call_at_first_span(self._set_tracer_provider))
        if is_used and hasattr(os, "register_at_fork"):
            import concurrent.futures.thread  # noqa: F401 - during a fork, it would register hooks that then fail

            os.register_at_fork(before=self._before_fork)

    def _before_fork(self) -> None:
        """Import what the set-up needs, so that not every child does."""
        if self._undo_waiting and not self._has_imported:
            self._has_imported = True
            from otel_kcevents.sdk.providers import import_exporters

            import_exporters()

    def _set_tracer_provider(self) -> None:
        if needed_providers()[0]:
            self._set_providers()

    def _set_providers(self) -> None:
        with FORK_LOCK:
            if self._is_setting_up or not self._undo_waiting:
                return  # the set-up itself starts a span, or another thread was first
            self._is_setting_up = True
            try:
                if not SETUP.is_complete:
                    self._set_up()
            except Exception as error:  # from a provider of another library
                _logger.warning("the set-up is not complete: %s", error_message(error))
            _call_all(self._undo_waiting)
            self._is_setting_up = False

    def _set_up(self) -> None:
        is_exported = {signal: bool(exporters(signal, lambda message: None)) for signal in _SIGNALS}
        self._has_set_providers = True
        try:
            SETUP.set_providers(None, default_log, _SIGNALS if is_exported["metrics"] else ("traces",))
        except Exception as error:
            if any(is_exported.values()):
                _logger.warning("nothing is exported: %s", error_message(error))
            _keep_hand_written_events()
        SETUP.export_at_end()
        hold_forks_during_exports()

    def _replace_setter(self, module: Any, kind: str) -> Callable[[], None]:
        """Let the program set a provider when ours is already set; return a function that undoes this."""
        name = f"set_{kind}_provider"
        original = getattr(module, name)

        @wraps(original)
        def set_provider(provider: Any) -> None:
            ours = getattr(module, f"get_{kind}_provider")() if self._has_set_providers else None
            holder, variable = original.__globals__, f"_{kind.upper()}_PROVIDER"
            if ours in SETUP.ending.own and holder.get(variable) is ours:
                # The API accepts one provider, and has no way to replace it. Spans of earlier tracers stay with ours.
                holder[variable] = provider
            else:  # if the API has no such variable, it logs that it refuses the provider
                original(provider)
            with suppress(Exception):  # from a provider of another library
                SETUP.retain_events(default_log)

        def undo() -> None:
            if getattr(module, name) is set_provider:
                setattr(module, name, original)

        setattr(module, name, set_provider)
        return undo


def _call_all(functions: list[Callable[[], object]]) -> None:
    while functions:
        functions.pop()()


def _keep_hand_written_events() -> None:
    """Set a provider that exports nothing, if the program has none: hand-written spans need one to reach the log."""
    if needed_providers()[0]:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        # The default resource is built in threads, and none can be started when the interpreter shuts down.
        provider = TracerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
        SETUP.ending.own.append(provider)
        trace.set_tracer_provider(provider)
    SETUP.set_providers(None, default_log, ())


def _call_at_first_span(on_first_span: Callable[[], None]) -> Callable[[], None]:
    """Call a function when a tracer starts a span while no provider is set; return a function that undoes this.

    A public method is not the place for this: `start_as_current_span` may decorate a function long before its call.
    If the private one is missing, the function is called at once.
    """
    proxy: Any = trace.ProxyTracer
    original = vars(proxy).get("_tracer")
    if not isinstance(original, property):
        on_first_span()
        return lambda: None

    def _tracer(tracer: Any) -> Any:
        on_first_span()
        return original.__get__(tracer)

    proxy._tracer = property(_tracer)
    return lambda: setattr(proxy, "_tracer", original)
