"""The environment variables of this package, which `opentelemetry-instrument` also takes as command-line options."""

__all__ = [
    "OTEL_PYTHON_KCEVENTS_DURATIONS",
    "OTEL_PYTHON_KCEVENTS_LOG_FILE",
    "OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION",
    "OTEL_PYTHON_KCEVENTS_MAPPING",
    "OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH",
]

OTEL_PYTHON_KCEVENTS_MAPPING: str = "OTEL_PYTHON_KCEVENTS_MAPPING"
"""The file of the mapping: which functions to instrument, and how."""

OTEL_PYTHON_KCEVENTS_LOG_FILE: str = "OTEL_PYTHON_KCEVENTS_LOG_FILE"
"""The file of the journal."""

OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION: str = "OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION"
"""How much the journal keeps: a number of events of each kind, or an age such as `90d`."""

OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH: str = "OTEL_PYTHON_KCEVENTS_REPORT_ON_CRASH"
"""The folder for bug reports of uncaught exceptions."""

OTEL_PYTHON_KCEVENTS_DURATIONS: str = "OTEL_PYTHON_KCEVENTS_DURATIONS"
"""Whether the durations of operations are measured: `true` or `false`."""
