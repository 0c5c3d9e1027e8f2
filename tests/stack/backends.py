"""What Jaeger and Prometheus answer, and the runs of the ETL that they are compared with."""

from __future__ import annotations

import json
import re
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
from stack.programs import PATIENCE, Program, address, lines_of, python, until

ETL = Path(__file__).with_name("etl.py")
COUNTER = "kubecost_etl_events_total"
BY_KIND = f"sum by (etl, event) ({COUNTER})"

Counts = dict[tuple[str, str], int]

started: list[subprocess.Popen[str]] = []  # the ETLs, some of which a failing test does not wait for


def fetch(url: str, **parameters: str) -> Any:
    """A JSON answer; None for a 404, which is how Jaeger says that it found nothing."""
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


class Span(NamedTuple):
    """A span as Jaeger's API gives it, times in nanoseconds."""

    trace_id: str
    span_id: str
    parent: str
    name: str
    status: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]

    def etl_events(self) -> Iterator[Event]:
        """Its events of our kinds, as a log holds them."""
        for name, at, attributes in self.events:
            if "kcevents.kind" in attributes:
                yield Event(name, at, attributes.get("kcevents.size"), _window(attributes), self._failure(attributes))

    def _failure(self, attributes: Mapping[str, Any]) -> Failure | None:
        if "error.type" not in attributes:
            return None
        operation = self.attributes.get("kcevents.operation")
        return Failure(attributes["error.type"], attributes["error.message"], operation)


def _window(attributes: Mapping[str, Any]) -> Window | None:
    start, end = attributes.get("kcevents.window.start"), attributes.get("kcevents.window.end")
    return None if start is None and end is None else Window(start, end)


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, plain),) = value.items()
    return int(plain) if kind == "intValue" else plain


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair["key"]: _plain(pair["value"]) for pair in pairs}


class Jaeger:
    """A running Jaeger and its API."""

    def __init__(self, program: Program, port: int, otlp_port: int) -> None:
        self.program, self.url, self.otlp = program, f"http://{address(port)}", address(otlp_port)

    def spans(self, service: str) -> list[Span]:
        """Every span of a service that is stored, duplicates included."""
        found = fetch(
            f"{self.url}/api/v3/traces",
            **{
                "query.service_name": service,
                "query.start_time_min": "2020-01-01T00:00:00Z",
                "query.start_time_max": "2100-01-01T00:00:00Z",
                "query.num_traces": "100000",
                "query.raw_traces": "true",
            },
        )
        return [] if found is None else list(_spans(found["result"]))

    def events(self, service: str) -> Counter[Event]:
        """How often each event is stored."""
        return Counter(event for span in self.spans(service) for event in span.etl_events())

    def settled(self, service: str, expected: int, patience: float = PATIENCE) -> Counter[Event]:
        """The events once so many different ones are there, or as they are after `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            events = self.events(service)
            if len(events) >= expected or time.monotonic() > deadline:
                time.sleep(1)  # time for what should not be there
                return self.events(service)
            time.sleep(0.3)


def _spans(result: Any) -> Iterator[Span]:
    for resource in result.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope["spans"]:
                yield Span(
                    span["traceId"],
                    span["spanId"],
                    span.get("parentSpanId", ""),
                    span["name"],
                    _status(span.get("status", {}).get("code", 0)),
                    _attributes(span.get("attributes", ())),
                    [
                        (event["name"], int(event["timeUnixNano"]), _attributes(event.get("attributes", ())))
                        for event in span.get("events", ())
                    ],
                )


def _status(code: int | str) -> int:
    return ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"].index(code) if isinstance(code, str) else code


class Prometheus:
    """A running Prometheus and its API."""

    def __init__(self, program: Program, port: int) -> None:
        self.program, self.url = program, f"http://{address(port)}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's vector."""
        found: list[dict[str, Any]] = fetch(f"{self.url}/api/v1/query", query=expression)["data"]["result"]
        return found

    def counts(self, job: str, expression: str = BY_KIND) -> Counts:
        """The counters of one service by etl and event, from an expression over the plain counter."""
        return self.by_kind(expression.replace(COUNTER, f'{COUNTER}{{job="{job}"}}'))

    def by_kind(self, expression: str = BY_KIND) -> Counts:
        """A vector by etl and event, as counts."""
        return {
            (series["metric"]["etl"], series["metric"]["event"]): int(float(series["value"][1]))
            for series in self.query(expression)
        }

    def settled(self, job: str, expected: Counts, expression: str = BY_KIND, patience: float = PATIENCE) -> Counts:
        """The counters once they are as expected, or as they are after `patience` seconds."""
        deadline = time.monotonic() + patience
        while (counts := self.counts(job, expression)) != expected and time.monotonic() < deadline:
            time.sleep(0.3)
        return counts


def events_of(documents: Iterable[Document]) -> Counter[Event]:
    """The events of several logs."""
    lists = (events for document in documents for events in document.lists.values())
    return Counter(event for events in lists for event in events)


def counts_of(documents: Iterable[Document]) -> Counts:
    """The counters of several logs together, by etl and event."""
    counts: Counter[tuple[str, str]] = Counter()
    for document in documents:
        for kind, count in document.counters.items():
            counts["allocation" if kind.startswith("Allocation") else "asset", kind] += count
    return dict(counts)


@dataclass
class Run:
    """One run of the ETL: its process, and afterwards what it did and how long that took."""

    service: str
    out: Path
    process: subprocess.Popen[str]
    begun: float
    whole: float = 0.0
    work: float = 0.0
    stderr: str = ""
    documents: list[Document] = field(default_factory=list)

    def reach(self, quarter: int) -> None:
        """Wait for a quarter of the work to begin: 0 to 3, 4 for its end."""
        wanted = "done" if quarter == 4 else f"quarter {quarter}"
        for line in lines_of(self.process.stdout):
            if line.strip() == wanted:
                return
        raise AssertionError(f"the ETL ended early:\n{lines_of(self.process.stderr).read()}")

    def finish(self) -> Run:
        """Wait for its end, and read what it wrote."""
        _, self.stderr = self.process.communicate(timeout=180)
        self.whole = time.monotonic() - self.begun
        assert self.process.returncode == 0, self.stderr
        self.work = float((self.out / "seconds").read_text())
        self.documents = [read_document(path.read_text(encoding="utf-8")) for path in self.out.glob("log*.json")]
        return self

    @property
    def events(self) -> Counter[Event]:
        """The events of all its logs."""
        return events_of(self.documents)

    @property
    def counts(self) -> Counts:
        """The counters of all its logs, by etl and event."""
        return counts_of(self.documents)


def start_etl(
    folder: Path, service: str, *arguments: str, endpoint: str = "", protocol: str = "grpc", **environment: str
) -> Run:
    """Start the ETL; it exports to `endpoint` where one is given."""
    out = folder / service
    out.mkdir()
    export = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol} if endpoint else {}
    settings = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        **export,
        **environment,
    }
    begun = time.monotonic()
    started.append(python(ETL, [*arguments, "--out", str(out)], settings))
    return Run(service, out, started[-1], begun)


@dataclass
class Collector:
    """A running collector: where it takes OTLP, and where Prometheus scrapes it."""

    program: Program
    grpc: str
    http: str
    exposed: str
    own: str

    def queued(self) -> int:
        """How many spans wait in its queue on disk."""
        with urllib.request.urlopen(f"http://{self.own}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        sizes = (line for line in lines if line.startswith("otelcol_exporter_queue_size{"))
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in sizes)

    def drained(self) -> None:
        """Wait until nothing is queued any more."""
        until(lambda: self.queued() == 0, f"{self.program.name} to empty its queue")


def run_example(program: Path, endpoint: str, protocol: str) -> Document:
    """Run an example that serves its log with `--serve 0`, end it as Ctrl-C does, and return the log."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    process = python(program, ["--serve", "0"], settings)
    try:
        for line in lines_of(process.stdout):
            if found := re.search(r"http://\S+/model/etl/log", line):
                with urllib.request.urlopen(found[0], timeout=10) as answer:
                    document = read_document(answer.read())
                break
        else:
            raise AssertionError(f"the example serves no log:\n{lines_of(process.stderr).read()}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    return document
