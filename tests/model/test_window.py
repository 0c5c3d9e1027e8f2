"""Promises of `otel_kcevents.model.window`: times to the nanosecond, and windows in every form of the product."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from datetime import date, datetime, timedelta, timezone
from time import time_ns
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_kcevents.model.timestamps import format_time, parse_time, to_ns
from otel_kcevents.model.window import Window

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2022, 6, 3, 16, 58, 41, 289194, UTC)  # a Friday
YEAR_1 = -62_135_596_800 * 10**9
YEAR_10000 = 253_402_300_800 * 10**9

moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
all_ns = st.integers(YEAR_1, YEAR_10000 - 1)


def ns_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


def between(start: datetime, end: datetime) -> tuple[int, int]:
    return ns_of(start), ns_of(end)


def ends(window: Window) -> tuple[int | None, int | None]:
    return window.start_ns, window.end_ns


# Times


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
        (YEAR_1, "0001-01-01T00:00:00Z"),
        (YEAR_10000 - 1, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_is_printed_as_rfc3339nano(ns: int, text: str) -> None:
    """Nanoseconds are printed in UTC with a `Z`, without trailing zeros and without a bare point."""
    assert format_time(ns) == text


@given(all_ns)
def test_every_printable_time_is_read_back(ns: int) -> None:
    """Every nanosecond of the years 1 to 9999 survives printing and reading."""
    assert parse_time(format_time(ns)) == ns


@given(all_ns)
def test_a_printed_time_agrees_with_datetime(ns: int) -> None:
    """The whole seconds are what datetime prints, and the decimals are the nine digits without trailing zeros."""
    second = (EPOCH + timedelta(seconds=ns // 10**9)).replace(tzinfo=None)
    decimals = f".{ns % 10**9:09}".rstrip("0").rstrip(".")
    assert format_time(ns) == f"{second.isoformat()}{decimals}Z"


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=offsets))
def test_a_time_with_an_offset_is_the_instant_that_datetime_means(moment: datetime) -> None:
    """A time as datetime prints it, with any offset, is read as the same instant."""
    assert parse_time(moment.isoformat()) == ns_of(moment)


def test_small_letters_stand_for_t_and_z() -> None:
    """RFC 3339 lets `t` and `z` be small."""
    assert parse_time("2022-06-03t16:58:41z") == parse_time("2022-06-03T16:58:41Z")


@pytest.mark.parametrize("ns", [YEAR_1 - 1, YEAR_10000, 10**40, -(10**40)])
def test_a_time_outside_the_years_1_to_9999_is_not_printed(ns: int) -> None:
    """What RFC 3339 has no four digits for is refused."""
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        format_time(ns)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2022-06-03",
        "2022-06-03T16:58Z",
        "2022-06-03T16:58:41",
        "2022-06-03 16:58:41Z",
        "2022-06-03T16:58:41.Z",
        "2022-06-03T16:58:41,5Z",
        "2022-06-03T16:58:41.1234567890Z",
        "2022-06-03T16:58:41+0200",
        "2022-06-03T16:58:41Z\n",
        "٢٠٢٢-06-03T16:58:41Z",
        "+2022-06-03T16:58:41Z",
    ],
)
def test_a_text_in_another_form_is_no_time(text: str) -> None:
    """Only RFC 3339 with up to nine decimals and an offset is read, and the refusal shows the text."""
    with pytest.raises(ValueError, match="is not an RFC 3339 time") as caught:
        parse_time(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01T00:00:00Z",
        "2022-13-01T00:00:00Z",
        "2022-02-29T00:00:00Z",
        "2022-06-03T24:00:00Z",
        "2022-06-03T23:60:00Z",
        "2022-06-30T23:59:60Z",
        "2022-06-03T00:00:00+24:00",
        "2022-06-03T00:00:00-00:60",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    """A day, second or offset that is in no calendar is refused, and the refusal shows the text."""
    with pytest.raises(ValueError, match="is not a time that exists") as caught:
        parse_time(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, 1.5, b"2022-06-03T16:58:41Z", timedelta(1)])
def test_another_type_is_no_time(value: Any) -> None:
    """A time is a datetime, a date or a text; anything else is a TypeError that shows it."""
    with pytest.raises(TypeError, match="is no time; give a datetime") as caught:
        to_ns(value)
    assert repr(value) in str(caught.value)


# Windows from two ends


def test_the_ends_are_kept_to_the_nanosecond() -> None:
    """Both ends are exact, as numbers and as texts."""
    window = Window("2022-06-03T16:58:41.289194368Z", "2022-06-03T16:58:41.289194369Z")
    assert ends(window) == (1654275521_289194368, 1654275521_289194369)
    assert (window.start_text, window.end_text) == (
        "2022-06-03T16:58:41.289194368Z",
        "2022-06-03T16:58:41.289194369Z",
    )


def test_the_ends_are_given_back_as_datetimes_in_utc() -> None:
    """`start` and `end` are aware datetimes, to the microsecond."""
    window = Window("2022-06-03T16:58:41.289194999Z", "2022-06-03T19:00:00+02:00")
    assert window.start == NOW
    assert window.end == datetime(2022, 6, 3, 17, tzinfo=UTC)
    assert [moment and moment.tzinfo for moment in (window.start, window.end)] == [UTC, UTC]


def test_an_end_left_out_is_open() -> None:
    """None leaves an end open, in every view of it."""
    window = Window()
    assert (window.start_ns, window.end_ns, window.start, window.end) == (None, None, None, None)
    assert (window.start_text, window.end_text) == (None, None)


def test_a_naive_datetime_is_utc() -> None:
    """A datetime without a zone means UTC, whatever the machine's zone is."""
    assert Window(datetime(2022, 6, 3), datetime(2022, 6, 4)) == Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=offsets) | st.datetimes())
def test_a_datetime_of_any_zone_is_its_instant(moment: datetime) -> None:
    """A window's ends are instants: the zone that a datetime was written in does not matter."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    assert ends(Window(moment, moment)) == between(aware, aware)


def test_a_date_is_its_midnight() -> None:
    """As an end of a window a date is its first instant, in UTC."""
    assert Window(date(2022, 6, 3), date(2022, 6, 5)) == Window("2022-06-03T00:00:00Z", "2022-06-05T00:00:00Z")


@pytest.fixture
def berlin() -> ZoneInfo:
    try:
        return ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zone data")


@pytest.mark.parametrize("make", [lambda pair: Window(*pair), Window.of, lambda pair: Window.of(list(pair))])
def test_the_hour_that_comes_twice_is_not_mixed_up(make: Any, berlin: ZoneInfo) -> None:
    """Where a clock is set back, the two datetimes that compare equal are two instants, in whatever order they come."""
    end = datetime(2022, 10, 31, tzinfo=berlin)
    first, second = (datetime(2022, 10, 30, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1))
    assert first == second
    texts = [make((moment, end)).start_text for moment in (first, second, first)]
    assert texts == ["2022-10-30T00:30:00Z", "2022-10-30T01:30:00Z", "2022-10-30T00:30:00Z"]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"),
        ("1815-12-10T00:00:00.000000001Z", "1852-11-27T00:00:00Z"),
        ("1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z"),
        ("2262-04-11T23:47:16.854775808Z", "2500-01-01T00:00:00Z"),
    ],
)
def test_windows_reach_from_the_year_1_to_9999(start: str, end: str) -> None:
    """Times before 1970, and beyond what 64 bits of nanoseconds hold, are as exact as today's."""
    window = Window(start, end)
    assert (window.start_text, window.end_text) == (start, end)


@pytest.mark.parametrize(
    "make",
    [
        lambda start, end: Window(start, end),
        lambda start, end: Window.of((start, end)),
        lambda start, end: Window.of((start.replace(tzinfo=None), end.replace(tzinfo=None))),
        lambda start, end: Window.from_ns(ns_of(start), ns_of(end)),
    ],
)
def test_a_window_can_not_start_after_its_end(make: Any) -> None:
    """Swapped ends are refused with both of them shown."""
    with pytest.raises(ValueError, match=r"start at 2022-06-04T00:00:00Z, after its end 2022-06-03T00:00:00Z; swap"):
        make(datetime(2022, 6, 4, tzinfo=UTC), datetime(2022, 6, 3, tzinfo=UTC))


def test_a_window_may_be_empty() -> None:
    """A start that is the end is a window that contains nothing."""
    assert not Window(NOW, NOW).contains(NOW)


@pytest.mark.parametrize(
    ("time", "inside"),
    [
        ("2022-06-02T23:59:59.999999999Z", False),
        ("2022-06-03T00:00:00Z", True),
        ("2022-06-03T23:59:59.999999999Z", True),
        ("2022-06-04T00:00:00Z", False),
        (datetime(2022, 6, 3), True),
        (datetime(2022, 6, 4, tzinfo=UTC), False),
        (1654214400 * 10**9 - 1, False),
        (1654214400 * 10**9, True),
    ],
)
def test_the_start_is_inclusive_and_the_end_exclusive(time: datetime | str | int, inside: bool) -> None:
    """A window contains its first nanosecond and not the one at its end."""
    assert Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z").contains(time) is inside


@pytest.mark.parametrize(
    ("window", "before", "after"),
    [(Window(None, NOW), True, False), (Window(NOW, None), False, True), (Window(), True, True)],
)
def test_an_open_end_has_no_limit(window: Window, before: bool, after: bool) -> None:
    """An open start contains every earlier time and an open end every later one."""
    assert (window.contains(YEAR_1), window.contains(YEAR_10000 - 1)) == (before, after)


def test_windows_are_equal_by_their_instants() -> None:
    """Windows that were written differently are one key in a set."""
    same = {
        Window(NOW, None),
        Window("2022-06-03T16:58:41.289194Z"),
        Window("2022-06-03T18:58:41.289194000+02:00"),
        Window.from_ns(ns_of(NOW), None),
    }
    assert len(same) == 1


@pytest.mark.parametrize("other", [Window(NOW, NOW), Window(None, NOW), Window(), (ns_of(NOW), None), None])
def test_a_window_differs_from_one_with_other_ends(other: object) -> None:
    """Neither a window with another end nor a plain pair equals a window."""
    assert Window(NOW, None) != other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_window_is_pickled_by_value(protocol: int) -> None:
    """A window sent to another process is the same there, texts included."""
    window = Window("2022-06-03T00:00:00.000000001Z", None)
    copy = pickle.loads(pickle.dumps(window, protocol))
    assert (copy, copy.start_text, copy.end_text) == (window, window.start_text, None)


@pytest.mark.parametrize("name", ["start_ns", "end_ns", "start_text", "end_text"])
def test_a_window_is_frozen(name: str) -> None:
    """No end of a window can be changed."""
    with pytest.raises(FrozenInstanceError):
        setattr(Window(NOW, NOW), name, None)


@pytest.mark.parametrize(
    ("window", "text", "representation"),
    [
        (Window(date(2022, 6, 3)), "2022-06-03T00:00:00Z,", "Window('2022-06-03T00:00:00Z', None)"),
        (Window(None, date(2022, 6, 3)), ",2022-06-03T00:00:00Z", "Window(None, '2022-06-03T00:00:00Z')"),
    ],
)
def test_a_window_shows_its_ends(window: Window, text: str, representation: str) -> None:
    """`str` is the pair as the API writes it, and `repr` is how to make the window."""
    assert (str(window), repr(window)) == (text, representation)


@given(st.tuples(all_ns, all_ns).map(sorted))
def test_the_text_of_a_closed_window_is_read_back(pair: list[int]) -> None:
    """What `str` gives for a window with both ends is one of the forms."""
    window = Window.from_ns(*pair)
    assert Window.parse(str(window)) == window


# Windows from a text


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("15m", "2022-06-03T16:44:00Z", "2022-06-03T16:59:00Z"),
        ("24h", "2022-06-02T17:00:00Z", "2022-06-03T17:00:00Z"),
        ("48h", "2022-06-01T17:00:00Z", "2022-06-03T17:00:00Z"),
        ("1d", "2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z"),
        ("7d", "2022-05-28T00:00:00Z", "2022-06-04T00:00:00Z"),
        ("2w", "2022-05-21T00:00:00Z", "2022-06-04T00:00:00Z"),
        ("today", "2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z"),
        ("yesterday", "2022-06-02T00:00:00Z", "2022-06-03T00:00:00Z"),
        ("week", "2022-05-29T00:00:00Z", "2022-06-03T16:58:41.289194Z"),
        ("month", "2022-06-01T00:00:00Z", "2022-06-03T16:58:41.289194Z"),
        ("lastweek", "2022-05-22T00:00:00Z", "2022-05-29T00:00:00Z"),
        ("lastmonth", "2022-05-01T00:00:00Z", "2022-06-01T00:00:00Z"),
        ("1586822400,1586908800", "2020-04-14T00:00:00Z", "2020-04-15T00:00:00Z"),
        ("1586822400-1586908800", "2020-04-14T00:00:00Z", "2020-04-15T00:00:00Z"),
        ("2020-04-01T00:00:00Z,2020-04-03T00:00:00Z", "2020-04-01T00:00:00Z", "2020-04-03T00:00:00Z"),
        ("2020-04-01T02:00:00+02:00,2020-04-01T00:00:00.5Z", "2020-04-01T00:00:00Z", "2020-04-01T00:00:00.5Z"),
        ("45m offset 15m", "2022-06-03T15:58:41.289194Z", "2022-06-03T16:43:41.289194Z"),
        ("1h offset 2d", "2022-06-01T15:58:41.289194Z", "2022-06-01T16:58:41.289194Z"),
    ],
)
def test_every_form_of_the_product_is_read(text: str, start: str, end: str) -> None:
    """Each window form of the API means the period that its documentation gives it."""
    assert Window.parse(text, NOW) == Window(start, end)


@pytest.mark.parametrize(
    ("text", "now", "start", "end"),
    [
        ("1m", "2022-06-03T16:58:00Z", "2022-06-03T16:58:00Z", "2022-06-03T16:59:00Z"),
        ("1m", "2022-06-03T16:58:59.999999Z", "2022-06-03T16:58:00Z", "2022-06-03T16:59:00Z"),
        ("1h", "2022-06-03T16:00:00Z", "2022-06-03T16:00:00Z", "2022-06-03T17:00:00Z"),
        ("1h", "2021-12-31T23:59:59Z", "2021-12-31T23:00:00Z", "2022-01-01T00:00:00Z"),
        ("1d", "2022-06-03T00:00:00Z", "2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z"),
        ("2d", "2024-02-29T12:00:00Z", "2024-02-28T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("1w", "2022-01-01T00:00:00Z", "2021-12-26T00:00:00Z", "2022-01-02T00:00:00Z"),
        ("yesterday", "2024-03-01T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("yesterday", "2022-01-01T08:00:00Z", "2021-12-31T00:00:00Z", "2022-01-01T00:00:00Z"),
        ("week", "2022-05-29T00:00:00Z", "2022-05-29T00:00:00Z", "2022-05-29T00:00:00Z"),
        ("week", "2022-06-04T23:59:59Z", "2022-05-29T00:00:00Z", "2022-06-04T23:59:59Z"),
        ("lastweek", "2022-05-29T00:00:00Z", "2022-05-22T00:00:00Z", "2022-05-29T00:00:00Z"),
        ("lastweek", "2022-06-04T23:59:59Z", "2022-05-22T00:00:00Z", "2022-05-29T00:00:00Z"),
        ("month", "2022-06-01T00:00:00Z", "2022-06-01T00:00:00Z", "2022-06-01T00:00:00Z"),
        ("lastmonth", "2022-01-01T00:00:00Z", "2021-12-01T00:00:00Z", "2022-01-01T00:00:00Z"),
        ("lastmonth", "2024-03-31T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("lastweek", "1970-01-01T00:00:00Z", "1969-12-21T00:00:00Z", "1969-12-28T00:00:00Z"),
    ],
)
def test_a_form_holds_at_the_edges_of_the_calendar(text: str, now: str, start: str, end: str) -> None:
    """On the very minute, hour, day, Sunday, first of a month, year's end and leap day the period is the right one."""
    assert Window.parse(text, datetime.fromisoformat(now.replace("Z", "+00:00"))) == Window(start, end)


@given(count=st.integers(1, 5_000), unit=st.sampled_from("mhdw"), now=moments)
def test_a_unit_ends_with_the_current_minute_hour_or_day(count: int, unit: str, now: datetime) -> None:
    """At any moment a plain unit is aligned as datetime aligns it."""
    length, cut = {
        "m": (timedelta(minutes=1), {"second": 0, "microsecond": 0}),
        "h": (timedelta(hours=1), {"minute": 0, "second": 0, "microsecond": 0}),
        "d": (timedelta(days=1), {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}),
        "w": (timedelta(weeks=1), {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}),
    }[unit]
    end = now.replace(**cut) + min(length, timedelta(days=1))  # type: ignore[arg-type]
    assert ends(Window.parse(f"{count}{unit}", now)) == between(end - count * length, end)


@given(
    count=st.integers(1, 5_000),
    unit=st.sampled_from(["minutes", "hours", "days", "weeks"]),
    back=st.integers(0, 5_000),
    back_unit=st.sampled_from(["minutes", "hours", "days", "weeks"]),
    now=moments,
)
def test_an_offset_counts_from_now(count: int, unit: str, back: int, back_unit: str, now: datetime) -> None:
    """At any moment a unit with an offset ends that long ago, to the microsecond."""
    end = now - timedelta(**{back_unit: back})
    window = Window.parse(f"{count}{unit[0]} offset {back}{back_unit[0]}", now)
    assert ends(window) == between(end - timedelta(**{unit: count}), end)


@pytest.mark.parametrize("word", ["today", "yesterday", "week", "month", "lastweek", "lastmonth"])
@given(now=moments)
def test_a_word_means_what_the_calendar_says(word: str, now: datetime) -> None:
    """At any moment a word is the period that datetime's calendar gives, weeks beginning on Sunday."""
    day = timedelta(days=1)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    sunday = today - today.isoweekday() % 7 * day
    first = today.replace(day=1)
    expected = {
        "today": (today, today + day),
        "yesterday": (today - day, today),
        "week": (sunday, now),
        "month": (first, now),
        "lastweek": (sunday - 7 * day, sunday),
        "lastmonth": ((first - day).replace(day=1), first),
    }
    assert ends(Window.parse(word, now)) == between(*expected[word])


@given(pair=st.tuples(*[st.integers(0, 253_402_300_799)] * 2).map(sorted), separator=st.sampled_from(",-"))
def test_two_unix_times_are_seconds(pair: list[int], separator: str) -> None:
    """Two Unix times, with `,` or `-` between, are a window in whole seconds."""
    start, end = (EPOCH + timedelta(seconds=seconds) for seconds in pair)
    assert ends(Window.parse(f"{pair[0]}{separator}{pair[1]}")) == between(start, end)


@given(st.lists(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=offsets), min_size=2, max_size=2))
def test_two_rfc3339_times_are_their_instants(pair: list[datetime]) -> None:
    """Two times as datetime prints them, each with its own offset, are a window between their instants."""
    start, end = sorted(pair)
    assert ends(Window.parse(f"{start.isoformat()},{end.isoformat()}")) == between(start, end)


def test_now_is_the_clock_where_none_is_given() -> None:
    """Without `now` a form is seen from the clock."""
    before = time_ns()
    end = Window.parse("1h offset 0m").end_ns
    assert end is not None
    assert before <= end <= time_ns()


def test_a_naive_now_is_utc() -> None:
    """A `now` without a zone means UTC, and one of another zone its instant."""
    local = NOW.astimezone(timezone(timedelta(hours=9)))
    assert Window.parse("today", NOW.replace(tzinfo=None)) == Window.parse("today", local) == Window.parse("today", NOW)


FORMS = ("15m, 24h, 7d or 2w", "lastmonth", "1586822400,1586908800", "2020-04-01T00:00:00Z,", "45m offset 15m")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15",
        "h",
        "0h",
        "0d offset 1h",
        "-1h",
        "1.5h",
        "15 m",
        " 24h",
        "24h\n",
        "24H",
        "1y",
        "٣d",
        "Today",
        "tomorrow",
        "lastyear",
        "today offset 1d",
        "45m offset",
        "45m offset 15",
        "45m  offset 15m",
        "1586822400",
        "1586822400,",
        "1586822400,1586908800,1586995200",
        "1586908800,1586822400",
        "2020-04-03T00:00:00Z,2020-04-01T00:00:00Z",
        "2020-04-01,2020-04-03",
        "2020-04-01T00:00:00,2020-04-03T00:00:00",
        "2020-04-01T00:00:00Z-2020-04-03T00:00:00Z",
        "2020-04-31T00:00:00Z,2020-05-01T00:00:00Z",
        "2020-04-01T00:00:00Z,",
        "999999999999w",
        "1d offset 999999999999d",
        "999999999999,999999999999",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """What is no form is a ValueError that names the text and the forms accepted."""
    with pytest.raises(ValueError, match="is no window") as caught:
        Window.parse(text, NOW)
    assert str(caught.value).startswith(repr(text))
    assert [form for form in FORMS if form not in str(caught.value)] == []


@given(st.text(st.characters()) | st.text("0123456789mhdw,-+:.TZ offset"))
def test_a_text_is_a_window_or_refused(text: str) -> None:
    """No text whatever raises anything but the ValueError that names the forms."""
    try:
        Window.parse(text, NOW)
    except ValueError as error:
        refusal = str(error)
    else:
        return
    assert [form for form in FORMS if form not in refusal] == []


def test_a_refusal_shows_a_long_text_in_part() -> None:
    """However long the text is, the message stays short."""
    with pytest.raises(ValueError, match=r"'xxxx.*… is no window") as caught:
        Window.parse("x" * 1_000_000)
    assert len(str(caught.value)) < 500


# Windows from whatever means one


@pytest.mark.parametrize(
    "value",
    [
        Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z"),
        (datetime(2022, 6, 3, tzinfo=UTC), datetime(2022, 6, 4, tzinfo=UTC)),
        (datetime(2022, 6, 3), datetime(2022, 6, 4)),
        (datetime(2022, 6, 3), datetime(2022, 6, 4, 2, tzinfo=timezone(timedelta(hours=2)))),
        [date(2022, 6, 3), date(2022, 6, 4)],
        ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z"),
        ("2022-06-03T00:00:00Z", datetime(2022, 6, 4)),
        "2022-06-03T00:00:00Z,2022-06-04T00:00:00Z",
        "1654214400,1654300800",
        "today",
        date(2022, 6, 3),
        SimpleNamespace(start=datetime(2022, 6, 3), end=datetime(2022, 6, 4)),
        SimpleNamespace(start_time="2022-06-03T00:00:00Z", end_time="2022-06-04T00:00:00Z"),
        SimpleNamespace(left=date(2022, 6, 3), right=date(2022, 6, 4)),
    ],
    ids=repr,
)
def test_whatever_means_a_window_is_one(value: Any) -> None:
    """A window, a pair, a text, a date and an object with two ends all give the window that they mean."""
    assert Window.of(value, NOW) == Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")


def test_a_window_is_taken_as_it_is() -> None:
    """A Window is not made anew."""
    window = Window(NOW, None)
    assert Window.of(window) is window


@pytest.mark.parametrize(
    "value",
    [(NOW, None), [NOW, None], SimpleNamespace(start=NOW, end=None), SimpleNamespace(left=NOW, right=None)],
)
def test_an_open_end_may_come_from_anything_with_two_ends(value: Any) -> None:
    """None stands for an open end wherever an end stands."""
    assert Window.of(value) == Window(NOW, None)


@given(st.tuples(*[st.datetimes(timezones=st.none() | st.just(UTC))] * 2))
def test_a_pair_means_what_its_two_ends_mean(pair: tuple[datetime, datetime]) -> None:
    """A pair of datetimes gives the window that the two would give, the first time and every other."""
    try:
        expected = Window(*pair)
    except ValueError:
        return
    assert [Window.of(pair), Window.of(pair)] == [expected, expected]


@pytest.mark.parametrize("end", ["999Z", "999999Z", "999999999Z"])
def test_a_period_that_ends_on_its_last_tick_ends_at_the_next_second(end: str) -> None:
    """An `end_time` that is the last instant inside the period, as pandas gives it, becomes the exclusive end."""
    period = SimpleNamespace(start_time="2022-06-03T00:00:00Z", end_time=f"2022-06-03T23:59:59.{end}")
    assert Window.of(period) == Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")


@pytest.mark.parametrize(
    "value",
    [
        ("2022-06-03T00:00:00Z", "2022-06-03T23:59:59.999999999Z"),
        SimpleNamespace(start="2022-06-03T00:00:00Z", end="2022-06-03T23:59:59.999999999Z"),
    ],
)
def test_an_end_that_is_given_is_kept(value: Any) -> None:
    """Only an `end_time` is taken for a last instant; any other end stays where it is."""
    assert Window.of(value).end_text == "2022-06-03T23:59:59.999999999Z"


@pytest.mark.parametrize(
    "value",
    [None, 5, 1.5, b"24h", NOW, (), (NOW,), (NOW, NOW, NOW), {"start": NOW, "end": NOW}, SimpleNamespace(start=NOW)],
)
def test_what_means_no_window_is_a_type_error(value: Any) -> None:
    """Anything else is refused with the value and the forms named."""
    with pytest.raises(TypeError, match="is no window; give a pair of datetimes, a Window, or a text: 15m") as caught:
        Window.of(value)
    assert str(caught.value).startswith(repr(value)[:80])


@pytest.mark.parametrize("value", [(5, 6), (NOW, 6), SimpleNamespace(start=NOW, end=6)])
def test_an_end_that_is_no_time_is_a_type_error(value: Any) -> None:
    """Numbers are no ends: whether they were seconds or nanoseconds nobody could tell."""
    with pytest.raises(TypeError, match=r"\d is no time; give a datetime or an RFC 3339 text"):
        Window.of(value)


# pandas


@pytest.fixture
def pandas() -> Any:
    return pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("text", "frequency", "start", "end"),
    [
        ("2022-06-03 10:00", "h", "2022-06-03T10:00:00Z", "2022-06-03T11:00:00Z"),
        ("2022-06-03", "D", "2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z"),
        ("2022-06", "M", "2022-06-01T00:00:00Z", "2022-07-01T00:00:00Z"),
        ("1969-12-31", "D", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_a_pandas_period_ends_where_the_next_begins(
    pandas: Any, text: str, frequency: str, start: str, end: str
) -> None:
    """A Period covers up to the start of the next one, although its `end_time` is an instant before."""
    assert Window.of(pandas.Period(text, frequency)) == Window(start, end)


def test_a_pandas_interval_is_a_window(pandas: Any) -> None:
    """An Interval's ends are the window's."""
    interval = pandas.Interval(pandas.Timestamp("2022-06-03"), pandas.Timestamp("2022-06-04", tz=None))
    assert Window.of(interval) == Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")


def test_pandas_timestamps_keep_their_nanoseconds(pandas: Any) -> None:
    """A Timestamp is exact to the nanosecond, of whatever zone, before 1970 too."""
    start = pandas.Timestamp("1965-06-03T02:00:00.123456789", tz="+02:00")
    window = Window.of((start, pandas.Timestamp("2022-06-04T00:00:00.000000001")))
    assert str(window) == "1965-06-03T00:00:00.123456789Z,2022-06-04T00:00:00.000000001Z"


def test_a_missing_pandas_time_is_refused(pandas: Any) -> None:
    """NaT is no open end: what is missing is not guessed."""
    with pytest.raises(ValueError, match="NaN"):
        Window.of((pandas.NaT, pandas.NaT))
