"""Promises of exactness: threads, tasks, forks and the interpreter's exit lose nothing and say nothing."""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Any

import pytest
from conftest import Telemetry, run_script

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_threads(work: Any, count: int = 8) -> None:
    """Run `work(number)` in threads that begin together; its errors are raised here."""
    barrier, errors = threading.Barrier(count), []

    def run(number: int) -> None:
        barrier.wait(20)
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_8_threads_with_2000_events_each_are_16000(pipeline: Telemetry) -> None:
    """In the log, in the counter and among the spans."""
    save: Any = pipeline.allocation.save(lambda rows: rows)

    def work(number: int) -> None:
        for turn in range(500):
            save([number])
            pipeline.allocation.emit("saved", size=turn)
            with pipeline.allocation.save as op:
                op.size = turn
            list(pipeline.allocation.save(lambda: iter([]))())

    in_threads(work)
    assert pipeline.log.counts() == {"AllocationSetSaved": 16_000}
    assert pipeline.counters == {("allocation", "AllocationSetSaved"): 16_000}
    assert len(pipeline.spans) == 16_000


def test_failures_in_threads_are_counted_exactly(pipeline: Telemetry) -> None:
    """Each thread's exception is its own."""

    @pipeline.asset.load
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
    assert pipeline.log.counts() == {"AssetSetComputeError": 400, "AssetSetLoaded": 400}
    assert Counter(span.status.is_ok for span in pipeline.spans) == {True: 400, False: 400}


def test_one_warning_is_all_that_threads_get(pipeline: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """However often what can't be read is met."""
    load: Any = pipeline.asset.load(lambda: 5)
    load()
    in_threads(lambda number: [load() for _ in range(50)])
    assert len(caplog.records) == 1


@FORKS
def test_a_forked_child_starts_with_nothing_and_leaves_its_parent_alone() -> None:
    """Its log is empty and its counter at zero; what it does is its own to tell."""
    out, err = run_script("""
        import os
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from otel_kcevents import asset, default_log

        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))

        @asset.save
        def save(rows): return rows

        def told():
            data = reader.get_metrics_data()
            points = [p for r in (data.resource_metrics if data else ()) for s in r.scope_metrics
                      for m in s.metrics for p in m.data.data_points]
            return default_log.counts(), {p.attributes["event"]: p.value for p in points}

        for _ in range(5): save([1])
        print("parent", *told(), flush=True)
        pid = os.fork()
        if not pid:
            print("child", *told())
            save([1])
            print("child", *told(), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        save([1])
        print("parent", *told())
    """)
    assert out.splitlines() == [
        "parent {'AssetSetSaved': 5} {'AssetSetSaved': 5}",
        "child {} {}",
        "child {'AssetSetSaved': 1} {'AssetSetSaved': 1}",
        "parent {'AssetSetSaved': 6} {'AssetSetSaved': 6}",
    ]
    assert err == ""


@FORKS
def test_a_fork_inside_a_decorated_call_counts_in_both() -> None:
    """Each process ends the call by itself, and each counts its own end."""
    out, err = run_script("""
        import os
        from otel_kcevents import asset, default_log

        @asset.save
        def save(rows): return os.fork()

        child = save([1])
        if child: os.waitpid(child, 0)
        print("parent" if child else "child", default_log.counts(), flush=True)
    """)
    assert sorted(out.splitlines()) == ["child {'AssetSetSaved': 1}", "parent {'AssetSetSaved': 1}"]
    assert err == ""


@FORKS
def test_threads_tasks_and_forks_at_once_are_counted_exactly() -> None:
    """Whatever lock a thread held at the fork, parent and children each count what they did."""
    out, err = run_script(
        """
        import asyncio, os, threading, warnings
        from otel_kcevents import allocation, asset, default_log

        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of a fork beside threads

        @asset.save
        def save(rows): return rows

        @asset.load
        async def load():
            await asyncio.sleep(0)
            return [1]

        @allocation.load
        def rows(): yield from range(3)

        def threads_work():
            for _ in range(500):
                save([1])
                list(rows())

        async def tasks_work():
            await asyncio.gather(*(load() for _ in range(500)))

        threads = [threading.Thread(target=threads_work) for _ in range(4)]
        for thread in threads: thread.start()
        children = []
        for _ in range(5):
            child = os.fork()
            if not child:
                for _ in range(100): save([1])
                asyncio.run(tasks_work())
                exact = default_log.counts() == {"AssetSetLoaded": 500, "AssetSetSaved": 100}
                os._exit(0 if exact else 1)
            children.append(child)
        asyncio.run(tasks_work())
        for thread in threads: thread.join()
        print([os.waitpid(child, 0)[1] for child in children])
        print(default_log.counts())
    """,
        COVERAGE_PROCESS_CONFIG="",  # coverage has a lock of its own that a thread may hold at the fork
    )
    assert out.splitlines() == [
        "[0, 0, 0, 0, 0]",
        "{'AllocationSetLoaded': 2000, 'AssetSetLoaded': 500, 'AssetSetSaved': 2000}",
    ]
    assert err == ""


@pytest.mark.parametrize("sdk", [True, False], ids=["SDK", "no SDK"])
def test_an_exit_with_everything_open_is_silent(sdk: bool) -> None:
    """Generators, coroutines and stretches that are half done when the interpreter ends print nothing."""
    script = """
        import sys
        from contextlib import ExitStack
        from opentelemetry import trace
        from otel_kcevents import asset

        if sys.argv[0] == "-c" and {sdk}:
            from opentelemetry.sdk.trace import TracerProvider
            trace.set_tracer_provider(TracerProvider())

        class Pause:
            def __await__(self): yield

        @asset.load
        def rows(): yield from range(9)

        @asset.load
        async def arows():
            for number in range(9): yield number

        @asset.load
        async def load(): await Pause()

        def stretch():
            with asset.save: yield

        async def astretch():
            with asset.save: await Pause()

        generators = [rows(), stretch()]
        for generator in generators: next(generator)
        agenerator = arows()
        try: agenerator.asend(None).send(None)
        except StopIteration: pass
        coroutines = [load(), astretch()]
        for coroutine in coroutines: coroutine.send(None)
        stack = ExitStack()
        stack.enter_context(asset.save)
        asset.save.__enter__()
        cycle = [rows()]
        cycle.append(cycle)
        next(cycle[0])
        print("end")
    """
    assert run_script(script.format(sdk=sdk)) == ("end\n", "")
