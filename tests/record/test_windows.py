"""`otel_kcevents.record.windows`: where a call's window comes from, and when it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date, datetime, timezone
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from telemetry import DAY, Telemetry, Warned

from otel_kcevents import keep
from otel_kcevents.model.timestamps import to_ns
from otel_kcevents.model.window import Window
from otel_kcevents.record.windows import cover

NEXT = Window("2022-06-04T00:00:00Z", "2022-06-05T00:00:00Z")
START, END = datetime(2022, 6, 3), datetime(2022, 6, 4)
HOUR = Window("2024-09-18T21:00:00Z", "2024-09-18T22:00:00Z")
SetClock: TypeAlias = Callable[[str], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """A function that sets the clock for relative windows, which starts in the last seconds of HOUR."""

    def set_to(text: str) -> None:
        monkeypatch.setattr("otel_kcevents.model.window.time_ns", lambda: to_ns(text))

    set_to("2024-09-18T21:59:50Z")
    return set_to


# A pair of arguments


@pytest.mark.parametrize(
    "names",
    [
        ("start", "end"),
        ("start_time", "end_time"),
        ("window_start", "window_end"),
        ("data_interval_start", "data_interval_end"),
    ],
)
def test_pair_of_arguments_is_the_window(telemetry: Telemetry, names: tuple[str, str]) -> None:
    """As parameters, positional or by keyword, and in **kwargs."""
    scope: dict[str, Any] = {}
    exec(f"def load({', '.join(names)}): return [1]", scope)
    first, last = names
    telemetry.asset.load(scope["load"])(START, END)
    telemetry.asset.load(scope["load"])(**{last: END, first: START})
    telemetry.asset.load(lambda **options: [1])(**{last: END, first: START})
    telemetry.asset.load(partial(scope["load"], **{last: END}))(START)
    assert [event.window for event in telemetry.events] == [DAY] * 4


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START, date(2022, 6, 4)),
        ("2022-06-03", "2022-06-04 00:00:00 UTC"),
        ("2022-06-03T00:00Z", END.replace(tzinfo=timezone.utc)),
    ],
)
def test_pair_accepts_every_format_of_a_time(telemetry: Telemetry, start: Any, end: Any) -> None:
    telemetry.asset.load(lambda start, end: [1])(start, end)
    assert telemetry.event.window == DAY


def test_pair_may_have_an_open_end(telemetry: Telemetry) -> None:
    load: Any = telemetry.asset.load(lambda start=None, end=None: [1])
    load(START)
    load(end=END)
    load()
    assert [event.window for event in telemetry.events] == [Window(START, None), Window(None, END), None]


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 100), (0.0, 1.0), ("a", "z"), ("10", "20"), (START, 100), (b"", None), (True, False), ([1], [2]), ("", "")],
)
def test_pair_that_holds_no_times_is_omitted_silently(
    telemetry: Telemetry, warned: Warned, start: Any, end: Any
) -> None:
    """Such a pair need not be a window."""
    assert telemetry.asset.load(lambda start, end: [1])(start, end) == [1]
    assert (telemetry.event.window, warned()) == (None, [])


def test_pair_that_ends_before_it_starts_warns(telemetry: Telemetry, warned: Warned) -> None:
    for pair in ((END, START), ("2022-06-04", "2022-06-03")):
        telemetry.asset.load(lambda start, end: [1])(*pair)
    assert [event.window for event in telemetry.events] == [None, None]
    assert [text for text in warned() if "after its end 2022-06-03T00:00:00Z" not in text] == []


def test_window_takes_precedence_over_a_pair(telemetry: Telemetry) -> None:
    load: Any = telemetry.asset.load(lambda window=None, start=None, end=None: [1])
    load(NEXT, START, END)
    load(None, START, END)
    telemetry.asset.load(lambda **options: [1])(window=NEXT, start=START, end=END)
    assert [event.window for event in telemetry.events] == [NEXT, DAY, NEXT]


def test_first_pair_that_holds_times_is_used(telemetry: Telemetry) -> None:
    load: Any = telemetry.asset.load(lambda start, end, window_start, window_end: [1])
    load(0, 100, START, END)
    load(START, END, NEXT.start, NEXT.end)
    assert [event.window for event in telemetry.events] == [DAY, DAY]


@pytest.mark.parametrize(
    "function",
    [lambda start: [1], lambda end: [1], lambda start, end_time: [1], lambda start, stop: [1], lambda **more: [1]],
)
def test_half_a_pair_is_not_a_window(telemetry: Telemetry, warned: Warned, function: Any) -> None:
    telemetry.asset.load(function)(*[START] * function.__code__.co_argcount)
    telemetry.asset.load(lambda **more: [1])(start=START, end_time=END)
    assert ([event.window for event in telemetry.events], warned()) == ([None, None], [])


def test_invalid_window_beside_a_pair_warns(telemetry: Telemetry, warned: Warned) -> None:
    telemetry.asset.load(lambda window, start, end: [1])(5, START, END)
    assert telemetry.event.window is None
    assert "cannot convert 5 to a Window" in warned()[0]


# When it is read


def test_relative_window_is_relative_to_the_start_of_the_call(telemetry: Telemetry, set_clock: SetClock) -> None:
    @telemetry.asset.load
    def load(window: Any) -> list[int]:
        set_clock("2024-09-18T22:00:10Z")
        return [1]

    load("1h")
    assert telemetry.event.window == HOUR


@pytest.mark.parametrize("source", ["result.period", lambda call: "1h", lambda call: call.result and "1h"])
def test_window_of_the_result_is_relative_to_the_start(telemetry: Telemetry, set_clock: SetClock, source: Any) -> None:
    """A relative window is the one that the call worked on."""

    def work() -> SimpleNamespace:
        set_clock("2024-09-18T22:00:10Z")
        return SimpleNamespace(period="1h")

    async def async_work() -> SimpleNamespace:
        return work()

    telemetry.asset.total(window=source)(work)()
    set_clock("2024-09-18T21:59:50Z")
    asyncio.run(telemetry.asset.total(window=source)(async_work)())
    assert [event.window for event in telemetry.events] == [HOUR, HOUR]


def test_window_of_a_failed_call_is_relative_to_its_start(telemetry: Telemetry, set_clock: SetClock) -> None:
    def fail() -> None:
        set_clock("2024-09-18T22:00:10Z")
        raise ValueError("no rows")

    with pytest.raises(ValueError, match="no rows"):
        telemetry.asset.load(window=lambda call: "1h")(fail)()
    assert telemetry.event.window == HOUR


def test_generator_starts_at_its_first_item(telemetry: Telemetry, set_clock: SetClock) -> None:
    @telemetry.asset.load(window=lambda call: "1h")
    def stream() -> Iterator[int]:
        yield 1
        set_clock("2024-09-18T22:00:10Z")
        yield 2

    set_clock("2024-09-18T20:00:00Z")
    steps = stream()
    set_clock("2024-09-18T21:59:50Z")
    assert list(steps) == [1, 2]
    assert telemetry.event.window == HOUR


def test_relative_window_of_a_block_is_relative_to_its_start(telemetry: Telemetry, set_clock: SetClock) -> None:
    with telemetry.asset.save(window="1h"), telemetry.asset.load() as op:
        set_clock("2024-09-18T22:00:10Z")
        op.window = "1h"
    assert [event.window for event in telemetry.events] == [HOUR, HOUR]


def test_window_of_a_block_is_read_at_its_start(telemetry: Telemetry) -> None:
    """If it is incomplete then, or the block sets another one, the window at the end is used."""
    moved: list[Any] = [START, END]
    batch = SimpleNamespace(start=None, end=None)
    with telemetry.asset.save(window=moved):
        moved[:] = [NEXT.start, NEXT.end]
    with telemetry.asset.save(window=batch):
        batch.start, batch.end = START, END
    with telemetry.asset.save(window=NEXT) as op:
        op.window = DAY
    assert [event.window for event in telemetry.events] == [DAY, DAY, DAY]


def test_invalid_window_of_a_block_warns_at_its_end(telemetry: Telemetry, warned: Warned) -> None:
    with telemetry.asset.save(window=5):
        assert warned() == []
    assert "cannot convert 5 to a Window" in warned()[0]


def test_relative_window_of_emit_is_relative_to_its_time(telemetry: Telemetry, set_clock: SetClock) -> None:
    set_clock("2024-09-20T00:00:00Z")
    telemetry.asset.emit("saved", window="1h", time=datetime(2024, 9, 18, 21, 30))
    set_clock("2024-09-18T21:59:50Z")
    telemetry.asset.emit("saved", window="1h")
    assert [event.window for event in telemetry.events] == [HOUR, HOUR]


@pytest.mark.parametrize("path", ["batch.window", "batch.items[0]", "batch.more[window]", "batch.items[*]"])
def test_window_is_read_before_the_call_changes_it(telemetry: Telemetry, path: str) -> None:
    batch = SimpleNamespace(window=DAY, items=[DAY], more={"window": DAY})

    @telemetry.asset.load(window=path)
    def load(batch: Any) -> list[int]:
        batch.window, batch.items[:], batch.more = NEXT, [NEXT], {"window": NEXT}
        return [1]

    load(batch)
    assert telemetry.event.window == DAY


@pytest.mark.parametrize(
    "path", ["into.items[0].window", "into.found.window", "into.more[window]", "into.items[*].window"]
)
def test_window_may_be_set_during_the_call(telemetry: Telemetry, warned: Warned, path: str) -> None:
    """A value that is missing at the start is read again at the end."""

    @telemetry.asset.load(window=path, size="into.items")
    def load(into: Any) -> None:
        into.items.append(SimpleNamespace(window=DAY))
        into.found = into.items[0]
        into.more["window"] = DAY

    load(SimpleNamespace(items=[], more={}))
    load(SimpleNamespace(items=[], more={}, found=None))
    assert [(event.size, event.window) for event in telemetry.events] == [(1, DAY)] * 2
    assert warned() == []


def test_window_set_during_the_call_is_relative_to_the_start(telemetry: Telemetry, set_clock: SetClock) -> None:
    @telemetry.asset.load(window="into[0]")
    def load(into: list[str]) -> None:
        set_clock("2024-09-18T22:00:10Z")
        into.append("1h")

    load([])
    assert telemetry.event.window == HOUR


def test_window_that_stays_missing_warns(telemetry: Telemetry, warned: Warned) -> None:
    @telemetry.asset.load(window="into[0].window")
    def load(into: list[Any], *, fails: bool = False) -> list[int]:
        if fails:
            raise ValueError("no rows")
        return [1]

    with pytest.raises(ValueError, match="no rows"):
        load([], fails=True)
    assert warned() == []
    load([])
    load([])
    assert [event.window for event in telemetry.events] == [None] * 3
    assert len(warned()) == 1
    assert "the window is omitted" in warned()[0]


def test_window_that_is_unreadable_at_the_start_warns(telemetry: Telemetry, warned: Warned) -> None:
    """Only a missing window is read again."""

    @telemetry.asset.load(window="into[*].window")
    def load(into: Any) -> list[int]:
        return [1]

    load("text")
    assert telemetry.event.window is None
    assert "got str" in warned()[0]


def test_missing_argument_is_not_read_again(telemetry: Telemetry) -> None:
    load: Any = telemetry.asset.load(window="day")(lambda day=None: [1])
    load()
    load(DAY)
    assert [event.window for event in telemetry.events] == [None, DAY]


def test_kept_value_is_that_of_an_earlier_call(telemetry: Telemetry) -> None:
    """If there was no earlier call, the value that this call keeps is used."""

    @telemetry.asset.load(window="kept.day_of_test")
    def load(day: Window) -> list[int]:
        keep("day_of_test", day)
        return [1]

    for day in (DAY, NEXT, DAY):
        load(day)
    assert [event.window for event in telemetry.events] == [DAY, DAY, NEXT]


def test_environment_variable_is_read_when_the_call_begins(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, set_clock: SetClock
) -> None:
    @telemetry.asset.load(window="env.COST_WINDOW")
    def load(window: str) -> list[int]:
        set_clock("2024-09-18T22:00:10Z")
        monkeypatch.setenv("COST_WINDOW", window)
        return [1]

    load("1h")
    load("lastmonth")
    assert [event.window for event in telemetry.events] == [HOUR, Window.of("1h")]


# Several windows


@pytest.mark.parametrize(
    ("first", "second", "covered"),
    [
        (None, None, None),
        (None, (START, END), DAY),
        (DAY, None, DAY),
        (DAY, DAY, DAY),
        (NEXT, DAY, Window(DAY.start, NEXT.end)),
        (Window(None, DAY.end), NEXT, Window(None, NEXT.end)),
        (DAY, Window(NEXT.start, None), Window(DAY.start, None)),
        (Window(DAY.start, None), Window(None, DAY.end), Window()),
    ],
)
def test_cover_is_the_smallest_window_around_both(first: Any, second: Any, covered: Any) -> None:
    """An open end stays open."""
    assert cover(first, second) == covered
