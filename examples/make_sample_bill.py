"""Write `sample_bill.csv`: three days of an invented cloud bill in the FOCUS 1.0 format, always the same bytes.

    python examples/make_sample_bill.py [sample_bill.csv]

It contains what makes real bills difficult: charges for an hour, a day and a month; purchases, a tax, a credit, an
adjustment and a correction; two currencies; `NULL` for missing values; zero and negative costs and scientific
notation; usage covered by a commitment (billed cost zero, effective cost not); a charge on the next month's bill.

One day does not add up, for a reason that occurs in real bills: the marketplace subscription of 2 March has the
start of the *billing* period as its end, so it ends a day before it starts. A pipeline that validates its input
refuses that row, its cost stays on the bill, and 2 March is 49.00 USD short.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FIRST = datetime(2025, 3, 1)
MONTH, NEXT_MONTH = (FIRST, datetime(2025, 4, 1)), (datetime(2025, 4, 1), datetime(2025, 5, 1))

USUAL = {
    "BilledCost": "0",
    "BillingAccountId": "QC-7001",
    "BillingCurrency": "USD",
    "BillingPeriodEnd": "",
    "BillingPeriodStart": "",
    "ChargeCategory": "Usage",
    "ChargeClass": "NULL",
    "ChargeDescription": "",
    "ChargeFrequency": "Usage-Based",
    "ChargePeriodEnd": "",
    "ChargePeriodStart": "",
    "EffectiveCost": "",
    "ProviderName": "Quillon Cloud",
    "ResourceId": "NULL",
    "ServiceName": "",
    "SubAccountId": "NULL",
    "Tags": "NULL",
}

COMPUTE = {"ServiceName": "Quillon Compute", "SubAccountId": "shop"}
STORAGE = {"ServiceName": "Quillon Volumes", "SubAccountId": "shop", "ResourceId": "vol-5c1"}
NETWORK = {"ServiceName": "Quillon Network", "SubAccountId": "shop"}
EUROPE = {"BillingAccountId": "QC-7002", "BillingCurrency": "EUR", "SubAccountId": "reports"}
ONCE = {"ChargeFrequency": "One-Time"}


def stamp(moment: datetime) -> str:
    return f"{moment.isoformat()}Z"


def row(
    start: datetime, end: datetime, cost: str, *parts: dict[str, str], billed: tuple[datetime, datetime] = MONTH
) -> dict[str, str]:
    """Return one charge: the cells in `USUAL`, updated with each of `parts`."""
    cells = USUAL | {"BilledCost": cost, "EffectiveCost": cost}
    for part in parts:
        cells |= part
    cells |= {"ChargePeriodStart": stamp(start), "ChargePeriodEnd": stamp(end)}
    return cells | {"BillingPeriodStart": stamp(billed[0]), "BillingPeriodEnd": stamp(billed[1])}


def hourly(hour: datetime) -> Iterator[dict[str, str]]:
    """Hourly usage: a shop whose visitors vary over the day, and a nightly batch on a reserved machine."""
    end, visitors = hour + HOUR, 12 - abs(hour.hour - 14)
    shop = {"ChargeDescription": "$0.192 per hour, q2.large", "Tags": '{"team": "shop", "env": "prod"}'}
    yield row(hour, end, "0.192", COMPUTE, shop, {"ResourceId": "vm-a01"})
    if visitors > 3:
        yield row(hour, end, "0.192", COMPUTE, shop, {"ResourceId": "vm-a02"})
        out = f"{visitors * 137} MB out, $0.085 per GB"
        yield row(hour, end, f"{visitors * 137 * 85 / 1_000_000:.6f}", NETWORK, {"ChargeDescription": out})
    yield row(hour, end, "8.3E-5", STORAGE, {"ChargeDescription": "Volume, 100 GB, per second"})
    if hour.hour < 6:
        batch = {"ResourceId": "vm-b07", "SubAccountId": "batch", "ChargeDescription": "q2.xlarge, reserved"}
        yield row(hour, end, "0", COMPUTE, batch, {"EffectiveCost": "0.21"})
    if hour.hour % 3 == 0:
        database = {"ServiceName": "Quillon Database", "ResourceId": "db-eu1", "ChargeDescription": "Database, 3 hours"}
        yield row(hour, hour + 3 * HOUR, "0.3330", EUROPE, database)


def daily(day: datetime) -> Iterator[dict[str, str]]:
    """Daily usage: a bucket and a free tier."""
    bucket = {"ServiceName": "Quillon Buckets", "ResourceId": "bucket-logs", "SubAccountId": "batch"}
    yield row(day, day + DAY, f"{(day - FIRST).days + 41}.7E-3", bucket, {"ChargeDescription": "Objects, per GB-day"})
    yield row(day, day + DAY, "0.00", bucket, {"ChargeDescription": "Requests, free tier"})


def special() -> Iterator[dict[str, str]]:
    """Charges other than plain usage, and usage that was corrected or billed late."""
    second, third = FIRST + DAY, FIRST + 2 * DAY
    reserved = {"ChargeDescription": "q2.xlarge, 1 month, all upfront", "EffectiveCost": "0", "ResourceId": "rsv-31"}
    purchase = {"ChargeCategory": "Purchase"} | ONCE
    yield row(*MONTH, "120.00", COMPUTE, purchase, reserved, {"SubAccountId": "batch"})
    tax = {"ChargeCategory": "Tax", "ServiceName": "Tax", "ChargeDescription": "Sales tax"}
    yield row(*MONTH, "13.37", tax)
    market = {"ServiceName": "Quillon Marketplace", "SubAccountId": "shop", "ResourceId": "sub-880"}
    yield row(second, FIRST, "49.00", market, purchase, {"ChargeDescription": "Gullwing Maps, subscription"})
    credit = {"ChargeCategory": "Credit", "ServiceName": "Quillon Compute", "ChargeDescription": "New customer"}
    yield row(second, second + DAY, "-5.00", credit | ONCE)
    refund = {"ChargeClass": "Correction", "ResourceId": "vm-a01", "ChargeDescription": "Refund, outage in February"}
    yield row(third + 9 * HOUR, third + 10 * HOUR, "-1.152", COMPUTE, refund)
    rounding = {"ChargeCategory": "Adjustment", "ServiceName": "Quillon Buckets", "ChargeDescription": "Rounding"}
    yield row(third, third + DAY, "0.0000004", EUROPE, rounding | ONCE)
    late = {"ResourceId": "vm-b07", "SubAccountId": "batch", "ChargeDescription": "q2.xlarge, metered late"}
    yield row(third + 23 * HOUR, third + 24 * HOUR, "0.42", COMPUTE, late, billed=NEXT_MONTH)


def bill() -> Iterator[dict[str, str]]:
    yield from special()
    for number in range(3):
        day = FIRST + number * DAY
        yield from daily(day)
        for hour in range(24):
            yield from hourly(day + hour * HOUR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("path", nargs="?", type=Path, default=Path(__file__).with_name("sample_bill.csv"))
    path: Path = parser.parse_args().path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(USUAL), lineterminator="\n")
        writer.writeheader()
        writer.writerows(bill())


if __name__ == "__main__":
    main()
