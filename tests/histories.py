"""What happened to the windows of a day, in the order in which the events arrived, and a source that has it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import DOCUMENTED, Event, Failure
from otel_kcevents.model.timestamps import SECOND, to_ns
from otel_kcevents.model.window import Window
from otel_kcevents.store.coverage import CoverageQuery

HOUR = 3_600 * SECOND
NOON = to_ns("2024-05-01T12:00:00Z")
START = NOON - 12 * HOUR
QUERY = CoverageQuery(Window.from_ns(START, NOON), grace=0, now=NOON)
OUTCOMES = ["Saved", "Loaded", "Reconciled", "ComputeError", "ReconcileError"]


def document(events: Sequence[Event], deleted: int = 0) -> Document:
    """Return a document of events that are given in the order of their arrival."""
    lists = {
        etl: tuple(event for event in reversed(events) if event.kind.startswith(name))
        for etl, name in DOCUMENTED.items()
    }
    kinds = [event.kind for event in events]
    return Document(lists, {kind: kinds.count(kind) + deleted for kind in sorted(set(kinds))})


class Saved:
    """A source with these events."""

    def __init__(self, *events: Event, deleted: int = 0) -> None:
        self._document = document(events, deleted)

    def counts(self) -> dict[str, int]:
        return dict(self._document.counters)

    def document(self, kinds: object = (), window: object = None, limit: int = 256) -> Document:
        return self._document


def save(hour: int, time: int, size: int = 7) -> Event:
    return Event("AssetSetSaved", time, size, Window.from_ns(START + hour * HOUR, START + (hour + 1) * HOUR))


def fail(hour: int, time: int) -> Event:
    return save(hour, time)._replace(kind="AssetSetComputeError", size=None, failure=Failure("E", "", "save"))


@st.composite
def histories(draw: st.DrawFn, in_order: bool = True) -> list[Event]:
    """Events of all outcomes of two etls in a few windows, in the order of their arrival."""

    def event(outcome: str, name: str, hour: int, length: int, operation: str | None, size: int) -> Event:
        window = Window.from_ns(START + hour * HOUR, START + (hour + length) * HOUR) if hour < 14 else None
        failure = Failure("E", str(size), operation) if outcome.endswith("Error") else None
        return Event(f"{name}{outcome}", 0, size if outcome in ("Saved", "Loaded") else None, window, failure)

    found = draw(
        st.lists(
            st.builds(
                event,
                st.sampled_from(OUTCOMES),
                st.sampled_from(list(DOCUMENTED.values())),
                st.integers(-2, 14),
                st.sampled_from([1, 1, 2, 24]),
                st.sampled_from([None, "save", "load", "compute"]),
                st.integers(0, 2),
            ),
            max_size=40,
        )
    )
    times = draw(st.lists(st.integers(0, 10**6), min_size=len(found), max_size=len(found), unique=True))
    ordered = sorted(times) if in_order else times
    return [event._replace(time=START + time * HOUR // 50_000) for event, time in zip(found, ordered, strict=True)]
