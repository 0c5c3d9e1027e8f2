"""Allocates the cloud costs of each day in this folder, with cloud-cost-allocation 2.3.4 and without any telemetry.

    python examples/cloud_costs/allocate.py FOLDER_FOR_THE_RESULTS [FOLDER_WITH_THE_BILLS]

The command line of that version, `cloud_cost_allocation.main`, calls `allocate` without its argument `amounts` and
fails; this program calls the library as that command should.
"""

import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from cloud_cost_allocation.cloud_cost_allocator import CloudCostAllocator
from cloud_cost_allocation.config import Config
from cloud_cost_allocation.cost_items import CostItemFactory
from cloud_cost_allocation.reader.azure_ea_amortized_cost_reader import AzureEaAmortizedCostReader
from cloud_cost_allocation.reader.csv_cost_allocation_keys_reader import CSV_CostAllocationKeysReader
from cloud_cost_allocation.utils.utils import read_csv, write_csv_file
from cloud_cost_allocation.writer.csv_allocated_cost_writer import CSV_AllocatedCostWriter


def allocate_day(bill: Path, keys: Path, config: Config, output: Path) -> bool:
    """Allocate the costs of a bill by the keys of its day, and write them; return whether they could be allocated."""
    factory = CostItemFactory(config)
    costs: list[Any] = []
    consumers: list[Any] = []
    read_csv(str(bill), AzureEaAmortizedCostReader(factory), costs)
    read_csv(str(keys), CSV_CostAllocationKeysReader(factory), consumers)
    allocator = CloudCostAllocator(factory)
    allocator.currency, allocator.date_str = costs[0].currency, costs[0].date_str
    if not allocator.allocate(consumers, costs, config.amounts):
        return False
    write_csv_file(str(output), CSV_AllocatedCostWriter(allocator.service_instances, config))
    return True


def main() -> int:
    output, source = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else __file__).resolve()
    folder = source if source.is_dir() else source.parent
    settings = ConfigParser()
    settings.read(folder / "costs.ini")
    config = Config(settings)
    output.mkdir(parents=True, exist_ok=True)
    failed = []
    for bill in sorted(folder.glob("*-bill.csv")):
        day = bill.name.removesuffix("-bill.csv")
        if not allocate_day(bill, folder / f"{day}-keys.csv", config, output / f"{day}.csv"):
            failed.append(day)
    print(f"not allocated: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
