"""Set up OpenTelemetry for a program: settings, export, child processes, and the flush at the end."""

__all__: list[str] = []
