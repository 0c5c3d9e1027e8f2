"""Reads a bill in the FOCUS 1.0 form and cuts it into hours, with an account of every row: allocated or refused.

It is the part of `focus_etl.py` that has nothing to do with telemetry.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TextIO, TypeAlias, TypeVar

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# Money is never rounded: what has 40 digits at most either side of the point sums up within 100, and where it ever
# did not, the sum would raise.
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
NUMBER = re.compile(r"[+-]?(\d{1,80}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)
ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$", re.ASCII)

# BilledCost is what invoices are made of. EffectiveCost spreads a purchase over what it covers, and a day of it
# adds up to no bill.
COST, CURRENCY, START = "BilledCost", "BillingCurrency", "ChargePeriodStart"
COLUMNS = (
    f"{COST} {CURRENCY} BillingPeriodStart BillingPeriodEnd {START} ChargePeriodEnd ChargeCategory ChargeClass "
    "ProviderName ServiceName SubAccountId ResourceId"
).split()
NULLS = ("", "NULL")

T = TypeVar("T")
Row: TypeAlias = Mapping[str, str]
Key: TypeAlias = tuple[str, str | None, str | None]
"""Of an allocation: currency, sub account, service. Of an asset: currency, provider, resource; None is for what is
charged for no resource, such as a tax."""


class Period(NamedTuple):
    """A window: start inclusive, end exclusive, UTC."""

    start: datetime
    end: datetime


class Amount(NamedTuple):
    """What a record of a set holds: a cost, and of how many charges it is the sum."""

    cost: Decimal
    charges: int


CostSet: TypeAlias = dict[Key, Amount]
Totals: TypeAlias = dict[str, Decimal]
"""Costs by currency, for two currencies have no sum."""


class Refused(ValueError):
    """A row, or a whole bill, that can't be read."""


def add(costs: CostSet, key: Key, amount: Amount) -> None:
    before = costs.get(key)
    costs[key] = amount if before is None else Amount(before.cost + amount.cost, before.charges + amount.charges)


def read_cost(text: str) -> Decimal:
    # No guessing: 1,284 is a thousand and more to one reader, and little more than one to another.
    if not NUMBER.fullmatch(text):
        raise Refused(f"{COST} {text!r} is no number; write it as in -1284.5 or 8.3E-5")
    cost = Decimal(text)
    if cost.adjusted() > 39 or int(cost.as_tuple().exponent) < -40:
        raise Refused(f"{COST} {text!r} has more than 40 digits on one side of its point")
    return cost


@lru_cache(maxsize=4096)
def read_time(column: str, text: str) -> datetime:
    zoned = text if ZONE.search(text) else f"{text}Z"
    form = "%Y-%m-%dT%H:%M:%S.%f%z" if "." in text else "%Y-%m-%dT%H:%M:%S%z"
    try:
        moment = datetime.strptime(zoned.replace(" ", "T", 1), form).astimezone(timezone.utc)
        return moment + DAY - DAY  # raises on the last day that datetime has, which no window can end
    except (ValueError, OverflowError):
        raise Refused(f"{column} {text!r} is no time; write it as in 2024-09-18T22:00:00Z") from None


def read_day(text: str) -> datetime:
    return read_time(START, text).replace(hour=0, minute=0, second=0)


def read_period(row: Row, name: str) -> Period:
    start, end = f"{name}PeriodStart", f"{name}PeriodEnd"
    period = Period(read_time(start, row[start]), read_time(end, row[end]))
    if period.end <= period.start:
        raise Refused(f"{end} {row[end]!r} is not after {start} {row[start]!r}")
    return period


def read_name(row: Row, column: str) -> str | None:
    return None if row[column] in NULLS else row[column]


class Bill:
    """A bill cut into hours: `allocations` and `assets` by the hour, and `control`, what the bill says of each day.

    A charge goes whole into the sets of the hour that it starts in, be it for an hour, a day or a month: an even
    split of 10.00 over 744 hours has no exact cost to put into each, and the bill has one line. Usage, purchases,
    taxes, credits, adjustments and corrections all count as they stand: they are all to be paid.
    """

    def __init__(self) -> None:
        self.read = 0
        self.allocated: Counter[str] = Counter()
        self.refused: list[str] = []
        self.longer = self.late = 0
        self.allocations: dict[datetime, CostSet] = defaultdict(dict)
        self.assets: dict[datetime, CostSet] = defaultdict(dict)
        self.control: dict[datetime | None, Totals] = defaultdict(dict)

    def take(self, lines: str, row: Row | str) -> None:
        """Allocate a row or refuse it; a text says why there is none. Either way it is on the bill."""
        self.read += 1
        self._control({} if isinstance(row, str) else row)
        try:
            if isinstance(row, str):
                raise Refused(row)
            self._allocate(row)
        except Refused as error:
            self.refused.append(f"{lines}: {error}")

    def _control(self, row: Row) -> None:
        """Add to the day's control sum, which is made before any check, set or database has its say.

        A cost that can't be read makes it NaN: it equals no other sum, and the day can't pass.
        """
        totals = self.control[_tried(read_day, row.get(START, ""))]
        currency, cost = row.get(CURRENCY, "?"), _tried(read_cost, row.get(COST, ""))
        totals[currency] = totals.get(currency, Decimal(0)) + (Decimal("NaN") if cost is None else cost)

    def _allocate(self, row: Row) -> None:
        amount = Amount(read_cost(row[COST]), 1)
        period, billed = read_period(row, "Charge"), read_period(row, "Billing")
        currency = read_name(row, CURRENCY)
        if currency is None:
            raise Refused(f"{CURRENCY} {row[CURRENCY]!r} is none, and a cost needs one")
        hour = period.start.replace(minute=0, second=0)
        service, resource = read_name(row, "ServiceName"), read_name(row, "ResourceId")
        add(self.allocations[hour], (currency, read_name(row, "SubAccountId"), service), amount)
        add(self.assets[hour], (currency, read_name(row, "ProviderName"), resource), amount)
        self._note(row, period, billed)

    def _note(self, row: Row, period: Period, billed: Period) -> None:
        corrects = read_name(row, "ChargeClass") is not None
        self.allocated[f"{row['ChargeCategory']} ({row['ChargeClass']})" if corrects else row["ChargeCategory"]] += 1
        self.longer += period.end - period.start > HOUR
        self.late += not billed.start <= period.start < billed.end


def _tried(read: Callable[[str], T], text: str) -> T | None:
    try:
        return read(text)
    except Refused:
        return None


def _rows(file: TextIO) -> Iterator[tuple[str, Row | str]]:
    """Each row with its lines, or with what is wrong with it."""
    reader = csv.reader(file)
    header = next(reader, [])
    if missing := [column for column in COLUMNS if header.count(column) != 1]:
        twice = [column for column in missing if column in header]
        what = f"the columns {', '.join(twice)} stand twice" if twice else f"it lacks the columns {', '.join(missing)}"
        raise Refused(f"{what}; the header is {','.join(header)[:80]!r}" if header else "it is empty")
    while True:
        first = reader.line_num + 1
        row: Row | str
        try:
            cells = next(reader)
            row = dict(zip(header, cells, strict=True)) if len(cells) == len(header) else _mismatch(cells, header)
        except StopIteration:
            return
        except csv.Error as error:
            row = f"it can't be read: {error}"
        if row:
            # A quote that is never closed makes one row of many lines: they are all named.
            yield (f"line {first}" if first == reader.line_num else f"lines {first}-{reader.line_num}"), row


def _mismatch(cells: list[str], header: list[str]) -> str:
    """What is wrong with a row of other columns than the header's; nothing with an empty line, which is no row."""
    what = f"it has {len(cells)} columns where the header has {len(header)}"
    return f"{what}; the last one is {cells[-1][:40]!r}" if cells else ""


def read_bill(path: Path) -> Bill:
    """Read a file or a pipe. Raises Refused for what is no FOCUS bill; single rows are refused in the bill."""
    bill = Bill()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for lines, row in _rows(file):
                bill.take(lines, row)
    except (Refused, csv.Error, UnicodeDecodeError) as error:
        raise Refused(f"{path} is no FOCUS bill: {error}") from error
    return bill
