"""Where events are kept, and the protocol that every source of events implements.

Does not depend on OpenTelemetry.
"""

__all__: list[str] = []
