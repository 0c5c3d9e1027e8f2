"""Starts the programs of a test, shares them within a module, and attaches their logs to what fails."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from stack.backends import Collector, Jaeger, Prometheus, started
from stack.programs import CONFIG, Program, address, free_port, program, running


@dataclass
class Fault:
    """A row of the table that the run ends with."""

    fault: str
    emitted: int
    in_jaeger: int
    in_prometheus: int
    lost: int
    duplicated: int
    work: float
    whole: float


class Stack:
    """Starts the programs, each in a folder of its own, with what they need to find each other."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.folder, self._closing, self._numbers = folder, closing, count(1)

    def _program(self, name: str, command: list[str], environment: dict[str, str], ready: str) -> Program:
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        made = Program(name, command, environment, folder, ready)
        self._closing.callback(made.stop)
        return made

    def jaeger(self, *overlays: str, start: bool = True) -> Jaeger:
        """Jaeger as in jaeger.yaml."""
        http, grpc, otlp_grpc, otlp_http, health = (free_port() for _ in range(5))
        files = [f"--config={CONFIG / name}" for name in ("jaeger.yaml", *overlays)]
        environment = {
            "JAEGER_HTTP": address(http),
            "JAEGER_GRPC": address(grpc),
            "JAEGER_OTLP_GRPC": address(otlp_grpc),
            "JAEGER_OTLP_HTTP": address(otlp_http),
            "JAEGER_HEALTH": address(health),
            "OTEL_TRACES_SAMPLER": "always_off",
        }
        made = self._program("jaeger", [program("jaeger"), *files], environment, f"http://{address(health)}/status")
        if start:
            made.start()
        return Jaeger(made, http, otlp_grpc)

    def collector(self, *files: str, **environment: str) -> Collector:
        """A collector as in one of the files and its overlays, with settings such as KCEVENTS_JAEGER."""
        made = self.collector_to_start(*files, **environment)
        made.program.start()
        return made

    def collector_to_start(self, *files: str, **environment: str) -> Collector:
        """The same, not started yet."""
        grpc, http, exposed, own, health = (free_port() for _ in range(5))
        settings = {
            "KCEVENTS_OTLP_GRPC": address(grpc),
            "KCEVENTS_OTLP_HTTP": address(http),
            "KCEVENTS_PROMETHEUS": address(exposed),
            "KCEVENTS_TELEMETRY_HOST": "127.0.0.1",
            "KCEVENTS_TELEMETRY_PORT": str(own),
            "KCEVENTS_HEALTH": address(health),
            "KCEVENTS_RETRY_MAX": "1s",
            "KCEVENTS_JAEGER": "127.0.0.1:9",  # nobody's: a Jaeger of the machine's own is not ours to fill
            **environment,
        }
        name = files[0].removesuffix(".yaml")
        command = [program("otelcol-kcevents"), *(f"--config={CONFIG / file}" for file in files)]
        made = self._program(name, command, settings, f"http://{address(health)}/status")
        return Collector(made, f"http://{address(grpc)}", f"http://{address(http)}", address(exposed), address(own))

    def prometheus(self, *targets: str) -> Prometheus:
        """Prometheus as in prometheus.yml, its targets those given, scraping every second."""
        port = free_port()
        path = program("prometheus")
        command = [
            path,
            "--config.file=prometheus.yml",
            f"--web.listen-address={address(port)}",
            "--storage.tsdb.path=data",
        ]
        made = self._program("prometheus", command, {}, f"http://{address(port)}/-/ready")
        text = (CONFIG / "prometheus.yml").read_text(encoding="utf-8")
        assert "scrape_interval: 15s" in text
        faster = text.replace("scrape_interval: 15s", "scrape_interval: 1s")
        (made.folder / "prometheus.yml").write_text(faster, encoding="utf-8")
        (made.folder / "alerts.yml").write_bytes((CONFIG / "alerts.yml").read_bytes())
        (made.folder / "targets.yml").write_text(f"- targets: {list(targets)}\n", encoding="utf-8")
        made.start()
        return Prometheus(made, port)


@contextmanager
def opened(folder: Path) -> Iterator[Stack]:
    """A stack that ends with the `with`."""
    with ExitStack() as closing:
        yield Stack(folder, closing)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Programs that a module's tests share."""
    with opened(tmp_path_factory.mktemp("shared")) as stack:
        yield stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Programs of one test."""
    with opened(tmp_path) as stack:
        yield stack


@pytest.fixture(scope="session", autouse=True)
def no_etl_is_left() -> Iterator[None]:
    """End what a failing test did not wait for."""
    yield
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


_faults: list[Fault] = []


@pytest.fixture(scope="session")
def record_fault() -> Callable[[Fault], None]:
    """Add a row to the table of faults."""
    return _faults.append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Attach the end of each running program's log to the report of a failure."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {running_program.name}", running_program.tail()) for running_program in running]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of faults; durations are ratios to the same ETL without a collector."""
    if not _faults:
        return
    terminalreporter.section("faults")
    rows = [list(Fault.__annotations__)] + [[*map(_cell, asdict(fault).values())] for fault in _faults]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        terminalreporter.line("  ".join(cells))


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
