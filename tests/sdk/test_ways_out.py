"""How programs end: signals, custom handlers, forked children that exit early, containers, process groups."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)

from conftest import TESTS, clean_environment, run_program
from faults import black_hole, raw_endpoint
from receivers import http_receiver
from waits import waited

SAVED = ("allocation", "AllocationSetSaved")
PROGRAM = [sys.executable, str(TESTS / "programs" / "ways_out.py")]
NEW_PROCESS_NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("configured_again", -signal.SIGTERM),
        ("configured_in_thread", -signal.SIGTERM),
        ("own_handler_calls_the_former", -signal.SIGTERM),
        ("own_handler_flushes", 0),
        ("ignored_signal", 0),
        ("asyncio_handler", 0),
        ("signal_at_exit", -signal.SIGTERM),
        ("signal_inside_append", -signal.SIGTERM),
        ("signal_inside_opentelemetry", -signal.SIGTERM),
        ("task_runner", 0),
        ("fork_that_configures", 0),
    ],
)
def test_event_is_exported_once(name: str, code: int) -> None:
    with http_receiver() as received:
        _, err = run_program("ways_out", name, code=code, **received.environment)
    assert (len(received.spans), received.total, err) == (1, {SAVED: 1}, "")


def test_second_signal_does_not_interrupt_the_flush() -> None:
    with http_receiver() as received:
        received.slow_metrics = 0.5
        program = subprocess.Popen(
            [*PROGRAM, "second_signal"], env=clean_environment(**received.environment), stdin=subprocess.PIPE
        )
        assert received.metrics_arrived.wait(60)
        program.communicate(b"\n", timeout=300)
    assert (program.returncode, len(received.spans), received.total) == (-signal.SIGTERM, 1, {SAVED: 1})


def test_killed_run_has_a_root_span() -> None:
    """Its trace is complete, except for the spans of the calls that were interrupted."""
    with http_receiver() as received:
        run_program("ways_out", "signal_inside_run", code=-signal.SIGTERM, **received.environment)
    spans = {span.name: span for span in received.spans}
    assert spans["save AllocationSet"].parent_span_id == spans["nightly"].span_id
    assert spans["nightly"].status.message == "killed by SIGTERM"


def test_first_process_of_a_container_flushes() -> None:
    """The kernel does not end process 1 by a signal, so it exits with the code of the signal."""
    if subprocess.run([*NEW_PROCESS_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user cannot create a process namespace")
    with http_receiver() as received:
        done = subprocess.run(
            [*NEW_PROCESS_NAMESPACE, "sh", "-c", 'exec "$@"', "sh", *PROGRAM, "signal_to_process_1"],
            env=clean_environment(**received.environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("1\n", 128 + signal.SIGTERM)
    assert (len(received.spans), received.total) == (1, {SAVED: 1})


def test_signal_to_a_process_group_loses_nothing() -> None:
    """The program and its two children end by it, in any order: the pipe ends with the last of them."""
    with http_receiver() as received:
        program = subprocess.Popen(
            [*PROGRAM, "signal_to_group"],
            env=clean_environment(**received.environment),
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        program.communicate(timeout=300)
    assert (program.returncode, len(received.spans), received.total) == (-signal.SIGTERM, 3, {SAVED: 3})


def test_flush_in_a_new_child_succeeds() -> None:
    with http_receiver() as received:
        out, _ = run_program("ways_out", "flush_in_new_child", code=0, **received.environment)
    assert (out, received.spans) == ("0\n", [])


def test_failed_flush_counts_toward_the_time_limit() -> None:
    """The end takes 5 s in all and not twice as long. The timeout is in milliseconds, as some SDKs expect it."""
    with raw_endpoint(black_hole) as endpoint:
        environment = clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint.url,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_TIMEOUT="10000",
        )
        program = subprocess.Popen(
            [*PROGRAM, "flush_and_terminate"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == "saved\n"
        before = waited(program.pid)
        assert "failed to export 1 span " in program.stderr.read()
        assert waited(program.pid) - before < 5 + 3
    program.communicate(timeout=300)
    assert program.returncode == -signal.SIGTERM
