"""An ETL that a file steers: it works while the file says `well`, and is in trouble while it says `ill`.

In trouble, it saves no allocations, and only empty assets of ten hours ago, which do not reconcile. Without a file, it
loads one set and ends.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from otel_kcevents import allocation, asset, configure


def work_well() -> None:
    """Save both sets of the hour until now."""
    end = datetime.now(timezone.utc)
    window = end - timedelta(hours=1), end
    allocation.emit("saved", size=5, window=window)
    asset.emit("saved", size=7, window=window)


def work_ill() -> None:
    """Save an empty set of ten hours ago, and fail to reconcile it."""
    end = datetime.now(timezone.utc) - timedelta(hours=10)
    window = end - timedelta(hours=1), end
    asset.emit("saved", size=0, window=window)
    asset.emit("reconcile_error", error="the bill is missing", window=window)


def main() -> None:
    configure()
    if len(sys.argv) == 1:
        allocation.emit("loaded", size=1)
        return
    state = Path(sys.argv[1])
    while True:
        work_well() if state.read_text() == "well" else work_ill()
        time.sleep(0.1)


if __name__ == "__main__":
    main()
