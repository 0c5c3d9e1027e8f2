"""The pause of the garbage collector."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from otel_kcevents.store.collector_pause import collector_pause


@pytest.fixture(autouse=True)
def _enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_collector_is_paused_in_the_block() -> None:
    with collector_pause():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_is_resumed_after_an_exception() -> None:
    with pytest.raises(OSError, match="full"), collector_pause():
        raise OSError("full")
    assert gc.isenabled()


def test_outer_block_goes_on_after_the_inner_one() -> None:
    with collector_pause():
        with collector_pause():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_that_the_program_disabled_stays_disabled() -> None:
    gc.disable()
    with collector_pause():
        pass
    assert not gc.isenabled()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_forked_child_has_the_collector_of_the_program(is_enabled: bool) -> None:
    """Also after the block, which a fork by a signal handler continues in the child."""
    if not is_enabled:
        gc.disable()
    parent, states = os.getpid(), []
    reading, writing = os.pipe()
    with collector_pause():
        child = os.fork()
        states.append(gc.isenabled())
    states.append(gc.isenabled())
    if os.getpid() != parent:
        os.write(writing, repr(states).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as pipe:
        assert pipe.read() == repr([is_enabled, is_enabled])
    assert states == [False, is_enabled]
