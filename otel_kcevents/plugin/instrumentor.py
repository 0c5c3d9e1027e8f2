"""`KcEventsInstrumentor`: sets up the log, and instruments the functions that a mapping names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.plugin.instrumentation import Instrumentation
from otel_kcevents.plugin.mapping import Mapping, mapping_of, read_mapping
from otel_kcevents.sdk.configure import configure
from otel_kcevents.sdk.settings import mapping_file

__all__ = ["KcEventsInstrumentor"]


class KcEventsInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the library ignores its own types
    """Instruments programs without editing them: `opentelemetry-instrument` loads it by the name `kcevents`.

    It sets up OpenTelemetry and the log as `configure()` does, if the program or a distribution has not, and
    instruments the functions that the mapping names. It never raises: problems are logged.
    """

    _instrumentation: Instrumentation | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return no packages: the mapping decides what is instrumented."""
        return ()

    def _instrument(self, **options: Any) -> None:
        try:
            configure(log_file=options.pop("log_file", None))
        except Exception as error:
            _logger.warning("the export and the log are not set up: %s", error_message(error))
        try:
            self._instrumentation = Instrumentation(_mapping(options))
            self._instrumentation.begin()
        except Exception as error:
            _logger.warning("no functions are instrumented: %s", error_message(error))

    def _uninstrument(self, **options: Any) -> None:
        if self._instrumentation is not None:
            self._instrumentation.end()


def _mapping(options: dict[str, Any]) -> Mapping:
    if "mapping" in options:
        return read_mapping(options["mapping"])
    if options:
        return mapping_of(options, "the options of kcevents")
    path = mapping_file()
    return Mapping("no mapping") if path is None else read_mapping(path)
