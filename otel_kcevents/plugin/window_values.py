"""`to_window`: converts the values that the `window` key of an entry names: formats, lengths, inclusive ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from otel_kcevents.model.intervals import Duration, Moment, moment_of, read_moment
from otel_kcevents.model.messages import describe, describe_time, short_repr
from otel_kcevents.model.moments import pair_of, to_plain
from otel_kcevents.model.timestamps import DAY, SECOND
from otel_kcevents.model.window import Window
from otel_kcevents.plugin.conditions import plain, text_of
from otel_kcevents.plugin.options import EPOCH_UNITS, WindowOptions

__all__ = ["to_moment", "to_window"]

_HOUR = 3_600 * SECOND
_LENGTHS = {"year": Duration(12, 0), "month": Duration(1, 0), "day": Duration(0, DAY), "hour": Duration(0, _HOUR)}
_STEPS = (DAY, _HOUR, 60 * SECOND, SECOND, SECOND // 1_000, SECOND // 1_000_000, 1)
_DIRECTIVES = {"minute": "fMSXc", "hour": "HI", "day": "djuwaAx", "month": "mbB", "year": "YyG"}
_JOINTS = ("", "-", "-", "T", ":", ":")


def to_window(value: Any, options: WindowOptions) -> Window | None:
    """Return the window that a value stands for; None for None.

    Args:
        value: The value of the path, or a tuple of the values of the paths of the start and the end.
        options: How the value is to be read.

    Raises:
        TypeError: The value has an unsupported type.
        ValueError: The value is not a time or a window in the expected form.
    """
    value = plain(value)
    if value is None:
        return None
    if options.match is not None and options.path is not None:
        value = _matched(value, options.match)
    pair = _pair_of(value, options)
    if pair is not None:
        return _between(*pair, options)
    if options.length is None and options.format is None:
        return Window.of(value)
    moment = to_moment(value, options)
    length = options.length or _LENGTHS.get(moment.unit)
    if length is None:
        raise ValueError(f"{describe_time(value)} is a time, not a window; add length, such as length = '1h'")
    return Window.from_ns(moment.ns, moment.plus(length).ns)


def to_moment(value: Any, options: WindowOptions) -> Moment:
    """Return the time that a value stands for.

    Args:
        value: The value of a path, or a part of it.
        options: How the value is to be read.

    Raises:
        TypeError: The value has an unsupported type.
        ValueError: The value is not a time in the expected form.
    """
    value = plain(value)
    if options.match is not None and options.path is None:
        value = _matched(value, options.match)
    kind = type(value)
    is_number = kind in (int, float) or kind.__module__ == "decimal"
    unit = None if options.format is None else EPOCH_UNITS.get(options.format)
    if unit is not None and (is_number or kind is str):
        return _from_epoch(value, unit)
    if options.format is not None and is_number and int(value) == value:
        value = str(int(value))  # such as 202409
    if isinstance(value, str):
        moment = read_moment(value) if options.format is None else _from_text(value, options.format)
        if moment is None:
            raise ValueError(f"{describe_time(value)} is not an ISO 8601 time; add format, such as format = '%d.%m.%Y'")
        return moment
    time = to_plain(value)
    moment = read_moment(time) if isinstance(time, str) else None
    if moment is None and not isinstance(time, date):
        raise TypeError(f"{describe(value)} is not a time; expected a string, a date, or a number with format")
    return moment or moment_of(time)


def _between(first: Any, last: Any, options: WindowOptions) -> Window | None:
    """Return the window from a start and an end; None for an end that is open, or follows from the length."""
    if first is None and last is None:
        return None
    start = None if first is None else to_moment(first, options)
    end = None if last is None else to_moment(last, options)
    if end is not None and options.inclusive:
        end = end.plus(_unit_of(end))
    if options.length is None:
        return Window.from_ns(start and start.ns, end and end.ns)
    if start is not None and end is not None:
        raise ValueError("expected a single time for length, got a start and an end; remove length")
    if start is not None:
        return Window.from_ns(start.ns, start.plus(options.length).ns)
    assert end is not None
    return Window.from_ns(end.plus(options.length, -1).ns, end.ns)


def _pair_of(value: Any, options: WindowOptions) -> tuple[Any, Any] | None:
    """Return the start and the end in a value; None if it is a single value."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return value[0], value[1]
    if isinstance(value, str):
        if not options.inclusive or options.format is not None:
            return None
        separator = "," if "," in value else "/"
        first, _, last = value.partition(separator)
        return (first, last) if read_moment(first) and read_moment(last) else None
    if isinstance(value, (int, float, date)) or type(value).__name__ == "Period":
        return None
    is_row = isinstance(value, Sequence) and len(value) == 2  # such as a row of SQLAlchemy
    return pair_of(value) or ((value[0], value[1]) if is_row else None)


def _unit_of(moment: Moment) -> Duration:
    """Return the smallest unit that an inclusive end has: 23:59:59 is a second, 23:00 an hour, and midnight a day."""
    length = _LENGTHS.get(moment.unit)
    return length or next(Duration(0, step) for step in _STEPS if moment.local % step == 0)


def _matched(value: Any, pattern: str) -> str | tuple[str | None, str | None]:
    """Return the text in the groups of a regular expression, or a tuple of its groups `start` and `end`."""
    text = text_of(value)
    found = None if text is None else re.search(pattern, text)
    if found is None:
        raise ValueError(f"{describe(value)} does not match {short_repr(pattern)}")
    named = found.groupdict()
    if named:
        return named.get("start"), named.get("end")
    groups = [group for group in found.groups() if group is not None] or [found[0]]
    if len(groups) > len(_JOINTS):
        raise ValueError(f"{short_repr(pattern)} has {len(groups)} groups; a time has at most {len(_JOINTS)} parts")
    parts = [group if at == 0 else group.zfill(2) for at, group in enumerate(groups)]  # Hive has month=9
    return "".join(joint + part for joint, part in zip(_JOINTS, parts, strict=False))


def _from_epoch(value: Any, unit: int) -> Moment:
    from decimal import Context, Decimal  # takes 1 ms; few mappings need it

    try:  # not in the context of the program, which may round to a few digits
        return Moment(int(Context(prec=60).multiply(Decimal(str(value)), Decimal(unit))), 0, "minute")
    except (ArithmeticError, ValueError):
        raise ValueError(f"{describe_time(value)} is not a number of seconds or another unit since 1970") from None


@lru_cache(maxsize=1024)
def _from_text(text: str, form: str) -> Moment:
    try:
        time = datetime.strptime(text, form)
    except ValueError:
        raise ValueError(f"{describe_time(text)} does not match the format {form!r}") from None
    letters = re.findall("%(.)", form)
    unit = next(unit for unit, names in _DIRECTIVES.items() if any(letter in names for letter in letters))
    return moment_of(time)._replace(unit=unit)
