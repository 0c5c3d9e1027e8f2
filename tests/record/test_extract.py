"""`otel_kcevents.record.extract`: where a call's window and size come from, by default and by path."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, dataclass
from functools import partial
from typing import Any

import pytest
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.record.extract import Call

NEXT = Window("2022-06-04T00:00:00Z", "2022-06-05T00:00:00Z")
PAIR = ("2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z")


@dataclass(eq=False)
class Batch:
    rows: Any
    window: Any = DAY


class Hostile:
    """Raises if it is read, printed, copied, compared or pickled."""

    def _refuse(self, *args: Any) -> Any:
        raise RuntimeError("touched")

    __repr__ = __str__ = __iter__ = __reduce__ = __reduce_ex__ = __eq__ = __hash__ = __bool__ = _refuse
    __copy__ = __deepcopy__ = __getitem__ = __format__ = _refuse

    def __len__(self) -> int:
        return 5


# The argument named window


def second(rows: Any, window: Any) -> list[int]:
    return [1]


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "window"),
    [
        (second, ([], DAY), {}, DAY),
        (second, ([],), {"window": DAY}, DAY),
        (lambda rows=(), window=DAY: [1], (), {}, DAY),
        (lambda rows=(), window=DAY: [1], ((), NEXT), {}, NEXT),
        (lambda rows=(), window=DAY: [1], (), {"window": NEXT}, NEXT),
        (lambda *rows, window: [1], (1, 2, 3), {"window": DAY}, DAY),
        (lambda *, window=DAY: [1], (), {}, DAY),
        (lambda *, window=DAY: [1], (), {"window": NEXT}, NEXT),
        (lambda window, /: [1], (DAY,), {}, DAY),
        (lambda **options: [1], (), {"window": DAY}, DAY),
        (lambda **options: [1], (), {}, None),
        (lambda rows: [1], ([],), {}, None),
        ([1].copy, (), {}, None),
        (dict[str, Any]().update, (), {"window": DAY}, DAY),
        (partial(second, []), (DAY,), {}, DAY),
        (partial(second, window=DAY), ([],), {}, DAY),
        (partial(second, window=DAY), ([],), {"window": NEXT}, NEXT),
        (second, ([], None), {}, None),
        (second, ([], Window()), {}, Window()),
        (second, ([], PAIR), {}, DAY),
    ],
)
def test_window_is_the_argument_named_window(
    telemetry: Telemetry, warned: Warned, function: Any, args: Any, kwargs: Any, window: Window | None
) -> None:
    """However it is passed, and by default. A call without one has no window, and no warning is logged."""
    telemetry.asset.reconcile(function)(*args, **kwargs)
    assert (telemetry.event.window, warned()) == (window, [])


# Paths and functions of the call


@pytest.mark.parametrize("path", ["batch.window", "result.window", "window.window"])
def test_path_names_window_and_size(telemetry: Telemetry, path: str) -> None:
    @telemetry.asset.save(window=path, size="batch.rows")
    def save(batch: Batch, window: Any) -> Batch:
        return batch

    batch = Batch([1, 2])
    save(batch, batch)
    assert telemetry.event == Event("AssetSetSaved", telemetry.event.time, 2, DAY)


@pytest.mark.parametrize(
    ("window", "expected"),
    [("result.window", None), (lambda call: call.result.window, None), (lambda call: call.arguments["day"], DAY)],
)
def test_failed_call_has_no_result(telemetry: Telemetry, warned: Warned, window: Any, expected: Any) -> None:
    """A window read from the result is omitted without a warning."""

    @telemetry.asset.load(window=window)
    def load(day: Any) -> Batch:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        load(DAY)
    assert (telemetry.event.window, warned()) == (expected, [])


def test_function_of_the_call_sees_arguments_and_result(telemetry: Telemetry) -> None:
    seen: list[Call] = []

    def window(call: Call) -> Any:
        seen.append(call)
        return call.arguments["batch"].window

    def save(batch: Batch, mode: str = "append", *more: int, dry: bool = False, **options: int) -> str:
        return "done"

    decorated = telemetry.asset.save(window=window, size=lambda call: len(call.arguments["batch"].rows))(save)
    batch = Batch([1, 2, 3])
    decorated(batch, extra=5)
    arguments = {"batch": batch, "mode": "append", "more": (), "dry": False, "options": {"extra": 5}}
    assert seen == [Call(save, arguments, "done")]
    assert telemetry.event == Event("AssetSetSaved", telemetry.event.time, 3, DAY)


def test_call_is_frozen() -> None:
    call = Call(second, {"window": DAY})
    with pytest.raises(FrozenInstanceError):
        call.result = 5  # type: ignore[misc]


# Several values


BATCHES = [Batch([1, 2], NEXT), Batch([], None), Batch(None, DAY), Batch(4, PAIR)]


def test_fan_out_sums_sizes_and_covers_windows(telemetry: Telemetry) -> None:
    load: Any = telemetry.asset.load(window="result[*].window", size="result[*].rows")(lambda batches: batches)
    load(BATCHES)
    assert (telemetry.event.size, telemetry.event.window) == (6, Window(DAY.start, NEXT.end))


@pytest.mark.parametrize(("batches", "size"), [([], 0), (None, None)])
def test_fan_out_over_nothing_has_no_window(
    telemetry: Telemetry, warned: Warned, batches: Any, size: int | None
) -> None:
    """An empty list has a size; None has none."""
    load: Any = telemetry.asset.load(window="batches[*].window", size="batches[*].rows")(lambda batches: None)
    load(batches)
    assert (telemetry.event.size, telemetry.event.window, warned()) == (size, None, [])


def stream(batches: Any) -> Iterator[Any]:
    yield from batches


@pytest.mark.parametrize("function", [stream, partial(stream)])
def test_fan_out_reads_every_item_of_a_generator(telemetry: Telemetry, function: Any) -> None:
    load = telemetry.asset.load(window="yield[*].window", size="yield[*].rows")(function)
    list(load([BATCHES[:2], [], BATCHES[3:]]))
    assert (telemetry.event.size, telemetry.event.window) == (6, Window(DAY.start, NEXT.end))


def test_items_of_a_generator_are_not_retained(telemetry: Telemetry) -> None:
    """Except for the last one."""
    load = telemetry.asset.load(window="yield.window", size="yield.rows")(stream)
    alive: weakref.WeakSet[Batch] = weakref.WeakSet()
    for batch in load(Batch([1]) for _ in range(20)):
        alive.add(batch)
        assert len(alive) <= 2
    assert telemetry.event.size == 20


# What cannot be read


def broken(call: Call) -> Any:
    raise LookupError("no such thing")


@pytest.mark.parametrize(
    ("field", "source"),
    [
        ("window", "result.missing"),
        ("window", "result[0][1][2]"),
        ("window", "result"),
        ("window", "result[*]"),
        ("window", broken),
        ("window", lambda call: "someday"),
        ("window", lambda call: 10**5000),
        ("size", "result.missing"),
        ("size", "result[5]"),
        ("size", "result[*][0]"),
        ("size", broken),
        ("size", lambda call: -1),
        ("size", lambda call: 1.5),
    ],
)
def test_field_that_cannot_be_read_is_omitted_with_one_warning(
    telemetry: Telemetry, warned: Warned, field: str, source: Any
) -> None:
    rows = ["a", "b"]
    load: Any = telemetry.asset.load(**{field: source})(lambda: rows)
    assert [load() is rows for _ in range(5)] == [True] * 5
    assert [getattr(event, field) for event in telemetry.events] == [None] * 5
    (warning,) = warned()
    assert warning.startswith(f"{__name__}.")
    assert f"the {field} " in warning


def test_each_function_has_its_own_warning(telemetry: Telemetry, warned: Warned) -> None:
    for name in ("first", "second"):

        def load() -> int:
            return 5

        load.__qualname__ = name
        telemetry.asset.load(load)()
    assert [warning.partition(": ")[0] for warning in warned()] == [f"{__name__}.first", f"{__name__}.second"]


HOSTILE = Hostile()


@pytest.mark.parametrize(
    ("decorate", "size"),
    [
        (lambda asset: asset.save(lambda rows: rows)(HOSTILE), 5),
        (lambda asset: asset.save(lambda *, rows: rows)(rows=HOSTILE), 5),
        (lambda asset: asset.load(lambda: HOSTILE)(), 5),
        (lambda asset: asset.save(fails_when=lambda rows: rows is HOSTILE)(lambda rows: rows)(HOSTILE), None),
    ],
    ids=["argument", "keyword", "result", "failure"],
)
def test_data_is_never_rendered(
    telemetry: Telemetry, warned: Warned, decorate: Callable[[Any], Any], size: int | None
) -> None:
    """An object that cannot be printed, compared or pickled passes through; only its len() is read."""
    assert decorate(telemetry.asset) is HOSTILE
    assert (telemetry.event.size, len(telemetry.spans), warned()) == (size, 1, [])


def test_window_that_cannot_be_printed_is_omitted(telemetry: Telemetry, warned: Warned) -> None:
    assert telemetry.asset.load(lambda window: [1])(HOSTILE) == [1]
    assert (telemetry.event.window, len(warned())) == (None, 1)


@pytest.mark.parametrize("field", ["window", "size"])
@pytest.mark.parametrize(
    ("source", "function", "message"),
    [
        (5, second, r"5 is not a path or a function.* 'result\.rows'"),
        (True, second, r"True is not a path or a function"),
        (PAIR, second, r"is not a path or a function"),
        ("day", second, r"'day' in 'day' is not an argument of second; .* rows, window"),
        ("day", partial(partial(second, [])), r"'day' in 'day' is not an argument of second"),
        (lambda call: call.arguments["day"], max, "max has no signature; use a path"),
    ],
)
def test_wrong_source_is_an_error_at_decoration(
    telemetry: Telemetry, field: str, source: Any, function: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        telemetry.asset.save(**{field: source})(function)
