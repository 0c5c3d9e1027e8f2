"""What a notebook shows of a coverage."""

from __future__ import annotations

import re

from otel_kcevents import Event, EventLog, Failure, Window
from otel_kcevents.model.timestamps import SECOND, parse_time
from otel_kcevents.store.coverage import CoverageQuery, coverage

START = parse_time("2024-09-02T00:00:00Z")
NOW = START + 8 * 3_600 * SECOND
QUERY = CoverageQuery(Window.from_ns(START, NOW), now=NOW)


def hour(number: int) -> Window:
    start = START + number * 3_600 * SECOND
    return Window.from_ns(start, start + 3_600 * SECOND)


def troubled() -> EventLog:
    """The hours 0 to 5, of which 2 and 3 are missing and 4 failed."""
    log = EventLog()
    log.add_set("cloud", "CloudCostSet")
    for number in (0, 1, 5):
        log.append(Event("CloudCostSetSaved", START + number, 7, hour(number)))
    failure = Failure("<b>Error</b>", "<script>", "save")
    log.append(Event("CloudCostSetComputeError", START + 9, None, hour(4), failure))
    return log


def test_coverage_is_shown_as_a_grid_with_texts() -> None:
    """Windows of one state are one element, which a screen reader reads as one."""
    html = coverage(troubled(), QUERY)._repr_html_()
    assert "cloud: 1 window failed, 2 missing; newest saved 05:00" in html
    assert re.findall(r'<th scope="\w+"[^>]*>([^<]*)', html) == ["save", "2024-09-02"]
    labels = re.findall(r'role="img" aria-label="([^"]*)" title="\1">([^<]*)<', html)
    assert labels == [
        ("2024-09-02 00:00 to 2024-09-02 01:00: ok", "■■"),
        ("2024-09-02 02:00 to 2024-09-02 03:00: missing", "!!"),
        ("2024-09-02 04:00: failed", "✗"),
        ("2024-09-02 05:00: ok", "■"),
        ("2024-09-02 06:00 to 2024-09-02 07:00: not due yet", "··"),
    ]
    legend = re.sub("<[^>]*>", "", html.rpartition("<p>")[2])
    assert legend == "■ ok, ✗ failed, ! missing, · not due yet"


def test_windows_before_the_first_event_have_their_own_mark() -> None:
    html = coverage(troubled(), QUERY._replace(window=Window.from_ns(START - 7_200 * SECOND, NOW)))._repr_html_()
    assert "1 window failed, 2 missing, 2 more missing before its first event; " in html
    assert "2024-09-01 22:00 to 2024-09-01 23:00: missing, before the first event" in html
    assert html.count("#808890") == 4  # as windows that are not due, of which the grid and the legend have one each


def test_colours_do_not_set_a_background() -> None:
    """They are legible on a light and a dark page."""
    html = coverage(troubled(), QUERY)._repr_html_()
    assert "background" not in html
    assert set(re.findall(r"color:([^;\"]*)", html)) == {"#3f7cb3", "#d7304f", "#b04fc4", "#808890"}


def test_coverage_without_windows_says_so() -> None:
    assert coverage(EventLog(), QUERY)._repr_html_() == "<p>no windows</p>"
