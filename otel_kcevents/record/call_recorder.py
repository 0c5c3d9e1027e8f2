"""`CallRecorder`: records the calls of one function, with sizes and windows from arguments and results."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, TypeAlias

from opentelemetry.trace import Span

from otel_kcevents.model.event import Failure
from otel_kcevents.model.messages import describe
from otel_kcevents.model.window import Window, current_time
from otel_kcevents.record.extract import FieldReader
from otel_kcevents.record.failures import is_clean_exit
from otel_kcevents.record.recorder import Recorder
from otel_kcevents.record.signatures import Args, Extractor, Kwargs
from otel_kcevents.record.sizes import result_size, to_size
from otel_kcevents.record.target import Target
from otel_kcevents.record.windows import PendingWindow
from otel_kcevents.store.calls import CallCounts

__all__ = ["NO_RESULT", "CallRecorder", "ExceptionTypes"]


NO_RESULT = object()
"""Stands for the result of a call that has none."""

ExceptionTypes: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...]"
"""One type of exceptions, or several."""


class CallRecorder(Recorder):
    """Records the calls of one function; reads their sizes and windows from arguments and results.

    Args:
        target: Where the events go.
        operation: The operation, such as `save`.
        function_name: The qualified name of the function.
        window: Reads the window; None for no window.
        size: Reads the size; None for no size.
        fails_when: Returns whether a result means a failure; None if none does.
        ignore: The types of exceptions that count as neither success nor failure.
        counts: Counts the calls and the events; None to count nothing.

    Attributes:
        is_sized_before: Whether the size is read before the call.
        reads_before: Whether `begin` has to be called before the call.
        item_size: Reads the size of a generator's item, which it gets as the result.
        item_window: Reads the window of a generator's item, likewise.
    """

    def __init__(
        self,
        target: Target,
        operation: str,
        function_name: str,
        window: FieldReader | None = None,
        size: FieldReader | None = None,
        fails_when: Callable[[Any], object] | None = None,
        ignore: ExceptionTypes = (),
        counts: CallCounts | None = None,
    ) -> None:
        super().__init__(target, operation, function_name)
        self._counts = counts
        self._first_window = window.read if window and window.when == "before" else None
        self._first_size = size.read if size and size.when in ("before", "growth") else None
        self._last_window = window.read if window and (window.when == "after" or window.again) else None
        self._has_window_on_failure = self._first_window is not None and self._last_window is None
        self._size = size.read if size and size.when in ("after", "growth") else None
        self._is_growth = size is not None and size.when == "growth"
        self._fails_when = fails_when
        self._may_fail: bool = fails_when is not None
        self._ignore = ignore
        self.is_sized_before: bool = self._first_size is not None
        self.reads_before: bool = self.is_sized_before or (window is not None and window.when != "item")
        self.item_window: Extractor | None = window.read if window and window.when == "item" else None
        self.item_size: Extractor | None = size.read if size and size.when == "item" else None

    def of_items(self) -> CallRecorder:
        """Return the recorder of a call that returned a generator, which counts its items unless a size is named."""
        if self._size is not result_size:
            return self
        recorder = copy(self)
        recorder._size = None
        return recorder

    def begin(self, args: Args, kwargs: Kwargs) -> tuple[Window | PendingWindow | None, int | None]:
        """Read the window and the size of a call that begins: the call may change what it is given.

        Args:
            args: The positional arguments.
            kwargs: The keyword arguments.

        Returns:
            The window and the size; None for one that is not read now, or cannot be read.
        """
        window: Window | PendingWindow | None = None
        size = value = None
        is_pending = self._last_window is not None
        if self._first_window is not None:
            try:
                value = self._first_window(args, kwargs, None)
                window = None if value is None else Window.of(value)
            except Exception as error:
                if value is not None or not is_pending or not isinstance(error, (AttributeError, LookupError)):
                    self.warn("the window", error)
                    is_pending = False
        if value is None and is_pending:
            window = PendingWindow(current_time())
        if self._first_size is not None:
            size = self._size_before(args, kwargs)
        return window, size

    def _size_before(self, args: Args, kwargs: Kwargs) -> int | None:
        assert self._first_size is not None
        try:
            size: int | None = self._first_size(args, kwargs, None)
        except Exception as error:
            if self._is_growth and isinstance(error, (AttributeError, LookupError)):
                return 0  # the call may set it
            self.warn("the size", error)
            return None
        return 0 if size is None and self._is_growth else size

    def _end_window(
        self, window: PendingWindow, args: Args, kwargs: Kwargs, result: Any, has_result: bool
    ) -> Window | None:
        assert self._last_window is not None
        return self.window_of(self._read("the window", self._last_window, args, kwargs, result, has_result), window.now)

    def finish_call(
        self,
        span: Span,
        args: Args,
        kwargs: Kwargs,
        result: Any,
        window: Window | PendingWindow | None,
        size: int | None,
    ) -> None:
        """Record a call that returned; `fails_when` decides whether it failed.

        Args:
            span: The span of the call.
            args: The positional arguments.
            kwargs: The keyword arguments.
            result: What the call returned; NO_RESULT for a generator that was closed early.
            window: The window, as far as it is known: read when the call began, or from a generator's items.
            size: The size, likewise.
        """
        has_result = result is not NO_RESULT
        if not has_result:
            result = None
        if isinstance(window, PendingWindow):
            window = self._end_window(window, args, kwargs, result, has_result)
        if self._may_fail and has_result and (failure := self._failure_of(args, kwargs, result)) is not None:
            return self.skip(span) if self._ignores(failure) else self.fail(span, failure, window)
        if self._size is not None:
            before, size = (size, None) if self._is_growth else (None, size)
            try:
                named = self._size(args, kwargs, result)
                if self._is_growth:
                    named = None if named is None or before is None else to_size(named - before)
                size = named if has_result or named is not None else size  # else the number of items so far
            except Exception as error:
                if has_result:
                    self.warn("the size", error)
                    size = None
        self.finish(span, size, window)

    def fail_call(
        self, span: Span, args: Args, kwargs: Kwargs, error: BaseException, window: Window | PendingWindow | None
    ) -> None:
        """Record a call that raised an exception.

        Args:
            span: The span of the call.
            args: The positional arguments.
            kwargs: The keyword arguments.
            error: The exception.
            window: The window, as far as it is known.
        """
        if self._ignores(error):
            return self.skip(span)
        if isinstance(window, PendingWindow):
            window = self._end_window(window, args, kwargs, None, False)
        if is_clean_exit(error):
            self.finish(span, None, window)
        else:
            self.fail(span, error, window)

    def _read(self, field: str, read: Extractor, args: Args, kwargs: Kwargs, result: Any, has_result: bool) -> Any:
        """Read a field of a call; None if that raises, with a warning if there is a result to read from."""
        try:
            return read(args, kwargs, result)
        except Exception as error:
            if has_result:
                self.warn(field, error)
            return None

    def _ignores(self, error: BaseException | Failure) -> bool:
        """Return whether a failure counts as neither success nor failure."""
        return isinstance(error, self._ignore)

    def _failure_of(self, args: Args, kwargs: Kwargs, result: Any) -> BaseException | Failure | None:
        """Return the failure that a result means according to `fails_when`; None for a success."""
        fails_when = self._fails_when
        if fails_when is None or not self.attempt("fails_when", lambda: bool(fails_when(result))):
            return None
        return self._failed_result(result)

    def _failed_result(self, result: Any) -> Failure:
        return Failure("FailedResult", f"{self.name} returned {describe(result)}", self.operation)
