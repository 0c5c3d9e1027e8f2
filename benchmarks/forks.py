"""Fork in the middle of exports: `python benchmarks/forks.py [--forks N]`, over gRPC and HTTP, to real receivers.

A thread of the program saves all the time, so that an export is always in progress, while the main thread forks one
child after another. Each child loads a set, flushes and exits. The benchmark counts the children that hang or fail, and
the spans and counts that do not arrive. It measures how long `os.fork()` takes, which waits for the export.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

_HANG_TIMEOUT = 30.0  # seconds after which a child counts as hung
_SPANS_PER_SECOND = 400.0  # saved during the forks


def main() -> None:
    """Print a line for each protocol; with `--child`, run the program that forks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forks", type=int, default=5000, help="children for each protocol (default: 5000)")
    parser.add_argument("--child", type=int, metavar="N", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(_fork(arguments.child)))
        return
    from receivers import grpc_receiver, http_receiver

    for name, receiver in (("gRPC", grpc_receiver), ("HTTP", http_receiver)):
        with receiver() as received:
            figures = _run(arguments.forks, received.environment)
            loaded = [span.span_id for span in received.spans if span.name == "load AssetSet"]
            figures["spans lost"] = arguments.forks - len(set(loaded))
            figures["counts lost"] = arguments.forks - received.total.get(("asset", "AssetSetLoaded"), 0)
        print(f"{name}: {', '.join(f'{what} {value}' for what, value in figures.items())}", flush=True)


def _run(forks: int, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(forks)]
    done = subprocess.run(
        command, env={**os.environ, **environment, "KCEVENTS_TIMES": "1"}, capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _fork(forks: int) -> dict[str, Any]:
    """Fork *forks* times while the spans of another thread are exported."""
    import otel_kcevents

    warnings.simplefilter("ignore", DeprecationWarning)  # Python warns about a fork in a program with threads
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "5"  # an export is always in progress
    os.environ["OTEL_METRIC_EXPORT_INTERVAL"] = "20"
    otel_kcevents.configure(service_name="forks")
    done = threading.Event()

    def save() -> None:
        while not done.wait(1 / _SPANS_PER_SECOND):
            otel_kcevents.allocation.emit("saved", size=1)

    thread = threading.Thread(target=save)
    thread.start()
    times, hung, failed = [], 0, 0
    for _ in range(forks):
        begun = time.perf_counter()
        child = os.fork()
        if not child:
            otel_kcevents.asset.emit("loaded", size=1)
            os._exit(0 if otel_kcevents.flush(20) else 1)
        times.append(time.perf_counter() - begun)
        status = _wait(child)
        hung += status is None
        failed += status is not None and status != 0
    done.set()
    thread.join()
    figures: dict[str, Any] = {"forks": forks, "hung": hung, "failed": failed}
    if "KCEVENTS_TIMES" in os.environ:
        figures |= {"fork, median ms": round(median(times) * 1e3, 1), "longest ms": round(max(times) * 1e3, 1)}
    return figures


def _wait(child: int) -> int | None:
    """Wait for a child, and return its status; None if it had to be killed."""
    end = time.monotonic() + _HANG_TIMEOUT
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


if __name__ == "__main__":
    main()
