"""`otel_kcevents.sdk.missed_signal`: a SIGTERM whose handler the main thread does not run, because it is waiting."""

from __future__ import annotations

from conftest import run_program


def test_worker_that_waits_for_a_lock_ends_on_sigterm() -> None:
    """The signal is delivered to another thread, so that it does not interrupt the wait."""
    out, _ = run_program("missed_signal")
    assert out == "-15\n"


def test_descriptor_that_the_program_has_set_stays() -> None:
    """A forked child does not write to the descriptor of its parent, which would resend a signal of the child."""
    out, _ = run_program("wakeup_fd")
    assert out.splitlines() == [
        "default handler: nobody",
        "set by the program: the program",
        "not set: the package",
        "forked child: nobody",
        "forked child of a program that has set it since: the program",
    ]
