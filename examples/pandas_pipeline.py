"""A pandas pipeline: windows are Intervals, sizes are the lengths of DataFrames."""

from __future__ import annotations

import json

import pandas as pd  # type: ignore[import-untyped,unused-ignore]

from otel_kcevents import allocation, configure, default_log

DAY = pd.Interval(pd.Timestamp("2025-03-01"), pd.Timestamp("2025-03-02"), closed="left")
HOURS = pd.interval_range(DAY.left, DAY.right, freq="h", closed="left")
SAVED: dict[pd.Interval, pd.DataFrame] = {}


def hourly_costs(hour: pd.Interval) -> pd.DataFrame:
    services = ["compute", "volumes", "network"] if 6 <= hour.left.hour <= 22 else ["compute", "volumes"]
    return pd.DataFrame({"service": services, "micros": [192_000, 83, 74_000][: len(services)]})


@allocation.load
def load_allocations(window: pd.Interval) -> pd.DataFrame:
    return SAVED[window]


@allocation.aggregate(window="day")
def aggregate_allocations(hourly: list[pd.DataFrame], day: pd.Interval) -> pd.DataFrame:
    return pd.concat(hourly).groupby("service", as_index=False)["micros"].sum()


@allocation.total(window="day")
def total_allocations(allocations: pd.DataFrame, day: pd.Interval) -> int:
    return int(allocations["micros"].sum())


def main() -> None:
    for hour in HOURS:
        costs = hourly_costs(hour)
        with allocation.save() as op:  # a block of code instead of a function
            op.window, op.size = hour, len(costs)
            SAVED[hour] = costs
    daily = aggregate_allocations([load_allocations(hour) for hour in HOURS], DAY)
    print(daily.to_string(index=False))
    print(f"{total_allocations(daily, DAY) / 1_000_000:.6f} on {DAY.left:%Y-%m-%d}")
    for event in default_log.document().lists["allocation"][:3]:
        print(json.dumps(event.to_dict()))
    print(default_log.counts())


if __name__ == "__main__":
    configure(service_name="pandas-pipeline")
    main()
