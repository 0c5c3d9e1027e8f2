"""The resolution of a window: hourly, daily, monthly, or another length."""

from __future__ import annotations

from functools import lru_cache

from otel_kcevents.model.intervals import parse_duration
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import DAY, SECOND, pattern

__all__ = [
    "CALENDAR",
    "CLOCK_CHANGE",
    "may_be_month",
    "month_of",
    "month_start",
    "parse_resolution",
    "period_of",
    "resolution_of",
]

_HOUR = 3_600 * SECOND
_UNITS = (("d", DAY), ("h", _HOUR), ("m", 60 * SECOND), ("s", SECOND))
_MONTH = 2_629_746 * SECOND  # the average
_AHEAD = 14 * _HOUR  # the largest offset of a zone
_BEHIND = 12 * _HOUR

CALENDAR: dict[str, int] = {"hourly": _HOUR, "daily": DAY, "monthly": 31 * DAY}
"""The longest regular window of each resolution of the calendar, in nanoseconds."""

CLOCK_CHANGE = _HOUR
"""How much longer or shorter a day may be on which a clock is changed, in nanoseconds."""


def resolution_of(start: int, end: int) -> str:
    """Return the resolution of a window.

    Args:
        start: The start, in nanoseconds since 1970 (UTC).
        end: The end, likewise.

    Returns:
        `hourly` for an hour; `daily` for a day; `monthly` for a month of the calendar; otherwise the length, such as
        `15m`, `7d` or `90s`. Days and months may be those of any zone: a length of whole days may differ by an hour,
        as it does when a clock is changed, and a month may begin up to 14 hours before that of UTC, or 12 after it.
    """
    length = end - start
    return "monthly" if may_be_month(length) and _is_month(start, end) else _resolution_of(length)


def may_be_month(length: int) -> bool:
    """Return whether windows of a length may be months, so that their resolution does not follow from the length alone.

    Args:
        length: The length, in nanoseconds.
    """
    return 28 * DAY - CLOCK_CHANGE <= length <= 31 * DAY + CLOCK_CHANGE


@lru_cache(maxsize=1024)
def _resolution_of(length: int) -> str:
    if length == _HOUR:
        return "hourly"
    days = (length + DAY // 2) // DAY
    if days and abs(length - days * DAY) in (0, CLOCK_CHANGE // 2, CLOCK_CHANGE):
        return "daily" if days == 1 else f"{days}d"
    for name, unit in _UNITS:
        if length % unit == 0:
            return f"{length // unit}{name}"
    return f"{length // SECOND}.{length % SECOND:09d}".rstrip("0") + "s"


def _is_month(start: int, end: int) -> bool:
    month = month_of(start + _AHEAD)
    first, last = start - month_start(month), end - month_start(month + 1)
    return -_AHEAD <= first <= _BEHIND and abs(first - last) <= CLOCK_CHANGE


def month_of(time: int) -> int:
    """Return the number of the month of the calendar (UTC) that a time is in; January 1970 has 0.

    Args:
        time: The time, in nanoseconds since 1970.
    """
    month = time // _MONTH
    while month_start(month) > time:
        month -= 1
    while month_start(month + 1) <= time:
        month += 1
    return month


def month_start(month: int) -> int:
    """Return the start of a month of the calendar (UTC) in nanoseconds since 1970, in any year.

    Args:
        month: The number of the month; January 1970 has 0.
    """
    year, place = divmod(month + 10, 12)  # years that begin in March, so that a leap day is the last day
    year += 1969
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * place + 2) // 5
    return (days - 719_468) * DAY


def period_of(resolution: str) -> int:
    """Return the regular length of the windows of a resolution in nanoseconds; for `monthly`, 31 days.

    Args:
        resolution: A result of `resolution_of()`.
    """
    if resolution in CALENDAR:
        return CALENDAR[resolution]
    seconds, _, fraction = resolution[:-1].partition(".")
    return int(seconds) * dict(_UNITS)[resolution[-1]] + int(fraction.ljust(9, "0"))


def parse_resolution(text: str) -> str:
    """Return the resolution that a string names.

    Args:
        text: `hourly`, `daily`, `monthly`, or a length such as `15m`, `7d`, `1h` (which is `hourly`), or `PT15M`.

    Raises:
        ValueError: The string is something else, or the length is zero.
    """
    if text in CALENDAR:
        return text
    if match := pattern(r"(\d{1,9})\.(\d{1,9})s").fullmatch(text):
        months, length = 0, int(match[1]) * SECOND + int(match[2].ljust(9, "0"))
    else:
        months, length = parse_duration(text) or (0, 0)
    if (months, length) == (1, 0):
        return "monthly"
    if months or not length:
        raise ValueError(
            f"{short_repr(text)} is not a resolution; expected hourly, daily, monthly or a length such as 15m or 7d"
        )
    return _resolution_of(length)
