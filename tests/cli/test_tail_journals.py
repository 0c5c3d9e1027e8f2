"""The command `otel-kcevents tail` on journals."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clients import Stage, log_of, shown_time
from conftest import clean_environment, run_program
from journals import run_of, write
from serving import Run

from otel_kcevents.cli import tail as tail_module
from otel_kcevents.model.event import Event
from otel_kcevents.store.journal import Journal
from otel_kcevents.store.merged_source import merge

Step = Callable[[], object]


class Writer:
    """Writes events to a journal; their times are their sizes."""

    def __init__(self, path: Path, run: str = "a") -> None:
        self.path = path
        self._run = run_of(run)
        self._written = 0

    def __call__(self, *times: int) -> Step:
        return lambda: self.write(*times)

    def write(self, *times: int) -> None:
        write(self.path, self._run, *map(loaded, times), first=self._written + 1)
        self._written += len(times)

    def delete(self, condition: str) -> Step:
        def delete() -> None:
            with closing(sqlite3.connect(self.path)) as connection, connection:
                connection.execute(f"DELETE FROM event WHERE {condition}")

        return delete

    def remove(self) -> None:
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "log.db")


@pytest.fixture
def tail(run: Run, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `tail`: one step during each wait between two reads, and Ctrl-C after the last step.

    Returns:
        The times of the events in the order shown, and the lines of standard error.
    """

    def tail(*steps: Step, argv: tuple[object, ...]) -> tuple[list[int], list[str]]:
        remaining = iter(steps)

        def sleep(seconds: float) -> None:
            step = next(remaining, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(tail_module, "sleep", sleep)
        ran = run("tail", *map(str, argv))
        assert ran.code == 130
        header, *rows = ran.out.splitlines()
        assert header.startswith("TIME ")
        return [int(row.split()[2]) for row in rows], ran.err.splitlines()

    return tail


def loaded(time: int) -> Event:
    return Event("AssetSetLoaded", time, time)


def nothing() -> None:
    """A step in which nothing happens."""


def both(first: Step, second: Step) -> Step:
    """A step that consists of two."""
    return lambda: (first(), second())


@pytest.mark.parametrize(
    ("argv", "first"),
    [((), 1991), (("-n", 0), 2001), (("-n", 1), 2000), (("-n", 1500), 501), (("-n", 2000), 1), (("-n", 9999), 1)],
)
def test_tail_begins_with_the_last_to_arrive(tail: Any, writer: Writer, argv: Any, first: int) -> None:
    writer.write(*range(1, 2001))
    assert tail(nothing, writer(2001), argv=(*argv, writer.path)) == ([*range(first, 2002)], [])


@pytest.mark.parametrize("number", [1, 15, 16, 17, 256, 1015, 1016, 1017, 3500])
def test_every_event_is_shown_however_many_arrive(tail: Any, writer: Writer, number: int) -> None:
    """Once, and in the order of arrival, even if the clock was set back."""
    writer.write(10_000)
    times = [*range(9_999, 9_999 - number, -1)]
    assert tail(writer(*times), nothing, argv=(writer.path,)) == ([10_000, *times], [])


def test_equal_events_of_a_journal_are_all_shown(tail: Any, writer: Writer) -> None:
    writer.write(5, 5)
    assert tail(writer(5, 5), writer(5), argv=(writer.path,)) == ([5] * 5, [])


def test_missing_journal_is_awaited(tail: Any, writer: Writer) -> None:
    """It is not created; when a program creates it, all its events are shown."""
    times, messages = tail(nothing, writer(*range(40)), writer(40), argv=("-n0", writer.path))
    assert times == [*range(41)]
    waiting, found = messages
    assert f"{writer.path} does not exist yet; waiting" in waiting
    assert f"{writer.path} can be read again" in found


def test_waiting_creates_no_file(tail: Any, writer: Writer) -> None:
    tail(nothing, argv=(writer.path,))
    assert [*writer.path.parent.iterdir()] == []


def test_deleted_journal_is_awaited(tail: Any, writer: Writer) -> None:
    """The error and the recovery are each reported once, and the events of the new file are shown."""
    writer.write(1, 2, 3)
    new = Writer(writer.path, "b")
    times, messages = tail(writer.remove, nothing, new(1, 2), argv=(writer.path,))
    assert times == [1, 2, 3, 1, 2]
    missing, found = messages
    assert f"{writer.path} does not exist" in missing
    assert missing.endswith("; still trying")
    assert "can be read again" in found


@pytest.mark.parametrize("number", [1, 2, 5, 40], ids=["fewer events", "as many", "more", "more than a page"])
def test_events_of_a_replaced_journal_are_shown(tail: Any, writer: Writer, number: int) -> None:
    """Even if the new file is there before the old one is missed."""
    writer.write(1, 2)
    new = Writer(writer.path, "b")
    times, messages = tail(both(writer.remove, new(*range(10, 10 + number))), new(99), argv=(writer.path,))
    assert times == [1, 2, *range(10, 10 + number), 99]
    assert messages == []


def test_emptied_journal_starts_again(tail: Any, writer: Writer) -> None:
    """SQLite then numbers the events from 1 again."""
    writer.write(1, 2)
    assert tail(writer.delete("1"), writer(3), argv=(writer.path,)) == ([1, 2, 3], [])


def test_deleted_events_are_reported_as_missed(tail: Any, writer: Writer) -> None:
    """Deleted events that were shown are not."""
    writer.write(1, 2, 3)
    times, messages = tail(
        both(writer(*range(4, 31)), writer.delete("size < 10 OR size = 20")),
        writer.delete("size < 30"),
        both(writer(31), writer.delete("size < 31")),
        argv=(writer.path,),
    )
    assert times == [1, 2, 3, *range(10, 20), *range(21, 32)]
    (message,) = messages
    assert f"missed 7 events of {writer.path}, because it no longer holds them; use a shorter --interval" in message


def test_gaps_in_the_past_are_not_reported(tail: Any, writer: Writer) -> None:
    writer.write(*range(1, 31))
    writer.delete("size IN (5, 25, 29)")()
    times, messages = tail(nothing, argv=(writer.path,))
    assert times == [19, 20, 21, 22, 23, 24, 26, 27, 28, 30]
    assert messages == []


def test_new_events_of_several_sources_are_merged(
    tail: Any, writer: Writer, stage: Stage, url: str, tmp_path: Path
) -> None:
    """By their times, but those of each source in its own order; a source that is given twice is read once."""
    other = Writer(tmp_path / "other.db", "b")
    stage.log = log_of(loaded(3))
    writer.write(1, 5, 2)
    other.write(4)
    times, messages = tail(
        both(both(writer(12, 11), other(10, 14)), lambda: stage.log.append(loaded(13))),
        other(6),
        argv=(writer.path, url, other.path, writer.path),
    )
    assert times == [1, 3, 4, 5, 2, 10, 12, 11, 13, 14, 6]
    assert messages == []


def test_journal_of_a_program_is_followed_by_numbers(tail: Any, writer: Writer, stage: Stage, url: str) -> None:
    """Also if it is started again without the journal: then its log is new."""
    writer.write(1)
    stage.log = Journal(writer.path)
    times, messages = tail(
        writer(*range(2, 1_500)), nothing, lambda: setattr(stage, "log", log_of(loaded(5_000))), argv=(url,)
    )
    assert (times, messages) == ([*range(1, 1_500), 5_000], [])


def test_merged_sources_of_a_program_are_followed(
    tail: Any, writer: Writer, stage: Stage, url: str, tmp_path: Path
) -> None:
    """Their events have no common numbers."""
    other = Writer(tmp_path / "other.db", "b")
    writer.write(1)
    other.write(2)
    stage.log = merge(Journal(writer.path), Journal(other.path))
    assert tail(writer(3), other(4), argv=(url,)) == ([1, 2, 3, 4], [])


def test_unreadable_source_does_not_stop_the_others(tail: Any, writer: Writer, tmp_path: Path) -> None:
    writer.write(1)
    other = Writer(tmp_path / "other.db", "b")
    times, messages = tail(writer(2), other(3), writer(4), argv=(other.path, writer.path))
    assert times == [1, 2, 3, 4]
    assert len(messages) == 2


@pytest.mark.parametrize("content", [b"", b"x" * 5000], ids=["empty", "text"])
def test_tail_refuses_a_file_without_a_journal(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    ran = run("tail", str(tmp_path / "x"))
    assert (ran.code, ran.out) == (2, "")


def test_tail_refuses_another_database(run: Run, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    ran = run("tail", str(tmp_path / "x.db"))
    assert (ran.code, ran.out) == (1, "")
    assert "is a database of another application" in ran.err


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal of POSIX")
def test_tail_of_real_processes_misses_nothing(tmp_path: Path) -> None:
    """It begins before they do, and shows the events of a program and of its worker in the order of arrival."""
    path = tmp_path / "nights.db"
    command = [sys.executable, "-W", "error", "-m", "otel_kcevents", "tail", "--interval=0.01", str(path)]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("TIME ")
            run_program("nights", str(path), "2024-09-01", "1500")
            shown = [process.stdout.readline().split()[:3] for _ in range(23 + 1500 + 1)]
            process.send_signal(signal.SIGINT)
            assert process.stdout.read() == ""
        finally:
            process.kill()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT time, kind, coalesce(size, '-') FROM event ORDER BY id").fetchall()
    assert shown == [[shown_time(time), kind, str(size)] for time, kind, size in rows]
