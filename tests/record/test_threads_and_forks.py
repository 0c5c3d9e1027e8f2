"""Recording with threads, tasks and forks and at exit: no event is lost or counted twice."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from conftest import run_program
from telemetry import Telemetry, Warned, in_threads

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def test_threads_record_every_event(telemetry: Telemetry) -> None:
    save: Any = telemetry.allocation.save(lambda rows: rows)
    load: Any = telemetry.allocation.save(lambda: iter([]))

    def work(number: int) -> None:
        for size in range(500):
            save([number])
            list(load())
            telemetry.allocation.emit("saved", size=size)
            with telemetry.allocation.save() as op:
                op.size = size

    in_threads(work)
    assert telemetry.log.counts() == {"AllocationSetSaved": 16_000}
    assert telemetry.counters == {("allocation", "AllocationSetSaved"): 16_000}
    assert len(telemetry.spans) == 16_000


def test_each_thread_gets_its_own_exception(telemetry: Telemetry) -> None:
    @telemetry.asset.load
    def load(number: int) -> list[int]:
        if number % 2:
            raise LookupError(number)
        return [number]

    def work(number: int) -> None:
        for turn in range(100):
            if turn % 2:
                with pytest.raises(LookupError) as raised:
                    load(turn)
                assert raised.value.args == (turn,)
            else:
                assert load(turn) == [turn]

    in_threads(work)
    assert telemetry.log.counts() == {"AssetSetComputeError": 400, "AssetSetLoaded": 400}
    assert Counter(span.status.is_ok for span in telemetry.spans) == {True: 400, False: 400}


def test_threads_share_one_warning(telemetry: Telemetry, warned: Warned) -> None:
    load: Any = telemetry.asset.load(lambda: 5)
    load()
    in_threads(lambda number: [load() for _ in range(50)])
    assert len(warned()) == 1


@forks
def test_forked_child_starts_at_zero() -> None:
    out, err = run_program("fork")
    assert out.splitlines() == [
        "parent {'AssetSetSaved': 5} [5, 10]",
        "child {} []",
        "child {'AssetSetSaved': 1} [1, 2]",
        "parent {'AssetSetSaved': 6} [6, 12]",
    ]
    assert err == ""


@forks
def test_fork_inside_a_call_counts_in_both_processes() -> None:
    out, err = run_program("fork_inside_call")
    assert sorted(out.splitlines()) == ["child {'AssetSetSaved': 1}", "parent {'AssetSetSaved': 1}"]
    assert err == ""


@forks
def test_forks_beside_threads_and_tasks_lose_nothing() -> None:
    # without coverage, which has a lock of its own that a thread may hold at the fork
    out, err = run_program("fork_beside_threads", COVERAGE_PROCESS_CONFIG="")
    assert out.splitlines() == [
        "[0, 0, 0, 0, 0]",
        "{'AllocationSetLoaded': 2000, 'AssetSetLoaded': 500, 'AssetSetSaved': 2000}",
    ]
    assert err == ""


@pytest.mark.parametrize("args", [["sdk"], []], ids=["SDK", "no SDK"])
def test_exit_with_open_calls_is_silent(args: list[str]) -> None:
    assert run_program("exit_with_open_calls", *args) == ("end\n", "")


@forks
@pytest.mark.parametrize("module", ["otel_kcevents.record.record_set", "otel_kcevents.sdk.providers"])
def test_fork_during_a_first_use_leaves_the_child_usable(module: str) -> None:
    """Another thread imports a public name or calls `configure()` for the first time, which the child then does."""
    out, err = run_program("fork_during_import", module)
    assert out == "{'AssetSetLoaded': 1}\n"
    assert "otel_kcevents" not in err  # Python reports hooks of its own that are registered while the fork waits
