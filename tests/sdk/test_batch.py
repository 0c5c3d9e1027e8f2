"""The upper bound of a request's encoded size, and the parts of a batch that fit into a request."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from otel_kcevents.sdk.batch import MAX_REQUEST, max_encoded_size, parts_that_fit

LARGEST = 2**63 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUE = TEXT | st.booleans() | st.integers(-(2**63), LARGEST) | st.floats() | st.binary(max_size=40)
ATTRIBUTES = st.dictionaries(
    TEXT.filter(bool),
    VALUE | st.lists(TEXT, max_size=4) | st.lists(st.integers(-(2**63), LARGEST), max_size=4),
    max_size=4,
)
STATE = TraceState([("vendor", "v" * 200), ("other", "x" * 200)])
PARENT = SpanContext(2**128 - 1, 2**64 - 1, is_remote=True, trace_flags=TraceFlags(1), trace_state=STATE)


class Encoder:
    """Measures the encoded size of a request, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, spans: Sequence[ReadableSpan]) -> int:
        self.calls += 1
        return int(encode_spans(spans).ByteSize())


def finished(
    *names: str, resource: Resource | None = None, scope: InstrumentationScope | None = None, **attributes: object
) -> list[ReadableSpan]:
    """Return ended spans with these attributes."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for name in names:
        provider.get_tracer(scope.name if scope else "test").start_span(name, attributes=attributes).end()  # type: ignore[arg-type]
    return list(exporter.get_finished_spans())


@given(TEXT, TEXT, ATTRIBUTES, ATTRIBUTES, st.integers(1, 3))
def test_no_request_is_larger_than_the_upper_bound(
    name: str, other: str, some: dict[str, object], more: dict[str, object], count: int
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(some, other), shutdown_on_exit=False)  # type: ignore[arg-type]
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(name or "t", other, other, more)  # type: ignore[arg-type]
    for _ in range(count):
        links = [Link(PARENT, some)]  # type: ignore[arg-type]
        span = tracer.start_span(name, set_span_in_context(NonRecordingSpan(PARENT)), links=links)
        span.set_attributes(more)  # type: ignore[arg-type]
        span.add_event(other, some)  # type: ignore[arg-type]
        span.set_status(Status(StatusCode.ERROR, other))
        span.end()
    spans = exporter.get_finished_spans()
    assert Encoder()(spans) <= max_encoded_size(spans)


def test_upper_bound_is_near_the_encoded_size() -> None:
    spans = finished(*["save AllocationSet"] * 512, etl="allocation", function="etl.save_allocations")
    assert max_encoded_size(spans) < 3 * Encoder()(spans)


@pytest.mark.parametrize("values", [[-1] * 100_000, [""] * 100_000, [1.5] * 100_000, [True] * 100_000])
def test_long_lists_stay_below_the_upper_bound(values: list[object]) -> None:
    spans = finished("span", values=values)
    assert Encoder()(spans) <= max_encoded_size(spans)


def test_each_scope_is_measured_for_each_resource() -> None:
    """A request contains a scope once for each resource that has it."""
    resources = [Resource({name: "x" * 5000}) for name in "ab"]
    scopes = [InstrumentationScope(name * 5000) for name in "ab"]
    spans = [
        span
        for resource, scope in zip((*resources, resources[0]), (*scopes, scopes[1]), strict=True)
        for span in finished("span", resource=resource, scope=scope)
    ]
    assert Encoder()(spans) <= max_encoded_size(spans)


def test_nested_attributes_are_measured() -> None:
    """Logs and other exporters have them."""
    plain, nested = (ReadableSpan("span", attributes=kept) for kept in ({}, {"a": {"b": ["x" * 1000]}}))
    assert max_encoded_size([nested]) > max_encoded_size([plain]) + 1000


def test_small_batch_is_not_encoded_to_be_measured() -> None:
    encoder = Encoder()
    spans = finished(*["span"] * 512)
    [(part, share)] = parts_that_fit(spans, encoder)
    assert (part, share) == (spans, max_encoded_size(spans) / MAX_REQUEST)
    assert encoder.calls == 0


def test_batch_that_only_seems_too_large_stays_whole() -> None:
    """The upper bound exceeds the limit, but the request does not."""
    encoder = Encoder()
    spans = finished(*["span"] * 100)
    limit = encoder(spans)
    assert max_encoded_size(spans) > limit
    assert list(parts_that_fit(spans, encoder, limit)) == [(spans, 1.0)]


@pytest.mark.parametrize("count", [1, 2, 3, 60])
def test_parts_of_a_large_batch_fit_and_hold_every_span(count: int) -> None:
    spans = finished(*map(str, range(count)), text="x" * 1_900_000 if count < 60 else "x" * 100_000)
    parts = list(parts_that_fit(spans, Encoder()))
    assert [span for part, _ in parts for span in part] == spans
    assert all(Encoder()(part) <= share * MAX_REQUEST <= MAX_REQUEST for part, share in parts)
    assert len(parts) == {1: 1, 2: 1, 3: 2, 60: 2}[count]


def test_span_too_large_for_any_request_is_alone() -> None:
    small, large, last = finished("small"), finished("large", text="x" * MAX_REQUEST), finished("last")
    parts = list(parts_that_fit([*small, *large, *last], Encoder()))
    assert [part for part, share in parts if share > 1] == [large]
    assert [span for part, share in parts if share <= 1 for span in part] == [*small, *last]
