"""Materializes the partitions of days of the Dagster assets in `examples/cost_assets.py`, in one process."""

from __future__ import annotations

import sys
from pathlib import Path

from dagster import materialize

sys.path.append(str(Path(__file__).parents[2] / "examples"))

from cost_assets import allocations, bill

for day in sys.argv[1:]:
    materialize([bill, allocations], partition_key=day, raise_on_error=False)
