"""`record_calls`: makes the function that records the calls of one function for an entry of a mapping."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from types import FunctionType
from typing import Any

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.window import Window
from otel_kcevents.plugin.callers import called_from
from otel_kcevents.plugin.calls import function_counts, module_of
from otel_kcevents.plugin.conditions import matches
from otel_kcevents.plugin.mapped_recorder import KeepingRecorder, KeepOnlyRecorder, MappedRecorder
from otel_kcevents.plugin.mapping import Entry
from otel_kcevents.plugin.named_function import NamedFunction
from otel_kcevents.plugin.options import SizeOptions, WindowOptions
from otel_kcevents.plugin.problem import OptionError
from otel_kcevents.plugin.reading import guarded, is_reading
from otel_kcevents.plugin.window_field import window_field
from otel_kcevents.record.callables import is_async_generator, name_of
from otel_kcevents.record.extract import FieldReader
from otel_kcevents.record.fields import fields_of
from otel_kcevents.record.late import LateCallable, Recording
from otel_kcevents.record.paths import Path, compile_path
from otel_kcevents.record.recorder import Recorder
from otel_kcevents.record.signatures import Args, Extractor, Kwargs
from otel_kcevents.record.target import Target, target_of
from otel_kcevents.record.wrappers import recording_of
from otel_kcevents.store.calls import CallCounts

__all__ = ["record_calls"]


def record_calls(
    entry: Entry,
    function: FunctionType,
    original: Callable[..., Any],
    target: Target | None = None,
    shares_warnings: bool = False,
) -> Recording:
    """Return the function that a shim of *function* calls: it calls *original*, and records the call.

    Args:
        entry: The entry that names the function.
        function: The function, whose signature the paths of the entry are compiled for.
        original: A function with the original code.
        target: Where the events go; default: the default log and the global providers.
        shares_warnings: Whether each warning is logged once for all functions of this entry and name.

    Raises:
        OptionError: A path or an option does not suit the function.
    """
    name = f"{module_of(function)}.{name_of(function)}"
    keep = {key: _compiled("keep", path, original) for key, path in entry.options.keep}
    counts = function_counts(entry, function)
    marks: tuple[Any, ...] = ()
    recorder: MappedRecorder
    if entry.etl is None or entry.set_name is None or entry.operation is None:
        recorder = KeepOnlyRecorder(entry, name, keep, counts)
    else:
        target = target or target_of(entry.etl, entry.set_name)
        recorder = _recorder_of(entry, name, original, target, keep, counts)
        marks = ((target.log, target.etl, entry.operation),)
    if shares_warnings:
        recorder.share_warnings()
    applies = _condition_of(entry, function, original, recorder)
    counts.is_active = True
    return recording_of(original, recorder, marks, (_again, (entry, original)), applies)


def _recorder_of(
    entry: Entry, name: str, original: Callable[..., Any], target: Target, keep: dict[str, Path], counts: CallCounts
) -> MappedRecorder:
    options = entry.options
    assert entry.operation is not None
    try:
        field = "window"
        window = None if options.window is None else window_field(options.window, original)
        field = "size"
        fields = fields_of(Recorder(target, entry.operation), original, window, _size_source(options.size))
    except TypeError as error:
        raise OptionError(field, error_message(error)) from None
    given = (options.window, options.size)
    first, second = map(_guarded_field, fields, given)
    if first is not None and options.window is not None:
        first = first._replace(read=_converted(first.read))
    fails_when = options.fails_when
    if fails_when is not None and fails_when.function and is_async_generator(original):
        raise OptionError("fails_when", f"{name} is an async generator, which has no result; remove fails_when")
    named = None if fails_when is None or fails_when.function is None else guarded(NamedFunction(fails_when.function))
    decides = None if fails_when is None or named else _compiled("fails_when", fails_when.path, original)
    error_path = None if options.error is None else _compiled("error", options.error, original)
    if keep:
        return KeepingRecorder(keep, target, entry, name, (first, second), named, decides, error_path, counts)
    return MappedRecorder(target, entry, name, (first, second), named, decides, error_path, counts)


def _compiled(key: str, source: str, function: Callable[..., Any]) -> Path:
    try:
        path = compile_path(source, function)
    except TypeError as error:
        raise OptionError(key, error_message(error)) from None
    return path._replace(read=guarded(path.read)) if _has_steps(source) else path


def _has_steps(source: str | None) -> bool:
    """Return whether reading a path may run functions of an entry; true if it is not a path."""
    return source is None or "." in source or "[" in source or source.removeprefix("+") in ("self", "cls")


def _guarded_field(field: FieldReader | None, options: WindowOptions | SizeOptions | None) -> FieldReader | None:
    if field is None or options is None or not _has_steps(options.path if isinstance(options.path, str) else None):
        return field
    return field._replace(read=guarded(field.read))


def _converted(read: Extractor) -> Extractor:
    """Return a reader of a window that also converts it if that may run properties of the program."""
    convert = guarded(Window.of)

    def read_window(args: Args, kwargs: Kwargs, result: Any) -> Any:
        value = read(args, kwargs, result)
        return value if value is None or isinstance(value, (str, tuple, date, Window)) else convert(value)

    return read_window


def _size_source(options: SizeOptions | None) -> Any:
    if options is None:
        return None
    return options.path or (NamedFunction(options.function) if options.function else False)


def _condition_of(
    entry: Entry, function: FunctionType, original: Callable[..., Any], recorder: MappedRecorder
) -> Callable[[Args, Kwargs], bool] | None:
    """Return what decides, by `where` and `within`, whether a call counts; None if all calls do."""
    options = entry.options
    if not options.where and not options.within:
        return None
    is_within = called_from(options.within, function) if options.within else None
    conditions = [(_compiled("where", source, original), globs) for source, globs in options.where]
    for path, _ in conditions:
        if path.root == "return":
            raise OptionError("where", f"{path.name!r} does not exist before the call; use an argument")

    def is_met(path: Path, globs: tuple[str, ...], args: Args, kwargs: Kwargs) -> bool:
        value = path.read(args, kwargs, None)
        return any(matches(one, globs) for one in (value or ())) if path.fans_out else matches(value, globs)

    def applies(args: Args, kwargs: Kwargs) -> bool:
        if is_reading():
            return False
        try:
            if is_within is not None and not is_within():
                return False
            return all(is_met(path, globs, args, kwargs) for path, globs in conditions)
        except Exception as error:
            recorder.warn("a call whose `where` cannot be read", error)
            return False

    return applies


def _again(entry: Entry, original: Any) -> LateCallable:
    """Return the callable for the shim of an unpickled function, which may be incomplete until it is called."""

    def record() -> Callable[..., Any]:
        try:  # a worker may unpickle the function for each task
            return record_calls(entry, original, original, shares_warnings=True)
        except Exception as error:
            place = entry.place_of(getattr(error, "key", ""))
            _logger.warning("%s: %s is not recorded: %s", place, name_of(original), error_message(error))
            return original  # type: ignore[no-any-return]

    return LateCallable(record, (_again, (entry, original)))
