"""Dagster assets of daily partitions, without any telemetry; `mappings/dagster_assets.toml` instruments them.

opentelemetry-instrument --kcevents_mapping examples/mappings/dagster_assets.toml \
    dagster asset materialize -f examples/cost_assets.py --select '*' --partition 2025-03-01
"""

from typing import Any

from dagster import AssetExecutionContext, DailyPartitionsDefinition, asset

days = DailyPartitionsDefinition(start_date="2025-03-01")


@asset(partitions_def=days)
def bill(context: AssetExecutionContext) -> list[Any]:
    """The rows of a day's bill."""
    day = context.partition_time_window.start.day
    return [{"service": f"service-{number}", "cost": number * day} for number in range(day + 2)]


@asset(partitions_def=days)
def allocations(context: AssetExecutionContext, bill: list[Any]) -> dict[str, int]:
    """The costs of each service; the first service is free."""
    if context.partition_key == "2025-03-13":
        raise ValueError(f"the bill of {context.partition_key} does not add up")
    return {row["service"]: row["cost"] for row in bill if row["cost"]}
