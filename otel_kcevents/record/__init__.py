"""From a call to an event: decorators, `with` blocks, spans, the counter and the span processor."""

__all__: list[str] = []
