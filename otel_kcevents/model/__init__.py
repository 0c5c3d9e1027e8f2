"""What an event is; the standard library alone."""

__all__: list[str] = []
