"""`Options`: how the calls of an entry are recorded, read from the keys of the entry and checked without a function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from otel_kcevents.model.event import OPERATIONS, OUTCOMES
from otel_kcevents.model.intervals import Duration, parse_duration
from otel_kcevents.model.messages import describe, short_repr
from otel_kcevents.plugin.problem import Report, check_keys, hint
from otel_kcevents.record.paths import root_of

__all__ = [
    "EPOCH_UNITS",
    "OPTIONS",
    "FailureOptions",
    "Options",
    "SizeOptions",
    "WindowOptions",
    "Word",
    "is_function_name",
    "read_options",
]

OPTIONS: tuple[str, ...] = ("window", "size", "fails_when", "error", "keep", "ignore", "where", "within")
"""The keys of an entry that are options."""

EPOCH_UNITS: Mapping[str, int] = {
    "seconds": 1_000_000_000,
    "milliseconds": 1_000_000,
    "microseconds": 1_000,
    "nanoseconds": 1,
}
"""The formats of times that are numbers since 1970 (UTC), and their units in nanoseconds."""

Word: TypeAlias = Literal["none", "false", "true", "empty"]
"""A value that a result is compared with by identity; `empty` is a collection without items."""

_WINDOW_KEYS = ("path", "start", "end", "match", "format", "length", "inclusive", "read")
_WORDS = ("none", "false", "true", "empty")
_SCALARS = (str, int, float, bool)
_FUNCTION = r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*"
_SKIP = "airflow.exceptions:AirflowSkipException"
_EXCEPTION = r"[^\W\d]\w*([.:][^\W\d]\w*)*"
_NEEDS_RECORD = ("window", "size", "fails_when", "error", "ignore")


class WindowOptions(NamedTuple):
    """Where the window comes from: a path, a path each for the start and the end, or a function of the call.

    Attributes:
        path: The path to the window, or to a single time if there is a `length` or a `format`.
        start: The path to the start.
        end: The path to the end.
        match: A regular expression. Its groups are the parts of the time; groups named `start` and `end` are the ends.
        format: A format of `strptime`, or one of `EPOCH_UNITS`.
        length: The length of the window.
        inclusive: Whether the end is the last moment in the window, in its own smallest unit.
        read: When it is read; None for the default.
        function: `module:function`, in place of the paths.
    """

    path: str | None = None
    start: str | None = None
    end: str | None = None
    match: str | None = None
    format: str | None = None
    length: Duration | None = None
    inclusive: bool = False
    read: Literal["before", "after"] | None = None
    function: str | None = None


class SizeOptions(NamedTuple):
    """Where the size comes from. Without a source, no size is recorded.

    Attributes:
        path: The path; with a leading `+`, the size is how much it grew during the call.
        function: `module:function`, in place of the path.
    """

    path: str | None = None
    function: str | None = None


class FailureOptions(NamedTuple):
    """When a call that returned has failed.

    Attributes:
        path: The path to the value that decides.
        values: The values that mean a failure: words, or strings and numbers of exactly this type.
        function: `module:function`, a function of the result, in place of the path.
    """

    path: str = "return"
    values: tuple[tuple[Literal["word", "value"], Any], ...] = ()
    function: str | None = None


class Options(NamedTuple):
    """How the calls of an entry are recorded. An option that is None or empty has the decorators' default.

    Attributes:
        window: Where the window comes from.
        size: Where the size comes from.
        fails_when: When a call that returned has failed.
        error: The path to an exception or a message of a failure.
        keep: Names, and the paths to the values that are kept under them for later calls.
        ignore: The names of the exception types that count as neither success nor failure.
        where: Paths and globs: only calls whose values match one glob of each are recorded.
        within: Globs of modules, or of their files: only calls from them are recorded.
    """

    window: WindowOptions | None = None
    size: SizeOptions | None = None
    fails_when: FailureOptions | None = None
    error: str | None = None
    keep: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    within: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[tuple[str, str], ...]:
        """All paths, each with its key."""
        window = self.window or WindowOptions()
        found = [("window", window.path), ("window.start", window.start), ("window.end", window.end)]
        found += [("size", (self.size.path or "").removeprefix("+") if self.size else None)]
        found += [("fails_when", self.fails_when.path if self.fails_when else None), ("error", self.error)]
        found += [("keep", path) for _, path in self.keep] + [("where", path) for path, _ in self.where]
        return tuple((key, path) for key, path in found if path)


def is_function_name(value: Any) -> bool:
    """Return whether a value is a string such as `module:function`.

    Args:
        value: The value.
    """
    return isinstance(value, str) and re.fullmatch(_FUNCTION, value) is not None


def read_options(item: Mapping[str, Any], report: Report) -> Options:
    """Return the options of an entry. Never raises; if a mistake was reported, the result is not to be used.

    Args:
        item: The entry, including keys that are not options. A key with the value None counts as omitted.
        report: Takes each mistake.
    """
    item = {key: item[key] for key in ("record", *OPTIONS) if item.get(key) is not None}
    if "record" not in item:
        for key in _NEEDS_RECORD:
            if key in item:
                report(key, f"{key} needs record, such as record = 'allocation.save'")
    elif "size" in item and item["size"] is not False and not _is_sized(item["record"]):
        report("size", f"{short_repr(item['record'])} records no size; remove size")
    return Options(
        window=_read_window(item["window"], report) if "window" in item else None,
        size=_read_size(item["size"], report) if "size" in item else None,
        fails_when=_read_fails_when(item["fails_when"], report) if "fails_when" in item else None,
        error=_checked_path(item["error"], "error", report, ("yield",)) if "error" in item else None,
        keep=_read_keep(item.get("keep", {}), report),
        ignore=_strings(item.get("ignore", ()), "ignore", report, _EXCEPTION, _SKIP),
        where=_read_where(item.get("where", {}), report),
        within=_strings(item.get("within", ()), "within", report, None, "costs.etl"),
    )


def _is_sized(record: Any) -> bool:
    operation = record.rpartition(".")[2] if isinstance(record, str) else ""
    success = OPERATIONS.get(operation, (None,))[0]
    return operation not in OPERATIONS or (success is not None and OUTCOMES[success].sized)


def _read_window(value: Any, report: Report) -> WindowOptions | None:
    if is_function_name(value):
        return WindowOptions(function=value)
    if isinstance(value, str):
        return WindowOptions(path=_checked_path(value, "window", report))
    if isinstance(value, list) and len(value) == 2:
        start, end = (_checked_path(part, f"window[{at}]", report) for at, part in enumerate(value))
        return WindowOptions(start=start, end=end)
    if not isinstance(value, dict):
        report("window", f"expected a path, a pair of paths, a table or module:function, got {_shown(value)}")
        return None
    check_keys(value, _WINDOW_KEYS, report, "window.")
    paths = {
        key: _checked_path(value[key], f"window.{key}", report) for key in ("path", "start", "end") if key in value
    }
    if not paths or ("path" in paths and len(paths) > 1):
        report("window", "expected either path, or start, or end, or both start and end")
    read = value.get("read")
    if read not in (None, "before", "after"):
        report("window.read", f"expected 'before' or 'after', got {_shown(read)}")
    if read == "before" and any(path is not None and _needs_result(path) for path in paths.values()):
        report("window.read", "the result does not exist before the call; remove read")
    inclusive = value.get("inclusive", False)
    if not isinstance(inclusive, bool):
        report("window.inclusive", f"expected true or false, got {_shown(inclusive)}")
    length = _read_length(value.get("length"), report)
    if length is not None and "start" in paths and "end" in paths:
        report("window.length", "start and end already determine the length; remove one of the three")
    if length is not None and inclusive is True and "end" not in paths:
        report("window.inclusive", "the end is determined by length, so it is not inclusive; remove one of the two")
    match = _read_match(value.get("match"), report)
    if match is not None and "path" not in paths and re.compile(match).groupindex:
        report("window.match", "the groups start and end need path; name the groups only if one string contains both")
    return WindowOptions(
        **paths,
        match=match,
        format=_read_format(value.get("format"), report),
        length=length,
        inclusive=inclusive is True,
        read=cast("Literal['before', 'after'] | None", read),
    )


def _read_length(value: Any, report: Report) -> Duration | None:
    length = parse_duration(value) if isinstance(value, str) else None
    if value is not None and (length is None or length == (0, 0)):
        report("window.length", f"expected a duration such as '1d', '1h', '15m' or 'P1M', got {_shown(value)}")
    return length


def _read_match(value: Any, report: Report) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        report("window.match", f"expected a regular expression, got {_shown(value)}")
        return None
    try:
        names = set(re.compile(value).groupindex)
    except Exception as error:  # also a warning, if the program makes it an error
        report("window.match", f"{short_repr(value)} is not a regular expression: {error}")
        return None
    if names - {"start", "end"}:
        name = min(names - {"start", "end"})
        report("window.match", f"the group {name!r} is not start or end; {hint(name, ('start', 'end'))}")
    return value


def _read_format(value: Any, report: Report) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and value in EPOCH_UNITS:
        return value
    letters = set(re.findall("%[-#]?(.)", value)) if isinstance(value, str) else set()
    if letters.isdisjoint("YyGcx"):
        expected = f"a format of strptime with a year, such as '%Y-%m-%d', or {', '.join(EPOCH_UNITS)}"
        report("window.format", f"expected {expected}, got {_shown(value)}")
        return None
    try:
        datetime.strptime("", value)
    except ValueError as error:
        if "does not match" not in str(error):
            report("window.format", f"{short_repr(value)} is not a format of strptime: {error}")
    if letters & set("UVW") and letters.isdisjoint("aAuw"):
        report(
            "window.format", f"{short_repr(value)} has a week without a weekday, which strptime ignores; use a function"
        )
    return str(value)


def _read_size(value: Any, report: Report) -> SizeOptions | None:
    if value is False:
        return SizeOptions()
    if is_function_name(value):
        return SizeOptions(function=value)
    if not isinstance(value, str):
        report("size", f"expected a path, '+' and a path, false or module:function, got {_shown(value)}")
        return None
    grows = value.startswith("+")
    if _checked_path(value.removeprefix("+"), "size", report, ("return", "yield") if grows else ()) is None:
        return None
    return SizeOptions(path=value)


def _read_fails_when(value: Any, report: Report) -> FailureOptions | None:
    if is_function_name(value):
        return FailureOptions(function=value)
    if isinstance(value, str) and value in _WORDS:
        return FailureOptions(values=(("word", value),))
    if not isinstance(value, dict):
        remedy = f"; write {str(value).lower()!r}, a string" if isinstance(value, bool) else ""
        report(
            "fails_when", f"expected none, false, true, empty, a table or module:function, got {_shown(value)}{remedy}"
        )
        return None
    check_keys(value, ("path", "is"), report, "fails_when.")
    path = _checked_path(value.get("path"), "fails_when.path", report, ("yield",))
    expected = value.get("is")
    listed = expected if isinstance(expected, list) and expected else [expected]
    if not all(isinstance(one, _SCALARS) for one in listed):
        what = "none, false, true, empty, a string or a number, or a list of them"
        report("fails_when.is", f"expected {what}, got {_shown(expected)}")
    if path is not None and "[*]" in path and "none" in listed:
        report(
            "fails_when.is", f"{short_repr(path)} leaves out None, so no value is none; use a function of the result"
        )
    values = tuple(_expected(one) for one in listed)
    return None if path is None else FailureOptions(path, values)


def _expected(value: Any) -> tuple[Literal["word", "value"], Any]:
    if isinstance(value, bool):
        return "word", "true" if value else "false"
    return ("word" if value in _WORDS else "value"), value


def _read_keep(value: Any, report: Report) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        report("keep", f"expected a table of names and paths such as {{day = 'self.date'}}, got {_shown(value)}")
        return ()
    kept = []
    for name, source in value.items():
        if not isinstance(name, str) or not name.isidentifier():
            report("keep", f"{short_repr(name)} cannot be NAME in kept.NAME; use letters, digits and _")
            continue
        path = _checked_path(source, f"keep.{name}", report, ("yield",))
        if path is not None:
            kept.append((name, path))
    return tuple(kept)


def _read_where(value: Any, report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        report("where", f"expected a table of paths and globs such as {{'self.name' = 'aws*'}}, got {_shown(value)}")
        return ()
    conditions = []
    for source, globs in value.items():
        path = _checked_path(source, "where", report, ("return", "yield"))
        found = _strings(globs, f"where.{source if isinstance(source, str) else ''}", report, None, "aws*")
        if path is not None:
            conditions.append((path, found))
    return tuple(conditions)


def _strings(value: Any, key: str, report: Report, form: str | None, example: str) -> tuple[str, ...]:
    """Return a string, or a list of strings, as a tuple."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)):
        report(key, f"expected a string such as {example!r}, or a list of them, got {_shown(value)}")
        return ()
    for one in listed:
        if not isinstance(one, str) or not one or (form is not None and not re.fullmatch(form, one)):
            report(key, f"expected a string such as {example!r}, got {_shown(one)}")
            return ()
    return tuple(listed)


def _checked_path(value: Any, key: str, report: Report, forbidden: tuple[str, ...] = ()) -> str | None:
    """Return a path. If it is not one, or starts from a forbidden root, report the mistake and return None."""
    if not isinstance(value, str):
        report(key, f"expected a path such as 'self.date', got {_shown(value)}")
        return None
    try:
        root, _ = root_of(value)
    except TypeError as error:
        report(key, str(error))
        return None
    if root in forbidden and _needs_result(value):
        if root == "yield":
            reads = f"the items of a generator, which {key.partition('.')[0]} cannot use"
        else:
            reads = "the result, which does not exist before the call"
        report(key, f"{short_repr(value)} reads {reads}; use an argument")
        return None
    return value


def _needs_result(path: str) -> bool:
    root, name = root_of(path)
    return root in ("return", "yield") and name != "result"  # an argument may have this name


def _shown(value: Any) -> str:
    return short_repr(value) if isinstance(value, str) else describe(value)
