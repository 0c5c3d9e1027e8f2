"""Start the programs of a test, share them within a module, and attach their logs to failures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stack.backends import Collector, Jaeger, Prometheus, Run
from stack.programs import CONFIG, Program, free_address, path_of, running, start_python


class Backends(NamedTuple):
    """A collector with the Jaeger that it sends to and the Prometheus that scrapes it."""

    jaeger: Jaeger
    collector: Collector
    prometheus: Prometheus


class Stack:
    """Starts programs, each in a folder of its own, and passes them each other's addresses."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.folder = folder
        self._closing = closing
        self._numbers = count(1)

    def _program(self, name: str, command: list[str], environment: dict[str, str], ready: str) -> Program:
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        program = Program(name, command, environment, folder, ready)
        self._closing.callback(program.stop)
        return program

    def backends(self, *, jaeger_up: bool = True, **environment: Any) -> Backends:
        """Start the one-node set-up: collector.yaml with Jaeger, unless it is to be down, and Prometheus."""
        jaeger = self.jaeger(start=jaeger_up)
        collector = self.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp, **environment)
        return Backends(jaeger, collector, self.prometheus(collector.exposed, collector.own))

    def jaeger(self, *overlays: str, start: bool = True) -> Jaeger:
        """Set up Jaeger with jaeger.yaml and overlays."""
        http, grpc, otlp_grpc, otlp_http, health = (free_address() for _ in range(5))
        files = [f"--config={CONFIG / name}" for name in ("jaeger.yaml", *overlays)]
        environment = {
            "JAEGER_HTTP": http,
            "JAEGER_GRPC": grpc,
            "JAEGER_OTLP_GRPC": otlp_grpc,
            "JAEGER_OTLP_HTTP": otlp_http,
            "JAEGER_HEALTH": health,
            "OTEL_TRACES_SAMPLER": "always_off",
        }
        program = self._program("jaeger", [path_of("jaeger"), *files], environment, f"http://{health}/status")
        if start:
            program.start()
        return Jaeger(program, http, otlp_grpc)

    def collector(self, *files: str, start: bool = True, **environment: str) -> Collector:
        """Set up a collector with a configuration and overlays, and settings such as KCEVENTS_JAEGER."""
        grpc, http, exposed, own, health = (free_address() for _ in range(5))
        settings = {
            "KCEVENTS_OTLP_GRPC": grpc,
            "KCEVENTS_OTLP_HTTP": http,
            "KCEVENTS_PROMETHEUS": exposed,
            "KCEVENTS_TELEMETRY_HOST": "127.0.0.1",
            "KCEVENTS_TELEMETRY_PORT": own.partition(":")[2],
            "KCEVENTS_HEALTH": health,
            "KCEVENTS_RETRY_MAX": "1s",
            "KCEVENTS_JAEGER": "127.0.0.1:9",  # nothing listens there; the default could be this machine's own Jaeger
            **environment,
        }
        command = [path_of("otelcol-kcevents"), *(f"--config={CONFIG / file}" for file in files)]
        program = self._program(files[0].removesuffix(".yaml"), command, settings, f"http://{health}/status")
        if start:
            program.start()
        return Collector(program, f"http://{grpc}", f"http://{http}", exposed, own)

    def prometheus(
        self, *targets: str, journals: Sequence[str] = (), alerts: str | None = None, interval: str = "1s"
    ) -> Prometheus:
        """Start Prometheus with prometheus.yml.

        Args:
            targets: The addresses of collectors.
            journals: The addresses of servers of journals.
            alerts: What to load in place of alerts.yml.
            interval: How often it scrapes the targets.
        """
        address = free_address()
        command = [path_of("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command.append(f"--web.listen-address={address}")
        program = self._program("prometheus", command, {}, f"http://{address}/-/ready")
        text = (CONFIG / "prometheus.yml").read_text(encoding="utf-8")
        assert "scrape_interval: 15s" in text
        files = {
            "prometheus.yml": text.replace("scrape_interval: 15s", f"scrape_interval: {interval}"),
            "alerts.yml": alerts or (CONFIG / "alerts.yml").read_text(encoding="utf-8"),
            "targets.yml": f"- targets: {list(targets)}\n",
            "journals.yml": f"- targets: {list(journals)}\n",
        }
        for name, content in files.items():
            (program.folder / name).write_text(content, encoding="utf-8")
        program.start()
        return Prometheus(program, address)

    def etl(self, service: str, *arguments: str, endpoint: str, protocol: str = "grpc", **environment: str) -> Run:
        """Start the ETL; it exports to `endpoint` unless that is empty."""
        folder = self.folder / service
        folder.mkdir()
        export = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol} if endpoint else {}
        intervals = {"OTEL_BSP_SCHEDULE_DELAY": "500", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        settings = {"OTEL_SERVICE_NAME": service, **intervals, **export, **environment}
        return Run(service, folder, self.python("etl.py", *arguments, f"--out={folder}", **settings))

    def foreign(self, collector: Collector, *arguments: str) -> subprocess.Popen[str]:
        """Start the program that does not use the package."""
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc, "OTEL_SERVICE_NAME": "foreign"}
        return self.python("foreign.py", *arguments, **settings)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `otel-kcevents`."""
        return self._kill_at_end(start_python("-m", "otel_kcevents", *arguments))

    def python(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a program of this folder."""
        return self._kill_at_end(start_python(Path(__file__).with_name(name), *arguments, **environment))

    def _kill_at_end(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        def end() -> None:
            with process:  # closes its pipes
                if process.poll() is None:
                    process.kill()

        self._closing.callback(end)
        return process


@contextmanager
def open_stack(folder: Path) -> Iterator[Stack]:
    """Open a stack whose programs are stopped at the end of the `with` block."""
    with ExitStack() as closing:
        yield Stack(folder, closing)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Programs that the tests of a module share."""
    with open_stack(tmp_path_factory.mktemp("shared")) as stack:
        yield stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Programs of one test."""
    with open_stack(tmp_path) as stack:
        yield stack


@dataclass
class Fault:
    """A row of the table at the end of the test run. Durations are relative to the ETL without a collector."""

    fault: str
    emitted: int
    in_jaeger: int
    in_prometheus: int
    lost: int
    duplicated: int
    work: float
    whole: float


_faults: list[Fault] = []


@pytest.fixture(scope="session")
def record_fault() -> Callable[[Fault], None]:
    """A function that adds a row to the table of faults."""
    return _faults.append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Attach the end of each running program's log to the report of a failure."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {program.name}", program.tail()) for program in running]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of faults."""
    if not _faults:
        return
    terminalreporter.section("faults")
    lines = [list(Fault.__annotations__)]
    for fault in _faults:
        lines.append([f"{value:.2f}" if isinstance(value, float) else str(value) for value in asdict(fault).values()])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        terminalreporter.line("  ".join(cells))
