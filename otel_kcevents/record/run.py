"""`run()`: one root span for the work of a program, which also names the program's run in a journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import update_wrapper
from time import time_ns
from types import TracebackType
from typing import Any, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import INVALID_SPAN, Span, StatusCode, TracerProvider, set_span_in_context

from otel_kcevents.model.messages import describe, error_message, short_repr
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.wire import SCOPE, failure_of, run_attributes
from otel_kcevents.record.callables import shape_of
from otel_kcevents.record.failures import is_clean_exit, record_failure
from otel_kcevents.store.log import default_log
from otel_kcevents.store.run import change_run, current_run, failure_detail, name_run
from otel_kcevents.version import __version__

__all__ = ["RunBlock", "end_killed_block", "run"]


_Function = TypeVar("_Function", bound=Callable[..., Any])


def run(name: str, *, tracer_provider: TracerProvider | None = None) -> RunBlock:
    """Return a block, or a decorator, for the work of this program's run: it starts one root span and names the run.

    In a `with` block, or as a decorator of a function or a coroutine function:

        with otel_kcevents.run("nightly"):
            etl()

    The span has the name of the run and is current inside the block, so everything that the block records is one
    trace. The run of this process in a journal gets the name and the trace. If an exception leaves the block, the span
    and the run have failed; `SystemExit` with status zero and `GeneratorExit` are not failures.

    Of nested blocks, and of simultaneous blocks in several threads, only the first one names the run; the others are
    only spans. A block that begins after that one has ended names the run again; the last such block decides whether
    the run has failed.

    Args:
        name: The name of the run, such as `nightly`.
        tracer_provider: The provider of the span; None for the global one, which must be set before the block begins.

    Raises:
        TypeError: *name* is not a string.
        ValueError: *name* is empty.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string such as 'nightly', got {describe(name)}; write run('nightly')")
    if not name.strip():
        raise ValueError(f"name must not be empty, got {short_repr(name)}; use a name such as 'nightly'")
    return RunBlock(name, tracer_provider)


class RunBlock:
    """The result of `run()`: a context manager that can be entered once, and a decorator.

    Args:
        name: The name of the run.
        tracer_provider: The provider of the span; None for the global one.
    """

    def __init__(self, name: str, tracer_provider: TracerProvider | None = None) -> None:
        self._name = name
        self._tracer_provider = tracer_provider
        self._process: int | None = None  # that entered the block
        self._names_run = False
        self._span: Span = INVALID_SPAN
        self._outside = self._inside = Context()

    def __repr__(self) -> str:
        return f"run({self._name!r})"

    def __call__(self, function: _Function) -> _Function:
        """Return a function whose every call is a block of its own.

        Args:
            function: A function or a coroutine function.

        Raises:
            TypeError: *function* is a generator function, a class, or not callable.
        """
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"{self!r} cannot decorate {describe(function)}; expected a function")
        shape = shape_of(function)
        if shape not in ("plain", "coroutine"):
            raise TypeError(f"{self!r} cannot decorate a generator function; use `with {self!r}:` inside it")

        def call(*args: Any, **kwargs: Any) -> Any:
            with RunBlock(self._name, self._tracer_provider):
                return function(*args, **kwargs)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with RunBlock(self._name, self._tracer_provider):
                return await function(*args, **kwargs)

        wrapper: Any = update_wrapper(call if shape == "plain" else call_async, function)
        return cast("_Function", wrapper)

    def __enter__(self) -> None:
        global _named_by
        if self._process is not None:
            raise RuntimeError(f"this {self!r} was already used by a `with` block; call run() for each block")
        self._process = os.getpid()
        self._outside = self._inside = outside = get_current()
        try:
            if not outside.get("suppress_instrumentation"):
                tracer = trace.get_tracer(SCOPE, __version__, self._tracer_provider)
                attributes = run_attributes(self._name, current_run().id)
                self._span = tracer.start_span(self._name, outside, attributes=attributes)
                self._inside = set_span_in_context(self._span, outside)
        except Exception as error:
            _logger.warning("%r has no span: %s", self, error_message(error))
        if self._inside is not outside:
            attach(self._inside)
        if _named_by is None or _named_by._process != self._process:  # a forked child inherits the parent's
            _named_by = self
            self._names_run = True
            is_traced = self._span.is_recording()
            name_run(self._name, f"{self._span.get_span_context().trace_id:032x}" if is_traced else None)
            _write_run()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        global _named_by
        if self._inside is not self._outside and get_current() is self._inside:
            attach(self._outside)
        if error is None or isinstance(error, GeneratorExit) or is_clean_exit(error):
            error = None
        if self._process == os.getpid():  # in a forked child, the span is the parent's
            self._end_span(error)
        if self._names_run:
            _named_by = None
            if error is not None:
                change_run(failure=failure_detail(error))
                _write_run()

    def _end_span(self, error: BaseException | None) -> None:
        time = time_ns()
        try:
            if error is not None:
                record_failure(self._span, error, failure_of(error, None), time)
            self._span.end(time)
        except Exception as problem:
            _logger.warning("the span of %r is incomplete: %s", self, error_message(problem))


_named_by: RunBlock | None = None  # the block that names the run of this process, or of the process it was forked from


def _write_run() -> None:
    """Write what changed about the run now, if the default log has a journal, instead of with the next event."""
    begin: Any = getattr(default_log.source, "begin", None)
    if begin is not None:
        begin()


def end_killed_block(reason: str) -> None:
    """End the span of the block that names the run, if there is one, because the process is about to be killed.

    Args:
        reason: What kills it, such as `SIGTERM`.
    """
    block = _named_by
    if block is not None and block._process == os.getpid():
        span, block._span = block._span, INVALID_SPAN
        with suppress(Exception):  # of the program's span processors
            span.set_status(StatusCode.ERROR, f"killed by {reason}")
            span.end()
