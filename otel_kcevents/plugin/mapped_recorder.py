"""`MappedRecorder`: records the calls of a function that a mapping names, with the options that only entries have.

A class of its own keeps values: its methods would make every other mapped call a tenth slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.trace import INVALID_SPAN, Span

from otel_kcevents.model.event import Failure
from otel_kcevents.model.messages import scrub_message
from otel_kcevents.model.window import Window
from otel_kcevents.plugin.conditions import is_ignored, means_failure, reported_errors
from otel_kcevents.plugin.mapping import Entry
from otel_kcevents.plugin.reading import is_reading, reading_threads
from otel_kcevents.record.call_recorder import NO_RESULT, CallRecorder
from otel_kcevents.record.extract import FieldReader
from otel_kcevents.record.paths import Path, keep
from otel_kcevents.record.recorder import StartedSpan
from otel_kcevents.record.signatures import Args, Kwargs
from otel_kcevents.record.target import Target, target_of
from otel_kcevents.record.windows import PendingWindow
from otel_kcevents.store.calls import CallCounts

__all__ = ["KeepOnlyRecorder", "KeepingRecorder", "MappedRecorder"]


_KEYS = {
    "the window": "window",
    "the size": "size",
    "fails_when": "fails_when",
    "error": "error",
    "ignore": "ignore",
    "a call whose `where` cannot be read": "where",
}
"""The keys of an entry, by what warnings call them."""


class MappedRecorder(CallRecorder):
    """Records the calls of a function for an entry, including failures that paths show.

    Args:
        target: Where the events go.
        entry: The entry.
        name: The qualified name of the function.
        fields: The readers of the window and the size.
        fails_when: A function of the result that returns whether the call has failed.
        decides: The path to the value that decides whether the call has failed.
        error: The path to the exception or the message of a failure.
        counts: Counts the calls.
    """

    def __init__(
        self,
        target: Target,
        entry: Entry,
        name: str,
        fields: tuple[FieldReader | None, FieldReader | None] = (None, None),
        fails_when: Callable[[Any], Any] | None = None,
        decides: Path | None = None,
        error: Path | None = None,
        counts: CallCounts | None = None,
    ) -> None:
        super().__init__(target, entry.operation or "compute", name, *fields, fails_when, counts=counts)
        self._entry = entry
        self._decides = decides
        self._error = error
        self._may_fail = any(source is not None for source in (fails_when, decides, error))

    def start(self, time: int | None = None) -> StartedSpan | None:
        """Start the span. Also returns None for a call that is made by reading values for an entry.

        Args:
            time: When the operation started, in nanoseconds since 1970; default: now.
        """
        return None if reading_threads and is_reading() else CallRecorder.start(self, time)

    def share_warnings(self) -> None:
        """Log each warning once for all recorders of the same entry and function name in this process."""
        self._warned = self.target.warned.setdefault(f"{self._entry.place}: {self.name}", self._warned)

    def _place_of(self, field: str) -> str:
        key = field if field.startswith("keep.") else _KEYS.get(field, "")
        return f"{self._entry.place_of(key)}: {self.name}"

    def _ignores(self, error: BaseException | Failure) -> bool:
        names = self._entry.options.ignore
        return isinstance(error, BaseException) and bool(self.attempt("ignore", is_ignored, error, names))

    def _failure_of(self, args: Args, kwargs: Kwargs, result: Any) -> BaseException | Failure | None:
        try:
            failure: BaseException | Failure | None = super()._failure_of(args, kwargs, result)
            if self._decides is not None and self._has_failed(self._decides, args, kwargs, result):
                failure = self._failed_result(result)
        except Exception as error:
            self.warn("fails_when", error)
            return None
        has_condition = self._fails_when is not None or self._decides is not None
        if self._error is None or (has_condition and failure is None):
            return failure
        try:
            errors = reported_errors(self._error.read(args, kwargs, result), self._error.fans_out)
        except Exception as error:
            self.warn("error", error)
            return failure
        if not errors:
            return failure
        first = errors[0]
        return Failure("FailedResult", scrub_message(first), self.operation) if isinstance(first, str) else first

    def _has_failed(self, path: Path, args: Args, kwargs: Kwargs, result: Any) -> bool:
        options = self._entry.options.fails_when
        assert options is not None
        value = path.read(args, kwargs, result)
        return (
            any(means_failure(one, options) for one in (value or ()))
            if path.fans_out
            else means_failure(value, options)
        )


class KeepingRecorder(MappedRecorder):
    """A `MappedRecorder` that also keeps values of its calls for later calls.

    Args:
        kept: The paths to the values that later calls read, by their names.
        target: Where the events go.
        entry: The entry.
        name: The qualified name of the function.
        fields: The readers of the window and the size.
        fails_when: A function of the result that returns whether the call has failed.
        decides: The path to the value that decides whether the call has failed.
        error: The path to the exception or the message of a failure.
        counts: Counts the calls.
    """

    def __init__(
        self,
        kept: Mapping[str, Path],
        target: Target,
        entry: Entry,
        name: str,
        fields: tuple[FieldReader | None, FieldReader | None] = (None, None),
        fails_when: Callable[[Any], Any] | None = None,
        decides: Path | None = None,
        error: Path | None = None,
        counts: CallCounts | None = None,
    ) -> None:
        super().__init__(target, entry, name, fields, fails_when, decides, error, counts)
        self._kept_at_start = {key: path for key, path in kept.items() if path.root != "return"}
        self._kept_at_end = {key: path for key, path in kept.items() if path.root == "return"}
        self.reads_before: bool = self.reads_before or bool(self._kept_at_start)

    def begin(self, args: Args, kwargs: Kwargs) -> tuple[Window | PendingWindow | None, int | None]:
        """Keep values, and read the window and the size of a call that begins.

        Args:
            args: The positional arguments.
            kwargs: The keyword arguments.

        Returns:
            The window and the size; None for one that is not read now, or cannot be read.
        """
        self._keep(self._kept_at_start, args, kwargs, None)
        return super().begin(args, kwargs)

    def finish_call(
        self,
        span: Span,
        args: Args,
        kwargs: Kwargs,
        result: Any,
        window: Window | PendingWindow | None,
        size: int | None,
    ) -> None:
        """Keep values, and record a call that returned.

        Args:
            span: The span of the call.
            args: The positional arguments.
            kwargs: The keyword arguments.
            result: What the call returned; NO_RESULT for a generator that was closed early.
            window: The window, as far as it is known.
            size: The size, likewise.
        """
        if self._kept_at_end and result is not NO_RESULT:
            self._keep(self._kept_at_end, args, kwargs, result)
        super().finish_call(span, args, kwargs, result, window, size)

    def _keep(self, paths: Mapping[str, Path], args: Args, kwargs: Kwargs, result: Any) -> None:
        for name, path in paths.items():
            try:
                value = path.read(args, kwargs, result)
            except Exception as error:
                self.warn(f"keep.{name}", error)
                value = None  # that of an earlier call would be wrong
            keep(name, value)


class KeepOnlyRecorder(KeepingRecorder):
    """Keeps values of calls, and records nothing.

    Args:
        entry: The entry.
        name: The qualified name of the function.
        kept: The paths to the values that later calls read, by their names.
        counts: Counts the calls.
    """

    def __init__(self, entry: Entry, name: str, kept: Mapping[str, Path], counts: CallCounts) -> None:
        super().__init__(kept, target_of("allocation", "AllocationSet"), entry, name, counts=counts)

    def start(self, time: int | None = None) -> StartedSpan | None:
        """Return the current context without a span.

        Args:
            time: Ignored.
        """
        if is_reading():
            return None
        assert self._counts is not None
        self._counts.calls += 1
        current = get_current()
        return INVALID_SPAN, current, current

    def finish(self, span: Span, size: int | None, window: Window | None, time: int | None = None) -> None:
        """Record nothing.

        Args:
            span: Not a span.
            size: Ignored.
            window: Ignored.
            time: Ignored.
        """
        self.skip(span)

    def fail_call(
        self, span: Span, args: Args, kwargs: Kwargs, error: BaseException, window: Window | PendingWindow | None
    ) -> None:
        """Record nothing.

        Args:
            span: Not a span.
            args: Ignored.
            kwargs: Ignored.
            error: Ignored.
            window: Ignored.
        """
        self.skip(span)
