"""Grids: windows as lines of cells."""

from __future__ import annotations

import pytest

from otel_kcevents import Event, EventLog, Failure, Window
from otel_kcevents.model.timestamps import DAY, SECOND, parse_time
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.grid import GLYPHS, Grid, grid_of

HOUR = 3_600 * SECOND
MINUTE = 60 * SECOND
START = parse_time("2024-09-02T00:00:00Z")


def log_of(first: int, length: int, count: int, *without: int) -> EventLog:
    """A log of windows of one length, which follow each other."""
    log = EventLog(20_000)
    for number in range(count):
        start = first + number * length
        if number not in without:
            log.append(Event("AssetSetSaved", start + length, 7, Window.from_ns(start, start + length)))
    return log


def grid(log: EventLog, start: int, end: int) -> Grid:
    """The grid of the only row, without a grace."""
    found = coverage(log, CoverageQuery(Window.from_ns(start, end), grace=0, now=end))
    (row,) = found.rows
    return grid_of(row, end - start)


def drawn(grid: Grid) -> list[str]:
    """The lines of a grid as text."""
    return [
        f"{label} {''.join(GLYPHS[cells[n].state].ascii if n in cells else ' ' for n in range(grid.width))}".rstrip()
        for label, cells in grid.lines.items()
    ]


def test_hours_are_lines_of_days() -> None:
    found = grid(log_of(START + 20 * HOUR, HOUR, 8, 2), START + 20 * HOUR, START + 28 * HOUR)
    assert drawn(found) == [f"2024-09-02 {'':20}##!#", "2024-09-03 ####"]
    assert found.head == "00    06    12    18"
    assert found.lines["2024-09-02"][22] == ("2024-09-02 22:00", "missing")
    assert found.summary is None


def test_hours_that_begin_at_half_past_are_in_their_hour() -> None:
    found = grid(log_of(START + MINUTE * 30, HOUR, 3, 1), START + MINUTE * 30, START + 4 * HOUR)
    assert drawn(found) == ["2024-09-02 #!#."]


def test_hours_of_more_than_a_month_are_summarized_by_day() -> None:
    """A day has the state of its worst hour."""
    log = log_of(START, HOUR, 40 * 24, 5 * 24 + 20, 8 * 24 + 23, 8 * 24 + 24)
    window = Window.from_ns(START + DAY, START + DAY + HOUR)
    log.append(Event("AssetSetReconcileError", START, None, window, Failure("E", "late", "reconcile")))
    found = coverage(log, CoverageQuery(Window.from_ns(START, START + 40 * DAY), grace=0, now=START + 40 * DAY))
    save = grid_of(found.rows[0], 40 * DAY)
    assert drawn(save) == ["2024-09  #####!##!!" + 19 * "#", "2024-10 ###########"]
    assert save.summary == "day"
    assert save.lines["2024-09"][6] == ("2024-09-07", "missing")
    assert drawn(grid_of(found.rows[1], 40 * DAY))[0] == f"2024-09  -X{27 * '!'}"


def test_hours_before_the_first_event_have_a_mark_of_their_own() -> None:
    """In a summary, the day of the first event has the state of the hours after it."""
    log = log_of(START + 30 * HOUR, HOUR, 40)
    assert drawn(grid(log, START + 28 * HOUR, START + 32 * HOUR)) == ["2024-09-03     --##"]
    assert drawn(grid(log, START - 30 * DAY, START + 3 * DAY)) == ["2024-08   " + 29 * "-", "2024-09 --#!"]


@pytest.mark.parametrize("begins", [0, 22, 23, -5], ids=["UTC", "summer time", "winter time", "west"])
def test_days_are_in_the_cell_of_their_own_date(begins: int) -> None:
    """Also local days, which begin at another hour in UTC."""
    first = START + (begins - 24 if begins > 12 else abs(begins)) * HOUR
    found = grid(log_of(first, DAY, 5, 2), first, START + 5 * DAY)
    assert drawn(found)[0].startswith("2024-09  ##!##")
    assert found.head == "01   06   11   16   21   26"


def test_days_of_many_years_are_summarized_by_month() -> None:
    start = parse_time("2021-01-01T00:00:00Z")
    found = grid(log_of(start, DAY, 3 * 365, 40), start, start + 3 * 365 * DAY)
    assert drawn(found) == ["2021 #!##########", "2022 ############", "2023 ############"]
    assert (found.head, found.summary) == ("01 04 07 10", "month")


def test_months_are_lines_of_years() -> None:
    log = EventLog()
    for month in (1, 2, 12):
        window = Window.of(f"2024-{month:02}")
        assert window.end_ns is not None
        log.append(Event("AssetSetSaved", window.end_ns, 7, window))
    start, end = parse_time("2024-01-01T00:00:00Z"), parse_time("2025-03-01T00:00:00Z")
    found = grid(log, start, end)
    assert drawn(found) == ["2024 ##!!!!!!!!!#", "2025 !!"]
    assert found.lines["2024"][2] == ("2024-03", "missing")
    assert found.summary is None


def test_other_lengths_follow_each_other() -> None:
    found = grid(log_of(START, 15 * MINUTE, 60, 50, 51), START, START + 15 * HOUR)
    assert drawn(found) == [f"2024-09-02 00:00 {48 * '#'}", "2024-09-02 12:00 ##!!########"]
    assert (found.head, found.width) == ("", 48)


def test_many_windows_of_another_length_are_summarized() -> None:
    found = grid(log_of(START, 15 * MINUTE, 20 * 96, 500), START, START + 20 * DAY)
    assert drawn(found) == ["2024-09  #####!##############"]
    assert found.summary == "day"


def test_success_after_failures_and_a_repeated_save_have_marks() -> None:
    log = EventLog()
    for number, kinds in enumerate(("S", "ES", "SR", "SRS", "SE", "ESRS")):
        window = Window.from_ns(START + number * HOUR, START + (number + 1) * HOUR)
        for place, kind in enumerate(kinds):
            name = {"S": "AssetSetSaved", "E": "AssetSetComputeError", "R": "AssetSetReconciled"}[kind]
            failure = Failure("E", "late", "save") if kind == "E" else None
            log.append(Event(name, START + number * HOUR + place, 7 if kind == "S" else None, window, failure))
    found = coverage(log, CoverageQuery(Window.from_ns(START, START + 6 * HOUR), now=START + 6 * HOUR))
    assert drawn(grid_of(found.rows[0], 6 * HOUR)) == ["2024-09-02 #^#*X*"]


def test_glyphs_differ_without_colours() -> None:
    for glyphs in ([glyph.unicode for glyph in GLYPHS.values()], [glyph.ascii for glyph in GLYPHS.values()]):
        assert len(set(glyphs)) == len(GLYPHS)
        assert {len(glyph) for glyph in glyphs} == {1}
    assert all(glyph.ascii.isascii() for glyph in GLYPHS.values())
