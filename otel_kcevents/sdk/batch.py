"""Split spans into batches that each fit into one OTLP request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["MAX_REQUEST", "max_encoded_size", "parts_that_fit"]

MAX_REQUEST = 4_000_000
"""The maximum size of a request before compression, in bytes. A gRPC server accepts 4 MiB unless configured otherwise,
and Jaeger never accepts more; the difference leaves room for what a collector adds."""

# Upper bounds in bytes of what protobuf adds to the strings: tags, lengths and fixed-size numbers.
_SPAN = 160
_EVENT = 40
_LINK = 72
_ATTRIBUTE = 24
_ITEM = 16
_SCOPE = 64


def max_encoded_size(spans: Iterable[ReadableSpan]) -> int:
    """Return an upper bound in bytes for the size of the OTLP trace request for *spans*.

    It costs a sixth of encoding the request. The layout is that of opentelemetry-proto's
    `ExportTraceServiceRequest`.

    Args:
        spans: The spans of one request.
    """
    size = 0
    seen = set()  # a request holds each resource once, and each scope once for each resource
    for span in spans:
        size += _SPAN + _string(span.name) + _string(span.status.description) + _attributes(span.attributes)
        if span.context is not None and span.context.trace_state:
            size += sum(_string(key) + _string(value) + 2 for key, value in span.context.trace_state.items())
        for event in span.events:
            size += _EVENT + _string(event.name) + _attributes(event.attributes)
        for link in span.links:
            size += _LINK + _attributes(link.attributes)
        scope = span.instrumentation_scope
        if (id(span.resource), id(scope)) not in seen:
            seen.add((id(span.resource), id(scope)))
            size += _SCOPE + _string(span.resource.schema_url) + _attributes(span.resource.attributes)
            if scope is not None:
                size += _string(scope.name) + _string(scope.version) + _string(scope.schema_url)
                size += _attributes(scope.attributes)
    return size


def _string(text: object) -> int:
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _attributes(attributes: Mapping[str, Any] | None) -> int:
    return sum(_ATTRIBUTE + _string(key) + _value(value) for key, value in attributes.items()) if attributes else 0


def _value(value: object) -> int:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, Mapping):
        return _ITEM + _attributes({str(key): item for key, item in value.items()})
    if isinstance(value, Sequence):
        return _ITEM + sum(_ITEM + _value(item) for item in value)
    return 0  # the attribute's own bytes include a number


def parts_that_fit(
    spans: Sequence[ReadableSpan], encoded_size: Callable[[Sequence[ReadableSpan]], float], limit: int = MAX_REQUEST
) -> Iterator[tuple[Sequence[ReadableSpan], float]]:
    """Yield *spans* in parts, each with the share of the limit that its request takes.

    A share exceeds 1 only if a single span does not fit.

    Args:
        spans: The spans of one batch, in order.
        encoded_size: Encodes a request and returns its size in bytes, infinite if a span cannot be encoded; called
            only if the upper bound exceeds the limit.
        limit: The maximum size of a request in bytes.
    """
    size: float = max_encoded_size(spans)
    if size > limit:
        size = encoded_size(spans)
    if size <= limit or len(spans) == 1:
        yield spans, size / limit
    else:
        half = len(spans) // 2
        for part in (spans[:half], spans[half:]):
            yield from parts_that_fit(part, encoded_size, limit)
