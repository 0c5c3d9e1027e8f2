"""Runs every measurement and prints one table of ratios: `python benchmarks/run.py [--quick] [--only NAME]`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout, so that it is measured as it is

from benchmarks import document, export, growth, imports, peers, price, serving

_PARTS = {
    "price": price,
    "document": document,
    "growth": growth,
    "imports": imports,
    "peers": peers,
    "export": export,
    "serving": serving,
}
_HEAD = ("", "ours", "against", "ratio (of all rounds)", "second", "goal", "")
_WIDTHS = (42, 10, 10, 21, 6, 6, 0)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table as its lines come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds: seconds, and ratios of little worth")
    parser.add_argument("--only", action="append", choices=_PARTS, metavar="NAME", help=f"of {', '.join(_PARTS)}")
    arguments = parser.parse_args(argv)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("opentelemetry-api", "opentelemetry-sdk"))
    print(f"Python {platform.python_version()}, {libraries}, {os.cpu_count()} cores, {platform.machine()}")
    _print(_HEAD)
    for name in arguments.only or _PARTS:
        print(f"\n{name}: {_PARTS[name].TITLE}")
        for row in _PARTS[name].rows(arguments.quick):
            _print(row.cells())


def _print(cells: Sequence[str]) -> None:
    texts = (
        f"{cell:{'<' if at in (0, 6) else '>'}{width}}"
        for at, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    )
    print("  ".join(texts).rstrip(), flush=True)


if __name__ == "__main__":
    main()
