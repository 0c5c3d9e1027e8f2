"""The runs and pages of events of several sources, merged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from clients import filled
from journals import NIGHT, run_of, write, write_nights

from otel_kcevents import EventLog, Journal, RemoteLog
from otel_kcevents.cli.sources import SavedLog
from otel_kcevents.model.event import Event
from otel_kcevents.model.timestamps import SECOND
from otel_kcevents.store.merged_source import MergedSource, merge
from otel_kcevents.store.query import EventPage, EventQuery, ListedEvent, NotAvailableError


@pytest.fixture
def nights(tmp_path: Path) -> Journal:
    """The events 0 to 7 of the runs a to e."""
    return Journal(write_nights(tmp_path / "nights.db"))


@pytest.fixture
def others(tmp_path: Path) -> Journal:
    """The events 1, 4, 9 and, of a set of its own, 10, of the runs f, the newest, and g, the oldest."""
    path = tmp_path / "others.db"
    log = EventLog()
    log.add_set("cloud", "CloudCostSet")
    write(path, run_of("2", None, -9), Event("AssetSetLoaded", NIGHT + 1))
    write(path, run_of("f", None, 9), *(Event("AssetSetLoaded", NIGHT + n) for n in (4, 9)))
    write(path, run_of("9", "f", 9)._replace(started=NIGHT + 9 * SECOND + 1), Event("CloudCostSetSaved", NIGHT + 10))
    return Journal(path)


@pytest.fixture
def merged(nights: Journal, others: Journal) -> MergedSource:
    return merge(nights, others)


def read_all(source: MergedSource, query: EventQuery) -> list[int]:
    """Return the numbers of all events, read page by page."""
    found = []
    while True:
        page = source.events(query)
        assert len(page.events) <= query.limit
        found += [listed.event.time - NIGHT for listed in page.events]
        if page.next is None:
            return found
        query = query._replace(before=page.next)


ALL = [10, 9, 7, 6, 5, 4, 4, 3, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (EventQuery(), ALL),
        (EventQuery(("AssetSetLoaded",)), [9, 4, 1]),
        (EventQuery(("AssetSet",), errors=False), [9, 7, 6, 5, 4, 2, 1, 1, 0]),
        (EventQuery(("CloudCost",)), [10]),
        (EventQuery(("CloudCost", "AssetSetT")), [10, 5]),
        (EventQuery(errors=True), [4, 3]),
        (EventQuery(runs=("last",)), [10, 9, 4]),
        (EventQuery(runs=("b", "9")), [10, 4, 3]),
        (EventQuery(runs=("c",), errors=False), [7, 6, 5]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 256])
def test_pages_have_each_event_once_newest_first(
    merged: MergedSource, query: EventQuery, expected: list[int], limit: int
) -> None:
    assert read_all(merged, query._replace(limit=limit)) == expected


def test_full_page_with_the_oldest_event_is_the_last_one(merged: MergedSource) -> None:
    assert merged.events(EventQuery(limit=len(ALL))).next is None


def test_merged_sources_can_be_merged_again(merged: MergedSource, tmp_path: Path) -> None:
    write(tmp_path / "third.db", run_of("3"), Event("AssetSetSaved", NIGHT + 20))
    again = merge(merged, Journal(tmp_path / "third.db"))
    assert read_all(again, EventQuery(limit=2)) == [20, *ALL]


def test_cursor_of_an_event_leads_to_the_next_one(merged: MergedSource) -> None:
    page = merged.events(EventQuery(limit=6))
    for place, listed in enumerate(page.events):
        assert read_all(merged, EventQuery(before=listed.cursor)) == ALL[place + 1 :]


def test_last_stays_the_same_run_from_page_to_page(merged: MergedSource, others: Journal) -> None:
    """A newer run begins between the pages."""
    first = merged.events(EventQuery(runs=("last",), limit=1))
    write(Path(others.path), run_of("8", None, 20), Event("AssetSetSaved", NIGHT + 11))
    second = merged.events(EventQuery(runs=("last",), before=first.next))
    assert [listed.event.time - NIGHT for listed in (*first.events, *second.events)] == [10, 9, 4]


def test_event_has_the_ids_of_its_source(merged: MergedSource, nights: Journal) -> None:
    [own] = nights.events(EventQuery(runs=("e",))).events
    [listed] = merged.events(EventQuery(runs=("e",))).events
    assert listed._replace(cursor="") == own._replace(cursor="")


class Pages:
    """A source that answers with these pages, whatever the limit is."""

    def __init__(self, *pages: Sequence[int]) -> None:
        self.pages = pages

    def events(self, query: EventQuery) -> EventPage:
        place, _, skipped = (query.before or "0-0").partition("-")
        page = self.pages[int(place)]
        events = tuple(
            ListedEvent(Event("AssetSetSaved", NIGHT + time), "asset", None, None, None, f"{place}-{number}")
            for number, time in enumerate(page, 1)
        )
        has_next = int(place) + 1 < len(self.pages)
        return EventPage(events[int(skipped) :], f"{int(place) + 1}-0" if has_next else None)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Pages([5, 10, 9]), Pages([8, 7]), [5, 10, 9, 8, 7]),
        (Pages([], [9]), Pages([8, 7]), [9, 8, 7]),
        (Pages([9, 8], [], [4]), Pages([6, 5, 3]), [9, 8, 6, 5, 4, 3]),
        (Pages([]), Pages([], []), []),
        (Pages([7, 6]), Pages([7, 6]), [7, 7, 6, 6]),
    ],
)
@pytest.mark.parametrize("limit", [1, 9])
def test_order_of_each_source_is_kept(first: Pages, second: Pages, expected: list[int], limit: int) -> None:
    """A clock was set back before an event that is listed above a newer one; a page may be empty, and not the last."""
    assert read_all(MergedSource([first, second]), EventQuery(limit=limit)) == expected  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (EventQuery(("Nope",)), "'Nope'"),
        (EventQuery(runs=("x",)), "no run has the id 'x'"),
        (EventQuery(before="7"), "before must be the `next` of the previous page of the same sources, got '7'"),
        (EventQuery(before="x,y"), "before must be the `next` of the previous page, got 'x'"),
        (EventQuery(before="=,y"), "before must be the `next` of the previous page, got 'y'"),
    ],
)
def test_wrong_query_is_a_value_error(merged: MergedSource, query: EventQuery, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merged.events(query)


# Runs


def test_runs_are_merged_newest_first(merged: MergedSource) -> None:
    assert [run["id"][0] for run in merged.runs()] == ["9", "f", "e", "d", "c", "b", "a", "2"]


def test_run_of_two_sources_is_that_of_the_first(nights: Journal, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(Path(nights.path).read_bytes())
    write(Path(nights.path), run_of("a"), Event("AssetSetSaved", NIGHT + 8), first=4)
    assert merge(nights, Journal(copy)).runs() == nights.runs()


def test_last_of_sources_without_runs_is_none(tmp_path: Path) -> None:
    class Empty(EventLog):
        def runs(self) -> list[dict[str, Any]]:
            return []

    assert merge(Empty(), Empty()).events(EventQuery(runs=("last",))) == EventPage((), None)


# Sources that have no runs


def test_source_without_runs_is_skipped(nights: Journal, url: str) -> None:
    """Its events belong to no run either."""
    source = merge(filled(), nights, RemoteLog(url))
    assert source.runs() == nights.runs()
    assert read_all(source, EventQuery(runs=("last",))) == [7, 6, 5]


def test_sources_without_runs_are_an_error(url: str) -> None:
    with pytest.raises(NotAvailableError, match=r"EventLog.* cannot list runs.*give a journal"):
        merge(filled(), RemoteLog(url)).runs()


def test_source_without_pages_is_an_error(nights: Journal) -> None:
    """Without it, the list would be incomplete."""
    with pytest.raises(NotAvailableError, match=r"saved\.json cannot list events, only a log document; give a journal"):
        merge(nights, SavedLog("saved.json")).events()
