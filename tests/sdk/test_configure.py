"""`configure()` in programs of their own, against real OTLP receivers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="pip install 'otel-kcevents[otlp]' to run these")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'otel-kcevents[otlp]' to run these")

from faults import black_hole, raw_endpoint, wait_until
from receivers import Received, attributes, grpc_receiver, http_receiver

Receiver = Callable[..., AbstractContextManager[Received]]

HERE = Path(__file__).parents[1]
RECEIVERS = pytest.mark.parametrize("receiver", [grpc_receiver, http_receiver])
NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}

SCRIPT = """
import logging, sys, time, threading
logging.basicConfig(format="%(name)s: %(message)s")
import otel_kcevents
from otel_kcevents import allocation, asset, default_log
otel_kcevents.configure(service_name="script")

@allocation.save
def save(rows, window=("2024-09-18T22:00:00Z", "2024-09-18T23:00:00Z")): ...

@asset.reconcile
def reconcile(window): raise ValueError("does not add up")
"""


def run(command: list[str], code: int = 0, /, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the arguments; its exit code must be `code`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    clean["PYTHONPATH"] = str(HERE.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", *command],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def script(ending: str, code: int = 0, /, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script above with an ending of the test's own."""
    return run(["-c", SCRIPT + ending], code, **environment)


def ours(stderr: str) -> list[str]:
    """What the package itself logged; the stock exporters' lines are their own."""
    return [line.partition(": ")[2] for line in stderr.splitlines() if line.startswith("otel_kcevents: ")]


@RECEIVERS
def test_what_arrives_over_otlp_is_what_the_log_holds(receiver: Receiver) -> None:
    """Span, event, attributes, counter: each as in the log, the time to the nanosecond."""
    with receiver() as received:
        done = script(
            "save([1, 2, 3])\n"
            "for event in default_log.document().lists['allocation']: print(event.time, event.size, event.window)",
            **received.environment,
        )
    (span,) = received.spans
    (event,) = span.events
    found = attributes(event)
    start, end = found["kcevents.window.start"], found["kcevents.window.end"]
    assert done.stdout == f"{event.time_unix_nano} {found['kcevents.size']} {start},{end}\n"
    assert (span.name, event.name, found["kcevents.kind"]) == ("save AllocationSet", *["AllocationSetSaved"] * 2)
    assert attributes(span)["code.function.name"] == "__main__.save"
    assert received.total == {("allocation", "AllocationSetSaved"): 1}
    of_resource = attributes(received.traces[0].resource_spans[0].resource)
    assert (of_resource["service.name"], done.stderr) == ("script", "")


@RECEIVERS
def test_a_failure_arrives_with_status_and_exception(receiver: Receiver) -> None:
    """The span has status ERROR, the exception as OpenTelemetry records it, and the error event."""
    with receiver() as received:
        script(
            "try: reconcile('2024-09-18T00:00:00Z,2024-09-19T00:00:00Z')\nexcept ValueError: ...",
            **received.environment,
        )
    (span,) = received.spans
    assert span.status.code == 2
    assert [event.name for event in span.events] == ["exception", "AssetSetReconcileError"]
    found = attributes(span.events[1])
    assert (found["error.type"], found["error.message"]) == ("ValueError", "does not add up")


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -2),
        ("threading.Thread(target=lambda: (time.sleep(0.2), save([1]))).start()", 0),
        ("import atexit; atexit.register(save, [1])", 0),
    ],
)
def test_everything_is_flushed_at_every_way_out(ending: str, code: int) -> None:
    """However the script ends, its spans and counts arrive, those of its last moment too."""
    with grpc_receiver() as received:
        script(f"save([1])\n{ending}", code, **received.environment)
    expected = 2 if "save" in ending else 1
    assert (len(received.events), received.total) == (expected, {("allocation", "AllocationSetSaved"): expected})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: run on Linux or macOS")
def test_a_child_of_a_bare_fork_exports_its_own(tmp_path: Path) -> None:
    """A forked child that leaves by itself exports its own spans and counts, and nothing of its parent's."""
    with grpc_receiver() as received:
        script(
            "import os\nsave([1]); save([2])\nif os.fork() == 0:\n    save([1, 2, 3]); sys.exit()\nos.wait()",
            **received.environment,
        )
    assert sorted(attributes(event)["kcevents.size"] for event in received.events) == [1, 1, 3]
    assert sorted(counts["allocation", "AllocationSetSaved"] for counts in received.counters.values()) == [1, 2]


@RECEIVERS
@pytest.mark.parametrize("how", ["process", "executor", "pool"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_processes_of_a_pool_export_their_own(receiver: Receiver, method: str, how: str) -> None:
    """Each child's spans and counts arrive once, under an instance of its own, by every start method."""
    with receiver() as received:
        measured = {} if how == "process" else {"COVERAGE_PROCESS_CONFIG": ""}  # measuring holds a lock at a fork
        done = run([str(HERE / "programs" / "children.py"), method, how], **received.environment, **measured)
    assert sorted(attributes(event)["kcevents.size"] for event in received.events) == [1, 1, 2, 3, 3, 4]
    assert received.total == {("allocation", "AllocationSetSaved"): 2, ("asset", "AssetSetLoaded"): 4}
    assert len(received.counters) >= 2
    assert done.stderr == ""


def test_a_fork_servers_process_that_imports_late_exports_too(tmp_path: Path) -> None:
    """The package may come into a child with the work alone, after all that multiprocessing prepares."""
    (tmp_path / "late_etl.py").write_text(
        "from otel_kcevents import asset\ndef load(n): asset.emit('loaded', size=n)\n"
    )
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    import late_etl, otel_kcevents\n"
        "    otel_kcevents.configure()\n"
        "    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('forkserver')) as pool:\n"
        "        pool.submit(late_etl.load, 3).result()\n"
    )
    with grpc_receiver() as received:
        run([str(program)], **received.environment)
    assert [attributes(event)["kcevents.size"] for event in received.events] == [3]


def test_a_forked_child_waits_for_its_threads() -> None:
    """What a thread of the child tells after the child's work is exported too, and the child can still be ended."""
    with grpc_receiver() as received:
        done = script(
            "import multiprocessing\n"
            "def late(): time.sleep(0.3); save([1, 2])\n"
            "def child(): threading.Thread(target=late).start()\n"
            "process = multiprocessing.get_context('fork').Process(target=child)\n"
            "process.start(); process.join(); print(process.exitcode)",
            **received.environment,
        )
    assert (done.stdout, len(received.events)) == ("0\n", 1)


def test_a_forked_child_with_nothing_to_tell_leaves_its_parents_connection_alone() -> None:
    """Such a child ends well, and what its parent tells afterwards arrives, once."""
    with grpc_receiver() as received:
        done = script(
            "import multiprocessing\n"
            "from opentelemetry import trace\n"
            "save([1]); trace.get_tracer_provider().force_flush()\n"
            "process = multiprocessing.get_context('fork').Process(target=int)\n"
            "process.start(); process.join(); print(process.exitcode)\n"
            "save([1, 2])",
            **received.environment,
        )
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert [attributes(event)["kcevents.size"] for event in received.events] == [1, 2]
    assert received.total == {("allocation", "AllocationSetSaved"): 2}


def test_a_provider_that_fails_to_shut_down_does_not_stop_the_other() -> None:
    """The last counts arrive though the last spans do not."""
    with grpc_receiver() as received:
        done = script(
            "from opentelemetry import trace\n"
            "def broken(): raise RuntimeError('broken')\n"
            "trace.get_tracer_provider().shutdown = broken\nsave([1])",
            **received.environment,
        )
    assert received.total == {("allocation", "AllocationSetSaved"): 1}
    assert ours(done.stderr) == ["a provider could not be shut down: broken"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_program_started_from_a_configured_one_is_not_configured(method: str, tmp_path: Path) -> None:
    """What is handed down is for multiprocessing's children alone, not for a program's that happens to inherit it."""
    other = tmp_path / "other.py"
    other.write_text(
        "import multiprocessing\n"
        "from otel_kcevents import asset\n"
        "def child(): asset.emit('saved')\n"
        "if __name__ == '__main__':\n"
        "    child()\n"
        f"    process = multiprocessing.get_context('{method}').Process(target=child)\n"
        "    process.start(); process.join()\n"
    )
    with grpc_receiver() as received:
        script(
            f"import subprocess\nsubprocess.run([sys.executable, {str(other)!r}], check=True)",
            **received.environment,
        )
    assert received.events == []


@RECEIVERS
def test_a_program_that_ends_asks_a_slow_collector_again(receiver: Receiver) -> None:
    """The last export is not given up with its first timeout."""
    with receiver() as received:
        received.slow = 2.0
        script("save([1])", **received.environment, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert len(received.events) == 1


@RECEIVERS
def test_a_program_that_ends_asks_a_busy_collector_again(receiver: Receiver) -> None:
    """A collector that is there and short of memory for a moment gets the last export too."""
    with receiver() as received:
        received.busy = True
        script("save([1])", **received.environment)
    assert len(received.events) == 1


@RECEIVERS
def test_spans_too_large_for_one_request_arrive_in_several(receiver: Receiver) -> None:
    """Only a span that is too large by itself is lost, and counted; what comes after it arrives."""
    with receiver() as received:
        done = script(
            "from opentelemetry import trace\n"
            "for size in [10**5] * 60 + [5 * 10**6]:\n"
            "    trace.get_tracer('other').start_span('large', attributes={'text': 'x' * size}).end()\n"
            "trace.get_tracer_provider().force_flush()\n"
            "save([1])",
            **received.environment,
        )
    assert len(received.spans) == 61
    assert len(received.events) == 1
    assert ours(done.stderr)[-1].startswith("1 spans were not exported")


@RECEIVERS
def test_counts_told_as_differences_wait_for_a_collector_too(receiver: Receiver) -> None:
    """With delta temporality no export makes an earlier one good, so none is left out."""
    with receiver() as received:
        port = received.environment["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2]
        environment = received.environment
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT + "from opentelemetry import metrics\nfor i in range(10): save([i])\n"
            "metrics.get_meter_provider().force_flush()\n"
            "print('saved', flush=True); sys.stdin.read(); time.sleep(1)\nfor i in range(5): save([i])",
        ],
        env={
            **os.environ,
            **environment,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            "PYTHONPATH": str(HERE.parent),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "saved\n"
    with receiver(int(port)) as received:
        child.communicate("", timeout=60)
    assert sum(received.counted_points) == 15


def test_a_forked_child_ends_with_a_thread_pool_still_open() -> None:
    """Threads that Python itself ends at the very end do not hold up the child's last export."""
    with grpc_receiver() as received:
        done = script(
            "import multiprocessing\n"
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def child():\n"
            "    global pool\n"
            "    pool = ThreadPoolExecutor(2); pool.submit(save, [1, 2]).result()\n"
            "process = multiprocessing.get_context('fork').Process(target=child)\n"
            "process.start(); process.join(30); print(process.exitcode)",
            **received.environment,
        )
    assert (done.stdout, len(received.events)) == ("0\n", 1)


def test_a_fork_during_an_export_of_metrics_leaves_the_child_its_own() -> None:
    """The child's counts arrive, and it does not wait for an export that ended in its parent."""
    with grpc_receiver() as received:
        received.slow_metrics = 0.5
        done = script(
            "import multiprocessing\n"
            "from opentelemetry import metrics\n"
            "save([1])\n"
            "threading.Thread(target=metrics.get_meter_provider().force_flush).start(); time.sleep(0.2)\n"
            "process = multiprocessing.get_context('fork').Process(target=save, args=([1, 2],))\n"
            "began = time.monotonic(); process.start(); process.join(); print(time.monotonic() - began < 20)",
            **received.environment,
        )
    assert done.stdout == "True\n"
    assert sorted(counts["allocation", "AllocationSetSaved"] for counts in received.counters.values()) == [1, 1]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pools_initializer_may_configure(method: str, tmp_path: Path) -> None:
    """A child that configures itself, its parent not configured, exports what it did."""
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, otel_kcevents\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from otel_kcevents import asset\n"
        "def load(size): asset.emit('loaded', size=size)\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context('{method}')\n"
        "    with ProcessPoolExecutor(1, mp_context=context, initializer=otel_kcevents.configure) as pool:\n"
        "        list(pool.map(load, range(5)))\n"
    )
    with grpc_receiver() as received:
        run([str(program)], **received.environment, COVERAGE_PROCESS_CONFIG="")
    assert sorted(attributes(event)["kcevents.size"] for event in received.events) == [0, 1, 2, 3, 4]
    assert received.total == {("asset", "AssetSetLoaded"): 5}


@RECEIVERS
def test_what_can_not_be_encoded_does_not_stand_in_the_way(receiver: Receiver) -> None:
    """A span that no exporter can encode is lost alone, not what comes after it."""
    with receiver() as received:
        script(
            "from opentelemetry import trace\n"
            "tracer = trace.get_tracer('other')\n"
            "tracer.start_span('broken \\ud800').end()\n"
            "trace.get_tracer_provider().force_flush()\n"
            "save([1])",
            **received.environment,
        )
    assert len(received.events) == 1


def test_providers_that_are_set_stay() -> None:
    """A program's own provider is kept, nothing of its export is touched, and its spans' events reach the log."""
    code = (
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "own = TracerProvider(); trace.set_tracer_provider(own); metrics.set_meter_provider(MeterProvider())\n"
        "import otel_kcevents\n"
        "otel_kcevents.configure(); otel_kcevents.configure()\n"
        "with trace.get_tracer('t').start_as_current_span('s') as span: span.add_event('AssetSetSaved')\n"
        "print(trace.get_tracer_provider() is own, otel_kcevents.default_log.counts())"
    )
    done = run(["-c", code], **NOBODY)
    assert (done.stdout, done.stderr) == ("True {'AssetSetSaved': 1}\n", "")


def test_providers_that_do_nothing_stay() -> None:
    """Who has turned OpenTelemetry off in code is not overruled, and nothing is said."""
    code = (
        "from opentelemetry import metrics, trace\n"
        "trace.set_tracer_provider(trace.NoOpTracerProvider())\n"
        "metrics.set_meter_provider(metrics.NoOpMeterProvider())\n"
        "import otel_kcevents\n"
        "otel_kcevents.configure()\n"
        "otel_kcevents.asset.emit('saved')\n"
        "print(otel_kcevents.default_log.counts())"
    )
    done = run(["-c", code], **NOBODY)
    assert (done.stdout, done.stderr) == ("{'AssetSetSaved': 1}\n", "")


def test_without_an_endpoint_nothing_is_exported_and_the_log_fills() -> None:
    """`configure()` alone needs no server and no exporter."""
    done = script("save([1])\nprint(default_log.counts())")
    assert (done.stdout, done.stderr) == ("{'AllocationSetSaved': 1}\n", "")


@pytest.mark.parametrize(("signal", "events", "counted"), [("METRICS", 1, 0), ("TRACES", 0, 1)])
def test_the_environment_may_turn_a_signal_off(signal: str, events: int, counted: int) -> None:
    """`OTEL_METRICS_EXPORTER=none` leaves the traces alone, and the other way round."""
    with grpc_receiver() as received:
        script("save([1])", **received.environment, **{f"OTEL_{signal}_EXPORTER": "none"})
    assert (len(received.events), sum(received.total.values())) == (events, counted)


def test_the_environments_service_name_goes_before_the_scripts() -> None:
    """Who deploys the script names it."""
    with grpc_receiver() as received:
        script("save([1])", **received.environment, OTEL_SERVICE_NAME="nightly")
    assert attributes(received.traces[0].resource_spans[0].resource)["service.name"] == "nightly"


def test_the_sampler_does_not_touch_the_counts() -> None:
    """With no span sampled, log and counter have every event."""
    with grpc_receiver() as received:
        script("for i in range(500): save([1])", **received.environment, OTEL_TRACES_SAMPLER="always_off")
    assert (received.spans, received.total) == ([], {("allocation", "AllocationSetSaved"): 500})


def test_an_unknown_protocol_is_refused_before_anything_is_set() -> None:
    """The error shows the value and the two that are known."""
    done = script("", 1, **NOBODY, OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL='http/json' is unknown; expected grpc or http/protobuf" in done.stderr


def test_a_missing_exporter_is_an_error_that_says_what_to_install() -> None:
    """An endpoint without the exporter's package is told at once."""
    code = (
        "import sys; sys.modules['opentelemetry.exporter.otlp.proto.grpc'] = None\n"
        "import otel_kcevents\n"
        "otel_kcevents.configure()"
    )
    done = run(["-c", code], 1, **NOBODY)
    assert "pip install 'otel-kcevents[otlp]'" in done.stderr


def test_a_childs_own_handler_of_the_signal_stays() -> None:
    """A program that handles SIGTERM itself goes on doing so in its children."""
    done = script(
        "import multiprocessing, signal\n"
        "signal.signal(signal.SIGTERM, lambda *signal: sys.exit(7))\n"
        "def child(ready):\n    ready.set(); time.sleep(60)\n"
        "context = multiprocessing.get_context('fork'); ready = context.Event()\n"
        "process = context.Process(target=child, args=(ready,)); process.start()\n"
        "ready.wait(); process.terminate(); process.join(); print(process.exitcode)"
    )
    assert done.stdout == "7\n"


def test_a_terminated_child_exports_what_it_did() -> None:
    """A child ended by SIGTERM in the middle of its work exports what it had done, and dies of the signal."""
    with grpc_receiver() as received:
        done = script(
            "import multiprocessing\n"
            "def child(ready):\n    save([1, 2]); ready.set(); time.sleep(60)\n"
            "context = multiprocessing.get_context('fork'); ready = context.Event()\n"
            "process = context.Process(target=child, args=(ready,)); process.start()\n"
            "ready.wait(); process.terminate(); process.join(); print(process.exitcode)",
            **received.environment,
        )
    assert (done.stdout, len(received.events)) == ("-15\n", 1)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_unreachable_collector_is_logged_when_it_begins_and_at_the_end(protocol: str) -> None:
    """Nobody listens: the work goes on, the log has everything, and one line counts what is lost."""
    done = script(
        "logging.getLogger('opentelemetry').setLevel(logging.CRITICAL)\n"
        "for i in range(3000): save([1])\n"
        "print(otel_kcevents.flush(2), default_log.counts())",
        **NOBODY,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_TIMEOUT="0.5",
    )
    assert done.stdout == "False {'AllocationSetSaved': 3000}\n"
    first, *last = ours(done.stderr)
    assert first.startswith("the OTLP endpoint http://127.0.0.1:1 did not accept an export of ")
    assert sorted(last) == [
        "3000 spans were not exported to the OTLP endpoint http://127.0.0.1:1",
        "the last metrics were not exported to the OTLP endpoint http://127.0.0.1:1",
    ]


@RECEIVERS
def test_a_collector_that_comes_back_gets_what_was_kept(receiver: Receiver) -> None:
    """Spans that ended while nobody listened arrive, once, though the program is quiet."""
    with receiver() as received:
        environment = received.environment
    port = int(environment["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2])
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + "for i in range(600): save([i])\nsys.stdin.read()"],
        env={**os.environ, **environment, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5", "PYTHONPATH": str(HERE.parent)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    while "did not accept" not in (line := child.stderr.readline()):
        assert line
    with receiver(port) as received:
        while "accepts exports again" not in (line := child.stderr.readline()):
            assert line
        wait_until(lambda: len(received.events) >= 600)
        assert len({event.time_unix_nano for event in received.events}) == len(received.events) == 600
        assert ours(child.communicate("", timeout=60)[1]) == []


@RECEIVERS
def test_a_collector_that_answers_too_late_is_asked_again(receiver: Receiver) -> None:
    """An export that ran into its timeout is kept, and arrives."""
    with receiver() as received:
        received.slow = 2.0
        done = script("save([1]); print(otel_kcevents.flush())", **received.environment, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert (done.stdout, len(received.events)) == ("True\n", 1)
    begins, ends = ours(done.stderr)
    assert "did not accept an export of spans" in begins
    assert "accepts exports again" in ends


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_never_answers_holds_the_end_for_seconds(protocol: str) -> None:
    """With a timeout in milliseconds, as some SDKs read it: 5 s without a success, and the program's own second."""
    with raw_endpoint(black_hole) as endpoint:
        begun = monotonic()
        done = script(
            "save([1])",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint.url,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT="10000",
        )
        assert 5 <= monotonic() - begun < 10
    assert "1 spans were not exported" in done.stderr


def test_a_flush_with_nothing_to_export_is_done() -> None:
    code = "import otel_kcevents as k; print(k.flush(0)); k.configure(); print(k.flush(0))"
    done = run(["-c", code])
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


@RECEIVERS
def test_a_flush_before_an_exit_without_handlers_is_enough(receiver: Receiver) -> None:
    """As RQ, Airflow and Celery end the processes that they fork."""
    with receiver() as received:
        done = script(
            "import os\n"
            "for n in range(3):\n"
            "    if not (child := os.fork()):\n"
            "        save([n]); os._exit(0 if otel_kcevents.flush() else 1)\n"
            "    print(os.waitpid(child, 0)[1])",
            **received.environment,
        )
    assert done.stdout == "0\n" * 3
    assert len(received.events) == 3
    assert received.total == {("allocation", "AllocationSetSaved"): 3}


def test_a_flush_reaches_the_programs_own_providers() -> None:
    """Their results count, and what they have queued is sent."""
    code = (
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n"
        "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
        "import otel_kcevents\n"
        "exporter, own = InMemorySpanExporter(), TracerProvider()\n"
        "own.add_span_processor(BatchSpanProcessor(exporter)); trace.set_tracer_provider(own)\n"
        "otel_kcevents.configure(); otel_kcevents.asset.emit('saved')\n"
        "print(otel_kcevents.flush(), len(exporter.get_finished_spans()))\n"
        "own.force_flush = lambda timeout: False\n"
        "print(otel_kcevents.flush())"
    )
    assert run(["-c", code]).stdout == "True 1\nFalse\n"


@RECEIVERS
def test_sigterm_flushes_and_ends_the_program(receiver: Receiver) -> None:
    """The program dies of the signal, as without us, and what it had done arrives."""
    with receiver() as received:
        script(
            "import os, signal\nsave([1]); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
            -15,
            **received.environment,
        )
    assert len(received.events) == 1
    assert received.total == {("allocation", "AllocationSetSaved"): 1}


def test_a_programs_own_handler_of_sigterm_stays() -> None:
    with grpc_receiver() as received:
        script(
            "import os, signal\n"
            "signal.signal(signal.SIGTERM, lambda *signal: sys.exit(7))\n"
            "save([1]); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
            7,
            **received.environment,
        )
    assert len(received.events) == 1


def test_a_child_terminated_while_it_is_forked_leaves_its_parents_spans_alone() -> None:
    """As a pool may do that ends right after it began. The signal is not forgotten either."""
    with grpc_receiver() as received:
        done = run(
            [
                "-c",
                "import os, signal\n"
                "parent = os.getpid()\n"
                "os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
                + SCRIPT
                + "save([1])\n"
                "child = os.fork()\n"
                "if not child: time.sleep(60)\n"
                "print(os.waitpid(child, 0)[1])",
            ],
            **received.environment,
        )
    assert done.stdout == "15\n"
    assert len(received.events) == 1


@RECEIVERS
def test_forks_under_export_hang_no_child_and_lose_nothing(receiver: Receiver) -> None:
    """The short form of benchmarks/forks.py."""
    with receiver() as received:
        done = run([str(HERE.parent / "benchmarks" / "forks.py"), "--child", "40"], **received.environment)
    assert (done.stdout, done.stderr) == ('{"forks": 40, "hung": 0, "failed": 0}\n', "")
    assert received.total["asset", "AssetSetLoaded"] == 40
    assert sum(span.name == "load AssetSet" for span in received.spans) == 40


def test_settings_of_the_queue_that_do_not_fit_leave_the_program_as_it_was() -> None:
    done = run(
        [
            "-c",
            "import otel_kcevents\n"
            "from opentelemetry import trace\n"
            "try: otel_kcevents.configure()\n"
            "except ValueError as error: print(error)\n"
            "print(otel_kcevents.flush(), type(trace.get_tracer_provider()).__name__)",
        ],
        **NOBODY,
        OTEL_BSP_MAX_QUEUE_SIZE="100",
    )
    first, second = done.stdout.splitlines()
    assert "OTEL_BSP_*" in first
    assert second == "True ProxyTracerProvider"


def test_a_provider_that_raises_makes_a_flush_fail() -> None:
    code = (
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "import otel_kcevents\n"
        "def broken(timeout): raise RuntimeError('broken')\n"
        "own = MeterProvider(); own.force_flush = broken; metrics.set_meter_provider(own)\n"
        "print(otel_kcevents.flush())"
    )
    assert run(["-c", code]).stdout == "False\n"


def test_a_flush_after_the_programs_end_returns_at_once() -> None:
    with grpc_receiver() as received:
        done = run(
            ["-c", "import atexit; atexit.register(lambda: print(otel_kcevents.flush()))\n" + SCRIPT + "save([1])"],
            **received.environment,
        )
    assert (done.stdout, len(received.events)) == ("False\n", 1)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_terminated_program_says_what_it_lost(protocol: str) -> None:
    done = script(
        "import os, signal\nsave([1]); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        -15,
        **NOBODY,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert "1 spans were not exported to the OTLP endpoint http://127.0.0.1:1" in ours(done.stderr)


def test_a_child_of_a_program_that_a_configured_one_started_ends(tmp_path: Path) -> None:
    """It hears of both configurations, and flushes once."""
    inner = tmp_path / "inner.py"
    inner.write_text(
        "import multiprocessing, otel_kcevents\n"
        "otel_kcevents.configure()\n"
        "def child(): otel_kcevents.asset.emit('saved', size=7)\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start(); process.join(60); print(process.exitcode)\n"
    )
    with grpc_receiver() as received:
        done = script(f"import subprocess\nsubprocess.run([sys.executable, {str(inner)!r}])", **received.environment)
    assert done.stdout == "0\n"
    assert [attributes(event)["kcevents.size"] for event in received.events] == [7]


def test_a_fork_servers_child_of_a_module_that_configures_ends(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, otel_kcevents\n"
        "otel_kcevents.configure()\n"
        "def child(): otel_kcevents.asset.emit('saved', size=7)\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('forkserver').Process(target=child)\n"
        "    process.start(); process.join(60); print(process.exitcode)\n"
    )
    with grpc_receiver() as received:
        done = run([str(program)], **received.environment)
    assert done.stdout == "0\n"
    assert [attributes(event)["kcevents.size"] for event in received.events] == [7]
