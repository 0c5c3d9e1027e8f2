"""Start the browser once, and open pages that nothing may go wrong in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
from conftest import TESTS, clean_environment
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect, sync_playwright

from otel_kcevents import Journal, LogServer, Source, start_http_server

REQUIRED = os.environ.get("KCEVENTS_STACK") == "required"
TRACE_URL = "http://127.0.0.1:16686/trace/{trace_id}"
LOST = "ERR_CONNECTION_REFUSED"
"""What the browser reports if nothing listens."""

expect.set_options(timeout=10_000)  # milliseconds; the machine may be busy with other work


class Week(NamedTuple):
    """The journal of `examples/troubled_week.py`, whose newest run still runs, and the hour that it was written in."""

    file: Path
    hour: datetime


class Visit(Protocol):
    """A function that opens a page."""

    def __call__(self, url: str, *, expected: str = "", stops_clock: bool = False, **options: Any) -> Page:
        """Open a page in a context of its own; at its end, no error may have occurred in it.

        Args:
            url: Its URL.
            expected: A regular expression of console messages that the test causes.
            stops_clock: Whether time passes only if the test says so.
            options: Those of a new context.
        """
        ...


class Serve(Protocol):
    """A function that serves a source until the test ends."""

    def __call__(self, log: Source, port: int = 0) -> LogServer: ...


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, which can reach nothing but this machine."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        missing = "no Chromium is on the PATH; install it with: apt-get install chromium"
        pytest.fail(missing) if REQUIRED else pytest.skip(missing)
    options = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    # It is stopped with this folder: while it runs, its event loop keeps tests of asyncio from starting theirs.
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=options)


@pytest.fixture(scope="package")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    """The journal of a week with troubles."""
    file = tmp_path_factory.mktemp("page") / "week.db"
    now = datetime.now(timezone.utc)
    with subprocess.Popen(
        [sys.executable, TESTS.parent / "examples" / "troubled_week.py", file, "--now", now.isoformat(), "--running"],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline()
        yield Week(file, now.replace(minute=0, second=0, microsecond=0))


@pytest.fixture(scope="package")
def server(week: Week) -> Iterator[LogServer]:
    """A server of that journal."""
    with start_http_server(0, log=Journal(week.file), max_load=1, trace_url=TRACE_URL) as server:
        yield server


@pytest.fixture(scope="package")
def url(server: LogServer) -> str:
    """The URL of the page of that journal."""
    return page_url(server)


def page_url(server: LogServer) -> str:
    return server.url.removesuffix("model/etl/log")


def wait(page: Page, locator: Locator, seconds: int = 30) -> None:
    """Advance the page's clock until an element is visible."""
    for _ in range(seconds * 2):
        page.clock.run_for(500)
        if locator.is_visible():
            return
    locator.first.wait_for()  # the steps take a second in all, and a response may take longer


@contextmanager
def visiting(browser: Browser) -> Iterator[Visit]:
    """A function that opens pages, which are closed and checked at the end."""
    problems: list[str] = []
    with ExitStack() as closing:

        def visit(url: str, *, expected: str = "", stops_clock: bool = False, **options: Any) -> Page:
            def on_console(message: ConsoleMessage) -> None:
                if message.type in ("error", "warning") and not (expected and re.search(expected, message.text)):
                    problems.append(f"{message.type}: {message.text}")

            def on_request(request: Request) -> None:
                if not request.url.startswith((url.partition("?")[0], "data:")):
                    problems.append(f"request to {request.url}")

            context = browser.new_context(reduced_motion="reduce", **options)
            closing.callback(context.close)
            context.on("console", on_console)
            context.on("weberror", lambda error: problems.append(f"exception: {error.error}"))
            context.on("request", on_request)
            page = context.new_page()
            if stops_clock:
                page.clock.install()
                page.clock.pause_at(datetime.now(timezone.utc) + timedelta(seconds=1))
            page.goto(url)
            return page

        yield visit
    assert problems == []


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function that serves a source until the test ends."""
    with ExitStack() as closing:
        yield lambda log, port=0: closing.enter_context(start_http_server(port, log=log, max_load=1))


@pytest.fixture
def visit(browser: Browser, serve: Serve) -> Iterator[Visit]:
    """A function that opens a page, which is closed before the servers of the test."""
    with visiting(browser) as visit:
        yield visit


@pytest.fixture(scope="package")
def shown(browser: Browser, url: str) -> Iterator[Page]:
    """The page of the week, for tests that only look at it."""
    with visiting(browser) as visit:
        yield visit(url)
