"""The key `window` of an entry: each form on a signature that needs it."""

from __future__ import annotations

import csv
import re
from collections import UserList
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal, FloatOperation, localcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from mapped import mapped
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.window import Window
from otel_kcevents.plugin.problem import OptionError

NIGHT = "2022-06-03T00:00:00Z"
BERLIN = timezone(timedelta(hours=2))


def window_of(value: Any, **table: Any) -> Window | None:
    """Return the window of a call whose argument `value` the table `window` names."""
    telemetry = Telemetry()

    def load(value: Any) -> list[int]:
        return []

    mapped(telemetry, load, window=table)(value)
    return telemetry.event.window


def midnight(zone: str, month: int, day: int) -> datetime:
    """Return the midnight of a day of 2022 in Berlin."""
    if zone == "zoneinfo":
        return datetime(2022, month, day, tzinfo=ZoneInfo("Europe/Berlin"))
    localized: datetime = pytest.importorskip("pytz").timezone("Europe/Berlin").localize(datetime(2022, month, day))
    return localized


class Row(NamedTuple):
    """A row of a database: a tuple of a class of its own."""

    first: Any
    last: Any


def windows(*ends: str | None) -> Window:
    """Return a window between two times."""
    return Window(*ends)


# One string, number or object


@pytest.mark.parametrize(
    ("value", "format", "window"),
    [
        ("03.06.2022", "%d.%m.%Y", DAY),
        (20220603, "%Y%m%d", DAY),
        (20220603.0, "%Y%m%d", DAY),
        (Decimal(20220603), "%Y%m%d", DAY),
        ("202206", "%Y%m", windows("2022-06-01T00:00:00Z", "2022-07-01T00:00:00Z")),
        (202212, "%Y%m", windows("2022-12-01T00:00:00Z", "2023-01-01T00:00:00Z")),
        ("2022", "%Y", windows("2022-01-01T00:00:00Z", "2023-01-01T00:00:00Z")),
        ("2022060307", "%Y%m%d%H", windows("2022-06-03T07:00:00Z", "2022-06-03T08:00:00Z")),
        ("2022060307+0200", "%Y%m%d%H%z", windows("2022-06-03T05:00:00Z", "2022-06-03T06:00:00Z")),
        (["01.06.2022", "03.06.2022"], "%d.%m.%Y", windows("2022-06-01T00:00:00Z", NIGHT)),
        ({"start": "20220603", "end": "20220604"}, "%Y%m%d", DAY),
        (date(2022, 6, 3), "%Y%m%d", DAY),
        (None, "%Y%m%d", None),
    ],
)
def test_format_reads_days_months_and_hours(value: Any, format: str, window: Window | None) -> None:
    """Each is a window of the format's smallest unit."""
    assert window_of(value, path="value", format=format) == window


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1654214400, "seconds"),
        ("1654214400", "seconds"),
        (1654214400.0, "seconds"),
        (Decimal("1654214400"), "seconds"),
        (1654214400000, "milliseconds"),
        (1654214400000000, "microseconds"),
        (1654214400000000000, "nanoseconds"),
        (datetime(2022, 6, 3), "seconds"),
    ],
)
def test_format_reads_numbers_since_1970(value: Any, unit: str) -> None:
    assert window_of(value, path="value", format=unit, length="1d") == DAY


def test_number_since_1970_keeps_its_fraction() -> None:
    found = window_of(1654214400.25, start="value", format="seconds")
    assert found is not None
    assert found.start_text == "2022-06-03T00:00:00.25Z"


@pytest.mark.parametrize(
    ("value", "length", "end"),
    [
        (datetime(2022, 6, 3), "1d", "2022-06-04T00:00:00Z"),
        (datetime(2022, 6, 3, 2, tzinfo=BERLIN), "15m", "2022-06-03T00:15:00Z"),
        ("2022-06-03T00:00:00Z", "1h", "2022-06-03T01:00:00Z"),
        ("2022-06-03 02:00+02:00", "PT90S", "2022-06-03T00:01:30Z"),
        (date(2022, 6, 3), "P1M", "2022-07-03T00:00:00Z"),
        ("2022-06-03", "2w", "2022-06-17T00:00:00Z"),
    ],
)
def test_length_makes_a_window_of_one_time(value: Any, length: str, end: str) -> None:
    assert window_of(value, path="value", length=length) == windows(NIGHT, end)


def test_month_is_one_of_the_calendar_in_its_own_zone() -> None:
    """A month from midnight in Berlin is one hour shorter in UTC, if summer time begins; an offset does not change."""
    found = window_of("2022-06-01T00:00:00+02:00", path="value", length="P1M")
    assert found == windows("2022-05-31T22:00:00Z", "2022-06-30T22:00:00Z")


@pytest.mark.parametrize("zone", ["zoneinfo", "pytz"])
@pytest.mark.parametrize(
    ("first", "length", "last"),
    [((3, 27), "1d", (3, 28)), ((10, 30), "P1D", (10, 31)), ((10, 1), "P1M", (11, 1)), ((3, 27), "24h", (3, 28))],
)
def test_days_and_months_end_at_midnight_of_the_zone(
    zone: str, first: tuple[int, int], length: str, last: tuple[int, int]
) -> None:
    """Summer time begins or ends in each of them."""
    found = window_of(midnight(zone, *first), path="value", length=length)
    assert found == Window(midnight(zone, *first), midnight(zone, *last))


def test_hours_are_of_sixty_minutes_when_summer_time_begins() -> None:
    found = window_of(midnight("zoneinfo", 3, 27), path="value", length="3h")
    assert found == windows("2022-03-26T23:00:00Z", "2022-03-27T02:00:00Z")


def test_inclusive_day_ends_at_the_next_midnight_of_the_zone() -> None:
    found = window_of(midnight("zoneinfo", 3, 27), end="value", length="1d", inclusive=True)
    assert found == windows("2022-03-26T23:00:00Z", "2022-03-27T22:00:00Z")


def test_number_is_read_exactly_in_any_context_of_decimal() -> None:
    with localcontext() as context:
        context.prec = 5
        context.traps[FloatOperation] = True
        for value in (Decimal(1654214400), 1654214400.0):
            assert window_of(value, path="value", format="seconds", length="1d") == DAY


def test_row_of_two_times_is_a_pair() -> None:
    assert window_of(Row("2022-06-03", "2022-06-03"), path="value", inclusive=True) == DAY
    assert window_of(UserList(["03.06.2022", "04.06.2022"]), path="value", format="%d.%m.%Y") == DAY


def test_array_of_one_time_is_a_time() -> None:
    """Such as the coordinate of a single item in xarray."""
    value = pytest.importorskip("numpy").array("2022-06-03T00:00:00", dtype="datetime64[ns]")
    assert window_of(value, path="value", length="1d") == DAY


def test_end_with_a_length_is_the_end() -> None:
    assert window_of("2022-06-04", end="value", length="1d") == DAY
    assert window_of("2022-06-03", end="value", length="1d", inclusive=True) == DAY


def test_start_alone_has_an_open_end() -> None:
    assert window_of("2022-06-03", start="value") == windows(NIGHT, None)
    assert window_of("from 2022-06-03", start="value", match="[-0-9]+") == windows(NIGHT, None)


def test_open_start_and_end_are_not_a_window() -> None:
    assert window_of((None, None), path="value", inclusive=True) is None


@pytest.mark.parametrize(
    ("value", "pattern", "more", "window"),
    [
        ("bills/costs-2022-06-03.csv", r"\d{4}-\d\d-\d\d", {}, DAY),
        (Path("costs_20220603.csv"), r"_(\d{8})\.", {"format": "%Y%m%d"}, DAY),
        ("s3://bills/year=2022/month=06/day=03/part-0.parquet", r"year=(\d+)/month=(\d+)/day=(\d+)", {}, DAY),
        ("year=2022/month=6/day=3", r"year=(\d+)/month=(\d+)/day=(\d+)", {}, DAY),
        (
            "year=2022/month=06",
            r"year=(\d+)/month=(\d+)(?:/day=(\d+))?",
            {},
            windows("2022-06-01T00:00:00Z", "2022-07-01T00:00:00Z"),
        ),
        ("2022/06/03/07", r"(\d+)/(\d+)/(\d+)/(\d+)", {}, windows("2022-06-03T07:00:00Z", "2022-06-03T08:00:00Z")),
        ("cur_20220603-20220604", r"(?P<start>\d{8})-(?P<end>\d{8})", {"format": "%Y%m%d"}, DAY),
        ("cur_2022-06-03.", r"(?P<start>[-\d]+)", {"length": "1d"}, DAY),
        (20220603, r"(\d{4})(\d\d)(\d\d)", {}, DAY),
        (None, "x", {}, None),
    ],
)
def test_match_reads_the_day_in_the_name_of_a_file(value: Any, pattern: str, more: dict[str, str], window: Any) -> None:
    assert window_of(value, path="value", match=pattern, **more) == window


@pytest.mark.parametrize(
    ("value", "end"),
    [
        (("2022-06-03T00:00:00Z", "2022-06-03T23:59:59Z"), "2022-06-04T00:00:00Z"),
        ({"start": NIGHT, "end": "2022-06-03T23:59:59.999Z"}, "2022-06-04T00:00:00Z"),
        ({"start": NIGHT, "end": "2022-06-03T23:59:59.999999999Z"}, "2022-06-04T00:00:00Z"),
        ((NIGHT, "2022-06-03T23:59"), "2022-06-04T00:00:00Z"),
        ((NIGHT, "2022-06-03T23:59:59.000Z"), "2022-06-04T00:00:00Z"),
        ((date(2022, 6, 3), date(2022, 6, 3)), "2022-06-04T00:00:00Z"),
        (("2022-06-03", "2022-06-03"), "2022-06-04T00:00:00Z"),
        ((NIGHT, "2022-06"), "2022-07-01T00:00:00Z"),
        ((NIGHT, "2022-06-03T07"), "2022-06-03T08:00:00Z"),
        ((NIGHT, datetime(2022, 6, 3)), "2022-06-04T00:00:00Z"),
        ((NIGHT, datetime(2022, 6, 4, tzinfo=BERLIN)), "2022-06-04T22:00:00Z"),
        ((NIGHT, datetime(2022, 6, 3, 23, 59, 59, 999999)), "2022-06-04T00:00:00Z"),
        ("2022-06-03/2022-06-03", "2022-06-04T00:00:00Z"),
        ("2022-06-03T00:00:00Z,2022-06-03T23:59:59Z", "2022-06-04T00:00:00Z"),
        ("2022-06-03", "2022-06-04T00:00:00Z"),
        (DAY, "2022-06-05T00:00:00Z"),
        (SimpleNamespace(start=NIGHT, end=None), None),
    ],
)
def test_inclusive_end_is_extended_by_its_unit(value: Any, end: str | None) -> None:
    assert window_of(value, path="value", inclusive=True) == windows(NIGHT, end)


# Two paths


def test_pair_of_paths_is_start_and_end(telemetry: Telemetry) -> None:
    def load(job: Any, until: Any = None) -> list[int]:
        return []

    mapped(telemetry, load, window=["job.since", "until"])
    load(SimpleNamespace(since=date(2022, 6, 3)), "2022-06-04")
    load(SimpleNamespace(since=None), until="2022-06-04")
    load(SimpleNamespace(since=None))
    load(None)
    assert [event.window for event in telemetry.events] == [DAY, windows(None, "2022-06-04T00:00:00Z"), None, None]


def test_pair_of_paths_spans_the_items_of_a_list(telemetry: Telemetry) -> None:
    def load(rows: Any) -> list[int]:
        return []

    mapped(telemetry, load, window={"start": "rows[*].since", "end": "rows[*].till", "inclusive": True})
    load([SimpleNamespace(since=f"2022-06-{day:02d}", till=date(2022, 6, day)) for day in (5, 3, 4)])
    load([])
    assert [event.window for event in telemetry.events] == [windows(NIGHT, "2022-06-06T00:00:00Z"), None]


def test_start_and_end_may_come_from_argument_and_result(telemetry: Telemetry) -> None:
    """Both are read when the call ends."""

    def load(since: str) -> Any:
        return SimpleNamespace(until="2022-06-04")

    mapped(telemetry, load, size=False, window=["since", "return.until"])("2022-06-03")
    assert telemetry.event.window == DAY


def test_ends_in_the_items_of_a_generator_are_covered(telemetry: Telemetry) -> None:
    def batches() -> Iterator[Any]:
        yield {"from": "2022-06-03T00:00Z", "to": "2022-06-03T01:00Z"}
        yield None
        yield {"from": "2022-06-03T23:00Z", "to": "2022-06-04T00:00Z"}

    mapped(telemetry, batches, window=["yield[from]", "yield[to]"])
    assert len([*batches()]) == 3
    assert (telemetry.event.window, telemetry.event.size) == (DAY, 3)


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        (["yield.start", "return.end"], "cannot come from an item and from the result"),
        ({"start": "yield.start", "end": "result.end"}, "cannot come from an item and from the result"),
        ({"start": "day", "end": "result.end", "read": "before"}, "does not exist before the call; remove read"),
        ({"path": "result.day", "read": "before"}, "does not exist before the call; remove read"),
    ],
)
def test_ends_that_are_never_known_together_are_a_mistake(telemetry: Telemetry, window: Any, problem: str) -> None:
    def batches(day: str) -> Iterator[Any]:
        yield day

    with pytest.raises(OptionError, match=problem):
        mapped(telemetry, batches, window=window)


# When it is read


def test_reader_that_fills_a_list_has_its_window_in_the_items(telemetry: Telemetry) -> None:
    """Such a reader appends to the list that it is given, which may have items already."""

    def read(cost_items: list[Any], csv_reader: Iterator[dict[str, str]]) -> None:
        cost_items.extend(SimpleNamespace(date_str=row["day"]) for row in csv_reader)

    window = {"path": "cost_items[*].date_str", "format": "%Y%m%d", "read": "after"}
    mapped(telemetry, read, window=window, size="+cost_items")
    items: list[Any] = [SimpleNamespace(date_str=None)]
    read(items, iter(csv.DictReader(["day,cost", "20220603,1.5", "20220603,2.5"])))
    assert (telemetry.event.window, telemetry.event.size) == (DAY, 2)


def test_day_as_a_string_in_self(telemetry: Telemetry) -> None:
    class CostAllocator:
        def __init__(self, day: str) -> None:
            self.date = day
            self.services = [SimpleNamespace(items=[1, 2]), SimpleNamespace(items=[3])]

        def allocate(self) -> bool:
            self.date = "done"
            return True

    mapped(
        telemetry,
        CostAllocator.allocate,
        "allocation.aggregate",
        window={"path": "self.date", "format": "%Y-%m-%d", "length": "1d"},
        size="self.services[*].items",
    )
    CostAllocator("2022-06-03").allocate()
    assert (telemetry.event.kind, telemetry.event.window, telemetry.event.size) == ("AllocationSetAggregated", DAY, 3)


def test_window_that_the_call_sets_is_read_after_it(telemetry: Telemetry) -> None:
    class Loader:
        def load(self, day: str) -> list[int]:
            self.day = day
            return [1]

    mapped(telemetry, Loader.load, window={"path": "self.day", "length": "1d"})
    Loader().load("2022-06-03")
    assert telemetry.event.window == DAY


def test_window_may_be_read_only_before_or_only_after(telemetry: Telemetry, warned: Warned) -> None:
    def move(state: Any) -> list[int]:
        state.day = "2022-06-04" if state.day else "2022-06-03"
        return []

    mapped(telemetry, move, window={"path": "state.day", "read": "before"})
    mapped(telemetry, move, "asset.load", window={"path": "state.day", "read": "after"})
    mapped(telemetry, move, "cloudCost.load", window={"start": "state.day", "read": "after", "length": "1d"})
    move(SimpleNamespace(day=None))
    assert {event.kind: event.window for event in telemetry.events} == {
        "AllocationSetLoaded": None,
        "AssetSetLoaded": DAY,
        "CloudCostSetLoaded": DAY,
    }


def test_window_can_be_kept_from_an_earlier_call(telemetry: Telemetry) -> None:
    """Two calls after the one that has it as an argument; the steps in between need not be mapped."""

    def prepare(date: str) -> None: ...

    def step() -> list[int]:
        return [1]

    mapped(telemetry, prepare, None, keep={"day": "date"})
    mapped(telemetry, step, window={"path": "kept.day", "format": "%d/%m/%Y"})
    prepare("03/06/2022")
    step()
    step()
    assert [event.window for event in telemetry.events] == [DAY, DAY]


def test_function_of_the_call_returns_the_window(telemetry: Telemetry) -> None:
    def load(job: Any, *, mode: str = "full") -> list[int]:
        return [1]

    mapped(telemetry, load, window="programs.mapped_functions:window_of", size="programs.mapped_functions:size_of")
    load({"day": "2022-06-03"})
    assert (telemetry.event.window, telemetry.event.size) == (DAY, 4)


# Values of libraries


def test_scalars_of_numpy_are_times_and_sizes(telemetry: Telemetry) -> None:
    numpy: Any = pytest.importorskip("numpy")

    def load(day: Any, count: Any) -> None: ...

    mapped(telemetry, load, window={"path": "day", "format": "%Y%m%d"}, size="count")
    load(numpy.int64(20220603), numpy.int32(5))
    load(numpy.array("20220603"), numpy.array(5))
    load(numpy.str_("20220603"), numpy.uint8(5))
    load(numpy.datetime64("2022-06-03"), 5)
    assert {(event.window, event.size) for event in telemetry.events} == {(DAY, 5)}


def test_scalars_of_pyarrow_are_times_and_sizes(telemetry: Telemetry) -> None:
    arrow: Any = pytest.importorskip("pyarrow")

    def load(table: Any) -> None: ...

    mapped(telemetry, load, window={"path": "table[day][0]", "length": "1d"}, size="table[rows][0]")
    for day, rows in (
        (arrow.array(["2022-06-03"]), arrow.array([7])),
        (arrow.array(["2022-06-03"]).dictionary_encode(), arrow.array([7]).dictionary_encode()),
        (arrow.array([date(2022, 6, 3)]), arrow.array([7], arrow.uint8())),
        (arrow.array([datetime(2022, 6, 3)]), arrow.array([7])),
    ):
        load({"day": day, "rows": rows})
    assert {(event.window, event.size) for event in telemetry.events} == {(DAY, 7)}


def test_null_of_pyarrow_is_a_missing_window(telemetry: Telemetry, warned: Warned) -> None:
    arrow: Any = pytest.importorskip("pyarrow")

    def load(day: Any) -> list[int]:
        return []

    mapped(telemetry, load, window={"path": "day", "length": "1d"})(arrow.scalar(None, arrow.string()))
    assert (telemetry.event.window, warned()) == (None, [])


def test_times_and_periods_of_pandas() -> None:
    pandas: Any = pytest.importorskip("pandas")
    assert window_of(pandas.Timestamp("2022-06-03"), path="value", length="1d") == DAY
    assert window_of(pandas.Timestamp("2022-06-03", tz="Europe/Berlin"), path="value", length="1d") == windows(
        "2022-06-02T22:00:00Z", "2022-06-03T22:00:00Z"
    )
    assert window_of(pandas.Period("2022-06-03"), path="value", inclusive=True) == DAY
    assert window_of(pandas.Period("2022-06-03"), path="value", format="%Y", length="1d") == DAY
    ends = {"start": pandas.Timestamp("2022-06-03"), "end": pandas.Timestamp("2022-06-03 23:59:59.999999999")}
    assert window_of(ends, path="value", inclusive=True) == DAY


# Problems


@pytest.mark.parametrize(
    ("value", "table", "problem"),
    [
        ("2022-06-03", {"path": "value", "format": "%Y%m%d"}, "'2022-06-03' does not match the format '%Y%m%d'"),
        ("secret", {"path": "value", "format": "%Y%m%d"}, "a str of 6 characters does not match the format"),
        ("bills.csv", {"path": "value", "match": r"\d+"}, "a str of 9 characters does not match"),
        ("2022-06-03T07:30Z", {"path": "value", "format": "%Y-%m-%dT%H:%MZ"}, "add length"),
        (datetime(2022, 6, 3), {"path": "value", "match": "x"}, "got datetime.datetime.*add a step"),
        (datetime(2022, 6, 3), {"path": "value", "length": "1d", "format": "seconds"}, None),
        ("3 June", {"path": "value", "length": "1d"}, "is not an ISO 8601 time; add format"),
        (["2022-06-03", "2022-06-04"], {"path": "value", "length": "1d"}, "remove length"),
        (5, {"path": "value", "length": "1d"}, "5 is not a time; .*format"),
        (True, {"path": "value", "length": "1d", "format": "seconds"}, "True is not a time"),
        ("x", {"path": "value", "length": "1d", "format": "seconds"}, "is not a number of seconds"),
        (float("nan"), {"path": "value", "length": "1d", "format": "seconds"}, "nan is not a number of seconds"),
        (10**30, {"path": "value", "length": "1d", "format": "seconds"}, "outside the years"),
        ("1-2-3-4-5-6-7", {"path": "value", "match": "-".join(["(.)"] * 7)}, "has 7 groups"),
        (["b", "a"], {"path": "value", "format": "%Y"}, "does not match the format"),
        ("2022-01-31", {"path": "value", "length": "P1M"}, "day is out of range|month has no such day"),
    ],
)
def test_value_that_is_not_a_window_warns_with_the_place(
    warned: Warned, value: Any, table: dict[str, str], problem: str | None
) -> None:
    found = window_of(value, **table)
    if problem is None:
        assert found == DAY
        return
    (message,) = warned()
    assert message.startswith("kcevents.toml: functions[0].window (costs.etl:step): ")
    assert re.search(problem, message)
