"""Programs and libraries from the package index, unmodified, with the mappings in `examples/mappings/`."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS, clean_environment
from mapped import MAPPINGS, instrument

from otel_kcevents import Event, Journal, Window

EXAMPLES = TESTS.parent / "examples"
COSTS = EXAMPLES / "cloud_costs"
MATERIALIZE = TESTS / "programs" / "materialize.py"
DAGSTER_MAPPING = MAPPINGS / "dagster_assets.toml"
SQLITE_MAPPING = MAPPINGS / "sqlite_utils.toml"
COSTS_MAPPING = MAPPINGS / "cloud_cost_allocation.toml"
COSTS_FUNCTIONS = {
    "AzureEaAmortizedCostReader.read": "AssetSetLoaded",
    "CSV_CostAllocationKeysReader.read": "AllocationKeySetLoaded",
    "CloudCostAllocator.allocate": "AllocationSetAggregated",
    "write_csv_file": "AllocationSetSaved",
}


def count_calls(functions: dict[str, str], folder: Path, *command: object) -> dict[str, int]:
    """Run a program without this package, and return how often it calls functions, by the kind of their events."""
    counts = folder / "calls.json"
    program: list[Any] = [
        sys.executable,
        TESTS / "programs" / "count_calls.py",
        counts,
        ",".join(functions),
        *map(str, command),
    ]
    subprocess.run(program, env=clean_environment(), capture_output=True, timeout=300, check=False)
    return {functions[name]: count for name, count in json.loads(counts.read_text(encoding="utf-8")).items()}


def events(journal: Path) -> list[Event]:
    """Return the events of a journal, oldest first."""
    return [listed.event for listed in reversed(Journal(journal).events().events)]


def rows(path: Path) -> int:
    """Return the number of rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def allocate(folder: Path, code: int = 0) -> list[Event]:
    """Run the example that allocates the bills of a folder, and return its events."""
    journal = folder / "kcevents.db"
    command = (COSTS / "allocate.py", folder / "output", folder)
    _, errors = instrument(*command, mapping=COSTS_MAPPING, journal=journal, code=code)
    assert COSTS_MAPPING.name not in errors  # as it is in warnings about its entries
    return events(journal)


@pytest.fixture
def bills(tmp_path: Path) -> Path:
    """A folder with the bills and the cost allocation keys of three days."""
    pytest.importorskip("cloud_cost_allocation")
    return Path(shutil.copytree(COSTS, tmp_path / "bills"))


def test_cost_allocation_records_rows_and_days(bills: Path) -> None:
    """It records as many calls as a profiler counts."""
    recorded = allocate(bills)
    expected = []
    for bill in sorted(bills.glob("*-bill.csv")):
        day = bill.name[:10]
        written = rows(bills / "output" / f"{day}.csv")
        sizes = (rows(bill), rows(bills / f"{day}-keys.csv"), written, written)
        expected += [(kind, size, Window.of(day)) for kind, size in zip(COSTS_FUNCTIONS.values(), sizes, strict=True)]
    assert [(event.kind, event.size, event.window) for event in recorded] == expected
    calls = count_calls(COSTS_FUNCTIONS, bills, COSTS / "allocate.py", bills / "output", bills)
    assert Counter(event.kind for event in recorded) == calls


def test_cost_allocation_that_returns_false_has_failed(bills: Path) -> None:
    """The keys of one day have a cycle that no setting breaks."""
    with (bills / "2025-03-02-keys.csv").open("a", encoding="utf-8") as keys:
        keys.write("2025-03-02,orders,cluster,,1\n")
    recorded = allocate(bills, code=1)
    (failed,) = ((event.kind, event.window, event.failure.operation) for event in recorded if event.failure)
    assert failed == ("AllocationSetComputeError", Window.of("2025-03-02"), "aggregate")
    saved = [event.window for event in recorded if event.kind == "AllocationSetSaved"]
    assert saved == [Window.of("2025-03-01"), Window.of("2025-03-03")]


def test_bill_without_a_column_is_a_failed_load(bills: Path) -> None:
    bill = bills / "2025-03-02-bill.csv"
    bill.write_text(bill.read_text(encoding="utf-8").replace("PricingModel", "Model"), encoding="utf-8")
    last = allocate(bills, code=1)[-1]
    assert (last.kind, last.failure) == ("AssetSetComputeError", ("KeyError", "'PricingModel'", "load"))


def test_row_that_a_reader_skips_is_not_counted(bills: Path) -> None:
    bill = bills / "2025-03-01-bill.csv"
    bill.write_text(bill.read_text(encoding="utf-8").replace("03/01/2025", "2025-03-01", 1), encoding="utf-8")
    assert allocate(bills)[0].size == rows(bill) - 1


def test_command_of_cost_allocation_fails_as_without_us(bills: Path) -> None:
    """Its function `main` calls `allocate` without an argument that version 2.3.4 requires."""
    day = bills / "2025-03-01"
    command: list[Any] = [
        "-m",
        "cloud_cost_allocation.main",
        "-C",
        bills / "costs.ini",
        "-c",
        f"AzEaAmo:{day}-bill.csv",
    ]
    command += ["-k", f"{day}-keys.csv", "-o", bills / "output.csv"]
    journal = bills / "kcevents.db"
    _, errors = instrument(*command, mapping=COSTS_MAPPING, journal=journal, code=1)
    bare = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert errors.splitlines()[-1] == bare.stderr.splitlines()[-1]
    calls = count_calls(COSTS_FUNCTIONS, bills, *command)
    assert Counter(event.kind for event in events(journal)) == {kind: count for kind, count in calls.items() if count}
    (run,) = Journal(journal).runs()
    assert run["outcome"] == "failed"
    assert "missing 1 required positional argument: 'amounts'" in run["detail"]


def test_batches_of_sqlite_utils_have_the_day_of_the_file(tmp_path: Path) -> None:
    """The click command `insert` keeps the name of the file."""
    pytest.importorskip("sqlite_utils")
    bill, journal = COSTS / "2025-03-01-bill.csv", tmp_path / "kcevents.db"
    insert = ["-m", "sqlite_utils", "insert", tmp_path / "costs.db", "costs", bill, "--csv", "--batch-size", 4]
    instrument(*insert, mapping=SQLITE_MAPPING, journal=journal)
    expected = [("AssetSetSaved", size, Window.of("2025-03-01")) for size in (4, 4, rows(bill) - 8)]
    assert [(event.kind, event.size, event.window) for event in events(journal)] == expected


def test_rows_that_sqlite_utils_prints_are_loaded(tmp_path: Path) -> None:
    """The items of a generator."""
    pytest.importorskip("sqlite_utils")
    database, journal = tmp_path / "costs.db", tmp_path / "kcevents.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE costs (Date, Quantity INTEGER)")
        connection.executemany("INSERT INTO costs VALUES ('03/02/2025', ?)", [(40,), (60,), (70,)])
    sql = "select * from costs where Date = strftime('%m/%d/%Y', :day) and Quantity > 50"
    query = ["-m", "sqlite_utils", "query", database, sql, "--param", "day", "2025-03-02"]
    printed, _ = instrument(*query, mapping=SQLITE_MAPPING, journal=journal)
    expected = ("AssetSetLoaded", len(json.loads(printed)), Window.of("2025-03-02"))
    assert [(event.kind, event.size, event.window) for event in events(journal)] == [expected]


def test_batch_that_sqlite_utils_cannot_save_has_failed(tmp_path: Path) -> None:
    pytest.importorskip("sqlite_utils")
    database, journal = tmp_path / "costs.db", tmp_path / "kcevents.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE costs (Date)")
    insert = ["-m", "sqlite_utils", "insert", database, "costs", COSTS / "2025-03-03-keys.csv", "--csv"]
    instrument(*insert, mapping=SQLITE_MAPPING, journal=journal, code=1)
    (failed,) = events(journal)
    assert failed.failure is not None
    assert (failed.kind, failed.window) == ("AssetSetComputeError", Window.of("2025-03-03"))
    assert failed.failure.type == "sqlite3.OperationalError"


def partition(day: str, size: int) -> list[tuple[str, int, Window]]:
    """Return the events of a partition of the example with Dagster assets: kinds, sizes and windows."""
    window = Window.of(day)
    return [
        ("AssetSetAggregated", size, window),
        ("AssetSetLoaded", size, window),
        ("AllocationSetAggregated", size - 1, window),
        ("AllocationSetSaved", size - 1, window),
    ]


@pytest.fixture(scope="module")
def materialized(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of two partitions, of which the second one fails."""
    pytest.importorskip("dagster")
    journal = tmp_path_factory.mktemp("dagster") / "kcevents.db"
    instrument(MATERIALIZE, "2025-03-04", "2025-03-13", mapping=DAGSTER_MAPPING, journal=journal)
    return events(journal)


def test_dagster_assets_have_the_window_of_their_partition(materialized: list[Event]) -> None:
    recorded = [(event.kind, event.size, event.window) for event in materialized]
    assert recorded[:4] == partition("2025-03-04", 6)


def test_dagster_asset_that_raises_has_failed(materialized: list[Event]) -> None:
    last = materialized[-1]
    assert (last.kind, last.window) == ("AllocationSetComputeError", Window.of("2025-03-13"))
    assert last.failure == ("ValueError", "the bill of 2025-03-13 does not add up", "aggregate")


def test_dagster_command_records_in_its_step_processes(tmp_path: Path) -> None:
    """Its default executor starts a process for each asset; it loads the file by path."""
    pytest.importorskip("dagster")
    journal = tmp_path / "kcevents.db"
    command: list[Any] = ["-m", "dagster", "asset", "materialize", "-f", EXAMPLES / "cost_assets.py"]
    command += ["--select", "bill", "--partition", "2025-03-02"]
    instrument(
        *command, mapping=DAGSTER_MAPPING, journal=journal, DAGSTER_HOME=str(tmp_path), DAGSTER_DISABLE_TELEMETRY="yes"
    )
    assert [(event.kind, event.size, event.window) for event in events(journal)] == partition("2025-03-02", 4)[:1]
    (recording,) = (run for run in Journal(journal).runs() if run["events"])
    assert recording["parent"] is not None
