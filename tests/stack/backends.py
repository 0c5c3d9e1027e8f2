"""What Jaeger, Prometheus and the collector return, and the runs of the ETL to compare it with."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from otel_kcevents import Document, Event, Failure, Window, read_document
from stack.programs import ROOT, TIMEOUT, Program, start_python, wait_for_output, wait_until

COUNTER = "kubecost_etl_events_total"
BY_KIND = f"sum by (etl, event) ({COUNTER})"

Counts = dict[tuple[str, str], int]
"""The number of events by etl and kind."""


def fetch(url: str, **parameters: str) -> Any:
    """Return a decoded JSON response, or None for a 404, which is Jaeger's response if it finds nothing."""
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


class Span(NamedTuple):
    """A span as Jaeger's API returns it, times in nanoseconds."""

    trace_id: str
    span_id: str
    parent: str
    name: str
    status: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]

    def etl_events(self) -> Iterator[Event]:
        """Yield its ETL events, as a log holds them."""
        for name, time_ns, attributes in self.events:
            if "kcevents.kind" in attributes:
                start, end = attributes.get("kcevents.window.start"), attributes.get("kcevents.window.end")
                window = None if start is None and end is None else Window(start, end)
                yield Event(name, time_ns, attributes.get("kcevents.size"), window, self._failure(attributes))

    def _failure(self, attributes: Mapping[str, Any]) -> Failure | None:
        if "error.type" not in attributes:
            return None
        operation = self.attributes.get("kcevents.operation")
        return Failure(attributes["error.type"], attributes["error.message"], operation)


def _spans(result: Any) -> Iterator[Span]:
    for resource in result.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope["spans"]:
                status = span.get("status", {}).get("code", 0)
                if isinstance(status, str):
                    status = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"].index(status)
                yield Span(
                    span["traceId"],
                    span["spanId"],
                    span.get("parentSpanId", ""),
                    span["name"],
                    status,
                    _attributes(span),
                    [
                        (event["name"], int(event["timeUnixNano"]), _attributes(event))
                        for event in span.get("events", ())
                    ],
                )


def _attributes(message: Mapping[str, Any]) -> dict[str, Any]:
    """Decode the attributes of a span or an event in OTLP's JSON form, where integers are strings."""
    attributes = {}
    for pair in message.get("attributes", ()):
        ((kind, value),) = pair["value"].items()
        attributes[pair["key"]] = int(value) if kind == "intValue" else value
    return attributes


class Jaeger:
    """A Jaeger and its API."""

    def __init__(self, program: Program, address: str, otlp: str) -> None:
        self.program = program
        self.url = f"http://{address}"
        self.otlp = otlp

    def spans(self, service: str) -> list[Span]:
        """Return all stored spans of a service, duplicates included."""
        parameters = {
            "query.service_name": service,
            "query.start_time_min": "2020-01-01T00:00:00Z",
            "query.start_time_max": "2100-01-01T00:00:00Z",
            "query.num_traces": "100000",
            "query.raw_traces": "true",
        }
        found = fetch(f"{self.url}/api/v3/traces", **parameters)
        return [] if found is None else list(_spans(found["result"]))

    def events(self, service: str) -> Counter[Event]:
        """Return how often each event is stored."""
        return Counter(event for span in self.spans(service) for event in span.etl_events())

    def wait_for_events(self, service: str, number: int, timeout: float = TIMEOUT) -> Counter[Event]:
        """Return the stored events once there are `number` different ones, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while len(self.events(service)) < number and time.monotonic() < deadline:
            time.sleep(0.3)
        time.sleep(1)  # for events that should not arrive
        return self.events(service)


class Prometheus:
    """A Prometheus and its API."""

    def __init__(self, program: Program, address: str) -> None:
        self.program = program
        self.url = f"http://{address}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the vector of an instant query."""
        found: list[dict[str, Any]] = fetch(f"{self.url}/api/v1/query", query=expression)["data"]["result"]
        return found

    def counts(self, job: str, expression: str = BY_KIND) -> Counts:
        """Return the counts of one service, from an expression that uses the plain counter."""
        return self.by_kind(expression.replace(COUNTER, f'{COUNTER}{{job="{job}"}}'))

    def by_kind(self, expression: str = BY_KIND) -> Counts:
        """Return the vector of an expression that has the labels `etl` and `event`, as counts."""
        return {
            (series["metric"]["etl"], series["metric"]["event"]): int(float(series["value"][1]))
            for series in self.query(expression)
        }

    def wait_for_counts(self, job: str, expected: Counts, expression: str = BY_KIND) -> Counts:
        """Return the counts once they are as expected, or after `TIMEOUT` seconds."""
        deadline = time.monotonic() + TIMEOUT
        while (counts := self.counts(job, expression)) != expected and time.monotonic() < deadline:
            time.sleep(0.3)
        return counts


@dataclass
class Collector:
    """A collector: where it receives OTLP, and where it exposes the counters and its own metrics."""

    program: Program
    grpc: str
    http: str
    exposed: str
    own: str

    def metrics(self, address: str) -> list[str]:
        """Return the lines of metrics at one of its addresses."""
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            lines: list[str] = answer.read().decode().splitlines()
        return lines

    def wait_for_empty_queue(self) -> None:
        """Wait until the queue on disk is empty."""

        def is_empty() -> bool:
            sizes = [line for line in self.metrics(self.own) if line.startswith("otelcol_exporter_queue_size{")]
            return not any(float(line.rsplit(" ", 1)[1]) for line in sizes)

        wait_until(is_empty, f"{self.program.name} to empty its queue")


def events_of(documents: Iterable[Document]) -> Counter[Event]:
    """Return the events of several logs."""
    lists = (events for document in documents for events in document.lists.values())
    return Counter(event for events in lists for event in events)


def counts_of(documents: Iterable[Document]) -> Counts:
    """Return the sums of the counters of several logs."""
    counts: Counter[tuple[str, str]] = Counter()
    for document in documents:
        for kind, count in document.counters.items():
            counts["allocation" if kind.startswith("Allocation") else "asset", kind] += count
    return dict(counts)


@dataclass
class Run:
    """A run of the ETL: its process and, once finished, its logs and its durations in seconds."""

    service: str
    folder: Path
    process: subprocess.Popen[str]
    started: float = field(default_factory=time.monotonic)
    whole: float = 0.0
    work: float = 0.0
    stderr: str = ""
    documents: list[Document] = field(default_factory=list)

    def wait_for_quarter(self, quarter: int) -> None:
        """Wait until a quarter of the work begins, 0 to 3."""
        wait_for_output(self.process, f"^quarter {quarter}$")

    def finish(self) -> Run:
        """Wait for its end, and read what it wrote."""
        _, self.stderr = self.process.communicate(timeout=180)
        self.whole = time.monotonic() - self.started
        assert self.process.returncode == 0, self.stderr
        self.work = float((self.folder / "seconds").read_text())
        self.documents = [read_document(path.read_text(encoding="utf-8")) for path in self.folder.glob("log*.json")]
        return self

    @property
    def events(self) -> Counter[Event]:
        """The events of all its processes."""
        return events_of(self.documents)

    @property
    def counts(self) -> Counts:
        """The counters of all its processes."""
        return counts_of(self.documents)


def run_example(endpoint: str, protocol: str = "grpc") -> Document:
    """Run `examples/focus_etl.py`, read the log that it serves, end it with Ctrl-C, and return the log."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    process = start_python(ROOT / "examples" / "focus_etl.py", "--serve", "0", **settings)
    try:
        url = wait_for_output(process, r"http://\S+/model/etl/log")
        with urllib.request.urlopen(url, timeout=10) as answer:
            return read_document(answer.read())
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
