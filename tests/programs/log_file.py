"""`log_file.py NAME FOLDER`: run one of the functions below, which keep logs in the file `log.db` of the folder."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_kcevents import EventLog, EventLogProcessor, Journal, RecordSet, asset, configure, default_log
from otel_kcevents.testing import capture


def configured() -> None:
    """The file that the environment names, if any."""
    configure(service_name="nightly")
    asset.emit("saved")


def argument() -> None:
    configure(log_file="log.db")
    asset.emit("saved")


def own_providers() -> None:
    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider())
    configure(service_name="nightly", log_file="log.db")
    asset.emit("saved")


def no_file() -> None:
    """Neither this process nor those that it starts."""
    configure(log_file=False)
    asset.emit("saved")
    subprocess.run([sys.executable, __file__, "configured", "."], check=True)


def other_folder() -> None:
    """The path is relative to the folder at the time of the call, also in processes that are started later."""
    configure(log_file="log.db")
    os.mkdir("other")
    os.chdir("other")
    asset.emit("saved")
    subprocess.run([sys.executable, __file__, "configured", "."], check=True)


def children(method: str = "spawn") -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        pool.submit(asset.emit, "loaded").result()


def spawned_child() -> None:
    argument()
    children()


def forked_child() -> None:
    argument()
    children("fork")


def forkserver_child() -> None:
    argument()
    children("forkserver")


def grandchild() -> None:
    """Spawned by a forked process."""
    own_providers()
    child = multiprocessing.get_context("fork").Process(target=children)
    child.start()
    child.join()


def spawned_child_of_own_providers() -> None:
    own_providers()
    children()


def attached() -> None:
    """The program sets up OpenTelemetry itself."""
    provider = TracerProvider()
    provider.add_span_processor(EventLogProcessor())
    trace.set_tracer_provider(provider)
    default_log.attach(Journal("log.db"))
    asset.emit("saved")


def attached_and_configured() -> None:
    default_log.attach(Journal("log.db"))
    configure()
    asset.emit("saved")


def configured_and_attached() -> None:
    configure()
    default_log.attach(Journal("log.db"))
    asset.emit("saved")


def again() -> None:
    for _ in range(2):
        configure(log_file="log.db")
    configure()
    asset.emit("saved")


def again_with_another_file() -> None:
    configure(log_file="log.db")
    for _ in range(2):
        configure(log_file="other.db")
    asset.emit("saved")


def again_without_a_file() -> None:
    configure(log_file="log.db")
    configure(log_file=False)
    asset.emit("saved")


def later() -> None:
    configure()
    configure(log_file="log.db")
    asset.emit("saved")


def two_logs() -> None:
    """The event reaches both logs; the file keeps the first."""
    log = EventLog()
    configure(log_file="log.db")
    configure(log=log)
    RecordSet("asset", "AssetSet", log=log).emit("saved")
    print(default_log.counts(), log.counts())
    configure(log=log, log_file="log.db")


def two_logs_in_two_files() -> None:
    log = EventLog()
    configure(log_file="log.db")
    configure(log=log, log_file="other.db")
    asset.emit("loaded")
    RecordSet("asset", "AssetSet", log=log).emit("saved")
    print(Journal("log.db").counts(), Journal("other.db").counts())


def captured() -> None:
    """Two tests with a file each, in a program that has one."""
    argument()
    for name in ("first.db", "second.db"):
        with capture():
            configure(log_file=name)
            asset.emit("loaded")
            children("fork")
            children()
            print(Journal(name).counts())
    asset.emit("saved")
    print(os.environ["OTEL_PYTHON_KCEVENTS_LOG_FILE"])


def malformed() -> None:
    values: list[Any] = [5, True, b"log.db", "a\0b", "log.db"]
    for value in values:
        try:
            configure(log_file=value)
        except (TypeError, ValueError) as error:
            print(error)
    print(type(trace.get_tracer_provider()).__name__)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    os.chdir(sys.argv[2])
    globals()[sys.argv[1]]()
