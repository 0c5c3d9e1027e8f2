"""`otel_kcevents.model.messages`: values are named without their content."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest

from otel_kcevents.model.messages import describe, describe_time, short_repr


class Hostile:
    """Every method that a message might call runs the program's code."""

    def fail(self, *args: Any) -> Any:
        raise AssertionError("called")

    __repr__ = __str__ = __len__ = __bool__ = __iter__ = __eq__ = __hash__ = __getattr__ = __format__ = fail
    __class__ = property(fail)


class Zone(tzinfo):
    __repr__ = utcoffset = tzname = dst = Hostile.fail


class Rows(list[int]):
    __len__ = __repr__ = Hostile.fail


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "description"),
    [
        (None, "None"),
        (True, "True"),
        (-1, "-1"),
        (2**63, "9223372036854775808"),
        (10**5000, "an int of 16610 bits"),
        (float("nan"), "nan"),
        (date(2024, 9, 18), "datetime.date(2024, 9, 18)"),
        (
            datetime(2024, 9, 18, tzinfo=timezone.utc),
            "datetime.datetime(2024, 9, 18, 0, 0, tzinfo=datetime.timezone.utc)",
        ),
        (datetime(2024, 9, 18, tzinfo=Zone()), "a datetime"),
        (timedelta(1), "a timedelta"),
        ("hunter2", "a str of 7 characters"),
        (b"x", "a bytes of 1 byte"),
        ([], "[]"),
        ("", "''"),
        ([0.5] * 1_000_000, "a list of 1000000 items"),
        ({"password": "hunter2"}, "a dict of 1 item"),
        (nested(100_000), "a list of 1 item"),
        (Rows(), "a Rows"),
        (Hostile(), "a Hostile"),
        (Hostile, "a type"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_is_described_without_its_content(value: Any, description: str) -> None:
    assert describe(value) == description
    if type(value) is not str:
        assert short_repr(value) == describe_time(value) == description


@pytest.mark.parametrize("text", ["2024-13-01", "2024-09-18T22:00:00Z/PT1H", "24H", "1586822400, 1586908800"])
def test_string_that_can_only_be_a_time_is_shown(text: str) -> None:
    assert describe_time(text) == repr(text)


@pytest.mark.parametrize("text", ["hunter2", "1" * 100, "acme"])
def test_other_string_in_place_of_a_time_is_not_shown(text: str) -> None:
    assert describe_time(text) == f"a str of {len(text)} characters"


def test_setting_is_shown_and_cut() -> None:
    assert short_repr("result.rows") == "'result.rows'"
    assert short_repr("x" * 1_000_000) == f"'{'x' * 79}…"
    assert short_repr(["hunter2"]) == "a list of 1 item"
