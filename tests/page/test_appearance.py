"""How the page looks: colours that can be told apart, in every scheme, on paper, and on a narrow screen."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from page.conftest import Visit

FILLS = {
    "light": {"ok": "#4f8fc4", "empty": "#e69f00", "failed": "#a3123a"},
    "dark": {"ok": "#3f7cb3", "empty": "#f7d774", "failed": "#e8425c"},
}
STYLES = """selectors => selectors.map(selector => {
    const style = getComputedStyle(document.querySelector(selector));
    return [style.backgroundColor, style.color, style.borderTopColor, style.borderTopStyle];
})"""


def rgb(colour: str) -> tuple[float, ...]:
    if colour.startswith("#"):
        return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(float(part) for part in re.findall(r"[\d.]+", colour)[:3])


def luminance(colour: str) -> float:
    parts = [part / 255 for part in rgb(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of the Web Content Accessibility Guidelines."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def styles(page: Page, *selectors: str) -> list[Any]:
    expect(page.locator("#grid td.failed")).to_be_visible()
    found: list[Any] = page.evaluate(STYLES, list(selectors))
    return found


@pytest.mark.parametrize("scheme", FILLS)
def test_scheme_of_the_system_is_used(visit: Visit, url: str, scheme: Any) -> None:
    """The fills stand out from the background, and the glyphs from the fills."""
    page = visit(url, color_scheme=scheme)
    [[background, text, *_]] = styles(page, "body")
    assert (luminance(background) > 0.5) == (scheme == "light")
    assert contrast(background, text) >= 7
    for state, fill in FILLS[scheme].items():
        [[found, glyph, border, _]] = styles(page, f"#grid td.{state}")
        assert rgb(found) == rgb(fill)
        assert contrast(found, glyph) >= 4
        assert max(contrast(found, background), contrast(border, background)) >= 3
    for state in ("missing", "not-due"):
        [[found, glyph, border, _]] = styles(page, f"#grid td.{state}")
        assert contrast(found, glyph) >= 4.5
        assert contrast(border, background) >= 3


def test_states_differ_in_more_than_colour(shown: Page) -> None:
    """By their glyphs and their borders, for those who see no difference between the colours."""
    states = ("ok", "empty", "failed", "missing", "not-due")
    glyphs = [shown.locator(f"#grid td.{state}").last.inner_text() for state in states]
    assert len(set(glyphs)) == len(states)
    borders = [style for _, _, _, style in styles(shown, *(f"#grid td.{state}" for state in states))]
    assert borders == ["solid", "solid", "solid", "dashed", "dotted"]


def test_small_text_can_be_read(shown: Page) -> None:
    """Notes, times and links too."""
    [[background, *_]] = styles(shown, "body")
    for _, text, *_ in styles(shown, "#keys", "#source", "#runs .note", "a", "button.link", "#grid th"):
        assert contrast(background, text) >= 4.5


def test_forced_colours_keep_the_states_apart(visit: Visit, url: str) -> None:
    """The system's colours replace the fills; borders and glyphs are left."""
    page = visit(url, forced_colors="active")
    found = styles(page, *(f"#grid td.{state}" for state in ("ok", "empty", "failed", "missing")))
    assert len({border for _, _, _, border in found}) > 1
    assert page.locator("#grid td.failed").inner_text() == "\N{MULTIPLICATION SIGN}"
    assert page.locator("#grid td.failed").evaluate("cell => matchMedia('(forced-colors: active)').matches")


def test_print_shows_every_column_without_controls(visit: Visit, url: str) -> None:
    """On a landscape sheet of A4, which is 1,047 pixels wide without its margins."""
    page = visit(url, viewport={"width": 1_047, "height": 700})
    expect(page.locator("#grid td.failed")).to_be_visible()
    page.emulate_media(media="print")
    for selector in ("#view", "#filter", "#older", "#keys"):
        expect(page.locator(selector)).to_be_hidden()
    for selector in ("#verdict", "#problems", "#grid", "#runs"):
        expect(page.locator(selector)).to_be_visible()
    assert page.locator("#grid").evaluate("grid => grid.offsetWidth") <= 1_047
    assert page.locator("#grid td.failed").evaluate("cell => getComputedStyle(cell).printColorAdjust") == "exact"


@pytest.mark.parametrize("width", [320, 768, 1_920])
def test_page_fits_its_width(visit: Visit, url: str, width: int) -> None:
    """Wide tables scroll within themselves."""
    page = visit(url, viewport={"width": width, "height": 900})
    expect(page.locator("#events tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#verdict")).to_be_in_viewport()


def test_verdict_is_on_the_first_screen_with_the_grid(visit: Visit, url: str) -> None:
    page = visit(url, viewport={"width": 1_280, "height": 800})
    expect(page.locator("#grid td.failed")).to_be_in_viewport(ratio=1)
    expect(page.locator("#verdict p").first).to_be_in_viewport(ratio=1)


# Screen readers


def test_every_control_has_a_name(shown: Page) -> None:
    """And every image, region and table that is not hidden from screen readers."""
    styles(shown, "body")
    for role in ("button", "link", "combobox", "radio", "textbox", "region", "dialog", "grid", "img"):
        for each in shown.get_by_role(role).all():
            expect(each, role).to_have_accessible_name(re.compile("."))


def test_ids_are_unique_and_references_exist(shown: Page) -> None:
    problems = shown.evaluate("""() => {
        const ids = [...document.querySelectorAll('[id]')].map(node => node.id);
        const named = [...document.querySelectorAll('[aria-labelledby], [aria-describedby]')];
        const names = ['aria-labelledby', 'aria-describedby'];
        const wanted = named.flatMap(node => names.map(name => node.getAttribute(name)));
        return [
            ...ids.filter((id, index) => ids.indexOf(id) !== index),
            ...wanted.filter(Boolean).filter(id => !id.startsWith('drawer') && !document.getElementById(id)),
        ];
    }""")
    assert problems == []


def test_headings_are_in_order(shown: Page) -> None:
    levels = shown.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(node => Number(node.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_accessibility_tree_begins_with_the_verdict(shown: Page) -> None:
    """The grid is a grid, with headers for its rows and columns."""
    expect(shown.locator("main")).to_match_aria_snapshot("""
        - region "The last 7 days":
          - heading "The last 7 days" [level=2]
          - status
          - list /Problems/
        - region "Windows":
          - heading "Windows" [level=2]
    """)
    grid = shown.get_by_role("grid", name="Windows")
    expect(grid.get_by_role("rowheader")).to_have_text(
        ["allocation save", "allocation load", "allocation reconcile", "asset save", "asset load"]
    )
    assert grid.get_by_role("columnheader").count() > 144


def test_page_names_its_language_and_title(shown: Page) -> None:
    assert shown.evaluate("document.documentElement.lang") == "en"
    expect(shown).to_have_title(re.compile("Cost ETL$"))
