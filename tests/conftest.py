"""Fixtures and helpers for several test modules: the specification, telemetry, warnings, programs, waiting."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from hypothesis import HealthCheck, settings
from telemetry import Telemetry, Warned

from otel_kcevents.store.calls import retire_counts

pytest_plugins = ["pytester", "serving", "mapped_program"]

# A shell that starts the tests in the background makes them, and the programs they start, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine must not make a test fail.
settings.register_profile("no-clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-clock")

TESTS = Path(__file__).parent
SetVariable = Callable[[str, str], None]
SPEC = TESTS.parents[1] / "shared" / "spec" / "events-api.md"


@pytest.fixture(scope="session")
def spec() -> str:
    """The text of the document that the project implements."""
    if not SPEC.exists():
        pytest.skip("the Events API document is not beside this checkout")
    return SPEC.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def documented(spec: str) -> str:
    """The document's example of a log, without the `...` that stands for further events."""
    example = spec.partition("``` json\n")[2].partition("\n```")[0]
    return re.sub(r",\n *\.\.\.(?=\n)", "", example)


@pytest.fixture
def telemetry() -> Telemetry:
    """Telemetry with every span sampled."""
    return Telemetry()


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Warned:
    """A function that returns the messages logged so far, all of them warnings of this package."""
    caplog.set_level("WARNING")

    def messages() -> list[str]:
        assert {record.name for record in caplog.records} <= {"otel_kcevents"}
        return [record.getMessage() for record in caplog.records]

    return messages


@pytest.fixture
def otlp(monkeypatch: pytest.MonkeyPatch) -> SetVariable:
    """A function that sets `OTEL_EXPORTER_OTLP_…`; initially, that is HTTP to a port on which nothing listens."""

    def set_variable(name: str, value: str) -> None:
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)

    set_variable("ENDPOINT", "http://127.0.0.1:1")
    set_variable("PROTOCOL", "http/protobuf")
    return set_variable


@pytest.fixture(autouse=True)
def _counts_of_one_test() -> Iterator[None]:
    """The functions that a test has instrumented are not in the journals of the next one."""
    yield
    retire_counts()


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment for a program of this checkout: this process's without settings, plus variables."""
    settings = ("OTEL_", "KCEVENTS_", "JAEGER_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    paths = [str(TESTS.parent), str(TESTS), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), **variables}


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Poll until a condition is true; AssertionError after *seconds*."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, f"the condition was not true within {seconds:g} s"
        sleep(0.01)


def run_program(name: str, *args: str, code: int = 0, **environment: str) -> tuple[str, str]:
    """Run `programs/NAME.py` in a process of its own, with warnings as errors.

    Args:
        name: The file's name without `.py`. It may import from `tests`.
        args: The command line.
        code: The expected exit code.
        environment: Variables to add to `clean_environment()`.

    Returns:
        What the program wrote to stdout and to stderr.
    """
    finished = subprocess.run(
        [sys.executable, "-W", "error", TESTS / "programs" / f"{name}.py", *args],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == code, finished.stderr
    return finished.stdout, finished.stderr
