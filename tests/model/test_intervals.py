"""`otel_kcevents.model.intervals`: days, hours, months, intervals and times as programs write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import times, zones

from otel_kcevents.model.intervals import parse_interval, parse_moment
from otel_kcevents.model.timestamps import format_time, to_ns

HOUR = (to_ns(datetime(2024, 9, 18, 22)), to_ns(datetime(2024, 9, 18, 23)))


def ends(start: str, end: str) -> tuple[int, int]:
    return to_ns(datetime.fromisoformat(start)), to_ns(datetime.fromisoformat(end))


# Times


@pytest.mark.parametrize(
    "text",
    [
        *("2024-09-18T22:00:00Z", "2024-09-18t22:00:00z", "2024-09-18T22:00Z", "2024-09-18T22Z", "2024-09-18T22"),
        *("2024-09-18T22:00", "2024-09-18 22:00", "2024-09-18 22:00:00", "2024-09-18 22:00:00.000"),
        *("2024-09-18 22:00:00 UTC", "2024-09-18 22:00:00.000 UTC", "2024-09-18 22:00 UTC", "2024-09-18T22:00:00UTC"),
        *("2024-09-18 22:00:00 +0000 UTC", "2024-09-18 22:00:00 +0000", "2024-09-18T22:00:00+0000"),
        *("2024-09-18 22:00:00+00", "2024-09-18 22:00:00+00:00", "2024-09-18T22:00:00-00:00", "2024-09-18T22+00:00"),
        *("2024-09-19 00:00:00 +0200 CEST", "2024-09-18T18:00:00-0400", "2024-09-19 01:30:00 +0330 +0330"),
        *("2024-09-19T00:00+02:00[Europe/Berlin]", "2024-09-18T22:00:00Z[UTC]"),
    ],
)
def test_time_is_read_as_programs_print_it(text: str) -> None:
    assert parse_moment(text) == HOUR[0]


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones) | st.datetimes())
def test_every_datetime_is_read_as_python_prints_it(moment: datetime) -> None:
    assert parse_moment(str(moment)) == parse_moment(moment.isoformat()) == to_ns(moment)


@given(times)
def test_every_time_of_the_log_is_read(ns: int) -> None:
    assert parse_moment(format_time(ns)) == ns


OTHER_FORMS = [
    *("", "now", "2024", "20240918", "20240918T22", "2024-W38", "2024-Q3", "2024-9-18", "18.09.2024", "09/18/2024"),
    *("2024-09-18T", "2024-09-18T22:0", "2024-09-18T22:00:00.", "2024-09-18T22:00:00.1234567890Z", "2024-09-18Z"),
    *("2024-09-18T22:00 CEST", "2024-09-18T22:00[Europe/Berlin]", "2024-09-18T22:00Z ", " 2024-09-18", "1726696800"),
    *("2024-09-18T22:00:00+2", "2024-09-18_22:00", "٢٠٢٤-09-18"),
]


@pytest.mark.parametrize("text", OTHER_FORMS)
def test_other_format_is_not_a_time(text: str) -> None:
    assert parse_moment(text) is None
    assert parse_interval(text) is None


@pytest.mark.parametrize(
    "text",
    ["2024-13", "2024-02-30", "0000-01", "2024-09-18T24", "2024-09-18 22:60 UTC", "2024-09-18T22:00+24:00"],
)
def test_time_that_does_not_exist_is_refused(text: str) -> None:
    for read in (parse_moment, parse_interval):
        with pytest.raises(ValueError, match="is not a time that exists"):
            read(text)


# Windows


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024-09-18", "2024-09-18", "2024-09-19"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("2024-09", "2024-09-01", "2024-10-01"),
        ("2024-12", "2024-12-01", "2025-01-01"),
        ("2024-09-18T22", "2024-09-18T22:00", "2024-09-18T23:00"),
        ("2024-09-18 23", "2024-09-18T23:00", "2024-09-19"),
        ("2024-09-18T22Z", "2024-09-18T22:00", "2024-09-18T23:00"),
        ("2024-09-18T22+02:00", "2024-09-18T20:00", "2024-09-18T21:00"),
    ],
)
def test_day_hour_and_month_are_windows(text: str, start: str, end: str) -> None:
    assert parse_interval(text) == ends(start, end)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024-09-18/2024-09-20", "2024-09-18", "2024-09-20"),
        ("2024-09/2024-11", "2024-09-01", "2024-11-01"),
        ("2024-09-18T22:00Z/2024-09-19T00:00+02:00", "2024-09-18T22:00", "2024-09-18T22:00"),
        ("2024-09-18,2024-09-20", "2024-09-18", "2024-09-20"),
        ("2024-09-18 22:00 UTC,2024-09-18 23:00 UTC", "2024-09-18T22:00", "2024-09-18T23:00"),
        ("2024-09-18T22+02:00[Europe/Berlin],2024-09-18T21Z", "2024-09-18T20:00", "2024-09-18T21:00"),
        # The end has the zone of the start if it has none
        ("2024-09-18T22:00+02:00/2024-09-18T23:00", "2024-09-18T20:00", "2024-09-18T21:00"),
        # The end omits what it has in common with the start
        ("2024-09-18T22/23", "2024-09-18T22:00", "2024-09-18T23:00"),
        ("2024-09-18T22:00+02:00/23:30", "2024-09-18T20:00", "2024-09-18T21:30"),
        ("2024-09-18/20", "2024-09-18", "2024-09-20"),
        ("2024-09-18/10-01", "2024-09-18", "2024-10-01"),
    ],
)
def test_interval_has_a_start_and_an_exclusive_end(text: str, start: str, end: str) -> None:
    assert parse_interval(text) == ends(start, end)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2024-09-18/P1D", "2024-09-18", "2024-09-19"),
        ("P1D/2024-09-18", "2024-09-17", "2024-09-18"),
        ("2024-09-18T22:00Z/PT1H", "2024-09-18T22:00", "2024-09-18T23:00"),
        ("PT90M/2024-09-18T22:00", "2024-09-18T20:30", "2024-09-18T22:00"),
        ("2024-09-18/P2W", "2024-09-18", "2024-10-02"),
        ("2024-02-01/P1M", "2024-02-01", "2024-03-01"),
        ("P1M/2024-03-01", "2024-02-01", "2024-03-01"),
        ("2024-09/P1Y2M3W4DT5H6M7S", "2024-09-01", "2025-11-26T05:06:07"),
        # A month of the calendar at the place, not of the one in UTC
        ("2024-09-01T00:00+02:00/P1M", "2024-08-31T22:00", "2024-09-30T22:00"),
    ],
)
def test_interval_may_have_a_duration(text: str, start: str, end: str) -> None:
    assert parse_interval(text) == ends(start, end)


def test_two_dots_are_an_open_end() -> None:
    assert parse_interval("2024-09-18T22/..") == (HOUR[0], None)
    assert parse_interval("../2024-09-18T22") == (None, HOUR[0])


@given(st.tuples(times, times), st.sampled_from("/,"))
def test_two_times_of_the_log_are_a_window(pair: tuple[int, int], separator: str) -> None:
    assert parse_interval(separator.join(map(format_time, pair))) == pair


@pytest.mark.parametrize(
    "text",
    [
        *(
            "/",
            "2024-09-18/",
            "/2024-09-18",
            "../..",
            "2024-09-18/P",
            "2024-09-18/PT",
            "2024-09-18/P1DT",
            "P1D",
            "P1D/P1D",
        ),
        *(
            "2024-09-18/2024-09-19/2024-09-20",
            "2024-09-18,",
            ",2024-09-18",
            "2024-09-18,P1D",
            "2024-09-18,..",
            "P1D/..",
        ),
        *("R5/2024-09-18/P1D", "2024-09-18/9", "2024-09-18/2024", "2024-09-18--2024-09-20", "2024-09-18T22:00"),
        *("2024-09-18/p1d", "2024-09-18/P-1D", "2024-09-18/P0.5D", "20240918/20240920", "1586822400,1586908800"),
    ],
)
def test_other_format_is_not_a_window(text: str) -> None:
    assert parse_interval(text) is None


@pytest.mark.parametrize("text", ["2024-01-31/P1M", "2024-02-29/P1Y", "9999-12/P1M", "9999-12", "P5000Y/2024-01"])
def test_day_that_a_month_does_not_have_is_refused(text: str) -> None:
    """The last one of the month would be a guess."""
    with pytest.raises(ValueError, match=r"day is out of range|year .* is out of range"):
        parse_interval(text)


@given(st.text("0123456789-:/.,+TZP YMDHSWU[]ECAa", max_size=60))
def test_any_string_is_parsed_or_rejected(text: str) -> None:
    try:
        interval = parse_interval(text)
    except ValueError:
        return
    assert interval is None or len(interval) == 2


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(0, 5000))
def test_duration_in_days_is_a_number_of_days(moment: datetime, days: int) -> None:
    start = moment.replace(tzinfo=timezone.utc)
    expected = (to_ns(start), to_ns(start + timedelta(days=days)))
    assert parse_interval(f"{start.isoformat()}/P{days}D") == expected
