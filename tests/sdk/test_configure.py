"""`configure()` in programs of their own, against real OTLP receivers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.grpc", reason="pip install opentelemetry-exporter-otlp to run these"
)
pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)

from clients import closed_port
from conftest import clean_environment, run_program, wait_until
from faults import black_hole, raw_endpoint
from receivers import Received, attributes, grpc_receiver, http_receiver
from waits import waited

from otel_kcevents import Journal

Receiver = Callable[..., AbstractContextManager[Received]]

TESTS = Path(__file__).parents[1]
RECEIVERS = pytest.mark.parametrize("receiver", [grpc_receiver, http_receiver])
PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "TEST_IDLE_TIMEOUT": "1"}
# Long enough for a loaded machine to answer: an export that times out is sent again, although it may have arrived. Not
# so long that the stock exporters try again by themselves, which they do after 0.8 s at the earliest.
TIMEOUT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.7"}
SAVED = ("allocation", "AllocationSetSaved")


def run(name: str, *args: str, env: dict[str, str] | None = None, code: int = 0) -> tuple[str, str]:
    """Run a program of `programs/`, and return what it printed."""
    return run_program(name, *args, code=code, **(env or {}))


@contextmanager
def started(name: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A function of `programs/script.py` that runs during the `with` block; its exit code must be 0."""
    program = subprocess.Popen(
        [sys.executable, str(TESTS / "programs" / "script.py"), name],
        env=clean_environment(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
        assert program.wait(300) == 0
    finally:
        program.kill()
        program.communicate()


def ours(stderr: str) -> list[str]:
    """Return what the package itself logged, without the lines of the stock exporters."""
    return [line.partition(": ")[2] for line in stderr.splitlines() if line.startswith("otel_kcevents: ")]


def sizes(received: Received) -> list[int]:
    """Return the sizes of the events, in ascending order."""
    return sorted(attributes(event)["kcevents.size"] for event in received.events)


def service_name(received: Received) -> str:
    return str(attributes(received.traces[0].resource_spans[0].resource)["service.name"])


@RECEIVERS
def test_exported_event_equals_the_logged_one(receiver: Receiver) -> None:
    """Span, event, attributes and counter, with the time to the nanosecond."""
    with receiver() as received:
        out, err = run("script", "print_event", env=received.environment)
    (span,) = received.spans
    (event,) = span.events
    found = attributes(event)
    start, end = found["kcevents.window.start"], found["kcevents.window.end"]
    assert out == f"{event.time_unix_nano} {found['kcevents.size']} {start},{end}\n"
    assert (span.name, event.name, found["kcevents.kind"]) == ("save AllocationSet", *["AllocationSetSaved"] * 2)
    assert attributes(span)["code.function.name"] == "__main__.save"
    assert received.total == {SAVED: 1}
    assert (service_name(received), err) == ("script", "")


def test_failure_is_exported_with_status_and_exception() -> None:
    with grpc_receiver() as received:
        run("script", "fail", env=received.environment)
    (span,) = received.spans
    assert span.status.code == 2
    assert [event.name for event in span.events] == ["exception", "AssetSetReconcileError"]
    found = attributes(span.events[1])
    assert (found["error.type"], found["error.message"]) == ("ValueError", "does not add up")


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("end", 0),
        ("exit_with_3", 3),
        ("crash", 1),
        ("interrupt", -2),
        ("end_with_thread", 0),
        ("end_with_exit_handler", 0),
        ("terminate", -15),
    ],
)
def test_events_are_exported_however_the_program_ends(ending: str, code: int) -> None:
    with grpc_receiver() as received:
        run("script", ending, code=code, env=received.environment)
    assert (sizes(received), received.total) == ([1], {SAVED: 1})


def test_child_of_os_fork_exports_its_own_events() -> None:
    """Its own spans and counts, and nothing of its parent's."""
    with grpc_receiver() as received:
        run("script", "fork_and_exit", env=received.environment)
    assert sizes(received) == [1, 1, 3]
    assert sorted(counts[SAVED] for counts in received.counters.values()) == [1, 2]


@pytest.mark.parametrize(
    ("receiver", "how"),
    [(grpc_receiver, "process"), (grpc_receiver, "executor"), (grpc_receiver, "pool"), (http_receiver, "pool")],
)
@METHODS
def test_processes_of_a_pool_export_their_own_events(receiver: Receiver, method: str, how: str, tmp_path: Path) -> None:
    """The spans and counts of each child arrive once, under a service instance of its own, and are in the journal."""
    journal = Journal(tmp_path / "log.db")
    with receiver() as received:
        measured = {} if how == "process" else {"COVERAGE_PROCESS_CONFIG": ""}  # coverage holds a lock at a fork
        file = {"OTEL_PYTHON_KCEVENTS_LOG_FILE": journal.path}
        _, err = run("children", method, how, env={**received.environment, **measured, **file})
    assert sizes(received) == [1, 1, 2, 3, 3, 4]
    assert received.total == {SAVED: 2, ("asset", "AssetSetLoaded"): 4}
    assert len(received.counters) >= 2
    assert err == ""
    assert journal.counts() == {"AllocationSetSaved": 2, "AssetSetLoaded": 4}
    *children, parent = journal.runs()
    assert {child["parent"] for child in children} == {parent["id"]}


@METHODS
def test_child_that_imports_the_package_late_exports(method: str) -> None:
    with grpc_receiver() as received:
        out, _ = run("lazy_import", method, env=received.environment)
    assert (out, sizes(received)) == ("0\n", [3])


@METHODS
def test_initializer_of_a_pool_can_configure(method: str) -> None:
    with grpc_receiver() as received:
        run("initializer", method, env={**received.environment, "COVERAGE_PROCESS_CONFIG": ""})
    assert sizes(received) == [0, 1, 2, 3, 4]
    assert received.total == {("asset", "AssetSetLoaded"): 5}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_program_that_a_script_starts_is_not_configured(method: str) -> None:
    """The published configuration is for children of multiprocessing, although other programs inherit it too."""
    other = str(TESTS / "programs" / "single_child.py")
    with grpc_receiver() as received:
        out, _ = run("script", "run_program", other, method, env=received.environment)
    assert (out, received.events) == ("0\n", [])


def test_child_that_inherits_two_configurations_ends() -> None:
    """It flushes once."""
    other = str(TESTS / "programs" / "single_child.py")
    with grpc_receiver() as received:
        out, _ = run("script", "run_program", other, "fork", "--configure", env=received.environment)
    assert (out, sizes(received)) == ("0\n", [7])


def test_child_of_a_configured_fork_server_ends() -> None:
    with grpc_receiver() as received:
        out, _ = run("single_child", "forkserver", "--configure", env=received.environment)
    assert (out, sizes(received)) == ("0\n", [7])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("child_with_thread", [2]), ("child_with_open_thread_pool", [2]), ("child_without_events", [1, 2])],
)
def test_forked_child_ends_after_its_threads(name: str, expected: list[int]) -> None:
    """The threads' events are exported once, and the parent's connection still works."""
    with grpc_receiver() as received:
        out, err = run("script", name, env=received.environment)
    assert (out, err) == ("0\n", "")
    assert sizes(received) == expected
    assert received.total == {SAVED: len(expected)}


def test_fork_during_an_export_of_metrics_is_safe() -> None:
    """The child's counts arrive, and it does not wait for its parent's export."""
    with grpc_receiver() as received:
        received.slow_metrics = 0.5
        with started("child_during_metrics_export", **received.environment) as program:
            assert received.metrics_arrived.wait(60)
            out, _ = program.communicate("\n", timeout=300)
    assert out == "0\n"
    assert sorted(counts[SAVED] for counts in received.counters.values()) == [1, 1]


@pytest.mark.parametrize(("name", "code"), [("terminate_child", "-15"), ("terminate_child_with_handler", "7")])
def test_terminated_child_exports_its_events(name: str, code: str) -> None:
    """It ends by the signal, or as its own handler decides."""
    with grpc_receiver() as received:
        out, _ = run("script", name, env=received.environment)
    assert (out, sizes(received)) == (f"{code}\n", [2])


def test_existing_sigterm_handler_is_kept() -> None:
    with grpc_receiver() as received:
        run("unconfigured", "own_handler", code=7, env=received.environment)
    assert len(received.events) == 1


def test_child_terminated_during_its_fork_exports_nothing() -> None:
    """A pool that ends right after its start does this. The child still ends by the signal."""
    with grpc_receiver() as received:
        out, _ = run("unconfigured", "terminate_during_fork", env=received.environment)
    assert (out, len(received.events)) == ("15\n", 1)


@RECEIVERS
def test_forks_during_exports_lose_nothing(receiver: Receiver) -> None:
    """No child hangs either. This is a short run of benchmarks/forks.py."""
    with receiver() as received:
        done = subprocess.run(
            [sys.executable, str(TESTS.parent / "benchmarks" / "forks.py"), "--child", "40"],
            env={**os.environ, **received.environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    assert (done.stdout, done.stderr) == ('{"forks": 40, "hung": 0, "failed": 0}\n', "")
    assert received.total["asset", "AssetSetLoaded"] == 40
    assert sum(span.name == "load AssetSet" for span in received.spans) == 40


@RECEIVERS
def test_flush_before_os_exit_exports_everything(receiver: Receiver) -> None:
    with receiver() as received:
        out, _ = run("script", "fork_flush_and_leave", env=received.environment)
    assert out == "0\n" * 3
    assert sizes(received) == [1, 1, 1]
    assert received.total == {SAVED: 3}


def test_provider_that_cannot_shut_down_affects_no_other() -> None:
    with grpc_receiver() as received:
        _, err = run("script", "break_a_provider", env=received.environment)
    assert received.total == {SAVED: 1}
    [message] = ours(err)
    assert "broken" in message


@RECEIVERS
@pytest.mark.parametrize("how", ["slow", "busy"])
def test_last_export_is_retried_after_a_failure(receiver: Receiver, how: str) -> None:
    with receiver() as received:
        received.slow, received.busy = 1.2 * (how == "slow"), how == "busy"
        _, err = run("script", "end", env={**received.environment, **TIMEOUT})
    assert sizes(received) == [1]
    begins, ends = ours(err)
    assert "did not accept an export of spans" in begins
    assert "accepts exports again" in ends


@RECEIVERS
def test_spans_too_large_for_one_request_arrive_in_several(receiver: Receiver) -> None:
    """Only a span that is too large by itself is lost and reported; later spans arrive."""
    with receiver() as received:
        _, err = run("script", "export_large_spans", env=received.environment)
    assert (len(received.spans), len(received.events)) == (61, 1)
    assert ours(err)[-1].startswith("failed to export 1 span ")


@RECEIVERS
def test_span_that_cannot_be_encoded_is_lost_alone(receiver: Receiver) -> None:
    with receiver() as received:
        idle_timeout = {"TEST_IDLE_TIMEOUT": "3"}  # longer than the first retry waits
        run("script", "export_broken_span", env={**received.environment, **idle_timeout})
    assert len(received.events) == 1


@RECEIVERS
def test_failed_deltas_are_all_sent_again(receiver: Receiver) -> None:
    """With delta temporality, no export replaces an earlier one."""
    with receiver() as received:
        received.refused_metrics = 1
        run(
            "script",
            "export_twice",
            env={**received.environment, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"},
        )
    assert received.counted_points == [10, 5]


@PROTOCOLS
def test_outage_and_final_losses_are_logged(protocol: str) -> None:
    """The work continues, the log is complete, and one line reports the lost spans."""
    out, err = run(
        "script",
        "save_3000_and_flush",
        env={**NOBODY, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **TIMEOUT},
    )
    assert out == "False {'AllocationSetSaved': 3000}\n"
    first, *last = ours(err)
    assert first.startswith("the OTLP endpoint http://127.0.0.1:1 did not accept an export of ")
    spans, metrics = sorted(last)
    assert spans.startswith("failed to export 3000 spans")
    assert metrics.startswith("failed to export the last metrics")


@PROTOCOLS
def test_terminated_program_reports_what_it_lost(protocol: str) -> None:
    _, err = run("script", "terminate", code=-15, env={**NOBODY, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert any(line.startswith("failed to export 1 span ") and "http://127.0.0.1:1" in line for line in ours(err))


@RECEIVERS
def test_kept_spans_are_sent_when_the_collector_returns(receiver: Receiver) -> None:
    """Spans that ended during the outage arrive once, even if the program records nothing more."""
    with receiver() as received:
        environment = {**received.environment, "OTEL_BSP_SCHEDULE_DELAY": "100", **TIMEOUT}
    port = int(environment["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2])
    with closed_port(port), started("save_600_and_wait", **environment) as program:
        assert program.stderr is not None
        assert any("did not accept" in line for line in iter(program.stderr.readline, ""))
        with receiver(port) as received:
            assert any("accepts exports again" in line for line in iter(program.stderr.readline, ""))
            wait_until(lambda: len(received.events) >= 600)
            assert ours(program.communicate("", timeout=300)[1]) == []
        assert len({event.time_unix_nano for event in received.events}) == len(received.events) == 600


def test_silent_collector_delays_the_exit_by_5_s_at_most() -> None:
    """Even with a timeout in milliseconds, as some SDKs expect it."""
    with raw_endpoint(black_hole) as endpoint:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}
        by_grpc = started("print_counts", **env)
        by_http = started("print_counts", **env, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
        with by_grpc as first, by_http as second:
            for program in (first, second):
                assert program.stdout is not None
                assert program.stdout.readline() == "{'AllocationSetSaved': 1}\n"
            begun = [waited(program.pid) for program in (first, second)]
            for program, before in zip((first, second), begun, strict=True):
                assert program.stderr is not None
                assert "failed to export 1 span " in program.stderr.read()
                assert waited(program.pid) - before < 5 + 3


def test_existing_providers_are_kept() -> None:
    """Their exporters are not changed, and the events of their spans reach the log."""
    assert run("unconfigured", "own_providers", env=NOBODY) == ("True {'AssetSetSaved': 1}\n", "")


def test_noop_providers_are_kept() -> None:
    """OpenTelemetry stays off if the program has turned it off."""
    assert run("unconfigured", "noop_providers", env=NOBODY) == ("{'AssetSetSaved': 1}\n", "")


def test_concurrent_calls_configure_once() -> None:
    with grpc_receiver() as received:
        assert run("unconfigured", "configure_in_threads", env=received.environment) == ("", "")
    assert sizes(received) == [1] * 8


def test_events_are_only_logged_without_an_endpoint() -> None:
    assert run("script", "print_counts") == ("{'AllocationSetSaved': 1}\n", "")


@RECEIVERS
def test_empty_timeout_is_the_default(receiver: Receiver) -> None:
    with receiver() as received:
        run("script", "end", env={**received.environment, "OTEL_EXPORTER_OTLP_TIMEOUT": ""})
    assert len(received.events) == 1


@pytest.mark.parametrize(("signal", "events", "counted"), [("METRICS", 1, 0), ("TRACES", 0, 1)])
def test_environment_may_turn_one_signal_off(signal: str, events: int, counted: int) -> None:
    with grpc_receiver() as received:
        run("script", "end", env={**received.environment, f"OTEL_{signal}_EXPORTER": "none"})
    assert (len(received.events), sum(received.total.values())) == (events, counted)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"OTEL_SERVICE_NAME": "nightly"}, "nightly"),
        ({"OTEL_SERVICE_NAME": " ", "OTEL_RESOURCE_ATTRIBUTES": "foo.service.name=x"}, "script"),
    ],
)
def test_service_name_of_the_environment_takes_precedence(environment: dict[str, str], expected: str) -> None:
    with grpc_receiver() as received:
        run("script", "end", env={**received.environment, **environment})
    assert service_name(received) == expected


def test_sampler_does_not_affect_the_counts() -> None:
    with grpc_receiver() as received:
        run("script", "save_500", env={**received.environment, "OTEL_TRACES_SAMPLER": "always_off"})
    assert (received.spans, received.total) == ([], {SAVED: 500})


@PROTOCOLS
def test_missing_exporter_error_says_what_to_install(protocol: str) -> None:
    env = {**NOBODY, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    _, err = run("unconfigured", "missing_exporter", env=env, code=1)
    assert "pip install opentelemetry-exporter-otlp" in err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),  # less than the default size of a batch
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60s"),
    ],
)
def test_wrong_settings_change_no_provider(name: str, value: str) -> None:
    out, _ = run("unconfigured", "wrong_settings", env={**NOBODY, name: value})
    error, state = out.splitlines()
    assert (name if "BSP" not in name else "OTEL_BSP_*") in error
    assert state == "True True True"


def test_flush_with_nothing_to_export_succeeds() -> None:
    assert run("unconfigured", "flush_without_export") == ("True\nTrue\n", "")


def test_flush_reaches_the_programs_own_providers() -> None:
    """Their queued spans are sent, and their results are returned."""
    assert run("unconfigured", "flush_own_provider")[0] == "True 1\nFalse\n"


def test_flush_fails_if_a_provider_raises() -> None:
    assert run("unconfigured", "flush_broken_provider")[0] == "False\n"


def test_flush_after_the_exit_handlers_returns_at_once() -> None:
    with grpc_receiver() as received:
        out, _ = run("unconfigured", "flush_after_end", env=received.environment)
    assert (out, len(received.events)) == ("False\n", 1)
