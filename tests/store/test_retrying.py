"""The thread that repeats an attempt, and how it ends."""

from __future__ import annotations

import threading

import pytest

from otel_kcevents.store.retrying import Retrying


def test_attempt_is_repeated_until_it_succeeds() -> None:
    calls, has_succeeded = [], threading.Event()

    def attempt() -> bool:
        calls.append(0)
        if len(calls) == 3:
            has_succeeded.set()
        return len(calls) == 3

    retrying = Retrying(attempt, 0.001)
    assert retrying.start()
    assert has_succeeded.wait(10)
    retrying.stop(10)
    assert len(calls) == 3


def test_stop_waits_for_an_attempt_in_progress() -> None:
    has_begun, goes_on = threading.Event(), threading.Event()
    ended = []

    def attempt() -> bool:
        has_begun.set()
        goes_on.wait()
        ended.append(0)
        return False

    retrying = Retrying(attempt, 0.001)
    assert retrying.start()
    assert has_begun.wait(10)
    retrying.stop(0)  # in vain
    assert not ended
    threading.Timer(0.01, goes_on.set).start()
    retrying.stop(10)
    assert ended == [0]


def test_stop_wakes_a_thread_that_sleeps() -> None:
    retrying = Retrying(lambda: pytest.fail("called"), 1000)
    assert retrying.start()
    retrying.stop(1000)
    assert not retrying.start()
    retrying.stop(1000)
