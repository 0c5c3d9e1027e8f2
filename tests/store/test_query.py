"""`find_runs()`: a run and its descendants, by `last` or by the start of an id. `EventQuery.selects()`."""

from __future__ import annotations

from typing import Any

import pytest

from otel_kcevents.model.event import Event
from otel_kcevents.model.window import Window
from otel_kcevents.store.query import EventQuery, find_runs

RUNS: list[dict[str, Any]] = [  # the newest first
    {"id": "bc4", "parent": "bb3"},
    {"id": "ab2", "parent": "aa1"},
    {"id": "bb3", "parent": None},
    {"id": "aa2", "parent": "aa1"},
    {"id": "aa1", "parent": None},
    {"id": "a", "parent": "bb3"},
]


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("last", ("bb3", "bc4", "a")),
        ("bb3", ("bb3", "bc4", "a")),
        ("bb", ("bb3", "bc4", "a")),
        ("aa1", ("aa1", "ab2", "aa2")),
        ("ab", ("ab2",)),
        ("a", ("a",)),
    ],
)
def test_run_is_found_with_its_descendants(reference: str, found: tuple[str, ...]) -> None:
    """An id is found even if others start with it."""
    assert find_runs(RUNS, reference) == found


def test_last_of_no_runs_is_none() -> None:
    assert find_runs([], "last") == ()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "no run has the id ''; expected 'last', or an id or its beginning"),
        ("c", "no run has the id 'c'; expected 'last', or an id or its beginning"),
        ("aa", "2 runs have ids that start with 'aa': aa2, aa1; give more of the id"),
        ("x", "8 runs have ids that start with 'x': x0, x1, x2, x3, x4, …; give more of the id"),
        ("y", "5 runs have ids that start with 'y': y0, y1, y2, y3, y4; give more of the id"),
    ],
)
def test_ambiguous_or_unknown_run_is_a_value_error(reference: str, message: str) -> None:
    others = [
        {"id": f"{name}{number}", "parent": None} for name, count in (("x", 8), ("y", 5)) for number in range(count)
    ]
    with pytest.raises(ValueError, match=f"^{message}$"):
        find_runs([*RUNS, *others], reference)


def test_cycle_of_runs_ends() -> None:
    """Another program may send anything."""
    assert find_runs([{"id": "a", "parent": "b"}, {"id": "b", "parent": "a"}], "a") == ("a", "b", "a")


DAY = Window.of("2024-09-02")


@pytest.mark.parametrize(
    ("window", "selected"),
    [
        (DAY, True),
        (Window.of("2024-09-02T23"), True),
        (Window.of("2024-09"), True),
        (Window.of("2024-09-01"), False),
        (Window.of("2024-09-03"), False),
        (Window(None, DAY.start), False),
        (Window(DAY.end, None), False),
        (Window(None, DAY.end), True),
        (Window(DAY.start, None), True),
        (Window(None, None), True),
        (None, False),
    ],
)
def test_set_window_selects_the_windows_that_overlap_it(window: Window | None, selected: bool) -> None:
    event = Event("AssetSetSaved", 0, None, window)
    assert EventQuery(set_window=DAY).selects(event) is selected
    assert EventQuery().selects(event)
