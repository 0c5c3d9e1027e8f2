"""`KindTotals`: the totals of a log, of other sources, and of several sources."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from telemetry import in_threads

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.merged_source import merge
from otel_kcevents.store.source import Source
from otel_kcevents.store.totals import KindTotals, totals_of

HOUR = 3_600 * 10**9
NOON = 1654257600 * 10**9  # 2022-06-03T12:00:00Z


def hours(start: int, length: int = 1) -> Window:
    """A window that starts some hours after noon."""
    return Window.from_ns(NOON + start * HOUR, NOON + (start + length) * HOUR)


def saved(time: int, size: int | None = None, window: Window | None = None) -> Event:
    return Event("AssetSetSaved", time, size, window)


def log_of(*events: Event) -> EventLog:
    log = EventLog(retention=2)
    for event in events:
        log.append(event)
    return log


class OnlyADocument:
    """A source without totals, like a program's log over HTTP."""

    def __init__(self, log: Source) -> None:
        self._log = log

    def counts(self) -> dict[str, int]:
        return self._log.counts()

    def document(self, *selection: Any, **limit: Any) -> Document:
        return self._log.document(*selection, **limit)


def test_totals_include_events_that_are_no_longer_kept() -> None:
    log = log_of(*(saved(NOON + number, number, hours(number)) for number in range(10)))
    assert log.totals() == (KindTotals("asset", "AssetSetSaved", 10, 45, NOON + 9, {"hourly": NOON + 10 * HOUR}),)


def test_kinds_are_sorted_and_those_without_events_omitted() -> None:
    log = log_of(Event("AssetSetLoaded", NOON), Event("AllocationSetTotaledEvent", NOON), saved(NOON))
    assert [totals.kind for totals in log.totals()] == ["AllocationSetTotaled", "AssetSetLoaded", "AssetSetSaved"]


@pytest.mark.parametrize(
    ("sizes", "records"), [([None], None), ([0], 0), ([None, 3], 3), ([2**63 - 1] * 3, 3 * (2**63 - 1))]
)
def test_records_are_the_exact_sum_of_known_sizes(sizes: list[int | None], records: int | None) -> None:
    (totals,) = log_of(*(saved(NOON, size) for size in sizes)).totals()
    assert totals.records == records


def test_size_that_the_kind_does_not_have_is_not_summed() -> None:
    (totals,) = log_of(Event("AssetSetTotaled", NOON, 5)).totals()
    assert totals.records is None


def test_last_event_is_the_latest_even_if_it_arrived_earlier() -> None:
    (totals,) = log_of(saved(NOON + 5), saved(NOON), saved(NOON + 3)).totals()
    assert totals.last_event == NOON + 5


@pytest.mark.parametrize(
    ("window", "ends"),
    [
        (hours(0), {"hourly": NOON + HOUR}),
        (hours(0, 24), {"daily": NOON + 24 * HOUR}),
        (hours(0, 23), {"daily": NOON + 23 * HOUR}),
        (hours(0, 25), {"daily": NOON + 25 * HOUR}),
        (hours(0, 2), {"other": NOON + 2 * HOUR}),
        (hours(0, 0), {}),
        (Window.from_ns(None, NOON), {}),
        (Window.from_ns(NOON, None), {}),
        (None, {}),
        ("2022-06-03", {}),
    ],
)
def test_window_end_belongs_to_a_resolution(window: Any, ends: dict[str, int]) -> None:
    (totals,) = log_of(saved(NOON, window=window)).totals()
    assert totals.window_ends == ends


def test_window_end_is_the_latest_of_each_resolution() -> None:
    windows = [hours(7), hours(9), hours(0, 24), hours(3), hours(3, 2), hours(-24, 24)]
    (totals,) = log_of(*(saved(NOON, window=window) for window in windows)).totals()
    assert totals.window_ends == {"hourly": NOON + 10 * HOUR, "daily": NOON + 24 * HOUR, "other": NOON + 5 * HOUR}


def test_windows_of_failures_count_for_their_own_kind() -> None:
    failed = Event("AssetSetComputeError", NOON, None, hours(2), Failure("OSError", "disk full"))
    assert [totals.window_ends for totals in log_of(failed, saved(NOON)).totals()] == [{"hourly": NOON + 3 * HOUR}, {}]


def test_totals_do_not_change_with_later_events() -> None:
    log = log_of(saved(NOON, 1, hours(0)))
    before = log.totals()
    log.append(saved(NOON + 1, 1, hours(1)))
    assert before[0].window_ends == {"hourly": NOON + HOUR}


def test_totals_of_threads_are_exact() -> None:
    log = EventLog()

    def work(number: int) -> None:
        for item in range(200):
            log.append(saved(NOON + number, item, hours(item)))
            (totals,) = log.totals()
            assert (totals.records or 0) <= 199 * totals.events

    in_threads(work)
    assert log.totals() == (
        KindTotals("asset", "AssetSetSaved", 1600, 8 * 19_900, NOON + 7, {"hourly": NOON + 200 * HOUR}),
    )


def test_totals_can_be_read_while_an_append_waits() -> None:
    """A signal handler that interrupts an append may wait for an export in another thread."""
    read: list[tuple[KindTotals, ...]] = []

    class Kind(str):
        """Reads the totals in another thread while the log looks the kind up."""

        __slots__ = ()

        def __hash__(self) -> int:
            thread = threading.Thread(target=lambda: read.append(log.totals()))
            thread.start()
            thread.join(20)
            return super().__hash__()

    log = log_of(saved(NOON, 2))
    log.append(saved(NOON + 1, 3)._replace(kind=Kind("AssetSetSaved")))
    assert [totals.records for totals in read[0]] == [2]
    assert [totals.records for totals in log.totals()] == [5]


# Other sources


def test_source_without_totals_has_those_of_its_document() -> None:
    log = log_of(*(saved(NOON + number, number, hours(number)) for number in range(10)), Event("AssetSetTotaled", NOON))
    assert totals_of(OnlyADocument(log)) == (
        KindTotals("asset", "AssetSetSaved", 10, None, NOON + 9, {"hourly": NOON + 10 * HOUR}),
        KindTotals("asset", "AssetSetTotaled", 1, None, NOON, {}),
    )


def test_kinds_that_a_document_does_not_list_are_omitted() -> None:
    class Source(OnlyADocument):
        def document(self, *selection: Any, **limit: Any) -> Document:
            return Document({"asset": ()}, {"AssetSetSaved": 3})

    assert totals_of(Source(EventLog())) == ()


def test_merged_totals_are_those_of_all_sources() -> None:
    first = log_of(saved(NOON + 5, 1, hours(0)), saved(NOON, None, hours(0, 24)))
    second = log_of(saved(NOON + 1, 2, hours(4)), Event("AllocationSetSaved", NOON, 7))
    third = log_of(saved(NOON), saved(NOON, None, hours(2)))
    assert merge(first, second, third).totals() == (
        KindTotals("allocation", "AllocationSetSaved", 1, 7, NOON, {}),
        KindTotals("asset", "AssetSetSaved", 5, 3, NOON + 5, {"hourly": NOON + 5 * HOUR, "daily": NOON + 24 * HOUR}),
    )


def test_merged_records_are_unknown_if_one_part_is() -> None:
    merged = merge(log_of(saved(NOON, 1)), OnlyADocument(log_of(saved(NOON, 2), saved(NOON, 2))))
    assert [(totals.events, totals.records) for totals in merged.totals()] == [(3, None)]
