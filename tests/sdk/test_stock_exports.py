"""Forks beside the exports of OpenTelemetry's own exporters."""

from __future__ import annotations

from conftest import run_program


def test_fork_waits_for_an_export_in_progress() -> None:
    """A first child is forked when the wait has taken a second; a third one exports itself."""
    out, err = run_program("fork_during_stock_export", code=0)
    assert (out.split(), err) == (["1", "0", "2"], "")
