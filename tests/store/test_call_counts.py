"""The call counts of this process: exact beside threads and signal handlers, and zero in a forked child."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from threading import Thread

import pytest

from otel_kcevents.store.calls import all_calls, counts_of, retire_counts


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads that are switched as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_counts_of_a_function_are_the_same_object() -> None:
    assert counts_of("a.toml: functions[0]", "etl:save") is counts_of("a.toml: functions[0]", "etl:save")
    assert counts_of("a.toml: functions[0]", "etl:save") is not counts_of("a.toml: functions[1]", "etl:save")


@pytest.mark.usefixtures("eager_threads")
def test_counts_are_exact_beside_threads_and_signals() -> None:
    counts = counts_of("threads.toml: functions[0]", "etl:save")

    def count(times: int) -> None:
        for _ in range(times):
            counts.calls += 1
            counts.events += 1

    handled = []

    def handle(*_: object) -> None:
        handled.append(1)
        count(1)

    handler = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        threads = [Thread(target=count, args=(20_000,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        count(20_000)
        for thread in threads:
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert (counts.calls, counts.events) == (180_000 + len(handled),) * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_child_starts_at_zero() -> None:
    counts = counts_of("fork.toml: functions[0]", "etl:save")
    counts.is_active = True
    counts.calls = 2
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        counts.calls += 1
        os.write(writer, repr(all_calls()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    expected = "[Calls(entry='fork.toml: functions[0]', function='etl:save', calls=1, events=0, errors=0, "
    assert os.read(reader, 1000).decode() == f"{expected}sizes_missing=0, windows_missing=0)]"
    assert counts.calls == 2


def test_counts_are_listed_while_the_function_is_instrumented() -> None:
    """They continue if it is instrumented again."""
    counts = counts_of("again.toml: functions[0]", "etl:save")
    assert all_calls() == []
    counts.is_active = True
    counts.calls = 3
    assert [one.calls for one in all_calls()] == [3]
    retire_counts()
    assert all_calls() == []
    assert counts_of("again.toml: functions[0]", "etl:save").calls == 3
