"""`KcEventsInstrumentor`: sets up the log, and instruments the functions that a mapping names."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.plugin.instrumentor_options import read_instrumentor_options
from otel_kcevents.plugin.program_setup import ProgramSetup
from otel_kcevents.sdk import published

if TYPE_CHECKING:
    from otel_kcevents.plugin.instrumentation import Instrumentation
    from otel_kcevents.store.calls import Calls

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        f"KcEventsInstrumentor needs {_error.name!r}, which is not installed; run pip install 'otel-kcevents[plugin]'",
        name=_error.name,
    ) from _error

__all__ = ["KcEventsInstrumentor"]

_LAUNCHER_OPTIONS = {"skip_dep_check", "raise_exception_on_conflict"}


class KcEventsInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the library ignores its own types
    """Instruments programs without editing them: `opentelemetry-instrument` loads it by the name `kcevents`.

    It sets up OpenTelemetry and the log as `configure()` does, if neither the program nor a distribution has, and
    instruments the functions that the mapping names. It never raises: problems are logged.

    The options of `instrument()`, all optional:

    - `mapping`: the path of a mapping file, or a dict with `sets` and `functions`; default: the file that
      `OTEL_PYTHON_KCEVENTS_MAPPING` names
    - `sets`, `functions`: a mapping, in place of `mapping`
    - `log_file`: the file of the journal, as for `configure()`
    - `enabled`: False to do nothing

    If none is given, they are read from the file that `OTEL_CONFIG_FILE` names, if any.
    """

    _instrumentation: Instrumentation | None = None
    _restore: Callable[[], object] | None = None
    _setup: ProgramSetup | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return no packages: the mapping decides what is instrumented."""
        return ()

    def instrument(self, **options: Any) -> Any:
        """Set up the log and instrument the functions of the mapping. Never raises.

        Args:
            options: See the class.
        """
        if self.is_instrumented_by_opentelemetry and not set(options) - _LAUNCHER_OPTIONS:
            return None  # after a declarative configuration has called it, the launcher does so again
        return super().instrument(**options)

    def calls(self) -> list[Calls]:
        """Return the call counts of this process by entry and function, including functions that were not called."""
        from otel_kcevents.store.calls import all_calls

        return all_calls()

    def _instrument(self, **given: Any) -> None:
        _attempt("nothing is instrumented", self._begin, given)

    def _begin(self, given: dict[str, Any]) -> None:
        options = read_instrumentor_options(given)
        if not options.is_enabled:
            return
        for problem in options.problems:
            _logger.warning("%s", problem)
        mapping = options.mapping
        atexit.register(self._restore_at_exit)  # first, so that it is called last
        self._setup = self._setup or ProgramSetup()
        set_up = partial(self._setup.begin, options.log_file, is_used=bool(mapping and mapping.entries))
        _attempt("the export and the log are not set up", set_up)
        published.publish_config_file()
        if options.mapping_file is not None:
            published_before = published.publish_mapping(options.mapping_file)
            self._restore = partial(published.publish_mapping, published_before)
        if mapping is not None and (mapping.entries or mapping.problems):
            from otel_kcevents.plugin.instrumentation import Instrumentation

            self._instrumentation = Instrumentation(mapping)
            self._instrumentation.begin()

    def _restore_at_exit(self) -> None:
        """Restore the functions, because Python frees the globals of a program only if nothing else holds them.

        A shim holds those of its function, and Python's garbage collector does not look into code. So files that the
        program has not closed would not be written, and finalizers would not be called.
        """
        if self._instrumentation is not None:
            _attempt("not all functions are restored", self._instrumentation.restore)

    def _uninstrument(self, **options: Any) -> None:
        atexit.unregister(self._restore_at_exit)
        if self._instrumentation is not None:
            _attempt("not all functions are restored", self._instrumentation.end)
        if self._setup is not None:
            _attempt("the set-up is not undone", self._setup.end)
        if self._restore is not None:
            self._restore()
        self._instrumentation = self._restore = None


def _attempt(consequence: str, action: Callable[..., object], *args: object) -> None:
    """Call a function, and log a warning if it raises: an instrumentor must never stop a program."""
    try:
        action(*args)
    except Exception as error:
        _logger.warning("%s: %s", consequence, error_message(error))
