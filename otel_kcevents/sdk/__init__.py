"""Setting up OpenTelemetry, and exporting."""

__all__: list[str] = []
