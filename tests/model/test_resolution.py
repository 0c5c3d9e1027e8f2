"""The resolution of a window, whatever the zone of its day or month, and the resolution that a person names."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_kcevents.model.resolution import month_of, month_start, parse_resolution, period_of, resolution_of
from otel_kcevents.model.timestamps import DAY, SECOND, to_ns
from otel_kcevents.model.window import Window

HOUR = 3_600 * SECOND
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "Pacific/Kiritimati", "Australia/Lord_Howe"]
EPOCH = datetime(1970, 1, 1)


@pytest.mark.parametrize(
    ("window", "resolution"),
    [
        ("2024-09-18T22", "hourly"),
        ("2024-09-18T22:30Z/PT1H", "hourly"),
        ("2024-09-18", "daily"),
        ("2024-09", "monthly"),
        ("2024-02", "monthly"),
        ("2023-12", "monthly"),
        ("0001-01", "monthly"),
        ("2024-09-02/P30D", "30d"),
        ("2024-09-02/P7D", "7d"),
        ("2024-09-02/P1Y", "365d"),
        ("2024-09-02T00:00Z/PT15M", "15m"),
        ("2024-09-02T00:00Z/PT90S", "90s"),
        ("2024-09-02T00:00Z/PT79H", "79h"),
        ("2024-09-02T00:00:00Z/2024-09-02T00:00:01.5Z", "1.5s"),
        ("2024-09-02T00:00:00Z/2024-09-02T00:00:00.000000001Z", "0.000000001s"),
    ],
)
def test_resolution_follows_from_the_window(window: str, resolution: str) -> None:
    found = Window.of(window)
    assert found.start_ns is not None
    assert found.end_ns is not None
    assert resolution_of(found.start_ns, found.end_ns) == resolution


@pytest.mark.parametrize("zone", ZONES)
def test_local_days_are_daily(zone: str) -> None:
    midnights = [to_ns(datetime(2024, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(days=day)) for day in range(367)]
    assert {resolution_of(*day) for day in pairwise(midnights)} == {"daily"}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("month", range(1, 13))
def test_local_months_are_monthly(zone: str, month: int) -> None:
    start, end = (datetime(2024 + n // 12, n % 12 + 1, 1, tzinfo=ZoneInfo(zone)) for n in (month - 1, month))
    assert resolution_of(to_ns(start), to_ns(end)) == "monthly"


@pytest.mark.parametrize(("day", "length"), [(24, 7), (21, 14), (1, 28)])
def test_local_weeks_across_a_clock_change_are_alike(day: int, length: int) -> None:
    start = datetime(2024, 10, day, tzinfo=ZoneInfo("Europe/Berlin"))
    assert resolution_of(to_ns(start), to_ns(start + timedelta(days=length))) == f"{length}d"


@given(st.dates())
def test_month_has_the_days_of_the_calendar(day: date) -> None:
    number = 12 * (day.year - 1970) + day.month - 1
    assert month_start(number) == (datetime(day.year, day.month, 1) - EPOCH).days * DAY
    assert month_of((datetime(day.year, day.month, day.day) - EPOCH).days * DAY) == number
    assert month_of(month_start(number) - 1) == number - 1


@given(st.integers(1, 400 * DAY))
def test_name_of_a_length_is_parsed_again(length: int) -> None:
    start = to_ns(datetime(2024, 1, 15, 3, tzinfo=timezone.utc))
    name = resolution_of(start, start + length)
    assert parse_resolution(name) == name
    assert abs(period_of(name) - length) <= HOUR


@pytest.mark.parametrize(
    ("text", "resolution"),
    [
        ("1h", "hourly"),
        ("60m", "hourly"),
        ("PT1H", "hourly"),
        ("1d", "daily"),
        ("24h", "daily"),
        ("P1M", "monthly"),
        ("1w", "7d"),
        ("31d", "31d"),
        ("900s", "15m"),
        ("0.50s", "0.5s"),
    ],
)
def test_resolution_has_one_name(text: str, resolution: str) -> None:
    assert parse_resolution(text) == resolution


@pytest.mark.parametrize("text", ["", "hour", "hourly ", "0m", "-1h", "P1Y", "P1M1D", "1.5h", "today", "0.0s"])
def test_malformed_resolution_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a resolution; expected hourly, daily, monthly or a length such as"):
        parse_resolution(text)
