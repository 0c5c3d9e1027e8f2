"""Where events are kept, and the protocol that every source of events answers.

Knows nothing of OpenTelemetry.
"""

__all__: list[str] = []
