"""`KcEventsInstrumentor`: sets up the log, and instruments the functions that a mapping names."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.sdk.configure import configure
from otel_kcevents.sdk.settings import mapping_file

if TYPE_CHECKING:
    from otel_kcevents.plugin.instrumentation import Instrumentation
    from otel_kcevents.plugin.mapping import Mapping

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
            mapping = _mapping(options)
            if mapping is not None:
                from otel_kcevents.plugin.instrumentation import Instrumentation

                self._instrumentation = Instrumentation(mapping)
                self._instrumentation.begin()
        except Exception as error:
            _logger.warning("no functions are instrumented: %s", error_message(error))

    def _uninstrument(self, **options: Any) -> None:
        if self._instrumentation is not None:
            self._instrumentation.end()


def _mapping(options: dict[str, Any]) -> Mapping | None:
    path = mapping_file()
    if not options and path is None:
        return None  # a program without a mapping does not pay for the import below
    from otel_kcevents.plugin.mapping import mapping_of, read_mapping

    if "mapping" in options:
        return read_mapping(options["mapping"])
    if options:
        return mapping_of(options, "the options of kcevents")
    return read_mapping(path or "")
