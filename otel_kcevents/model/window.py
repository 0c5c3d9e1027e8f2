"""`Window`: the period that a set covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from functools import lru_cache
from time import time_ns
from typing import Any

from otel_kcevents.model.intervals import parse_interval
from otel_kcevents.model.messages import describe, describe_time, short_repr
from otel_kcevents.model.moments import end_to_ns, ends_of, to_plain
from otel_kcevents.model.timestamps import DAY, SECOND, format_time, parse_time, pattern, to_datetime, to_ns

__all__ = ["Window", "current_time", "set_window_of"]

_CACHED_ZONES = (None, timezone.utc)  # in others, equal datetimes may be different instants when clocks are set back
_MAX_LENGTH = 256  # of a window as a string: enough for two times with the names of their zones
_UNITS = {"m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY, "w": 7 * DAY}

_DURATION = r"(\d{1,12})([mhdw])(?: offset (\d{1,12})([mhdw]))?"
_SHORT = r"(.+)/(\d+)([dhm])"
_YEARS = r"\d{4}[,-]\d{4}"
_UNIX_PAIR = r"(\d{1,12})[,-](\d{1,12})"
_EXAMPLES = (
    "a string such as 24h, 7d, yesterday, lastmonth, 2020-04-01, 2020-04, 2020-04-01/2020-04-03 or "
    "2020-04-01T05:00Z/2020-04-01T06:00Z"
)
_FORMS = (
    "15m, 24h, 7d or 2w; today, yesterday, week, month, lastweek or lastmonth; two Unix times as in "
    "1586822400,1586908800; two RFC 3339 times as in 2020-04-01T00:00:00Z,2020-04-03T00:00:00Z; "
    "or 45m offset 15m"
)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Window:
    """The period that a set covers, in UTC, with nanosecond precision.

    Windows compare, hash and pickle by value. `Window.of` converts more types and forms than the class itself.

    Args:
        start: The start, inclusive: a datetime (UTC if it is naive), a date (its midnight in UTC) or an RFC 3339
            string; None for an open start.
        end: The end, exclusive, of the same types; None for an open end.

    Raises:
        TypeError: *start* or *end* has an unsupported type.
        ValueError: A string is not an RFC 3339 time, or the start is after the end.

    Attributes:
        start_ns: The start in nanoseconds since 1970, None if it is open.
        end_ns: The end in nanoseconds since 1970, None if it is open.
        start_text: The start as an RFC 3339 string, as in the log's JSON; None if it is open.
        end_text: The end as an RFC 3339 string; None if it is open.
    """

    start_ns: int | None
    end_ns: int | None
    start_text: str | None = field(compare=False)
    end_text: str | None = field(compare=False)

    def __init__(self, start: datetime | date | str | None = None, end: datetime | date | str | None = None) -> None:
        self._fill(None if start is None else to_ns(start), None if end is None else to_ns(end))

    def _fill(self, start: int | None, end: int | None) -> None:
        start_text = None if start is None else format_time(start)
        end_text = None if end is None else format_time(end)
        if start is not None and end is not None and start > end:
            raise ValueError(f"a window cannot start at {start_text}, after its end {end_text}; swap them")
        fill = object.__setattr__  # the class is frozen
        fill(self, "start_ns", start)
        fill(self, "end_ns", end)
        fill(self, "start_text", start_text)
        fill(self, "end_text", end_text)

    def __reduce__(self) -> tuple[type[Window], tuple[str | None, str | None]]:
        return Window, (self.start_text, self.end_text)  # strings, which later versions can read too

    @classmethod
    def from_ns(cls, start: int | None, end: int | None) -> Window:
        """Return the window between two times.

        Args:
            start: The start, inclusive, in nanoseconds since 1970 (UTC); None for an open start.
            end: The end, exclusive, in nanoseconds since 1970 (UTC); None for an open end.

        Raises:
            ValueError: A time is outside the years 1 to 9999, or the start is after the end.
        """
        window = cls.__new__(cls)
        window._fill(start, end)
        return window

    @classmethod
    def parse(cls, text: str, now: datetime | int | None = None) -> Window:
        """Return the window that a string names, in any form of the Kubecost API.

        `15m`, `24h`, `7d` and `2w` end at the end of the current minute, hour or day; `45m offset 15m` ended 15
        minutes ago. The words are `today`, `yesterday`, `week`, `month`, `lastweek` and `lastmonth`; weeks begin on
        Sunday. Two Unix times or two RFC 3339 times are a start and an end.

        Args:
            text: The window.
            now: The time that relative forms are relative to, as a datetime or in nanoseconds since 1970; default: now.

        Raises:
            ValueError: The text has none of these forms, or a time in it does not exist.
        """
        try:
            ends = _parse(text, _now_ns(now))
            if ends is not None:
                return cls.from_ns(*ends)
            reason = ""
        except ValueError as error:
            reason = f": {error}"
        raise ValueError(f"cannot convert {short_repr(text)} to a Window{reason}; expected {_FORMS}")

    @classmethod
    def of(cls, value: Any, now: datetime | int | None = None) -> Window:
        """Convert *value* to a Window.

        Args:
            value: One of these, also with times and periods of numpy, pandas or pyarrow:

                - a Window
                - a string that `parse` reads, or an ISO 8601 day, hour, month or interval; `2024-09` is a month, not
                  two Unix times, and `2015-2016` is rejected
                - a date, for that day
                - a pair of datetimes, dates or strings of times, with None for an open end; a day, a month or a period
                  stands for its start
                - an object with the attributes, or a mapping with the keys, `start` and `end`, `start_time` and
                  `end_time`, or `left` and `right`

            now: The time that relative forms are relative to, as a datetime or in nanoseconds since 1970; default: now.

        Raises:
            TypeError: The value has an unsupported type.
            ValueError: The value is not a valid window.
        """
        if isinstance(value, tuple) and len(value) == 2:
            start, end = value
            if type(start) is type(end) is datetime and start.tzinfo in _CACHED_ZONES and end.tzinfo in _CACHED_ZONES:
                return _between(start, end)
        if isinstance(value, cls):
            return value
        if isinstance(value, (tuple, list)) and len(value) == 2:
            return cls.from_ns(end_to_ns(value[0]), end_to_ns(value[1]))
        if not isinstance(value, (str, date)):
            pair = ends_of(value)
            if pair is not None:
                return cls.from_ns(*pair)
            if isinstance(value, Sequence) and len(value) == 2:  # such as a row of SQLAlchemy
                return cls.from_ns(end_to_ns(value[0]), end_to_ns(value[1]))
            value = to_plain(value)
        if isinstance(value, str):
            return cls._from_text(value, now)
        if isinstance(value, date) and not isinstance(value, datetime):
            return cls.from_ns(to_ns(value), to_ns(value) + DAY)
        raise TypeError(
            f"cannot convert {describe(value)} to a Window; expected a pair of datetimes, a Window, an object or a "
            f"mapping with start and end, or {_EXAMPLES}"
        )

    @classmethod
    def _from_text(cls, text: str, now: datetime | int | None) -> Window:
        reason = ""
        try:
            if len(text) <= _MAX_LENGTH:  # searching a whole file would be slow
                window = _interval(text)
                if window is not None:
                    return window
                if pattern(_YEARS).fullmatch(text):
                    raise ValueError("it may be years or Unix times; write dates, such as 2015-01-01/2017-01-01")
                ends = _parse(text, _now_ns(now))
                if ends is not None:
                    return cls.from_ns(*ends)
        except ValueError as error:
            if describe_time(text) == short_repr(text):  # otherwise the reason could show a part of the data
                reason = f": {error}"
        raise ValueError(f"cannot convert {describe_time(text)} to a Window{reason}; expected {_EXAMPLES}")

    @property
    def start(self) -> datetime | None:
        """The start, inclusive, as a datetime in UTC, with microsecond precision; None if it is open."""
        return None if self.start_ns is None else to_datetime(self.start_ns)

    @property
    def end(self) -> datetime | None:
        """The end, exclusive, as a datetime in UTC, with microsecond precision; None if it is open."""
        return None if self.end_ns is None else to_datetime(self.end_ns)

    def contains(self, time: datetime | str | int) -> bool:
        """Return whether a time is in the window.

        Args:
            time: A datetime (UTC if it is naive), an RFC 3339 string, or nanoseconds since 1970 (UTC).

        Raises:
            TypeError: The time has an unsupported type.
            ValueError: The string is not an RFC 3339 time.
        """
        ns = time if isinstance(time, int) else to_ns(time)
        return (self.start_ns is None or self.start_ns <= ns) and (self.end_ns is None or ns < self.end_ns)

    def __str__(self) -> str:
        return f"{self.start_text or ''},{self.end_text or ''}"

    def __repr__(self) -> str:
        return f"Window({self.start_text!r}, {self.end_text!r})"


def set_window_of(text: str, now: datetime | int | None = None) -> Window:
    """Return the window of sets that a string names, in any form of `Window.of` or as the column WINDOW shows it.

    Args:
        text: The string, such as `7d`, `2024-09-02` or `2024-09-02T10:00Z/1h`.
        now: The time that relative forms are relative to, as a datetime or in nanoseconds since 1970; default: now.

    Raises:
        ValueError: The string does not name a window.
    """
    short = pattern(_SHORT).fullmatch(text)
    start, number, unit = short.groups() if short else (text, "", "")
    try:
        return Window.of(f"{start}/P{'' if unit == 'd' else 'T'}{number}{unit.upper()}" if short else text, now)
    except ValueError:
        forms = "a day, an hour, a month, an interval or a range, such as 2024-09-02, 2024-09-02T10:00Z/1h or 7d"
        raise ValueError(f"cannot convert {short_repr(text)} to a Window; expected {forms}") from None


def current_time() -> int:
    """Return the time that relative forms of a window are relative to by default, in nanoseconds since 1970."""
    return time_ns()


def _now_ns(now: datetime | int | None) -> int:
    return current_time() if now is None else now if isinstance(now, int) else to_ns(now)


@lru_cache(maxsize=1024)
def _between(start: datetime, end: datetime) -> Window:
    return Window(start, end)


@lru_cache(maxsize=1024)
def _interval(text: str) -> Window | None:
    ends = parse_interval(text)
    return None if ends is None else Window.from_ns(*ends)


def _parse(text: str, now: int) -> tuple[int, int] | None:
    """Return start and end in nanoseconds; None if the form is unknown.

    Raises:
        ValueError: A time does not exist.
    """
    if match := pattern(_DURATION).fullmatch(text):
        count, unit, offset, offset_unit = match.groups()
        length = int(count) * _UNITS[unit]
        if offset is None:
            edge = min(_UNITS[unit], DAY)
            end = (now // edge + 1) * edge
        else:
            end = now - int(offset) * _UNITS[offset_unit]
        return (end - length, end) if length else None
    if match := pattern(_UNIX_PAIR).fullmatch(text):
        return int(match[1]) * SECOND, int(match[2]) * SECOND
    if text.count(",") == 1:
        start, _, last = text.partition(",")
        return parse_time(start), parse_time(last)
    today = now // DAY * DAY
    sunday = today - (today // DAY + 4) % 7 * DAY  # 1970-01-01 was a Thursday
    match text:
        case "today":
            return today, today + DAY
        case "yesterday":
            return today - DAY, today
        case "week":
            return sunday, now
        case "month":
            return _first_of_month(today), now
        case "lastweek":
            return sunday - 7 * DAY, sunday
        case "lastmonth":
            month = _first_of_month(today)
            return _first_of_month(month - DAY), month
    return None


def _first_of_month(midnight: int) -> int:
    try:
        return midnight - (to_datetime(midnight).day - 1) * DAY
    except OverflowError as error:
        raise ValueError(str(error)) from None
