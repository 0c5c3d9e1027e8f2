"""Windows and times in strings, beyond those of the Events API: ISO 8601 and the formats that programs print."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import DAY, SECOND, pattern, to_ns

__all__ = ["Duration", "Moment", "moment_of", "parse_duration", "parse_interval", "parse_moment", "read_moment"]

_MINUTE, _HOUR = 60 * SECOND, 3_600 * SECOND
_UNITS = {"s": SECOND, "m": _MINUTE, "h": _HOUR, "d": DAY, "w": 7 * DAY}
_EPOCH = datetime(1970, 1, 1)  # naive: on the clock of the time's own zone
_EPOCH_DAY = _EPOCH.toordinal()

# After an offset, Go prints the name of the zone (`+0200 CEST`) and Java prints its region (`+02:00[Europe/Berlin]`).
_ZONE = r"(?:Z|z| ?UTC| ?([+-])(\d\d)(?::?(\d\d))?(?: [A-Z]{3,5}| [+-]\d{2,4})?)(?:\[[\w/+-]+\])?"
_MOMENT = rf"(\d{{4}})-(\d\d)(?:-(\d\d)(?:[Tt ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{{1,9}}))?)?)?(?P<zone>{_ZONE})?)?)?"
_DURATION = (
    r"P(?=\d|T)(?:(\d{1,5})Y)?(?:(\d{1,6})M)?(?:(\d{1,7})W)?(?:(\d{1,8})D)?"
    r"(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,12})M)?(?:(\d{1,12})S)?)?"
)


class Duration(NamedTuple):
    """A length of time.

    Attributes:
        months: The months of the calendar.
        ns: The nanoseconds in addition.
    """

    months: int
    ns: int


def parse_duration(text: str) -> Duration | None:
    """Return a duration such as `15m`, `1h`, `1d`, `2w`, or an ISO 8601 one such as `P1M`; None for another form.

    Args:
        text: The duration.
    """
    if match := pattern(r"(\d{1,9})([smhdw])").fullmatch(text):
        return Duration(0, int(match[1]) * _UNITS[match[2]])
    match = pattern(_DURATION).fullmatch(text)
    return None if match is None else _duration(match)


def _duration(match: re.Match[str]) -> Duration:
    years, months, weeks, days, hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return Duration(
        12 * years + months, (7 * weeks + days) * DAY + hours * _HOUR + minutes * _MINUTE + seconds * SECOND
    )


class Moment(NamedTuple):
    """A date or a time on the clock of its zone.

    Attributes:
        local: The time on the clock of its zone, in nanoseconds since 1970 on that clock.
        offset: How far that clock is ahead of UTC, in nanoseconds; None if the string has no zone.
        unit: The smallest unit that the string has: month, day, hour or, for anything smaller, minute.
        body: The string without its zone; empty if it was not read from a string.
        zone: The zone of a datetime, whose offset may be another one on another day; None if there is none.
    """

    local: int
    offset: int | None
    unit: str
    body: str = ""
    zone: tzinfo | None = None

    @property
    def ns(self) -> int:
        """The time in nanoseconds since 1970 (UTC)."""
        return self.local - (self.offset or 0)

    def plus(self, duration: Duration, sign: int = 1) -> Moment:
        """Return the time a duration later. Months and whole days are those of the calendar in its zone.

        Args:
            duration: The duration.
            sign: -1 for a duration earlier.

        Raises:
            ValueError: The month has no such day.
        """
        local = _add_months(self.local, sign * duration.months) + sign * duration.ns
        later = self._replace(local=local)
        if self.zone is None or (duration.ns % DAY and not duration.months):
            return later
        time = _EPOCH + timedelta(microseconds=local // 1_000)
        localize = getattr(self.zone, "localize", None)  # of pytz, which has a tzinfo for each offset of a zone
        return later._replace(offset=_offset_of(localize(time) if localize else time.replace(tzinfo=self.zone)))


def parse_moment(text: str) -> int | None:
    """Return a date or a time as nanoseconds since 1970 (UTC); for a day or a month, its beginning.

    Args:
        text: An ISO 8601 date or time, in UTC unless it has an offset, or a time as Python, Go, Java and BigQuery
            print it, such as `2024-09-18 22:00:00 UTC`, `2024-09-18 22:00:00 +0000 UTC` or `2024-09-18T22:00Z`.

    Returns:
        The time, or None if the string has none of these forms.

    Raises:
        ValueError: The time does not exist.
    """
    moment = read_moment(text)
    return None if moment is None else moment.ns


def parse_interval(text: str) -> tuple[int | None, int | None] | None:
    """Return start and end of a window in nanoseconds since 1970 (UTC), None for an open end.

    Args:
        text: An ISO 8601 day (`2024-09-18`), hour (`2024-09-18T22`) or month (`2024-09`), or an interval: two dates or
            times with `/` or `,` between them, with `..` for an open end, or one of them and a duration, as in
            `2024-09-18/P1D`. After `/`, the end may omit what it has in common with the start (`2024-09-18T22/23`).

    Returns:
        Start and end, or None if the string has none of these forms.

    Raises:
        ValueError: A time does not exist.
    """
    for separator in ",/":  # a region such as [Europe/Berlin] has a solidus
        if separator in text:
            first, _, last = text.partition(separator)
            return _between(first, last, separator == "/")
    moment = read_moment(text)
    if moment is None or moment.unit not in ("month", "day", "hour"):
        return None
    length = {"day": DAY, "hour": _HOUR}.get(moment.unit)
    end = _add_months(moment.local, 1) if length is None else moment.local + length
    return moment.ns, moment._replace(local=end).ns


def _between(first: str, last: str, is_iso: bool) -> tuple[int | None, int | None] | None:
    start, end = read_moment(first), read_moment(last)
    if not is_iso:
        return None if start is None or end is None else (start.ns, end.ns)
    if start is not None and end is None:
        if last == "..":
            return start.ns, None
        if duration := pattern(_DURATION).fullmatch(last):
            return start.ns, start.plus(_duration(duration)).ns
        common = start.body[: -len(last)]
        end = read_moment(common + last) if common.endswith(("-", ":", "T", "t", " ")) else None
    if end is None:
        return None
    if start is None:
        if first == "..":
            return None, end.ns
        duration = pattern(_DURATION).fullmatch(first)
        return None if duration is None else (end.plus(_duration(duration), -1).ns, end.ns)
    if end.offset is None:  # ISO 8601: the zone of the start holds for the end as well
        end = end._replace(offset=start.offset)
    return start.ns, end.ns


def read_moment(text: str) -> Moment | None:
    """Return a date or a time with its zone and its smallest unit; None if *text* has another form.

    Args:
        text: The date or time, as for `parse_moment`.

    Raises:
        ValueError: The time does not exist.
    """
    match = pattern(_MOMENT).fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone, sign, hours, minutes = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
        offset = int(hours) * _HOUR + int(minutes or 0) * _MINUTE if sign else 0
        if offset >= DAY:
            raise ValueError("its offset is not between -23:59 and +23:59")
    except ValueError as error:
        raise ValueError(f"{short_repr(text)} is not a time that exists: {error}") from None
    since = moment - _EPOCH
    local = since.days * DAY + since.seconds * SECOND + (int(fraction.ljust(9, "0")) if fraction else 0)
    unit = "month" if day is None else "day" if hour is None else "hour" if minute is None else "minute"
    body = text if zone is None else text[: match.start("zone")]
    return Moment(local, None if zone is None else -offset if sign == "-" else offset, unit, body)


def moment_of(time: date) -> Moment:
    """Return a date or a datetime as a moment.

    Args:
        time: The date or the datetime, also of a subclass.
    """
    if not isinstance(time, datetime):
        return Moment(to_ns(time), None, "day")
    offset = _offset_of(time)
    return Moment(to_ns(time) + (offset or 0), offset, "minute", "", time.tzinfo)


def _offset_of(time: datetime) -> int | None:
    ahead = time.utcoffset()
    return None if ahead is None else ahead // timedelta(microseconds=1) * 1_000


def _add_months(local: int, months: int) -> int:
    """Return the same time of the same day *months* later.

    Raises:
        ValueError: The month has no such day.
    """
    if months == 0:
        return local
    days, time = divmod(local, DAY)
    day = date.fromordinal(days + _EPOCH_DAY)
    year, month = divmod(12 * day.year + day.month - 1 + months, 12)
    return (day.replace(year=year, month=month + 1).toordinal() - _EPOCH_DAY) * DAY + time
