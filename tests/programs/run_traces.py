"""Print the spans of a run and of its children, each with its trace and its parent; `late`: set the provider late."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from otel_kcevents import allocation, run


class Printer(SpanExporter):
    """Prints the name, the trace and the parent of each span, or the start method in place of the name."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            who = str((span.attributes or {}).get("method", span.name)).split()[0]
            print(who, span.context.trace_id, span.parent and span.parent.span_id, flush=True)
        return SpanExportResult.SUCCESS


def set_provider() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Printer()))
    trace.set_tracer_provider(provider)


def work(method: str) -> None:
    if method == "spawn":
        set_provider()
    with trace.get_tracer("program").start_as_current_span("work", attributes={"method": method}):
        pass


if __name__ == "__main__":
    if "late" in sys.argv:
        with run("nightly"):
            set_provider()
            allocation.emit("saved", size=1)
    else:
        set_provider()
        with suppress(SystemExit), run("nightly"):
            for method in ("fork", "spawn"):
                context: Any = multiprocessing.get_context(method)
                process = context.Process(target=work, args=(method,))
                process.start()
                process.join()
