"""Record events without an OpenTelemetry SDK; print the log's counts and the size of its oldest load."""

from __future__ import annotations

import sys

from opentelemetry import trace

from otel_kcevents import allocation, default_log


@allocation.save
def save(rows: list[int]) -> trace.Span:
    return trace.get_current_span()


for _ in range(200):
    save([1])
with allocation.load() as op:
    op.size = 7
for _ in range(300):
    allocation.emit("saved", size=2)

remote = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))
with trace.use_span(remote):
    assert save([1]) is remote
    with allocation.load():
        assert trace.get_current_span() is remote
    assert trace.get_current_span() is remote

assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
print(default_log.counts(), default_log.document().lists["allocation"][-1].size)
