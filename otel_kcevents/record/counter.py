"""The observable counter `kubecost.etl.events`, which reads the logs' counts when a metric reader collects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.wire import SCOPE
from otel_kcevents.store.log import EventLog
from otel_kcevents.version import __version__

__all__ = ["observe"]


class _GlobalProvider:
    """Stands for the global meter provider, which may be set later."""


_GLOBAL = _GlobalProvider()
_observed: WeakKeyDictionary[MeterProvider | _GlobalProvider, list[EventLog]] = WeakKeyDictionary()


def observe(log: EventLog, meter_provider: MeterProvider | None) -> None:
    """Observe the counts of a log with the counter of a meter provider, which has one counter for all of its logs.

    Args:
        log: The log.
        meter_provider: The provider; None for the global one, which may be set later.
    """
    with FORK_LOCK:
        logs = _observed.setdefault(meter_provider or _GLOBAL, [])
        if log not in logs:
            logs.append(log)
        if len(logs) > 1 or logs[0] is not log:
            return
    metrics.get_meter(SCOPE, __version__, meter_provider).create_observable_counter(
        "kubecost.etl.events",
        [partial(_observations, ref(meter_provider or _GLOBAL))],
        unit="{event}",
        description="Kubecost ETL events counted by kind.",
    )


def _observations(
    provider: Callable[[], MeterProvider | _GlobalProvider | None], options: CallbackOptions
) -> Iterable[Observation]:
    """Return the counts of all logs of a provider, which may also be the global one."""
    own, both = provider(), (_GLOBAL, metrics.get_meter_provider())
    keys: Iterable[Any] = both if any(own is key for key in both) else (own,)
    totals: Counter[tuple[str, str]] = Counter()
    for log in dict.fromkeys(log for key in keys for log in _observed.get(key, ())):
        totals.update({(log.kinds[name].etl, name): count for name, count in log.counts().items()})
    return [Observation(count, {"etl": etl, "event": name}) for (etl, name), count in totals.items()]
