"""`otel_kcevents.record.sizes`: the number of records in a result, in what a save saves, and in a named size."""

from __future__ import annotations

import argparse
import asyncio
import configparser
import email.message
import io
import logging
import os
import re
import sqlite3
import types
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock, Mock, create_autospec

import pytest
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.record.set_types import is_option_name
from otel_kcevents.record.sizes import add_size, to_size

PAIR = ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
START, END = datetime(2024, 9, 18, 22), datetime(2024, 9, 18, 23, tzinfo=timezone.utc)
ROWS = [{"name": "cpu"}, {"name": "ram"}, {"name": "gpu"}]


class Allocation:
    """A record, not a set."""

    def __init__(self, start: datetime = START, end: datetime = END) -> None:
        self.start = start
        self.end = end


class CpuAllocation(Allocation):
    pass


@dataclass
class AllocationSet:
    """A set class of the program."""

    rows: list[Any] = field(default_factory=lambda: [1, 2, 3])
    window: Any = DAY

    def __len__(self) -> int:
        return len(self.rows)


class AllocationsByName(dict[str, Any]):
    """A dict class of the program."""


class Period:
    """A period class of the program; its `len()` is a number of hours."""

    start = START
    end = END

    def __len__(self) -> int:
        return 24


class AllocationStore:
    """A table, whose `len()` runs a query."""

    def __len__(self) -> int:
        raise AssertionError("queried")


class Ledger(AllocationStore):
    def commit(self) -> None: ...


class AppSettings(UserDict[str, Any]):
    pass


class Unsized:
    def __iter__(self) -> Any:
        raise AssertionError("read")


class Broken:
    def __len__(self) -> int:
        raise OSError("disconnected")


class Granularity(Enum):
    """Its class has a `len()`, its members do not."""

    DAY = "1d"


class Bill(NamedTuple):
    name: str
    cost: float


# Named sizes


class Integer:
    def __index__(self) -> int:
        return 7


class Scalar(Integer):
    """An array without dimensions, with a `__len__` that raises."""

    def __len__(self) -> int:
        raise TypeError("len() of unsized object")


@pytest.mark.parametrize(
    ("value", "size"),
    [(0, 0), (2**63 - 1, 2**63 - 1), (Integer(), 7), (Scalar(), 7), ([1, 2], 2), ({}, 0), (PAIR, 2)],
)
def test_size_is_an_integer_or_a_len(value: Any, size: int) -> None:
    assert to_size(value) == size


class Unindexed:
    def __len__(self) -> int:
        raise TypeError("len() of unsized object")


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "-1 .* expected an integer from 0 to 9223372036854775807"),
        (2**63, ValueError, "9223372036854775808 is not a size"),
        (True, TypeError, r"True .* expected an integer or something with len\(\)"),
        ("3", TypeError, "a str of 1 character is not a size"),
        (b"97", TypeError, "a bytes of 2 bytes is not a size"),
        (1.5, TypeError, "float"),
        (None, TypeError, "NoneType"),
        (Unindexed(), TypeError, "unsized"),
    ],
)
def test_error_describes_the_invalid_size(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        to_size(value)


def test_sizes_add_up_to_the_largest_size() -> None:
    assert add_size(add_size(add_size(0, [1, 2]), None), 5) == 7
    with pytest.raises(ValueError, match=r"9223372036854775808 is not a size"):
        add_size(2**63 - 1, 1)


@pytest.mark.parametrize("operation", ["save", "load", "total"])
def test_size_false_records_no_size(telemetry: Telemetry, warned: Warned, operation: str) -> None:
    getattr(telemetry.asset, operation)(size=False)(lambda rows: rows)(ROWS)
    assert (telemetry.event.size, warned()) == (None, [])


def test_size_false_does_not_count_items(telemetry: Telemetry, warned: Warned) -> None:
    @telemetry.asset.load(size=False)
    def load() -> Any:
        yield from ROWS

    assert list(load()) == ROWS
    assert (telemetry.event.size, warned()) == (None, [])


def test_size_false_of_a_block_or_an_emission(telemetry: Telemetry, warned: Warned) -> None:
    with telemetry.asset.save(size=False):
        pass
    with telemetry.asset.save() as op:
        op.size = False
    telemetry.asset.emit("saved", size=False)
    assert ([event.size for event in telemetry.events], warned()) == ([None] * 3, [])


def test_none_from_a_size_function_is_no_size(telemetry: Telemetry, warned: Warned) -> None:
    telemetry.asset.load(size=lambda call: None)(lambda: ROWS)()
    assert (telemetry.event.size, warned()) == (None, [])


# What a load or an aggregate returns


FRAME = AllocationSet()


@pytest.mark.parametrize("operation", ["load", "aggregate"])
@pytest.mark.parametrize(
    ("result", "size"),
    [
        (ROWS, 3),
        ([], 0),
        ((), 0),
        (["cpu", "ram"], 2),
        ([2024, 2025], 2),
        (["2024", "2025"], 2),
        (["2024-09-18", "2024-09-19", "2024-09-20"], 3),
        ([START], 1),
        ([["cpu", 1.0], ["ram", 2.0]], 2),
        (deque(ROWS), 3),
        ({"cpu", "ram"}, 2),
        (range(4), 4),
        (FRAME, 3),
        (AllocationsByName(cpu=1), 1),
        ({"cpu": 1.5, "storage": 2}, 2),
        ({"cpu": "1.50", "ram": "-2"}, 2),
        ({"cpu": Allocation(), "ram": CpuAllocation()}, 2),
        (OrderedDict(cpu={"cost": 1}), 1),
        ({"cpu": {"labels": {"team": "costs"}}}, 1),
        (defaultdict(dict, cpu={"cost": 1}), 1),
        (Counter("aab"), 2),
        (types.MappingProxyType({"cpu": Allocation()}), 1),
        ({}, 0),
        ({"cpu": 1}.keys(), 1),
        ((("cpu", 1.0), ("ram", 2.0)), 2),
        ((Bill("cpu", 1.0), Bill("ram", 2.0)), 2),
        (({"cost": 1}, {"cost": 2}), 2),
        ((FRAME, {"rows": 97}), 3),
        ((ROWS, "token"), 3),
        ((1, 2, 3), 3),
        ((ROWS, 97, None), 3),
        (tuple([(1, 2)] * 40), 40),
    ],
)
def test_size_of_a_result(telemetry: Telemetry, warned: Warned, operation: str, result: Any, size: int) -> None:
    """The size of a tuple of results is that of the first item, if no other item is a set."""
    assert getattr(telemetry.asset, operation)(lambda: result)() is result
    assert (telemetry.event.size, warned()) == (size, [])


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "None is not a set"),
        ("3", "a str of 1 character is not a set"),
        (b"97", "is not a set"),
        (5, "5 is not a set"),
        (iter(ROWS), "is lazy"),
        (Unsized(), "is lazy"),
        (Broken(), "disconnected"),
        ({"name": {0: "cpu", 1: "ram"}, "cost": {0: 1, 1: 2}}, "columns, groups or options"),
        ({"name": ["cpu", "ram"], "cost": [1, 2]}, "columns, groups or options"),
        ({"data": ROWS, "code": 200}, "columns, groups or options"),
        ({"start": START, "end": END}, "columns, groups or options"),
        (PAIR, "may be two results"),
        ((1, 2), "may be two results"),
        ([START, END], "is a period"),
        ((START, END), "is a period"),
        ((FRAME, FRAME), "several results"),
        ((ROWS, ROWS), "several results"),
        (("done", ROWS), "may be two results"),
        ((1, "cpu", 3.5), "several results"),
        ((Allocation(), CpuAllocation()), "several results"),
        ((iter(ROWS), {"rows": 3}), "several results"),
        (({"cpu": 1}, {"took": 2}), "several results"),
        ([FRAME, FRAME], r"holds sets.* size='result\[\*\]'"),
        ([iter(ROWS)], "holds sets"),
        ([ROWS, ROWS], "holds sets"),
        ({"allocations": {"shop": {"cost": 1}, "web": {"cost": 2}}}, "columns, groups or options"),
        (Bill("cpu", 1.0), "is not a set"),
        (os.stat_result(range(10)), "is not a set"),
        (MagicMock(), "is not a set"),
    ],
)
def test_result_that_is_not_a_set_has_no_size(telemetry: Telemetry, warned: Warned, result: Any, reason: str) -> None:
    def load() -> Any:
        return result

    load = telemetry.asset.load(load)
    assert [load() is result for _ in range(2)] == [True] * 2
    assert [event.size for event in telemetry.events] == [None] * 2
    (warning,) = warned()
    assert "the size is omitted" in warning
    assert re.search(reason, warning)


# What a save saves


def into(path: Any, rows: Any = None, window: Any = None, **more: Any) -> None: ...


def of_self(self: Any, rows: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "size"),
    [
        (into, ("bills.csv", [1, 2]), {}, 2),
        (into, (b"bills", {"a": 1}), {}, 1),
        (into, (bytearray(b"bills"), (1, 2, 3)), {}, 3),
        (into, ("bills.csv",), {"rows": [1, 2]}, 2),
        (into, (), {"rows": [1, 2], "path": "bills.csv"}, 2),
        (into, (5, []), {}, 0),
        (into, ("bills.csv", None, PAIR), {"more": {1, 2, 3}}, 3),
        (into, ("bills.csv",), {"window": PAIR, "more": {1, 2, 3}}, 3),
        (of_self, (range(99), [1]), {}, 1),
        (lambda *sets: None, (ROWS, [3]), {}, 3),
        (lambda **sets: None, (), {"first": [1, 2], "second": ["cpu", "ram"]}, 2),
        (lambda *batches, window: None, (5, [1, 2]), {"window": PAIR}, 2),
        (lambda rows=(1, 2, 3): None, (range(4),), {}, 4),
        (partial(into, "bills.csv"), ([1, 2],), {}, 2),
        (partial(partial(into, "bills.csv", [1, 2]), window=DAY), (), {}, 2),
        (into, ({"format": "parquet", "retries": 3}, {"shop": Allocation(), "web": Allocation()}), {}, 2),
        (into, ({"shop": Allocation()},), {}, 1),
        (into, ({"a": Allocation(), "b": Allocation()}, ROWS), {}, 3),
        (into, (["name", "cost"], ROWS), {}, 3),
        (into, (range(24), ["cpu", "ram"]), {}, 2),
        (into, ([], ROWS), {}, 3),
        (into, ([Granularity.DAY], ROWS), {}, 3),
        (into, ((Path("a"), Path("b")), ROWS), {}, 3),
        (into, ((FRAME, {"rows": 97}),), {}, 3),
        (into, ({"retries": 3}, ["cpu", "ram"]), {}, 2),
    ],
)
def test_save_has_the_size_of_its_first_set(
    telemetry: Telemetry, function: Any, args: Any, kwargs: Any, size: int
) -> None:
    """Records take precedence over strings and numbers, and these over a dict or a range."""
    telemetry.asset.save(function)(*args, **kwargs)
    assert telemetry.event.size == size


CONNECTION = sqlite3.connect(":memory:")
CURSOR = CONNECTION.cursor()
CONNECTION.close()  # an open one would be reported at the end of the tests
PERIODS: list[Any] = [
    (START, END),
    [START, END],
    (date(2024, 9, 18), date(2024, 9, 19)),
    PAIR,
    list(PAIR),
    ("2024-09-18", "2024-09-19"),
    ("2024-09", "2024-10"),
    ("20240918T2200Z", "20240918T2300Z"),
    ("2024-09-18 22:00", "2024-09-18 23:00"),
    ("22:00", "23:00"),
    ("09/18/2024", "09/19/2024"),
    ("2024-W38", "2024-W39"),
    ("1726696800", "1726700400"),
    (1726696800, 1726700400),
    [1726696800.5, 1726700400.5],
    [1726696800000, 1726700400000],
    (START, None),
    (None, "2024-09-18T23:00:00Z"),
    (None, None),
    (START, timedelta(hours=1)),
    ("2024-09-18", "P1D"),
    ("now-1h", "now"),
    ("-24h", "today"),
    [date(2024, 9, 18), date(2024, 9, 19), date(2024, 9, 20)],
    ["2024-09-18", "2024-09-19", "2024-09-20"],
    [DAY],
    {"start": START, "end": END},
    {"Start": "2024-09-18", "End": "2024-09-19"},
    {"start_time": 1726696800, "end_time": 1726700400},
    {"from": 0, "to": 3600},
    {"windowStart": 1.0, "windowEnd": 2.0},
    {"left": START, "right": END},
    DAY,
    "yesterday",
    slice(START, END),
    Period(),
]
OPTIONS: list[Any] = [
    {"mode": "append", "format": "parquet"},
    {"retries": 3, "compress": True},
    {"account": "123456789012"},
    {"tags": {"team": "costs"}},
    {"Tags": {"team": "costs"}},
    {"granularity": Granularity.DAY},
    {"on_error": print, "log": lambda: None},
    {"path": Path("bills.csv")},
    {"Records": [{"body": "{}"}]},
    {"httpMethod": "POST", "headers": {"Host": "kubecost"}, "body": "{}"},
    os.environ,
    configparser.ConfigParser(),
    configparser.ConfigParser()["DEFAULT"],
    argparse.Namespace(rows=3),
    AppSettings(retries=3),
    AllocationStore(),
    Ledger(),
    email.message.Message(),
    MagicMock(),
    MagicMock(spec=list),
    Mock(),
    create_autospec(AllocationSet, instance=True),
    CONNECTION,
    CURSOR,
    io.StringIO("name,cost\ncpu,1\n"),
    io.BytesIO(b"cpu"),
    memoryview(b"cpu"),
    Path("bills.csv"),
    logging.getLogger("program"),
    Granularity.DAY,
    Granularity,
    AllocationSet,
    types.SimpleNamespace(rows=3),
    Bill("cpu", 1.0),
    None,
]


@pytest.mark.parametrize("first", PERIODS + OPTIONS)
def test_argument_that_is_not_a_set_is_skipped(telemetry: Telemetry, warned: Warned, first: Any) -> None:
    """Periods, requests, configurations, options, connections, files and mocks."""
    for rows in (ROWS, ["cpu", "ram", "gpu"], {"cpu": Allocation(), "ram": Allocation(), "gpu": Allocation()}):
        telemetry.asset.save(lambda thing, rows: None)(first, rows)
    assert ([event.size for event in telemetry.events], warned()) == ([3, 3, 3], [])


@pytest.mark.parametrize("only", PERIODS + OPTIONS)
def test_save_without_a_set_has_no_size(telemetry: Telemetry, warned: Warned, only: Any) -> None:
    telemetry.asset.save(lambda thing, count=0: None)(only)
    assert (telemetry.event.size, len(warned())) == (None, 1)


@pytest.mark.parametrize("name", ["options", "columns", "group_columns", "saveConfig", "event", "tags", "headers"])
def test_argument_named_like_options_is_skipped(telemetry: Telemetry, name: str) -> None:
    """With any value, positional or by keyword, and also in `**kwargs`."""
    namespace: dict[str, Any] = {}
    exec(f"def save({name}, rows): ...\ndef save_any(**more): ...", namespace)
    save, save_any = namespace["save"], namespace["save_any"]
    for value in (["a", "b"], {"a": Allocation()}, AllocationSet([1])):
        telemetry.asset.save(save)(value, ROWS)
        telemetry.asset.save(save)(**{name: value}, rows=ROWS)
        telemetry.asset.save(save_any)(**{name: value}, rows=ROWS)
    assert [event.size for event in telemetry.events] == [3] * 9


@pytest.mark.parametrize(
    "args",
    [
        (iter(ROWS), ["name", "cost"]),
        (["name", "cost"], iter(ROWS)),
        (Unsized(), ["name", "cost"]),
        ({"shop": Allocation()}, ["name", "cost"]),
        ({"shop": Allocation()}, {"web": Allocation()}),
        ({"a": 1}, {"b": 2}),
        (["us", "eu"], ["cpu", "ram", "gpu"]),
        (("2024", "2025"), ["cpu", "ram", "gpu"]),
        ([22, 23], ["cpu", "ram", "gpu"]),
        ((22, 23),),
        (("cpu", ROWS),),
        ({"name": ["cpu"], "cost": [1.0]},),
    ],
)
def test_save_whose_set_is_uncertain_has_no_size(telemetry: Telemetry, warned: Warned, args: Any) -> None:
    telemetry.asset.save(lambda *things: None)(*args)
    assert telemetry.event.size is None
    assert "size=" in warned()[0]


def test_default_of_an_argument_is_not_measured(telemetry: Telemetry, warned: Warned) -> None:
    def save(client_path: str, formats: Any = ("csv", "parquet")) -> None: ...

    telemetry.asset.save(save)("bills")
    assert (telemetry.event.size, len(warned())) == (None, 1)


@pytest.mark.parametrize(("path", "value"), [("day", PAIR), ("day[0]", [DAY]), ("day.window", AllocationSet([1]))])
def test_argument_that_holds_the_window_comes_last(telemetry: Telemetry, path: str, value: Any) -> None:
    save: Any = telemetry.asset.save(window=path)(lambda day, rows=None: None)
    save(value, ROWS)
    assert (telemetry.event.size, telemetry.event.window) == (3, DAY)


@pytest.mark.parametrize(
    ("path", "value", "size"),
    [("day", [DAY, DAY], None), ("batch.window", AllocationSet(), 3), ("batch.start", Allocation(), None)],
)
def test_set_that_holds_the_window_is_measured(telemetry: Telemetry, path: str, value: Any, size: int | None) -> None:
    """It is measured if the window is one of its attributes and no other argument is a set."""
    telemetry.asset.save(window=path)(lambda day=None, batch=None: None)(**{path.partition(".")[0]: value})
    assert telemetry.event.size == size


def test_names_that_are_never_the_set_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "decorating.md").read_text(encoding="utf-8")
    words = re.findall(r"`(\w+)`", text.partition("or its last word, is one of")[2].partition("\n\n")[0])
    assert len(words) > 50
    assert [word for word in words if not is_option_name(word)] == []


def test_save_is_measured_before_the_call(telemetry: Telemetry) -> None:
    @telemetry.asset.save
    def drain(rows: list[int]) -> None:
        rows.clear()

    @telemetry.asset.save
    async def adrain(rows: list[int]) -> None:
        rows.clear()

    drain([1, 2, 3])
    asyncio.run(adrain([1, 2, 3]))
    assert [event.size for event in telemetry.events] == [3, 3]
