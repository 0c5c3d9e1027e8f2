"""`Target`: where the events of one record set go. A pickle has only its names; each process has its own."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.event import Kind, kinds_of
from otel_kcevents.model.messages import error_message
from otel_kcevents.model.problems import logger as _logger
from otel_kcevents.model.wire import SCOPE
from otel_kcevents.record.durations import Durations
from otel_kcevents.record.metrics import observe
from otel_kcevents.store.local import Reference, refer, resolve
from otel_kcevents.store.log import EventLog, default_log
from otel_kcevents.version import __version__

__all__ = ["RecordedKind", "Target", "default_target", "target_of"]


class RecordedKind(str):
    """The name of a span event that was also appended to `log`.

    `EventLogProcessor` recognizes the event by this object, in any thread and however late it gets the span.
    Copies and pickles are plain strings.
    """

    __slots__ = ("log",)

    log: EventLog

    def __new__(cls, kind: str, log: EventLog) -> RecordedKind:
        """Return *kind* with its log."""
        self = super().__new__(cls, kind)
        self.log = log
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class Target:
    """The log, the tracer and the instruments that the events of one set go to, and the names of its kinds.

    Args:
        etl: The name of the set's list in the log.
        set_name: The prefix of the names of its kinds.
        log: The log that the events go to.
        tracer_provider: The provider of the tracer; None for the global one, which may be set later.
        meter_provider: The provider of the metrics; None for the global one, which may be set later.

    Attributes:
        warned: The fields for which a warning was logged, by operation or by the name of an unpickled function.
    """

    def __init__(
        self,
        etl: str,
        set_name: str,
        log: EventLog,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        log.add_set(etl, set_name)
        self.etl: str = etl
        self.set_name: str = set_name
        self.log: EventLog = log
        self.kinds: dict[str, Kind] = kinds_of(etl, set_name)
        self.recorded_kinds: dict[str, RecordedKind] = {
            kind.name: RecordedKind(kind.name, log) for kind in self.kinds.values()
        }
        self.tracer: trace.Tracer = trace.get_tracer(SCOPE, __version__, tracer_provider)
        self.is_proxied: bool = tracer_provider is None
        self.warned: dict[str, set[str]] = {}
        self.durations: Durations = observe(log, meter_provider)

    def replace_proxy(self) -> None:
        """Replace the proxy tracer, whose calls cost more, once a provider is set."""
        self.is_proxied = False
        self.tracer = trace.get_tracer(SCOPE, __version__)

    def __reduce__(self) -> tuple[Any, ...]:
        names = (self.etl, self.set_name)
        return target_of, names if _default_targets.get(names) is self else (*names, refer(self))


_default_targets: dict[tuple[str, str], Target] = {}
_substitutes: dict[tuple[str, str], Target] = {}  # for sets that the default log cannot have


def default_target(etl: str, set_name: str) -> Target:
    """Return the target of a set with the default log and the global providers. Each process has one for each set.

    Args:
        etl: The name of the set's list in the log.
        set_name: The prefix of the names of its kinds.

    Raises:
        ValueError: A name is invalid, or is already taken in the default log.
    """
    with FORK_LOCK:
        if (etl, set_name) not in _default_targets:
            _default_targets[etl, set_name] = Target(etl, set_name, default_log)
        return _default_targets[etl, set_name]


def target_of(etl: str, set_name: str, reference: Reference | None = None) -> Target:
    """Return the target for a pickle: the same target in its own process, or one with the default log in another.

    Never raises: if a name is taken in the default log, the set gets its own log, and one warning is logged. Pickles
    of earlier versions call this function.

    Args:
        etl: The name of the set's list in the log.
        set_name: The prefix of the names of its kinds.
        reference: The reference to the target in its own process, if it has its own log or providers.
    """
    found: Target | None = None if reference is None else resolve(reference)
    if found is not None:
        return found
    try:
        return default_target(etl, set_name)
    except ValueError as error:
        with FORK_LOCK:
            if (etl, set_name) not in _substitutes:
                message = "the unpickled set %s gets its own log, because its name is taken (logged once): %s"
                _logger.warning(message, set_name, error_message(error))
                _substitutes[etl, set_name] = Target(etl, set_name, EventLog())
            return _substitutes[etl, set_name]
