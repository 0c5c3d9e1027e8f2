"""What the page shows first: the verdict, and the problems one by one."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from time import time_ns
from urllib.parse import unquote

import pytest
from conftest import clean_environment
from journals import NIGHT, run_of, write
from playwright.sync_api import Page, expect
from serving import Run

from otel_kcevents import Event, EventLog, Journal, RecordSet, Window, coverage
from otel_kcevents.model.timestamps import SECOND
from otel_kcevents.store.verdict import verdicts
from page.conftest import Serve, Visit, page_url

HOUR = 3_600 * SECOND
FAILED = "\N{MULTIPLICATION SIGN}"
NIGHTLY = """
import sys
from otel_kcevents import asset, configure, run
configure(service_name="costs", log_file=sys.argv[1])
with run("nightly"):
    asset.emit("saved", size=97, window="2026-01-01")
"""
AGE = r"(\d+ (s|min)|1 h) ago"


def test_verdict_names_the_problems_of_each_etl(shown: Page) -> None:
    """With the newest window that was saved, and how long ago."""
    allocation, asset, run = (shown.locator("#verdict p").nth(index) for index in range(3))
    newest = r"(\d{4}-\d\d-\d\d )?\d\d:00.\d\d:00"
    expect(allocation).to_have_text(
        re.compile(
            r"allocation: 1 window failed, 1 missing, 1 saved again after reconciling, 3 failures without a window; "
            rf"newest saved {newest}, {AGE}"
        )
    )
    expect(asset).to_have_text(re.compile(rf"asset: 1 window failed, 1 empty; newest saved {newest}, {AGE}"))
    expect(run).to_have_text(re.compile("newest run: costs.* running, started .* ago"))


def test_title_of_the_tab_shows_the_worst_state(shown: Page) -> None:
    expect(shown).to_have_title(re.compile(f"^{FAILED} .*failed, 1 missing.* Cost ETL$"))


@pytest.mark.parametrize(
    ("outcome", "title"), [(None, "! newest run killed"), ("failed", f"{FAILED} newest run failed")]
)
def test_tab_tells_that_the_newest_run_ended_badly(
    visit: Visit, serve: Serve, tmp_path: Path, outcome: str | None, title: str
) -> None:
    """Although no window is failed or missing."""
    file = tmp_path / "log.db"
    write(file, run_of("a"), Event("AssetSetSaved", time_ns(), 7, recent_hour()))
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE run SET outcome = ?, ended = started WHERE ? IS NOT NULL", (outcome, outcome))
    page = visit(page_url(serve(Journal(file))))
    expect(page).to_have_title(f"{title} \N{EN DASH} Cost ETL")
    assert f">{title[0]}</text>" in icon(page)


def recent_hour() -> Window:
    """A window that is the newest one that is due."""
    end = (time_ns() // HOUR - 2) * HOUR
    return Window.from_ns(end - HOUR, end)


def icon(page: Page) -> str:
    return unquote(page.locator("link[rel=icon]").get_attribute("href") or "")


@pytest.mark.parametrize(
    ("kinds", "title"),
    [
        ("saved reconciled saved", "↻ 1 saved again"),
        ("saved reconciled saved failed", f"{FAILED} 1 saved again, 1 failure without a window"),
        ("saved failed failed", f"{FAILED} 2 failures without a window"),
        ("0 reconciled 0", "0 1 empty, 1 saved again"),
    ],
)
def test_tab_has_the_state_and_the_order_of_the_verdict(visit: Visit, serve: Serve, kinds: str, title: str) -> None:
    log = EventLog()
    allocation = RecordSet("allocation", "AllocationSet", log=log)
    window = recent_hour()
    for kind in kinds.split():
        if kind == "failed":
            allocation.emit("compute_error", error=KeyError("REGION"), operation="load")
        else:
            size = {"saved": 7, "0": 0}.get(kind)
            allocation.emit("saved" if kind == "0" else kind, size=size, window=window)
    page = visit(page_url(serve(log)), expected="404")
    expect(page).to_have_title(re.compile(f"^{re.escape(title)} \N{EN DASH} Cost ETL$"))
    assert f">{title[0]}</text>" in icon(page)
    found = coverage(log)
    [verdict] = verdicts(found.rows, found.without_window, found.now)
    expect(page.locator("#verdict .mark").first).to_have_class(re.compile(verdict.state.replace(" ", "-")))


def test_problems_are_listed_with_the_error(shown: Page) -> None:
    problems = shown.get_by_role("list", name="Problems, newest first").get_by_role("listitem")
    expect(problems.first).to_contain_text("ValueError: the sum is 1204.20 USD, the bill says 1260.00 USD")
    expect(problems.filter(has_text="missing, due since")).to_have_count(2)
    expect(problems.filter(has_text=re.compile("empty.* 0 records"))).to_have_count(1)
    expect(problems.filter(has_text="saved again")).to_have_count(1)


def test_problem_leads_to_its_window(visit: Visit, url: str) -> None:
    page = visit(url)
    page.get_by_role("list", name="Problems").get_by_role("button").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("allocation reconcile")


def test_newest_run_is_shown(shown: Page) -> None:
    rows = shown.locator("#runs tbody tr")
    expect(rows.first).to_contain_text("running")
    expect(rows.filter(has_text="killed: gone without an end")).to_have_count(1)
    expect(rows.filter(has_text="exit code 1: the backfill has failed")).to_have_count(1)


DURATIONS = [  # from a start to an end in nanoseconds after 22:00:00, in the command and on the page
    (0, 455_000_000, "0.4s", "0.4 s"),
    (0, 999_999_999, "0.9s", "0.9 s"),
    (999_999, 100_000_000, "0.0s", "0 s"),
    (999_000, 100_999_000, "0.1s", "0.1 s"),
    (0, 9_990_000_000, "9.9s", "9.9 s"),
    (0, 59_999_999_999, "59.9s", "59 s"),
    (0, 119_990_000_000, "1m59s", "1 min"),
    (500_000_000, 0, "0.0s", "0 s"),
    (0, None, ">0.1s", "at least 0.1 s"),
]


def test_durations_are_rounded_down_as_in_the_command(visit: Visit, serve: Serve, run: Run, tmp_path: Path) -> None:
    """A run that was killed did not last less than is shown."""
    file = tmp_path / "log.db"
    for number, (start, _, *_) in enumerate(DURATIONS):
        each = run_of(str(number))._replace(started=NIGHT + start + number)
        write(file, each, Event("AssetSetSaved", NIGHT + 190_000_000, 7))
    with closing(sqlite3.connect(file)) as connection, connection:
        for number, (start, end, *_) in enumerate(DURATIONS):
            if end is not None:
                values = (NIGHT + start, NIGHT + end, str(number) * 16)
                connection.execute("UPDATE run SET outcome = 'ended', started = ?, ended = ? WHERE id = ?", values)
    shown = {row.split()[0][0]: row.split()[2] for row in run("runs", str(file)).out.splitlines()[1:]}
    assert shown == {str(number): command for number, (*_, command, _) in enumerate(DURATIONS)}
    rows = visit(page_url(serve(Journal(file)))).locator("#runs tbody tr")
    expect(rows).to_have_count(len(DURATIONS))
    for number, (*_, page) in enumerate(DURATIONS):
        row = rows.filter(has=rows.page.get_by_title(f"the events of run {str(number) * 16}"))
        expect(row.locator("td").nth(3)).to_have_text(page)


def test_runs_before_that_ended_badly_are_counted(visit: Visit, url: str) -> None:
    """Each outcome leads to the events of the run, whose links say how it ended."""
    page = visit(url)
    run = page.locator("#verdict p").last
    expect(run).to_contain_text(re.compile(r"; of the \d before, 1 killed, 1 failed$"))
    run.get_by_role("button", name="1 killed").click()
    expect(page.locator("#events tbody tr").first).to_contain_text(re.compile(r"costs [0-9a-f]{8} \(killed\)"))


def test_run_that_ended_says_when(visit: Visit, serve: Serve, tmp_path: Path) -> None:
    """Not when it started, which may be long ago."""
    file = tmp_path / "log.db"
    subprocess.run([sys.executable, "-c", NIGHTLY, file], env=clean_environment(), check=True)
    page = visit(page_url(serve(Journal(file))))
    expect(page.locator("#verdict")).to_contain_text(re.compile(r"newest run: nightly, ended well [\d.]+ s ago$"))


def test_failure_says_that_nothing_has_repaired_it(shown: Page) -> None:
    """One that a retry repaired is not listed."""
    problems = shown.get_by_role("list", name="Problems, newest first").get_by_role("listitem")
    expect(problems.filter(has_text="still failed, last tried")).to_have_count(2)
    expect(problems.filter(has_text="TimeoutError")).to_have_count(0)


def test_problems_of_one_window_begin_with_its_worst(shown: Page) -> None:
    """The verdict counts the window as failed."""
    problems = shown.get_by_role("list", name="Problems, newest first").get_by_role("listitem")
    texts = problems.filter(has_text=re.compile(r"^\S\s*asset (save|aggregate) \d+ \w+ ")).all_inner_texts()
    assert [re.search("failed|missing", text)[0] for text in texts] == ["failed", "missing"]  # type: ignore[index]


def test_problem_without_a_window_leads_to_its_events(visit: Visit, url: str) -> None:
    page = visit(url)
    page.get_by_role("list", name="Problems").get_by_role("button", name="allocation load", exact=True).click()
    rows = page.locator("#events tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.filter(has_text="KeyError")).to_have_count(3)


def test_errors_are_grouped_by_type(shown: Page) -> None:
    rows = shown.locator("#errors tbody tr")
    expect(rows).to_have_count(4)
    keys = rows.filter(has_text="KeyError")
    expect(keys.locator("td").nth(1)).to_have_text("3")
    expect(keys).to_contain_text("allocation load")
    expect(keys).to_contain_text("'AWS_REGION'")


def test_log_in_memory_is_shown_without_runs(visit: Visit, serve: Serve) -> None:
    """It says what it does not have."""
    log = EventLog()
    RecordSet("allocation", "AllocationSet", log=log).emit("saved", size=97, window="2026-01-01")
    page = visit(page_url(serve(log)), expected="404")
    expect(page.locator("#verdict")).to_contain_text("newest saved 2026-01-01")
    expect(page.locator("#runs")).to_contain_text("Only a journal has runs")
    expect(page.locator("#events tbody tr")).to_have_count(1)


def test_source_without_events_says_so(visit: Visit, serve: Serve) -> None:
    page = visit(page_url(serve(EventLog())), expected="404")
    expect(page.locator("#verdict")).to_contain_text("no events yet")
