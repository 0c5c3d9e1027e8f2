"""Time as the log writes it, and `Window`, the period that a set covers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from time import time_ns
from typing import Any

__all__ = ["Window", "format_time", "parse_time", "shown", "to_ns"]

UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_SECOND = 1_000_000_000
_DAY = 86_400
_PLAIN = (UTC, None)  # where equal datetimes are the same instant: not so where a clock is set back
FIRST_NS = (1 - _EPOCH_DAY) * _DAY * _SECOND  # the year 1
LAST_NS = (date.max.toordinal() + 1 - _EPOCH_DAY) * _DAY * _SECOND - 1  # the year 9999
_LAST_TICKS = (999_000_000, 999_999_000, 999_999_999)
_STEPS = {"m": 60, "h": 3_600, "d": _DAY, "w": 7 * _DAY}

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_UNIT = re.compile(r"(\d{1,12})([mhdw])(?: offset (\d{1,12})([mhdw]))?", re.ASCII)
_UNIX_PAIR = re.compile(r"(\d{1,12})[,-](\d{1,12})", re.ASCII)
_FORMS = (
    "15m, 24h, 7d or 2w; today, yesterday, week, month, lastweek or lastmonth; two Unix times as in "
    "1586822400,1586908800; two RFC 3339 times as in 2020-04-01T00:00:00Z,2020-04-03T00:00:00Z; "
    "or 45m offset 15m"
)


def shown(value: object, most: int = 80) -> str:
    """`repr(value)`, cut to `most` characters, for an error message."""
    text = repr(value[: most + 1] if isinstance(value, str) else value)
    return text if len(text) <= most else f"{text[:most]}…"


@lru_cache(maxsize=4096)
def _hour(hours: int) -> str:
    """The text up to the minute of an hour, counted from 1970."""
    day, hour = divmod(hours, 24)
    return f"{date.fromordinal(day + _EPOCH_DAY).isoformat()}T{hour:02d}:"


_TWO = [f"{number:02d}" for number in range(60)]
_MINUTES = [f"{minute}:{second}." for minute in _TWO for second in _TWO]


def format_time(ns: int) -> str:
    """Nanoseconds since 1970 (UTC) as Go's RFC3339Nano prints them: `Z`, no trailing zeros, no bare point.

    Raises ValueError outside the years 1 to 9999.
    """
    seconds, fraction = divmod(ns, _SECOND)
    hours, second = divmod(seconds, 3_600)
    try:
        text = _hour(hours) + _MINUTES[second]
    except (ValueError, OverflowError):
        raise ValueError(f"{shown(ns)} ns since 1970 is outside the years 1 to 9999") from None
    if fraction % 10:
        return f"{text}{str(_SECOND + fraction)[1:]}Z"
    return (text + str(_SECOND + fraction)[1:]).rstrip("0").rstrip(".") + "Z"


def parse_time(text: str) -> int:
    """An RFC 3339 time, with up to nine decimals, as nanoseconds since 1970 (UTC).

    Raises ValueError for anything else.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is not an RFC 3339 time; write it as in 2022-06-03T16:58:41.289194368Z")
    *parts, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc,arg-type]
        if sign:
            if int(minutes) > 59 or int(hours) > 23:
                raise ValueError("its offset is not between -23:59 and +23:59")
            moment -= int(sign + "1") * timedelta(hours=int(hours), minutes=int(minutes))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{shown(text)} is not a time that exists: {error}") from None
    return to_ns(moment) + int((fraction or "").ljust(9, "0"))


def to_ns(value: datetime | date | str) -> int:
    """A datetime (naive is UTC), a date (its midnight, UTC) or an RFC 3339 text as nanoseconds since 1970.

    Raises TypeError for any other type and ValueError for a text that is no time.
    """
    if isinstance(value, str):
        return parse_time(value)
    if not isinstance(value, datetime):
        if not isinstance(value, date):
            raise TypeError(f"{shown(value)} is no time; give a datetime or an RFC 3339 text")
        value = datetime(value.year, value.month, value.day)
    since = (value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH
    whole = (since.days * _DAY + since.seconds) * _SECOND + since.microseconds * 1_000
    return int(whole) + int(getattr(value, "nanosecond", 0))  # pandas keeps what datetime has no room for


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
            raise ValueError(f"{shown(text)} is no window; give {_FORMS}") from None
        except ValueError as error:
            raise ValueError(f"{shown(text)} is no window: {error}; give {_FORMS}") from None

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
            return cls.from_ns(to_ns(value), to_ns(value) + _DAY * _SECOND)
        return cls._from_ends(value)

    @classmethod
    def _from_ends(cls, value: Any) -> Window:
        for start, end in (("start", "end"), ("start_time", "end_time"), ("left", "right")):
            if hasattr(value, start) and hasattr(value, end):
                window = cls(getattr(value, start), getattr(value, end))
                return window._to_next_second() if start == "start_time" else window
        raise TypeError(f"{shown(value)} is no window; give a pair of datetimes, a Window, or a text: {_FORMS}")

    def _to_next_second(self) -> Window:
        """The same window, if it ends on the last tick of a second, as a pandas Period does, to the next."""
        end = self.end_ns
        if end is not None and end % _SECOND in _LAST_TICKS:
            return self.from_ns(self.start_ns, (end // _SECOND + 1) * _SECOND)
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
    return None if ns is None else _EPOCH + timedelta(microseconds=ns // 1_000)


def _parse(text: str, now_ns: int) -> tuple[int, int]:
    """Start and end in nanoseconds. Raises LookupError for an unknown form, ValueError for a wrong time."""
    if match := _UNIT.fullmatch(text):
        return _unit(*match.groups(), now_ns=now_ns)
    if match := _UNIX_PAIR.fullmatch(text):
        return int(match[1]) * _SECOND, int(match[2]) * _SECOND
    if text.count(",") == 1:
        start, _, end = text.partition(",")
        if not (_TIME.fullmatch(start) and _TIME.fullmatch(end)):
            raise LookupError(text)
        return parse_time(start), parse_time(end)
    return _WORDS[text](now_ns)


def _unit(count: str, unit: str, offset: str | None, offset_unit: str | None, *, now_ns: int) -> tuple[int, int]:
    length = int(count) * _STEPS[unit] * _SECOND
    if not length:
        raise LookupError(count)
    if offset is not None and offset_unit is not None:
        end = now_ns - int(offset) * _STEPS[offset_unit] * _SECOND
    else:
        edge = min(_STEPS[unit], _DAY) * _SECOND
        end = (now_ns // edge + 1) * edge
    return end - length, end


def _days(first: int, end: int) -> tuple[int, int]:
    return first * _DAY * _SECOND, end * _DAY * _SECOND


def _today(now_ns: int) -> int:
    return now_ns // (_DAY * _SECOND)


def _sunday(now_ns: int) -> int:
    return _today(now_ns) - (_today(now_ns) + 4) % 7  # 1970 began on a Thursday


def _first_of_month(day: int) -> int:
    return day - (date.fromordinal(day + _EPOCH_DAY).day - 1)


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
