"""RFC 3339 times and nanoseconds since 1970."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

from otel_kcevents.model.messages import short_repr

__all__ = ["MAX_NS", "MIN_NS", "format_time", "parse_time", "to_ns"]

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1).toordinal()
SECOND = 1_000_000_000
DAY = 86_400
MIN_NS = (1 - EPOCH_DAY) * DAY * SECOND  # the year 1
MAX_NS = (date.max.toordinal() + 1 - EPOCH_DAY) * DAY * SECOND - 1  # the year 9999

TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


@lru_cache(maxsize=4096)
def _hour(hours: int) -> str:
    """The text up to the minute of an hour, counted from 1970."""
    day, hour = divmod(hours, 24)
    return f"{date.fromordinal(day + EPOCH_DAY).isoformat()}T{hour:02d}:"


_TWO = [f"{number:02d}" for number in range(60)]
_MINUTES = [f"{minute}:{second}." for minute in _TWO for second in _TWO]


def format_time(ns: int) -> str:
    """Nanoseconds since 1970 (UTC) as Go's RFC3339Nano prints them: `Z`, no trailing zeros, no bare point.

    Raises ValueError outside the years 1 to 9999.
    """
    seconds, fraction = divmod(ns, SECOND)
    hours, second = divmod(seconds, 3_600)
    try:
        text = _hour(hours) + _MINUTES[second]
    except (ValueError, OverflowError):
        raise ValueError(f"{short_repr(ns)} ns since 1970 is outside the years 1 to 9999") from None
    if fraction % 10:
        return f"{text}{str(SECOND + fraction)[1:]}Z"
    return (text + str(SECOND + fraction)[1:]).rstrip("0").rstrip(".") + "Z"


def parse_time(text: str) -> int:
    """An RFC 3339 time, with up to nine decimals, as nanoseconds since 1970 (UTC).

    Raises ValueError for anything else.
    """
    match = TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{short_repr(text)} is not an RFC 3339 time; write it as in 2022-06-03T16:58:41.289194368Z")
    *parts, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc,arg-type]
        if sign:
            if int(minutes) > 59 or int(hours) > 23:
                raise ValueError("its offset is not between -23:59 and +23:59")
            moment -= int(sign + "1") * timedelta(hours=int(hours), minutes=int(minutes))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{short_repr(text)} is not a time that exists: {error}") from None
    return to_ns(moment) + int((fraction or "").ljust(9, "0"))


def to_ns(value: datetime | date | str) -> int:
    """A datetime (naive is UTC), a date (its midnight, UTC) or an RFC 3339 text as nanoseconds since 1970.

    Raises TypeError for any other type and ValueError for a text that is no time.
    """
    if isinstance(value, str):
        return parse_time(value)
    if not isinstance(value, datetime):
        if not isinstance(value, date):
            raise TypeError(f"{short_repr(value)} is no time; give a datetime or an RFC 3339 text")
        value = datetime(value.year, value.month, value.day)
    since = (value if value.tzinfo else value.replace(tzinfo=UTC)) - EPOCH
    whole = (since.days * DAY + since.seconds) * SECOND + since.microseconds * 1_000
    return int(whole) + int(getattr(value, "nanosecond", 0))  # pandas keeps what datetime has no room for
