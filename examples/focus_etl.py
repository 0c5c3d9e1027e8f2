"""A cost ETL over a cloud bill in the FOCUS 1.0 form, as it looks with otel_kcevents.

    python examples/focus_etl.py [BILL.csv] [--db PATH] [--serve [PORT]] [--quiet]

It cuts the bill into hourly allocation sets (by sub account and service) and asset sets (by resource), saves them
in SQLite, loads them back, aggregates and totals them by day, and reconciles each day: allocations with assets,
and both with the bill. What the decorators add is a span, an event and a count for every set. A day that does
not add up is an `AllocationSetReconcileError` and an `AssetSetReconcileError` in the log, and the run goes on.
With `--serve` the log stays at `GET /model/etl/log` until Ctrl-C; where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, the
spans and the counter go there.

The bill is a file or a pipe (`/dev/stdin`). Exit codes: 0 when the run completed, whether or not all days add up;
1 when the bill, the database or the port can't be had; 2 for wrong arguments.
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
from typing import NamedTuple, TextIO

from focus_bill import COLUMNS, DAY, EXACT, HOUR, Amount, Bill, CostSet, Period, Refused, Totals, add, read_bill
from opentelemetry import trace

import otel_kcevents
from otel_kcevents import Event, EventLog, LogServer, allocation, asset, default_log, start_http_server

SAMPLE = Path(__file__).with_name("sample_bill.csv")
PORT = 9003
MOST_LINES, NEWEST = 10, 5  # of a list in the summary

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
    """Two sums of the same day that should be the same are not."""


@allocation.compute
@asset.compute
def cut_into_hours(path: Path) -> Bill:
    return read_bill(path)


class Store:
    """Sets in SQLite, by the hour. Costs are texts there: SQLite's own numbers would round them."""

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
        with self._db:  # the set is replaced as a whole, so that a bill may be delivered again
            self._db.execute(f"delete from {table} where hour = ?", (hour,))
            self._db.executemany(f"insert into {table} values (?, ?, ?, ?, ?, ?)", records)

    def _load(self, table: str, window: Period) -> CostSet:
        found = self._db.execute(f"select * from {table} where hour = ?", (window.start.isoformat(),))
        return {(currency, one, two): Amount(Decimal(cost), n) for _, currency, one, two, cost, n in found}

    def close(self) -> None:
        self._db.close()


@allocation.aggregate
def aggregate_allocations(hourly: Iterable[CostSet], window: Period) -> CostSet:
    return merged(hourly)


@asset.aggregate
def aggregate_assets(hourly: Iterable[CostSet], window: Period) -> CostSet:
    return merged(hourly)


def merged(sets: Iterable[CostSet]) -> CostSet:
    whole: CostSet = {}
    for key, amount in chain.from_iterable(costs.items() for costs in sets):
        add(whole, key, amount)
    return whole


@allocation.total
def total_allocations(allocations: CostSet, window: Period) -> Totals:
    return summed(allocations)


@asset.total
def total_assets(assets: CostSet, window: Period) -> Totals:
    return summed(assets)


def summed(costs: CostSet) -> Totals:
    totals: Totals = {}
    for (currency, *_), amount in costs.items():
        totals[currency] = totals.get(currency, Decimal(0)) + amount.cost
    return totals


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
            raise DoesNotAddUp(f"{what} {one:f} {currency}, {other} unknown: a cost of it can't be read")
        if one != two:
            off = f"{abs(one - two).normalize():f} {'short' if one < two else 'over'}"
            raise DoesNotAddUp(f"{what} {one:f} {currency}, {other} {two:f}: {off}")


class Outcome(NamedTuple):
    """What a day comes to. The day is a text for the table: there may be charges of no day that can be read."""

    day: str
    allocations: Totals
    assets: Totals
    billed: Totals


def run(bill: Bill, store: Store, show_progress: bool) -> list[Outcome]:
    outcomes = []
    days = [Period(day, day + DAY) for day in sorted(day for day in bill.control if day)]
    for number, day in enumerate(days, 1):
        if show_progress:
            print(f"\rday {number} of {len(days)} ", end="", file=sys.stderr, flush=True)
        # One trace holds the sets of a day.
        with tracer.start_as_current_span("day", attributes={"day": f"{day.start:%Y-%m-%d}"}):
            outcomes.append(run_day(day, bill, store))
    if show_progress:
        print(f"\r{'':30}\r", end="", file=sys.stderr, flush=True)
    undated = bill.control.get(None)
    return outcomes if undated is None else [*outcomes, Outcome("no day", {}, {}, undated)]


def run_day(day: Period, bill: Bill, store: Store) -> Outcome:
    # All 24 hours, empty ones too: an hour that a new delivery of the bill no longer has must not stay behind.
    hours = [Period(day.start + n * HOUR, day.start + (n + 1) * HOUR) for n in range(24)]
    for hour in hours:
        store.save_allocations(bill.allocations.get(hour.start, {}), hour)
        store.save_assets(bill.assets.get(hour.start, {}), hour)
    daily_allocations = aggregate_allocations([store.load_allocations(hour) for hour in hours], day)
    daily_assets = aggregate_assets([store.load_assets(hour) for hour in hours], day)
    allocations, assets = total_allocations(daily_allocations, day), total_assets(daily_assets, day)
    billed = bill.control[day.start]
    with suppress(DoesNotAddUp):  # it is in the log, and the other days are still to do
        reconcile_assets(assets, billed, day)
    with suppress(DoesNotAddUp):
        reconcile_allocations(allocations, assets, billed, day)
    return Outcome(f"{day.start:%Y-%m-%d}", allocations, assets, billed)


def report(bill: Bill, outcomes: list[Outcome], log: EventLog) -> None:
    kinds = ", ".join(f"{count:,} {name}" for name, count in bill.allocated.most_common())
    print(f"rows read     {bill.read:>9,}")
    print(f"  allocated   {sum(bill.allocated.values()):>9,}  {kinds}")
    print(f"  refused     {len(bill.refused):>9,}")
    print_some(bill.refused)
    if bill.longer:
        print(f"long          {bill.longer:>9,}  last longer than an hour: each is whole in the hour that it starts in")
    if bill.late:
        print(f"late          {bill.late:>9,}  on the bill of another period than the charge's own")
    for name in ("Allocation", "Asset"):
        print(f"hourly sets   {log.counts().get(f'{name}SetSaved', 0):>9,}  of {name.lower()}s")
    print()
    print_table(outcomes)
    print_log(log)


def print_some(lines: list[str], file: TextIO | None = None) -> None:
    for line in lines[:MOST_LINES]:
        print(f"    {line}", file=file)
    if len(lines) > MOST_LINES:
        print(f"    ... and {len(lines) - MOST_LINES:,} more", file=file)


def print_table(outcomes: list[Outcome]) -> None:
    allocations, assets = added(o.allocations for o in outcomes), added(o.assets for o in outcomes)
    whole = Outcome("all days", allocations, assets, added(o.billed for o in outcomes))
    costs = [cost for outcome in outcomes for totals in outcome[1:] for cost in totals.values() if not cost.is_nan()]
    places = max([2, *(-int(cost.normalize().as_tuple().exponent) for cost in costs)])
    lines = [["day", "currency", "allocations", "assets", "bill", "reconciled"]]
    lines += [cells for outcome in (*outcomes, whole) for cells in cells_of(outcome, places)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for day, currency, *numbers, reconciled in lines:
        aligned = [text.rjust(width) for text, width in zip(numbers, widths[2:5], strict=True)]
        print(day.ljust(widths[0]), currency.ljust(widths[1]), *aligned, reconciled, sep="  ")
    failing = {day: None for day, *_, reconciled in lines if reconciled == "NO" and day != whole.day}
    print(f"\ndays that do not add up: {', '.join(failing) or 'none'}\n")


def added(several: Iterable[Totals]) -> Totals:
    sums: Totals = {}
    for currency, cost in chain.from_iterable(totals.items() for totals in several):
        sums[currency] = sums.get(currency, Decimal(0)) + cost
    return sums


def cells_of(outcome: Outcome, places: int) -> Iterator[list[str]]:
    for currency in sorted(outcome.allocations.keys() | outcome.assets.keys() | outcome.billed.keys()):
        costs = [totals.get(currency, Decimal(0)) for totals in (outcome.allocations, outcome.assets, outcome.billed)]
        texts = ["unknown" if cost.is_nan() else f"{cost:,.{places}f}" for cost in costs]
        same = costs[0] == costs[1] == costs[2]
        yield [outcome.day, currency, *texts, "yes" if same else "NO"]


def print_log(log: EventLog) -> None:
    for kind, count in log.counts().items():
        print(f"{kind:<30}{count:>9,}")
    errors = errors_in(log)
    print("\nnewest in the log")
    print_some([short_repr(event) for event in newest_first(log)[:NEWEST]])
    print(f"errors in the log: {len(errors)}")
    print_some([short_repr(event) for event in errors])


def newest_first(log: EventLog) -> list[Event]:
    return sorted(chain.from_iterable(log.document().lists.values()), key=lambda event: event.time, reverse=True)


def errors_in(log: EventLog) -> list[Event]:
    return [event for event in newest_first(log) if event.failure]


def short_repr(event: Event) -> str:
    size = "" if event.size is None else f", {event.size} records"
    failure = "" if event.failure is None else f": {event.failure.message}"
    return f"{event.to_dict()['time']}  {event.kind}  {event.window}{size}{failure}"


def serve(server: LogServer) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what stops a container ends it as Ctrl-C does
    try:
        print(f"the log is at {server.url}; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A cost ETL over a bill in the FOCUS 1.0 form.",
        epilog=f"A bill needs the columns {', '.join(COLUMNS)}. The exit code is 0 where it was read, "
        "even if days do not add up: the log tells of those; 1 where it could not be read.",
    )
    parser.add_argument("bill", nargs="?", type=Path, default=SAMPLE, help="CSV; default: the sample beside this file")
    parser.add_argument("--db", type=Path, metavar="PATH", help="SQLite database; default: one for this run")
    port = f"serve the log until Ctrl-C; default port {PORT}, 0 for a free one"
    parser.add_argument("--serve", type=int, nargs="?", const=PORT, metavar="PORT", help=port)
    parser.add_argument("--quiet", action="store_true", help="say only which rows are refused and which days fail")
    return parser.parse_args()


def give_up(reason: str) -> int:
    print(f"focus_etl: {reason}", file=sys.stderr)
    return 1


def main() -> int:
    options = read_arguments()
    try:
        otel_kcevents.configure(service_name="focus-etl")
    except (ValueError, ModuleNotFoundError) as error:
        return give_up(str(error))
    setcontext(EXACT)
    with ExitStack() as stack:
        try:
            server = None if options.serve is None else stack.enter_context(start_http_server(options.serve))
            folder = Path(stack.enter_context(TemporaryDirectory()))
            bill = cut_into_hours(options.bill)
            store = stack.enter_context(closing(Store(options.db or folder / "sets.db")))
            outcomes = run(bill, store, show_progress=sys.stderr.isatty() and not options.quiet)
        except (OSError, Refused) as error:
            return give_up(str(error))
        except sqlite3.Error as error:
            return give_up(f"{options.db or 'the database'}: {error}")
        if options.quiet:
            print_some(bill.refused, sys.stderr)
            print_some([short_repr(event) for event in errors_in(default_log)], sys.stderr)
        else:
            try:
                report(bill, outcomes, default_log)
                sys.stdout.flush()
            except BrokenPipeError:  # a reader who left, as `head` does, had enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if server is not None:
            serve(server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
