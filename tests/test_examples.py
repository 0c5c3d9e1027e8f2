"""The programs in `examples/` run unchanged, and the cost ETL accounts for every row of a bill."""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from conftest import clean_environment

import otel_kcevents
from otel_kcevents import Journal, Window
from otel_kcevents.model.timestamps import to_ns
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.query import EventQuery

EXAMPLES = Path(__file__).parents[1] / "examples"
SAMPLE = EXAMPLES / "sample_bill.csv"
REAL = Path(__file__).parents[2] / "shared/data/focus_sample.csv"
HEADER = SAMPLE.read_text(encoding="utf-8").partition("\n")[0].split(",")
EVERYTHING = "select * from allocations union all select * from assets"
NO_SETTINGS: Mapping[str, str] = {}
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows lacks this signal or path")

Sums = dict[tuple[str, str], Decimal]  # by day and currency
Rows = Iterable[dict[str, str]]


def start(name: str, *arguments: object, settings: Mapping[str, str] = NO_SETTINGS) -> subprocess.Popen[str]:
    """Start an example with this checkout's package, without settings that would export its data."""
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        env=clean_environment(PYTHONIOENCODING="utf-8", **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def run(
    name: str, *arguments: object, code: int = 0, stdin: str = "", settings: Mapping[str, str] = NO_SETTINGS
) -> tuple[str, str]:
    """Run an example, expecting an exit code and no traceback, and return its stdout and stderr."""
    with start(name, *arguments, settings=settings) as process:
        out, errors = process.communicate(stdin, timeout=300)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return out, errors


class Summary:
    """What `focus_etl.py` printed, and its database."""

    def __init__(self, *arguments: object, database: Path | None = None, **options: Any) -> None:
        with_database = ("--db", database) if database else ()
        self.text, _ = run("focus_etl.py", *arguments, *with_database, **options)
        self.database = database
        lines = re.findall(r"^(\S+|all days|no day) {2,}(\S+) +(\S+) +(\S+) +(\S+) +(yes|NO)$", self.text, re.MULTILINE)
        self.table = {(day, currency): (sums, reconciled) for day, currency, *sums, reconciled in lines}
        """By day and currency: the sums of allocations, assets and bill as printed, and whether they reconcile."""

    def number(self, label: str) -> int:
        found = re.search(rf"^ *{label} +([\d,]+)", self.text, re.MULTILINE)
        assert found, f"no {label!r} in {self.text}"
        return int(found[1].replace(",", ""))

    @property
    def rows(self) -> tuple[int, int]:
        """The numbers of allocated and refused rows, which add up to the rows read."""
        allocated, refused = self.number("allocated"), self.number("refused")
        assert allocated + refused == self.number("rows read")
        return allocated, refused

    def sums(self, column: int) -> Sums:
        """One of the columns allocations, assets and bill, by day and currency."""
        days = {key: sums for key, (sums, _) in self.table.items() if key[0] not in ("all days", "no day")}
        return {key: Decimal(sums[column].replace(",", "")) for key, sums in days.items()}

    @property
    def failing(self) -> set[tuple[str, str]]:
        return {key for key, (_, reconciled) in self.table.items() if reconciled == "NO"}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        assert self.database is not None
        with closing(sqlite3.connect(self.database)) as database:
            return database.execute(sql).fetchall()

    def charges(self) -> list[int]:
        """The number of charges in the allocations and in the assets of the database."""
        return [self.query(f"select sum(charges) from {table}")[0][0] for table in ("allocations", "assets")]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summed(rows: Rows) -> Sums:
    """Add up the billed cost by day and currency, independently of the example."""
    sums: Sums = defaultdict(Decimal)
    with localcontext(Context(prec=200)):
        for row in rows:
            sums[row["ChargePeriodStart"][:10], row["BillingCurrency"]] += Decimal(row["BilledCost"])
    return dict(sums)


def charge(cost: str = "1.00", start: str = "2025-03-01T05:00:00Z", **cells: str) -> dict[str, str]:
    """Make a row for one hour of 1 March 2025, in the sample's format."""
    usual = rows_of(SAMPLE)[-1] | {
        "BillingPeriodStart": "2025-03-01T00:00:00Z",
        "BillingPeriodEnd": "2025-04-01T00:00:00Z",
        "ChargePeriodEnd": f"{start[:14]}59:59Z",
    }
    return usual | {"BilledCost": cost, "ChargePeriodStart": start, **cells}


@pytest.fixture
def bill(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a bill."""

    def write(*rows: dict[str, str], tail: str = "") -> Path:
        with (tmp_path / "bill.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, HEADER, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            file.write(tail)
        return tmp_path / "bill.csv"

    return write


@pytest.fixture
def etl(tmp_path: Path, bill: Callable[..., Path]) -> Callable[..., Summary]:
    """A function that runs the cost ETL over a bill of the given rows."""
    return lambda *rows, tail="": Summary(bill(*rows, tail=tail), database=tmp_path / "sets.db")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """The cost ETL over the sample bill."""
    return Summary(database=tmp_path_factory.mktemp("sample") / "sets.db")


@pytest.fixture
def received() -> Iterator[Any]:
    """An OTLP receiver."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporters are not installed")
    receivers = pytest.importorskip("receivers", reason="the OTLP receivers need grpcio")
    with receivers.http_receiver() as received:
        yield received


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: str(path.name))
def test_examples_import_public_names_only(path: Path) -> None:
    names = {name for module, name in imports_of(path) if module == "otel_kcevents"}
    assert names <= {*otel_kcevents.__all__}
    assert not [module for module, _ in imports_of(path) if module.startswith("otel_kcevents.")]


@pytest.mark.parametrize("name", ["focus_etl.py", "focus_bill.py", "focus_file.py"])
def test_cost_etl_needs_only_the_package(name: str) -> None:
    """It also imports pyarrow, but only to read Parquet."""
    modules = {module.partition(".")[0] for module, _ in imports_of(EXAMPLES / name)}
    own = {"focus_bill", "focus_file", "opentelemetry", "otel_kcevents"}
    assert modules - set(sys.stdlib_module_names) - own <= {"pyarrow"}


def test_sample_bill_is_reproducible(tmp_path: Path) -> None:
    run("make_sample_bill.py", tmp_path / "bill.csv")
    assert (tmp_path / "bill.csv").read_bytes() == SAMPLE.read_bytes()
    assert SAMPLE.stat().st_size < 100_000


def test_sample_bill_covers_the_difficult_cases() -> None:
    rows = rows_of(SAMPLE)
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
    assert {row["ChargeClass"] for row in rows} == {"NULL", "Correction"}
    assert {row["BillingCurrency"] for row in rows} == {"USD", "EUR"}
    assert any(row["ResourceId"] == row["SubAccountId"] == "NULL" for row in rows)
    costs = [row["BilledCost"] for row in rows]
    assert any("E" in cost for cost in costs)
    assert {(Decimal(cost) > 0) - (Decimal(cost) < 0) for cost in costs} == {-1, 0, 1}


def test_sample_run_reports_the_day_that_does_not_add_up(sample: Summary) -> None:
    assert sample.failing == {("2025-03-02", "USD"), ("all days", "USD")}
    assert "days that do not add up: 2025-03-02\n" in sample.text
    assert "line 4: ChargePeriodEnd '2025-03-01T00:00:00Z' is not after" in sample.text
    for name in ("Allocation", "Asset"):
        assert re.search(rf"{name}SetReconcileError  2025-03-02T00:00:00Z,2025-03-03T00:00:00Z: .*49", sample.text)


def test_sample_totals_match_the_bill(sample: Summary) -> None:
    rows = rows_of(SAMPLE)
    valid = summed(row for row in rows if row["ChargePeriodStart"] < row["ChargePeriodEnd"])
    assert sample.sums(0) == sample.sums(1) == valid
    assert sample.sums(2) == summed(rows)


def test_every_row_of_the_sample_is_accounted_for(sample: Summary) -> None:
    number = len(rows_of(SAMPLE))
    assert sample.rows == (number - 1, 1)
    assert sample.charges() == [number - 1] * 2


@pytest.mark.parametrize("name", ["Allocation", "Asset"])
def test_each_set_has_its_event(sample: Summary, name: str) -> None:
    outcomes = ("Saved", "Loaded", "Aggregated", "Totaled", "Reconciled", "ReconcileError")
    assert [sample.number(f"{name}Set{outcome}") for outcome in outcomes] == [72, 72, 3, 3, 2, 1]


def test_long_charge_counts_in_its_first_hour(sample: Summary) -> None:
    found = sample.query("select hour, cost, charges from assets where resource = 'rsv-31'")
    assert found == [("2025-03-01T00:00:00+00:00", "120.00", 1)]


def test_second_run_over_the_same_database_changes_nothing(sample: Summary) -> None:
    before = sample.query(EVERYTHING)
    assert Summary(database=sample.database).table == sample.table
    assert sample.query(EVERYTHING) == before


def test_every_row_of_a_real_bill_is_accounted_for(tmp_path: Path) -> None:
    """1,000 rows of three providers: all are allocated, and each day's totals match the bill exactly."""
    if not REAL.exists():
        pytest.skip("the FOCUS sample data are not beside this checkout")
    summary = Summary(REAL, database=tmp_path / "sets.db")
    assert summary.rows == (1000, 0)
    assert summary.charges() == [1000, 1000]
    assert summary.sums(0) == summary.sums(1) == summary.sums(2) == summed(rows_of(REAL))
    assert not summary.failing
    assert "days that do not add up: none\n" in summary.text


def test_refused_row_names_line_column_and_value(etl: Callable[..., Summary]) -> None:
    malformed = {
        "BilledCost '1,284.00' ": charge("1,284.00"),
        "BilledCost 'NaN' ": charge("NaN"),
        "BilledCost '1_000' ": charge("1_000"),
        "BilledCost '' ": charge(""),
        "BilledCost '1E99' has more than 40 digits": charge("1E99"),
        "ChargePeriodStart '2025-03-01T25:00:00Z' ": charge(start="2025-03-01T25:00:00Z"),
        "ChargePeriodStart '9999-12-31T00:00:00Z' ": charge(start="9999-12-31T00:00:00Z"),
        "BillingPeriodStart 'NULL' ": charge(BillingPeriodStart="NULL"),
        "BillingCurrency 'NULL' ": charge(BillingCurrency="NULL"),
    }
    summary = etl(*(row for row in malformed.values() for row in (charge(), row)), tail="1.00,QC-7001,USD\n\n")
    assert summary.rows == (len(malformed), len(malformed) + 1)
    for number, problem in enumerate(malformed):
        assert f"    line {2 * number + 3}: {problem}" in summary.text
    assert f"expected {len(HEADER)} columns, got 3; the last one is 'USD'" in summary.text


def test_unclosed_quote_is_reported_with_all_its_lines(etl: Callable[..., Summary]) -> None:
    summary = etl(charge(), tail='1.00,"QC-7001,USD\n' + "1.00,QC-7001,USD\n" * 3)
    assert f"    lines 3-6: expected {len(HEADER)} columns, got 2" in summary.text
    assert summary.table["no day", "?"] == (["0.00", "0.00", "unknown"], "NO")
    assert summary.rows == (1, 1)


def test_oversized_cell_refuses_only_its_row(etl: Callable[..., Summary]) -> None:
    summary = etl(charge(), charge(Tags="x" * 200_000), charge(start="2025-03-02T00:00:00Z"))
    assert summary.rows == (2, 1)
    assert re.search(r"    line 3: .*field larger than field limit", summary.text)


def test_day_with_an_unreadable_cost_does_not_reconcile(etl: Callable[..., Summary]) -> None:
    summary = etl(charge(), charge("12,40", "2025-03-02T00:00:00Z"), charge("2.00", "2025-03-03T00:00:00Z"))
    assert summary.table["2025-03-02", "USD"] == (["0.00", "0.00", "unknown"], "NO")
    assert summary.failing == {("2025-03-02", "USD"), ("all days", "USD")}
    assert summary.number("AllocationSetReconcileError") == summary.number("AssetSetReconcileError") == 1


def test_row_without_a_readable_day_stays_on_the_bill(etl: Callable[..., Summary]) -> None:
    summary = etl(charge(), charge("7.00", "soon"))
    assert summary.table["no day", "USD"] == (["0.00", "0.00", "7.00"], "NO")
    assert summary.table["all days", "USD"] == (["1.00", "1.00", "8.00"], "NO")


def test_money_is_never_rounded(etl: Callable[..., Summary]) -> None:
    """A sum of eighty digits is exact in the table and in the database."""
    large, small = "9" * 40, f"0.{'0' * 39}1"
    rows = [charge(large), charge(small), charge(f"-{large}", ResourceId="other"), charge(large, ResourceId="other")]
    summary = etl(*rows)
    assert summary.sums(0) == summary.sums(1) == summary.sums(2) == summed(rows)
    assert {cost for (cost,) in summary.query("select cost from assets")} == {f"{large}.{small[2:]}", "0"}


def test_table_shows_every_digit(etl: Callable[..., Summary]) -> None:
    summary = etl(charge("0.005"), charge("0.005", "2025-03-02T00:00:00Z"))
    assert [sums[0] for sums, _ in summary.table.values()] == ["0.005", "0.005", "0.010"]


def test_time_with_an_offset_is_converted_to_utc(etl: Callable[..., Summary]) -> None:
    summary = etl(charge(start="2025-03-02T01:30:00+02:00", ChargePeriodEnd="2025-03-02T02:30:00+02:00"))
    assert summary.query("select hour from allocations") == [("2025-03-01T23:00:00+00:00",)]


def test_times_may_have_fractional_seconds(sample: Summary, tmp_path: Path) -> None:
    text = re.sub(r"(\d\d:\d\d:\d\d)Z?", r"\1.000Z", SAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "bill.csv").write_text(text, encoding="utf-8")
    assert Summary(tmp_path / "bill.csv").table == sample.table


def test_times_are_read_as_providers_write_them(etl: Callable[..., Summary]) -> None:
    forms = [
        *("2025-03-01T{}:00Z", "2025-03-01 {}:00", "2025-03-01 {}:00:00 UTC", "2025-03-01 {}:00:00 +0000 UTC"),
        *("2025-03-01 {}:00:00 +0000", "2025-03-01T{}:00:00+0000", "2025-03-01 {}:00:00+00"),
        "2025-03-01T{}:00:00.000000000",
    ]
    days = {"BillingPeriodStart": "2025-03-01", "BillingPeriodEnd": "2025-04-01"}
    times = [{"ChargePeriodStart": form.format("05"), "ChargePeriodEnd": form.format("06")} for form in forms]
    summary = etl(*(charge() | days | pair for pair in times))
    assert summary.rows == (len(forms), 0)
    assert summary.query("select hour from allocations") == [("2025-03-01T05:00:00+00:00",)]


def test_ambiguous_time_is_refused(etl: Callable[..., Summary]) -> None:
    texts = ["3/1/2025 05:00", "2025-03-01 05:00 CET", "2025-03-01 05:00.5", "20250301", "2025-03-01T24:00Z"]
    assert etl(*(charge() | {"ChargePeriodStart": text} for text in texts)).rows == (0, len(texts))


def test_hour_missing_from_a_corrected_bill_is_removed(etl: Callable[..., Summary]) -> None:
    etl(charge(), charge(start="2025-03-01T09:00:00Z"))
    assert etl(charge("3.00")).table["2025-03-01", "USD"] == (["3.00", "3.00", "3.00"], "yes")


def test_bill_without_rows_is_not_an_error(etl: Callable[..., Summary]) -> None:
    summary = etl()
    assert (summary.rows, summary.table) == ((0, 0), {})


@posix_only
def test_bill_may_come_through_a_pipe(sample: Summary) -> None:
    assert Summary("/dev/stdin", stdin=SAMPLE.read_text(encoding="utf-8")).rows == sample.rows


@posix_only
def test_bill_compressed_with_gzip_is_read(sample: Summary, tmp_path: Path) -> None:
    """With any name, in several parts, and from a pipe."""
    parts = [SAMPLE.read_bytes()[:1000], SAMPLE.read_bytes()[1000:]]
    (tmp_path / "bill").write_bytes(b"".join(map(gzip.compress, parts)))
    assert Summary(tmp_path / "bill").table == sample.table
    piped = subprocess.run(
        f"cat '{tmp_path / 'bill'}' | '{sys.executable}' '{EXAMPLES / 'focus_etl.py'}' /dev/stdin",
        shell=True,
        env=clean_environment(PYTHONIOENCODING="utf-8"),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert piped.stdout.partition("newest")[0] == sample.text.partition("newest")[0]


def test_parquet_bill_is_read(sample: Summary, tmp_path: Path) -> None:
    """In row groups, with timestamps of a zone, floats and nulls beside strings."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    columns = {name: pyarrow.array([row[name] for row in rows_of(SAMPLE)]) for name in HEADER}
    for name in (name for name in HEADER if "Period" in name):
        times = [text.replace(" ", "T").rstrip("Z") for text in columns[name].to_pylist()]
        utc = pyarrow.array(times).cast("timestamp[ns]").cast(pyarrow.timestamp("ns", "UTC"))
        columns[name] = utc.cast(pyarrow.timestamp("ns", "Europe/Berlin"))
    columns["BilledCost"] = columns["BilledCost"].cast("double")
    resources = [None if text == "NULL" else text for text in columns["ResourceId"].to_pylist()]
    columns["ResourceId"] = pyarrow.array(resources).dictionary_encode()
    parquet.write_table(pyarrow.table(columns), tmp_path / "bill.parquet", row_group_size=100)
    summary = Summary(tmp_path / "bill.parquet")
    assert (summary.table, summary.rows) == (sample.table, sample.rows)
    assert "row 3: ChargePeriodEnd " in summary.text


def test_parquet_without_pyarrow_exits_with_1(tmp_path: Path) -> None:
    """The message says what to install."""
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError('pyarrow')")
    (tmp_path / "bill.parquet").write_bytes(b"PAR1")
    _, errors = run("focus_etl.py", tmp_path / "bill.parquet", code=1, settings={"PYTHONPATH": str(tmp_path)})
    assert "pip install pyarrow" in errors


@posix_only
def test_parquet_through_a_pipe_exits_with_1() -> None:
    _, errors = run("focus_etl.py", "/dev/stdin", code=1, stdin="PAR1")
    assert "cannot be read from a pipe" in errors


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, SAMPLE.read_bytes())
    return stream.getvalue()


def test_quiet_prints_only_problems(bill: Callable[..., Path]) -> None:
    out, errors = run("focus_etl.py", "--quiet")
    assert (out, len(errors.splitlines())) == ("", 3)  # the refused row and both reconcile errors
    assert run("focus_etl.py", bill(charge()), "--quiet") == ("", "")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory"),
        (b"", "empty"),
        (b"Id,Cost\n1,2\n", "missing columns: BilledCost, .*the header is 'Id,Cost'"),
        (",".join([*HEADER, "BilledCost"]).encode(), "duplicate columns: BilledCost;"),
        (SAMPLE.read_bytes() + b"\xff\n", "can't decode byte 0xff"),
    ],
    ids=["absent", "empty", "missing", "duplicate", "encoding"],
)
def test_unreadable_bill_exits_with_1(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "bill.csv"
    if content is not None:
        path.write_bytes(content)
    out, errors = run("focus_etl.py", path, code=1)
    assert out == ""
    assert re.fullmatch(rf"focus_etl: .*{problem}.*\n", errors)
    assert path.name in errors


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (zipped("bill.csv"), "it is a zip archive; unpack it"),
        (zipped("[Content_Types].xml"), r"it is an Excel workbook; save it as CSV \(UTF-8\)"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "it is compressed with zstd; decompress it with `zstd -d`"),
        (SAMPLE.read_text(encoding="utf-8").encode("utf-16"), "it is text in UTF-16; save it as CSV"),
        (gzip.compress(gzip.compress(SAMPLE.read_bytes())), "decompress it with `gunzip`"),
        (gzip.compress(zipped("bill.csv")), "it is a zip archive; unpack it"),
        (gzip.compress(bytes(257) + b"ustar"), "it is a tar archive; unpack it"),
        (gzip.compress(SAMPLE.read_bytes())[:-900], "is incomplete: .* copy it again"),
        (gzip.compress(SAMPLE.read_bytes())[:-8] + bytes(8), "CRC check failed"),
        (gzip.compress(b"")[:10] + b"\xff" * 20, "invalid block type"),
        (b"PAR1 and no more", "cannot read it as Parquet"),
    ],
    ids=[
        *("zip", "xlsx", "zstd", "utf-16", "gz in gz", "zip in gz", "tar in gz", "truncated", "checksum", "corrupt"),
        "not parquet",
    ],
)
def test_unreadable_file_error_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, problem: str
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    from focus_file import Refused, read_rows

    path = tmp_path / "bill.csv"
    path.write_bytes(content)
    with pytest.raises(Refused, match=problem) as caught:
        list(read_rows(path))
    assert str(caught.value).startswith(str(path))
    with pytest.raises(Refused, match="is a folder; pass one of the files in it"):
        list(read_rows(tmp_path))


def test_unreadable_bill_is_an_error_event_of_both_sets(received: Any) -> None:
    run("focus_etl.py", "no_such_bill.csv", code=1, settings=received.environment)
    assert received.total == {("allocation", "AllocationSetComputeError"): 1, ("asset", "AssetSetComputeError"): 1}


@pytest.mark.parametrize(
    ("row", "code"),
    [(charge("12,40"), 3), (charge("1.00", "soon"), 3), (charge("0.00", ChargePeriodEnd="soon"), 0)],
    ids=["unknown cost", "no day", "nothing missing"],
)
def test_strict_run_exits_with_3_if_a_day_does_not_add_up(bill: Callable[..., Path], row: Any, code: int) -> None:
    run("focus_etl.py", bill(charge(), row), "--strict", "--quiet", code=code)


def test_unusable_database_exits_with_1() -> None:
    _, errors = run("focus_etl.py", "--db", SAMPLE, code=1)
    assert f"{SAMPLE}: file is not a database" in errors


def test_port_in_use_exits_with_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"127.0.0.1:{port}" in run("focus_etl.py", "--serve", port, code=1)[1]


def test_wrong_arguments_exit_with_2() -> None:
    assert "usage:" in run("focus_etl.py", "--port", "80", code=2)[1]


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_a_signal_ends_it(number: signal.Signals) -> None:
    with start("focus_etl.py", "--serve", 0, "--quiet") as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+(?=;)", process.stdout.readline())
            assert found is not None
            with urlopen(found[0], timeout=30) as answer:
                data = json.load(answer)["data"]
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in errors) == (0, False)
    assert data["counters"]["AllocationSetSaved"] == 72
    assert len(data["allocation"]) == 2 * 72 + 3 * 3
    assert [event["kind"] for event in data["asset"] if "error" in event["metadata"]] == ["AssetSetReconcileError"]


@posix_only
def test_closed_stdout_is_not_an_error() -> None:
    with start("focus_etl.py") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 0)


def test_cost_etl_exports_what_it_logs(received: Any) -> None:
    """One trace holds all sets, and the exported counter equals the log's."""
    summary = Summary(settings=received.environment)
    assert received.total == {
        (name.lower(), f"{name}Set{outcome}"): summary.number(f"{name}Set{outcome}")
        for name in ("Allocation", "Asset")
        for outcome in ("Saved", "Loaded", "Aggregated", "Totaled", "Reconciled", "ReconcileError")
    }
    assert len(received.events) == sum(received.total.values())
    assert len({span.trace_id for span in received.spans}) == 1
    assert [span.name for span in received.spans if not span.parent_span_id] == ["focus-etl"]


def test_log_file_shows_what_ran_and_what_failed(tmp_path: Path) -> None:
    """Of each run, the newest first."""
    path = tmp_path / "kcevents.db"
    run("focus_etl.py", "--log", path)
    run("focus_etl.py", "no_such_bill.csv", "--log", path, code=1)
    journal = Journal(path)
    failed, ended = journal.runs()
    fields = ("name", "service", "outcome", "events", "errors")
    assert [failed[field] for field in fields] == ["focus-etl", "focus-etl", "failed", 2, 2]
    assert "no_such_bill.csv" in failed["detail"]
    assert [ended[field] for field in fields] == ["focus-etl", "focus-etl", "ended", 306, 2]
    page = journal.events(EventQuery(runs=(ended["id"],), errors=True))
    assert [listed.event.kind for listed in page.events] == ["AllocationSetReconcileError", "AssetSetReconcileError"]
    assert {listed.trace_id for listed in page.events} == {ended["traceId"]}


def test_unusable_log_file_does_not_stop_the_etl(tmp_path: Path) -> None:
    out, errors = run("focus_etl.py", "--log", tmp_path / "missing" / "kcevents.db")
    assert "days that do not add up: 2025-03-02\n" in out
    assert str(tmp_path / "missing") in errors


def test_process_pool_workers_export_their_own_events(received: Any) -> None:
    text, _ = run("process_pool.py", settings=received.environment)
    workers = [ast.literal_eval(counts) for counts in re.findall(r"^worker \d+: (.*)$", text, re.MULTILINE)]
    for kind in ("AllocationSetLoaded", "AllocationSetSaved"):
        assert sum(counts[kind] for counts in workers) == received.total["allocation", kind] == 24
    assert re.search(r"^parent \d+: {'AllocationSetAggregated': 1}$", text, re.MULTILINE)
    assert len(received.counters) == len(workers) + 1
    assert "the day: {'shop': 4608, 'batch': 504, 'reports': 2664}" in text


def test_async_windows_run_at_once_and_the_slow_one_fails() -> None:
    text, _ = run("async_windows.py")
    results = ["2 assets", "3 assets", "4 assets", "5 assets", "TimeoutError()", "7 assets"]
    assert [line[7:] for line in text.splitlines()[:6]] == results
    assert dict(re.findall(r"^(A\w+) +(\d+)$", text, re.MULTILINE)) == {
        "AllocationSetComputeError": "1",
        "AllocationSetLoaded": "5",
        "AllocationSetSaved": "5",
        "AssetSetLoaded": "5",
    }


def test_asgi_app_serves_its_log_next_to_its_routes() -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    costs, unavailable, invalid, *log = run("asgi_app.py")[0].splitlines()
    assert json.loads(costs) == {"shop": "4.61", "batch": "0.21", "reports": "2.66"}
    assert json.loads(unavailable) == {"message": "the cost database does not respond"}
    assert "'sometime'" in invalid
    data = json.loads("\n".join(log))["data"]
    assert data["counters"] == {"AllocationSetComputeError": 1, "AllocationSetLoaded": 1}
    assert data["allocation"][1]["metadata"]["size"] == 3


def test_pandas_intervals_and_frames_give_windows_and_sizes() -> None:
    pytest.importorskip("pandas")
    text, _ = run("pandas_pipeline.py")
    assert "5.867992 on 2025-03-01" in text
    totaled, aggregated, loaded = (json.loads(line) for line in text.splitlines() if line.startswith('{"'))
    assert totaled["metadata"]["window"] == {"start": "2025-03-01T00:00:00Z", "end": "2025-03-02T00:00:00Z"}
    assert (aggregated["metadata"]["size"], loaded["metadata"]["size"]) == (3, 2)
    assert "{'AllocationSetAggregated': 1, 'AllocationSetLoaded': 24, 'AllocationSetSaved': 24" in text


def test_troubled_week_has_each_trouble_once(tmp_path: Path) -> None:
    """Of the runs, one was killed and one failed; the last one still runs, until its input ends."""
    now, file = "2026-03-05T10:20:00+00:00", tmp_path / "week.db"
    with start("troubled_week.py", file, "--now", now, "--running") as process:
        assert process.stdout is not None
        assert "goes on" in process.stdout.readline()
        outcomes = [run["outcome"] for run in Journal(file).runs()]
        process.communicate(timeout=300)
    assert process.returncode == 0
    assert (outcomes[0], sorted(outcomes[1:])) == ("running", ["ended"] * 8 + ["failed", "killed"])
    assert Journal(file).runs()[0]["outcome"] == "ended"

    query = CoverageQuery(Window.parse("7d", datetime.fromisoformat(now)), now=to_ns(now))
    found = coverage(Journal(file), query)
    troubles = {}
    for row in found.rows:
        counts = {state: count for state, count in row.counts.items() if count and state not in ("ok", "not due")}
        counts["saved again"] = sum(window.saved_again for window in row.windows)
        counts["retried"] = sum(window.state == "ok" and window.failures > 0 for window in row.windows)
        troubles[row.etl, row.operation, row.resolution] = {what: count for what, count in counts.items() if count}
    assert {key: counts for key, counts in troubles.items() if counts} == {
        ("allocation", "save", "hourly"): {"missing": 1, "saved again": 1},
        ("allocation", "reconcile", "hourly"): {"failed": 1, "missing": 1},
        ("asset", "load", "hourly"): {"empty": 1, "retried": 1},
        ("asset", "save", "hourly"): {"empty": 1},
        ("asset", "aggregate", "daily"): {"failed": 1},
        ("asset", "save", "daily"): {"missing": 1},
    }
    assert [row.counts["not due"] for row in found.rows if row.resolution == "hourly"] == [1] * 5
    assert [(result.etl, result.events) for result in found.without_window] == [("allocation", 3)]


def test_troubled_week_overwrites_no_file(tmp_path: Path) -> None:
    (tmp_path / "week.db").touch()
    _, errors = run("troubled_week.py", tmp_path / "week.db", code=2)
    assert "week.db exists; name a new file" in errors
