"""Which reconcile of a window is the latest: one of that window itself, or of a longer one, such as its day."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import TypeAlias

from otel_kcevents.store.window_results import GroupedResult

__all__ = ["Reconciles", "latest_reconciles"]

Reconciles: TypeAlias = dict[int, dict[int, GroupedResult]]
"""The successful reconciles of an etl, by the length and the start of their windows."""


def latest_reconciles(starts: Iterable[int], length: int, reconciles: Reconciles) -> dict[int, int]:
    """Return the order of the latest reconcile that covers each window, by the start of the window.

    A reconcile covers its own window, and the shorter ones inside it that had ended by then: a month may be reconciled
    before it is over.

    Args:
        starts: The starts of the windows, in nanoseconds since 1970 (UTC).
        length: Their length, in nanoseconds.
        reconciles: The reconciles of the same etl.
    """
    orders = {start: order for start, _, order, _, _ in reconciles.get(length, {}).values()}
    longer = [
        (order, start, min(start + each, time))
        for each, found in reconciles.items()
        if each > length
        for start, _, order, time, _ in found.values()
    ]
    if longer:
        left = sorted(starts)
        for order, start, end in sorted(longer, reverse=True):  # the latest one first, so that it decides
            covered = slice(bisect_left(left, start), bisect_right(left, end - length))
            for each in left[covered]:
                orders[each] = max(order, orders.get(each, order))
            del left[covered]
    return orders
