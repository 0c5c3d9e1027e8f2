"""Missing windows that are older than the first event of their row: they look different, and are not problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import time_ns
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from otel_kcevents import Event, EventLog, Window, coverage
from otel_kcevents.store.verdict import verdicts
from page.conftest import Serve, Visit, page_url
from page.test_appearance import FILLS, contrast, rgb, styles

HOUR = 3_600 * 10**9
NAME = "missing, before the first event"
FRESH = {"Saved": (5, 4, 3), "Reconciled": (5, 4, 3)}


def log_of(hours: Mapping[str, tuple[int, ...]]) -> EventLog:
    """A log of events of some hours: how many hours ago each of them began."""
    log, newest = EventLog(), time_ns() // HOUR * HOUR
    for outcome, ages in hours.items():
        for age in ages:
            window = Window.from_ns(newest - age * HOUR, newest - (age - 1) * HOUR)
            log.append(Event(f"AllocationSet{outcome}", time_ns(), 7 if outcome == "Saved" else None, window))
    return log


@pytest.fixture
def fresh(visit: Visit, serve: Serve) -> Page:
    """The page of a program that has run for three hours, in a range of 30 days."""
    return visit(f"{page_url(serve(log_of(FRESH)))}?window=30d", expected="404")


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ({"Saved": (3,)}, r"1 window ok, \d+ missing before its first event"),
        ({"Saved": (6, 5, 3)}, r"1 window missing, \d+ more missing before its first event"),
        ({"Saved": (6, 5, 4, 3), "Reconciled": (4, 3)}, r"4 windows ok, \d+ missing before the first reconcile"),
        ({"Saved": (8_000, 7_999)}, r"\d+ windows missing"),
        ({"Saved": (-8_000, -8_001)}, r"\d+ windows missing before its first event"),
    ],
)
def test_verdict_has_the_words_of_the_command(
    visit: Visit, serve: Serve, hours: Mapping[str, tuple[int, ...]], words: str
) -> None:
    log = log_of(hours)
    page = visit(page_url(serve(log)), expected="404")
    found = coverage(log)
    [verdict] = verdicts(found.rows, found.without_window, found.now)
    counts = str(verdict).partition(";")[0]
    assert re.fullmatch(f"allocation: {words}", counts)
    expect(page.locator("#verdict p").first).to_contain_text(f"{counts};")


def test_program_that_just_began_has_no_problem(fresh: Page) -> None:
    """Not in the verdict, the title or the list, nor for the keys."""
    expect(fresh.locator("#verdict .mark").first).to_have_class(re.compile("before-first"))
    expect(fresh).to_have_title(re.compile("^\N{EN DASH} ok since the first event"))
    expect(fresh.locator("#problems li")).to_have_count(0)
    expect(fresh.locator("#resolutions")).not_to_contain_text("problem")
    expect(fresh.locator("#next")).to_be_disabled()
    expect(fresh.locator("#previous")).to_be_disabled()
    newest = fresh.locator("#grid tbody tr").first.locator("td").last
    expect(newest).to_have_attribute("tabindex", "0")


def test_cells_before_the_first_event_have_a_name_and_a_glyph(fresh: Page) -> None:
    cells = fresh.get_by_role("gridcell", name=re.compile(f": {NAME}$"))
    expect(cells.first).to_have_text("\N{EN DASH}")
    assert cells.count() == fresh.locator("#grid td.before-first").count() > 300
    expect(fresh.locator("#legend")).to_contain_text(f"{NAME}: {cells.count()}")
    expect(fresh.locator("#legend")).not_to_contain_text("missing: ")


def test_drawer_says_which_event_was_the_first(fresh: Page) -> None:
    fresh.locator("#grid td.before-first").last.click()
    drawer = fresh.get_by_role("dialog")
    expect(drawer).to_contain_text(NAME)
    expect(drawer.locator("dt", has_text="First event")).to_have_count(1)
    expect(drawer.get_by_role("button", name="Copy window")).to_be_visible()


def test_legend_omits_a_state_without_windows(shown: Page) -> None:
    expect(shown.locator("#legend")).not_to_contain_text(NAME)


def test_n_goes_only_to_windows_since_the_first_event(visit: Visit, url: str) -> None:
    """Of the days, one has failed, and one is missing."""
    page = visit(f"{url}?resolution=daily")
    page.locator("#grid [tabindex='0']").focus()
    names = set()
    for _ in range(4):
        page.keyboard.press("n")
        names.add(re.sub(".* UTC: ([a-z]+).*", r"\1", page.locator("#grid td:focus").get_attribute("aria-label") or ""))
    assert names == {"failed", "missing"}
    expect(page.locator("#legend")).to_contain_text("missing: 1")


@pytest.mark.parametrize("scheme", FILLS)
def test_windows_before_the_first_event_are_less_prominent(visit: Visit, url: str, scheme: Any) -> None:
    """The glyph can be read, but the border is less prominent."""
    page = visit(f"{url}?resolution=daily", color_scheme=scheme)
    [quiet, missing, [background, *_]] = styles(page, "#grid td.before-first", "#grid td.missing", "body")
    assert rgb(quiet[0]) == rgb(background)
    assert contrast(quiet[0], quiet[1]) >= 4.5
    assert contrast(background, quiet[2]) < 2 < contrast(background, missing[2])
    assert (quiet[3], missing[3]) == ("solid", "dashed")


def test_windows_before_the_first_event_differ_in_print(visit: Visit, url: str) -> None:
    page = visit(f"{url}?resolution=daily", forced_colors="active")
    [quiet, okay, [background, *_]] = styles(page, "#grid td.before-first", "#grid td.ok", "body")
    assert rgb(quiet[2]) == rgb(background) != rgb(okay[2])
    page.emulate_media(media="print", forced_colors="none")
    [quiet, missing] = styles(page, "#grid td.before-first", "#grid td.missing")
    assert quiet[1:] != missing[1:]
