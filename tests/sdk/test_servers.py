"""Real servers and task queues, ended as in `docs/deploying.md`: each event is exported, counted and kept once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import wait_until

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="pip install opentelemetry-exporter-otlp to run these"
)
pytest.importorskip("celery")
pytest.importorskip("gunicorn")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from receivers import Received, http_receiver
from servers import request, running

from otel_kcevents import Journal

EVENTS = 4
SAVED, LOADED = ("allocation", "AllocationSetSaved"), ("allocation", "AllocationSetLoaded")


class Run(NamedTuple):
    """A command for `python -m`, and the signal that ends it, which may also go to its process group."""

    command: str
    signal: signal.Signals = signal.SIGTERM
    to_group: bool = False


UVICORN = "uvicorn --port 0"
GUNICORN = "gunicorn --bind 127.0.0.1:0"
SERVERS = {
    "uvicorn": Run(f"{UVICORN} web:asgi"),
    "uvicorn, Ctrl-C": Run(f"{UVICORN} web:asgi", signal.SIGINT),
    "uvicorn, workers": Run(f"{UVICORN} --workers 4 web:asgi_with_lifespan"),
    "uvicorn, workers, Ctrl-C": Run(f"{UVICORN} --workers 2 web:asgi_with_lifespan", signal.SIGINT, True),
    "uvicorn, reload": Run(f"{UVICORN} --reload web:asgi_with_lifespan"),
    "uvicorn, factory": Run(f"{UVICORN} --factory web_factory:make"),
    "uvicorn, workers of a program": Run("web_program"),
    "gunicorn": Run(f"{GUNICORN} --workers 4 web:wsgi"),
    "gunicorn, threads, quick end": Run(f"{GUNICORN} --threads 2 web:wsgi", signal.SIGQUIT),
    "gunicorn, recycled workers": Run(f"{GUNICORN} --max-requests 2 web:wsgi"),
    "gunicorn, preloaded": Run(f"{GUNICORN} --preload --workers 4 web:wsgi"),
    "gunicorn, preloaded, uvicorn's worker": Run(
        f"{GUNICORN} --preload --worker-class uvicorn.workers.UvicornWorker web:asgi", to_group=True
    ),
    "gunicorn, uvicorn's worker": Run(f"{GUNICORN} --worker-class uvicorn.workers.UvicornWorker web:asgi"),
    "gunicorn, preloaded, only attached": Run(f"{GUNICORN} --preload --workers 4 web:wsgi"),
    "uvicorn, workers, only attached": Run(f"{UVICORN} --workers 2 web:asgi_with_lifespan"),
}
WORKER = "celery --app celery_app worker --without-mingle --without-gossip"
QUEUES = {
    "celery, prefork": Run(f"{WORKER} --concurrency 2"),
    "celery, recycled children": Run(f"{WORKER} --concurrency 2 --max-tasks-per-child 1", signal.SIGKILL, True),
    "celery, solo": Run(f"{WORKER} --pool solo"),
    "celery, threads": Run(f"{WORKER} --pool threads"),
}
FORKING = [name for name in SERVERS if "preloaded" in name or "of a program" in name]
FORKING += ["celery, prefork", "celery, recycled children"]
ONLY_ATTACHED = [name for name in SERVERS if "only attached" in name]


def python(command: str) -> list[str]:
    return [sys.executable, "-m", *command.split()]


def end_after_events(folder: Path, name: str, run: Run) -> tuple[Received, Journal]:
    """Run a server or a worker until it has recorded the events, end it, and return what it exported and kept."""
    journal = Journal(folder / "log.db")
    environment = {"TEST_ATTACH" if name in ONLY_ATTACHED else "OTEL_PYTHON_KCEVENTS_LOG_FILE": journal.path}
    if "--preload" in run.command:
        environment["TEST_EVENT_AT_IMPORT"] = "1"
    with (
        http_receiver() as received,
        running(folder, python(run.command), **received.environment, **environment) as program,
    ):
        if run in QUEUES.values():
            wait_until(lambda: len(list(folder.glob("done/*"))) == EVENTS, 60)
            if "--max-tasks-per-child" in run.command:  # each child exports at its own end
                wait_until(lambda: sum(received.total.values()) == EVENTS == len(received.spans), 60)
        else:
            for _ in range(EVENTS):
                wait_until(lambda: request(folder), 60)
        (os.killpg if run.to_group else os.kill)(program.pid, run.signal)
    return received, journal


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[tuple[Received, Journal]]]]:
    """What each of the programs exported and kept; they run in parallel because most of their time is spent waiting."""
    with ThreadPoolExecutor(4) as pool:
        yield {
            name: pool.submit(end_after_events, tmp_path_factory.mktemp("run"), name, run)
            for name, run in {**QUEUES, **SERVERS}.items()
        }


@pytest.mark.parametrize("name", [*QUEUES, *SERVERS])
def test_each_event_is_exported_and_kept_once(ended: dict[str, Future[tuple[Received, Journal]]], name: str) -> None:
    """The workers do not export the event of a preloading master process again."""
    received, journal = ended[name].result()
    expected = {LOADED: EVENTS, **({SAVED: 1} if "preloaded" in name else {})}
    exported = {} if name in ONLY_ATTACHED else expected
    assert (len(received.spans), received.total) == (sum(exported.values()), exported)
    assert journal.counts() == {kind: number for (_, kind), number in expected.items()}


@pytest.mark.parametrize("name", [*QUEUES, *SERVERS])
def test_each_process_is_a_run_that_knows_its_parent(
    ended: dict[str, Future[tuple[Received, Journal]]], name: str
) -> None:
    """Servers without a preloaded application import it in their workers only, so these have no parent."""
    runs = ended[name].result()[1].runs()
    roots = [run for run in runs if run["parent"] is None]
    if name in FORKING:
        assert len(roots) == 1 < len(runs)
        assert {run["parent"] for run in runs} == {None, roots[0]["id"]}
    else:
        assert roots == runs
    assert {run["outcome"] for run in runs if run["events"]} <= {"ended", "killed"}
    assert all(run["detail"] == "SIGTERM" for run in runs if run["events"] and run["outcome"] == "killed")


def test_worker_that_gunicorn_aborts_exports(tmp_path: Path) -> None:
    """The worker hangs for longer than the timeout, which is long enough for its start."""
    command = f"{GUNICORN} --timeout 60 --config hanging_worker.py web:wsgi"
    with (
        http_receiver() as received,
        running(tmp_path, python(command), **received.environment) as server,
    ):
        wait_until(lambda: "Booting worker" in (tmp_path / "output").read_text())
        assert not request(tmp_path)
        wait_until(lambda: received.total and received.spans)
        server.terminate()
    assert (len(received.spans), received.total) == (1, {LOADED: 1})
