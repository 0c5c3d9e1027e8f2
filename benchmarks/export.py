"""What exporting costs an ETL: the example with a live collector, against the same with none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.measure import ROOT, Row

__all__ = ["TITLE", "rows"]

TITLE = "the example ETL, start to exit (exporting to a live collector by gRPC, HTTP / exporting nothing)"

_BUILD = ROOT / "collector-config" / "build.sh"
_EXAMPLES = ROOT / "examples"
_YEARS = range(2010, 2026)


def rows(quick: bool) -> Iterator[Row]:
    """A line for each protocol; where the collector is not built, how to build it."""
    program = _built()
    if program is None:
        yield Row("with a collector", note="not built: run collector-config/build.sh")
        return
    with TemporaryDirectory() as folder, _collector(program, folder) as ports:
        sample = _EXAMPLES / "sample_bill.csv"
        bills = (
            {"3 days": sample} if quick else {"3 days": sample, f"3 days of {len(_YEARS)} years": _long(sample, folder)}
        )
        for days, bill in bills.items():
            for protocol, port in zip(("grpc", "http/protobuf"), ports, strict=True):
                settings = {
                    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                    "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                }
                _seconds(bill, {}), _seconds(bill, settings)
                pairs = [(_seconds(bill, settings), _seconds(bill, {})) for _ in range(2 if quick else 7)]
                yield Row(f"{days}, by {protocol}", "s", pairs)


def _long(sample: Path, folder: str) -> Path:
    """The sample's bill again for each of many years: as many events a second, for longer."""
    header, _, lines = sample.read_text(encoding="utf-8").partition("\n")
    bill = Path(folder) / "bill.csv"
    years = [lines.replace("2025-", f"{year}-") for year in _YEARS]
    bill.write_text("\n".join([header, "".join(years)]), encoding="utf-8")
    return bill


def _built() -> Path | None:
    try:
        where = subprocess.run(["bash", str(_BUILD), "--where"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    program = Path(where.stdout.strip()) / "otelcol-kcevents"
    return program if program.exists() else None


def _seconds(bill: Path, settings: dict[str, str]) -> float:
    """How long a run takes; one that could not export all does not count."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), **settings}
    start = perf_counter()
    command = [sys.executable, str(_EXAMPLES / "focus_etl.py"), str(bill), "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    if "not exported" in done.stderr:
        raise RuntimeError(done.stderr)
    return perf_counter() - start


@contextmanager
def _collector(program: Path, folder: str) -> Iterator[tuple[int, int]]:
    """A collector as in collector.yaml; what it takes waits in its queue on disk, for no Jaeger is there."""
    grpc, http, exposed, own, health = _free_ports()
    settings = {
        "KCEVENTS_OTLP_GRPC": f"127.0.0.1:{grpc}",
        "KCEVENTS_OTLP_HTTP": f"127.0.0.1:{http}",
        "KCEVENTS_PROMETHEUS": f"127.0.0.1:{exposed}",
        "KCEVENTS_TELEMETRY_HOST": "127.0.0.1",
        "KCEVENTS_TELEMETRY_PORT": str(own),
        "KCEVENTS_HEALTH": f"127.0.0.1:{health}",
        "KCEVENTS_JAEGER": "127.0.0.1:9",
        "KCEVENTS_QUEUE_DIR": folder,
    }
    config = ROOT / "collector-config" / "collector.yaml"
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(
            [str(program), f"--config={config}"], env={**os.environ, **settings}, stdout=nowhere, stderr=nowhere
        )
    try:
        _wait(process, f"http://127.0.0.1:{health}/status")
        yield grpc, http
    finally:
        process.terminate()
        process.wait()


def _free_ports() -> list[int]:
    probes = [socket.socket() for _ in range(5)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = monotonic() + 60
    while process.poll() is None and monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            sleep(0.1)
    raise RuntimeError("the collector does not start; try it by hand with collector-config/collector.yaml")
