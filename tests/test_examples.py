"""Promises of `examples/`: each runs as it stands, and the cost ETL accounts for every row of a bill."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAMPLE = EXAMPLES / "sample_bill.csv"
REAL = Path(__file__).parents[2] / "shared/data/focus_sample.csv"
COLUMNS = (
    *("BilledCost", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart"),
    *("ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ProviderName", "ServiceName", "SubAccountId", "ResourceId"),
)
HEADER = SAMPLE.read_text(encoding="utf-8").partition("\n")[0].split(",")
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal or path")

Sums = dict[tuple[str, str], Decimal]  # by day and currency


def environment() -> dict[str, str]:
    """Our own, with this checkout's package and without settings that would send the examples' data anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    paths = [str(EXAMPLES.parent), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"}


def run(
    name: str, *arguments: object, code: int = 0, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """An example run to its end, which must come with the exit code `code`, and with no traceback."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    env = environment() | dict(settings or {})
    done = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@dataclass
class Summary:
    """What `focus_etl.py` printed."""

    text: str

    def number(self, label: str) -> int:
        found = re.search(rf"^ *{label} +([\d,]+)", self.text, re.MULTILINE)
        assert found, f"no {label!r} in {self.text}"
        return int(found[1].replace(",", ""))

    @property
    def table(self) -> dict[tuple[str, str], tuple[list[str], str]]:
        """By day and currency: the sums of allocations, assets and bill as printed, and whether they reconcile."""
        lines = re.findall(r"^(\S+|all days|no day) {2,}(\S+) +(\S+) +(\S+) +(\S+) +(yes|NO)$", self.text, re.MULTILINE)
        return {(day, currency): (sums, same) for day, currency, *sums, same in lines}

    def sums(self, column: int) -> Sums:
        """One column, 0 to 2, of the days' lines."""
        days = {key: line for key, line in self.table.items() if key[0] not in ("all days", "no day")}
        return {key: Decimal(sums[column].replace(",", "")) for key, (sums, _) in days.items()}

    @property
    def failing(self) -> set[tuple[str, str]]:
        return {key for key, (_, same) in self.table.items() if same == "NO"}


def etl(*arguments: object, settings: Mapping[str, str] | None = None) -> Summary:
    return Summary(run("focus_etl.py", *arguments, settings=settings).stdout)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summed(rows: Iterable[dict[str, str]]) -> Sums:
    """The billed cost by day and currency, added up here and not by the example."""
    sums: Sums = defaultdict(Decimal)
    with localcontext(Context(prec=200)):
        for row in rows:
            sums[row["ChargePeriodStart"][:10], row["BillingCurrency"]] += Decimal(row["BilledCost"])
    return dict(sums)


def charge(cost: str = "1.00", start: str = "2025-03-01T05:00:00Z", **cells: str) -> dict[str, str]:
    """One row for an hour on 1 March 2025, in the form of the sample."""
    usual = rows_of(SAMPLE)[-1] | {
        "BillingPeriodStart": "2025-03-01T00:00:00Z",
        "BillingPeriodEnd": "2025-04-01T00:00:00Z",
        "ChargePeriodEnd": f"{start[:14]}59:59Z",
    }
    return usual | {"BilledCost": cost, "ChargePeriodStart": start, **cells}


def write_bill(path: Path, rows: Iterable[dict[str, str]], tail: str = "") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        file.write(tail)
    return path


def in_database(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Path]:
    """The ETL over the shipped sample, and its database."""
    path = tmp_path_factory.mktemp("sample") / "sets.db"
    return etl("--db", path), path


# ---- the sample


def test_the_sample_bill_is_made_anew_byte_for_byte(tmp_path: Path) -> None:
    """The generator gives the shipped file, which is below 100 kB."""
    run("make_sample_bill.py", tmp_path / "bill.csv")
    assert (tmp_path / "bill.csv").read_bytes() == SAMPLE.read_bytes()
    assert SAMPLE.stat().st_size < 100_000


def test_the_sample_holds_what_makes_bills_hard() -> None:
    """All charge categories, a correction, two currencies, empty cells, and costs of every sign and notation."""
    rows = rows_of(SAMPLE)
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
    assert {row["ChargeClass"] for row in rows} == {"NULL", "Correction"}
    assert {row["BillingCurrency"] for row in rows} == {"USD", "EUR"}
    assert any(row["ResourceId"] == row["SubAccountId"] == "NULL" for row in rows)
    costs = [row["BilledCost"] for row in rows]
    assert any("E" in cost for cost in costs)
    assert {(Decimal(cost) > 0) - (Decimal(cost) < 0) for cost in costs} == {-1, 0, 1}


# ---- the cost ETL


def test_focus_etl_needs_nothing_but_the_package() -> None:
    """What it imports is the standard library, this package and the OpenTelemetry API that comes with it."""
    imported = set()
    for name in ("focus_etl.py", "focus_bill.py"):
        for node in ast.walk(ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
    assert imported - set(sys.stdlib_module_names) == {"focus_bill", "opentelemetry", "otel_kcevents"}


def test_the_run_completes_with_the_one_day_that_does_not_add_up(sample_run: tuple[Summary, Path]) -> None:
    """2 March fails for both sets, by the 49.00 of the refused row, and the other days are reconciled."""
    summary, _ = sample_run
    assert summary.failing == {("2025-03-02", "USD"), ("all days", "USD")}
    assert "days that do not add up: 2025-03-02\n" in summary.text
    for name in ("Allocation", "Asset"):
        assert summary.number(f"{name}SetReconcileError") == 1
        assert summary.number(f"{name}SetReconciled") == 2
        error = f"{name}SetReconcileError  2025-03-02T00:00:00Z,2025-03-03T00:00:00Z: .*: 49 short"
        assert re.search(error, summary.text)
    assert "line 4: ChargePeriodEnd '2025-03-01T00:00:00Z' is not after" in summary.text


def test_totals_are_the_sums_of_the_bill(sample_run: tuple[Summary, Path]) -> None:
    """Allocations and assets are the rows that were not refused, and the bill is all rows, by day and currency."""
    summary, _ = sample_run
    rows = rows_of(SAMPLE)
    sound = summed(row for row in rows if row["ChargePeriodStart"] < row["ChargePeriodEnd"])
    assert summary.sums(0) == summary.sums(1) == sound
    assert summary.sums(2) == summed(rows)


def test_every_row_of_the_sample_is_allocated_or_refused(sample_run: tuple[Summary, Path]) -> None:
    """The numbers say so, and the database holds as many charges on either side as were allocated."""
    summary, database = sample_run
    assert summary.number("rows read") == len(rows_of(SAMPLE))
    assert (summary.number("allocated"), summary.number("refused")) == (len(rows_of(SAMPLE)) - 1, 1)
    for table in ("allocations", "assets"):
        assert in_database(database, f"select sum(charges) from {table}") == [(summary.number("allocated"),)]


def test_each_set_has_its_event(sample_run: tuple[Summary, Path]) -> None:
    """Three days of hourly sets are saved and loaded on both sides, and aggregated and totaled by day."""
    summary, _ = sample_run
    for name in ("Allocation", "Asset"):
        assert summary.number(f"{name}SetSaved") == summary.number(f"{name}SetLoaded") == 72
        assert summary.number(f"{name}SetAggregated") == summary.number(f"{name}SetTotaled") == 3


def test_a_long_charge_is_whole_in_the_hour_it_starts_in(sample_run: tuple[Summary, Path]) -> None:
    """The purchase for a month is one record of the month's first hour."""
    found = in_database(sample_run[1], "select hour, cost, charges from assets where resource = 'rsv-31'")
    assert found == [("2025-03-01T00:00:00+00:00", "120.00", 1)]


def test_every_row_of_the_real_bill_is_accounted_for(tmp_path: Path) -> None:
    """1,000 rows of three providers: all allocated, and each day's totals are the bill's to the last digit."""
    if not REAL.exists():
        pytest.skip("the FOCUS sample data are not beside this checkout")
    summary = etl(REAL, "--db", tmp_path / "sets.db")
    assert (summary.number("rows read"), summary.number("allocated"), summary.number("refused")) == (1000, 1000, 0)
    assert summary.sums(0) == summary.sums(1) == summary.sums(2) == summed(rows_of(REAL))
    assert not summary.failing
    assert "days that do not add up: none\n" in summary.text
    for table in ("allocations", "assets"):
        assert in_database(tmp_path / "sets.db", f"select sum(charges) from {table}") == [(1000,)]


def test_a_refused_row_is_named_by_line_column_and_value(tmp_path: Path) -> None:
    """Each malformed row is shown with what is wrong with it, and the sound ones around them are allocated."""
    bad = {
        "BilledCost '1,284.00' is no number": charge("1,284.00"),
        "BilledCost 'NaN' is no number": charge("NaN"),
        "BilledCost '1_000' is no number": charge("1_000"),
        "BilledCost '' is no number": charge(""),
        "BilledCost '1E99' has more than 40 digits": charge("1E99"),
        "ChargePeriodStart '2025-03-01T25:00:00Z' is no time": charge(start="2025-03-01T25:00:00Z"),
        "ChargePeriodStart '9999-12-31T00:00:00Z' is no time": charge(start="9999-12-31T00:00:00Z"),
        "BillingPeriodStart 'NULL' is no time": charge(BillingPeriodStart="NULL"),
        "BillingCurrency 'NULL' is none": charge(BillingCurrency="NULL"),
    }
    rows = [row for row in bad.values() for row in (charge(), row)]
    summary = etl(write_bill(tmp_path / "bill.csv", rows, tail="1.00,QC-7001,USD\n\n"))
    assert (summary.number("allocated"), summary.number("refused")) == (len(bad), len(bad) + 1)
    for number, message in enumerate(bad):
        assert f"    line {2 * number + 3}: {message}" in summary.text
    assert f"it has 3 columns where the header has {len(HEADER)}; the last one is 'USD'" in summary.text


def test_a_quote_that_is_never_closed_swallows_no_row_unseen(tmp_path: Path) -> None:
    """The rows that it makes one of are named by their lines, and what they cost is unknown."""
    tail = '1.00,"QC-7001,USD\n' + "1.00,QC-7001,USD\n" * 3
    summary = etl(write_bill(tmp_path / "bill.csv", [charge()], tail))
    assert "    lines 3-6: it has 2 columns" in summary.text
    assert summary.table["no day", "?"] == (["0.00", "0.00", "unknown"], "NO")
    assert (summary.number("allocated"), summary.number("refused")) == (1, 1)


def test_a_cell_beyond_what_csv_reads_is_one_refused_row(tmp_path: Path) -> None:
    """The rows behind it are read again."""
    rows = [charge(), charge(Tags="x" * 200_000), charge(start="2025-03-02T00:00:00Z")]
    summary = etl(write_bill(tmp_path / "bill.csv", rows))
    assert (summary.number("allocated"), summary.number("refused")) == (2, 1)
    assert "    line 3: it can't be read: field larger than field limit" in summary.text


def test_a_day_with_a_cost_that_can_not_be_read_does_not_pass(tmp_path: Path) -> None:
    """Nobody knows what that day costs: its bill is unknown, and the days beside it are reconciled."""
    rows = [charge(), charge("12,40", "2025-03-02T00:00:00Z"), charge("2.00", "2025-03-03T00:00:00Z")]
    summary = etl(write_bill(tmp_path / "bill.csv", rows))
    assert summary.table["2025-03-02", "USD"] == (["0.00", "0.00", "unknown"], "NO")
    assert summary.failing == {("2025-03-02", "USD"), ("all days", "USD")}
    assert summary.number("AllocationSetReconcileError") == summary.number("AssetSetReconcileError") == 1


def test_a_row_of_no_day_stays_on_the_bill(tmp_path: Path) -> None:
    """What it costs is in the table, and the whole does not pass."""
    summary = etl(write_bill(tmp_path / "bill.csv", [charge(), charge("7.00", "soon")]))
    assert summary.table["no day", "USD"] == (["0.00", "0.00", "7.00"], "NO")
    assert summary.table["all days", "USD"] == (["1.00", "1.00", "8.00"], "NO")


def test_money_is_never_rounded(tmp_path: Path) -> None:
    """A sum of eighty digits is exact, in the table and in the database."""
    large, small = "9" * 40, f"0.{'0' * 39}1"
    rows = [charge(large), charge(small), charge(f"-{large}", ResourceId="other"), charge(large, ResourceId="other")]
    database = tmp_path / "sets.db"
    summary = etl(write_bill(tmp_path / "bill.csv", rows), "--db", database)
    assert summary.sums(0) == summary.sums(1) == summary.sums(2) == summed(rows)
    assert sorted(in_database(database, "select cost from assets")) == sorted([(f"{large}.{small[2:]}",), ("0",)])


def test_the_table_shows_every_digit(tmp_path: Path) -> None:
    """Two days of half a cent are not shown as what their sum can be written with."""
    summary = etl(write_bill(tmp_path / "bill.csv", [charge("0.005"), charge("0.005", "2025-03-02T00:00:00Z")]))
    assert [sums[0] for sums, _ in summary.table.values()] == ["0.005", "0.005", "0.010"]


def test_times_with_an_offset_are_in_the_hour_they_mean(tmp_path: Path) -> None:
    """01:30 two hours east of UTC is in the last hour of the day before."""
    row = charge(start="2025-03-02T01:30:00+02:00", ChargePeriodEnd="2025-03-02T02:30:00+02:00")
    etl(write_bill(tmp_path / "bill.csv", [row]), "--db", tmp_path / "sets.db")
    assert in_database(tmp_path / "sets.db", "select hour from allocations") == [("2025-03-01T23:00:00+00:00",)]


def test_a_second_run_over_the_same_database_changes_nothing(sample_run: tuple[Summary, Path]) -> None:
    """A bill can be delivered again: its sets are replaced."""
    summary, database = sample_run
    before = in_database(database, "select * from allocations union all select * from assets")
    assert etl("--db", database).table == summary.table
    assert in_database(database, "select * from allocations union all select * from assets") == before


def test_an_hour_that_a_new_bill_no_longer_has_is_gone(tmp_path: Path) -> None:
    """A corrected bill over the same database leaves nothing of the old one on its days."""
    database = tmp_path / "sets.db"
    etl(write_bill(tmp_path / "old.csv", [charge(), charge(start="2025-03-01T09:00:00Z")]), "--db", database)
    summary = etl(write_bill(tmp_path / "new.csv", [charge("3.00")]), "--db", database)
    assert summary.table["2025-03-01", "USD"] == (["3.00", "3.00", "3.00"], "yes")


def test_a_bill_without_rows_is_no_error(tmp_path: Path) -> None:
    """There is nothing to do, and it says so."""
    summary = etl(write_bill(tmp_path / "bill.csv", []))
    assert (summary.number("rows read"), summary.table) == (0, {})


@POSIX_ONLY
def test_a_bill_may_come_through_a_pipe() -> None:
    """It is read once, from its beginning to its end."""
    command, bill = [sys.executable, str(EXAMPLES / "focus_etl.py"), "/dev/stdin"], SAMPLE.read_bytes()
    done = subprocess.run(command, input=bill, env=environment(), capture_output=True, timeout=120, check=True)
    assert Summary(done.stdout.decode()).number("rows read") == len(rows_of(SAMPLE))


def test_quiet_says_only_what_is_wrong(tmp_path: Path) -> None:
    """The refused row and the two errors of the sample on stderr; of a sound bill, nothing."""
    done = run("focus_etl.py", "--quiet")
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 3)
    done = run("focus_etl.py", write_bill(tmp_path / "bill.csv", [charge()]), "--quiet")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "it is empty"),
        (b"Id,Cost\n1,2\n", f"it lacks the columns {', '.join(COLUMNS)}; the header is 'Id,Cost'"),
        (",".join([*HEADER, "BilledCost"]).encode(), "the columns BilledCost stand twice"),
        (SAMPLE.read_bytes() + b"\xff\n", "can't decode byte 0xff"),
    ],
)
def test_a_bill_that_can_not_be_read_ends_with_1(tmp_path: Path, content: bytes | None, message: str) -> None:
    """One line says which file and why, also where it breaks half way."""
    path = tmp_path / "bill.csv"
    if content is not None:
        path.write_bytes(content)
    done = run("focus_etl.py", path, code=1)
    assert done.stdout == ""
    assert done.stderr.startswith("focus_etl: ")
    assert message in done.stderr
    assert path.name in done.stderr


def test_a_database_that_is_none_ends_with_1() -> None:
    """One line says which file and why."""
    assert run("focus_etl.py", "--db", SAMPLE, code=1).stderr == f"focus_etl: {SAMPLE}: file is not a database\n"


def test_a_port_that_is_taken_ends_with_1() -> None:
    """One line names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in run("focus_etl.py", "--serve", port, code=1).stderr


def test_wrong_arguments_end_with_2() -> None:
    """As argparse has it."""
    assert "usage:" in run("focus_etl.py", "--port", "80", code=2).stderr


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The ETL with its endpoint up, on a free port, and the endpoint's URL."""
    command = [sys.executable, str(EXAMPLES / "focus_etl.py"), "--serve", "0", *arguments]
    process = subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield process, next(found[0] for line in lines if (found := re.search(r"http://\S+(?=;)", line)))
    finally:
        process.kill()
        process.communicate()


@POSIX_ONLY
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_it_is_told_to_end(number: signal.Signals) -> None:
    """The log is there after the run, with the error in it; then the end is a clean one."""
    with served("--quiet") as (process, url):
        with urlopen(url, timeout=30) as answer:
            data = json.load(answer)["data"]
        assert data["counters"]["AllocationSetSaved"] == 72
        assert len(data["allocation"]) == 2 * 72 + 3 * 3
        assert [event["kind"] for event in data["asset"] if "error" in event["metadata"]] == ["AssetSetReconcileError"]
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in errors


def test_focus_etl_exports_what_it_logs() -> None:
    """Over OTLP come one trace a day with its sets in it, and a counter as exact as the log."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporters are not installed")
    receivers = pytest.importorskip("receivers", reason="the OTLP receivers need grpcio")
    with receivers.http_receiver() as received:
        summary = etl(settings=received.environment)
    assert received.total[("allocation", "AllocationSetSaved")] == summary.number("AllocationSetSaved") == 72
    assert received.total[("asset", "AssetSetReconcileError")] == 1
    assert len(received.events) == sum(received.total.values())
    days = [span for span in received.spans if span.name == "day"]
    of_days = {span.trace_id for span in days}
    assert len(of_days) == 3
    assert {span.name for span in received.spans if span.trace_id not in of_days} == {
        "compute AllocationSet",
        "compute AssetSet",
    }


def test_a_bill_that_can_not_be_read_is_an_error_of_both_sets() -> None:
    """The collector hears of it, although the run ends before there is a set."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporters are not installed")
    receivers = pytest.importorskip("receivers", reason="the OTLP receivers need grpcio")
    with receivers.http_receiver() as received:
        run("focus_etl.py", "no_such_bill.csv", code=1, settings=received.environment)
    assert received.total == {("allocation", "AllocationSetComputeError"): 1, ("asset", "AssetSetComputeError"): 1}


# ---- the short ones


def test_process_pool_workers_keep_and_export_their_own() -> None:
    """The parent's log has the parent's event alone, and the collector has those of all processes."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporters are not installed")
    receivers = pytest.importorskip("receivers", reason="the OTLP receivers need grpcio")
    with receivers.http_receiver() as received:
        text = run("process_pool.py", settings=received.environment).stdout
    workers = [ast.literal_eval(counts) for counts in re.findall(r"^worker \d+: (.*)$", text, re.MULTILINE)]
    for kind in ("AllocationSetLoaded", "AllocationSetSaved"):
        assert sum(counts[kind] for counts in workers) == received.total["allocation", kind] == 24
    assert re.search(r"^parent \d+: {'AllocationSetAggregated': 1}$", text, re.MULTILINE)
    assert len(received.counters) == len(workers) + 1
    assert "the day: {'shop': 4608, 'batch': 504, 'reports': 2664}" in text


def test_async_windows_run_at_once_and_the_slow_one_fails() -> None:
    """Five hours of six are loaded, the cancelled one is an error, and the others keep their own sizes."""
    text = run("async_windows.py").stdout
    assert [line[7:] for line in text.splitlines()[:6]] == [
        *("2 assets", "3 assets", "4 assets", "5 assets"),
        *("TimeoutError()", "7 assets"),
    ]
    assert dict(re.findall(r"^(A\w+) +(\d+)$", text, re.MULTILINE)) == {
        "AllocationSetComputeError": "1",
        "AllocationSetLoaded": "5",
        "AllocationSetSaved": "5",
        "AssetSetLoaded": "5",
    }


def test_asgi_app_serves_its_log_beside_its_routes() -> None:
    """A load that succeeds and one that fails are in the log that the same application gives."""
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    costs, refusal, wrong, *log = run("asgi_app.py").stdout.splitlines()
    assert json.loads(costs) == {"shop": "4.61", "batch": "0.21", "reports": "2.66"}
    assert json.loads(refusal) == {"message": "the cost database does not answer"}
    assert "'sometime' is no window" in wrong
    data = json.loads("\n".join(log))["data"]
    assert data["counters"] == {"AllocationSetComputeError": 1, "AllocationSetLoaded": 1}
    assert data["allocation"][1]["metadata"]["size"] == 3


def test_pandas_intervals_and_frames_are_windows_and_sizes() -> None:
    """The day's events have the day as their window and a frame's length as their size."""
    pytest.importorskip("pandas")
    text = run("pandas_pipeline.py").stdout
    assert "5.867992 on 2025-03-01" in text
    totaled, aggregated, loaded = (json.loads(line) for line in text.splitlines() if line.startswith('{"'))
    assert totaled["metadata"]["window"] == {"start": "2025-03-01T00:00:00Z", "end": "2025-03-02T00:00:00Z"}
    assert (aggregated["metadata"]["size"], loaded["metadata"]["size"]) == (3, 2)
    assert "{'AllocationSetAggregated': 1, 'AllocationSetLoaded': 24, 'AllocationSetSaved': 24" in text


def test_times_of_a_bill_may_have_fractions(tmp_path: Path) -> None:
    """As some providers write them, all of them zero."""
    bill = tmp_path / "bill.csv"
    bill.write_text(re.sub(r"(\d\d:\d\d:\d\d)Z?", r"\1.000Z", SAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    assert Summary(run("focus_etl.py", bill).stdout).table == Summary(run("focus_etl.py").stdout).table


@POSIX_ONLY
def test_a_reader_who_leaves_early_is_no_error() -> None:
    """As `head` does."""
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "focus_etl.py")],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == ("", 0)
    process.stderr.close()
