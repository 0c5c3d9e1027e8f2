"""The export and the log of programs under `opentelemetry-instrument`, whoever sets the providers, and when."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS, clean_environment
from mapped import LAUNCHER, PROVIDERS, instrument

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)
pytest.importorskip("opentelemetry.distro", reason="pip install opentelemetry-distro to run these")

from receivers import http_receiver

from otel_kcevents import Journal

PROGRAMS = TESTS / "programs"
MAPPING = PROGRAMS / "unedited.toml"
LOADED, SAVED = {"AllocationSetLoaded": 1}, {"AssetSetSaved": 1}


def run(
    name: str, *, mapping: Path | None = MAPPING, providers: str = "ours", **environment: str
) -> tuple[dict[str, Any], list[str]]:
    """Run a function of `own_set_up.py`; return what it printed and the logged lines."""
    environment = {**PROVIDERS[providers], **environment}
    out, err = instrument(PROGRAMS / "own_set_up.py", name, mapping=mapping, journal=None, code=0, **environment)
    return json.loads(out.splitlines()[0]), err.splitlines()


@pytest.mark.parametrize(
    ("providers", "way", "code", "outcome"),
    [
        ("distribution", "return", 0, "ended"),
        ("distribution", "terminate", -signal.SIGTERM, "killed"),
        ("ours", "raise", 1, "failed"),
        ("ours", "terminate", -signal.SIGTERM, "killed"),
    ],
)
def test_hand_written_event_is_exported_and_kept(
    tmp_path: Path, providers: str, way: str, code: int, outcome: str
) -> None:
    """The program has no mapping and does not know this package."""
    journal = Journal(tmp_path / "log.db")
    with http_receiver() as received:
        done = subprocess.run(
            [LAUNCHER, "--kcevents_log_file", journal.path, sys.executable, PROGRAMS / "hand_written.py", way],
            env=clean_environment(**PROVIDERS[providers], **received.environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert (done.returncode, journal.counts()) == (code, SAVED), done.stderr
    assert [(run["name"], run["outcome"]) for run in journal.runs()] == [("hand_written.py", outcome)]
    assert ([span.name for span in received.spans], received.total) == (
        ["save assets"],
        {("asset", "AssetSetSaved"): 1},
    )


def test_program_keeps_its_own_providers() -> None:
    found, logged = run("own_providers")
    assert (found, logged) == ({"counts": LOADED | SAVED, "spans": ["save assets", "load AllocationSet"]}, [])


def test_spawned_process_keeps_its_own_providers() -> None:
    """The counter has a provider of ours, which is no reason to set up the child like its parent."""
    environment = {**PROVIDERS["ours"], "OTEL_METRICS_EXPORTER": "console", "COVERAGE_PROCESS_CONFIG": ""}
    out, err = instrument(PROGRAMS / "own_set_up_spawned.py", mapping=MAPPING, journal=None, code=0, **environment)
    assert [line for line in out.splitlines() if "load" in line and line[0] != " "] == [
        "False ['load AllocationSet']"
    ] * 2
    assert err == ""


def test_program_may_set_its_providers_after_a_span() -> None:
    """The API would refuse a second provider."""
    found, logged = run("own_providers_after_first_span", OTEL_METRICS_EXPORTER="console")
    assert (found["counts"], found["spans"], logged) == (LOADED | SAVED, ["save assets"], [])


@pytest.mark.parametrize(
    ("exporter", "meters", "warnings"),
    [("none", "_ProxyMeterProvider", 0), ("console", "FlushingMeterProvider", 0), ("otlp", "_ProxyMeterProvider", 1)],
)
def test_counter_has_a_provider_if_it_is_exported(exporter: str, meters: str, warnings: int) -> None:
    """The program has set a tracer provider only. The protocol of the last case is unknown."""
    found, logged = run(
        "own_tracer_provider",
        OTEL_METRICS_EXPORTER=exporter,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_PROTOCOL="smoke",
    )
    assert (found["counts"], found["meters"], len(logged)) == (LOADED, meters, warnings)


def test_provider_of_another_library_is_kept() -> None:
    assert run("other_provider") == ({"counts": LOADED, "spans": []}, [])


def test_faulty_provider_is_reported() -> None:
    found, [message] = run("faulty_provider")
    assert (found["counts"], "faulty provider" in message) == (LOADED, True)


def test_api_without_private_names_refuses_a_provider() -> None:
    """Nothing is lost: the program's spans stay with the provider of this package."""
    found, logged = run("api_without_private_names")
    assert (found, logged) == ({"counts": {"AssetSetSaved": 2}, "spans": [], "refused": 1}, [])


def test_first_span_at_exit_is_in_the_log() -> None:
    found, logged = run("first_span_at_exit")
    assert (found["counts"], logged) == (SAVED, [])


@pytest.mark.parametrize("providers", PROVIDERS)
def test_globals_of_a_mapped_module_are_finalized(providers: str) -> None:
    """Otherwise a file that is not closed would not be written."""
    script, environment = PROGRAMS / "own_set_up.py", PROVIDERS[providers]
    out, _ = instrument(script, "finalizer_of_a_mapped_module", mapping=MAPPING, journal=None, code=0, **environment)
    assert out.splitlines() == ["{}", "finalized"]


def test_program_may_call_configure() -> None:
    found, logged = run("configured")
    assert (found["counts"], found["service"], logged) == (LOADED | SAVED, "nightly", [])


def test_service_name_after_the_first_span_is_reported() -> None:
    found, [message] = run("configured_after_first_span")
    assert found["counts"] == SAVED
    assert "service_name='nightly'" in message
    assert "OTEL_SERVICE_NAME" in message


@pytest.mark.parametrize("providers", PROVIDERS)
def test_first_spans_of_threads_share_the_set_up(providers: str) -> None:
    found, logged = run("first_spans_of_threads", mapping=None, providers=providers)
    assert (found["counts"], logged) == ({"AssetSetSaved": 4}, [])


def test_fork_before_the_first_span_logs_nothing() -> None:
    """The fork imports the exporters. With gRPC, Python 3.12 may then warn of threads, as after any use of it."""
    export = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    export["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
    found, logged = run("fork_before_first_span", mapping=MAPPING, providers="ours", **export)
    assert (found["status"], logged) == (0, [])


def test_uninstrumented_program_is_as_before() -> None:
    """It is instrumented again for the second event of each kind."""
    found, logged = run("uninstrumented")
    assert (found["counts"], logged) == (LOADED | SAVED, [])


def test_program_without_mapping_and_journal_is_left_alone() -> None:
    """No signal handler, no thread, no provider."""
    found, logged = run("nothing", mapping=None)
    assert (found["is_default"], found["threads"], found["provider"]) == (True, 1, "ProxyTracerProvider")
    assert logged == []


def test_wrong_setting_stops_only_the_export() -> None:
    found, [message] = run(
        "first_spans_of_threads", OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT="http://[::1"
    )
    assert found["counts"] == {"AssetSetSaved": 4}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in message


@pytest.mark.parametrize("providers", PROVIDERS)
def test_disabled_sdk_leaves_the_log(providers: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.db")
    script = PROGRAMS / "own_set_up.py"
    options = {**PROVIDERS[providers], "OTEL_SDK_DISABLED": "true"}
    _, err = instrument(script, "first_load", mapping=MAPPING, journal=tmp_path / "log.db", code=0, **options)
    assert journal.counts() == LOADED
    assert err == ""


def test_disabled_instrumentation_does_nothing(tmp_path: Path) -> None:
    script = PROGRAMS / "own_set_up.py"
    options = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "kcevents"}
    instrument(script, "first_load", mapping=MAPPING, journal=tmp_path / "log.db", code=0, **options)
    assert not (tmp_path / "log.db").exists()


def test_missing_launcher_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "otel_kcevents.plugin.instrumentor", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.instrumentor", None)
    with pytest.raises(ModuleNotFoundError, match=r"otel-kcevents\[plugin\]"):
        __import__("otel_kcevents.plugin.instrumentor")


def test_launcher_option_measures_durations() -> None:
    done = subprocess.run(
        [LAUNCHER, "--kcevents_durations", "true", sys.executable, PROGRAMS / "own_set_up.py", "configured"],
        env=clean_environment(
            **PROVIDERS["ours"], OTEL_PYTHON_KCEVENTS_MAPPING=str(MAPPING), OTEL_METRICS_EXPORTER="console"
        ),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert '"name": "kubecost.etl.operation.duration"' in done.stdout
