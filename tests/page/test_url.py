"""What the page shows is in its URL: it survives a reload, Back leads to it, and it can be sent to somebody."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from page.conftest import Visit


def is_filtered(page: Page) -> None:
    rows = page.locator("#events tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("KeyError")


def test_filters_are_in_the_url_and_survive_a_reload(visit: Visit, url: str) -> None:
    page = visit(url)
    page.get_by_label("Kind").select_option("AllocationSetComputeError")
    page.get_by_label("Result").select_option("only KeyError")
    is_filtered(page)
    expect(page).to_have_url(f"{url}?kind=AllocationSetComputeError&errors=KeyError")
    page.reload()
    is_filtered(page)
    expect(page.get_by_label("Kind")).to_have_value("AllocationSetComputeError")


def test_filters_can_be_cleared(visit: Visit, url: str) -> None:
    page = visit(f"{url}?kind=AllocationSetComputeError")
    expect(page.locator("#events tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#events tbody tr")).to_have_count(20)
    expect(page).to_have_url(url)


def test_older_events_are_read_on_demand(visit: Visit, url: str) -> None:
    page = visit(url)
    expect(page.locator("#events tbody tr")).to_have_count(20)
    page.get_by_role("button", name="Older events").click()
    expect(page.locator("#events tbody tr")).to_have_count(70)


def test_error_type_leads_to_its_events_and_back(visit: Visit, url: str) -> None:
    page = visit(url)
    page.locator("#errors").get_by_role("button", name="KeyError").click()
    is_filtered(page)
    page.go_back()
    expect(page.locator("#events tbody tr")).to_have_count(20)
    expect(page).to_have_url(url)


@pytest.mark.parametrize(
    ("query", "rows", "columns"),
    [
        ("resolution=daily&window=7d", 4, 7),
        ("etl=asset&window=24h", 2, None),
        ("operation=reconcile&window=3d", 1, None),
    ],
)
def test_url_selects_the_rows_and_columns(visit: Visit, url: str, query: str, rows: int, columns: int | None) -> None:
    page = visit(f"{url}?{query}")
    expect(page.locator("#grid tbody tr")).to_have_count(rows)
    found = page.locator("#grid tbody tr").first.locator("td").count()
    assert found == columns if columns else 24 < found <= 72 or found <= 25


def test_invalid_range_says_why(visit: Visit, url: str) -> None:
    page = visit(f"{url}?window=soon", expected="400")
    expect(page.locator("#grid-note")).to_contain_text("'soon'")
    expect(page.locator("#verdict")).to_contain_text("allocation: 1 window failed")


def test_unknown_filter_says_why(visit: Visit, url: str) -> None:
    page = visit(f"{url}?run=ffff", expected="400")
    expect(page.locator("#events .note")).to_contain_text("no run has the id 'ffff'")
    expect(page.get_by_role("button", name="Clear filters")).to_be_visible()


def test_link_leads_to_the_same_as_data(visit: Visit, url: str) -> None:
    page = visit(url)
    for name in ("Coverage", "log", "events", "runs"):
        link = page.locator("#links").get_by_role("link", name=name, exact=True)
        assert page.request.get(f"{url}{link.get_attribute('href')}").json()["code"] == 200
    expect(page.get_by_role("link", name="Bug report")).to_be_visible()
