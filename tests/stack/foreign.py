"""A program without the package: it adds the events to its spans by hand, and prints their numbers."""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAMES = ("AllocationSetSaved", "AllocationSetSavedEvent", "AssetSetLoaded", "AssetSetComputeErrorEvent", "cache miss")


def main(spans: int, seed: int, size: int = 0) -> None:
    """Emit spans with one event each.

    Args:
        spans: How many.
        seed: Determines the events. Their times are spread over the last minute, like those of long operations.
        size: How many bytes to add to each span.
    """
    choose = random.Random(seed)
    provider = TracerProvider(resource=Resource.create({"process.pid": seed}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=50))
    tracer = provider.get_tracer("foreign")
    counts: Counter[str] = Counter()
    for number in range(spans):
        name = choose.choice(NAMES)
        with tracer.start_as_current_span("work", attributes={"text": "x" * size}) as span:
            span.add_event(name, timestamp=time.time_ns() - choose.randrange(60_000_000_000))
        counts[name] += 1
        if number % 20 == 0:
            time.sleep(0.05)
    provider.shutdown()
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
