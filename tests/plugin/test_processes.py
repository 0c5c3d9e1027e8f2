"""Programs of several processes under `opentelemetry-instrument`: each event is exported, counted and kept once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import TESTS, clean_environment, wait_until
from mapped import LAUNCHER, PROVIDERS

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)
pytest.importorskip("opentelemetry.distro", reason="pip install opentelemetry-distro to run these")
pytest.importorskip("celery")
pytest.importorskip("gunicorn")
pytest.importorskip("joblib")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from receivers import Received, attributes, http_receiver
from servers import request, running

from otel_kcevents import Journal

SAVED, LOADED = ("allocation", "AllocationSetSaved"), ("allocation", "AllocationSetLoaded")
MAPPING = TESTS / "programs" / "unedited.toml"
ROWS = {1: 2, 2: 2, 3: 1, 4: 2, 5: 2, 6: 1, 7: 2}
"""How often `unedited_processes.py` loads each number of rows."""
REQUESTS = 4
CELERY = "celery --app unedited_celery worker --without-mingle --without-gossip --concurrency 2"
GUNICORN = "gunicorn --bind 127.0.0.1:0 --workers 2"
SERVERS = {
    "celery": ("distribution", CELERY),
    "celery, recycled children": ("ours", f"{CELERY} --max-tasks-per-child 1"),
    "gunicorn": ("ours", f"{GUNICORN} unedited_web:wsgi"),
    "gunicorn, preloaded": ("distribution", f"{GUNICORN} --preload unedited_web:wsgi"),
    "gunicorn, uvicorn's worker": (
        "ours",
        f"{GUNICORN} --worker-class uvicorn.workers.UvicornWorker unedited_web:asgi",
    ),
    "uvicorn, workers": ("distribution", "uvicorn --port 0 --workers 2 unedited_web:asgi"),
}
"""Who sets the providers, and the command, by program."""


def end_processes(folder: Path, providers: str) -> tuple[Received, Journal]:
    """Run a program that starts processes of each kind, and return what it exported and kept."""
    journal = Journal(folder / "log.db")
    with http_receiver() as received:
        done = subprocess.run(
            [LAUNCHER, sys.executable, TESTS / "programs" / "unedited_processes.py", folder / "result"],
            env=clean_environment(
                **PROVIDERS[providers],
                **received.environment,
                OTEL_PYTHON_KCEVENTS_MAPPING=str(MAPPING),
                OTEL_PYTHON_KCEVENTS_LOG_FILE=journal.path,
                COVERAGE_PROCESS_CONFIG="",
            ),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return received, journal


def end_server(folder: Path, name: str) -> tuple[Received, Journal]:
    """Run a server or a worker until it has recorded the events, end it, and return what it exported and kept."""
    journal = Journal(folder / "log.db")
    providers, command = SERVERS[name]
    environment = {"OTEL_PYTHON_KCEVENTS_MAPPING": str(MAPPING), "OTEL_PYTHON_KCEVENTS_LOG_FILE": journal.path}
    environment |= PROVIDERS[providers]
    launched = [LAUNCHER, sys.executable, "-m", *command.split()]
    with http_receiver() as received, running(folder, launched, **received.environment, **environment) as program:
        if "celery" in name:
            wait_until(lambda: len(list(folder.glob("done/*"))) == REQUESTS, 60)
        else:
            for _ in range(REQUESTS):
                wait_until(lambda: request(folder), 60)
        program.send_signal(signal.SIGTERM)
    return received, journal


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[tuple[Received, Journal]]]]:
    """What each of the programs exported and kept; they run in parallel because they wait most of the time."""
    with ThreadPoolExecutor(4) as pool:
        futures = {name: pool.submit(end_server, tmp_path_factory.mktemp("run"), name) for name in SERVERS}
        for name in PROVIDERS:
            futures[name] = pool.submit(end_processes, tmp_path_factory.mktemp("run"), name)
        yield futures


@pytest.mark.parametrize("providers", PROVIDERS)
def test_process_of_each_kind_exports_and_keeps_its_calls(
    ended: dict[str, Future[tuple[Received, Journal]]], providers: str
) -> None:
    received, journal = ended[providers].result()
    exported = Counter(attributes(event)["kcevents.size"] for event in received.events if event.name == LOADED[1])
    assert exported == ROWS
    assert received.total == {LOADED: sum(ROWS.values()), SAVED: 1}
    assert journal.counts() == {kind: number for (_, kind), number in received.total.items()}
    assert len(received.spans) == sum(received.total.values())


@pytest.mark.parametrize("providers", PROVIDERS)
def test_each_process_is_a_run_with_its_name(
    ended: dict[str, Future[tuple[Received, Journal]]], providers: str
) -> None:
    """Helpers of multiprocessing, such as a fork server, are not runs."""
    runs = ended[providers].result()[1].runs()
    assert {run["outcome"] for run in runs} <= {"ended", "killed"}
    names = {str(run["name"]).rpartition("-")[0] for run in runs if run["events"] and run["parent"]}
    expected = {"ForkProcess", "ForkPoolWorker", "SpawnPoolWorker", "ForkServerProcess", "LokyProcess", ""}
    assert names == expected
    assert [run["name"] for run in runs if not run["parent"]] == ["unedited_processes.py"]


@pytest.mark.parametrize("name", SERVERS)
def test_workers_of_servers_export_and_keep_their_calls(
    ended: dict[str, Future[tuple[Received, Journal]]], name: str
) -> None:
    received, journal = ended[name].result()
    assert (len(received.spans), received.total) == (REQUESTS, {LOADED: REQUESTS})
    assert journal.counts() == {LOADED[1]: REQUESTS}
