"""`own_set_up.py NAME`: run one of the functions below, which set up OpenTelemetry, or not, under a launcher."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from unedited_steps import DAY, load  # type: ignore[import-not-found]  # the folder is no package

exporter = InMemorySpanExporter()


def show(**found: Any) -> None:
    """Print the log, the exported spans and what else was found."""
    from otel_kcevents import default_log

    spans = [span.name for span in exporter.get_finished_spans()]
    print(json.dumps({"counts": default_log.counts(), "spans": spans, **found}))


def save_by_hand() -> None:
    with trace.get_tracer("billing").start_as_current_span("save assets") as span:
        span.add_event("AssetSetSaved")


def set_providers() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider())
    assert trace.get_tracer_provider() is provider


def first_load() -> None:
    load(DAY, 1)


def own_providers() -> None:
    set_providers()
    save_by_hand()
    load(DAY, 1)
    show()


def own_providers_after_first_span() -> None:
    """The first span is on a provider of this package, as are those of mapped calls, whose tracer is older."""
    load(DAY, 1)
    set_providers()
    save_by_hand()
    show()


def own_tracer_provider() -> None:
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    load(DAY, 1)
    show(meters=type(metrics.get_meter_provider()).__name__)


def other_provider() -> None:
    """A provider that accepts no span processor."""
    trace.set_tracer_provider(trace.NoOpTracerProvider())
    load(DAY, 1)
    show()


def configured() -> None:
    from otel_kcevents import configure

    configure(service_name="nightly")
    save_by_hand()
    load(DAY, 1)
    resource: Any = trace.get_tracer_provider()
    show(service=resource.resource.attributes["service.name"])


def configured_after_first_span() -> None:
    from otel_kcevents import configure

    save_by_hand()
    configure(service_name="nightly")
    configure(service_name="nightly")
    show()


def first_spans_of_threads() -> None:
    """All threads start their first span at once."""
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        save_by_hand()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    show()


def fork_before_first_span() -> None:
    if not (child := os.fork()):
        load(DAY, 1)
        os._exit(0)
    show(status=os.waitpid(child, 0)[1])


def uninstrumented() -> None:
    from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor

    instrumentor = KcEventsInstrumentor()
    instrumentor.uninstrument()
    save_by_hand()
    load(DAY, 1)
    instrumentor.instrument()
    instrumentor.instrument()
    save_by_hand()
    load(DAY, 1)

    def set_tracer_provider(tracer_provider: trace.TracerProvider) -> None:
        """From another library."""

    trace.set_tracer_provider = set_tracer_provider
    instrumentor.uninstrument()
    assert trace.set_tracer_provider is set_tracer_provider
    instrumentor.instrument()
    show()


def first_span_at_exit() -> None:
    """No thread can be started then."""
    atexit.register(show)
    atexit.register(save_by_hand)


def finalizer_of_a_mapped_module() -> None:
    import unedited_steps

    class Left:
        def __del__(self) -> None:
            print("finalized", flush=True)

    unedited_steps.left = Left()
    print("{}")


class Faulty(trace.NoOpTracerProvider):
    @property
    def add_span_processor(self) -> None:
        raise RuntimeError("faulty provider")


def faulty_provider() -> None:
    trace.set_tracer_provider(Faulty())
    load(DAY, 1)
    show()


def api_without_private_names() -> None:
    """As a later version of the API may be."""
    from otel_kcevents.plugin.instrumentor import KcEventsInstrumentor

    refused: list[trace.TracerProvider] = []
    KcEventsInstrumentor().uninstrument()
    original: Any = trace.ProxyTracer
    original._tracer = None
    setter = trace.set_tracer_provider

    def set_tracer_provider(tracer_provider: trace.TracerProvider) -> None:
        """Refuses a second provider."""
        if isinstance(trace.get_tracer_provider(), TracerProvider):
            refused.append(tracer_provider)
        else:
            setter(tracer_provider)

    trace.set_tracer_provider = set_tracer_provider
    KcEventsInstrumentor().instrument()
    save_by_hand()
    trace.set_tracer_provider(TracerProvider())
    save_by_hand()
    show(refused=len(refused))


def nothing() -> None:
    is_default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    show(is_default=is_default, threads=threading.active_count(), provider=type(trace.get_tracer_provider()).__name__)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    globals()[sys.argv[1]]()
