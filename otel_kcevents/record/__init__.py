"""From a call to an event."""

__all__: list[str] = []
