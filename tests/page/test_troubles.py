"""The page when something is wrong: with the server, or with what events say."""

from __future__ import annotations

import re
from pathlib import Path
from time import time_ns

from playwright.sync_api import Page, expect

from otel_kcevents import Event, EventLog, Failure, Journal, RecordSet, Window
from otel_kcevents.model.timestamps import to_datetime
from page.conftest import LOST, Serve, Visit, Week, page_url, wait

HOUR = 3_600 * 10**9
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script><b id=injected>bold</b>&lt;'\"\N{RIGHT-TO-LEFT OVERRIDE}"


def test_nothing_from_an_event_is_markup(visit: Visit, serve: Serve, tmp_path: Path) -> None:
    """In an error's type and message, the name of a run, a kind: no element is created and no script runs."""
    journal, hour = Journal(tmp_path / "log.db"), time_ns() // HOUR * HOUR
    failure = Failure(MARKUP, MARKUP, "save")
    log = EventLog()
    log.attach(journal)
    RecordSet("asset", "AssetSet", log=log)
    log.append(
        Event("AssetSetComputeError", time_ns(), None, Window(to_datetime(hour - HOUR), to_datetime(hour)), failure)
    )
    page = visit(page_url(serve(journal)))
    dialogs = list[str]()
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.get_by_role("gridcell", name=re.compile("asset save, .*: failed")).click()
    for place in ("#problems", "#errors", "#events", "#drawer"):
        expect(page.locator(place)).to_contain_text("<img src=x onerror=alert(1)><script>alert(2)</script>")
    assert page.locator("#injected, img, script:not([src])").count() == 0
    assert dialogs == []


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_lost_source_turns_the_page_grey_until_it_is_back(visit: Visit, serve: Serve, week: Week) -> None:
    """It says since when, and the title of the tab does too; what was known is still there."""
    server = serve(Journal(week.file))
    page = visit(page_url(server), expected=LOST, stops_clock=True)
    expect(page.locator("#runs tbody tr").first).to_be_visible()
    usual, stale = background(page), page.get_by_role("alert")
    server.close()
    wait(page, stale)
    expect(stale).to_contain_text(re.compile(r"No answer since .*\d\d:\d\d:\d\d UTC"))
    expect(page).to_have_title(re.compile("no answer"))
    assert background(page) != usual
    assert page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    expect(page.locator("#verdict")).to_contain_text("allocation: 1 window failed")
    serve(Journal(week.file), server.port)
    wait(page, page.locator("body:not(.stale)"))
    expect(stale).to_be_hidden()
    assert background(page) == usual


def test_source_that_never_answered_is_not_green(visit: Visit, serve: Serve, tmp_path: Path) -> None:
    """Its journal does not exist yet; once a program has written to it, the page shows it."""
    file = tmp_path / "later.db"
    page = visit(page_url(serve(Journal(file))), expected="503", stops_clock=True)
    alert = page.get_by_role("alert")
    wait(page, alert)
    expect(alert).to_contain_text(re.compile(r"No answer yet: 503 .*later\.db does not exist"))
    expect(page.locator("#verdict")).to_contain_text("The state is unknown until the source answers")
    assert page.locator("td.ok, .mark.ok").count() == 0
    Journal(file)(Event("AssetSetSaved", time_ns(), 7))
    wait(page, page.locator("#events tbody tr"))
    expect(alert).to_be_hidden()


def test_computer_that_slept_does_not_show_old_data_as_current(visit: Visit, serve: Serve, week: Week) -> None:
    server = serve(Journal(week.file))
    page = visit(page_url(server), expected=LOST, stops_clock=True)
    expect(page.locator("#runs tbody tr").first).to_be_visible()
    server.close()
    page.clock.fast_forward(3_600_000)
    wait(page, page.get_by_role("alert"))


def test_new_event_appears_by_itself(visit: Visit, serve: Serve) -> None:
    log = EventLog()
    asset = RecordSet("asset", "AssetSet", log=log)
    page = visit(page_url(serve(log)), expected="404", stops_clock=True)
    expect(page.locator("#verdict")).to_contain_text("no events yet")
    asset.emit("saved", size=3, window="2026-01-01")
    wait(page, page.locator("#verdict", has_text="newest saved 2026-01-01"))


def test_many_events_do_not_make_a_larger_page(visit: Visit, serve: Serve, tmp_path: Path) -> None:
    """Of 10,000 events and 2,160 windows, the newest are shown."""
    journal, end = Journal(tmp_path / "many.db"), time_ns() // HOUR * HOUR
    for age in reversed(range(10_000)):
        start = end - (age + 1) * HOUR
        journal(
            Event("AssetSetSaved", start + HOUR + 1, age, Window(to_datetime(start), to_datetime(start + HOUR))),
            age + 1,
            7,
        )
    page = visit(f"{page_url(serve(journal))}?window=90d")
    expect(page.locator("#grid-note")).to_contain_text(re.compile(r"newest 168 of 2,1\d\d "))
    assert page.locator("#grid td").count() == 168
    expect(page.locator("#events tbody tr")).to_have_count(20)
    assert page.locator("*").count() < 2_000
