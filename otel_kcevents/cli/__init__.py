"""The command `otel-kcevents`."""

__all__: list[str] = []
