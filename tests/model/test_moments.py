"""`otel_kcevents.model.moments`: times, periods, objects and mappings of other libraries as windows."""

from __future__ import annotations

from datetime import date, datetime, timezone
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from otel_kcevents.model.timestamps import to_ns
from otel_kcevents.model.window import Window

UTC = timezone.utc
HOUR = Window("2024-09-18T22:00:00Z", "2024-09-18T23:00:00Z")
DAY = Window("2024-09-18T00:00:00Z", "2024-09-19T00:00:00Z")
START, END = "2024-09-18T22:00:00Z", "2024-09-18T23:00:00Z"


# Mappings and objects


@pytest.mark.parametrize(
    "value",
    [
        {"start": START, "end": END},
        {"start": "2024-09-18T22:00", "end": datetime(2024, 9, 18, 23), "minutes": 60},
        {"start_time": START, "end_time": END},
        {"left": START, "right": END},
        {"Start": START, "End": END},
        SimpleNamespace(start="2024-09-18 22:00:00 UTC", end="2024-09-18 23:00:00 +0000 UTC"),
    ],
)
def test_mapping_and_object_have_a_start_and_an_end(value: Any) -> None:
    assert Window.of(value) == HOUR


@pytest.mark.parametrize("ran", [(START, END), (END, START), ("?", None)])
def test_allocation_covers_its_window(ran: tuple[Any, Any]) -> None:
    """The allocation's own start and end say when it ran within the window; a short one may end before it starts."""
    allocation = {"name": "shop", "window": {"start": START, "end": END}, "start": ran[0], "end": ran[1], "minutes": 60}
    assert Window.of(allocation) == HOUR


def test_mapping_may_have_open_ends() -> None:
    assert Window.of({"start": None, "end": END}) == Window(None, END)
    assert Window.of({"window": {"start": START, "end": None}}) == Window(START, None)


@pytest.mark.parametrize(
    "value",
    [
        {"window": {"window": {"start": START, "end": END}}},
        {"window": "today"},
        Mock(),
        Mock(spec=datetime),
        SimpleNamespace(start=len, end=len),
        slice(1, 2),
    ],
)
def test_value_without_two_times_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^cannot convert "):
        Window.of(value)


def test_row_of_a_database_is_a_window() -> None:
    """By the names of its columns, or else by their order."""
    sqlalchemy: Any = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        for columns in (f"'{START}', '{END}'", f"'{END}' as \"end\", '{START}' as start"):
            assert Window.of(connection.execute(sqlalchemy.text(f"select {columns}")).one()) == HOUR
    engine.dispose()


# numpy


@pytest.fixture
def datetime64() -> Any:
    return pytest.importorskip("numpy").datetime64


@pytest.mark.parametrize("unit", ["h", "m", "s", "ms", "us", "ns", "6h"])
def test_numpy_times_are_ends(datetime64: Any, unit: str) -> None:
    day = (datetime64("2024-09-18", unit), datetime64("2024-09-19", unit))
    assert Window.of(day) == Window.of([day[0], "2024-09-19"]) == DAY


def test_numpy_times_keep_their_nanoseconds(datetime64: Any) -> None:
    window = Window.of((datetime64("1969-12-31T23:59:59.123456789"), datetime64("1970-01-01T00:00:00.000000001999")))
    assert str(window) == "1969-12-31T23:59:59.123456789Z,1970-01-01T00:00:00.000000001Z"


@pytest.mark.parametrize(
    ("start", "end"),
    [("2024", "2025"), ("2024-01", "2025-01"), ("2024-01-01", "2025-01-01"), ("2024-01-01T00", "2025-01")],
)
def test_numpy_day_month_and_year_stand_for_their_start(datetime64: Any, start: str, end: str) -> None:
    assert Window.of((datetime64(start), datetime64(end))) == Window("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")


def test_numpy_day_hour_and_month_are_windows(datetime64: Any) -> None:
    numpy = pytest.importorskip("numpy")
    assert Window.of(datetime64("2024-09-18")) == Window.of(numpy.array(datetime64("2024-09-18"))) == DAY
    assert Window.of(datetime64("2024-09-18T22")) == HOUR
    assert Window.of(datetime64("2024-09")) == Window.of("2024-09")


@pytest.mark.parametrize("unit", ["Y", "W", "6h", "m", "ns"])
def test_numpy_time_of_another_unit_is_not_a_window(datetime64: Any, unit: str) -> None:
    with pytest.raises(ValueError, match=r"cannot convert '20.*T00:00:00.*' to a Window"):
        Window.of(datetime64("2024-09-19", unit))


@pytest.mark.parametrize("text", ["NaT", "-0001-01-01", "12024-01-01"])
def test_numpy_time_that_is_missing_or_too_far_is_refused(datetime64: Any, text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        Window.of((None, datetime64(text, "D")))


def test_numpy_array_is_not_a_window() -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match="ndarray to a Window"):
        Window.of(numpy.arange(3))


# pandas


@pytest.fixture
def pandas() -> Any:
    return pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("text", "frequency", "start", "end"),
    [
        ("2024-09-18 22:00", "h", "2024-09-18T22:00:00Z", "2024-09-18T23:00:00Z"),
        ("2024-09-18", "D", "2024-09-18T00:00:00Z", "2024-09-19T00:00:00Z"),
        ("2024-09-18", "2D", "2024-09-18T00:00:00Z", "2024-09-20T00:00:00Z"),
        ("2024-09", "M", "2024-09-01T00:00:00Z", "2024-10-01T00:00:00Z"),
        ("2024Q3", None, "2024-07-01T00:00:00Z", "2024-10-01T00:00:00Z"),
        ("1969-12-31", "D", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2024-09-18 22:00:00.001", "ms", "2024-09-18T22:00:00.001Z", "2024-09-18T22:00:00.002Z"),
    ],
)
def test_pandas_period_ends_where_the_next_begins(pandas: Any, text: str, frequency: str, start: str, end: str) -> None:
    assert Window.of(pandas.Period(text, frequency)) == Window(start, end)


def test_two_pandas_periods_are_the_ends(pandas: Any) -> None:
    """As two dates are: the window ends where the second begins."""
    assert Window.of((pandas.Period(START, "h"), pandas.Period(END, "h"))) == HOUR
    assert Window.of({"start": pandas.Period("2024-09-18", "D"), "end": pandas.Period("2024-09-19", "D")}) == DAY


@pytest.mark.parametrize("closed", ["left", "right", "both", "neither"])
def test_pandas_interval_is_a_window(pandas: Any, closed: str) -> None:
    assert Window.of(pandas.Interval(pandas.Timestamp(START), pandas.Timestamp(END), closed)) == HOUR


def test_pandas_times_keep_their_nanoseconds(pandas: Any) -> None:
    start = pandas.Timestamp("1965-06-03T02:00:00.123456789", tz="+02:00")
    window = Window.of((start, pandas.Timestamp("2022-06-04T00:00:00.000000001")))
    assert str(window) == "1965-06-03T00:00:00.123456789Z,2022-06-04T00:00:00.000000001Z"


def test_pandas_row_is_a_window(pandas: Any) -> None:
    """A Series, or a tuple of `itertuples`."""
    frame = pandas.DataFrame({"start": [pandas.Timestamp(START)], "end": [pandas.Timestamp(END)]})
    assert Window.of(frame.iloc[0]) == Window.of(next(frame.itertuples())) == HOUR
    with pytest.raises(TypeError, match="a Series to a time"):
        Window.of(frame)


def test_missing_pandas_time_is_refused(pandas: Any) -> None:
    with pytest.raises(ValueError, match="NaT is not a time; use None"):
        Window.of((pandas.NaT, pandas.NaT))
    with pytest.raises(TypeError, match="NaT"):
        Window.of(pandas.NaT)


# pyarrow, Protocol Buffers


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_pyarrow_times_are_ends(unit: str, zone: str | None) -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    time = pyarrow.timestamp(unit, zone)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    start, end = (pyarrow.scalar(to_ns(end) // 10**9 * per_second, time) for end in (START, END))
    assert Window.of((start, end)) == Window.of({"start": start, "end": end}) == HOUR


def test_pyarrow_times_keep_their_nanoseconds() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    assert Window.of((pyarrow.scalar(-1, pyarrow.timestamp("ns")), None)).start_text == "1969-12-31T23:59:59.999999999Z"


def test_pyarrow_date_is_a_day() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    first, second = (pyarrow.scalar(date(2024, 9, day)) for day in (18, 19))
    assert Window.of(first) == Window.of((first, second)) == Window.of(first.cast(pyarrow.date64())) == DAY


def test_pyarrow_null_and_number_are_not_times() -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    for kind in (pyarrow.timestamp("s"), pyarrow.date32()):
        with pytest.raises(ValueError, match=r"a null of pyarrow is not a .*; use None"):
            Window.of((pyarrow.scalar(None, kind), None))
    with pytest.raises(TypeError, match="1726696800 to a time"):
        Window.of((pyarrow.scalar(1726696800), None))


def test_protobuf_times_keep_their_nanoseconds() -> None:
    timestamp: Any = pytest.importorskip("google.protobuf.timestamp_pb2").Timestamp
    window = Window.of((timestamp(seconds=-1, nanos=999_999_999), timestamp(seconds=7)))
    assert str(window) == "1969-12-31T23:59:59.999999999Z,1970-01-01T00:00:07Z"


# Libraries that the tests do not install: types of the same names


def same_name(module: str, name: str, **members: Any) -> Any:
    return type(name, (), {"__module__": module, **members})()


def test_times_of_arrow_and_whenever_are_ends() -> None:
    arrow = same_name("arrow.arrow", "Arrow", datetime=datetime(2024, 9, 18, 22, tzinfo=UTC))
    zoned = same_name("whenever", "ZonedDateTime", __str__=lambda self: "2024-09-19T01:00:00+02:00[Europe/Berlin]")
    assert Window.of((arrow, zoned)) == HOUR
    assert Window.of(same_name("whenever", "Date", __str__=lambda self: "2024-09-18")) == DAY
