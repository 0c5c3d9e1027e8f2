"""A call with other libraries' decorators, event and counter by hand, relative to handwritten code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.hand import ROWS, Period, format_ends, load_by_hand
from benchmarks.measure import Rounds, Row, alternate, repeat_call, run_child
from benchmarks.pipeline import WINDOW, Drop, Pipeline, set_up

__all__ = ["rows"]

_ENVIRONMENT = {  # without these, the libraries would contact their vendors
    "TRACELOOP_TELEMETRY": "false",
    "TRACELOOP_METRICS_ENABLED": "false",
    "LOGFIRE_SEND_TO_LOGFIRE": "false",
    "LOGFIRE_IGNORE_NO_CONFIG": "1",
}


def rows(quick: bool) -> Iterator[Row]:
    """Measure each library that is installed and works with this version of the SDK."""
    for name, (module, _) in _PEERS.items():
        what = f"{name}, event and counter by hand"
        if find_spec(module) is None:
            yield Row(what, "handwritten code", note="not installed")
            continue
        command = ("-m", "benchmarks.peers", name, *(("3", "100") if quick else ("31", "500")))
        try:
            yield Row(what, "handwritten code", run_child(*command, **_ENVIRONMENT), "µs")
        except RuntimeError as error:
            yield Row(what, "handwritten code", note=f"fails: {error}")


def _opentelemetry(pipeline: Pipeline) -> Any:
    return pipeline.tracer.start_as_current_span("load AllocationSet")


def _logfire(pipeline: Pipeline) -> Any:
    logfire = import_module("logfire")
    logfire.configure(
        send_to_logfire=False, console=False, metrics=False, additional_span_processors=[BatchSpanProcessor(Drop())]
    )
    return logfire.instrument("load AllocationSet", extract_args=False)


def _traceloop(pipeline: Pipeline) -> Any:
    import_module("traceloop.sdk").Traceloop.init(
        "benchmarks", exporter=Drop(), telemetry_enabled=False, instruments=set()
    )
    return import_module("traceloop.sdk.decorators").task(name="load AllocationSet")


_PEERS: dict[str, tuple[str, Callable[[Pipeline], Any]]] = {
    "OpenTelemetry's own decorator": ("opentelemetry.sdk", _opentelemetry),
    "`logfire.instrument`": ("logfire", _logfire),
    "Traceloop's `@task`": ("traceloop", _traceloop),
}


def _block_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse connections and look-ups beyond this machine, as an audit hook."""
    remote = event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in _LOOPBACK
    if remote or (event == "socket.getaddrinfo" and arguments[0] not in _LOOPBACK):
        raise ConnectionRefusedError("the benchmarks connect to this machine only")


_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _measure(name: str, rounds: int, calls: int) -> Rounds:
    sys.addaudithook(_block_network)
    pipeline, ends = set_up("on"), format_ends(WINDOW)

    def load(window: Period) -> list[int]:
        attributes: dict[str, str | int] = {
            "kcevents.kind": "AllocationSetLoaded",
            "kcevents.size": len(ROWS),
            "kcevents.window.start": ends[0],
            "kcevents.window.end": ends[1],
        }
        trace.get_current_span().add_event("AllocationSetLoaded", attributes)
        pipeline.counter.add(1, {"etl": "allocation", "event": "AllocationSetLoaded"})
        return ROWS

    functions = [_PEERS[name][1](pipeline)(load), load_by_hand(pipeline.tracer, pipeline.counter, ends)]
    flush = getattr(trace.get_tracer_provider(), "force_flush", bool)
    sides = [repeat_call(function, WINDOW) for function in functions]
    return alternate(sides, rounds, calls, lambda: (pipeline.settle(), flush()))


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], *map(int, sys.argv[2:]))))
    sys.stdout.flush()
    os._exit(0)  # skip the libraries' own exit handlers
