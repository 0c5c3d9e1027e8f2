"""`otel_kcevents.model.timestamps`: RFC 3339 times, exact to the nanosecond."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import times, zones

from otel_kcevents.model.messages import describe
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS, format_time, parse_time, to_datetime, to_ns

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1654275521_289194368, "2022-06-03T16:58:41.289194368Z"),
        (1654276074_334648400, "2022-06-03T17:07:54.3346484Z"),
        (1654276070_500000000, "2022-06-03T17:07:50.5Z"),
        (951782400 * 10**9, "2000-02-29T00:00:00Z"),
        (MIN_NS, "0001-01-01T00:00:00Z"),
        (MAX_NS, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_time_is_written_as_rfc3339nano(ns: int, text: str) -> None:
    assert format_time(ns) == text


@given(times)
def test_every_written_time_agrees_with_datetime(ns: int) -> None:
    """It also reads back unchanged."""
    second = (EPOCH + timedelta(seconds=ns // 10**9)).replace(tzinfo=None)
    decimals = f".{ns % 10**9:09}".rstrip("0").rstrip(".")
    assert format_time(ns) == f"{second.isoformat()}{decimals}Z"
    assert parse_time(format_time(ns)) == ns


@pytest.mark.parametrize("ns", [MIN_NS - 1, MAX_NS + 1, 10**40, -(10**40)])
def test_time_outside_years_1_to_9999_is_refused(ns: int) -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        format_time(ns)


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones))
def test_time_with_an_offset_is_converted_to_utc(moment: datetime) -> None:
    ns = (moment - EPOCH) // timedelta(microseconds=1) * 1_000
    assert parse_time(moment.isoformat()) == to_ns(moment.isoformat()) == to_ns(moment) == ns
    assert to_datetime(ns) == moment


@pytest.mark.parametrize("value", ["2022-06-03t00:00:00z", datetime(2022, 6, 3), date(2022, 6, 3)])
def test_times_without_a_zone_are_utc(value: Any) -> None:
    """A date means its midnight. RFC 3339 allows lower-case letters."""
    assert to_ns(value) == 1654214400 * 10**9


OTHER_FORMS = [
    *("", "2022-06-03", "2022-06-03T16:58Z", "2022-06-03T16:58:41", "2022-06-03 16:58:41Z", "2022-06-03T16:58:41.Z"),
    *("2022-06-03T16:58:41,5Z", "2022-06-03T16:58:41.1234567890Z", "2022-06-03T16:58:41+0200"),
    *("2022-06-03T16:58:41Z\n", "٢٠٢٢-06-03T16:58:41Z", "+2022-06-03T16:58:41Z"),
]


@pytest.mark.parametrize("text", OTHER_FORMS)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(repr(text))} is not an RFC 3339 time"):
        parse_time(text)


NOT_IN_THE_CALENDAR = [
    *("0000-01-01T00:00:00Z", "2022-13-01T00:00:00Z", "2022-02-29T00:00:00Z", "2022-06-03T24:00:00Z"),
    *("2022-06-03T23:60:00Z", "2022-06-30T23:59:60Z", "2022-06-03T00:00:00+24:00", "2022-06-03T00:00:00-00:60"),
    *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"),
]


@pytest.mark.parametrize("text", NOT_IN_THE_CALENDAR)
def test_time_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(repr(text))} is not a time that exists"):
        parse_time(text)


@pytest.mark.parametrize("value", [None, 5, 1.5, b"2022-06-03T16:58:41Z", timedelta(1)])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"^cannot convert {re.escape(describe(value))} to a time; expected a datetime"):
        to_ns(value)


# Subclasses of datetime


@pytest.fixture(params=["google.api_core.datetime_helpers", "proto.datetime_helpers"])
def google_time(request: pytest.FixtureRequest) -> Any:
    """A class whose `nanosecond` is the whole fraction of the second."""
    return pytest.importorskip(request.param).DatetimeWithNanoseconds


@pytest.mark.parametrize(
    ("fraction", "ns"),
    [
        ({"nanosecond": 123_456_789}, 123_456_789),
        ({"nanosecond": 500_000_000}, 500_000_000),
        ({"nanosecond": 5}, 5),
        ({"microsecond": 123_456}, 123_456_000),
        ({}, 0),
    ],
)
def test_google_times_keep_their_nanoseconds(google_time: Any, fraction: dict[str, int], ns: int) -> None:
    assert to_ns(google_time(1970, 1, 1, 0, 0, 7, tzinfo=UTC, **fraction)) == 7 * 10**9 + ns


@pytest.mark.parametrize("year", [1, 1965, 2022, 9999])
def test_pandas_times_keep_their_nanoseconds(year: int) -> None:
    """Even if their nanoseconds do not fit into 64 bits."""
    pandas = pytest.importorskip("pandas")
    moment = datetime(year, 6, 3, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert to_ns(pandas.Timestamp(moment)) == to_ns(moment)
    if 1700 < year < 2200:
        assert to_ns(pandas.Timestamp(moment) + pandas.Timedelta(1, "ns")) == to_ns(moment) + 1


class OwnTime(datetime):
    """A subclass that redefines attributes and an operator."""

    nanosecond = 999_999_999

    def __sub__(self, other: Any) -> Any:
        return NotImplemented


def test_other_subclasses_of_datetime_are_read_as_datetimes() -> None:
    assert to_ns(OwnTime(2022, 6, 3, tzinfo=UTC)) == to_ns(datetime(2022, 6, 3))


class NoOffset(tzinfo):
    """A zone without an offset; a datetime in it is treated as naive."""

    def utcoffset(self, moment: datetime | None) -> None:
        return None

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> None:
        return None


def test_datetime_without_an_offset_is_utc() -> None:
    assert to_ns(datetime(2022, 6, 3, tzinfo=NoOffset())) == to_ns(datetime(2022, 6, 3))


class Proxy:
    """A proxy with the class of its target, like a variable of a workflow's context."""

    def __init__(self, target: datetime) -> None:
        self._target = target

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def __sub__(self, other: datetime) -> timedelta:
        return self._target - other


def test_proxy_of_a_datetime_is_read_as_its_target() -> None:
    for moment in (datetime(2022, 6, 3, tzinfo=UTC), datetime(2022, 6, 3)):
        proxy: Any = Proxy(moment)
        assert to_ns(proxy) == to_ns(moment)


def test_missing_time_is_refused() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="NaT is not a time; use None"):
        to_ns(pandas.NaT)
