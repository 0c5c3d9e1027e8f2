"""`otel_kcevents.sdk.missed_signal`: a SIGTERM whose handler the main thread does not run, because it is waiting."""

from __future__ import annotations

from conftest import run_program


def test_worker_that_waits_for_a_lock_ends_on_sigterm() -> None:
    """The signal is delivered to another thread, so that it does not interrupt the wait."""
    out, _ = run_program("missed_signal")
    assert out == "-15\n"
