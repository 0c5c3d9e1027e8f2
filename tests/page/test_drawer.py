"""The chosen window: what happened to it, in which run, and the way to its trace."""

from __future__ import annotations

import re
from datetime import timedelta
from time import time_ns
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from otel_kcevents import Event, EventLog, Window
from otel_kcevents.model.timestamps import DAY, format_time
from page.conftest import TRACE_URL, Serve, Visit, Week, page_url

HOUR = DAY // 24


def window_url(url: str, week: Week, row: str, age: int) -> str:
    """Return the URL of a window: that of an hour before the newest one."""
    start = week.hour - timedelta(hours=age + 1)
    return f"{url}?cell={row}/{start:%Y-%m-%dT%H:00:00Z}"


def open_window(visit: Visit, url: str, week: Week, row: str, age: int, **options: Any) -> Locator:
    return visit(window_url(url, week, row, age), **options).get_by_role("dialog")


def test_events_of_a_window_are_in_their_order(visit: Visit, url: str, week: Week) -> None:
    """A set that was saved again has its size before."""
    drawer = open_window(visit, url, week, "allocation/save", 33)
    events = drawer.locator("ol li")
    expect(events).to_have_count(4)
    for number, outcome in enumerate(("loaded", "saved", "reconciled", "saved")):
        expect(events.nth(number)).to_contain_text(outcome)
    size = int(re.findall(r"saved\D*(\d+)", events.nth(1).inner_text())[0])
    expect(events.nth(3)).to_contain_text(re.compile(rf"saved\D*{size + 3}\D.*before\D*{size}\b"))
    expect(drawer).to_contain_text("saved again after it was reconciled")


def test_failure_shows_its_error(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "allocation/reconcile", 9)
    expect(drawer).to_contain_text("ValueError: the sum is 1204.20 USD, the bill says 1260.00 USD")


def test_retry_shows_the_earlier_error(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "asset/load", 70)
    expect(drawer).to_contain_text("TimeoutError: the inventory did not answer within 30 s")
    expect(drawer.locator("ol li").first).to_contain_text("load failed")


def test_size_of_the_window_before_is_shown(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "asset/save", 28)
    expect(drawer.locator("dl")).to_contain_text(re.compile(r"Size ?0 records"))
    expect(drawer.locator("dl")).to_contain_text(re.compile(r"before ?([67]\d|80) records"))


def test_missing_window_says_what_was_done_for_it(visit: Visit, url: str, week: Week) -> None:
    """It was loaded, before its run was killed."""
    drawer = open_window(visit, url, week, "allocation/save", 45)
    expect(drawer).to_contain_text("missing, due since")
    expect(drawer.locator("ol li")).to_have_count(1)
    expect(drawer.locator("ol li")).to_contain_text("loaded")


def test_missing_window_says_that_its_run_was_killed(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "allocation/save", 45)
    expect(drawer.locator("ol li")).to_contain_text(re.compile(r"costs [0-9a-f]{8} \(killed\)"))


def test_reconciliation_of_an_earlier_save_says_so(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "allocation/save", 33)
    reconcile = drawer.locator("ul li").filter(has_text="reconcile ok")
    expect(reconcile).to_have_text(re.compile("ok, but of the earlier save$"))


@pytest.mark.parametrize(
    ("resolution", "words"),
    [("daily", "ok, but 2 windows in it were saved again"), ("7d", "ok, but at least 2 windows")],
)
def test_reconciliation_of_earlier_hours_says_so(visit: Visit, serve: Serve, resolution: str, words: str) -> None:
    """Of a day, or of a week of which the page has not all hours."""
    log, now = EventLog(), time_ns()
    midnight = now // DAY * DAY
    start = midnight - DAY * (1 if resolution == "daily" else 7)
    hours = [Window.from_ns(midnight - age * HOUR, midnight - (age - 1) * HOUR) for age in (3, 2, 1)]
    windows = [*hours, Window.from_ns(start, midnight), *hours[1:]]
    for place, window in enumerate(windows):
        log.append(Event("AllocationSetReconciled" if place == 3 else "AllocationSetSaved", now + place, None, window))
    cell = f"allocation/reconcile/{format_time(start)}"
    drawer = visit(f"{page_url(serve(log))}?resolution={resolution}&cell={cell}", expected="404").get_by_role("dialog")
    expect(drawer.locator("ul li")).to_contain_text(f"reconcile {words}")


def test_event_links_to_its_trace(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "allocation/reconcile", 9)
    link = drawer.get_by_role("link", name="trace").last
    expect(link).to_have_attribute("href", re.compile(TRACE_URL.replace("{trace_id}", "[0-9a-f]{32}")))
    expect(link).to_have_attribute("rel", re.compile("noreferrer"))


def test_event_leads_to_the_events_of_its_run(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "allocation/reconcile", 9)
    drawer.locator("ol li").first.get_by_role("button").click()
    expect(drawer.page).to_have_url(re.compile("run=[0-9a-f]{16}"))
    expect(drawer.page.locator("#events tbody tr").first).to_contain_text("costs")


def test_window_can_be_copied(visit: Visit, url: str, week: Week) -> None:
    """As a rerun needs it."""
    drawer = open_window(visit, url, week, "allocation/save", 45, permissions=["clipboard-read", "clipboard-write"])
    drawer.get_by_role("button", name="Copy window").click()
    expect(drawer.get_by_role("button", name="Copied")).to_be_visible()
    start = week.hour - timedelta(hours=46)
    copied = drawer.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{start:%Y-%m-%dT%H:00:00Z},{start + timedelta(hours=1):%Y-%m-%dT%H:00:00Z}"


def test_other_operation_of_the_set_can_be_chosen(visit: Visit, url: str, week: Week) -> None:
    drawer = open_window(visit, url, week, "allocation/reconcile", 9)
    drawer.get_by_role("button", name="save", exact=True).click()
    expect(drawer.get_by_role("heading", name="allocation save")).to_be_visible()
    expect(drawer.page).to_have_url(re.compile("cell=allocation/save/"))


def test_back_closes_a_window(visit: Visit, url: str, week: Week) -> None:
    page = visit(url)
    page.get_by_role("gridcell", name=re.compile("failed, ValueError")).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.go_forward()
    expect(page.get_by_role("dialog")).to_contain_text("allocation reconcile")


def test_window_that_is_not_there_says_so(visit: Visit, url: str) -> None:
    drawer = visit(f"{url}?cell=allocation/save/1999-01-01T00:00:00Z").get_by_role("dialog")
    expect(drawer).to_contain_text(re.compile("not in this range", re.IGNORECASE))
