"""The environment variables of this package, which `opentelemetry-instrument` also takes as command-line options."""

__all__ = ["OTEL_PYTHON_KCEVENTS_LOG_FILE", "OTEL_PYTHON_KCEVENTS_MAPPING"]

OTEL_PYTHON_KCEVENTS_MAPPING: str = "OTEL_PYTHON_KCEVENTS_MAPPING"
"""The file of the mapping: which functions to instrument, and how."""

OTEL_PYTHON_KCEVENTS_LOG_FILE: str = "OTEL_PYTHON_KCEVENTS_LOG_FILE"
"""The file of the journal."""
