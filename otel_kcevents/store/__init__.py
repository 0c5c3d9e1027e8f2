"""Where events are kept."""

__all__: list[str] = []
