"""Promises of `otel_kcevents.record.extract`: where a call's window and size come from, and what a wrong name says."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Any, NamedTuple

import pytest
from conftest import Telemetry
from hypothesis import given
from hypothesis import strategies as st

from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.record import extract
from otel_kcevents.record.extract import Call, result_size, to_size, window_reader

DAY = Window("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
NEXT = Window("2022-06-04T00:00:00Z", "2022-06-05T00:00:00Z")
PAIR = ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")
Warned = Callable[[], list[str]]


@dataclass
class Batch:
    rows: list[int]
    window: Any = DAY


class Hostile:
    """What breaks whoever reads, prints, copies, compares or pickles it."""

    def _refuse(self, *args: Any) -> Any:
        raise RuntimeError("never to be touched")

    __repr__ = __str__ = __iter__ = __reduce__ = __reduce_ex__ = __eq__ = __hash__ = __bool__ = _refuse
    __copy__ = __deepcopy__ = __getitem__ = __format__ = _refuse

    def __len__(self) -> int:
        return 5


def read(source: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a source reads from one call, which returned its batch."""
    return window_reader(source, function).read(args, kwargs, Batch([1, 2, 3]))  # type: ignore


# The argument named window


def plain(window: Any) -> list[int]:
    return [1]


def second(rows: Any, window: Any) -> list[int]:
    return [1]


def default(rows: Any = (), window: Any = DAY) -> list[int]:
    return [1]


def keyword_only(*rows: Any, window: Any) -> list[int]:
    return [1]


def keyword_default(*, window: Any = DAY) -> list[int]:
    return [1]


def any_keyword(**options: Any) -> list[int]:
    return [1]


def positional_only(window: Any, /) -> list[int]:
    return [1]


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "window"),
    [
        (plain, (DAY,), {}, DAY),
        (plain, (), {"window": DAY}, DAY),
        (second, ([], DAY), {}, DAY),
        (second, ([],), {"window": DAY}, DAY),
        (default, (), {}, DAY),
        (default, ((), NEXT), {}, NEXT),
        (default, (), {"window": NEXT}, NEXT),
        (keyword_only, (1, 2, 3), {"window": DAY}, DAY),
        (keyword_default, (), {}, DAY),
        (keyword_default, (), {"window": NEXT}, NEXT),
        (any_keyword, (), {"window": DAY}, DAY),
        (any_keyword, (), {}, None),
        (positional_only, (DAY,), {}, DAY),
        (lambda rows: rows, ([],), {}, None),
        (list, None, {}, None),
        (partial(second, []), (DAY,), {}, DAY),
        (partial(second, window=DAY), ([],), {}, DAY),
        (partial(second, window=DAY), ([],), {"window": NEXT}, NEXT),
    ],
)
def test_the_window_is_the_argument_named_window(
    pipeline: Telemetry, warned: Warned, function: Any, args: Any, kwargs: dict[str, Any], window: Window | None
) -> None:
    """However it is passed, its default included; a function without one has no window, without a warning."""
    if args is None:
        function, args = [1].copy, ()
    pipeline.asset.reconcile(function)(*args, **kwargs)
    assert (pipeline.event.window, warned()) == (window, [])


@pytest.mark.parametrize("window", [None, Window()], ids=repr)
def test_no_window_is_no_window(pipeline: Telemetry, warned: Warned, window: Any) -> None:
    """None where a window was expected is left out without a word; one open at both ends is one."""
    pipeline.asset.load(plain)(window)
    assert (pipeline.event.window, warned()) == (window, [])


class Limits(NamedTuple):
    start: Any
    end: Any


@dataclass
class Named:
    start_time: Any
    end_time: Any


WINDOWS: list[Any] = [
    DAY,
    PAIR,
    list(PAIR),
    (datetime(2022, 6, 3), datetime(2022, 6, 4)),
    (datetime(2022, 6, 3, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2022, 6, 4, tzinfo=timezone.utc)),
    (date(2022, 6, 3), date(2022, 6, 4)),
    date(2022, 6, 3),
    "2022-06-03T00:00:00Z,2022-06-04T00:00:00Z",
    "1654214400,1654300800",
    Limits(*PAIR),
    Named(*PAIR),
]


@pytest.mark.parametrize("window", WINDOWS, ids=repr)
def test_whatever_means_a_window_is_one(pipeline: Telemetry, warned: Warned, window: Any) -> None:
    """A Window, a pair, a text of the product's forms, a date, an object with two ends."""
    pipeline.asset.load(plain)(window)
    assert (pipeline.event.window, warned()) == (DAY, [])


def test_a_pandas_interval_or_period_is_a_window(pipeline: Telemetry, warned: Warned) -> None:
    """What pandas users have at hand."""
    pandas = pytest.importorskip("pandas")
    load = pipeline.asset.load(plain)
    load(pandas.Interval(*map(pandas.Timestamp, ("2022-06-03", "2022-06-04"))))
    load(pandas.Period("2022-06-03", "D"))
    assert ([event.window for event in pipeline.events], warned()) == ([DAY, DAY], [])


# Paths


def configured(config: Any, *more: Any, batch: Any = None, **options: Any) -> None:
    """Has an argument of every sort."""


CONFIG = {"params": [[7, 8], "x"], "day": DAY}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("config[params][0][1]", 8),
        ("config[day].start_text", PAIR[0]),
        ("config", CONFIG),
        ("more", (1, 2)),
        ("more[1]", 2),
        ("batch.rows", [4]),
        ("batch.rows[0]", 4),
        ("options", {"period": DAY}),
        ("options[period]", DAY),
        ("period", DAY),
        ("period.start_text", PAIR[0]),
        ("result.rows", [1, 2, 3]),
        ("result.rows[2]", 3),
        ("result.__class__", Batch),
    ],
)
def test_a_path_is_pythons_own_format_field(path: str, value: Any) -> None:
    """Attributes, keys and indexes, over the arguments by name and `result`."""
    assert read(path, configured, CONFIG, 1, 2, batch=Batch([4]), period=DAY) == value


@given(st.lists(st.sampled_from(["a", "b"]) | st.integers(0, 1), max_size=5))
def test_a_path_reads_what_format_reads(keys: list[str | int]) -> None:
    """Whatever the nesting, a path finds what `str.format` finds."""

    @dataclass
    class Leaf:
        name: str = "leaf"

    value: Any = Leaf()
    for key in reversed(keys):
        value = {key: value} if isinstance(key, int) else Batch(value, {key: value})
    path = "rows" + "".join(f"[{key}]" if isinstance(key, int) else f".window[{key}]" for key in keys) + ".name"
    found = window_reader(path, lambda rows: None).read((value,), {}, None)  # type: ignore
    assert found == f"{{{path}}}".format(rows=value) == "leaf"


@pytest.mark.parametrize("path", ["batch.window", "result.window", "window.window"])
def test_a_path_names_the_window(pipeline: Telemetry, path: str) -> None:
    """In an argument or in what the call returns."""

    @pipeline.asset.save(window=path, size="batch.rows")
    def save(batch: Batch, window: Any) -> Batch:
        return batch

    batch = Batch([1, 2])
    save(batch, batch)
    assert pipeline.event == Event("AssetSetSaved", pipeline.event.time, 2, DAY)


def test_a_path_into_the_result_is_not_followed_where_there_is_none(pipeline: Telemetry, warned: Warned) -> None:
    """A call that failed has no result, which is worth no warning."""

    @pipeline.asset.load(window="result.window", size="result.rows")
    def load() -> Batch:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        load()
    assert (pipeline.event.window, warned()) == (None, [])


# Functions of the call


def test_a_function_of_the_call_sees_arguments_and_result(pipeline: Telemetry) -> None:
    """Arguments are by name with their defaults filled in, the result is what was returned."""
    seen: list[Call] = []

    def window(call: Call) -> Any:
        seen.append(call)
        return call.arguments["batch"].window

    def save(batch: Batch, mode: str = "append", *more: int, dry: bool = False, **options: int) -> str:
        return "done"

    decorated = pipeline.asset.save(window=window, size=lambda call: len(call.arguments["batch"].rows))(save)
    batch = Batch([1, 2, 3])
    decorated(batch, extra=5)
    arguments = {"batch": batch, "mode": "append", "more": (), "dry": False, "options": {"extra": 5}}
    assert seen == [Call(save, arguments, "done")]
    assert pipeline.event == Event("AssetSetSaved", pipeline.event.time, 3, DAY)


def test_a_function_of_a_failed_call_sees_no_result(pipeline: Telemetry) -> None:
    """The window of a failure may come from its arguments."""

    @pipeline.asset.save(window=lambda call: call.arguments["day"] if call.result is None else None)
    def save(day: Any) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        save(DAY)
    assert pipeline.event.window == DAY


# Sizes


class Method:
    def __init__(self, pipeline: Telemetry) -> None:
        self.save: Any = pipeline.asset.save(self.plain)

    def __len__(self) -> int:
        return 99

    def plain(self, rows: Any) -> None: ...


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
        (lambda *sets: None, ([1, 2], [3]), {}, 2),
        (lambda **sets: None, (), {"first": [1, 2], "second": [3]}, 2),
        (lambda *batches, window: None, (5, [1, 2]), {"window": PAIR}, 2),
        (lambda period, rows=(1, 2, 3): None, ((DAY.start, DAY.end),), {}, 3),
        (lambda rows=(1, 2, 3): None, (range(4),), {}, 4),
        (lambda rows=(1, 2, 3), more=(4,): None, (5,), {}, 1),
        (partial(into, "bills.csv"), ([1, 2],), {}, 2),
    ],
)
def test_a_saves_size_is_that_of_its_first_sized_argument(
    pipeline: Telemetry, function: Any, args: Any, kwargs: Any, size: int
) -> None:
    """Its own object, a text and the window are no sets."""
    pipeline.asset.save(function)(*args, **kwargs)
    assert pipeline.event.size == size


def test_the_window_named_by_a_path_is_no_set_either(pipeline: Telemetry) -> None:
    """A pair in another argument is passed over where that is the window."""
    save: Any = pipeline.asset.save(window="day")(lambda day, rows: None)
    save(PAIR, [1])
    assert pipeline.event == Event("AssetSetSaved", pipeline.event.time, 1, DAY)


def test_a_save_that_empties_its_set_has_the_size_that_it_had(pipeline: Telemetry) -> None:
    """It is measured before the call, in a coroutine too."""

    @pipeline.asset.save
    def drain(rows: list[int]) -> None:
        rows.clear()

    @pipeline.asset.save
    async def adrain(rows: list[int]) -> None:
        rows.clear()

    drain([1, 2, 3])
    asyncio.run(adrain([1, 2, 3]))
    assert [event.size for event in pipeline.events] == [3, 3]


def test_a_window_in_the_middle_of_an_argument_is_no_set_either(pipeline: Telemetry) -> None:
    """The argument that the path begins with is passed over."""
    save: Any = pipeline.asset.save(window="days[0]")(lambda days, rows: None)
    save([DAY], [1, 2, 3])
    assert pipeline.event.size == 3


def test_a_function_of_the_call_is_refused_where_the_arguments_are_unknown(pipeline: Telemetry) -> None:
    """A function in C may not tell them."""
    with pytest.raises(TypeError, match="max has no signature; use a path instead of"):
        pipeline.asset.load(window=lambda call: call.arguments["day"])(max)


@pytest.mark.parametrize("operation", ["load", "aggregate"])
def test_a_load_or_aggregate_has_the_size_of_its_result(pipeline: Telemetry, operation: str) -> None:
    """Of what is returned, the `len()`."""
    getattr(pipeline.asset, operation)(lambda: {"a": 1, "b": 2})()
    assert pipeline.event.size == 2


def test_sizes_are_taken_of_pandas_too(pipeline: Telemetry) -> None:
    """A DataFrame's size is its number of rows."""
    pandas = pytest.importorskip("pandas")
    pipeline.asset.save(lambda rows: None)(pandas.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}))
    assert pipeline.event.size == 3


class Integer:
    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("value", "size"), [(0, 0), (2**63 - 1, 2**63 - 1), (Integer(), 7), ([1, 2], 2), ({}, 0)], ids=repr
)
def test_a_size_is_a_whole_number_or_a_len(value: Any, size: int) -> None:
    """A number as it is, of a set its `len()`."""
    assert to_size(value) == size


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "-1 is not a size; expected an integer from 0 to 9223372036854775807"),
        (2**63, ValueError, "9223372036854775808 is not a size"),
        (True, TypeError, r"True is not a size; expected an integer or something with len\(\)"),
        (1.5, TypeError, "float"),
        (None, TypeError, "NoneType"),
    ],
)
def test_what_is_no_size_is_refused(value: Any, error: type[Exception], message: str) -> None:
    """The error shows the value."""
    with pytest.raises(error, match=message):
        to_size(value)


# What can not be read


def broken(call: Call) -> Any:
    raise LookupError("no such thing")


@pytest.mark.parametrize(
    ("field", "source"),
    [
        ("window", "result.missing"),
        ("window", "result[0][1]"),
        ("window", "result"),
        ("window", broken),
        ("window", lambda call: "someday"),
        ("window", lambda call: 10**5000),
        ("size", "result.missing"),
        ("size", "result[5]"),
        ("size", broken),
        ("size", lambda call: -1),
        ("size", lambda call: None),
        ("size", lambda call: 1.5),
    ],
)
def test_what_can_not_be_read_is_left_out_with_one_warning(
    pipeline: Telemetry, warned: Warned, field: str, source: Any
) -> None:
    """One for the function however often, and the call's result is untouched."""
    rows = ["a", "b"]
    load: Any = pipeline.asset.load(**{field: source})(lambda: rows)
    assert [load() is rows for _ in range(5)] == [True] * 5
    assert {getattr(event, field) for event in pipeline.events} == {None}
    assert len(pipeline.events) == 5
    (warning,) = warned()
    assert f": the {field} is omitted (logged once per function): " in warning
    assert warning.startswith(f"{__name__}.")


def test_each_function_has_a_warning_of_its_own(pipeline: Telemetry, warned: Warned) -> None:
    """Another function's trouble is told as well."""
    for name in ("first", "second"):

        def load() -> int:
            return 5

        load.__qualname__ = name
        decorated = pipeline.asset.load(load)
        assert (decorated(), decorated()) == (5, 5)
    assert [warning.partition(": ")[0] for warning in warned()] == [f"{__name__}.first", f"{__name__}.second"]


def test_a_save_of_no_set_says_what_to_do(pipeline: Telemetry, warned: Warned) -> None:
    """Without a sized argument, it wants to be told where the size is."""
    pipeline.asset.save(into)("bills.csv", rows=iter([1]))
    assert pipeline.event.size is None
    assert warned()[0].endswith("no argument has a len(); name one with size=")


@pytest.mark.parametrize("place", ["argument", "keyword", "result", "window", "both"])
def test_nothing_is_ever_serialised(pipeline: Telemetry, warned: Warned, place: str) -> None:
    """What can't be printed, read, compared or pickled passes through, its `len()` alone is taken."""
    hostile = Hostile()
    if place == "argument":
        assert pipeline.asset.save(lambda rows: rows)(hostile) is hostile
    elif place == "keyword":
        assert pipeline.asset.save(lambda *, rows: rows)(rows=hostile) is hostile
    elif place == "result":
        assert pipeline.asset.load(lambda: hostile)() is hostile
    elif place == "window":
        assert pipeline.asset.load(plain)(hostile) == [1]
    else:
        decorated: Any = pipeline.asset.save(fails_when=lambda result: result is hostile)(lambda rows: rows)
        assert decorated(hostile) is hostile
    assert len(pipeline.events) == len(pipeline.spans) == 1
    assert len(warned()) == (place == "window")
    assert pipeline.event.size == {"window": 1, "both": None}.get(place, 5)


def test_a_set_whose_len_raises_is_left_out(pipeline: Telemetry, warned: Warned) -> None:
    """Its trouble stays in here."""

    class Broken:
        def __len__(self) -> int:
            raise OSError("disconnected")

    pipeline.asset.save(into)("bills.csv", Broken())
    assert pipeline.event.size is None
    assert warned()[0].endswith(": disconnected")


# At decoration


@pytest.mark.parametrize("field", ["window", "size"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("day", r"'day' in 'day' is not an argument of second; .*rows, window"),
        ("day.start", r"'day' in 'day.start' is not an argument of second; .*rows, window"),
        ("", r"'' is not a path: .*position 0"),
        ("0", r"'0' is not a path: "),
        ("[0]", r"is not a path"),
        ("rows..a", r"'rows..a' is not a path: .*position 4; write it like"),
        ("rows[0", r"'rows\[0' is not a path: .*position 4; write it like"),
        ("rows!r", r"'rows!r' is not a path: .*position 4"),
        (5, r"5 is not a path or a function of the call"),
        (PAIR, r"is not a path or a function"),
    ],
)
def test_a_wrong_source_is_refused_at_decoration(pipeline: Telemetry, field: str, source: Any, message: str) -> None:
    """The error names what is wrong and what there is."""
    decorate = pipeline.asset.save(**{field: source})
    with pytest.raises(TypeError, match=message):
        decorate(second)


def test_a_function_without_arguments_has_no_name_but_result(pipeline: Telemetry) -> None:
    """Its parameters are none, not unknown."""
    with pytest.raises(TypeError, match=r"'day' in 'day' is not an argument of .*<lambda>; .*none"):
        pipeline.asset.load(window="day")(lambda: [])


def test_an_object_is_named_by_its_class(pipeline: Telemetry) -> None:
    """Behind a partial too."""

    class Saver:
        def __call__(self, rows: Any) -> None: ...

    with pytest.raises(TypeError, match=r"is not an argument of .*Saver; .*rows"):
        pipeline.asset.save(window="day")(partial(Saver()))


def test_a_function_in_c_may_take_any_name(pipeline: Telemetry) -> None:
    """One that does not tell its signature is taken at the caller's word."""
    held: dict[str, Any] = {}
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(held.update)
    update: Any = pipeline.asset.save(window="period", size="rows")(held.update)
    update(period=DAY, rows=[1, 2])
    assert pipeline.event == Event("AssetSetSaved", pipeline.event.time, 2, DAY)
    first: Any = pipeline.asset.aggregate(size="rows")(held.update)
    first(window=NEXT, rows=[1])
    assert pipeline.events[-1] == Event("AssetSetAggregated", pipeline.events[-1].time, 1, NEXT)


def test_every_public_name_is_there() -> None:
    """`__all__` is sorted and right."""
    assert extract.__all__ == sorted(extract.__all__, key=lambda name: (name[0].islower(), name))
    assert all(hasattr(extract, name) for name in extract.__all__)


def test_a_call_is_frozen() -> None:
    """What a function of the call gets is its to read, not to change."""
    call = Call(plain, {"window": DAY})
    arguments: Mapping[str, Any] = call.arguments
    assert (arguments["window"], call.result) == (DAY, None)
    with pytest.raises(AttributeError):
        call.result = 5  # type: ignore[misc]


@pytest.mark.parametrize("text", ["3", b"97"])
def test_a_text_is_no_size(text: Any) -> None:
    """A number in a text is refused, not counted by its characters; so is a text that a load returns."""
    for size in (to_size, lambda value: result_size((), {}, value)):
        with pytest.raises(TypeError, match="is not a size; expected an integer"):
            size(text)
