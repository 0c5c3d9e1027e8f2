"""Each alert fires on the real programs when its trouble happens, and each query finds what they expose.

The rules are those of alerts.yml with shorter durations. Both ways of scraping are used at once: the collector, and
`otel-kcevents serve` on the journal of the same programs. Only the free space of the queue's disk is simulated: the
test exposes it in place of node_exporter, because mounting a disk that it could fill needs privileges.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import yaml
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from receivers import grpc_receiver

from stack.backends import Prometheus, fetch
from stack.conftest import Stack
from stack.programs import CONFIG, TIMEOUT, free_address, wait_until

ALERTS = (CONFIG / "alerts.yml").read_text(encoding="utf-8")
RULES = [rule for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"]]
PANELS = json.loads((CONFIG / "grafana/dashboards/kcevents.json").read_text(encoding="utf-8"))["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"] if "expr" in target]

DURATIONS = {
    "1m": "500ms",
    "5m": "2s",
    "10m": "3s",
    "15m": "2s",
    "1h": "3s",
    "2h": "1s",
    "24h": "10m",
    "72h": "10m",
    "7d": "10m",
}
SECONDS = {"10 * 60": "3", "2 * 3600": "6", "3 * 3600": "6", "24 * 3600": "8", "168 * 3600": "600"}
DISK_SIZE = 40e9
TROUBLES = {
    ("KceventsStale", "allocation"),
    ("KceventsBehind", "asset"),
    ("KceventsSetsEmpty", "asset"),
    ("KceventsErrorEvent", "asset"),
    ("KceventsReconcileErrorsRising", "asset"),
    ("KceventsQueueDiskFilling", ""),
}


def _with_shorter_durations(rules: str) -> str:
    """Return the rules with each duration and each number of seconds replaced."""
    rules = re.sub(r"^ *#.*\n", "", rules, flags=re.M)
    rules = re.sub(r"(\[|offset |for: |interval: )(\d+[smhd])", lambda found: found[1] + DURATIONS[found[2]], rules)
    return re.sub(r"\b\d+ \* \d+\b", lambda found: SECONDS[found[0]], rules)


@contextmanager
def _server_without_traces(address: str) -> Iterator[None]:
    """A gRPC server that rejects spans permanently, because it does not know the service."""
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_insecure_port(address)
    server.start()
    try:
        yield
    finally:
        server.stop(None)


class _Disks:
    """What node_exporter exposes about a machine whose queue has a disk of its own, and a full disk beside it."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        labels = ("device", "fstype", "mountpoint")
        available, size = (
            Gauge(f"node_filesystem_{name}_bytes", "Of a filesystem.", labels, registry=registry)
            for name in ("avail", "size")
        )
        for device, mountpoint in (("/dev/sda1", "/"), ("/dev/sdb1", "/var/lib/kcevents")):
            size.labels(device, "ext4", mountpoint).set(DISK_SIZE)
            available.labels(device, "ext4", mountpoint).set(0)
        self._queue = available.labels("/dev/sdb1", "ext4", "/var/lib/kcevents")
        self._server, self._thread = start_http_server(0, "127.0.0.1", registry)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def set_available(self, share: float) -> None:
        """Set which share of the queue's disk is available, from 0 to 1."""
        self._queue.set(share * DISK_SIZE)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Observed:
    """What Prometheus said in each phase.

    Attributes:
        prometheus: It still runs.
        while_well: The alerts that fired before the trouble, and what they were about.
        alerts: The alerts that fired, by name.
    """

    prometheus: Prometheus
    while_well: set[tuple[str, str]]
    alerts: dict[str, dict[str, Any]]


class _Scenario:
    """The programs: a collector, a journal and its server, and a Prometheus that scrapes both, and disks."""

    def __init__(self, stack: Stack, disks: _Disks) -> None:
        self.stack = stack
        self.jaeger = free_address()
        queue: dict[str, Any] = {"KCEVENTS_QUEUE_BYTES": "30000", "KCEVENTS_BATCH_BYTES": "500"}
        self.collector = stack.collector(
            "collector.yaml", "sizes.yaml", start=False, KCEVENTS_JAEGER=self.jaeger, **queue
        )
        self.journal = {"OTEL_PYTHON_KCEVENTS_LOG_FILE": str(stack.folder / "kcevents.db")}
        address = free_address()
        self.prometheus = stack.prometheus(  # first, because it looks for its targets after 5 seconds
            self.collector.exposed,
            self.collector.own,
            disks.address,
            journals=[address],
            alerts=_with_shorter_durations(ALERTS),
            interval="500ms",
        )
        self.server = stack.command("serve", f"--port={address.partition(':')[2]}", *self.journal.values())
        self.collector.program.start()
        self.export = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.grpc,
            "OTEL_METRIC_EXPORT_INTERVAL": "250",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
        }

    def run_nightly(self) -> None:
        """Let a service run four times; Prometheus sees each end."""
        wait_until(lambda: len(self.prometheus.query("up == 1")) == 4, "Prometheus to scrape")
        ends: list[str] = []
        for _ in range(4):
            program = self.stack.python("steered_etl.py", OTEL_SERVICE_NAME="nightly", **self.journal)
            assert program.communicate(timeout=60)[1] == ""
            ends.append(self._wait_for_end_after(ends))

    def _wait_for_end_after(self, ends: list[str]) -> str:
        def new_end() -> str:
            found = self.prometheus.query('kcevents_run:last_end{service="nightly", outcome="ended"}')
            return next((series["value"][1] for series in found if series["value"][1] not in ends), "")

        return wait_until(new_end, "Prometheus to see the end of the run")

    def firing(self) -> list[dict[str, Any]]:
        """Return the alerts that fire."""
        alerts = fetch(f"{self.prometheus.url}/api/v1/alerts")["data"]["alerts"]
        return [alert for alert in alerts if alert["state"] == "firing"]

    def wait_for(self, expected: set[tuple[str, str]], alerts: dict[str, dict[str, Any]]) -> None:
        """Wait until alerts have fired, each at some time, and keep the first of each."""
        missing = set(expected)
        deadline = time.monotonic() + TIMEOUT
        while missing and time.monotonic() < deadline:
            for alert in self.firing():
                alerts.setdefault(alert["labels"]["alertname"], alert)
                missing.discard(_name_of(alert["labels"]))
            time.sleep(0.1)
        assert not missing


def _name_of(labels: dict[str, str]) -> tuple[str, str]:
    """Return the name of an alert and what it is about."""
    return labels["alertname"], labels.get("etl") or labels.get("service") or labels.get("exporter") or ""


@pytest.fixture(scope="module")
def observed(shared: Stack) -> Iterator[Observed]:
    """The whole scenario: all is well, trouble of the ETL and of Jaeger, all is well again, programs that stop."""
    with ExitStack() as closing:
        accepting = closing.enter_context(ExitStack())
        disks = closing.enter_context(contextlib.closing(_Disks()))
        disks.set_available(0.9)
        scenario = _Scenario(shared, disks)
        accepting.enter_context(grpc_receiver(int(scenario.jaeger.partition(":")[2])))
        state = shared.folder / "state"
        state.write_text("well")
        shared.python("steered_etl.py", str(state), OTEL_SERVICE_NAME="hourly", **scenario.journal, **scenario.export)
        scenario.run_nightly()
        prometheus = scenario.prometheus
        complete = "kubecost_etl_last_save:timestamp and on (etl) kubecost_etl_records:increase1h"
        wait_until(lambda: len(prometheus.query(complete)) == 2, "the metrics of both ETLs")
        fired = prometheus.query('count by (alertname, etl, service) (max_over_time(ALERTS{alertstate="firing"}[1m]))')
        while_well = {_name_of(series["metric"]) for series in fired}
        alerts: dict[str, dict[str, Any]] = {}

        state.write_text("ill")
        disks.set_available(0.2)
        accepting.close()
        scenario.wait_for(TROUBLES | {("KceventsQueueFilling", "otlp_grpc/jaeger")}, alerts)
        closing.enter_context(_server_without_traces(scenario.jaeger))
        scenario.wait_for({("KceventsSpansGivenUp", "otlp_grpc/jaeger"), ("KceventsRunOverdue", "nightly")}, alerts)

        state.write_text("well")
        disks.set_available(0.9)
        wait_until(
            lambda: not TROUBLES & {_name_of(alert["labels"]) for alert in scenario.firing()},
            "the alerts on the ETL and the disk to resolve",
        )
        scenario.server.terminate()
        scenario.collector.program.kill()
        scenario.wait_for({("KceventsJournalDown", ""), ("KceventsCollectorDown", "")}, alerts)
        yield Observed(prometheus, while_well, alerts)


def test_no_alert_fires_while_all_is_well(observed: Observed) -> None:
    assert observed.while_well == set()


def test_every_alert_fires_on_the_real_programs(observed: Observed) -> None:
    assert set(observed.alerts) == {rule["alert"] for rule in RULES if "alert" in rule}


def test_texts_of_alerts_name_labels_that_exist(observed: Observed) -> None:
    annotations = {rule["alert"]: str(rule["annotations"]) for rule in RULES if "alert" in rule}
    for name, alert in observed.alerts.items():
        assert set(re.findall(r"\$labels\.(\w+)", annotations[name])) <= set(alert["labels"]), name
        assert "<" not in "".join(alert["annotations"].values())  # "<error expanding template: ...>"


@pytest.mark.parametrize("expressions", [[rule["expr"] for rule in RULES], EXPRESSIONS], ids=["alerts", "dashboard"])
def test_every_metric_exists_with_its_labels(observed: Observed, expressions: list[str]) -> None:
    pattern = r"\b(?:(?:kubecost|kcevents|otelcol|node)_[\w:]+|up)(?:\{[^}]*\})?"
    selectors = {selector for expression in expressions for selector in re.findall(pattern, expression)}
    assert len(selectors) > 5
    missing = {selector for selector in selectors if not observed.prometheus.query(f"count_over_time({selector}[10m])")}
    assert missing == set()


def test_every_query_of_the_dashboard_finds_the_run(observed: Observed) -> None:
    end = time.time()
    for expression in EXPRESSIONS:
        assert "$" not in (query := expression.replace("$__range", "10m"))
        url = f"{observed.prometheus.url}/api/v1/query_range"
        assert fetch(url, query=query, start=f"{end - 120}", end=f"{end}", step="1")["data"]["result"], query
