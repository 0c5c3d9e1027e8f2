"""Read a cloud bill in the FOCUS 1.0 format and split it into hourly cost sets. Every row is allocated or refused.

This is the part of `focus_etl.py` that has nothing to do with telemetry.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from focus_file import Refused, Row, read_rows

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# Money is never rounded: numbers with at most 40 digits on either side of the point add up within 100 digits, and a
# sum that did not fit would raise.
EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
NUMBER = re.compile(r"[+-]?(\d{1,80}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)
# As providers and databases write it: seconds and zone may be missing, Go adds the name of the zone to its offset.
TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?:(:\d\d)(?:\.(\d{1,9}))?)?"
    r"(?: ?(?:Z|z|UTC)| ?([+-]\d\d)(?::?(\d\d))?(?: [A-Z]+)?)?)?",
    re.ASCII,
)

# BilledCost is the column that invoices add up. EffectiveCost spreads a purchase over the usage that it covers, so a
# day of it does not match any invoice.
COST, CURRENCY, START = "BilledCost", "BillingCurrency", "ChargePeriodStart"
NULLS = ("", "NULL")

T = TypeVar("T")
Key: TypeAlias = tuple[str, str | None, str | None]
"""Of an allocation: currency, sub account, service. Of an asset: currency, provider, resource. A charge that belongs to
no resource, such as a tax, has None there."""


class Period(NamedTuple):
    """A window in UTC: start inclusive, end exclusive."""

    start: datetime
    end: datetime


class Amount(NamedTuple):
    """The value of a record: a cost, and the number of charges that it sums."""

    cost: Decimal
    charges: int


CostSet: TypeAlias = dict[Key, Amount]
Totals: TypeAlias = dict[str, Decimal]
"""Costs by currency. Costs in different currencies are never added."""


def add(costs: CostSet, key: Key, amount: Amount) -> None:
    before = costs.get(key, Amount(Decimal(0), 0))
    costs[key] = Amount(before.cost + amount.cost, before.charges + amount.charges)


def add_up(costs: Iterable[tuple[str, Decimal]]) -> Totals:
    totals: Totals = defaultdict(Decimal)
    for currency, cost in costs:
        totals[currency] += cost
    return totals


def read_cost(text: str) -> Decimal:
    # No guessing: 1,284 means more than a thousand to one reader and less than two to another.
    if not NUMBER.fullmatch(text):
        raise Refused(f"{COST} {text!r} is not a number; write it like -1284.5 or 8.3E-5")
    cost = Decimal(text)
    if cost.adjusted() > 39 or int(cost.as_tuple().exponent) < -40:
        raise Refused(f"{COST} {text!r} has more than 40 digits on one side of the decimal point")
    return cost


@lru_cache(maxsize=4096)
def read_time(column: str, text: str) -> datetime:
    match = TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, clock, seconds, fraction, hours, minutes = match.groups()
        zone = f"{hours}:{minutes or '00'}" if hours else "+00:00"
        complete = f"{day}T{clock or '00:00'}{seconds or ':00'}.{(fraction or '')[:6]:0<6}{zone}"
        moment = datetime.fromisoformat(complete).astimezone(timezone.utc)
        return moment + DAY - DAY  # raises on the last day that datetime supports: no window could end after it
    except (ValueError, OverflowError):
        raise Refused(f"{column} {text!r} is not a time; write it like 2024-09-18T22:00:00Z") from None


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


def try_to(read: Callable[[str], T], text: str) -> T | None:
    try:
        return read(text)
    except Refused:
        return None


class Bill:
    """A bill split into hours: `allocations` and `assets` by hour, and `control`, the bill's own total of each day.

    A charge counts entirely in the hour in which it starts, whether it covers an hour, a day or a month: 10.00 split
    evenly over 744 hours has no exact decimal value, and the bill has it on one line. Usage, purchases, taxes, credits,
    adjustments and corrections all count as they are, because all of them are to be paid.
    """

    def __init__(self) -> None:
        self.read = 0
        self.allocated: Counter[str] = Counter()
        self.refused: list[str] = []
        self.longer = 0
        self.late = 0
        self.allocations: dict[datetime, CostSet] = defaultdict(dict)
        self.assets: dict[datetime, CostSet] = defaultdict(dict)
        self.control: dict[datetime | None, Totals] = defaultdict(lambda: defaultdict(Decimal))

    def add_row(self, place: str, row: Row, problem: str = "") -> None:
        """Allocate a row or, if it has a problem, refuse it. In both cases it counts in the control totals.

        The control totals are independent of all checks, sets and databases. A cost that cannot be read makes the day's
        total NaN, which equals no other sum, so that the day cannot pass.
        """
        self.read += 1
        cost = try_to(read_cost, row.get(COST, ""))
        totals = self.control[try_to(read_day, row.get(START, ""))]
        totals[row.get(CURRENCY, "?")] += Decimal("NaN") if cost is None else cost
        try:
            if problem:
                raise Refused(problem)
            self._allocate(row)
        except Refused as error:
            self.refused.append(f"{place}: {error}")

    def _allocate(self, row: Row) -> None:
        amount = Amount(read_cost(row[COST]), 1)
        period, billed = read_period(row, "Charge"), read_period(row, "Billing")
        currency = read_name(row, CURRENCY)
        if currency is None:
            raise Refused(f"{CURRENCY} {row[CURRENCY]!r} is not a currency; write it like USD")
        hour = period.start.replace(minute=0, second=0)
        service, resource = read_name(row, "ServiceName"), read_name(row, "ResourceId")
        add(self.allocations[hour], (currency, read_name(row, "SubAccountId"), service), amount)
        add(self.assets[hour], (currency, read_name(row, "ProviderName"), resource), amount)
        corrects = read_name(row, "ChargeClass") is not None
        self.allocated[f"{row['ChargeCategory']} ({row['ChargeClass']})" if corrects else row["ChargeCategory"]] += 1
        self.longer += period.end - period.start > HOUR
        self.late += not billed.start <= period.start < billed.end


def read_bill(path: Path) -> Bill:
    """Read a bill from a file or a pipe. Single malformed rows are refused in the bill.

    Raises:
        Refused: The file is not a FOCUS bill.
    """
    bill = Bill()
    for place, row, problem in read_rows(path):
        bill.add_row(place, row, problem)
    return bill
