"""`otel_kcevents.model.window`: exact ends, and every form of a window."""

from __future__ import annotations

import pickle
import re
from dataclasses import FrozenInstanceError
from datetime import date, datetime, timedelta, timezone
from time import time_ns
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import times, zones

from otel_kcevents.model.messages import describe
from otel_kcevents.model.timestamps import MAX_NS, MIN_NS, to_ns
from otel_kcevents.model.window import Window

UTC = timezone.utc
NOW = datetime(2022, 6, 3, 16, 58, 41, 289194, UTC)  # a Friday
DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")

moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def ends(window: Window) -> tuple[int | None, int | None]:
    return window.start_ns, window.end_ns


def between(start: datetime, end: datetime) -> tuple[int, int]:
    return to_ns(start), to_ns(end)


# Two ends


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2022-06-03T16:58:41.289194368Z", "2022-06-03T16:58:41.289194369Z"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"),
        ("1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z"),
        ("2262-04-11T23:47:16.854775808Z", "2500-01-01T00:00:00Z"),
        ("2022-06-03T00:00:00Z", None),
        (None, "2022-06-03T00:00:00Z"),
        (None, None),
    ],
)
def test_ends_are_exact_and_either_may_be_open(start: str | None, end: str | None) -> None:
    """Even before 1970 and beyond 64 bits of nanoseconds."""
    window = Window(start, end)
    assert (window.start_text, window.end_text) == (start, end)
    assert ends(window) == (start and to_ns(start), end and to_ns(end))
    assert (str(window), repr(window)) == (f"{start or ''},{end or ''}", f"Window({start!r}, {end!r})")


def test_ends_are_datetimes_in_utc() -> None:
    window = Window("2022-06-03T16:58:41.289194999Z", "2022-06-03T19:00:00+02:00")
    assert (window.start, window.end) == (NOW, datetime(2022, 6, 3, 17, tzinfo=UTC))
    assert [moment and moment.tzinfo for moment in (window.start, window.end)] == [UTC, UTC]
    assert (Window().start, Window().end) == (None, None)


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones) | st.datetimes())
def test_aware_datetime_is_converted_and_naive_one_is_utc(moment: datetime) -> None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    assert ends(Window(moment, moment)) == between(aware, aware)


@pytest.fixture
def berlin() -> ZoneInfo:
    try:
        return ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zone data")


@pytest.mark.parametrize("make", [lambda pair: Window(*pair), Window.of, lambda pair: Window.of(list(pair))])
def test_repeated_hour_of_a_time_change_is_unambiguous(make: Any, berlin: ZoneInfo) -> None:
    """In any order, although the two datetimes compare equal."""
    end = datetime(2022, 10, 31, tzinfo=berlin)
    first, second = (datetime(2022, 10, 30, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1))
    assert first == second
    texts = [make((moment, end)).start_text for moment in (first, second, first)]
    assert texts == ["2022-10-30T00:30:00Z", "2022-10-30T01:30:00Z", "2022-10-30T00:30:00Z"]


@pytest.mark.parametrize(
    "make",
    [
        lambda start, end: Window(start, end),
        lambda start, end: Window.of((start, end)),
        lambda start, end: Window.of((start.replace(tzinfo=None), end.replace(tzinfo=None))),
        lambda start, end: Window.from_ns(to_ns(start), to_ns(end)),
    ],
)
def test_start_after_end_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"start at 2022-06-04T00:00:00Z, after its end 2022-06-03T00:00:00Z; swap"):
        make(datetime(2022, 6, 4, tzinfo=UTC), datetime(2022, 6, 3, tzinfo=UTC))


@pytest.mark.parametrize(
    ("window", "time", "inside"),
    [
        (DAY, "2022-06-02T23:59:59.999999999Z", False),
        (DAY, "2022-06-03T00:00:00Z", True),
        (DAY, "2022-06-03T23:59:59.999999999Z", True),
        (DAY, "2022-06-04T00:00:00Z", False),
        (DAY, datetime(2022, 6, 3), True),
        (DAY, datetime(2022, 6, 4, tzinfo=UTC), False),
        (DAY, 1654214400 * 10**9 - 1, False),
        (DAY, 1654214400 * 10**9, True),
        (Window(NOW, NOW), NOW, False),
        (Window(None, NOW), MIN_NS, True),
        (Window(None, NOW), MAX_NS, False),
        (Window(NOW, None), MIN_NS, False),
        (Window(NOW, None), MAX_NS, True),
        (Window(), MIN_NS, True),
        (Window(), MAX_NS, True),
    ],
)
def test_start_is_inclusive_and_end_exclusive(window: Window, time: datetime | str | int, inside: bool) -> None:
    assert window.contains(time) is inside


def test_windows_compare_and_hash_by_their_ends() -> None:
    same = [Window("2022-06-03T16:58:41.289194Z"), Window("2022-06-03T18:58:41.289194000+02:00"), Window(NOW)]
    assert len({*same, Window.from_ns(to_ns(NOW), None)}) == 1
    others: list[object] = [Window(NOW, NOW), Window(None, NOW), Window(), (to_ns(NOW), None), None]
    assert all(same[0] != other for other in others)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_window_pickles_by_value_and_is_frozen(protocol: int) -> None:
    copy = pickle.loads(pickle.dumps(DAY, protocol))
    assert (copy, copy.start_text, copy.end_text) == (DAY, DAY.start_text, DAY.end_text)
    for name in ("start_ns", "end_ns", "start_text", "end_text"):
        with pytest.raises(FrozenInstanceError):
            setattr(copy, name, None)


# Strings


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("15m", "2022-06-03T16:44:00Z", "2022-06-03T16:59:00Z"),
        ("24h", "2022-06-02T17:00:00Z", "2022-06-03T17:00:00Z"),
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
def test_every_documented_form_is_read(text: str, start: str, end: str) -> None:
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
        ("week", "2022-05-29T00:00:00Z", "2022-05-29T00:00:00Z", "2022-05-29T00:00:00Z"),
        ("week", "2022-06-04T23:59:59Z", "2022-05-29T00:00:00Z", "2022-06-04T23:59:59Z"),
        ("lastweek", "1970-01-01T00:00:00Z", "1969-12-21T00:00:00Z", "1969-12-28T00:00:00Z"),
        ("month", "2022-06-01T00:00:00Z", "2022-06-01T00:00:00Z", "2022-06-01T00:00:00Z"),
        ("lastmonth", "2022-01-01T00:00:00Z", "2021-12-01T00:00:00Z", "2022-01-01T00:00:00Z"),
        ("lastmonth", "2024-03-31T12:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
    ],
)
def test_forms_are_exact_at_calendar_boundaries(text: str, now: str, start: str, end: str) -> None:
    assert Window.parse(text, datetime.fromisoformat(now.replace("Z", "+00:00"))) == Window(start, end)


@given(count=st.integers(1, 5_000), unit=st.sampled_from("mhdw"), now=moments)
def test_duration_ends_with_the_minute_hour_or_day(count: int, unit: str, now: datetime) -> None:
    minute = now.replace(second=0, microsecond=0)
    length, start = {
        "m": (timedelta(minutes=1), minute),
        "h": (timedelta(hours=1), minute.replace(minute=0)),
        "d": (timedelta(days=1), minute.replace(hour=0, minute=0)),
        "w": (timedelta(weeks=1), minute.replace(hour=0, minute=0)),
    }[unit]
    end = start + min(length, timedelta(days=1))
    assert ends(Window.parse(f"{count}{unit}", now)) == between(end - count * length, end)


units = st.sampled_from(["minutes", "hours", "days", "weeks"])


@given(st.integers(1, 5_000), units, st.integers(0, 5_000), units, moments)
def test_offset_counts_from_now(count: int, unit: str, back: int, back_unit: str, now: datetime) -> None:
    end = now - timedelta(**{back_unit: back})
    window = Window.parse(f"{count}{unit[0]} offset {back}{back_unit[0]}", now)
    assert ends(window) == between(end - timedelta(**{unit: count}), end)


@given(now=moments)
def test_words_follow_the_calendar(now: datetime) -> None:
    """Weeks begin on Sunday."""
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
    assert {word: ends(Window.parse(word, now)) for word in expected} == {
        word: between(*pair) for word, pair in expected.items()
    }


@given(pair=st.tuples(*[st.integers(0, MAX_NS // 10**9)] * 2).map(sorted), separator=st.sampled_from(",-"))
def test_two_unix_times_are_seconds(pair: list[int], separator: str) -> None:
    window = Window.parse(f"{pair[0]}{separator}{pair[1]}")
    assert ends(window) == (pair[0] * 10**9, pair[1] * 10**9)


@given(st.tuples(times, times).map(sorted))
def test_closed_window_reads_back_from_its_string(pair: list[int]) -> None:
    window = Window.from_ns(*pair)
    assert Window.parse(str(window)) == window


def test_now_is_the_clock_by_default() -> None:
    before = time_ns()
    end = Window.parse("1h offset 0m").end_ns
    assert end is not None
    assert before <= end <= time_ns()


@pytest.mark.parametrize("now", [NOW.replace(tzinfo=None), NOW.astimezone(timezone(timedelta(hours=9))), to_ns(NOW)])
def test_now_may_be_naive_of_another_zone_or_nanoseconds(now: datetime | int) -> None:
    assert Window.parse("today", now) == Window.of("today", now) == DAY


FORMS = ("15m, 24h, 7d or 2w", "lastmonth", "1586822400,1586908800", "2020-04-01T00:00:00Z,", "45m offset 15m")


NOT_WINDOWS = [
    *("", "15", "h", "0h", "0d offset 1h", "-1h", "1.5h", "15 m", " 24h", "24h\n", "24H", "1y", "٣d"),
    *("Today", "tomorrow", "lastyear", "today offset 1d", "45m offset", "45m offset 15", "45m  offset 15m"),
    *("1586822400", "1586822400,", "1586822400,1586908800,1586995200", "1586908800,1586822400"),
    *("2020-04-03T00:00:00Z,2020-04-01T00:00:00Z", "2020-04-01,2020-04-03", "2020-04-01T00:00:00Z,"),
    *("2020-04-01T00:00:00,2020-04-03T00:00:00", "2020-04-01T00:00:00Z-2020-04-03T00:00:00Z"),
    *("2020-04-31T00:00:00Z,2020-05-01T00:00:00Z", "999999999999w", "1d offset 999999999999d"),
    *("999999999999,999999999999", "x" * 1_000_000),
]


@pytest.mark.parametrize("text", NOT_WINDOWS, ids=lambda text: text[:40])
def test_other_strings_are_refused(text: str) -> None:
    """The message shows the string, truncated if it is long, and the accepted forms."""
    with pytest.raises(ValueError, match=f"^cannot convert {re.escape(repr(text)[:80])}") as caught:
        Window.parse(text, NOW)
    assert [form for form in FORMS if form not in str(caught.value)] == []
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("word", ["month", "lastmonth"])
def test_word_before_the_year_1_is_refused(word: str) -> None:
    now = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(ValueError, match=f"'{word}' to a Window: "):
        Window.parse(word, now)


@given(st.text() | st.text("0123456789mhdw,-+:.TZ offset"))
def test_any_string_is_a_window_or_refused(text: str) -> None:
    try:
        Window.parse(text, NOW)
    except ValueError as error:
        assert FORMS[0] in str(error)  # noqa: PT017 - the string may be a window


# Other values


@pytest.mark.parametrize(
    "value",
    [
        DAY,
        (datetime(2022, 6, 3, tzinfo=UTC), datetime(2022, 6, 4, tzinfo=UTC)),
        (datetime(2022, 6, 3), datetime(2022, 6, 4)),
        (datetime(2022, 6, 3), datetime(2022, 6, 4, 2, tzinfo=timezone(timedelta(hours=2)))),
        [date(2022, 6, 3), date(2022, 6, 4)],
        ("2022-06-03T00:00:00Z", datetime(2022, 6, 4)),
        "2022-06-03T00:00:00Z,2022-06-04T00:00:00Z",
        "today",
        date(2022, 6, 3),
        "2022-06-03",
        "2022-06-03/P1D",
        "2022-06-03,2022-06-04",
        ("2022-06-03", "2022-06-04 00:00 UTC"),
        ["2022-06-03T00:00", "2022-06-04 02:00:00 +0200 CEST"],
        SimpleNamespace(start=datetime(2022, 6, 3), end=datetime(2022, 6, 4)),
        SimpleNamespace(start_time="2022-06-03T00:00:00Z", end_time="2022-06-04T00:00:00Z"),
        SimpleNamespace(left=date(2022, 6, 3), right=date(2022, 6, 4)),
    ],
    ids=repr,
)
def test_windows_pairs_strings_dates_and_objects_convert(value: Any) -> None:
    assert Window.of(value, NOW) == DAY


def test_window_converts_to_itself() -> None:
    assert Window.of(DAY) is DAY


@pytest.mark.parametrize(
    "value",
    [(NOW, None), [NOW, None], SimpleNamespace(start=NOW, end=None), SimpleNamespace(left=NOW, right=None)],
)
def test_none_is_an_open_end(value: Any) -> None:
    assert Window.of(value) == Window(NOW, None)


@given(st.tuples(*[st.datetimes(timezones=st.none() | st.just(UTC))] * 2))
def test_pair_of_datetimes_always_converts_the_same(pair: tuple[datetime, datetime]) -> None:
    try:
        expected = Window(*pair)
    except ValueError:
        return
    assert [Window.of(pair), Window.of(pair)] == [expected, expected]


@pytest.mark.parametrize(
    "value",
    [
        ("2022-06-03T00:00:00Z", "2022-06-03T23:59:59.999999999Z"),
        SimpleNamespace(start="2022-06-03T00:00:00Z", end="2022-06-03T23:59:59.999999999Z"),
        SimpleNamespace(start_time="2022-06-03T00:00:00Z", end_time="2022-06-03T23:59:59.999999999Z"),
        {"left": "2022-06-03T00:00:00Z", "right": "2022-06-03T23:59:59.999999999Z"},
    ],
)
def test_last_instant_of_a_day_is_not_rounded_up(value: Any) -> None:
    """It stands for the next midnight only in a pandas Period."""
    assert Window.of(value).end_text == "2022-06-03T23:59:59.999999999Z"


@pytest.mark.parametrize(
    "value",
    [None, 5, 1.5, b"24h", NOW, (), (NOW,), (NOW, NOW, NOW), {"start": NOW}, {}, SimpleNamespace(start=NOW), range(3)],
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"^cannot convert {re.escape(describe(value))} to a Window") as caught:
        Window.of(value)
    assert "24h, 7d, yesterday" in str(caught.value)


@pytest.mark.parametrize("value", [(5, 6), (NOW, 6), SimpleNamespace(start=NOW, end=6)])
def test_number_as_an_end_is_refused(value: Any) -> None:
    """It could be seconds or nanoseconds."""
    with pytest.raises(TypeError, match=r"\d to a time; expected a datetime"):
        Window.of(value)


@pytest.mark.parametrize("text", ["2022-06-03T00", "2022-06", "2022-06-03/P1D", "2022-06-03T00:00Z/2022-06-04T00:00Z"])
def test_query_rejects_the_formats_of_programs(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"cannot convert {text!r} to a Window")):
        Window.parse(text, NOW)


def test_month_is_not_read_as_unix_times() -> None:
    assert Window.of("1970-12") == Window.of(("1970-12-01", "1971-01-01"))
    assert ends(Window.parse("1970-2012")) == (1970 * 10**9, 2012 * 10**9)


@pytest.mark.parametrize("text", ["2015-2016", "2015,2016"])
def test_years_are_not_read_as_unix_times(text: str) -> None:
    """Only a query reads them as Unix times."""
    with pytest.raises(ValueError, match=f"cannot convert '{text}' .* years or Unix times; write dates"):
        Window.of(text)


def test_string_that_may_be_data_is_not_shown() -> None:
    """A string that looks like a time is shown."""
    for value in ("acct-4711 of Jane", ("acct-4711 of Jane", None), "acct-4711 of Jane,b"):
        with pytest.raises(ValueError, match="a str of ") as caught:
            Window.of(value)
        assert "4711" not in str(caught.value)
    with pytest.raises(ValueError, match="cannot convert '2022-06-03T24:30' to a Window"):
        Window.of("2022-06-03T24:30")


def test_string_that_is_too_long_for_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot convert a str of 1000011 characters to a Window; expected"):
        Window.of("2022-06-03," + "x" * 1_000_000)


def test_deeply_nested_list_is_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    for value in (nested, [nested, nested], {"window": {"start": nested, "end": nested}}):
        with pytest.raises(TypeError, match="cannot convert a list of 1 item to a"):
            Window.of(value)
