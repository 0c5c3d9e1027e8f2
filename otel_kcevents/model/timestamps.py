"""Conversion between RFC 3339 strings, datetimes and nanoseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from functools import cache, lru_cache
from typing import Any

from otel_kcevents.model.messages import describe, short_repr

__all__ = ["DAY", "MAX_NS", "MIN_NS", "SECOND", "format_time", "parse_time", "pattern", "to_datetime", "to_ns"]

SECOND = 1_000_000_000
"""Nanoseconds in a second."""

DAY = 86_400 * SECOND
"""Nanoseconds in a day."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EPOCH_DAY = _EPOCH.toordinal()

MIN_NS = (1 - _EPOCH_DAY) * DAY
"""The first nanosecond of the year 1."""

MAX_NS = (date.max.toordinal() + 1 - _EPOCH_DAY) * DAY - 1
"""The last nanosecond of the year 9999."""

_RFC_3339 = r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))"

# A document holds thousands of times: this table, and `str` below, are twice as fast as a format specification.
_TWO_DIGITS = [f"{number:02d}" for number in range(60)]
_SECONDS_OF_HOUR = [f"{minute}:{second}" for minute in _TWO_DIGITS for second in _TWO_DIGITS]


@cache
def pattern(source: str) -> re.Pattern[str]:
    """Return a regular expression for ASCII, compiled when it is first needed: that takes about 1 ms of an import.

    Args:
        source: The regular expression.
    """
    return re.compile(source, re.ASCII)


def format_time(ns: int) -> str:
    """Return a time as Go's RFC3339Nano prints it: in UTC with a `Z`, without trailing zeros in the fraction.

    Args:
        ns: Nanoseconds since 1970 (UTC).

    Raises:
        ValueError: The time is outside the years 1 to 9999.
    """
    seconds, fraction = divmod(ns, SECOND)
    hours, second = divmod(seconds, 3_600)
    try:
        text = _format_hour(hours) + _SECONDS_OF_HOUR[second]
    except (ValueError, OverflowError):
        raise ValueError(f"{short_repr(ns)} ns since 1970 is outside the years 1 to 9999") from None
    return f"{text}.{str(SECOND + fraction)[1:]}".rstrip("0") + "Z" if fraction else f"{text}Z"


@lru_cache(maxsize=4096)  # the date is most of the work, and the times of a log are close to each other
def _format_hour(hours: int) -> str:
    day, hour = divmod(hours, 24)
    return f"{date.fromordinal(day + _EPOCH_DAY).isoformat()}T{hour:02d}:"


def parse_time(text: str) -> int:
    """Return an RFC 3339 time as nanoseconds since 1970 (UTC).

    Args:
        text: The time, with up to nine decimals, such as `2022-06-03T16:58:41.289194368Z`.

    Raises:
        ValueError: The text is not an RFC 3339 time, or the time does not exist.
    """
    match = pattern(_RFC_3339).fullmatch(text)
    if match is None:
        raise ValueError(f"{short_repr(text)} is not an RFC 3339 time; write it as in 2022-06-03T16:58:41.289194368Z")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=timezone.utc)
        if sign:
            if int(offset_minutes) > 59 or int(offset_hours) > 23:
                raise ValueError("its offset is not between -23:59 and +23:59")
            offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{short_repr(text)} is not a time that exists: {error}") from None
    return to_ns(moment) + int((fraction or "").ljust(9, "0"))


def to_ns(value: datetime | date | str) -> int:
    """Return a time as nanoseconds since 1970 (UTC).

    Args:
        value: A datetime (UTC if it is naive), a date (its midnight in UTC) or an RFC 3339 string.

    Raises:
        TypeError: The value has an unsupported type.
        ValueError: The string is not an RFC 3339 time.
    """
    if isinstance(value, str):
        return parse_time(value)
    if not isinstance(value, datetime):
        if not isinstance(value, date):
            raise TypeError(f"cannot convert {describe(value)} to a time; expected a datetime or an RFC 3339 string")
        value = datetime(value.year, value.month, value.day)
    beyond = 0 if type(value) is datetime else _beyond_microsecond(value)
    aware = value.replace(tzinfo=timezone.utc) if value.utcoffset() is None else value
    # The subtraction of `datetime` itself, because that of a subclass may return something else than a timedelta; but a
    # proxy, which is an instance only by its `__class__`, has to use its own.
    since = datetime.__sub__(aware, _EPOCH) if issubclass(type(aware), datetime) else aware - _EPOCH
    return since.days * DAY + since.seconds * SECOND + since.microseconds * 1_000 + beyond


# The meaning of `nanosecond` in subclasses of `datetime`, by the package that defines them: the nanoseconds beyond the
# microsecond in pandas, the whole fraction of the second in Google's libraries. In other packages it is unknown.
_NANOSECONDS: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda time: time.nanosecond,
    "google": lambda time: time.nanosecond % 1_000,
    "proto": lambda time: time.nanosecond % 1_000,
}


def _beyond_microsecond(value: datetime) -> int:
    """Return the nanoseconds beyond the microsecond of an instance of a subclass of `datetime`."""
    for kind in type(value).__mro__:
        read = _NANOSECONDS.get(kind.__module__.partition(".")[0])
        if read is not None:
            beyond = read(value)
            if beyond != beyond:  # NaN: a missing time
                raise ValueError("NaT is not a time; use None for an open end")
            return int(beyond)
    return 0


def to_datetime(ns: int) -> datetime:
    """Return a time as a datetime in UTC, with microsecond precision.

    Args:
        ns: Nanoseconds since 1970 (UTC).

    Raises:
        OverflowError: The time is outside the years 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=ns // 1_000)
