"""The observable instruments of a program, which read its logs' counts and totals when a metric reader collects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary, ref

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from otel_kcevents.fork_lock import FORK_LOCK
from otel_kcevents.model.event import MAX_SIZE
from otel_kcevents.model.metrics import EVENTS, LAST_EVENT, LAST_WINDOW_END, RECORDS
from otel_kcevents.model.timestamps import SECOND
from otel_kcevents.model.wire import SCOPE
from otel_kcevents.record.durations import Durations
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.totals import KindTotals, merge_totals
from otel_kcevents.version import __version__

__all__ = ["observe"]


class _GlobalProvider:
    """Stands for the global meter provider, which may be set later."""


_GLOBAL = _GlobalProvider()
_Provider: TypeAlias = "MeterProvider | _GlobalProvider"


class _Observed(NamedTuple):
    """What the instruments of a provider read."""

    logs: list[EventLog]
    durations: Durations


_observed: WeakKeyDictionary[_Provider, _Observed] = WeakKeyDictionary()


def observe(log: EventLog, meter_provider: MeterProvider | None) -> Durations:
    """Observe a log with the instruments of a meter provider, which has one of each name for all of its logs.

    Args:
        log: The log.
        meter_provider: The provider; None for the global one, which may be set later.

    Returns:
        Where the durations of the operations in the log go.
    """
    provider = meter_provider or _GLOBAL
    with FORK_LOCK:
        meter = metrics.get_meter(SCOPE, __version__, meter_provider)
        observed = _observed.get(provider)
        if observed is None:
            observed = _observed[provider] = _Observed([], Durations(meter))
        if log not in observed.logs:
            observed.logs.append(log)
        if len(observed.logs) > 1 or observed.logs[0] is not log:
            return observed.durations
    # The SDK ignores a second instrument of the same name, but the global provider may be another one by now.
    for metric, observations in (
        (EVENTS, _observe_counts),
        (RECORDS, partial(_observe_totals, _records)),
        (LAST_EVENT, partial(_observe_totals, _last_event)),
        (LAST_WINDOW_END, partial(_observe_totals, _last_window_ends)),
    ):
        create = meter.create_observable_counter if metric.is_counter else meter.create_observable_gauge
        create(metric.name, [partial(observations, ref(provider))], metric.unit, metric.description)
    return observed.durations


def _observed_by(provider: Callable[[], _Provider | None]) -> list[_Observed]:
    """Return what the instruments of a provider read, which may also be the global one."""
    own, both = provider(), (_GLOBAL, metrics.get_meter_provider())
    keys: Iterable[Any] = both if any(own is key for key in both) else (own,)
    return [found for key in keys if (found := _observed.get(key)) is not None]


def _logs_of(provider: Callable[[], _Provider | None]) -> Iterable[EventLog]:
    return dict.fromkeys(log for observed in _observed_by(provider) for log in observed.logs)


def _observe_counts(provider: Callable[[], _Provider | None], options: CallbackOptions) -> Iterable[Observation]:
    for observed in _observed_by(provider):
        observed.durations.export()
    totals: Counter[tuple[str, str]] = Counter()
    for log in _logs_of(provider):
        totals.update({(log.kinds[name].etl, name): count for name, count in log.counts().items()})
    return [Observation(count, {"etl": etl, "event": name}) for (etl, name), count in totals.items()]


def _observe_totals(
    observations: Callable[[KindTotals, dict[str, str]], Iterator[Observation]],
    provider: Callable[[], _Provider | None],
    options: CallbackOptions,
) -> Iterable[Observation]:
    for totals in merge_totals(log.totals() for log in _logs_of(provider)):
        yield from observations(totals, {"etl": totals.etl, "event": totals.kind})


def _records(totals: KindTotals, attributes: dict[str, str]) -> Iterator[Observation]:
    if totals.records is not None:
        yield Observation(min(totals.records, MAX_SIZE), attributes)  # a larger one would fail the whole export


def _last_event(totals: KindTotals, attributes: dict[str, str]) -> Iterator[Observation]:
    yield Observation(totals.last_event / SECOND, attributes)


def _last_window_ends(totals: KindTotals, attributes: dict[str, str]) -> Iterator[Observation]:
    for resolution, end in totals.window_ends.items():
        yield Observation(end / SECOND, {**attributes, "resolution": resolution})
