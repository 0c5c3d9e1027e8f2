"""A cost ETL over a cloud bill in the FOCUS 1.0 format, instrumented with otel_kcevents.

    python examples/focus_etl.py [BILL] [--db PATH] [--log PATH] [--serve [PORT]] [--quiet] [--strict]

It splits the bill into hourly allocation sets (by sub account and service) and asset sets (by resource), saves them
in SQLite, loads them back, aggregates and totals them by day, and reconciles each day: allocations with assets, and
both with the bill. The decorators add a span, an event and a count for each set. A day that does not add up produces
an `AllocationSetReconcileError` and an `AssetSetReconcileError`, and the run continues. All spans are one trace.

With `--log kcevents.db`, the events are also kept in that file, beside those of earlier runs: `otel-kcevents runs
kcevents.db` lists the runs, and `otel-kcevents log --run last --errors --traces kcevents.db` what failed in the last
one. With `--serve`, the log stays available at `GET /model/etl/log` until Ctrl-C. If `OTEL_EXPORTER_OTLP_ENDPOINT` is
set, spans and counters are exported to it.

The bill is CSV, also compressed with gzip, from a file or a pipe (`/dev/stdin`), or a Parquet file, if pyarrow is
installed. Exit codes: 0 if the run completed, whether or not all days add up; 1 if the bill, the database or the port
is unusable; 2 for wrong arguments; with `--strict`, 3 if the run completed and a day does not add up.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from decimal import Decimal, setcontext
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, NoReturn, TextIO

from focus_bill import DAY, EXACT, HOUR, Amount, Bill, CostSet, Period, Totals, add, add_up, read_bill
from focus_file import COLUMNS, Refused
from opentelemetry import trace

from otel_kcevents import Event, LogServer, allocation, asset, configure, default_log, run, start_http_server

SAMPLE = Path(__file__).with_name("sample_bill.csv")
PORT = 9003
MAX_LINES, NEWEST = 10, 5  # lines of a list in the summary

SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists allocations (hour, currency, sub_account, service, cost, charges);
create table if not exists assets (hour, currency, provider, resource, cost, charges);
create index if not exists allocations_by_hour on allocations (hour);
create index if not exists assets_by_hour on assets (hour);
"""

tracer = trace.get_tracer("focus_etl")


class DoesNotAddUp(ValueError):
    """Two sums for the same day differ."""


@allocation.compute
@asset.compute
def split_into_hours(path: Path) -> Bill:
    return read_bill(path)


class Store:
    """Hourly sets in SQLite. Costs are stored as strings, because SQLite's numbers would round them."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        self._db.executescript(SCHEMA)

    @allocation.save
    def save_allocations(self, allocations: CostSet, window: Period) -> None:
        self._save("allocations", allocations, window)

    @asset.save
    def save_assets(self, assets: CostSet, window: Period) -> None:
        self._save("assets", assets, window)

    @allocation.load
    def load_allocations(self, window: Period) -> CostSet:
        return self._load("allocations", window)

    @asset.load
    def load_assets(self, window: Period) -> CostSet:
        return self._load("assets", window)

    def _save(self, table: str, costs: CostSet, window: Period) -> None:
        hour = window.start.isoformat()
        records = [(hour, *key, str(amount.cost), amount.charges) for key, amount in costs.items()]
        with self._db:  # replaces the whole set, so that the same bill can be processed again
            self._db.execute(f"delete from {table} where hour = ?", (hour,))
            self._db.executemany(f"insert into {table} values (?, ?, ?, ?, ?, ?)", records)

    def _load(self, table: str, window: Period) -> CostSet:
        found = self._db.execute(f"select * from {table} where hour = ?", (window.start.isoformat(),))
        return {(currency, one, two): Amount(Decimal(cost), n) for _, currency, one, two, cost, n in found}

    def close(self) -> None:
        self._db.close()


def merge(hourly: Iterable[CostSet], window: Period) -> CostSet:
    merged: CostSet = {}
    for key, amount in chain.from_iterable(costs.items() for costs in hourly):
        add(merged, key, amount)
    return merged


def total(costs: CostSet, window: Period) -> Totals:
    return add_up((currency, amount.cost) for (currency, *_), amount in costs.items())


# One function for both kinds of sets: decorate it for each.
aggregate_allocations, aggregate_assets = allocation.aggregate(merge), asset.aggregate(merge)
total_allocations, total_assets = allocation.total(total), asset.total(total)


@allocation.reconcile
def reconcile_allocations(allocations: Totals, assets: Totals, billed: Totals, window: Period) -> None:
    require_equal("allocations", allocations, "assets", assets)
    require_equal("allocations", allocations, "the bill", billed)


@asset.reconcile
def reconcile_assets(assets: Totals, billed: Totals, window: Period) -> None:
    require_equal("assets", assets, "the bill", billed)


def require_equal(what: str, ours: Totals, other: str, theirs: Totals) -> None:
    for currency in sorted(ours.keys() | theirs.keys()):
        one, two = ours.get(currency, Decimal(0)), theirs.get(currency, Decimal(0))
        if two.is_nan():
            raise DoesNotAddUp(f"{what} {one:f} {currency}, {other} unknown: one of its costs cannot be read")
        if one != two:
            difference = f"{abs(one - two).normalize():f} {'short' if one < two else 'over'}"
            raise DoesNotAddUp(f"{what} {one:f} {currency}, {other} {two:f}: {difference}")


class Outcome(NamedTuple):
    """The totals of a day. The day is a string, because charges may have no readable day."""

    day: str
    allocations: Totals
    assets: Totals
    billed: Totals


def run_days(bill: Bill, store: Store, show_progress: bool) -> list[Outcome]:
    outcomes = []
    days = [Period(day, day + DAY) for day in sorted(day for day in bill.control if day)]
    for number, day in enumerate(days, 1):
        if show_progress:
            print(f"\rday {number} of {len(days)} ", end="", file=sys.stderr, flush=True)
        with tracer.start_as_current_span("day", attributes={"day": f"{day.start:%Y-%m-%d}"}):
            outcomes.append(run_day(day, bill, store))
    if show_progress:
        print(f"\r{'':30}\r", end="", file=sys.stderr, flush=True)
    undated = bill.control.get(None)
    return outcomes if undated is None else [*outcomes, Outcome("no day", {}, {}, undated)]


def run_day(day: Period, bill: Bill, store: Store) -> Outcome:
    # All 24 hours, even empty ones: hours that a corrected bill no longer contains must not remain in the database.
    hours = [Period(day.start + n * HOUR, day.start + (n + 1) * HOUR) for n in range(24)]
    for hour in hours:
        store.save_allocations(bill.allocations.get(hour.start, {}), hour)
        store.save_assets(bill.assets.get(hour.start, {}), hour)
    daily_allocations = aggregate_allocations([store.load_allocations(hour) for hour in hours], day)
    daily_assets = aggregate_assets([store.load_assets(hour) for hour in hours], day)
    allocations, assets = total_allocations(daily_allocations, day), total_assets(daily_assets, day)
    billed = bill.control[day.start]
    with suppress(DoesNotAddUp):  # it is in the log, and the other days still have to run
        reconcile_assets(assets, billed, day)
    with suppress(DoesNotAddUp):
        reconcile_allocations(allocations, assets, billed, day)
    return Outcome(f"{day.start:%Y-%m-%d}", allocations, assets, billed)


def print_report(bill: Bill, outcomes: list[Outcome]) -> None:
    counts = default_log.counts()
    kinds = ", ".join(f"{count:,} {name}" for name, count in bill.allocated.most_common())
    print(f"rows read     {bill.read:>9,}")
    print(f"  allocated   {sum(bill.allocated.values()):>9,}  {kinds}")
    print(f"  refused     {len(bill.refused):>9,}")
    print_some(bill.refused)
    if bill.longer:
        print(f"long          {bill.longer:>9,}  longer than an hour, counted in the hour in which they start")
    if bill.late:
        print(f"late          {bill.late:>9,}  on the bill of another period than their own")
    for name in ("Allocation", "Asset"):
        print(f"hourly sets   {counts.get(f'{name}SetSaved', 0):>9,}  of {name.lower()}s")
    print()
    print_table(outcomes)
    for kind, count in counts.items():
        print(f"{kind:<30}{count:>9,}")
    print("\nnewest in the log")
    print_some([one_line(event) for event in newest_first()[:NEWEST]])
    errors = [one_line(event) for event in newest_first() if event.failure]
    print(f"errors in the log: {len(errors)}")
    print_some(errors)


def print_some(lines: list[str], file: TextIO | None = None) -> None:
    for line in lines[:MAX_LINES]:
        print(f"    {line}", file=file)
    if len(lines) > MAX_LINES:
        print(f"    ... and {len(lines) - MAX_LINES:,} more", file=file)


def print_table(outcomes: list[Outcome]) -> None:
    def whole(several: Iterable[Totals]) -> Totals:
        return add_up(chain.from_iterable(totals.items() for totals in several))

    all_days = Outcome(
        "all days",
        whole(outcome.allocations for outcome in outcomes),
        whole(outcome.assets for outcome in outcomes),
        whole(outcome.billed for outcome in outcomes),
    )
    costs = [cost for outcome in outcomes for totals in outcome[1:] for cost in totals.values() if not cost.is_nan()]
    places = max([2, *(-int(cost.normalize().as_tuple().exponent) for cost in costs)])
    lines = [["day", "currency", "allocations", "assets", "bill", "reconciled"]]
    lines += [cells for outcome in (*outcomes, all_days) for cells in table_lines(outcome, places)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for day, currency, *numbers, reconciled in lines:
        aligned = [text.rjust(width) for text, width in zip(numbers, widths[2:5], strict=True)]
        print(day.ljust(widths[0]), currency.ljust(widths[1]), *aligned, reconciled, sep="  ")
    failing = {day: None for day, *_, reconciled in lines if reconciled == "NO" and day != all_days.day}
    print(f"\ndays that do not add up: {', '.join(failing) or 'none'}\n")


def table_lines(outcome: Outcome, places: int) -> Iterator[list[str]]:
    for currency in sorted(outcome.allocations.keys() | outcome.assets.keys() | outcome.billed.keys()):
        costs = [totals.get(currency, Decimal(0)) for totals in (outcome.allocations, outcome.assets, outcome.billed)]
        texts = ["unknown" if cost.is_nan() else f"{cost:,.{places}f}" for cost in costs]
        yield [outcome.day, currency, *texts, "yes" if costs[0] == costs[1] == costs[2] else "NO"]


def adds_up(outcome: Outcome) -> bool:
    return all(reconciled == "yes" for *_, reconciled in table_lines(outcome, 0))


def newest_first() -> list[Event]:
    lists = default_log.document().lists.values()
    return sorted(chain.from_iterable(lists), key=lambda event: event.time, reverse=True)


def one_line(event: Event) -> str:
    size = "" if event.size is None else f", {event.size} records"
    failure = "" if event.failure is None else f": {event.failure.message}"
    return f"{event.to_dict()['time']}  {event.kind}  {event.window}{size}{failure}"


def serve(server: LogServer) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop on SIGTERM, as containers do, like on Ctrl-C
    with suppress(KeyboardInterrupt):
        print(f"the log is at {server.url}; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A cost ETL over a bill in the FOCUS 1.0 format.",
        epilog=f"Required columns: {', '.join(COLUMNS)}. Exit code 0 means that the bill was processed, even if some "
        "days do not add up (the log lists them); 1 means that it could not be processed; with --strict, 3 means that "
        "a day does not add up.",
    )
    parser.add_argument(
        "bill", nargs="?", type=Path, default=SAMPLE, help="CSV, CSV with gzip, or Parquet (default: the sample)"
    )
    parser.add_argument("--db", type=Path, metavar="PATH", help="SQLite database (default: a temporary one)")
    parser.add_argument("--log", type=Path, metavar="PATH", help="SQLite file that keeps the events of all runs")
    port = f"serve the log until Ctrl-C (default port: {PORT}; 0 picks a free one)"
    parser.add_argument("--serve", type=int, nargs="?", const=PORT, metavar="PORT", help=port)
    parser.add_argument("--quiet", action="store_true", help="print only refused rows and errors")
    parser.add_argument("--strict", action="store_true", help="exit with 3 if a day does not add up")
    return parser.parse_args()


def fail(reason: object) -> NoReturn:
    sys.exit(f"focus_etl: {reason}")  # prints it, and exits with 1


def run_etl(options: argparse.Namespace) -> tuple[Bill, list[Outcome]]:
    with ExitStack() as stack:
        try:
            bill = split_into_hours(options.bill)
            folder = Path(stack.enter_context(TemporaryDirectory()))
            store = stack.enter_context(closing(Store(options.db or folder / "sets.db")))
            return bill, run_days(bill, store, show_progress=sys.stderr.isatty() and not options.quiet)
        except (OSError, Refused) as error:
            fail(error)
        except sqlite3.Error as error:
            fail(f"{options.db or 'the database'}: {error}")


def main() -> int:
    options = read_arguments()
    try:
        configure(service_name="focus-etl", log_file=options.log)
    except (ValueError, ModuleNotFoundError) as error:
        fail(error)
    setcontext(EXACT)
    with ExitStack() as stack:
        try:
            server = None if options.serve is None else stack.enter_context(start_http_server(options.serve))
        except OSError as error:
            fail(error)
        with run("focus-etl"):  # one trace; if the ETL fails, so does the run in the log file
            bill, outcomes = run_etl(options)
        if options.quiet:
            print_some(bill.refused, sys.stderr)
            print_some([one_line(event) for event in newest_first() if event.failure], sys.stderr)
        else:
            try:
                print_report(bill, outcomes)
                sys.stdout.flush()
            except BrokenPipeError:  # the reader stopped reading, as `head` does: not an error
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if server is not None:
            serve(server)
    return 3 if options.strict and not all(map(adds_up, outcomes)) else 0


if __name__ == "__main__":
    sys.exit(main())
