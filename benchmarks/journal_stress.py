"""Break a journal: `python benchmarks/journal_stress.py [--only PART] [--events N] [--kills N] [--forks N]`.

    events   Four processes with two threads each write N events at full speed; each forks children that write a part of
             them. No event may be lost or doubled, and the counters and numbers must be exact.
    kills    N times, four processes are killed with SIGKILL at a random moment of their writes. Each event whose call
             returned must be in the file, and at most one more of each process.
    forks    Two threads write while the main thread forks N children, which write too.

Each part prints its figures, and fails if an event is not in the file exactly once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
import warnings
from array import array
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import count
from pathlib import Path
from sqlite3 import connect

sys.path.insert(0, str(Path(__file__).parents[1]))  # measure this checkout, not an installed version

from otel_kcevents.model.event import Event
from otel_kcevents.store.journal import Journal
from otel_kcevents.store.log import EventLog

_PROCESSES = 4
_KINDS = ("AllocationSetSaved", "AllocationSetLoaded", "AssetSetSaved", "AssetSetAggregated")
_CHILD_EVENTS = 50
_BLOCK = 10**9  # of sizes, which identify the events, for each process


def main() -> None:
    """Run the parts, each with a journal of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=("events", "kills", "forks"), help="run only this part")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the first part (default: 1,000,000)")
    parser.add_argument("--kills", type=int, default=50, help="rounds of the second part (default: 50)")
    parser.add_argument("--forks", type=int, default=500, help="children of the third part (default: 500)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads
    parts: dict[str, Callable[[Path], str]] = {
        "events": lambda path: write_events(path, arguments.events),
        "kills": lambda path: kill_writers(path, arguments.kills),
        "forks": lambda path: fork_beside_writers(path, arguments.forks),
    }
    for name in arguments.only or parts:
        with tempfile.TemporaryDirectory() as folder:  # which is gone when this process would write its end
            _wait([_fork(lambda: print(f"{name}: {parts[name](Path(folder, 'journal.db'))}", flush=True))])  # noqa: B023


def open_log(path: Path) -> EventLog:
    """Return a log with a journal that keeps all events."""
    log = EventLog()
    log.attach(Journal(path, retention=None))
    return log


def write_events(path: Path, events: int) -> str:
    """Write events from four processes with threads and forks; return the figures."""
    log = open_log(path)
    share = events // _PROCESSES
    times = [path.with_name(f"times-{process}") for process in range(_PROCESSES)]
    begin = time.monotonic()
    _wait(
        [
            _fork(lambda process=process: _write_share(log, process * _BLOCK, share, times[process]))  # type: ignore[misc]
            for process in range(_PROCESSES)
        ]
    )
    seconds = time.monotonic() - begin
    written = check(path, [range(p * _BLOCK, p * _BLOCK + share) for p in range(_PROCESSES)])
    durations = array("d")
    for file in times:
        durations.frombytes(file.read_bytes())
    ordered = sorted(durations)
    ranks = {"median": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    shown = ", ".join(f"{n} {ordered[int(rank * (len(ordered) - 1))] * 1000:.3g} ms" for n, rank in ranks.items())
    return f"{written:,} events, each once, {written / seconds:,.0f} a second; a call takes {shown}"


def _write_share(log: EventLog, first: int, share: int, times: Path) -> None:
    """Write events from two threads and, one after another, from children with two threads."""
    children = max(1, share // 2500)
    own = share - children * _CHILD_EVENTS
    durations = array("d")
    threads = _start_writers(log, [range(first, first + own // 2), range(first + own // 2, first + own)], durations)
    for child in range(children):
        begin = first + own + child * _CHILD_EVENTS
        half = begin + _CHILD_EVENTS // 2
        _wait([_fork(lambda: _join(_start_writers(log, [range(begin, half), range(half, begin + _CHILD_EVENTS)])))])  # noqa: B023
    _join(threads)
    times.write_bytes(durations.tobytes())


def _start_writers(
    log: EventLog, parts: Iterable[range], durations: array[float] | None = None
) -> list[threading.Thread]:
    def write(sizes: range) -> None:
        for size in sizes:
            begin = time.perf_counter()
            append(log, size)
            if durations is not None:
                durations.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=write, args=(sizes,)) for sizes in parts]
    for thread in threads:
        thread.start()
    return threads


def _join(threads: Iterable[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def append(log: EventLog, size: int) -> None:
    """Write an event that its size identifies."""
    log.append(Event(_KINDS[size % len(_KINDS)], time.time_ns(), size))


def kill_writers(path: Path, rounds: int) -> str:
    """Kill four processes in each round; return the figures."""
    log = open_log(path)
    returned, unreturned = 0, 0
    blocks = []
    for round_ in range(rounds):
        pipes, writers = [], []
        for process in range(_PROCESSES):
            reader, writer = os.pipe()
            first = (round_ * _PROCESSES + process) * _BLOCK
            pipes.append((reader, first))
            writers.append(_fork(lambda: _write_for_ever(log, first, writer)))  # noqa: B023
            os.close(writer)
        for reader, _ in pipes:
            assert os.read(reader, 8)  # the first event has been written
        time.sleep(random.uniform(0, 0.1))
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for reader, first in pipes:
            blocks.append((first, 8 + _length(reader)))
    with closing(connect(path)) as database:
        for first, length in blocks:
            sizes = [
                row[0]
                for row in database.execute(
                    "SELECT size FROM event WHERE size >= ? AND size < ? ORDER BY size", (first, first + _BLOCK)
                )
            ]
            assert sizes == list(range(first, first + len(sizes))), "events are missing or doubled"
            assert length // 8 <= len(sizes) <= length // 8 + 1, (length // 8, len(sizes))
            returned += length // 8
            unreturned += len(sizes) - length // 8
    check_numbers(path)
    return f"{rounds} times {_PROCESSES} processes, {returned:,} returned calls, none lost, {unreturned} more events"


def _write_for_ever(log: EventLog, first: int, writer: int) -> None:
    for size in count(first):
        append(log, size)
        os.write(writer, struct.pack("q", size))


def _length(reader: int) -> int:
    length = 0
    while data := os.read(reader, 2**16):
        length += len(data)
    os.close(reader)
    return length


def fork_beside_writers(path: Path, forks: int) -> str:
    """Fork children one after another while two threads write; return the figures."""
    log = open_log(path)
    stop = threading.Event()
    ends = [0, _BLOCK]

    def write(place: int) -> None:
        while not stop.is_set():
            append(log, ends[place])
            ends[place] += 1

    threads = [threading.Thread(target=write, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    durations = []
    for child in range(forks):
        first = (2 + child) * _BLOCK
        begin = time.perf_counter()
        pid = _fork(lambda: _join(_start_writers(log, [range(first, first + 2), range(first + 2, first + 4)])))  # noqa: B023
        durations.append(time.perf_counter() - begin)
        _wait([pid])
    stop.set()
    _join(threads)
    written = check(
        path,
        [
            range(ends[0]),
            range(_BLOCK, ends[1]),
            *(range((2 + n) * _BLOCK, (2 + n) * _BLOCK + 4) for n in range(forks)),
        ],
    )
    durations.sort()
    return (
        f"{forks} forks beside {written - 4 * forks:,} events, each once; a fork takes "
        f"{durations[forks // 2] * 1000:.3g} ms, at most {durations[-1] * 1000:.3g} ms"
    )


def _fork(work: Callable[[], object]) -> int:
    """Do some work in a child, which exits without any call of the package."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def _wait(children: Iterable[int]) -> None:
    """Wait for children; one that hangs stops the program here."""
    for child in children:
        status = os.waitpid(child, 0)[1]
        assert status == 0, f"a child ended with status {status}"


def check(path: Path, sizes: Iterable[range]) -> int:
    """Assert that the journal has the event of each size once, and no other; return their number."""
    expected = sum(map(len, sizes))
    with closing(connect(path)) as database:
        for part in sizes:
            row = database.execute(
                "SELECT count(*), count(DISTINCT size) FROM event WHERE size >= ? AND size < ?", (part.start, part.stop)
            ).fetchone()
            assert row == (len(part), len(part)), f"{len(part)} events of {part}, but the file has {row}"
        (rows,) = database.execute("SELECT count(*) FROM event").fetchone()
    assert rows == expected, f"{expected} events were written, but the file has {rows}"
    check_numbers(path)
    return expected


def check_numbers(path: Path) -> None:
    """Assert that the counters are the numbers of rows, that the numbers have no gaps, and that the runs add up."""
    with closing(connect(path)) as database:
        counted = dict(database.execute("SELECT kind, count FROM counter").fetchall())
        rows = database.execute("SELECT kind, count(*), min(n), max(n) FROM event GROUP BY kind").fetchall()
        assert {kind: (number, 1, number) for kind, number in counted.items()} == {row[0]: row[1:] for row in rows}
        wrong = database.execute(
            "SELECT run.id, tally.count, count(event.id) FROM run JOIN tally ON tally.name = run.id "
            "LEFT JOIN event ON event.run = run.id GROUP BY run.id HAVING tally.count != count(event.id)"
        ).fetchall()
        assert not wrong, wrong
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


if __name__ == "__main__":
    main()
