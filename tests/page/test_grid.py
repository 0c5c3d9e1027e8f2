"""The grid of windows: its states, and how it is moved in with keys and read by screen readers."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from page.conftest import Visit, Week


def cells_of(page: Page, row: str) -> Locator:
    return page.get_by_role("row", name=re.compile(f"^{row}")).get_by_role("gridcell")


def focused_name(page: Page) -> str:
    return page.locator("#grid td:focus").get_attribute("aria-label") or ""


STATES = [
    ("asset save", 1, "ok", "✓", r"ok, \d+ records"),
    ("asset save", 28, "empty", "0", "empty, 0 records"),
    ("asset load", 70, "ok", "✓", r"ok, \d+ records, failed .*before.*"),
    ("allocation reconcile", 9, "failed", "\N{MULTIPLICATION SIGN}", "failed, ValueError"),
    ("allocation save", 45, "missing", "!", r"missing, due since \d+ \w+ \d\d:00"),
    ("allocation save", -1, "not-due", "·", r"not due yet, due \d+ \w+ \d\d:00"),
    ("allocation save", 33, "ok", "↻", r"ok, \d+ records, saved (twice|2 times), saved again after it was reconciled"),
]


@pytest.mark.parametrize(("row", "age", "style", "glyph", "words"), STATES)
def test_state_has_a_name_a_glyph_and_a_style(
    shown: Page, week: Week, row: str, age: int, style: str, glyph: str, words: str
) -> None:
    """The name has the row and the window, for those who do not see the column."""
    start = week.hour - timedelta(hours=age + 1)
    window = f"{start.day} {start:%b} {start:%H}:00"
    cell = shown.get_by_role("gridcell", name=re.compile(rf"^{row}, {window}.\d\d:00 UTC: "))
    expect(cell).to_have_accessible_name(re.compile(f": {words}$"))
    expect(cell).to_have_text(glyph)
    expect(cell).to_have_class(re.compile(rf"(^| ){style}( |$)"))


def test_legend_counts_the_states(shown: Page) -> None:
    legend = shown.get_by_role("list", name=re.compile("Legend"))
    for entry in ("empty: 2", "failed: 1", "missing: 2", "failed before: 1", "saved again after it was reconciled: 1"):
        expect(legend).to_contain_text(entry)


def test_legend_omits_what_is_not_in_the_grid(shown: Page) -> None:
    expect(shown.get_by_role("list", name=re.compile("Legend"))).not_to_contain_text(": 0")


def test_resolution_tells_its_problems(shown: Page) -> None:
    """Also that of the one that is not shown."""
    choices = shown.locator("#resolutions")
    expect(choices).to_contain_text("hourly (3 problems)")
    expect(choices).to_contain_text("daily (1 problem)")


def test_row_names_cover_the_lines_between_days(visit: Visit, url: str) -> None:
    """When the grid is scrolled, the lines pass below the names, and below the gaps between them."""
    name = visit(url).get_by_role("rowheader", name="allocation load")
    shadow = name.evaluate("node => getComputedStyle(node).boxShadow")
    assert "0px -4px" in shadow
    assert "0px 4px" in shadow


def test_newest_window_is_in_view(visit: Visit, url: str) -> None:
    """Of at most 168 columns."""
    page = visit(url, viewport={"width": 800, "height": 2_000})
    cells = cells_of(page, "asset save")
    expect(cells.last).to_be_in_viewport(ratio=1)
    expect(cells.first).not_to_be_in_viewport()
    assert 144 < cells.count() <= 168


def test_columns_out_of_view_are_counted(visit: Visit, url: str) -> None:
    """At each edge; the count follows scrolling, the size of the page, and the resolution."""
    page = visit(url, viewport={"width": 1_400, "height": 900})
    edges = page.locator("#edges")
    expect(edges).to_have_text(re.compile(r"^← (7|8|9|10)\d earlier hours$"))
    count = int(re.findall(r"\d+", edges.inner_text())[0])
    expect(cells_of(page, "asset save").nth(count)).to_be_in_viewport(ratio=0.5)
    page.locator("#scroller").evaluate("scroller => scroller.scrollLeft = 0")
    expect(edges).to_have_text(re.compile(rf"^({count}|{count - 1}) later hours →$"))
    page.locator("#scroller").evaluate("scroller => scroller.scrollLeft = 14")
    expect(edges).to_have_text(re.compile(r"^← 1 earlier hour, \d+ later hours →$"))
    page.set_viewport_size({"width": 3_400, "height": 900})
    page.locator("body").evaluate("body => body.style.maxWidth = 'none'")
    expect(edges).to_be_hidden()
    page.set_viewport_size({"width": 400, "height": 900})
    page.get_by_role("radio", name="daily").check()
    expect(edges).to_have_text(re.compile(r"^← \d+ earlier days$"))
    page.emulate_media(media="print")
    expect(edges).to_be_hidden()


def test_resolution_can_be_chosen(visit: Visit, url: str) -> None:
    page = visit(url)
    page.get_by_role("radio", name="daily").check()
    expect(page.get_by_role("gridcell", name=re.compile("asset aggregate, .*: failed, OSError"))).to_be_visible()
    expect(page).to_have_url(re.compile("resolution=daily"))


# Keys


def enter_grid(page: Page) -> Locator:
    """Move the focus into the grid by its tab stop, as the Tab key does."""
    stop = page.locator("#grid [tabindex='0']")
    expect(stop).to_have_count(1)
    expect(page.locator("#errors tbody tr").first).to_be_visible()  # the next stop
    page.locator("#next").focus()
    page.keyboard.press("Tab")
    expect(stop).to_be_focused()
    return stop


def test_grid_is_one_tab_stop(visit: Visit, url: str) -> None:
    page = visit(url)
    enter_grid(page)
    page.keyboard.press("Tab")
    assert page.locator("#grid *:focus").count() == 0
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#grid [tabindex='0']")).to_be_focused()


def test_first_tab_stop_is_the_newest_problem(visit: Visit, url: str) -> None:
    page = visit(url)
    enter_grid(page)
    assert re.search("^allocation reconcile, .*: failed, ValueError$", focused_name(page))


def test_arrows_home_and_end_move_the_focus(visit: Visit, url: str) -> None:
    """They stop at the edges."""
    page = visit(url)
    enter_grid(page)
    rows = page.locator("#grid tbody tr")
    for keys, row, column in [
        (("Home",), None, 0),
        (("ArrowLeft",), None, 0),
        (("ArrowRight", "ArrowRight"), None, 2),
        (("ArrowLeft",), None, 1),
        (("End",), None, -1),
        (("ArrowRight",), None, -1),
        (("Control+Home",), 0, 0),
        (("ArrowUp",), 0, 0),
        (("ArrowDown",), 1, 0),
        (("Control+End",), -1, -1),
    ]:
        for key in keys:
            page.keyboard.press(key)
        line = rows.nth(row) if row is not None else rows.filter(has=page.locator(":focus"))
        expect(line.locator("td").nth(column)).to_be_focused()


def test_n_goes_from_problem_to_problem(visit: Visit, url: str) -> None:
    """From the last one to the first, and p goes back."""
    page = visit(url)
    enter_grid(page)
    first = focused_name(page)
    seen = [first]
    while True:
        page.keyboard.press("n")
        if (name := focused_name(page)) == first:
            break
        seen.append(name)
    assert sorted(re.sub(", .* UTC: ", ": ", name) for name in seen) == sorted(
        [
            "allocation reconcile: failed, ValueError",
            *[name for name in (re.sub(", .* UTC: ", ": ", each) for each in seen) if ": missing, due since" in name],
            "asset load: empty, 0 records",
            "asset save: empty, 0 records",
        ]
    )
    assert len(seen) == 5
    page.keyboard.press("p")
    assert focused_name(page) == seen[-1]


def test_enter_opens_a_window_and_escape_closes_it(visit: Visit, url: str) -> None:
    """The focus moves to its heading, and back to its cell."""
    page = visit(url)
    stop = enter_grid(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("heading", name="allocation reconcile")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(stop).to_be_focused()


def test_keys_of_the_browser_are_left_alone(visit: Visit, url: str) -> None:
    page = visit(url)
    stop = enter_grid(page)
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("x")
    expect(stop).to_be_focused()


def test_focus_survives_an_update(visit: Visit, url: str) -> None:
    page = visit(url)
    enter_grid(page)
    page.keyboard.press("Home")
    name = focused_name(page)
    with page.expect_response(re.compile("/coverage")):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    with page.expect_response(re.compile("/events")):
        pass
    assert focused_name(page) == name
