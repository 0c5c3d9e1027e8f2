"""The end of a process whose providers are not ours: they are flushed, within a time limit."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)

from conftest import run_program
from receivers import attributes, http_receiver


def test_providers_of_the_program_are_flushed_in_children() -> None:
    """They are also flushed when the program ends by SIGTERM."""
    with http_receiver() as received:
        _, err = run_program("own_sdk_children", code=-signal.SIGTERM, **received.environment)
    assert sorted(attributes(event)["kcevents.size"] for event in received.events) == [1, 2, 3, 4, 5]
    assert (received.total, err) == ({("allocation", "AllocationSetSaved"): 5}, "")


def test_process_of_billiard_exports_at_its_end() -> None:
    """It runs finalizers, but waits for no thread."""
    pytest.importorskip("billiard")
    with http_receiver() as received:
        _, err = run_program("billiard_process", code=0, **received.environment)
    assert (len(received.spans), received.total, err) == (1, {("allocation", "AllocationSetSaved"): 1}, "")


def test_provider_that_cannot_be_flushed_does_not_stop_the_end() -> None:
    out, err = run_program("flush_others", code=0)
    assert out.splitlines() == ["200 True", "False"]
    raising, hanging = err.splitlines()
    assert "Raising" in raising
    assert "no connection" in raising
    assert "Hanging" in hanging
    assert "0.2 s" in hanging
