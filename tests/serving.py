"""Fixtures for the tests of serving and reading a log: a server whose log each test sets, and the command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from clients import GENEROUS, Stage, filled

from otel_kcevents import LogServer, start_http_server
from otel_kcevents.cli.main import main
from otel_kcevents.store.log import EventLog


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[LogServer, Stage]]:
    """A server without a cache or a load limit, shared by many tests."""
    stage = Stage()
    with start_http_server(0, log=stage, cache_seconds=0, max_load=1, timeout=3 * GENEROUS) as server:
        yield server, stage


@pytest.fixture
def log() -> EventLog:
    """The log that is served unless a test sets another."""
    return filled()


@pytest.fixture
def stage(served: tuple[LogServer, Stage], log: EventLog) -> Stage:
    served[1].log = log
    return served[1]


@pytest.fixture
def port(served: tuple[LogServer, Stage], stage: Stage) -> int:
    return served[0].port


@pytest.fixture
def url(served: tuple[LogServer, Stage], stage: Stage) -> str:
    return served[0].url


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The package's own log records, at every level."""
    caplog.set_level(logging.DEBUG, "otel_kcevents")
    return caplog


class Ran(NamedTuple):
    """How the command ended, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""

    def run(*argv: str) -> Ran:
        try:
            code: Any = main(argv)
        except SystemExit as exit:
            code = exit.code
        return Ran(code, *capsys.readouterr())

    return run
