"""`Window`: the period that a set covers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from time import time_ns
from typing import Any

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import DAY, EPOCH, EPOCH_DAY, SECOND, TIME, UTC, format_time, parse_time, to_ns

__all__ = ["Window"]

_PLAIN = (UTC, None)  # where equal datetimes are the same instant: not so where a clock is set back
_LAST_TICKS = (999_000_000, 999_999_000, 999_999_999)
_STEPS = {"m": 60, "h": 3_600, "d": DAY, "w": 7 * DAY}

_UNIT = re.compile(r"(\d{1,12})([mhdw])(?: offset (\d{1,12})([mhdw]))?", re.ASCII)
_UNIX_PAIR = re.compile(r"(\d{1,12})[,-](\d{1,12})", re.ASCII)
_FORMS = (
    "15m, 24h, 7d or 2w; today, yesterday, week, month, lastweek or lastmonth; two Unix times as in "
    "1586822400,1586908800; two RFC 3339 times as in 2020-04-01T00:00:00Z,2020-04-03T00:00:00Z; "
    "or 45m offset 15m"
)


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Window:
    """The period that a set covers: start inclusive, end exclusive, UTC; None leaves an end open.

    Both ends are given as datetimes (naive is UTC) or RFC 3339 texts, and are kept to the nanosecond.
    Windows compare, hash and pickle by value. Raises ValueError where the start is after the end.
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
            raise ValueError(f"a window can not start at {start_text}, after its end {end_text}; swap them")
        fill = object.__setattr__  # the fields are frozen to everyone else
        fill(self, "start_ns", start)
        fill(self, "end_ns", end)
        fill(self, "start_text", start_text)
        fill(self, "end_text", end_text)

    @classmethod
    def from_ns(cls, start: int | None, end: int | None) -> Window:
        """A window between two times in nanoseconds since 1970 (UTC). Raises ValueError as `Window` does."""
        window = cls.__new__(cls)
        window._fill(start, end)
        return window

    @classmethod
    def parse(cls, text: str, now: datetime | None = None) -> Window:
        """A window from a text in any of the product's forms, seen from `now` (default: the clock).

        `15m`, `24h`, `7d`, `2w` end with the current minute, hour or day; `45m offset 15m` ends 15
        minutes before now; the words are `today`, `yesterday`, `week`, `month`, `lastweek`, `lastmonth`
        (weeks begin on Sunday); then two Unix times or two RFC 3339 times. Raises ValueError, which
        names the forms, for anything else.
        """
        try:
            return cls.from_ns(*_parse(text, time_ns() if now is None else to_ns(now)))
        except LookupError:
            raise ValueError(f"{short_repr(text)} is no window; give {_FORMS}") from None
        except ValueError as error:
            raise ValueError(f"{short_repr(text)} is no window: {error}; give {_FORMS}") from None

    @classmethod
    def of(cls, value: Any, now: datetime | None = None) -> Window:
        """A window from whatever means one.

        A Window; a text, as for `parse`; a pair of datetimes, dates or RFC 3339 texts, None for an open
        end; a date, which is that day; anything with `start` and `end`, `start_time` and `end_time` or
        `left` and `right`. Raises TypeError or ValueError for anything else.
        """
        if isinstance(value, tuple) and len(value) == 2:
            start, end = value
            if type(start) is datetime and type(end) is datetime and start.tzinfo in _PLAIN and end.tzinfo in _PLAIN:
                return _between(start, end)
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls.parse(value, now)
        if isinstance(value, (tuple, list)) and len(value) == 2:
            return cls(*value)
        if isinstance(value, date) and not isinstance(value, datetime):
            return cls.from_ns(to_ns(value), to_ns(value) + DAY * SECOND)
        return cls._from_ends(value)

    @classmethod
    def _from_ends(cls, value: Any) -> Window:
        for start, end in (("start", "end"), ("start_time", "end_time"), ("left", "right")):
            if hasattr(value, start) and hasattr(value, end):
                window = cls(getattr(value, start), getattr(value, end))
                return window._to_next_second() if start == "start_time" else window
        raise TypeError(f"{short_repr(value)} is no window; give a pair of datetimes, a Window, or a text: {_FORMS}")

    def _to_next_second(self) -> Window:
        """The same window, if it ends on the last tick of a second, as a pandas Period does, to the next."""
        end = self.end_ns
        if end is not None and end % SECOND in _LAST_TICKS:
            return self.from_ns(self.start_ns, (end // SECOND + 1) * SECOND)
        return self

    @property
    def start(self) -> datetime | None:
        """The start, inclusive, as a datetime in UTC (to the microsecond), or None where it is open."""
        return _to_datetime(self.start_ns)

    @property
    def end(self) -> datetime | None:
        """The end, exclusive, as a datetime in UTC (to the microsecond), or None where it is open."""
        return _to_datetime(self.end_ns)

    def contains(self, time: datetime | str | int) -> bool:
        """Whether a time (a datetime, an RFC 3339 text or nanoseconds since 1970) is in the window."""
        ns = time if isinstance(time, int) else to_ns(time)
        return (self.start_ns is None or self.start_ns <= ns) and (self.end_ns is None or ns < self.end_ns)

    def __str__(self) -> str:
        return f"{self.start_text or ''},{self.end_text or ''}"

    def __repr__(self) -> str:
        return f"Window({self.start_text!r}, {self.end_text!r})"


@lru_cache(maxsize=1024)
def _between(start: datetime, end: datetime) -> Window:
    return Window(start, end)


def _to_datetime(ns: int | None) -> datetime | None:
    return None if ns is None else EPOCH + timedelta(microseconds=ns // 1_000)


def _parse(text: str, now_ns: int) -> tuple[int, int]:
    """Start and end in nanoseconds. Raises LookupError for an unknown form, ValueError for a wrong time."""
    if match := _UNIT.fullmatch(text):
        return _unit(*match.groups(), now_ns=now_ns)
    if match := _UNIX_PAIR.fullmatch(text):
        return int(match[1]) * SECOND, int(match[2]) * SECOND
    if text.count(",") == 1:
        start, _, end = text.partition(",")
        if not (TIME.fullmatch(start) and TIME.fullmatch(end)):
            raise LookupError(text)
        return parse_time(start), parse_time(end)
    return _WORDS[text](now_ns)


def _unit(count: str, unit: str, offset: str | None, offset_unit: str | None, *, now_ns: int) -> tuple[int, int]:
    length = int(count) * _STEPS[unit] * SECOND
    if not length:
        raise LookupError(count)
    if offset is not None and offset_unit is not None:
        end = now_ns - int(offset) * _STEPS[offset_unit] * SECOND
    else:
        edge = min(_STEPS[unit], DAY) * SECOND
        end = (now_ns // edge + 1) * edge
    return end - length, end


def _days(first: int, end: int) -> tuple[int, int]:
    return first * DAY * SECOND, end * DAY * SECOND


def _today(now_ns: int) -> int:
    return now_ns // (DAY * SECOND)


def _sunday(now_ns: int) -> int:
    return _today(now_ns) - (_today(now_ns) + 4) % 7  # 1970 began on a Thursday


def _first_of_month(day: int) -> int:
    return day - (date.fromordinal(day + EPOCH_DAY).day - 1)


def _last_month(now_ns: int) -> tuple[int, int]:
    end = _first_of_month(_today(now_ns))
    return _days(_first_of_month(end - 1), end)


_WORDS = {
    "today": lambda now: _days(_today(now), _today(now) + 1),
    "yesterday": lambda now: _days(_today(now) - 1, _today(now)),
    "week": lambda now: (_days(_sunday(now), 0)[0], now),
    "month": lambda now: (_days(_first_of_month(_today(now)), 0)[0], now),
    "lastweek": lambda now: _days(_sunday(now) - 7, _sunday(now)),
    "lastmonth": _last_month,
}
