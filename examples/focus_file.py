"""Open a cloud bill in the FOCUS 1.0 format, as providers deliver it: CSV, CSV compressed with gzip, or Parquet.

This is the part of `focus_etl.py` that knows files.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, TypeAlias

COLUMNS = [
    *("BilledCost", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart"),
    *("ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ProviderName", "ServiceName", "SubAccountId", "ResourceId"),
]
BATCH = 65_536  # rows of a Parquet file in memory at once

UNPACK = "unpack it, and pass the file in it"
SAVE = "save it as CSV (UTF-8)"
OTHER_FILES = {
    b"PK\x03\x04": ("a zip archive", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "decompress it with `zstd -d`"),
    b"BZh": ("compressed with bzip2", "decompress it with `bunzip2`"),
    b"\xfd7zXZ": ("compressed with xz", "decompress it with `unxz`"),
    b"\x04\x22\x4d\x18": ("compressed with lz4", "decompress it with `lz4 -d`"),
    b"\xff\x06\x00\x00sNaPpY": ("compressed with snappy", "decompress it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", UNPACK),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", SAVE),
    b"PARE": ("an encrypted Parquet file", "decrypt it"),
    b"Obj\x01": ("an Avro file", "export it as CSV or Parquet"),
    b"ARROW1": ("an Arrow file", "export it as CSV or Parquet"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV"),
    b"\xff\xfe": ("text in UTF-16", SAVE),
    b"\xfe\xff": ("text in UTF-16", SAVE),
}
"""The format of an unsupported file and the remedy, by the first bytes of the file."""

Row: TypeAlias = Mapping[str, str]


class Refused(ValueError):
    """A row or a whole bill cannot be read."""


def read_rows(path: Path) -> Iterator[tuple[str, Row, str]]:
    """Yield the place and the cells of each row of a file or a pipe, and the problem if the row is malformed.

    Raises:
        Refused: The file is not a FOCUS bill.
        OSError: The file cannot be opened.
    """
    if path.is_dir():
        raise Refused(f"{path} is a folder; pass one of the files in it")
    try:
        with path.open("rb") as file:
            head = file.peek(64)
            if head.startswith(b"PAR1"):
                yield from read_parquet(path, file)
            elif head.startswith(b"\x1f\x8b"):
                with gzip.open(file) as unpacked:
                    yield from read_csv(unpacked, unpacked.peek(512)[:512])
            else:
                yield from read_csv(file, head)
    except EOFError:
        raise Refused(f"{path} is incomplete: it ends in the middle of its compressed data; copy it again") from None
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not a FOCUS bill: {error}; {SAVE}") from error
    except (Refused, csv.Error, gzip.BadGzipFile, zlib.error) as error:
        raise Refused(f"{path} is not a FOCUS bill: {error}") from error


def read_csv(file: Any, head: bytes) -> Iterator[tuple[str, Row, str]]:
    for start, (what, remedy) in OTHER_FILES.items():
        if head.startswith(start):
            if head[30:].startswith((b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/")):
                what, remedy = "an Excel workbook", SAVE
            raise Refused(f"it is {what}; {remedy}")
    if head[257:262] == b"ustar":
        raise Refused(f"it is a tar archive; {UNPACK}")
    if head.startswith((b"PAR1", b"\x1f\x8b")):
        raise Refused("it contains a compressed file of another format; decompress it with `gunzip`")
    with TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        yield from read_lines(text)


def read_lines(file: TextIO) -> Iterator[tuple[str, Row, str]]:
    reader = csv.reader(file)
    header = next(reader, [])
    check_header(header)
    while True:
        first = reader.line_num + 1
        row, problem = {}, ""
        try:
            cells = next(reader)
            if not cells:
                continue
            row = dict(zip(header, cells, strict=True)) if len(cells) == len(header) else {}
            if not row:
                problem = f"expected {len(header)} columns, got {len(cells)}; the last one is {cells[-1][:40]!r}"
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"cannot read it: {error}"
        # An unclosed quote turns many lines into one row, so all of its lines are named.
        yield (f"line {first}" if first == reader.line_num else f"lines {first}-{reader.line_num}"), row, problem


def read_parquet(path: Path, file: BufferedReader) -> Iterator[tuple[str, Row, str]]:
    if not file.seekable():
        raise Refused("it is a Parquet file, which cannot be read from a pipe; pass the file itself")
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise Refused("it is a Parquet file; install pyarrow to read it: pip install pyarrow") from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as parquet:
            check_header(parquet.schema_arrow.names)
            for batch in parquet.iter_batches(BATCH, columns=COLUMNS):
                for cells in zip(*map(as_strings, batch.columns), strict=True):
                    number += 1
                    yield f"row {number}", dict(zip(batch.schema.names, cells, strict=True)), ""
    except (pyarrow.ArrowException, OSError) as error:
        raise Refused(f"cannot read it as Parquet: {error}".partition("\n")[0]) from error


def as_strings(column: Any) -> list[str]:
    """Return the cells of a Parquet column as strings, as in CSV.

    Decimals and nanoseconds stay exact. A float gets the fewest digits that distinguish it from other floats, so it has
    the digits that the provider wrote.
    """
    if getattr(column.type, "tz", None):  # without it the time is in UTC, and no time zone database is needed
        column = column.cast(f"timestamp[{column.type.unit}]")
    cells: list[str] = column.cast("string").fill_null("").to_pylist()
    return cells


def check_header(header: list[str]) -> None:
    if not header:
        raise Refused("the file is empty")
    for problem, counted in (("missing", 0), ("duplicate", 2)):
        if columns := [column for column in COLUMNS if min(header.count(column), 2) == counted]:
            raise Refused(f"{problem} columns: {', '.join(columns)}; the header is {','.join(header)[:80]!r}")
