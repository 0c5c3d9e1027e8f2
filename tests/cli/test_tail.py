"""The command `otel-kcevents tail`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest
from clients import ASSETS, HOUR, SAVED, TOTALED, Broken, Stage, log_of, shown_time
from serving import Run

from otel_kcevents.cli import follow_documents
from otel_kcevents.cli import tail as tail_module
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.store.log import EventLog

HEADER = "TIME                      KIND                             SIZE  WINDOW                DETAILS\n"

Tail = Any
Step = Callable[[], object]


@pytest.fixture
def tail(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> Tail:
    """Run `tail`: one step during each wait between two reads, and Ctrl-C after the last step."""

    def tail(*steps: Step, argv: tuple[str, ...] = ()) -> Any:
        remaining = iter(steps)

        def sleep(seconds: float) -> None:
            step = next(remaining, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(tail_module, "sleep", sleep)
        ran = run("tail", *argv, url)
        assert ran.code == 130
        return ran

    return tail


@pytest.fixture
def append(stage: Stage) -> Callable[..., Step]:
    def append(*events: Event) -> Step:
        return lambda: [stage.log.append(event) for event in events]

    return append


@pytest.fixture
def swap(stage: Stage) -> Callable[[Any], Step]:
    return lambda log: lambda: setattr(stage, "log", log)


def nothing() -> None:
    """A step in which nothing happens."""


def row(event: Event) -> str:
    """The line of an event with a size and an hour's window."""
    return f"{shown_time(event.time)}  {event.kind:<27}  {event.size:>8}  2022-06-03T10:00Z/1h\n"


def rows(*events: Event) -> str:
    return "".join(map(row, events))


def loaded(time: int) -> Event:
    return Event("AssetSetLoaded", time, time, HOUR)


def test_tail_shows_the_past_and_follows(tail: Tail, stage: Stage, append: Any) -> None:
    """Past events come oldest first, then each new event once; the columns are aligned from the first row on."""
    late = Event(
        "AllocationSetReconcileError", parse_time("2030-01-01T00:00:00.123456789Z"), None, HOUR, Failure("E", "")
    )
    stage.log = log_of(TOTALED, SAVED, ASSETS)
    assert tail(nothing, append(loaded(1), late), nothing, append(loaded(2))) == (
        130,
        HEADER
        + r"""
2022-06-03T16:58:41.285Z  AllocationSetTotaled                -  2022-06-03/1d
2022-06-03T17:07:54.092Z  AllocationSetSaved                 97  2022-06-03T10:00Z/1h
2022-06-03T17:07:54.334Z  AssetSetSaved                      29  2022-06-03T10:00Z/1h
1970-01-01T00:00:00.000Z  AssetSetLoaded                      1  2022-06-03T10:00Z/1h
2030-01-01T00:00:00.123Z  AllocationSetReconcileError         -  2022-06-03T10:00Z/1h  E
1970-01-01T00:00:00.000Z  AssetSetLoaded                      2  2022-06-03T10:00Z/1h
""".lstrip(),
        "",
    )


@pytest.mark.parametrize(
    ("argv", "first"),
    [((), 11), (("-n", "0"), 21), (("-n", "2"), 19), (("-n", "99"), 1)],
    ids=["default", "0", "2", "99"],
)
def test_tail_begins_with_the_last_events(tail: Tail, stage: Stage, argv: tuple[str, ...], first: int) -> None:
    """`-n` sets their number over all lists; the default is ten."""
    stage.log = log_of(*map(loaded, range(1, 21)))
    assert tail(argv=argv).out == HEADER + rows(*map(loaded, range(first, 21)))


def test_tail_of_an_empty_log_waits_for_events(tail: Tail, stage: Stage, append: Any) -> None:
    stage.log = EventLog()
    assert tail(nothing, append(SAVED)) == (130, HEADER + row(SAVED), "")


def test_equal_events_are_all_shown(tail: Tail, stage: Stage, append: Any) -> None:
    stage.log = EventLog()
    assert tail(append(SAVED, SAVED), append(SAVED)).out == HEADER + row(SAVED) * 3


def test_equal_event_that_arrives_later_is_shown(tail: Tail, stage: Stage, append: Any) -> None:
    stage.log = log_of(ASSETS)
    assert tail(nothing, nothing, append(ASSETS)).out == HEADER + rows(ASSETS, ASSETS)


def test_events_of_one_time_keep_their_order(tail: Tail, stage: Stage, append: Any) -> None:
    stage.log = EventLog()
    events = [SAVED._replace(size=size) for size in (3, 1, 2)]
    assert tail(append(*events)).out == HEADER + rows(*events)


class Arrivals:
    """A source that lists its events in the order of their arrival, even if a clock was set back."""

    def __init__(self, *times: int) -> None:
        self.times = [*times]

    def document(self, *selection: Any) -> Document:
        events = tuple(map(loaded, reversed(self.times)))
        return Document({"allocation": (), "asset": events}, {"AssetSetLoaded": len(events)})


def test_clock_step_does_not_change_the_order_of_arrival(tail: Tail, stage: Stage) -> None:
    """The last events are the last to arrive."""
    stage.log = log = Arrivals(100, 101, 102, 50)
    ran = tail(lambda: log.times.extend((103, 60)), argv=("-n", "2"))
    assert ran.out == HEADER + rows(*map(loaded, (102, 50, 103, 60)))


def test_missed_events_are_counted_by_kind(tail: Tail, stage: Stage, append: Any) -> None:
    """The events that the log dropped between two reads are reported before the newer ones are shown."""
    stage.log = log_of(loaded(1), SAVED, retention=2)
    other = SAVED._replace(time=99)
    ran = tail(append(*map(loaded, range(2, 8)), other), append(*map(loaded, (8, 9, 10))))
    first, second = ran.err.splitlines()
    assert "missed 4 AssetSetLoaded events, " in first
    assert "missed 1 AssetSetLoaded event, " in second
    assert first.endswith("; use a shorter --interval")
    assert ran.out == HEADER + rows(loaded(1), SAVED, loaded(6), loaded(7), other, loaded(9), loaded(10))


@pytest.mark.parametrize(
    "second",
    [log_of(), log_of(ASSETS), log_of(SAVED._replace(time=99)), log_of(*map(loaded, range(1, 10)))],
    ids=["nothing yet", "another kind", "as many of the kind", "more"],
)
def test_new_log_is_shown_whole_after_a_restart(
    tail: Tail, stage: Stage, swap: Any, append: Any, second: EventLog
) -> None:
    stage.log = log_of(SAVED)
    lists = second.document().lists
    new = [*sorted(lists["allocation"] + lists["asset"], key=lambda event: event.time), loaded(50)]
    assert tail(swap(second), append(loaded(50))) == (130, HEADER + rows(SAVED, *new), "")


class Workers:
    """Logs of several processes behind one address, which answer in turn."""

    def __init__(self, *logs: EventLog) -> None:
        self._turns = cycle(logs)

    def document(self, *selection: Any) -> Document:
        return next(self._turns).document(*selection)


def test_event_of_several_workers_is_shown_once(tail: Tail, stage: Stage) -> None:
    """Even if the workers have counted different numbers of events, and a third one joins later."""
    first, second, third = log_of(loaded(1), loaded(3)), log_of(loaded(2)), log_of()
    stage.log = Workers(first, second, third)
    turns = 3 * [nothing]
    ran = tail(*turns, lambda: [log.append(loaded(4 + n)) for n, log in enumerate((first, second, third))], *turns * 2)
    assert ran.err == ""
    assert sorted(ran.out.splitlines(keepends=True)[1:]) == [row(loaded(time)) for time in range(1, 7)]


def test_past_events_of_each_worker_are_limited(tail: Tail, stage: Stage) -> None:
    """`-n` applies to each worker; later events are all shown."""
    first, second = log_of(*map(loaded, range(1, 9))), log_of(*map(loaded, (11, 12, 13, 14, 21, 22, 23)))
    first.append(loaded(20))
    stage.log = Workers(first, second)
    ran = tail(nothing, nothing, nothing, argv=("-n", "2"))
    assert (ran.out, ran.err) == (HEADER + rows(*map(loaded, (8, 20, 13, 14, 21, 22, 23))), "")


def test_missed_events_are_counted_for_each_worker(tail: Tail, stage: Stage) -> None:
    first, second = log_of(loaded(1), SAVED, retention=2), log_of(ASSETS, loaded(2), loaded(3))
    stage.log = Workers(first, second)
    ran = tail(nothing, nothing, nothing, lambda: [first.append(loaded(time)) for time in range(10, 15)], nothing)
    [message] = ran.err.splitlines()
    assert "missed 3 AssetSetLoaded events, because" in message


def test_missed_events_are_uncertain_without_a_common_event(tail: Tail, stage: Stage, append: Any) -> None:
    """The same documents may come from two processes, of which the second has dropped events."""
    stage.log = log_of(loaded(1), retention=2)
    ran = tail(append(*map(loaded, range(2, 8))))
    [message] = ran.err.splitlines()
    assert "missed 4 AssetSetLoaded events, unless another process answered" in message
    assert ran.out == HEADER + rows(loaded(1), loaded(6), loaded(7))


def test_unknown_process_misses_no_events(tail: Tail, stage: Stage, swap: Any) -> None:
    """Only the process that answered last is assumed to continue without a common event."""
    stage.log = log_of(loaded(1))
    ran = tail(swap(log_of(SAVED)), swap(log_of(*map(loaded, range(10, 15)), retention=2)))
    assert ran.err == ""
    assert ran.out == HEADER + rows(loaded(1), SAVED, loaded(13), loaded(14))


def test_events_of_many_processes_are_remembered(tail: Tail, stage: Stage) -> None:
    """There are more processes than `tail` keeps track of."""
    stage.log = Workers(*(log_of(loaded(time), loaded(time + 100)) for time in range(1, 41)))
    ran = tail(*[nothing] * 100, argv=("-n", "99"))
    assert ran.err == ""
    assert len(ran.out.splitlines()) == len({*ran.out.splitlines()}) == 1 + 80


def test_memory_for_shown_events_is_bounded(
    tail: Tail, stage: Stage, swap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that no process lists any more are forgotten first; one that is listed again is shown again."""
    monkeypatch.setattr(follow_documents, "MAX_REMEMBERED", 4)
    stage.log = log = log_of(loaded(1), retention=2)
    steps = [lambda time=time: log.append(loaded(time)) for time in range(2, 20)]
    ran = tail(*steps, swap(log_of(loaded(1), loaded(19))))
    assert ran.out == HEADER + rows(*map(loaded, [*range(1, 20), 1]))


def test_unreachable_program_is_tried_again(tail: Tail, stage: Stage, url: str, swap: Any, append: Any) -> None:
    """The error and the recovery are each reported once, and the events of the meantime are shown."""
    stage.log = log = log_of(SAVED)
    broken = Broken()
    ran = tail(swap(broken), nothing, swap(log), append(ASSETS), swap(broken))
    first, second, third = ran.err.splitlines()
    assert first.startswith(f"otel-kcevents: {url} answers 500: ")
    assert first.endswith("; still trying")
    assert f"{url} can be read again" in second
    assert third == first
    assert ran.out == HEADER + rows(SAVED, ASSETS)


@pytest.mark.parametrize(("argv", "seconds"), [((), 1), (("--interval", "0.25"), 0.25)])
def test_tail_reads_every_interval(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], seconds: float
) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tail_module, "sleep", sleep)
    assert run("tail", *argv, url).code == 130
    assert slept == [seconds] * 3


@pytest.mark.parametrize(
    "option",
    ["-n=-1", "-n=x", "-n=1.5", "--interval=0", "--interval=-1", "--interval=nan", "--interval=inf", "--interval=soon"],
)
def test_number_out_of_range_is_a_usage_error(run: Run, url: str, option: str) -> None:
    code, out, err = run("tail", option, url)
    assert (code, out) == (2, "")
    expected = (
        "expected a number from 0 to 1000000000" if option.startswith("-n") else "expected a number from 0.01 to 86400"
    )
    assert f"{expected}, got {option.partition('=')[2]!r}" in err
