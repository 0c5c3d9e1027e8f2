"""A journal: the price of a call, four processes that write at full speed, and what many events in the file cost."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count, cycle, islice
from tempfile import TemporaryDirectory
from time import perf_counter, perf_counter_ns, time_ns
from typing import Any

from benchmarks.document import events
from benchmarks.measure import (
    ROOT,
    Rounds,
    Row,
    alternate,
    child_environment,
    repeat_call,
    resident_memory,
    run_child,
)
from benchmarks.pipeline import WINDOW, set_up
from benchmarks.price import journal_row
from otel_kcevents import EventLog, Journal

__all__ = ["rows"]

_PROCESSES = 4


def rows(quick: bool) -> Iterator[Row]:
    """Measure the price of a call in one process, then fill a journal with four, and measure what it costs now."""
    yield journal_row(quick)
    rounds, each, few = (2, 1_000, 500) if quick else (5, 50_000, 10_000)
    with TemporaryDirectory() as folder:
        path = f"{folder}/kcevents.db"
        yield from _written_by_four(path, rounds, each, few)
        total = f"{rounds * each * _PROCESSES:,}"
        documents = run_child("-m", "benchmarks.journal", "document", path, "3" if quick else "15")
        yield Row(f"the log document from a journal of {total} events, to bytes", "", documents, "ms", "50")
        numbers = ("3", "100") if quick else ("31", "300")
        costs = run_child("-m", "benchmarks.journal", "calls", path, f"{folder}/small.db", str(few), *numbers)
        yield Row(f"a call with a journal of {total} events", f"of {few:,}", costs, "µs", "1.10")


def _written_by_four(path: str, rounds: int, each: int, few: int) -> Iterator[Row]:
    """Let four processes write to one journal at the same time, and count what is in it afterwards."""
    command = [sys.executable, "-m", "benchmarks.journal", "write", path, str(few)]
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen(command, cwd=ROOT, env=child_environment(), stdin=pipe, stdout=pipe, text=True)
        for _ in range(_PROCESSES)
    ]
    before = [_read(writer) for writer in writers]
    rates, slow = [], []
    for _ in range(rounds):
        for writer in writers:
            _send(writer, each)
        answers = [_read(writer) for writer in writers]
        duration = max(answer["end"] for answer in answers) - min(answer["start"] for answer in answers)
        rates.append([_PROCESSES * each / duration * 1e9])
        slowest = sorted(time for answer in answers for time in answer["slowest"])
        slow.append([slowest[-max(1, _PROCESSES * each // 1000)]])
    for writer in writers:
        _send(writer, 0)
    memory = [(_read(writer), memory) for writer, memory in zip(writers, before, strict=True)]
    for writer in writers:
        writer.communicate()
    what = f"{_PROCESSES} processes that write to one journal at full speed"
    yield Row(f"{what}: events per second", "", rates, "/s", "at least 15,000")
    yield Row(f"{what}: 99.9 % of the calls take at most", "", slow, "ms", "20")
    expected = _PROCESSES * (rounds * each + few)
    yield Row(f"{what}: events lost or doubled, of {expected:,}", "", [[_lost(path, expected)]], "", "0")
    yield Row("memory of one of them at the end", f"after {few:,} events of its own", memory, "MiB", "1.05")


def _send(writer: subprocess.Popen[str], number: int) -> None:
    assert writer.stdin
    writer.stdin.write(f"{number}\n")
    writer.stdin.flush()


def _read(writer: subprocess.Popen[str]) -> Any:
    assert writer.stdout
    return json.loads(writer.stdout.readline())


def _lost(path: str, expected: int) -> int:
    """Return by how many the counters, the rows or the distinct events of a journal differ from what was written."""
    with closing(sqlite3.connect(path)) as connection:
        rows, distinct = connection.execute("SELECT count(*), count(DISTINCT run || span_id) FROM event").fetchone()
    return max(abs(expected - number) for number in (rows, distinct, sum(Journal(path).counts().values())))


def _write(path: str, few: int) -> None:
    """Write events, as many as each line of stdin says; 0 ends the process."""
    log, numbers = EventLog(), count(1)
    log.attach(Journal(path))
    kept = cycle(events(64))

    def write(number: int) -> list[int]:
        times = []
        for event, span_id in zip(islice(kept, number), numbers, strict=False):
            event = event._replace(time=time_ns())
            start = perf_counter_ns()
            log.append(event, span_id, span_id << 64)
            times.append(perf_counter_ns() - start)
        return times

    write(few)
    _print(resident_memory())
    while number := int(sys.stdin.readline()):
        start = time_ns()
        times = write(number)
        slowest = sorted(times)[-max(1, number // 100) :]  # more than enough for 0.1 % of the calls of all processes
        _print({"start": start, "end": time_ns(), "slowest": [time / 1e6 for time in slowest]})
        del times, slowest
    _print(resident_memory())


def _documents(path: str, rounds: int) -> Rounds:
    """Measure how many milliseconds documents take."""
    journal, measured = Journal(path), []
    for _ in range(rounds):
        start = perf_counter()
        journal.document().to_json().encode()
        measured.append([(perf_counter() - start) * 1e3])
    return measured


def _calls(large: str, small: str, few: int, rounds: int, calls: int) -> Rounds:
    """Measure calls with a large journal and with a small one, in turn."""
    loads = [set_up("none", path).decorated() for path in (large, small)]
    for _ in range(few):
        loads[1](WINDOW)
    return alternate([repeat_call(load, WINDOW) for load in loads], rounds, calls)


def _print(value: object) -> None:
    print(json.dumps(value), flush=True)


def _main(role: str, path: str, *arguments: str) -> None:
    if role == "write":
        _write(path, int(arguments[0]))
    elif role == "document":
        _print(_documents(path, int(arguments[0])))
    else:
        small, *numbers = arguments
        _print(_calls(path, small, *map(int, numbers)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
