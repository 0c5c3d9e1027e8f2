"""A journal of a week with problems, to try the page, the command and the queries without data of your own.

    python examples/troubled_week.py week.db && otel-kcevents serve week.db

Two pipelines save hourly and daily sets. An hour is missing, because its run was killed; a set is empty, a
reconciliation failed, a set was saved again after it had been reconciled, a retry succeeded, a backfill failed, and
errors have no window. The journal is written by real processes, whose clocks are set back. With `--running`, the last
one goes on until its standard input ends. The same `--now` writes the same events.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAYS = 8  # so that a range of 7 days is full
MARKUP = "<b>bucket</b> is gone <img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


class Step(NamedTuple):
    """An event: when it happens, whose it is, and the arguments of `emit()`."""

    time: datetime
    etl: str
    outcome: str
    details: dict[str, Any]


class Program(NamedTuple):
    """A run, and how it ends: `ended`, `killed`, `failed`, or `running`, which ends with the standard input."""

    name: str
    start: datetime
    steps: list[Step]
    end: str


def hour_steps(start: datetime, age: int) -> Iterator[Step]:
    """Yield what happens to an hour, which is the *age*-th before the newest one that can be complete."""
    window = start, start + HOUR
    done = start + HOUR + timedelta(minutes=5)
    sizes = random.Random(start.isoformat())
    assets, allocations = sizes.randint(60, 80), sizes.randint(180, 240)
    if age == 28:
        assets = 0
    if age == 70:
        error = TimeoutError("the inventory did not answer within 30 s")
        yield Step(done, "asset", "compute_error", {"window": window, "error": error, "operation": "load"})
        done += timedelta(minutes=10)

    def step(seconds: int, etl: str, outcome: str, **details: Any) -> Step:
        return Step(done + timedelta(seconds=seconds), etl, outcome, {"window": window, **details})

    yield step(20, "asset", "loaded", size=assets)
    yield step(21, "asset", "saved", size=assets)
    yield step(50, "allocation", "loaded", size=allocations)
    if age == 45:
        return  # killed
    yield step(52, "allocation", "saved", size=allocations)
    if age == 9:
        differs = ValueError("the sum is 1204.20 USD, the bill says 1260.00 USD")
        yield step(80, "allocation", "reconcile_error", error=differs)
    else:
        yield step(80, "allocation", "reconciled")
    if age == 33:
        yield step(4 * 3600, "allocation", "saved", size=allocations + 3)
    if age in (14, 15, 16):
        yield Step(
            done + timedelta(minutes=20),
            "allocation",
            "compute_error",
            {"error": KeyError("AWS_REGION"), "operation": "load"},
        )


def day_steps(start: datetime, age: int) -> Iterator[Step]:
    """Yield what happens to a day in the night after it; an *age* of 1 is yesterday."""
    window, done = (start, start + DAY), start + DAY + timedelta(hours=2, minutes=30)
    for seconds, etl, most in ((0, "asset", 90), (30, "allocation", 300)):
        size = random.Random(f"{start} {etl}").randint(most // 2, most)
        if etl == "asset" and age == 5:
            yield Step(
                done, etl, "compute_error", {"window": window, "error": OSError(MARKUP), "operation": "aggregate"}
            )
            continue
        for later, outcome in enumerate(("aggregated", "saved")):
            at = done + timedelta(seconds=seconds + later)
            yield Step(at, etl, outcome, {"window": window, "size": size})


def programs(now: datetime, last: str) -> list[Program]:
    """Return the runs of the week before *now*; the last one ends as *last* says."""
    newest = now.replace(minute=0, second=0, microsecond=0) - HOUR
    today = newest.replace(hour=0)
    hours = [step for age in range(24 * DAYS + 1) for step in hour_steps(newest - age * HOUR, age)]
    days = [step for age in range(1, DAYS + 1) for step in day_steps(today - age * DAY, age)]
    steps = sorted((step for step in hours + days if step.time <= now), key=lambda step: step.time)
    killed = newest - 45 * HOUR + HOUR + timedelta(minutes=6)  # while it saves the allocations of this hour
    failed = today - 3 * DAY + timedelta(hours=23, minutes=40)
    starts = sorted({steps[0].time, *(today - age * DAY for age in range(DAYS)), killed + timedelta(minutes=45)})
    ends = [*starts[1:], now + HOUR]
    found = []
    for start, end in zip(starts, ends, strict=True):
        mine = [step for step in steps if start <= step.time < end]
        how = "killed" if start < killed < end else last if end > now else "ended"
        found.append(Program("costs", start, mine, how))
        if start < failed <= end:
            window = today - 5 * DAY, today - 4 * DAY
            details = {"window": window, "error": OSError(MARKUP), "operation": "aggregate"}
            found.append(Program("backfill", failed, [Step(failed, "asset", "compute_error", details)], "failed"))
    return found


def run_program(file: str, program: Program) -> None:
    """Be one of the programs, at the times of its steps."""
    clock = program.start.timestamp() * 1e9

    def time_ns() -> int:
        nonlocal clock
        clock += 250_000  # each look at the clock takes a quarter of a millisecond
        return int(clock)

    time.time_ns = time_ns
    random.seed(program.start.isoformat())  # for the ids of traces
    from otel_kcevents import allocation, asset, configure, run  # now that the clock is set

    sets = {"asset": asset, "allocation": allocation}
    configure(service_name="costs", log_file=file)
    with run(program.name):
        for step in program.steps:
            clock = step.time.timestamp() * 1e9
            sets[step.etl].emit(step.outcome, **step.details)
        if program.end == "failed":
            raise SystemExit("the backfill has failed")
        if program.end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if program.end == "running":
            print("the last run goes on until its standard input ends", flush=True)
            sys.stdin.read()


def main() -> None:
    """Write the journal, or be one of the programs that write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="the journal to create")
    parser.add_argument(
        "--now", type=datetime.fromisoformat, default=datetime.now(timezone.utc), help="the end of the week"
    )
    parser.add_argument("--running", action="store_true", help="let the last run go on")
    parser.add_argument("--program", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    week = programs(arguments.now.astimezone(timezone.utc), "running" if arguments.running else "ended")
    if arguments.program is not None:
        return run_program(arguments.file, week[arguments.program])
    if Path(arguments.file).exists():
        parser.error(f"{arguments.file} exists; name a new file")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, __file__, arguments.file, "--now", arguments.now.isoformat()]
    for number, program in enumerate(week):
        running = ["--running"] * (program.end == "running")
        subprocess.run(
            [*command, *running, "--program", str(number)],
            env=environment,
            stderr=subprocess.DEVNULL if program.end == "failed" else None,
            check=program.end in ("ended", "running"),
        )


if __name__ == "__main__":
    main()
