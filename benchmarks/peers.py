"""The price of a call with other decorators, their event and counter by hand, against all of it by hand."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import Counter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks import hand
from benchmarks.hand import ROWS, Period
from benchmarks.measure import Rounds, Row, calls_of, child, in_turn, pairs
from benchmarks.pipeline import WINDOW, Drop, Pipeline, set_up

__all__ = ["TITLE", "rows"]

TITLE = "other decorators, SDK on (theirs with event and counter by hand / all by hand)"

Decorator = Callable[[Callable[[Period], Any]], Callable[[Period], Any]]


def rows(quick: bool) -> Iterator[Row]:
    """A line for each; those that are not installed, or do not run beside this SDK, say so."""
    for name, (module, _) in _PEERS.items():
        if find_spec(module) is None:
            yield Row(name, note="not installed")
            continue
        try:
            rounds = child("-m", "benchmarks.peers", name, *(("3", "100") if quick else ("31", "500")), **_QUIET)
        except RuntimeError as error:
            yield Row(name, note=f"does not run here: {error}")
            continue
        yield Row(name, "µs", pairs(rounds, 1e6))


# What these libraries need to be told lest they look for their makers' servers.
_QUIET = {
    "TRACELOOP_TELEMETRY": "false",
    "TRACELOOP_METRICS_ENABLED": "false",
    "LOGFIRE_SEND_TO_LOGFIRE": "false",
    "LOGFIRE_IGNORE_NO_CONFIG": "1",
}


def _this_package(made: Pipeline) -> Decorator:
    return made.records.load


def _opentelemetry(made: Pipeline) -> Decorator:
    return made.tracer.start_as_current_span("load AllocationSet")


def _logfire(made: Pipeline) -> Any:
    return _configured_logfire().instrument("load AllocationSet", extract_args=False)


def _logfire_with_arguments(made: Pipeline) -> Any:
    return _configured_logfire().instrument("load AllocationSet")


def _configured_logfire() -> Any:
    logfire = import_module("logfire")
    logfire.configure(
        send_to_logfire=False, console=False, metrics=False, additional_span_processors=[BatchSpanProcessor(Drop())]
    )
    return logfire


def _traceloop_task(made: Pipeline) -> Any:
    return _traceloop().task(name="load AllocationSet")


def _traceloop_workflow(made: Pipeline) -> Any:
    return _traceloop().workflow(name="load AllocationSet")


def _traceloop() -> Any:
    import_module("traceloop.sdk").Traceloop.init(
        "benchmarks", exporter=Drop(), telemetry_enabled=False, instruments=set()
    )
    return import_module("traceloop.sdk.decorators")


_PEERS: dict[str, tuple[str, Callable[[Pipeline], Any]]] = {
    "this package (event and counter included)": ("otel_kcevents", _this_package),
    "OpenTelemetry's own decorator": ("opentelemetry.sdk", _opentelemetry),
    "logfire.instrument, extract_args=False": ("logfire", _logfire),
    "logfire.instrument": ("logfire", _logfire_with_arguments),
    "traceloop @task": ("traceloop", _traceloop_task),
    "traceloop @workflow": ("traceloop", _traceloop_workflow),
}


def _telling(counter: Counter) -> Callable[[Period], list[int]]:
    """What is decorated with theirs: the event and the counter that their decorators don't make."""
    start, end = hand.formatted(WINDOW)

    def load(window: Period) -> list[int]:
        rows = ROWS
        trace.get_current_span().add_event(
            "AllocationSetLoaded",
            {
                "kcevents.kind": "AllocationSetLoaded",
                "kcevents.size": len(rows),
                "kcevents.window.start": start,
                "kcevents.window.end": end,
            },
        )
        counter.add(1, {"etl": "allocation", "event": "AllocationSetLoaded"})
        return rows

    return load


def _returning(window: Period) -> list[int]:
    return ROWS


def _stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that lets nothing leave this machine."""
    far = event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "::1")
    if far or (event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "::1", "localhost")):
        raise ConnectionRefusedError("benchmarks talk to nobody")


def _measure(name: str, rounds: int, calls: int) -> Rounds:
    sys.addaudithook(_stay_here)
    made = set_up("on")
    decorate = _PEERS[name][1](made)
    theirs = decorate(_returning if decorate is made.records.load else _telling(made.counter))
    flush = getattr(trace.get_tracer_provider(), "force_flush", bool)
    by_hand = hand.loading(made.tracer, made.counter, hand.formatted(WINDOW))
    sides = [calls_of(function, WINDOW) for function in (theirs, by_hand)]
    return in_turn(sides, rounds, calls, lambda: (made.settle(), flush()))


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], *map(int, sys.argv[2:]))))
    sys.stdout.flush()
    os._exit(0)  # nothing of theirs is of use at the end of the process
