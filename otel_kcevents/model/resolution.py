"""The resolution of a window: hourly, daily, or another length."""

from __future__ import annotations

from otel_kcevents.model.timestamps import DAY, SECOND, to_datetime

__all__ = ["resolution_of"]

_HOUR = 3_600 * SECOND
_UNITS = (("d", DAY), ("h", _HOUR), ("m", 60 * SECOND), ("s", SECOND))


def resolution_of(start: int, end: int) -> str:
    """Return the resolution of a window.

    Args:
        start: The start, in nanoseconds since 1970 (UTC).
        end: The end, likewise.

    Returns:
        `hourly` for an hour; `daily` for 24 hours, and for 23 or 25, which a day has when a clock is changed; `monthly`
        for a month of the calendar in UTC; otherwise the length, such as `15m`, `7d` or `90s`.
    """
    length = end - start
    if length == _HOUR:
        return "hourly"
    if length in (DAY, DAY - _HOUR, DAY + _HOUR):
        return "daily"
    if 28 * DAY <= length <= 31 * DAY and _is_month(start, end):
        return "monthly"
    for name, unit in _UNITS:
        if length % unit == 0:
            return f"{length // unit}{name}"
    return f"{length / SECOND}s"


def _is_month(start: int, end: int) -> bool:
    if start % DAY:
        return False
    first, after = to_datetime(start), to_datetime(end)
    return first.day == after.day == 1 and (after.month - first.month) % 12 == 1
