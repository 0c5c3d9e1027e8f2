"""The page of each source: an old journal, a program, a report, several of them, a lost one; and below a path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Thread
from time import time_ns
from typing import Any

import pytest
import uvicorn
from clients import Stage, canned, raw_response
from conftest import TESTS, clean_environment
from fastapi import FastAPI
from flask import Flask
from journals import run_of, write
from playwright.sync_api import Browser, Page, expect
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from otel_kcevents import (
    Event,
    EventLog,
    Journal,
    LogServer,
    Source,
    Window,
    make_asgi_app,
    make_wsgi_app,
    start_http_server,
)
from otel_kcevents.cli.sources import find_source, one_source
from otel_kcevents.model.timestamps import to_ns
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import Batch, Entry
from otel_kcevents.store.log import etl_of
from page.conftest import Serve, Visit, Week, page_url, visiting, wait

HOUR = 3_600 * 10**9
OLD_DAYS = "?resolution=daily&window=2024-09-16T00:00:00Z,2024-09-21T00:00:00Z"
ONLY_A_JOURNAL = "Only a journal has runs"
OTHER_RUN = "reconciler"
ANSWERS = [
    (raw_response("500 Internal Server Error", b"<h1>broken</h1>"), "answers 500"),
    (raw_response("200 OK", b"<!doctype html><p>Log in</p>"), "does not serve coverage"),
    (raw_response("200 OK", b'{"code":200,"data":{"rows":[{"etl":7}]}}'), "does not serve coverage"),
    (raw_response("404 Not Found", b""), "answers 404"),
    (b"\x00\xff", "does not answer"),
]


@pytest.fixture(scope="module")
def shown_report(browser: Browser, week: Week) -> Iterator[Page]:
    """The page of a saved bug report about the week."""
    file = week.file.with_name("report.txt")
    command = [sys.executable, "-m", "otel_kcevents", "report", str(week.file), "-o", str(file)]
    subprocess.run(command, env=clean_environment(), stdout=subprocess.DEVNULL, check=True)
    with start_http_server(0, log=find_source(str(file)), max_load=1) as server, visiting(browser) as visit:
        yield visit(page_url(server), expected="404")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a journal of another program, which has saved the newest hour once more."""
    file = tmp_path_factory.mktemp("page") / "other.db"
    hour = time_ns() // HOUR * HOUR
    window = Window.from_ns(hour - HOUR, hour)
    run = run_of("f")._replace(name=OTHER_RUN, started=hour)
    write(file, run, Event("AllocationSetSaved", time_ns(), 5, window))
    return str(file)


@pytest.fixture
def program(serve: Serve) -> LogServer:
    """A running program without a journal, which has an event."""
    log = EventLog()
    log.append(Event("AssetSetSaved", time_ns(), 7, Window.from_ns(0, HOUR)))
    return serve(log)


def serving(serve: Serve, *sources: str) -> str:
    """Return the URL of the page of sources that are given as to `otel-kcevents serve`."""
    return page_url(serve(one_source([find_source(source) for source in sources])))


def expect_week(page: Page, events: int, runs: str, errors: int = 4) -> None:
    """The page shows all of the week: verdict, grid, a window with its events, errors, and runs or why it has none."""
    expect(page.locator("#verdict p").first).to_contain_text("allocation: 1 window failed, 1 missing")
    expect(page.locator("#runs")).to_contain_text(runs)
    page.get_by_role("gridcell", name=re.compile("^allocation reconcile, .*: failed")).click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator("ol li")).to_have_count(events)
    expect(drawer.locator("ol li").last).to_contain_text("reconcile failed ValueError: the sum is 1204.20 USD")
    expect(page.locator("#errors tbody tr")).to_have_count(errors)
    expect(page.locator("#events tbody tr")).to_have_count(20)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_program_at_a_url_is_shown(visit: Visit, server: LogServer, tmp_path: Path) -> None:
    """By the command, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "otel_kcevents", "serve", "--port=0", f"127.0.0.1:{server.port}"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            assert command.stdout is not None
            url = command.stdout.readline().split(" at ")[1].split(",")[0]
            page = visit(url)
            expect_week(page, 3, "killed: gone without an end")
            expect(page.locator("#source")).to_contain_text(server.url)
        finally:
            command.terminate()


def test_saved_report_is_shown(shown_report: Page) -> None:
    expect_week(shown_report, 3, ONLY_A_JOURNAL)


def test_old_snapshot_says_of_when_it_is(visit: Visit, serve: Serve, tmp_path: Path) -> None:
    """What was due later is not missing, and what it shows does not become older."""
    file, start, log = tmp_path / "night.json", to_ns("2024-09-02T00:00:00Z"), EventLog()
    for number in range(5):
        window = Window.from_ns(start + number * HOUR, start + (number + 1) * HOUR)
        log.append(Event("AssetSetSaved", start + (number + 1) * HOUR, 7, window))
    file.write_text(log.document().to_json(), encoding="utf-8")
    os.utime(file, ns=(start + 5 * HOUR + 3 * HOUR // 4,) * 2)
    page = visit(serving(serve, str(file)), expected="404|503", stops_clock=True)
    expect(page.locator("#source")).to_contain_text("a snapshot as of 2024-09-02 05:45, all times are UTC")
    page.clock.run_for(70_000)
    expect(page.locator("#verdict p").first).to_contain_text(
        "asset: 5 windows ok, 144 missing before its first event; newest saved 04:00\N{EN DASH}05:00, 45 min ago "
        "(as of 2024-09-02 05:45)"
    )


def test_older_events_of_a_document_are_listed(shown_report: Page) -> None:
    shown_report.get_by_role("button", name="Older events").click()
    expect(shown_report.locator("#events tbody tr")).to_have_count(70)


def test_two_journals_are_shown_together(visit: Visit, serve: Serve, week: Week, other: str) -> None:
    page = visit(serving(serve, str(week.file), other))
    expect_week(page, 3, OTHER_RUN)
    expect(page.get_by_role("gridcell", name=re.compile("^allocation save, .*: ok, 5 records"))).to_be_visible()


def test_journal_and_a_url_are_shown_together(visit: Visit, serve: Serve, server: LogServer, other: str) -> None:
    expect_week(visit(serving(serve, other, server.url)), 3, OTHER_RUN)


def test_journal_and_a_program_without_one_are_shown(
    visit: Visit, serve: Serve, week: Week, program: LogServer
) -> None:
    """With the newest events, the runs of the journal, and a note that names the source without a journal."""
    page = visit(serving(serve, str(week.file), program.url), expected="404")
    expect_week(page, 3, "killed: gone without an end")
    expect(page.locator("#runs .note")).to_contain_text("Only the runs of journals are listed")
    expect(page.locator("#events .note")).to_contain_text("not every source is a journal ('/model/etl/events'")
    expect(page.locator("#events .note")).to_contain_text(f"127.0.0.1:{program.port}")


def test_only_journals_list_the_events_of_a_run(visit: Visit, serve: Serve, other: str, program: LogServer) -> None:
    """The events of all runs are not shown as those of one."""
    page = visit(f"{serving(serve, other, program.url)}?run=last", expected="404")
    expect(page.locator("#events .note")).to_contain_text("the events of a run cannot be listed: ")
    expect(page.locator("#events tbody tr")).to_have_count(0)


def test_drawer_says_if_older_events_were_not_searched(
    visit: Visit, serve: Serve, tmp_path: Path, program: LogServer
) -> None:
    """The journal has them, but the newest 256 of its kind are others."""
    file, end = tmp_path / "long.db", time_ns() // HOUR * HOUR
    starts = [end - age * HOUR for age in range(160, 0, -1) for _ in range(2)]
    events = [Event("AllocationSetSaved", start, 7, Window.from_ns(start, start + HOUR)) for start in starts]
    write(file, run_of("a"), *events)
    page = visit(serving(serve, str(file), program.url), expected="404")
    page.get_by_role("gridcell", name=re.compile("^allocation save, .*: ok, 7 records")).first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Older events were not searched")


def test_program_of_an_older_version_is_shown(visit: Visit, serve: Serve, week: Week) -> None:
    """One that serves only its log."""
    app = DispatcherMiddleware(NotFound(), {"/model/etl/log": make_wsgi_app(Journal(week.file))})
    with served(app) as port:
        expect_week(visit(serving(serve, f"127.0.0.1:{port}"), expected="404"), 3, ONLY_A_JOURNAL)


def test_journal_of_an_older_version_is_shown(visit: Visit, serve: Serve, tmp_path: Path) -> None:
    file = shutil.copy(TESTS / "store" / "version_1.db", tmp_path / "kcevents.db.1")
    page = visit(serving(serve, str(file)) + OLD_DAYS)
    expect(page.locator("#verdict p").first).to_contain_text(re.compile("asset: .*missing.*; newest saved 2024-09-"))
    page.get_by_role("gridcell", name=re.compile("^asset save, 18 Sep.*: ok")).click()
    expect(page.get_by_role("dialog").locator("ol li").last).to_contain_text(re.compile(r"saved 29 records"))
    expect(page.locator("#errors tbody tr")).to_have_count(1)
    expect(page.locator("#runs tbody tr")).to_contain_text("ended")


def test_journal_may_be_rotated(visit: Visit, serve: Serve, tmp_path: Path, other: str) -> None:
    """While the file does not exist, a banner names it."""
    file = tmp_path / "kcevents.db"
    shutil.copy(other, file)
    page = visit(page_url(serve(Journal(file))), expected="503", stops_clock=True)
    expect(page.locator("#runs")).to_contain_text(OTHER_RUN)
    file.rename(tmp_path / "kcevents.db.1")
    wait(page, page.get_by_role("alert"))
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"No answer since .*kcevents\.db does not exist"))
    write(file, run_of("a"), Event("AssetSetSaved", time_ns(), 5, Window.from_ns(0, HOUR)))
    wait(page, page.locator("#verdict p", has_text="asset:"))
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#verdict")).not_to_contain_text("allocation")


def test_event_that_arrives_late_is_listed_once(visit: Visit, serve: Serve, tmp_path: Path) -> None:
    """Below newer ones of another journal, which are not repeated: the clock of its program is behind."""
    one, other, now = tmp_path / "one.db", tmp_path / "other.db", time_ns()
    times = [now - age * 10**9 for age in range(25, 0, -1)]
    write(one, run_of("a"), *(Event("AssetSetSaved", time, 7) for time in times))
    write(other, run_of("b"), Event("AllocationSetSaved", now - HOUR, 7))
    page = visit(serving(serve, str(one), str(other)), stops_clock=True)
    rows = page.locator("#events tbody tr")
    expect(rows).to_have_count(20)
    write(other, run_of("b"), Event("AllocationSetSaved", times[-2] + 1, 8), first=2)
    wait(page, rows.filter(has_text="allocation"))
    expect(rows.nth(1)).to_contain_text("allocation")
    expect(rows).to_have_count(20)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of 600 hours that keeps only 20 events."""
    file, end = tmp_path_factory.mktemp("page") / "full.db", time_ns() // HOUR * HOUR
    with closing(JournalFile(str(file), 20, None, etl_of)) as journal:
        for number in range(600):
            start = end - (600 - number) * HOUR
            event = Event("AssetSetSaved", start + HOUR, 7, Window.from_ns(start, start + HOUR))
            journal.write(run_of("a"), Batch((Entry(event, 0, 0),), number + 1), 5)
    return file


def test_windows_that_were_deleted_are_unknown(visit: Visit, serve: Serve, full: Path) -> None:
    page = visit(page_url(serve(Journal(full))))
    expect(page.locator("#verdict p").first).to_contain_text(re.compile(r"asset: \d+ windows unknown; newest saved"))
    expect(page).to_have_title(re.compile(r"^\? \d+ unknown"))
    page.get_by_role("gridcell", name=re.compile("^asset save, .*: (unknown|older)")).last.click()
    expect(page.get_by_role("dialog")).to_contain_text("older than")
    expect(page.get_by_role("dialog")).to_contain_text("No events are kept")


def expect_unknown(page: Page, problem: str) -> None:
    """The page is grey, also its tab, and says which source is missing."""
    wait(page, page.get_by_role("alert").filter(has_text=re.compile(problem)))
    expect(page).to_have_title(re.compile(r"^\? no answer"))
    assert page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"


@pytest.mark.parametrize("lost", [["program"], ["journal", "program"]])
def test_source_that_is_lost_is_named(visit: Visit, serve: Serve, other: str, week: Week, lost: list[str]) -> None:
    """Even if it is one of several. What was read before is still shown."""
    program = serve(Journal(week.file))
    names = {"program": program.url, "journal": other}
    page = visit(serving(serve, *map(names.__getitem__, lost)), expected="503", stops_clock=True)
    expect(page.locator("#events tbody tr")).to_have_count(20)
    program.close()
    expect_unknown(page, rf"No answer since .*503 .*127\.0\.0\.1:{program.port}/\S+ does not answer")
    expect(page.locator("#verdict")).to_contain_text("allocation: 1 window failed")


def test_program_that_answers_something_else_is_named(visit: Visit, serve: Serve, week: Week) -> None:
    """Beside a source that can be read."""
    stage = Stage()
    url = page_url(serve(stage))
    page = None
    for response, problem in ANSWERS:
        with canned(response) as (other, _):
            stage.log = one_source([find_source(str(week.file)), find_source(other)])
            page = page or visit(url, expected="503", stops_clock=True)
            expect_unknown(page, f"No answer yet: 503 .*{re.escape(other)}/.*{problem}")
        expect(page.locator("#verdict")).to_have_text("The state is unknown until the source answers.")


# Mounted below a path


@contextmanager
def served(app: Any) -> Iterator[int]:
    """The port of a server of a WSGI application."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def in_fastapi(log: Source) -> Iterator[int]:
    app = FastAPI()
    app.mount("/tools", make_asgi_app(log))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    socket = server.config.bind_socket()
    socket.listen()  # so that clients can connect before the server accepts
    thread = Thread(target=server.run, args=([socket],))
    thread.start()
    try:
        yield socket.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def in_flask(log: Source) -> AbstractContextManager[int]:
    """As Flask's documentation combines applications; the `wsgi.py` of a Django project can do the same."""
    return served(DispatcherMiddleware(Flask(__name__), {"/tools": make_wsgi_app(log)}))


@pytest.mark.parametrize("mounted", [in_fastapi, in_flask])
def test_page_below_a_path_is_shown(visit: Visit, week: Week, mounted: Callable[[Source], Any]) -> None:
    """It requests nothing outside that path, which is opened without its trailing slash."""
    with mounted(Journal(week.file)) as port:
        page = visit(f"http://127.0.0.1:{port}/tools?etl=allocation")
        expect_week(page, 3, "killed: gone without an end")
        expect(page).to_have_url(re.compile(f"^http://127.0.0.1:{port}/tools/.etl=allocation&cell="))
        page.get_by_role("button", name="Close").click()
        page.context.close()  # before the server
