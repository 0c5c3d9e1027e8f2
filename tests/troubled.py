"""Programs with a journal whose file is in trouble, what they emit, and what reaches the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import connect

from waits import waited

from otel_kcevents import EventLog, Journal, RecordSet
from otel_kcevents.store.run_end import end_run

TESTS = Path(__file__).parent


class TroubledProgram:
    """A log with a journal. Each event has another size, so that a lost or doubled one is noticed.

    Attributes:
        longest: How long the longest call so far has waited, in seconds.
        total: How long all calls have waited.
    """

    def __init__(self, path: str | Path) -> None:
        self.log = EventLog(retention=20_000)
        self.journal = Journal(path)
        self.asset = RecordSet("asset", "AssetSet", log=self.log)
        start = waited()
        self.log.attach(self.journal)
        self.longest = self.total = waited() - start

    def emit(self, first: int, count: int) -> None:
        """Emit events of the sizes *first*, *first* + 1 and so on."""
        for size in range(first, first + count):
            start = waited()
            self.asset.emit("saved", size=size)
            duration = waited() - start
            self.longest = max(self.longest, duration)
            self.total += duration

    def catch_up(self) -> None:
        """Write what waits, as the end of the process does."""
        end_run("ended", is_final=False)


def sizes_in(path: str | Path) -> list[int]:
    """Return the sizes of the events in a journal, and check its counter."""
    with closing(connect(path)) as connection:
        connection.execute("BEGIN")
        sizes = [size for (size,) in connection.execute("SELECT size FROM event ORDER BY size")]
        assert connection.execute("SELECT kind, count FROM counter").fetchall() == [("AssetSetSaved", len(sizes))]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return sizes


class Writer:
    """A `TroubledProgram` in a process of its own."""

    def __init__(self, path: str | Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", TESTS / "programs" / "journal_writer.py", str(path)],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._answer() == "ready\n"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def emit(self, first: int, count: int) -> float:
        """Emit events; return how long all calls so far have waited, in seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"EMIT {first} {count}\n")
        self.process.stdin.flush()
        return float(self._answer().split()[1])

    def end(self) -> list[str]:
        """Let the program end; return the lines that it wrote to stderr."""
        return self.process.communicate()[1].splitlines()


@contextmanager
def other_process(code: str, *args: str | Path) -> Iterator[Callable[[], None]]:
    """Run code in another process that prints a line when it is ready; yield a function that ends it."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", code, *map(str, args)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()

        def end() -> None:
            process.kill()
            process.wait()

        try:
            yield end
        finally:
            end()


HOLD_FLOCK = """
import fcntl, sys
file = open(sys.argv[1] + "-lock", "a")
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
input()
"""
HOLD_SQLITE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print(flush=True)
input()
"""
HOLD_READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM event").fetchone()
print(flush=True)
input()
"""
