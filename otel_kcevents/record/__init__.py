"""From a call to an event: decorators, `with` blocks, span, counter and span processor."""

__all__: list[str] = []
