"""Measure everything and print one Markdown table: `python benchmarks/run.py [--quick] [--only PART]`.

Each figure is the median of the ratios of one run, with their range. "Limit" is the same ratio for `start_span`,
`add_event` and `end` alone. The last column shows the median of both sides.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # measure this checkout, not an installed version

from benchmarks import coverage, document, growth, imports, journal, logs, mapped, page, peers, price, serving

_PARTS = {
    "price": price,
    "mapped": mapped,
    "imports": imports,
    "growth": growth,
    "document": document,
    "journal": journal,
    "coverage": coverage,
    "serving": serving,
    "page": page,
    "peers": peers,
    "logs": logs,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows of the table as they are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="run few rounds: takes seconds, but is not reliable")
    parser.add_argument(
        "--only", action="append", choices=_PARTS, metavar="PART", help=f"run only this part: {', '.join(_PARTS)}"
    )
    options = parser.parse_args(argv)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("opentelemetry-api", "opentelemetry-sdk"))
    print(f"Python {platform.python_version()}, {libraries}, {os.cpu_count()} cores, {platform.machine()}\n")
    print("| what | relative to | measured | goal | limit | sides |\n|---|---|---|---|---|---|")
    for name in options.only or _PARTS:
        for row in _PARTS[name].rows(options.quick):
            print(f"| {' | '.join(row.cells())} |", flush=True)


if __name__ == "__main__":
    main()
